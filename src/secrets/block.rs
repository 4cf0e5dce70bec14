//! The `sops:` block of a file as text: where it stands, and how it is written.

use std::fmt::Write as _;
use std::ops::Range;

use super::error::SecretError;
use super::file::{File, parsed};
use super::leaf::DataKey;
use super::recipient::Recipient;
use super::scalar::{Change, changed, quoted, replaced};
use super::walk::SOPS;
use crate::check::document::{Kind, Yaml};

/// The version of the program whose format is written.
const VERSION: &str = "3.9.0";

/// A fresh block, but for its MAC and time, which are put in last.
pub(super) fn fresh(age: &str, rules: &[(String, String)], only_encrypted: bool) -> String {
    let mut block = format!("{SOPS}:\n{age}    lastmodified: \"\"\n    mac: \"\"\n");
    for (key, text) in rules {
        let _ = writeln!(block, "    {key}: {}", quoted(text));
    }
    if only_encrypted {
        block.push_str("    mac_only_encrypted: true\n");
    }
    let _ = writeln!(block, "    version: {VERSION}");
    block
}

/// The part of a block that says for whom a data key is encrypted.
pub(super) fn age(
    key: &DataKey,
    recipients: &[Recipient],
    indent: usize,
) -> Result<String, String> {
    let space = " ".repeat(indent);
    let mut text = format!("{space}age:\n");
    for recipient in recipients {
        let _ = writeln!(text, "{space}    - recipient: {recipient}");
        let _ = writeln!(text, "{space}      enc: |");
        for line in recipient.seal(key)?.lines() {
            let _ = writeln!(text, "{space}        {line}");
        }
    }
    Ok(text)
}

/// A block with another MAC and time.
pub(super) fn stamped(
    path: &str,
    block: &str,
    mac: String,
    modified: &str,
) -> Result<String, SecretError> {
    let tree = parsed(path, block.as_bytes())?;
    let mut changes = Vec::new();
    for (key, text) in [("mac", mac), ("lastmodified", quoted(modified))] {
        let value = tree.root.get(SOPS).and_then(|it| it.get(key));
        if let Some(Yaml { span, kind: Kind::Scalar(scalar) }) = value {
            changes.extend(replaced(block, *span, scalar, text));
        }
    }
    let text = changed(block, changes).map(|text| text.to_string());
    text.ok_or_else(|| unusual(path))
}

/// A block with other recipients.
pub(super) fn with_recipients(
    path: &str,
    block: &str,
    key: &DataKey,
    recipients: &[Recipient],
) -> Result<String, SecretError> {
    let tree = parsed(path, block.as_bytes())?;
    let pairs = tree.root.get(SOPS).map(Yaml::pairs).unwrap_or_default();
    let at = pairs.iter().position(|pair| pair.key == "age").ok_or_else(|| unusual(path))?;
    let line = |at: usize| line_of(block, pairs.get(at)?.key_span.start as usize);
    let start = line(at).ok_or_else(|| unusual(path))?;
    let end = match pairs.get(at + 1) {
        Some(_) => line(at + 1).ok_or_else(|| unusual(path))?,
        None => block.len(),
    };
    let indent = pairs[at].key_span.start as usize - start;
    let text = age(key, recipients, indent);
    let text = text.map_err(|message| SecretError::Change { path: path.to_owned(), message })?;
    let text = changed(block, vec![Change { at: start..end, text }]).map(|text| text.to_string());
    text.ok_or_else(|| unusual(path))
}

/// The beginning of the line on which only spaces stand before `at`.
fn line_of(text: &str, at: usize) -> Option<usize> {
    let start = text.get(..at)?.rfind('\n').map_or(0, |at| at + 1);
    text[start..at].bytes().all(|byte| byte == b' ').then_some(start)
}

fn unusual(path: &str) -> SecretError {
    let message =
        "the `sops:` block is not laid out line by line: let `sops` write the file once, as with \
                   `sops rotate --in-place`"
            .to_owned();
    SecretError::Change { path: path.to_owned(), message }
}

impl File<'_> {
    /// Where the block stands in the text, in whole lines.
    pub(super) fn block(&self) -> Result<Range<usize>, SecretError> {
        let pairs = self.tree.root.pairs();
        let at = pairs.iter().position(|pair| pair.key == SOPS);
        let begin = |at: usize| {
            let start = pairs.get(at)?.key_span.start as usize;
            line_of(self.text, start).filter(|line| *line == start)
        };
        let start = at.and_then(begin).ok_or_else(|| unusual(self.path()))?;
        let next = at.filter(|at| at + 1 < pairs.len());
        let end = match next {
            Some(at) => begin(at + 1).ok_or_else(|| unusual(self.path()))?,
            None => self.text.len(),
        };
        if self.text[start..end].trim_end().ends_with('}') {
            return Err(unusual(self.path()));
        }
        Ok(start..end)
    }
}
