//! Compose's own tags of files that are merged over others: `!reset` and `!override`.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// What a tag says about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// What lower files say goes; so does the value beside the tag.
    Reset,
    /// The value stands in the place of what lower files say.
    Override,
}

const TAGS: [(&[u8], Tag); 2] = [(b"!reset", Tag::Reset), (b"!override", Tag::Override)];

/// The file with blanks for the tags, so that every place stays where it is; and the tags, by their lines from 1.
///
/// A tag counts right after a key, which is where compose allows it to stand; the same word in a text stays.
pub(super) fn untagged(bytes: &[u8]) -> (Cow<'_, [u8]>, BTreeMap<u32, Tag>) {
    let mut found = BTreeMap::new();
    let mut text = Cow::Borrowed(bytes);
    let mut start = 0;
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if let Some((at, word, tag)) = tag_of(line) {
            let blank = start + at..start + at + word.len();
            if let Some(place) = text.to_mut().get_mut(blank) {
                place.fill(b' ');
            }
            found.insert(u32::try_from(number + 1).unwrap_or(u32::MAX), tag);
        }
        start += line.len() + 1;
    }
    (text, found)
}

/// `key: !tag value`: where the tag begins, and what it is.
fn tag_of(line: &[u8]) -> Option<(usize, &'static [u8], Tag)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let key = line.get(..colon)?.trim_ascii_start();
    let quoted =
        key.starts_with(b"#") || key.iter().any(|byte| matches!(byte, b'"' | b'\'' | b'{'));
    let after = line.get(colon + 1..)?;
    let blanks = after.iter().take_while(|byte| **byte == b' ').count();
    let value = after.get(blanks..)?;
    let (word, tag) = TAGS.into_iter().find(|(word, _)| value.starts_with(word))?;
    let ends = value.get(word.len()).is_none_or(u8::is_ascii_whitespace);
    (!quoted && blanks > 0 && ends).then_some((colon + 1 + blanks, word, tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_after_keys_become_blanks_of_their_length() {
        let text = b"a: !reset null\nb: !override\n  - x\nc: \"!reset\"\n# d: !reset\ne: !resetting\nf: go !reset";
        let (bytes, tags) = untagged(text);
        assert_eq!(
            bytes.as_ref(),
            b"a:        null\nb:          \n  - x\nc: \"!reset\"\n# d: !reset\ne: !resetting\nf: go !reset"
        );
        assert_eq!(tags, BTreeMap::from([(1, Tag::Reset), (2, Tag::Override)]));
        assert!(matches!(untagged(b"a: b").0, Cow::Borrowed(_)));
    }
}
