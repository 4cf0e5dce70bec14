//! Compose's variables in texts: `$NAME`, `${NAME:-default}`, `$$`, as the Compose specification defines them.

use std::collections::BTreeMap;

/// Variables that are set where compose runs, but whose values a repository can't know.
const AT_RUN_TIME: [&str; 2] = ["PATH", "HOME"];
/// Defaults inside defaults.
const MAX_DEPTH: usize = 8;

/// The variables that one compose file sees; a value that isn't known here is none.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables(BTreeMap<String, Option<String>>);

impl Variables {
    /// Those that compose itself is given.
    pub(super) fn given(variables: &BTreeMap<String, Option<String>>) -> Self {
        Self(variables.clone())
    }

    /// With more of a file; what was there before counts.
    #[must_use]
    pub(super) fn or(&self, more: Vec<(String, Option<String>)>) -> Self {
        let mut all: BTreeMap<String, Option<String>> = more.into_iter().collect();
        all.retain(|name, _| !AT_RUN_TIME.contains(&name.as_str()));
        all.extend(self.0.clone());
        Self(all)
    }

    /// Whether a variable has a value, known or not.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

/// What compose makes of a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Interpolated {
    /// The result; none when it depends on something that isn't known here.
    pub text: Option<String>,
    /// Variables without a value or a default.
    pub missing: Vec<String>,
    /// Every variable that the text asks for.
    pub used: Vec<String>,
    /// Whether compose would refuse the text.
    pub malformed: bool,
}

/// Puts the values of variables into a text.
pub(super) fn interpolate(text: &str, variables: &Variables) -> Interpolated {
    let mut state = State { variables, missing: Vec::new(), used: Vec::new(), malformed: false };
    let text = state.expand(text, 0);
    let known = !state.malformed && state.missing.is_empty();
    Interpolated {
        text: text.filter(|_| known),
        missing: state.missing,
        used: state.used,
        malformed: state.malformed,
    }
}

struct State<'a> {
    variables: &'a Variables,
    missing: Vec<String>,
    used: Vec<String>,
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

    fn value(&mut self, name: &str) -> Value {
        self.used.push(name.to_owned());
        match self.variables.0.get(name) {
            Some(Some(text)) => Value::Known(text.clone()),
            Some(None) => Value::AtRunTime,
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
            ("TAG".to_owned(), Some("1.2".to_owned())),
            ("EMPTY".to_owned(), Some(String::new())),
        ]);
        interpolate(text, &Variables::given(&variables))
    }

    #[test]
    fn what_compose_itself_is_given_counts_before_what_a_file_says() {
        let own = Variables::given(&BTreeMap::from([("A".to_owned(), Some("own".to_owned()))]));
        let said = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        let both = own.or(vec![said("A", Some("file")), said("B", Some("b")), said("C", None)]);
        assert_eq!(interpolate("$A-$B", &both).text.as_deref(), Some("own-b"));
        let unknown = interpolate("${C:-x}", &both);
        assert!(unknown.text.is_none() && unknown.missing.is_empty());
        assert!(both.has("C") && !both.has("D"));
        let home = own.or(vec![said("HOME", Some("/root"))]);
        assert_eq!(interpolate("$HOME", &home).text, None);
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
        let home = with("${HOME}/x");
        assert!(home.text.is_none() && home.missing.is_empty() && !home.malformed);
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
