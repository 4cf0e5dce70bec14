//! `secrets/*.yaml`: encrypted files, of which only names and ciphertexts are read.

use std::collections::BTreeMap;

use super::load::Loaded;
use super::parse::{parse_tree, start_of};
use super::tree::{Kind, Span, Tree, Yaml};
use super::{codes, files};
use crate::diagnostic::Diagnostic;
use crate::model::{Name, SecretFile, Snapshot};

/// What an encrypted value begins with.
const SEALED: &str = "ENC[";
/// The key of the block that says how a file is encrypted.
const METADATA: &str = "sops";
/// Keys of that block, and of `.sops.yaml`, that say by a rule of the author's which values are encrypted.
pub const SECRET_RULES: [&str; 6] = [
    "unencrypted_suffix",
    "encrypted_suffix",
    "unencrypted_regex",
    "encrypted_regex",
    "unencrypted_comment_regex",
    "encrypted_comment_regex",
];
/// What the name of a value ends with that stays plain when there is no rule.
pub const PLAIN_SUFFIX: &str = "_unencrypted";
const HOW: &str = "encrypt it: `gitsync secret edit`, or `sops --encrypt --in-place`";

impl Loaded {
    /// Reads an encrypted file; `stem` is its name without the ending.
    pub(super) fn secret_file(&mut self, snapshot: &Snapshot, stem: &str, file: &str) {
        let Ok(name) = Name::new(stem) else {
            let message =
                format!("`{}` is not a DNS label, so it can't be a name", stem.escape_debug());
            let problem = Diagnostic::error(codes::BAD_NAME, message, start_of(file));
            self.diagnostics.push(problem);
            return;
        };
        let content = match files::read(snapshot, file) {
            Ok((content, _)) => content,
            Err(reason) => return self.diagnostics.extend(reason.diagnostic(file)),
        };
        let tree = match parse_tree(file, content) {
            Ok(tree) => tree,
            // What can't be read may well be plain.
            Err(problems) => {
                let hidden = problems.into_iter().map(Diagnostic::without_excerpt);
                return self.diagnostics.extend(hidden);
            }
        };
        self.diagnostics.extend(problems(&tree));
        let values = leaves(&tree).into_iter().filter(|(_, leaf)| leaf.text.starts_with(SEALED));
        let values = values.map(|(key, leaf)| (key, leaf.text.to_owned())).collect();
        self.secrets.insert(name, SecretFile { text: content.to_vec(), values });
    }
}

/// One value of a file.
struct Leaf<'a> {
    text: &'a str,
    span: Span,
}

/// Every text of a file outside of its metadata, by its path.
fn leaves(tree: &Tree) -> BTreeMap<String, Leaf<'_>> {
    let mut found = BTreeMap::new();
    for pair in tree.root.pairs().iter().filter(|pair| pair.key != METADATA) {
        walk(&pair.key, &pair.value, pair.key_span, &mut found);
    }
    found
}

fn walk<'a>(path: &str, value: &'a Yaml, span: Span, found: &mut BTreeMap<String, Leaf<'a>>) {
    match &value.kind {
        Kind::Scalar(_) if value.is_null() => {}
        Kind::Scalar(scalar) => {
            found.insert(path.to_owned(), Leaf { text: &scalar.text, span });
        }
        Kind::List(items) => {
            for (at, item) in items.iter().enumerate() {
                walk(&format!("{path}.{at}"), item, item.span, found);
            }
        }
        Kind::Map(pairs) => {
            for pair in pairs {
                walk(&format!("{path}.{}", pair.key), &pair.value, pair.key_span, found);
            }
        }
    }
}

fn problems(tree: &Tree) -> Vec<Diagnostic> {
    let Some(metadata) = tree.root.get(METADATA) else {
        let message = "this file is not encrypted";
        let problem = Diagnostic::error(codes::PLAIN_SECRET, message, start_of(&tree.file));
        return vec![problem.without_excerpt().hint(HOW)];
    };
    let mut found = Vec::new();
    let groups = metadata.get("key_groups").map(Yaml::items).unwrap_or_default();
    let mut lists = groups.iter().chain([metadata]).filter_map(|keys| keys.get("age"));
    if lists.all(|keys| keys.items().is_empty()) {
        let place = tree.root.pair(METADATA).map(|pair| tree.place(pair.key_span));
        let message = "this file has no age recipient, and gitsync opens no other kind";
        let place = place.unwrap_or_else(|| start_of(&tree.file));
        let problem = Diagnostic::error(codes::NO_AGE_RECIPIENT, message, place);
        found.push(problem.hint("add one: `sops --rotate --in-place --add-age age1…`"));
    }
    if SECRET_RULES.iter().any(|rule| metadata.get(rule).is_some_and(|it| !it.is_null())) {
        return found;
    }
    let plain = leaves(tree).into_iter().filter(|(path, leaf)| {
        let sealed = leaf.text.is_empty() || leaf.text.starts_with(SEALED);
        !sealed && !path.split('.').any(|part| part.ends_with(PLAIN_SUFFIX))
    });
    found.extend(plain.map(|(path, leaf)| {
        let message = format!("`{path}` is not encrypted");
        let problem = Diagnostic::error(codes::PLAIN_SECRET, message, tree.place(leaf.span));
        problem.without_excerpt().hint(HOW)
    }));
    found
}
