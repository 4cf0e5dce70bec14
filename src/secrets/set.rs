//! One value put into a plain document, as text: nothing else moves.

use super::error::SecretError;
use super::file::parsed;
use super::plain::Plain;
use super::scalar::{changed, end, is_bare, quoted, replaced, written};
use super::walk::SOPS;
use crate::check::document::{Kind, Yaml};

/// The document with `value` under `keys`, as text; keys that are missing are made.
pub(super) fn set(
    path: &str,
    text: &str,
    keys: &[String],
    value: &str,
) -> Result<String, SecretError> {
    let tree = parsed(path, text.as_bytes())?;
    let refused = |message: String| SecretError::Change { path: path.to_owned(), message };
    if keys.first().is_some_and(|key| key == SOPS) {
        return Err(refused(
            "`sops` is the key of the block that tells how the file is encrypted".into(),
        ));
    }
    let plain = Plain::text(value);
    let setting = Setting { text, plain: &plain };
    let root = if tree.root.is_null() { None } else { Some(&tree.root) };
    let Some(root) = root else {
        let start = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        return Ok(format!("{text}{start}{}", setting.lines(keys, 0)));
    };
    setting.at(root, keys, keys, 0).map_err(refused)
}

struct Setting<'a> {
    text: &'a str,
    plain: &'a Plain,
}

impl Setting<'_> {
    fn at(
        &self,
        map: &Yaml,
        all: &[String],
        keys: &[String],
        depth: usize,
    ) -> Result<String, String> {
        let Some((key, rest)) = keys.split_first() else {
            return Err("a key is missing".to_owned());
        };
        let so_far = all.get(..=depth).unwrap_or_default().join(".");
        let (value, indent) = match &map.kind {
            Kind::Map(pairs) => match pairs.iter().find(|pair| pair.key == *key) {
                Some(pair) => (&pair.value, pair.key_span.column as usize + 1),
                None => return self.insert(map, keys),
            },
            Kind::List(items) => {
                let item = key.parse::<usize>().ok().and_then(|at| items.get(at));
                let item = item.ok_or_else(|| {
                    format!("the list has no item `{so_far}`: use `gitsync secret edit` to add one")
                })?;
                (item, (item.span.column as usize).saturating_sub(1))
            }
            Kind::Scalar(_) => {
                let above = all.get(..depth).unwrap_or_default().join(".");
                return Err(format!("`{above}` is a value and can have no keys below it"));
            }
        };
        match (&value.kind, rest) {
            (Kind::Scalar(scalar), []) => {
                // Whether a block would fit here is seen by the first character of what is around it.
                let indent = (!self.in_brackets(map)).then_some(indent);
                let new = self.value(indent);
                let changes = replaced(self.text, value.span, scalar, new);
                let text = changed(self.text, changes).map(|text| text.to_string());
                text.ok_or_else(|| "its values can't be told apart".to_owned())
            }
            (_, []) => Err(format!(
                "`{so_far}` has keys below it: name one of them, or use `gitsync secret edit`"
            )),
            (_, rest) => self.at(value, all, rest, depth + 1),
        }
    }

    fn value(&self, indent: Option<usize>) -> String {
        let shown = written(self.plain, indent);
        shown.map_or_else(|| quoted(""), |text| text.to_string())
    }

    fn in_brackets(&self, value: &Yaml) -> bool {
        matches!(self.text.as_bytes().get(value.span.start as usize), Some(b'{' | b'['))
    }

    /// Adds keys after the last line of a mapping.
    fn insert(&self, map: &Yaml, keys: &[String]) -> Result<String, String> {
        let pairs = map.pairs();
        let Some(first) = pairs.first().filter(|_| !self.in_brackets(map)) else {
            return Err("the mapping is written in brackets: use `gitsync secret edit`".to_owned());
        };
        let indent = (first.key_span.column as usize).saturating_sub(1);
        let last = last(self.text, map);
        let on_new_line = last > 0 && self.text.as_bytes().get(last - 1) == Some(&b'\n');
        let at = match self.text[last..].find('\n') {
            _ if on_new_line => last,
            Some(line) => last + line + 1,
            None => self.text.len(),
        };
        let (before, after) = self.text.split_at(at);
        let start = if before.ends_with('\n') { "" } else { "\n" };
        Ok(format!("{before}{start}{}{after}", self.lines(keys, indent)))
    }

    fn lines(&self, keys: &[String], indent: usize) -> String {
        let mut text = String::new();
        let mut indent = indent;
        for (at, key) in keys.iter().enumerate() {
            let key = if is_bare(key) { key.clone() } else { quoted(key) };
            text.push_str(&" ".repeat(indent));
            text.push_str(&key);
            if at + 1 == keys.len() {
                text.push_str(&format!(": {}\n", self.value(Some(indent + 2))));
            } else {
                text.push_str(":\n");
                indent += 4;
            }
        }
        text
    }
}

/// Where a value ends.
fn last(text: &str, value: &Yaml) -> usize {
    let brackets = matches!(text.as_bytes().get(value.span.start as usize), Some(b'{' | b'['));
    match &value.kind {
        Kind::Scalar(scalar) => end(text, value.span, scalar),
        Kind::Map(pairs) if !brackets => pairs.last().map_or(0, |pair| last(text, &pair.value)),
        Kind::List(items) if !brackets => items.last().map_or(0, |item| last(text, item)),
        _ => value.span.end as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(dotted: &str) -> Vec<String> {
        dotted.split('.').map(str::to_owned).collect()
    }

    #[track_caller]
    fn becomes(text: &str, key: &str, value: &str, expected: &str) {
        assert_eq!(set("x", text, &keys(key), value).unwrap(), expected, "{text:?}");
    }

    #[test]
    fn a_value_is_set_where_it_is_and_added_where_it_belongs() {
        becomes("", "a", "x", "a: x\n");
        becomes("# only this", "a.b.c", "x", "# only this\na:\n    b:\n        c: x\n");
        becomes("a: 1 # c\nb: 2\n", "a", "5", "a: \"5\" # c\nb: 2\n");
        becomes("a:\n  b: 1\nc: 2", "a.d", "x", "a:\n  b: 1\n  d: x\nc: 2");
        becomes("a:\n  b: 1 # c\n\nc: 2\n", "a.d", "x", "a:\n  b: 1 # c\n  d: x\n\nc: 2\n");
        becomes("a: 1", "b", "x", "a: 1\nb: x\n");
        becomes("a: |\n  one\n\nb: 2\n", "b", "x\ny\n", "a: |\n  one\n\nb: |\n  x\n  y\n");
        becomes(
            "a:\n  c: |\n    one\n\nb: 2\n",
            "a.d",
            "x",
            "a:\n  c: |\n    one\n  d: x\n\nb: 2\n",
        );
        becomes("a:\n- b: 1\n- 2\n", "a.1", "x", "a:\n- b: 1\n- x\n");
        becomes("a:\n- b: 1\n- 2\n", "a.0.c", "x", "a:\n- b: 1\n  c: x\n- 2\n");
        becomes("a: {b: 1}\n", "a.b", "x\ny", "a: {b: \"x\\ny\"}\n");
        becomes("a:\n", "a", "x", "a: x\n");
        becomes("a:\n  - x\n  -\nb: y\n", "a.1", "z", "a:\n  - x\n  - z\nb: y\n");
        becomes("a: [1, 2]\n", "5", "x", "a: [1, 2]\n\"5\": x\n");
    }

    #[test]
    fn what_can_t_be_set_says_why() {
        for (text, key, words) in [
            ("a: 1\n", "a.b", "`a` is a value"),
            ("a:\n  b: 1\n", "a", "has keys below it"),
            ("a: {b: 1}\n", "a.c", "in brackets"),
            ("a: [1]\n", "a.1", "no item `a.1`"),
            ("a: 1\n", "sops.age", "`sops`"),
        ] {
            let error = set("x", text, &keys(key), "v").unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
