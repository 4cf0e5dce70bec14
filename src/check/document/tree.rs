//! A YAML file as its author wrote it: every key and value with its place, scalars as raw text.

use crate::diagnostic::Place;

/// Where something stands in its file; lines and columns from 1, bytes from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First line.
    pub line: u32,
    /// First column, in characters.
    pub column: u32,
    /// First byte.
    pub start: u32,
    /// One after the last byte.
    pub end: u32,
}

impl Span {
    /// The span as a place in `file`.
    pub fn place(self, file: &str) -> Place {
        Place {
            file: file.to_owned(),
            line: self.line as usize,
            column: self.column as usize,
            start: self.start as usize,
            end: self.end as usize,
        }
    }
}

/// A parsed file.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// Its path in the repository.
    pub file: String,
    /// Its one document; an empty file is an empty plain scalar.
    pub root: Yaml,
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Yaml {
    /// Where it stands; an alias stands where it is used, what is inside where it is defined.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// One text.
    Scalar(Scalar),
    /// Values in order.
    List(Vec<Yaml>),
    /// Pairs in order; no key occurs twice, merge keys are expanded.
    Map(Vec<Pair>),
}

/// A text as written, after unquoting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar {
    /// The text; `1.10`, `0644` and `no` are still what they look like.
    pub text: String,
    /// Whether it stands unquoted and untagged, so that it may mean a number, a boolean or nothing.
    pub plain: bool,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Yaml,
}

/// What a scalar means by the core schema of YAML 1.2.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// `null`, `~` or nothing at all.
    Null,
    /// `true` or `false` and their capitalised forms; never `yes`, `no`, `on` or `off`.
    Bool(bool),
    /// A decimal, `0x` or `0o` number.
    Integer(i64),
    /// A number with a point or an exponent.
    Float(f64),
    /// Anything else.
    Text,
}

impl Scalar {
    /// What the scalar means; a quoted one is always text.
    pub fn meaning(&self) -> Meaning {
        if !self.plain {
            return Meaning::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Meaning::Null,
            "true" | "True" | "TRUE" => Meaning::Bool(true),
            "false" | "False" | "FALSE" => Meaning::Bool(false),
            text => number(text),
        }
    }
}

/// A number by the core schema: a leading zero does not make it octal, so such a text stays text.
fn number(text: &str) -> Meaning {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.starts_with("0o") || digits.starts_with("0x") {
        let radix = if digits.starts_with("0o") { 8 } else { 16 };
        let parsed = i64::from_str_radix(digits.get(2..).unwrap_or_default(), radix);
        return parsed.map_or(Meaning::Text, Meaning::Integer);
    }
    let leading_zero = digits.len() > 1 && digits.starts_with('0');
    let plain_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if plain_digits && !leading_zero {
        return text.parse().map_or(Meaning::Text, Meaning::Integer);
    }
    let numeric = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+');
    let begins = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if plain_digits || !begins || !digits.bytes().all(numeric) {
        return Meaning::Text;
    }
    text.parse().map_or(Meaning::Text, Meaning::Float)
}

impl Yaml {
    /// The value of `key`, when this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Yaml> {
        self.pair(key).map(|pair| &pair.value)
    }

    /// The pair of `key`, when this is a mapping that has it.
    pub fn pair(&self, key: &str) -> Option<&Pair> {
        self.pairs().iter().find(|pair| pair.key == key)
    }

    /// The pairs, none when this is not a mapping.
    pub fn pairs(&self) -> &[Pair] {
        match &self.kind {
            Kind::Map(pairs) => pairs,
            _ => &[],
        }
    }

    /// The items, none when this is not a list.
    pub fn items(&self) -> &[Yaml] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    /// The raw text, when this is a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// Whether this is an empty or `null` scalar.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.meaning() == Meaning::Null)
    }
}

impl Tree {
    /// The place of a value of this tree.
    pub fn place(&self, span: Span) -> Place {
        span.place(&self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Meaning {
        Scalar { text: text.to_owned(), plain: true }.meaning()
    }

    #[test]
    fn only_the_core_schema_gives_meaning() {
        for text in
            ["no", "yes", "on", "off", "0644", "1:30", "1_000", "v1", "-", "1.2.3", "..", "0x"]
        {
            assert_eq!(plain(text), Meaning::Text, "{text}");
        }
        assert_eq!(plain("8080"), Meaning::Integer(8080));
        assert_eq!(plain("-1"), Meaning::Integer(-1));
        assert_eq!(plain("0x1f"), Meaning::Integer(31));
        assert_eq!(plain("1.10"), Meaning::Float(1.10));
        assert_eq!(plain("true"), Meaning::Bool(true));
        assert_eq!(plain(""), Meaning::Null);
    }

    #[test]
    fn quoted_scalars_are_text() {
        let quoted = Scalar { text: "true".to_owned(), plain: false };
        assert_eq!(quoted.meaning(), Meaning::Text);
    }
}
