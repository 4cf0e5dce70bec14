//! From a file and a JSON pointer back to the place where it was written.

use std::collections::BTreeMap;

use super::parse::start_of;
use super::tree::{Kind, Pair, Span, Tree, Yaml};
use crate::diagnostic::Place;

/// The trees of all files, asked by JSON pointer (RFC 6901): `/ports/web`, `/expose/0/host`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Places {
    trees: BTreeMap<String, Tree>,
}

/// One segment of a JSON pointer, escaped.
pub fn escape(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

/// The segments of a JSON pointer, unescaped.
pub fn segments(pointer: &str) -> Vec<String> {
    let unescape = |segment: &str| segment.replace("~1", "/").replace("~0", "~");
    pointer.split('/').skip(1).map(unescape).collect()
}

impl Places {
    /// Remembers a tree under its file's name.
    pub fn insert(&mut self, tree: Tree) {
        self.trees.insert(tree.file.clone(), tree);
    }

    /// The tree of a file.
    pub fn tree(&self, file: &str) -> Option<&Tree> {
        self.trees.get(file)
    }

    /// The place of the value at `pointer`; of the nearest written one around it when it was not written.
    pub fn place(&self, file: &str, pointer: &str) -> Place {
        let found = self.trees.get(file).map(|tree| nearest(&tree.root, pointer).span);
        found.map_or_else(|| start_of(file), |span| span.place(file))
    }

    /// The place of the key that `pointer` ends with; of its value when it is no key (an item of a list).
    pub fn key_place(&self, file: &str, pointer: &str) -> Place {
        let key = self.trees.get(file).and_then(|tree| key_span(&tree.root, pointer));
        key.map_or_else(|| self.place(file, pointer), |span| span.place(file))
    }

    /// The place of the value at `pointer`, if exactly that was written.
    pub fn find(&self, file: &str, pointer: &str) -> Option<Place> {
        Some(value_at(&self.trees.get(file)?.root, pointer)?.span.place(file))
    }
}

fn step<'a>(value: &'a Yaml, segment: &str) -> Option<&'a Yaml> {
    match &value.kind {
        Kind::List(items) => items.get(segment.parse::<usize>().ok()?),
        _ => value.get(segment),
    }
}

/// The value at `pointer`, if it was written.
pub fn value_at<'a>(root: &'a Yaml, pointer: &str) -> Option<&'a Yaml> {
    segments(pointer).iter().try_fold(root, |value, segment| step(value, segment))
}

fn nearest<'a>(root: &'a Yaml, pointer: &str) -> &'a Yaml {
    let mut value = root;
    for segment in segments(pointer) {
        match step(value, &segment) {
            Some(inner) => value = inner,
            None => break,
        }
    }
    value
}

fn key_span(root: &Yaml, pointer: &str) -> Option<Span> {
    let (parent, last) = pointer.rsplit_once('/')?;
    let key = segments(&format!("/{last}"));
    let pair: &Pair = value_at(root, parent)?.pair(key.first()?)?;
    Some(pair.key_span)
}

#[cfg(test)]
mod tests {
    use super::super::parse_tree;
    use super::*;

    #[test]
    fn pointers_lead_to_values_and_keys() {
        let text = "ports:\n  web: 80\nexpose:\n  - {host: a}\n'a/b': 1\n";
        let mut places = Places::default();
        places.insert(parse_tree("f", text.as_bytes()).unwrap());
        let at = |place: Place| (place.line, place.column);
        assert_eq!(at(places.place("f", "/ports/web")), (2, 8));
        assert_eq!(at(places.key_place("f", "/ports/web")), (2, 3));
        assert_eq!(at(places.place("f", "/expose/0/host")), (4, 12));
        assert_eq!(at(places.key_place("f", "/expose/0")), (4, 5));
        assert_eq!(at(places.place("f", "/a~1b")), (5, 8));
        assert_eq!(at(places.place("f", "/ports/other")), (2, 3));
        assert_eq!(places.find("f", "/ports/other"), None);
        assert_eq!(at(places.place("unknown", "/x")), (1, 1));
    }
}
