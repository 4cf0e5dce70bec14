//! The codes of problems that show only when artifacts are written.

use crate::diagnostic::{Code, Diagnostic, Place};

/// A template can't be read, or fails while it is filled in.
pub const TEMPLATE: Code = Code("GS0601");
/// A file that a unit delivers is not in the snapshot.
pub const MISSING_FILE: Code = Code("GS0602");
/// A file would land outside of its unit's directory.
pub const OUTSIDE: Code = Code("GS0603");
/// A value has no form in the format that it lands in.
pub const UNWRITABLE: Code = Code("GS0604");
/// Two files of one unit have one destination.
pub const TWICE: Code = Code("GS0605");

/// A problem that is known by its file only.
pub(super) fn in_file(code: Code, message: impl Into<String>, file: &str) -> Diagnostic {
    Diagnostic::error(
        code,
        message,
        Place { file: file.to_owned(), line: 1, column: 1, ..Place::default() },
    )
}
