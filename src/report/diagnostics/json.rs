//! Writes diagnostics as JSON for editors and other programs.

use serde::Serialize;

use crate::diagnostic::{Diagnostic, Label, Place, Severity};

/// The version of the format; raised when a field changes its meaning or goes away.
pub const VERSION: u32 = 1;

#[derive(Serialize)]
struct Record<'a> {
    version: u32,
    code: &'a str,
    severity: Severity,
    message: &'a str,
    #[serde(flatten)]
    place: Option<&'a Place>,
    label: &'a str,
    related: &'a [Label],
    hints: &'a [String],
}

/// A JSON array with one object per diagnostic, ending in a line end.
///
/// Each object carries the format's `version`, the first label's `file`, `line`, `column` (both from 1, columns in
/// characters) and byte range `start`..`end`, what is said there as `label`, further labels as `related`, and `hints`.
pub fn json(diagnostics: &[Diagnostic]) -> String {
    let records: Vec<Record<'_>> = diagnostics.iter().map(record).collect();
    let mut text = serde_json::to_string_pretty(&records).unwrap_or_else(|_| "[]".to_owned());
    text.push('\n');
    text
}

fn record(diagnostic: &Diagnostic) -> Record<'_> {
    let (label, related) = match diagnostic.labels.split_first() {
        Some((first, rest)) => (first.message.as_str(), rest),
        None => ("", [].as_slice()),
    };
    Record {
        version: VERSION,
        code: diagnostic.code.0,
        severity: diagnostic.severity,
        message: &diagnostic.message,
        place: diagnostic.place(),
        label,
        related,
        hints: &diagnostic.hints,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Code;

    #[test]
    fn a_record_reads_back_with_its_place_and_what_it_conflicts_with() {
        let place = |line| Place { file: "a.yaml".to_owned(), line, column: 3, start: 7, end: 9 };
        let diagnostic = Diagnostic::error(Code("GS0301"), "two \"ports\"", place(2))
            .says("here")
            .also(place(5), "and here")
            .hint("change one");
        let read: serde_json::Value = serde_json::from_str(&json(&[diagnostic])).unwrap();
        let expected = serde_json::json!([{
            "version": 1, "code": "GS0301", "severity": "error", "message": "two \"ports\"",
            "file": "a.yaml", "line": 2, "column": 3, "start": 7, "end": 9, "label": "here",
            "related": [{
                "place": { "file": "a.yaml", "line": 5, "column": 3, "start": 7, "end": 9 },
                "message": "and here",
            }],
            "hints": ["change one"],
        }]);
        assert_eq!(read, expected);
        assert_eq!(json(&[]), "[]\n");
    }
}
