//! What nodes, programs and people said, made fit for the lines that it is shown in.
//!
//! A text's first line says what is the matter, further ones what to do. Tables and summaries have place for one
//! line; where there is place for more, the further ones are indented, so that none passes for a line of ours.

/// Text without characters that a terminal or a page might obey.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if obeyed(c) { '\u{fffd}' } else { c }).collect()
}

/// All of a text on one line.
pub fn one_line(text: &str) -> String {
    let words: Vec<String> = pieces(text).map(|line| line.trim().replace('\t', " ")).collect();
    plain(&words.join(" "))
}

/// The first line of a text.
pub fn headline(text: &str) -> String {
    pieces(text).next().map(one_line).unwrap_or_default()
}

/// The lines of a text, all but the first below `indent`.
pub fn hanging(text: &str, indent: &str) -> Vec<String> {
    let lines = pieces(text).map(|line| plain(line.trim_end()));
    lines
        .enumerate()
        .map(|(n, line)| if n == 0 { line } else { format!("{indent}{line}") })
        .collect()
}

fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}');
    text.split(ends).filter(|line| !line.trim().is_empty())
}

/// Control characters, and those that turn the direction of what follows.
fn obeyed(c: char) -> bool {
    let turns = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (c.is_control() && c != '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "the key is another one\r\nIt offers this. Write\n\n  key: \"a\tb\"\n";

    #[test]
    fn every_line_of_a_text_lands_on_one() {
        assert_eq!(one_line(KEY), "the key is another one It offers this. Write key: \"a b\"");
        assert_eq!(one_line("\n \r"), "");
        assert_eq!(one_line("one\u{2028}two"), "one two");
    }

    #[test]
    fn the_first_line_that_says_something_is_the_headline() {
        assert_eq!(headline(KEY), "the key is another one");
        assert_eq!(headline("\n\n  late\nlater"), "late");
        assert_eq!(headline(""), "");
    }

    #[test]
    fn further_lines_hang_below_the_first_and_keep_their_own_indent() {
        let lines = ["the key is another one", "> It offers this. Write", ">   key: \"a\tb\""];
        assert_eq!(hanging(KEY, "> "), lines);
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_let_through() {
        let said = "\u{1b}[2Jgone\u{7}\u{9b}1m\u{202e}back";
        let shown = "\u{fffd}[2Jgone\u{fffd}\u{fffd}1m\u{fffd}back";
        assert_eq!((one_line(said), headline(said)), (shown.to_owned(), shown.to_owned()));
        assert_eq!(hanging(said, "  "), [shown]);
    }
}
