//! Writes diagnostics as GitHub workflow commands, which annotate the lines of a pull request.

use std::fmt::Write as _;

use crate::diagnostic::{Diagnostic, Place, Severity};

/// One `::error …::` or `::warning …::` line per diagnostic.
///
/// `prefix` is the fleet's folder inside the repository, without slashes at its ends and empty when the fleet is
/// the repository: GitHub wants paths from the root. Line ends, `%`, `:` and `,` are escaped as the runner undoes
/// them (github.com/actions/toolkit, `command.ts`), so that no text of the repository can begin a command.
pub fn github(diagnostics: &[Diagnostic], prefix: &str) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let word = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let place = diagnostic.place().map(|place| properties(place, prefix)).unwrap_or_default();
        let title = diagnostic.code.0;
        let _ = writeln!(out, "::{word} {place}title={title}::{}", data(&body(diagnostic)));
    }
    out
}

fn properties(place: &Place, prefix: &str) -> String {
    let file =
        if prefix.is_empty() { place.file.clone() } else { format!("{prefix}/{}", place.file) };
    let (line, column) = (place.line.max(1), place.column.max(1));
    format!("file={},line={line},col={column},", property(&file))
}

/// The message, what is said at each place, and the hints: one line each.
fn body(diagnostic: &Diagnostic) -> String {
    let mut lines = vec![diagnostic.message.clone()];
    for (index, label) in diagnostic.labels.iter().enumerate() {
        let place = &label.place;
        match (index, label.message.as_str()) {
            (_, "") => {}
            (0, said) => lines.push(said.to_owned()),
            (_, said) => {
                lines.push(format!("{}:{}:{}: {said}", place.file, place.line, place.column))
            }
        }
    }
    lines.extend(diagnostic.hints.iter().map(|hint| format!("help: {hint}")));
    lines.join("\n")
}

fn data(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' => out.push_str("%25"),
            '\r' => out.push_str("%0D"),
            '\n' => out.push_str("%0A"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Code;

    fn place(file: &str) -> Place {
        Place { file: file.to_owned(), line: 4, column: 8, start: 0, end: 0 }
    }

    #[test]
    fn a_diagnostic_becomes_one_command() {
        let diagnostic = Diagnostic::warning(Code("GS0901"), "50% done", place("a.yaml"))
            .says("here")
            .also(place("b.yaml"), "and here")
            .hint("look");
        assert_eq!(
            github(&[diagnostic], "fleets/home"),
            "::warning file=fleets/home/a.yaml,line=4,col=8,title=GS0901::\
             50%25 done%0Ahere%0Ab.yaml:4:8: and here%0Ahelp: look\n"
        );
    }

    #[test]
    fn no_text_of_the_repository_begins_a_command() {
        let name = "x,line=9::\n::error::y";
        let text = github(&[Diagnostic::error(Code("GS0001"), name, place(name))], "");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("::error file=x%2Cline=9%3A%3A%0A%3A%3Aerror%3A%3Ay,line=4"));
    }
}
