//! Comments of a file, which the parser of documents leaves out, and what can't be edited in place.

use std::ops::Range;

use serde_yaml::granit_parser::{Event, Marker, Options, Parser, Placement};

use crate::check::document::{Kind, Span, Yaml};

/// A comment in its file.
pub(super) struct Comment {
    /// With its `#`.
    pub(super) at: Range<usize>,
    /// What stands after the `#`.
    pub(super) text: String,
    line: usize,
    column: usize,
    /// Whether it follows something on its line.
    beside: bool,
}

/// What a text has besides values.
pub(super) struct Extras {
    pub(super) comments: Vec<Comment>,
    /// Anchors, aliases or merge keys: one text that stands for several values.
    pub(super) shared: bool,
}

/// Looks through a text that was parsed before.
pub(super) fn extras(text: &str) -> Extras {
    let mut options = Options::default();
    options.set_emit_comments(true);
    let mut extras = Extras { comments: Vec::new(), shared: false };
    let events = Parser::new_from_str_with_options(text, options);
    for (event, span) in events.map_while(Result::ok) {
        match event {
            Event::Comment(inside, placement) => extras.comments.push(Comment {
                at: byte(&span.start)..byte(&span.end),
                text: inside.into_owned(),
                line: span.start.line(),
                column: span.start.col() + 1,
                beside: placement == Placement::Right,
            }),
            Event::Alias(_) => extras.shared = true,
            Event::Scalar(key, _, anchor, _) => extras.shared |= anchor != 0 || key == "<<",
            Event::SequenceStart(_, anchor, _) | Event::MappingStart(_, anchor, _) => {
                extras.shared |= anchor != 0;
            }
            _ => {}
        }
    }
    extras
}

fn byte(marker: &Marker) -> usize {
    marker.byte_offset().unwrap_or_else(|| marker.index())
}

/// The entries of a document: where each begins, and the keys that lead to it.
pub(super) fn entries(root: &Yaml) -> Vec<(Span, Vec<String>)> {
    let mut found = Vec::new();
    collect(root, &mut Vec::new(), &mut found);
    found
}

fn collect(value: &Yaml, keys: &mut Vec<String>, found: &mut Vec<(Span, Vec<String>)>) {
    match &value.kind {
        Kind::Scalar(_) => {}
        Kind::List(items) => {
            for item in items {
                found.push((item.span, keys.clone()));
                collect(item, keys, found);
            }
        }
        Kind::Map(pairs) => {
            for pair in pairs {
                found.push((pair.key_span, keys.clone()));
                keys.push(pair.key.clone());
                collect(&pair.value, keys, found);
                keys.pop();
            }
        }
    }
}

impl Comment {
    /// The keys that lead to where the comment belongs: with what it stands beside or above, else below.
    pub(super) fn keys(&self, entries: &[(Span, Vec<String>)]) -> Vec<String> {
        let line = |span: &Span| span.line as usize;
        let mut same = entries.iter().filter(|(span, _)| line(span) == self.line);
        let column = |span: &Span| span.column as usize;
        let found = match self.beside {
            true => same.next_back(),
            false => {
                let below = entries.iter().find(|(span, _)| line(span) > self.line);
                let mut above = entries.iter().rev().filter(|(span, _)| line(span) < self.line);
                // Deeper than what follows: it closes what stands above.
                let heads = below.filter(|(span, _)| self.column <= column(span));
                heads.or_else(|| above.find(|(span, _)| column(span) == self.column)).or(below)
            }
        };
        found.map(|(_, keys)| keys.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::document::parse_tree;

    #[test]
    fn comments_belong_to_what_they_stand_at() {
        let text = "# one\na:\n  # two\n  b: x # three\n  # four\n# five\nc: |\n  # none\nd:\n  - e # six\n  # seven\n  - f: g\n";
        let entries = entries(&parse_tree("x", text.as_bytes()).unwrap().root);
        let found = extras(text);
        let told: Vec<String> = found
            .comments
            .iter()
            .map(|comment| format!("{}{}", comment.keys(&entries).join("."), comment.text))
            .collect();
        assert_eq!(told, [" one", "a two", "a three", "a four", " five", "d six", "d seven"]);
        assert!(found.comments.iter().all(|comment| text[comment.at.clone()].starts_with("# ")));
        assert!(!found.shared);
    }

    #[test]
    fn anchors_aliases_and_merge_keys_are_noticed() {
        for text in ["a: &x 1\n", "a: &x {b: c}\nd: *x\n", "<<: {a: b}\n", "a: &x [b]\n"] {
            assert!(extras(text).shared, "{text}");
        }
    }
}
