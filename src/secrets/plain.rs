//! A plain value: what it is, its bytes as the MAC has them, and how YAML means it.

use zeroize::Zeroizing;

use super::timestamp;

/// What a value is, as the format has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Type {
    Text,
    Integer,
    Float,
    Bool,
    Bytes,
    Time,
    Comment,
}

impl Type {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Text, "str"),
        (Self::Integer, "int"),
        (Self::Float, "float"),
        (Self::Bool, "bool"),
        (Self::Bytes, "bytes"),
        (Self::Time, "time"),
        (Self::Comment, "comment"),
    ];

    /// The word for it in a file.
    pub(super) fn word(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("str", |(_, word)| word)
    }

    /// What a file's word means.
    pub(super) fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(kind, _)| *kind)
    }
}

/// A plain value. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Plain {
    pub(super) kind: Type,
    /// As they are encrypted, and as they enter the MAC.
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plain({}, …)", self.kind.word())
    }
}

impl Plain {
    pub(super) fn new(kind: Type, bytes: impl Into<Vec<u8>>) -> Self {
        Self { kind, bytes: Zeroizing::new(bytes.into()) }
    }

    pub(super) fn text(text: &str) -> Self {
        Self::new(Type::Text, text)
    }

    /// What was decrypted, if it is what it says to be; numbers and booleans as the MAC has them.
    pub(super) fn decrypted(kind: Type, bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        let text = || std::str::from_utf8(&bytes).ok();
        let canonical = match kind {
            Type::Text | Type::Bytes | Type::Comment => return Some(Self { kind, bytes }),
            Type::Time => return text().map(|_| Self { kind, bytes: bytes.clone() }),
            Type::Integer => text()?.parse::<i64>().ok()?.to_string(),
            Type::Float => float(text()?.parse().ok()?),
            Type::Bool => boolean(text()?)?.to_owned(),
        };
        Some(Self::new(kind, canonical))
    }

    /// What people and programs get: `true` where the format has `True`.
    pub(super) fn shown(&self) -> Zeroizing<Vec<u8>> {
        match self.kind {
            Type::Bool => Zeroizing::new(self.bytes.to_ascii_lowercase()),
            _ => self.bytes.clone(),
        }
    }

    /// What a scalar of a YAML file means to the program that the format comes from; nothing for null.
    pub(super) fn of_scalar(text: &str, plain: bool) -> Option<Self> {
        if !plain {
            return Some(Self::text(text));
        }
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return None,
            "true" | "True" | "TRUE" => return Some(Self::new(Type::Bool, "True")),
            "false" | "False" | "FALSE" => return Some(Self::new(Type::Bool, "False")),
            _ => {}
        }
        let number = || number(text).or_else(|| special(text));
        let time = timestamp::canonical(text).map(|time| Self::new(Type::Time, time));
        Some(time.or_else(number).unwrap_or_else(|| Self::text(text)))
    }
}

fn boolean(text: &str) -> Option<&'static str> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some("True"),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some("False"),
        _ => None,
    }
}

/// The shortest decimal that reads back equal, without an exponent.
fn float(number: f64) -> String {
    match number {
        _ if number.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        _ => number.to_string(),
    }
}

fn special(text: &str) -> Option<Plain> {
    let number = match text {
        ".nan" | ".NaN" | ".NAN" => f64::NAN,
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => f64::INFINITY,
        "-.inf" | "-.Inf" | "-.INF" => f64::NEG_INFINITY,
        _ => return None,
    };
    Some(Plain::new(Type::Float, float(number)))
}

/// Integers with a base and `_` as Go reads them (`0644` is octal), then decimal floats.
fn number(text: &str) -> Option<Plain> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    let digits = if text.starts_with('.') { text.to_owned() } else { text.replace('_', "") };
    if let Some(integer) = integer(&digits) {
        return Some(Plain::new(Type::Integer, integer.to_string()));
    }
    if !is_float(&digits) {
        return None;
    }
    digits.parse().ok().map(|number| Plain::new(Type::Float, float(number)))
}

fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &digits[2..]),
        [b'0', b'o', ..] => (8, &digits[2..]),
        [b'0', b'b', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}

/// Whether it looks like a decimal float: Rust alone would also read `inf`.
fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent)),
        None => (text, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent = exponent.is_none_or(|text| {
        let text = text.strip_prefix(['+', '-']).unwrap_or(text);
        !text.is_empty() && all_digits(text)
    });
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    exponent && !(whole.is_empty() && part.is_empty()) && all_digits(whole) && all_digits(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn means(text: &str, kind: Type, bytes: &str) {
        let found = Plain::of_scalar(text, true).unwrap();
        assert_eq!((found.kind, &found.bytes[..]), (kind, bytes.as_bytes()), "{text}");
    }

    #[test]
    fn plain_scalars_mean_what_they_mean_to_the_program_that_writes_such_files() {
        for (text, kind, bytes) in [
            ("yes", Type::Text, "yes"),
            ("8080", Type::Integer, "8080"),
            ("+5", Type::Integer, "5"),
            ("0644", Type::Integer, "420"),
            ("0x1F", Type::Integer, "31"),
            ("-0b11", Type::Integer, "-3"),
            ("1_000", Type::Integer, "1000"),
            ("089", Type::Float, "89"),
            ("1.50", Type::Float, "1.5"),
            (".5", Type::Float, "0.5"),
            ("1e21", Type::Float, "1000000000000000000000"),
            ("-.inf", Type::Float, "-Inf"),
            ("1.2.3", Type::Text, "1.2.3"),
            ("-", Type::Text, "-"),
            ("0x", Type::Text, "0x"),
            ("e5", Type::Text, "e5"),
            ("TRUE", Type::Bool, "True"),
            ("2001-12-14", Type::Time, "2001-12-14T00:00:00Z"),
        ] {
            means(text, kind, bytes);
        }
        for text in ["", "~", "null"] {
            assert_eq!(Plain::of_scalar(text, true), None);
        }
        assert_eq!(Plain::of_scalar("8080", false), Some(Plain::text("8080")));
    }

    #[test]
    fn what_was_decrypted_must_be_what_it_says_to_be() {
        let read = |kind, text: &str| Plain::decrypted(kind, Zeroizing::new(text.into()));
        assert_eq!(read(Type::Bool, "true"), read(Type::Bool, "True"));
        assert_eq!(read(Type::Bool, "yes"), None);
        assert_eq!(read(Type::Integer, "1.5"), None);
        assert_eq!(read(Type::Float, "x"), None);
        assert_eq!(&read(Type::Float, "1e3").unwrap().bytes[..], b"1000");
        assert_eq!(&read(Type::Bool, "True").unwrap().shown()[..], b"true");
    }
}
