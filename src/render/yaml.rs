//! Writes plain trees as YAML that every reader takes for the same values.

use std::fmt::Write as _;

use serde_json::Value;

/// Words that some reader of YAML takes for something else than text.
const RESERVED: [&str; 12] =
    ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "none", "nan", "inf"];

/// The tree as a YAML document: block style, keys in their order, no anchors.
pub(super) fn document(value: &Value) -> String {
    let mut text = String::new();
    node(&mut text, value, 0);
    text
}

fn node(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, item) in map {
                let _ = write!(text, "{:1$}{2}:", "", depth * 2, scalar(key));
                child(text, item, depth);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let _ = write!(text, "{:1$}- ", "", depth * 2);
                let mut inner = String::new();
                node(&mut inner, item, depth + 1);
                // The dash takes the place of the first line's indentation.
                text.push_str(inner.trim_start_matches(' '));
            }
        }
        other => {
            let _ = writeln!(text, "{:1$}{2}", "", depth * 2, flat(other));
        }
    }
}

fn child(text: &mut String, value: &Value, depth: usize) {
    let nested = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if nested {
        text.push('\n');
        node(text, value, depth + 1);
    } else {
        let _ = writeln!(text, " {}", flat(value));
    }
}

fn flat(value: &Value) -> String {
    match value {
        Value::String(content) => scalar(content),
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        other => other.to_string(),
    }
}

/// A text as a scalar: plain when no reader could take it for anything else, double-quoted otherwise.
pub(super) fn scalar(text: &str) -> String {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '/');
    let inner = |c: char| c.is_ascii_alphanumeric() || "_./@:-".contains(c);
    let reserved = RESERVED.iter().any(|word| text.eq_ignore_ascii_case(word));
    if first && text.chars().all(inner) && !text.ends_with(':') && !reserved {
        return text.to_owned();
    }
    quoted(text)
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if escaped(c) => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Control characters, line separators, byte-order marks and noncharacters: not printable in YAML.
fn escaped(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_reads_back_as_a_value_and_as_a_key(key in "\\PC{1,20}", value in ".*") {
            let mut map = serde_json::Map::new();
            map.insert(key.clone(), Value::String(value.clone()));
            let text = document(&Value::Object(map));
            let back: std::collections::BTreeMap<String, String> =
                serde_yaml::from_str(&text).unwrap();
            prop_assert_eq!(back.get(&key), Some(&value));
        }
    }

    #[test]
    fn words_that_readers_mistake_are_quoted() {
        for word in ["no", "Yes", "ON", "null", "", "1", "1.5", "0x1", "~", "a: b", "#", "x:", "e$"]
        {
            assert!(scalar(word).starts_with('"'), "{word}");
        }
        for word in ["web", "organizr/organizr:2.1.2320", "/opt/stacks", "json-file"] {
            assert_eq!(scalar(word), word);
        }
    }
}
