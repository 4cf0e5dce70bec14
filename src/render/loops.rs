//! Counts the rounds of a template's loops: the engine has no limit of its own.
//!
//! Behind every `for` tag a call is put in that writes nothing and fails after too many rounds.

/// The name of the function that is called in every round.
pub(super) const FUNCTION: &str = "gitsync_round";
/// The most rounds that all loops of one template may make together.
pub(super) const MAX_ROUNDS: u64 = 200_000;

const PLAIN: &str = "{{gitsync_round()|safe}}";
/// Where the tag takes the space behind it away, the call does too.
const TRIMMED: &str = "{{-gitsync_round()|safe-}}";

/// The template with its loops counted.
pub(super) fn counted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = next_opening(rest) {
        let (before, tag) = rest.split_at(at);
        let (tag, after) = tag.split_at(end_of(tag));
        out.push_str(before);
        out.push_str(tag);
        match first_word(tag) {
            // Parts that include each other twice are rounds as well.
            "for" | "include" => out.push_str(if tag.ends_with("-%}") { TRIMMED } else { PLAIN }),
            "raw" => {
                let (raw, behind) = after.split_at(end_of_raw(after));
                out.push_str(raw);
                rest = behind;
                continue;
            }
            _ => {}
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The tags of a template that are neither comments nor raw, with their places.
pub(super) fn tags(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = text.get(at..)?;
            let begin = at + next_opening(rest)?;
            let tag = text.get(begin..)?;
            let tag = tag.get(..end_of(tag))?;
            at = begin + tag.len();
            if first_word(tag) == "raw" {
                at += end_of_raw(text.get(at..)?);
            }
            if !tag.starts_with("{#") {
                return Some((begin, tag));
            }
        }
    })
}

/// How many bytes of a counted template before `offset` are not the author's.
pub(super) fn added_before(counted: &str, offset: usize) -> usize {
    let before = counted.get(..offset).unwrap_or(counted);
    [PLAIN, TRIMMED].iter().map(|call| before.matches(call).count() * call.len()).sum()
}

fn next_opening(text: &str) -> Option<usize> {
    ["{%", "{{", "{#"].iter().filter_map(|opening| text.find(opening)).min()
}

/// The length of the tag that the text begins with; texts in quotes may have its end in them.
fn end_of(tag: &str) -> usize {
    let closing = match tag.get(..2) {
        Some("{#") => return tag.find("#}").map_or(tag.len(), |at| at + 2),
        Some("{%") => "%}",
        _ => "}}",
    };
    let mut quote = None;
    for (at, c) in tag.char_indices().skip(2) {
        match quote {
            Some(open) if open == c => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None if tag.get(at..).is_some_and(|rest| rest.starts_with(closing)) => return at + 2,
            None => {}
        }
    }
    tag.len()
}

fn first_word(tag: &str) -> &str {
    let inner = tag.strip_prefix("{%").unwrap_or_default();
    inner.trim_start_matches('-').split_whitespace().next().unwrap_or_default()
}

/// Up to the tag that ends a raw block; in it, nothing else is a tag.
fn end_of_raw(text: &str) -> usize {
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find("{%")) {
        let tag = text.get(from + at..).unwrap_or_default();
        if first_word(tag).starts_with("endraw") {
            return from + at;
        }
        from += at + 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loops_are_counted() {
        for text in [
            "a {{ for }} {# {% for a in b %} #}",
            "{% if 'for' %}x{% endif %}",
            "{% raw %}{% for a in b %}{% endraw %}",
            "{{ '{% for a in b %}' }}",
            "{% for",
        ] {
            let calls = counted(text).matches(FUNCTION).count();
            assert_eq!(calls, usize::from(text == "{% for"), "{text}");
        }
        let text = "{%- for a in '%}' -%} x{% for b in c %}y";
        let with = counted(text);
        assert_eq!(with, format!("{{%- for a in '%}}' -%}}{TRIMMED} x{{% for b in c %}}{PLAIN}y"));
        assert_eq!(added_before(&with, with.len()), PLAIN.len() + TRIMMED.len());
    }
}
