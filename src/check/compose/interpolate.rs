//! Compose's variables in texts: `$NAME`, `${NAME:-default}`, `$$`, as the Compose specification defines them.

use std::collections::BTreeMap;

/// Variables that are set where compose runs, but whose values a repository can't know.
const AT_RUN_TIME: [&str; 2] = ["PATH", "HOME"];
/// Defaults inside defaults.
const MAX_DEPTH: usize = 8;

/// What compose makes of a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Interpolated {
    /// The result; none when it depends on something that isn't known here.
    pub text: Option<String>,
    /// Variables without a value or a default.
    pub missing: Vec<String>,
    /// Whether compose would refuse the text.
    pub malformed: bool,
}

/// Puts the values of variables into a text.
pub(super) fn interpolate(text: &str, variables: &BTreeMap<String, String>) -> Interpolated {
    let mut state = State { variables, missing: Vec::new(), malformed: false };
    let text = state.expand(text, 0);
    let known = !state.malformed && state.missing.is_empty();
    Interpolated {
        text: text.filter(|_| known),
        missing: state.missing,
        malformed: state.malformed,
    }
}

struct State<'a> {
    variables: &'a BTreeMap<String, String>,
    missing: Vec<String>,
    malformed: bool,
}

enum Value {
    Known(String),
    AtRunTime,
    Missing,
}

impl State<'_> {
    fn expand(&mut self, text: &str, depth: usize) -> Option<String> {
        let mut out = Some(String::new());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            append(&mut out, Some(before.to_owned()));
            rest = self.variable(after, depth, &mut out)?;
        }
        append(&mut out, Some(rest.to_owned()));
        out
    }

    /// What comes after a `$`; gives back what comes after the variable, nothing when it is malformed.
    fn variable<'t>(
        &mut self,
        after: &'t str,
        depth: usize,
        out: &mut Option<String>,
    ) -> Option<&'t str> {
        if let Some(rest) = after.strip_prefix('$') {
            append(out, Some("$".to_owned()));
            return Some(rest);
        }
        if let Some(inner) = after.strip_prefix('{') {
            let Some(end) = closing(inner).filter(|_| depth < MAX_DEPTH) else {
                self.malformed = true;
                return None;
            };
            let (inside, rest) = inner.split_at(end);
            append(out, self.braced(inside, depth));
            return rest.strip_prefix('}');
        }
        let (name, rest) = name(after);
        if name.is_empty() {
            self.malformed = true;
            return None;
        }
        let value = self.plain(name);
        append(out, value);
        Some(rest)
    }

    fn braced(&mut self, inside: &str, depth: usize) -> Option<String> {
        let (name, rest) = name(inside);
        if name.is_empty() {
            self.malformed = true;
            return None;
        }
        if rest.is_empty() {
            return self.plain(name);
        }
        let (if_empty, operator) = match rest.strip_prefix(':') {
            Some(operator) => (true, operator),
            None => (false, rest),
        };
        let value = match self.value(name) {
            Value::Known(text) if if_empty && text.is_empty() => Value::Missing,
            other => other,
        };
        let mut operator_and_word = operator.chars();
        let kind = operator_and_word.next();
        let word = operator_and_word.as_str();
        match (kind, value) {
            (Some('-' | '?'), Value::Known(text)) => Some(text),
            (Some('-'), Value::Missing) | (Some('+'), Value::Known(_)) => {
                self.expand(word, depth + 1)
            }
            (Some('+'), Value::Missing) => Some(String::new()),
            (Some('-' | '?' | '+'), Value::AtRunTime) => None,
            (Some('?'), Value::Missing) => {
                self.missing.push(name.to_owned());
                None
            }
            _ => {
                self.malformed = true;
                None
            }
        }
    }

    fn plain(&mut self, name: &str) -> Option<String> {
        match self.value(name) {
            Value::Known(text) => Some(text),
            Value::AtRunTime => None,
            Value::Missing => {
                self.missing.push(name.to_owned());
                None
            }
        }
    }

    fn value(&self, name: &str) -> Value {
        match self.variables.get(name) {
            Some(text) => Value::Known(text.clone()),
            None if AT_RUN_TIME.contains(&name) => Value::AtRunTime,
            None => Value::Missing,
        }
    }
}

fn append(out: &mut Option<String>, more: Option<String>) {
    match (out.as_mut(), more) {
        (Some(text), Some(more)) => text.push_str(&more),
        _ => *out = None,
    }
}

fn name(text: &str) -> (&str, &str) {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = text.find(|c| !inner(c)).unwrap_or(text.len());
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    text.split_at(if begins { end } else { 0 })
}

/// Where the brace closes that is open before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1usize;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '{' if before == '$' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
        before = c;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Interpolated {
        let variables = BTreeMap::from([
            ("TAG".to_owned(), "1.2".to_owned()),
            ("EMPTY".to_owned(), String::new()),
        ]);
        interpolate(text, &variables)
    }

    #[test]
    fn variables_defaults_and_escapes_come_out_as_compose_makes_them() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a:$TAG", "a:1.2"),
            ("a:${TAG}-b", "a:1.2-b"),
            ("${NONE:-x}", "x"),
            ("${NONE-x}", "x"),
            ("${EMPTY-x}", ""),
            ("${EMPTY:-x}", "x"),
            ("${NONE:-${TAG}}", "1.2"),
            ("${NONE:-a}b}", "ab}"),
            ("${TAG:+set}", "set"),
            ("${NONE:+set}", ""),
            ("pa$$word", "pa$word"),
            ("${TAG:?needed}", "1.2"),
        ] {
            assert_eq!(with(text).text.as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_has_no_value_is_named_each_time() {
        assert_eq!(with("$A/${B}/${TAG}").missing, ["A", "B"]);
        assert_eq!(with("${A:?tell me}").missing, ["A"]);
        assert_eq!(with("${HOME}/x"), Interpolated::default());
        assert_eq!(with("${X:-${Y}}").missing, ["Y"]);
    }

    #[test]
    fn what_compose_refuses_is_malformed() {
        for text in ["$", "a$ b", "${", "${}", "${A", "${1}", "$1", "${A!b}"] {
            assert!(with(text).malformed, "{text}");
        }
        assert!(with(&"${A:-".repeat(100_000)).malformed);
        let deep = format!("{}x{}", "${A:-".repeat(20), "}".repeat(20));
        assert!(with(&deep).malformed);
    }
}
