//! What changes in a unit's files, with diffs where both texts are known and may be shown.

use std::collections::BTreeMap;

use similar::TextDiff;

use crate::model::{AbsPath, Artifact, Content, FileChange, FileChangeKind, Unit};

/// Texts larger than this are not compared: 256 KiB.
const MAX_DIFF_BYTES: usize = 256 * 1024;

/// Every file that differs between the two, sorted by destination.
///
/// `replaced` says that there is an old version even when it can't be read: its files then count as changed.
pub fn changes(
    replaced: bool,
    old: Option<&Unit>,
    new: Option<&Unit>,
    contents: &BTreeMap<String, Vec<u8>>,
) -> Vec<FileChange> {
    let unread = old.is_none();
    let mut pairs: BTreeMap<&AbsPath, (Option<&Artifact>, Option<&Artifact>)> = BTreeMap::new();
    for file in old.iter().flat_map(|unit| &unit.artifacts) {
        pairs.entry(&file.destination).or_default().0 = Some(file);
    }
    for file in new.iter().flat_map(|unit| &unit.artifacts) {
        pairs.entry(&file.destination).or_default().1 = Some(file);
    }
    let changed = pairs.into_iter().filter_map(|(path, (old, new))| {
        let kind = match kind(old, new)? {
            FileChangeKind::Added if replaced && unread => FileChangeKind::Changed,
            kind => kind,
        };
        let sensitive = old.into_iter().chain(new).any(|file| file.sensitive);
        let told = !sensitive && kind != FileChangeKind::Mode && !(replaced && unread);
        let diff = told.then(|| diff_of(old, new, contents)).flatten();
        Some(FileChange { destination: path.as_str().to_owned(), kind, diff, sensitive })
    });
    changed.collect()
}

/// What differs between two versions of a file; none when nothing does.
pub fn kind(old: Option<&Artifact>, new: Option<&Artifact>) -> Option<FileChangeKind> {
    match (old, new) {
        (None, None) => None,
        (None, Some(_)) => Some(FileChangeKind::Added),
        (Some(_), None) => Some(FileChangeKind::Removed),
        (Some(old), Some(new)) if old.blob() != new.blob() => Some(FileChangeKind::Changed),
        (Some(old), Some(new)) if old.mode != new.mode || old.owner != new.owner => {
            Some(FileChangeKind::Mode)
        }
        (Some(_), Some(_)) => None,
    }
}

fn diff_of(
    old: Option<&Artifact>,
    new: Option<&Artifact>,
    contents: &BTreeMap<String, Vec<u8>>,
) -> Option<String> {
    diff_text(
        old.map_or(Some(""), |f| text(f, contents))?,
        new.map_or(Some(""), |f| text(f, contents))?,
    )
}

fn text<'a>(file: &'a Artifact, contents: &'a BTreeMap<String, Vec<u8>>) -> Option<&'a str> {
    let bytes = match &file.content {
        Content::Bytes(bytes) => bytes,
        Content::OnNode(blob) => contents.get(blob)?,
        Content::Sealed(_) => return None,
    };
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// The unified diff of two texts with three lines around each change, without header lines.
///
/// None when they are equal or too large to compare (256 KiB each).
pub fn diff_text(old: &str, new: &str) -> Option<String> {
    if old == new || old.len().max(new.len()) > MAX_DIFF_BYTES {
        return None;
    }
    Some(TextDiff::from_lines(old, new).unified_diff().context_radius(3).to_string())
}
