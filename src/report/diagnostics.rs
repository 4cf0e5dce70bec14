//! Writes diagnostics for people (as rustc draws them), for programs (JSON) and for GitHub's log.

mod github;
mod json;
mod text;

pub use github::github;
pub use json::{VERSION, json};
pub use text::{Sources, text};

use crate::diagnostic::{Diagnostic, Severity};

/// The closing line, `3 errors, 1 warning in 12 files`, without a line end.
///
/// `files` is how many files of the repository were read, not how many have problems.
pub fn summary(diagnostics: &[Diagnostic], files: usize) -> String {
    let of = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    let errors = Some(of(Severity::Error)).filter(|&n| n > 0).map(|n| counted(n, "error"));
    let warnings = Some(of(Severity::Warning)).filter(|&n| n > 0).map(|n| counted(n, "warning"));
    let found: Vec<String> = errors.into_iter().chain(warnings).collect();
    let found = if found.is_empty() { "no problems".to_owned() } else { found.join(", ") };
    format!("{found} in {}", counted(files, "file"))
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Code, Place};

    #[test]
    fn the_summary_counts_in_words() {
        let error = Diagnostic::error(Code("GS0001"), "a", Place::default());
        let warning = Diagnostic::warning(Code("GS0901"), "b", Place::default());
        assert_eq!(summary(&[], 1), "no problems in 1 file");
        assert_eq!(summary(std::slice::from_ref(&error), 2), "1 error in 2 files");
        assert_eq!(summary(std::slice::from_ref(&warning), 2), "1 warning in 2 files");
        let all = [error.clone(), error, warning];
        assert_eq!(summary(&all, 12), "2 errors, 1 warning in 12 files");
    }
}
