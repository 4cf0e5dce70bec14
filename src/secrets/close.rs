//! A plain document closed: every value that the rule names is encrypted in its place; what is as before keeps its
//! ciphertext.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::comments::{Comment, entries, extras};
use super::error::SecretError;
use super::file::{File, Value, mac, parsed};
use super::leaf::{self, DataKey};
use super::plain::{Plain, Type};
use super::rule::Rule;
use super::scalar::{Change, changed, replaced};
use super::walk::{Leaf, SOPS, context, leaves};
use crate::check::document::{Kind, Yaml};

/// How a document is closed.
pub(super) struct Closing<'a> {
    pub(super) key: &'a DataKey,
    pub(super) rule: &'a Rule,
    pub(super) only_encrypted: bool,
}

/// A closed document, still without its `sops:` block.
pub(super) struct Closed {
    pub(super) body: String,
    pub(super) mac: Zeroizing<String>,
}

/// Ciphertexts of what a file held before: by context, whether it is a comment, and plain bytes.
#[derive(Default)]
pub(super) struct Kept {
    values: BTreeMap<(String, Type, Zeroed), Vec<String>>,
    comments: BTreeMap<Zeroed, Vec<String>>,
}

/// Bytes in an order, gone with their owner.
#[derive(PartialEq, Eq)]
struct Zeroed(Zeroizing<Vec<u8>>);

impl PartialOrd for Zeroed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Zeroed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_slice().cmp(other.0.as_slice())
    }
}

impl Kept {
    /// What a file holds now.
    pub(super) fn of(values: &[Value<'_>]) -> Self {
        let mut kept = Self::default();
        for Value { leaf, plain, .. } in values.iter().filter(|value| value.encrypted).rev() {
            if let Some(plain) = plain.as_ref().filter(|plain| !plain.bytes.is_empty()) {
                let texts = kept.values.entry(name(&leaf.context(), plain)).or_default();
                texts.push(leaf.text().to_owned());
            }
        }
        kept
    }

    /// Remembers a comment: as it stands in the file, and in plain.
    pub(super) fn comment(&mut self, plain: Zeroizing<Vec<u8>>, written: &str) {
        self.comments.entry(Zeroed(plain)).or_default().insert(0, written.to_owned());
    }
}

fn name(context: &str, plain: &Plain) -> (String, Type, Zeroed) {
    // An editor shows bytes as text, so they come back as text.
    let kind = if plain.kind == Type::Bytes { Type::Text } else { plain.kind };
    (context.to_owned(), kind, Zeroed(plain.bytes.clone()))
}

/// One of the texts, each once, and the last of them for everything beyond.
fn take(texts: &mut Vec<String>) -> Option<String> {
    if texts.len() > 1 { texts.pop() } else { texts.first().cloned() }
}

impl Closing<'_> {
    /// Closes a plain document.
    pub(super) fn close(
        &self,
        path: &str,
        text: &str,
        mut kept: Kept,
    ) -> Result<Closed, SecretError> {
        let tree = parsed(path, text.as_bytes())?;
        let refused = |message: &str| {
            Err(SecretError::Change { path: path.to_owned(), message: message.to_owned() })
        };
        let extras = extras(text);
        if extras.shared {
            return refused("anchors, aliases and `<<` can't be encrypted: write the values out");
        }
        if tree.root.get(SOPS).is_some() {
            return refused("`sops` is the key of the block that tells how the file is encrypted");
        }
        if let Some(key) = odd_key(&tree.root, text) {
            return refused(&format!("the key `{key}` would not be text: put it in quotes"));
        }
        let mut changes = Vec::new();
        let mut values = Vec::new();
        for leaf in leaves(&tree.root, text) {
            let plain = Plain::of_scalar(leaf.text(), leaf.scalar.plain);
            let encrypted = self.rule.encrypts(&leaf.keys, false);
            if let Some(plain) = plain.as_ref().filter(|it| encrypted && !it.bytes.is_empty()) {
                let context = leaf.context();
                let before = kept.values.get_mut(&name(&context, plain)).and_then(take);
                let sealed = before.unwrap_or_else(|| leaf::close(self.key, &context, plain));
                changes.extend(replaced(text, leaf.span, leaf.scalar, leaf.sealed(sealed)));
            }
            values.push(Value { leaf, encrypted, plain });
        }
        let entries = entries(&tree.root);
        let comments = extras.comments.iter();
        changes.extend(comments.filter_map(|it| self.comment(it, &it.keys(&entries), &mut kept)));
        let Some(body) = changed(text, changes) else {
            return refused("its values can't be told apart: write each on a line of its own");
        };
        let mac = mac(&values, self.only_encrypted);
        Ok(Closed { body: body.to_string(), mac })
    }

    fn comment(&self, comment: &Comment, keys: &[String], kept: &mut Kept) -> Option<Change> {
        let plain = Zeroizing::new(comment.text.clone().into_bytes());
        let at = comment.at.clone();
        let change = |text: &str| Some(Change { at: at.clone(), text: format!("#{text}") });
        if let Some(before) = kept.comments.get_mut(&Zeroed(plain.clone())).and_then(take) {
            return change(&before);
        }
        if !self.rule.encrypts(keys, false) || comment.text.trim().is_empty() {
            return None;
        }
        let plain = Plain { kind: Type::Comment, bytes: plain };
        change(&leaf::close(self.key, &context(keys), &plain))
    }
}

/// A key that is no text to other programs, such as `5:`.
fn odd_key(value: &Yaml, text: &str) -> Option<String> {
    match &value.kind {
        Kind::Scalar(_) => None,
        Kind::List(items) => items.iter().find_map(|item| odd_key(item, text)),
        Kind::Map(pairs) => pairs.iter().find_map(|pair| {
            let written = text.get(pair.key_span.start as usize..).unwrap_or_default();
            let bare = !written.starts_with(['"', '\'']);
            let odd = bare
                && Plain::of_scalar(&pair.key, true).is_none_or(|plain| plain.kind != Type::Text);
            if odd { Some(pair.key.clone()) } else { odd_key(&pair.value, text) }
        }),
    }
}

impl File<'_> {
    /// The plain document, without its `sops:` block, and what is kept of the file when it is closed again.
    pub(super) fn plain_text(
        &self,
        key: &DataKey,
    ) -> Result<(Zeroizing<String>, Kept), SecretError> {
        let values = self.values(key)?;
        let mut kept = Kept::of(&values);
        let mut changes = Vec::new();
        for Value { leaf, encrypted, plain } in &values {
            let Some(plain) = plain.as_ref().filter(|it| *encrypted && !it.bytes.is_empty()) else {
                continue;
            };
            if plain.kind == Type::Comment {
                let (change, plain) = self.comment_of_item(leaf, plain)?;
                changes.push(change);
                kept.comment(plain, leaf.text());
                continue;
            }
            let Some(shown) = super::scalar::written(plain, leaf.indent) else {
                let what = format!("`{}` holds bytes that are no text", leaf.name);
                let message = format!("{what}: the file can be used and rekeyed, but not edited");
                return Err(SecretError::Change { path: self.path().to_owned(), message });
            };
            changes.extend(replaced(self.text, leaf.span, leaf.scalar, shown.to_string()));
        }
        let block = self.block()?;
        let entries = entries(&self.tree.root);
        for comment in &extras(self.text).comments {
            if block.contains(&comment.at.start) {
                continue;
            }
            match self.open_comment(key, comment, &entries) {
                Some(plain) => {
                    let shown = String::from_utf8_lossy(&plain).replace(['\n', '\r'], " ");
                    changes.push(Change { at: comment.at.clone(), text: format!("#{shown}") });
                    kept.comment(Zeroizing::new(shown.into_bytes()), &comment.text);
                }
                None => kept.comment(Zeroizing::new(comment.text.clone().into()), &comment.text),
            }
        }
        changes.push(Change { at: block, text: String::new() });
        let shared = || SecretError::Change {
            path: self.path().to_owned(),
            message: "anchors and aliases can't be edited here: write the values out with `sops`"
                .to_owned(),
        };
        Ok((changed(self.text, changes).ok_or_else(shared)?, kept))
    }

    /// The change that makes a comment of an item of a list, as `sops` has them, and what the comment says.
    fn comment_of_item(
        &self,
        leaf: &Leaf<'_>,
        plain: &Plain,
    ) -> Result<(Change, Zeroizing<Vec<u8>>), SecretError> {
        let before = self.text.get(..leaf.span.start as usize).unwrap_or_default().trim_end();
        let shown = String::from_utf8_lossy(&plain.bytes).replace(['\n', '\r'], " ");
        match before.strip_suffix('-') {
            Some(start) => {
                let at = start.len()..leaf.span.end as usize;
                Ok((Change { at, text: format!("#{shown}") }, Zeroizing::new(shown.into())))
            }
            None => Err(SecretError::Change {
                path: self.path().to_owned(),
                message: format!(
                    "`{}` is a comment in brackets: edit the file with `sops`",
                    leaf.name
                ),
            }),
        }
    }

    /// An encrypted comment in plain. Programs differ in what it is bound to, so every place is tried, the likely first.
    fn open_comment(
        &self,
        key: &DataKey,
        comment: &Comment,
        entries: &[(crate::check::document::Span, Vec<String>)],
    ) -> Option<Zeroizing<Vec<u8>>> {
        let text = comment.text.trim_end();
        if !leaf::is_encrypted(text) {
            return None;
        }
        let likely = std::iter::once(comment.keys(entries));
        let mut others: Vec<Vec<String>> = entries.iter().map(|(_, keys)| keys.clone()).collect();
        others.sort();
        others.dedup();
        let mut places = likely.chain(others);
        let opened = places.find_map(|keys| leaf::open(key, &context(&keys), text).ok());
        opened.map(|plain| plain.bytes)
    }

    /// The changes that encrypt every encrypted comment with another key.
    pub(super) fn comments_resealed(&self, key: &DataKey, new: &DataKey) -> Vec<Change> {
        let entries = entries(&self.tree.root);
        let comments = extras(self.text).comments.into_iter();
        let resealed = comments.filter_map(|comment| {
            let bytes = self.open_comment(key, &comment, &entries)?;
            let plain = Plain { kind: Type::Comment, bytes };
            let sealed = leaf::close(new, &context(&comment.keys(&entries)), &plain);
            Some(Change { at: comment.at, text: format!("#{sealed}") })
        });
        resealed.collect()
    }
}
