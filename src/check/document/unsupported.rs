//! What the formats promise and this version does not do yet: found and told, never ignored.

use serde_json::Value;

use super::DocKind;
use super::places::{escape, segments};

/// Something that is not done yet, and where.
pub struct Unsupported {
    /// Where, as a JSON pointer.
    pub pointer: String,
    /// Whether the key is meant, or its value.
    pub key: bool,
    /// What it is, as in "not supported yet: …".
    pub what: String,
}

/// Keys by kind and path; `*` stands for any one segment.
const KEYS: &[(DocKind, &str, &str)] = &[
    (DocKind::Service, "/schedule", "`schedule`, services that run at times"),
    (DocKind::Service, "/hooks", "`hooks`, commands around a change"),
    (DocKind::Gateway, "/tunnel", "`tunnel`, a way in from a provider"),
];

/// Values by kind, path and text.
const VALUES: &[(DocKind, &str, &str, &str)] = &[
    (DocKind::Service, "/update", "blue_green", "`update: blue_green`"),
    (DocKind::Gateway, "/proxy", "traefik", "`proxy: traefik`"),
];

/// Everything in a document that is not done yet.
pub fn find(kind: DocKind, json: &Value) -> Vec<Unsupported> {
    let mut found = Vec::new();
    walk(kind, &mut String::new(), json, &mut found);
    found
}

fn walk(kind: DocKind, pointer: &mut String, value: &Value, found: &mut Vec<Unsupported>) {
    if let Some(unsupported) = look(kind, pointer, value) {
        found.push(unsupported);
        return;
    }
    let length = pointer.len();
    let mut inner = |segment: &str, value: &Value, found: &mut Vec<Unsupported>| {
        pointer.push('/');
        pointer.push_str(segment);
        walk(kind, pointer, value, found);
        pointer.truncate(length);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| inner(&escape(key), value, found)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| inner(&at.to_string(), item, found));
        }
        _ => {}
    }
}

fn look(kind: DocKind, pointer: &str, value: &Value) -> Option<Unsupported> {
    let tell = |key: bool, what: &str| {
        Some(Unsupported { pointer: pointer.to_owned(), key, what: what.to_owned() })
    };
    let text = value.as_str();
    let path = common(pointer);
    if text.is_some_and(|text| text.starts_with("secret:")) && !takes_secrets(kind, &path) {
        return tell(
            false,
            "`secret:` here; it is for `env`, `secret_files`, and `files` of bundles",
        );
    }
    if let Some((_, _, what)) = KEYS.iter().find(|(of, at, _)| *of == kind && *at == path) {
        return tell(true, what);
    }
    let known =
        VALUES.iter().find(|(of, at, word, _)| *of == kind && *at == path && text == Some(*word));
    if let Some((_, _, _, what)) = known {
        return tell(false, what);
    }
    if kind == DocKind::Gateway && path == "/tls" && value.get("dns").is_some() {
        return tell(false, "`tls: dns`, certificates by a DNS provider");
    }
    other_access(kind, &path, value).and_then(|what| tell(false, &what))
}

/// Where a reference to a secret may stand.
fn takes_secrets(kind: DocKind, path: &str) -> bool {
    match kind {
        DocKind::Service => path.starts_with("/env/") || path.starts_with("/secret_files/"),
        DocKind::Bundle => path.starts_with("/files/"),
        _ => false,
    }
}

/// An `access` that is neither one of the two words nor close to one.
fn other_access(kind: DocKind, path: &str, value: &Value) -> Option<String> {
    if kind != DocKind::Service || !(path.starts_with("/expose/") && path.ends_with("/access")) {
        return None;
    }
    let close =
        |text: &str| ["public", "mesh"].iter().any(|word| strsim::jaro_winkler(word, text) > 0.8);
    let what = match value {
        Value::String(text) if close(text) => return None,
        Value::String(text) => format!("`access: {text}`; it is `public` or `mesh`"),
        Value::Object(_) => "an `access` other than `public` and `mesh`".to_owned(),
        _ => return None,
    };
    Some(what)
}

/// The pointer without the blocks for an environment or a node around it.
fn common(pointer: &str) -> String {
    let all = segments(pointer);
    let mut parts: &[String] = &all;
    while let [block, _, rest @ ..] = parts {
        if (block == "environments" || block == "nodes") && !rest.is_empty() {
            parts = rest;
        } else {
            break;
        }
    }
    parts.iter().map(|part| format!("/{}", escape(part))).collect()
}
