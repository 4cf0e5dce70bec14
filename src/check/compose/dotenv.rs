//! Files of variables as compose reads them: `.env`, and what `env_file` names.

/// Variables in the order of the file, with their values; none for what this program can't tell, such as a value that
/// hangs on another variable.
pub fn variables(text: &str) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    while !rest.is_empty() {
        let end = rest.find('\n').map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(end);
        rest = after;
        let Some((name, value)) = pair(line) else { continue };
        match value.chars().next() {
            Some(quote @ ('\'' | '"')) => {
                let begun = &text[text.len() - rest.len() - value.len()..];
                let (value, length) = quoted(begun, quote);
                // Whatever stands behind the quote in its line counts like a line of its own.
                rest = begun.get(length..).unwrap_or_default();
                found.push((name.to_owned(), value));
            }
            _ => found.push((name.to_owned(), bare(value))),
        }
    }
    found
}

/// The name and what is written behind it, blanks before it taken away; none for a comment or a name alone.
fn pair(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    let exported = line.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t']));
    let line = exported.unwrap_or(line);
    if line.starts_with('#') {
        return None;
    }
    let (name, value) = line.split_once(['=', ':'])?;
    let name = name.trim();
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let named = !name.is_empty() && name.chars().all(fine);
    named.then(|| (name, value.trim_start_matches([' ', '\t'])))
}

/// A value without quotes: up to a comment.
fn bare(value: &str) -> Option<String> {
    let value = value.split(" #").next().unwrap_or_default().trim_end();
    let plain = !value.contains('$') && !value.starts_with('#');
    plain.then(|| value.to_owned())
}

/// A quoted value, and how many bytes it has with its quotes.
fn quoted(text: &str, quote: char) -> (Option<String>, usize) {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => {
                let value = &text[1..at];
                let plain = !value.contains('\\') && (quote == '\'' || !value.contains('$'));
                return (plain.then(|| value.to_owned()), at + 1);
            }
            _ => {}
        }
    }
    (None, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_compose_reads_them_or_not_at_all() {
        let text = "\u{feff}# who\nA=1\n export B = two words # said\nC='a # $b'\nD=\"x y\" # z\nE=\n\
                    F: yaml\nG=${A}\nH=\"a\\nb\"\nI=\"two\nlines\"\nJ=last\nALONE\n#K=no\nL=#none\nM='x'N=y\nexport\tO=z";
        let known = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        let unknown = |name: &str| (name.to_owned(), None);
        let expected = [
            known("A", "1"),
            known("B", "two words"),
            known("C", "a # $b"),
            known("D", "x y"),
            known("E", ""),
            known("F", "yaml"),
            unknown("G"),
            unknown("H"),
            known("I", "two\nlines"),
            known("J", "last"),
            unknown("L"),
            known("M", "x"),
            known("N", "y"),
            known("O", "z"),
        ];
        assert_eq!(variables(text), expected);
    }

    #[test]
    fn a_quote_that_never_ends_is_no_value() {
        assert_eq!(variables("A='x\nB=1\n"), [("A".to_owned(), None)]);
    }
}
