//! The values of a file in the order of the document, each with the keys that lead to it.

use crate::check::document::{Kind, Scalar, Span, Yaml};

/// The key of the block that says how a file is encrypted.
pub(super) const SOPS: &str = "sops";

/// One scalar of a file.
#[derive(Clone, Debug)]
pub(super) struct Leaf<'a> {
    /// The keys on the way; items of a list have those of the list.
    pub(super) keys: Vec<String>,
    /// The way in words: keys and positions, joined by dots.
    pub(super) name: String,
    pub(super) span: Span,
    pub(super) scalar: &'a Scalar,
    /// How deep a block below it would have to stand; nothing inside of brackets.
    pub(super) indent: Option<usize>,
}

impl Leaf<'_> {
    /// What an encrypted value is bound to.
    pub(super) fn context(&self) -> String {
        context(&self.keys)
    }

    /// A ciphertext as it is written here: inside of brackets its own ones must not count.
    pub(super) fn sealed(&self, ciphertext: String) -> String {
        if self.indent.is_some() { ciphertext } else { format!("\"{ciphertext}\"") }
    }

    /// The text as written.
    pub(super) fn text(&self) -> &str {
        &self.scalar.text
    }
}

/// What an encrypted value or comment under these keys is bound to.
pub(super) fn context(keys: &[String]) -> String {
    format!("{}:", keys.join(":"))
}

/// Every scalar in order, without those of the `sops:` block.
pub(super) fn leaves<'a>(root: &'a Yaml, text: &str) -> Vec<Leaf<'a>> {
    let mut walk = Walk { text, found: Vec::new(), keys: Vec::new(), way: Vec::new() };
    let brackets = walk.brackets(root);
    for pair in root.pairs().iter().filter(|pair| pair.key != SOPS) {
        walk.pair(&pair.key, pair.key_span, &pair.value, brackets);
    }
    walk.found
}

struct Walk<'a, 't> {
    text: &'t str,
    found: Vec<Leaf<'a>>,
    keys: Vec<String>,
    way: Vec<String>,
}

impl<'a> Walk<'a, '_> {
    fn brackets(&self, value: &Yaml) -> bool {
        let first = self.text.as_bytes().get(value.span.start as usize);
        !matches!(value.kind, Kind::Scalar(_)) && matches!(first, Some(b'{' | b'['))
    }

    fn pair(&mut self, key: &str, at: Span, value: &'a Yaml, brackets: bool) {
        self.keys.push(key.to_owned());
        self.way.push(key.to_owned());
        self.value(value, (at.column as usize).saturating_sub(1) + 2, brackets);
        self.keys.pop();
        self.way.pop();
    }

    fn value(&mut self, value: &'a Yaml, indent: usize, brackets: bool) {
        let brackets = brackets || self.brackets(value);
        match &value.kind {
            Kind::Scalar(scalar) => self.found.push(Leaf {
                keys: self.keys.clone(),
                name: self.way.join("."),
                span: value.span,
                scalar,
                indent: (!brackets).then_some(indent),
            }),
            Kind::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.way.push(at.to_string());
                    let column = (item.span.column as usize).saturating_sub(1);
                    self.value(item, column, brackets);
                    self.way.pop();
                }
            }
            Kind::Map(pairs) => {
                for pair in pairs {
                    self.pair(&pair.key, pair.key_span, &pair.value, brackets);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::document::parse_tree;

    #[test]
    fn items_of_a_list_are_bound_to_the_list_and_the_block_is_left_out() {
        let text = "a:\n  - x\n  - b: y\n    c: [z]\nsops:\n  mac: m\n";
        let tree = parse_tree("x", text.as_bytes()).unwrap();
        let found = leaves(&tree.root, text);
        let told: Vec<(&str, String, Option<usize>)> =
            found.iter().map(|leaf| (leaf.name.as_str(), leaf.context(), leaf.indent)).collect();
        assert_eq!(
            told,
            [
                ("a.0", "a:".to_owned(), Some(4)),
                ("a.1.b", "a:b:".to_owned(), Some(6)),
                ("a.1.c.0", "a:c:".to_owned(), None),
            ]
        );
    }
}
