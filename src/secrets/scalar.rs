//! Scalars in the text of a file: from where to where they stand, and how a plain value is written.

use std::fmt::Write as _;
use std::ops::Range;

use zeroize::Zeroizing;

use super::plain::{Plain, Type};
use crate::check::document::{Scalar, Span};

/// A part of a text and what comes in its place.
pub(super) struct Change {
    pub(super) at: Range<usize>,
    pub(super) text: String,
}

/// The text with all changes made; none if two of them overlap, as those of an alias and its anchor do.
pub(super) fn changed(text: &str, mut changes: Vec<Change>) -> Option<Zeroizing<String>> {
    changes.sort_by_key(|change| (change.at.start, change.at.end));
    let mut out = Zeroizing::new(String::with_capacity(text.len() * 2));
    let mut at = 0;
    for change in &changes {
        out.push_str(text.get(at..change.at.start)?);
        out.push_str(&change.text);
        at = change.at.end;
    }
    out.push_str(text.get(at..)?);
    Some(out)
}

/// The changes that put `new` in the place of a scalar; a block loses its lines and keeps the comment of its header.
pub(super) fn replaced(text: &str, span: Span, scalar: &Scalar, new: String) -> Vec<Change> {
    let (start, end) = (span.start as usize, span.end as usize);
    let Some((header, lines)) = block(text, start, end, scalar) else {
        if start < end {
            return vec![Change { at: start..end, text: new }];
        }
        // Nothing stands there: its place is that of the sign before it.
        let sign = usize::from(matches!(text.as_bytes().get(start), Some(b':' | b'-')));
        return vec![Change { at: start + sign..start + sign, text: format!(" {new}") }];
    };
    let inside = &text[lines.clone()];
    let blank = inside.lines().rev().take_while(|line| line.trim().is_empty()).count();
    let kept = if text[header.clone()].contains('+') { 0 } else { blank };
    vec![Change { at: header, text: new }, Change { at: lines, text: "\n".repeat(kept) }]
}

/// Where a scalar ends: after its last character, or at the beginning of the line after a block.
pub(super) fn end(text: &str, span: Span, scalar: &Scalar) -> usize {
    let Some((_, lines)) = block(text, span.start as usize, span.end as usize, scalar) else {
        return span.end as usize;
    };
    let inside = &text[lines.clone()];
    lines.start + inside.trim_end().len() + usize::from(inside.ends_with('\n'))
}

/// Where the header (`|-`) and the lines of a block scalar are; none for others.
fn block(
    text: &str,
    start: usize,
    end: usize,
    scalar: &Scalar,
) -> Option<(Range<usize>, Range<usize>)> {
    let quoted = text.get(start..)?.starts_with(['"', '\'']);
    if scalar.plain || start == end || (quoted && is_quoted(text, start, scalar)) {
        return None;
    }
    let before = text.get(..start)?.trim_end();
    let first = before.rfind('\n').map_or(0, |at| at + 1);
    let header = header(&before[first..])?;
    let body = first + text.get(first..)?.find('\n')? + 1;
    let inside = text.get(body..end)?;
    let last = inside.rfind('\n').map_or(0, |at| at + 1);
    let rest = if inside[last..].trim().is_empty() { last } else { inside.len() };
    Some((first + header.start..first + header.end, body..body + rest))
}

/// Whether a quote begins the scalar: a block may begin with one as well.
fn is_quoted(text: &str, start: usize, scalar: &Scalar) -> bool {
    let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let first_of_line = text[line..start].trim().is_empty();
    !(first_of_line && scalar.text.starts_with(['"', '\'']))
}

/// Where the header of a block stands in its line.
fn header(line: &str) -> Option<Range<usize>> {
    let starts = line
        .char_indices()
        .filter(|(at, c)| matches!(c, '|' | '>') && line[..*at].ends_with([' ', '\t', ':', '-']));
    for (at, _) in starts {
        let signs = line[at + 1..].find(|c: char| !matches!(c, '+' | '-' | '0'..='9'));
        let end = signs.map_or(line.len(), |signs| at + 1 + signs);
        let rest = line[end..].trim_start();
        if rest.is_empty() || rest.starts_with('#') {
            return Some(at..end);
        }
    }
    None
}

/// A plain value as it is written in YAML; none for bytes that are no text.
///
/// `indent` is where the lines of a block would begin; without it everything stays on one line.
pub(super) fn written(plain: &Plain, indent: Option<usize>) -> Option<Zeroizing<String>> {
    let text = std::str::from_utf8(&plain.bytes).ok()?;
    let out = match plain.kind {
        Type::Integer | Type::Time => text.to_owned(),
        Type::Bool => text.to_ascii_lowercase(),
        Type::Float => match text {
            "NaN" => ".nan".to_owned(),
            "+Inf" => ".inf".to_owned(),
            "-Inf" => "-.inf".to_owned(),
            whole if !whole.contains('.') => format!("{whole}.0"),
            text => text.to_owned(),
        },
        Type::Text | Type::Bytes | Type::Comment => match indent {
            _ if is_bare(text) => text.to_owned(),
            Some(indent) if fits_block(text) => as_block(text, indent),
            _ => quoted(text),
        },
    };
    Some(Zeroizing::new(out))
}

/// Whether a text needs no quotes.
pub(super) fn is_bare(text: &str) -> bool {
    let usual =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '@' | '+' | '=' | '-');
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/' || c == '_')
        && text.chars().all(usual)
        && !matches!(
            text,
            "yes" | "no" | "on" | "off" | "y" | "n" | "Y" | "N" | "Yes" | "No" | "On" | "Off"
        )
        && Plain::of_scalar(text, true).is_some_and(|plain| plain.kind == Type::Text)
}

fn fits_block(text: &str) -> bool {
    let lines = text.strip_suffix('\n').unwrap_or(text);
    lines.contains('\n')
        && !lines.ends_with('\n')
        && !lines.starts_with([' ', '\n'])
        && !text.chars().any(|c| c != '\n' && needs_escape(c))
}

fn as_block(text: &str, indent: usize) -> String {
    let (sign, lines) = match text.strip_suffix('\n') {
        Some(lines) => ("|", lines),
        None => ("|-", text),
    };
    let mut out = sign.to_owned();
    for line in lines.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.push_str(&" ".repeat(indent));
            out.push_str(line);
        }
    }
    out
}

fn needs_escape(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// A text in double quotes.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        // Writing to a text never fails.
        let _ = match c {
            '"' | '\\' => write!(out, "\\{c}"),
            '\n' => write!(out, "\\n"),
            '\t' => write!(out, "\\t"),
            '\r' => write!(out, "\\r"),
            c if needs_escape(c) => match u32::from(c) {
                code @ ..=0xff => write!(out, "\\x{code:02X}"),
                code => write!(out, "\\u{code:04X}"),
            },
            c => write!(out, "{c}"),
        };
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::check::document::{Yaml, parse_tree};

    fn read(text: &str) -> Yaml {
        parse_tree("x", text.as_bytes()).unwrap().root
    }

    fn value(root: &Yaml, key: &str) -> Option<Plain> {
        let crate::check::document::Kind::Scalar(scalar) = &root.get(key)?.kind else {
            return None;
        };
        Plain::of_scalar(&scalar.text, scalar.plain)
    }

    #[track_caller]
    fn with_a_replaced(text: &str) -> String {
        let root = read(text);
        let pair = root.get("a").unwrap();
        let crate::check::document::Kind::Scalar(scalar) = &pair.kind else { panic!("a scalar") };
        changed(text, replaced(text, pair.span, scalar, "NEW".to_owned())).unwrap().to_string()
    }

    #[test]
    fn scalars_of_every_style_are_replaced_and_what_stands_beside_them_stays() {
        for (text, expected) in [
            ("a: x # c\nb: y\n", "a: NEW # c\nb: y\n"),
            ("a: \"x # y\" # c\nb: y\n", "a: NEW # c\nb: y\n"),
            ("a: 'it''s'\n", "a: NEW\n"),
            ("a: one\n  two\nb: y\n", "a: NEW\nb: y\n"),
            ("a: |-\n  one\n  two\nb: y\n", "a: NEW\nb: y\n"),
            ("a: | # c |\n\n  one\n  two\n\n\n# d\nb: y\n", "a: NEW # c |\n\n\n# d\nb: y\n"),
            ("a: |+\n  one\n\nb: y\n", "a: NEW\nb: y\n"),
            ("a: >2\n    one\n  two\n", "a: NEW\n"),
            ("a: |\n  \"one\"\n  two\nb: y", "a: NEW\nb: y"),
            ("a: |\n  one", "a: NEW\n"),
            ("a:\nb: y\n", "a: NEW\nb: y\n"),
            ("a:\n  x\nb: y\n", "a:\n  NEW\nb: y\n"),
            ("{a: x, b: [y]}", "{a: NEW, b: [y]}"),
        ] {
            assert_eq!(with_a_replaced(text), expected, "{text:?}");
        }
    }

    #[test]
    fn values_are_written_as_people_would() {
        for (text, expected) in [
            ("s3cret", "s3cret"),
            ("p@ss word", "\"p@ss word\""),
            ("5", "\"5\""),
            ("true", "\"true\""),
            ("no", "\"no\""),
            ("2001-01-01", "\"2001-01-01\""),
            ("", "\"\""),
            ("a\nb\n", "|\n  a\n  b"),
            ("a\n\nb", "|-\n  a\n\n  b"),
            ("a\nb\n\n", "\"a\\nb\\n\\n\""),
            ("a\u{0}\u{85}", "\"a\\x00\\x85\""),
        ] {
            assert_eq!(
                written(&Plain::text(text), Some(2)).unwrap().as_str(),
                expected,
                "{text:?}"
            );
        }
        assert_eq!(written(&Plain::new(Type::Text, [0xff]), None), None);
        for (kind, text, expected) in [
            (Type::Float, "5", "5.0"),
            (Type::Float, "+Inf", ".inf"),
            (Type::Bool, "True", "true"),
            (Type::Integer, "-3", "-3"),
        ] {
            assert_eq!(written(&Plain::new(kind, text), None).unwrap().as_str(), expected);
        }
    }

    proptest! {
        #[test]
        fn any_text_reads_back_equal(text in "(\\PC|[\n \t\u{0}-\u{1f}\u{7f}-\u{9f}'\"#:|>-]){0,40}", block: bool) {
            let plain = Plain::text(&text);
            let shown = written(&plain, block.then_some(2)).unwrap();
            let file = format!("a: {}\nb: y\n", shown.as_str());
            let root = read(&file);
            prop_assert_eq!(value(&root, "a"), Some(plain));
            prop_assert_eq!(value(&root, "b"), Some(Plain::text("y")));
            prop_assert_eq!(with_a_replaced(&file), "a: NEW\nb: y\n");
        }

        #[test]
        fn any_number_reads_back_equal(float: f64, integer: i64) {
            let float = Plain::of_scalar(&format!("{float:e}"), true).unwrap();
            for plain in [float, Plain::new(Type::Integer, integer.to_string())] {
                let file = format!("a: {}\n", written(&plain, Some(2)).unwrap().as_str());
                prop_assert_eq!(value(&read(&file), "a"), Some(plain));
            }
        }
    }
}
