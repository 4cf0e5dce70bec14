//! Diagnostics as they are drawn.

use super::*;
use crate::diagnostic::{Code, Place};

const SERVICE: &str = "image: a:1\nports: { web: \"8080:80\" }\nplacement: { on: [vps1] }\n";

fn files(file: &str) -> Option<Cow<'static, str>> {
    match file {
        "services/a.yaml" | "services/b.yaml" => Some(Cow::Borrowed(SERVICE)),
        "services/ü.yaml" => {
            Some(Cow::Borrowed("größe: \"ß\u{1b}[31m\" # x\nb: |\n  eins\n  zwei\n"))
        }
        "empty.yaml" => Some(Cow::Borrowed("")),
        _ => None,
    }
}

/// The place of `needle` in a file.
fn at(file: &str, needle: &str) -> Place {
    let source = files(file).unwrap();
    let start = source.find(needle).unwrap();
    let before = &source[..start];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
    Place { file: file.to_owned(), line, column, start, end: start + needle.len() }
}

fn drawn(diagnostics: &[Diagnostic]) -> String {
    text(diagnostics, &files, false)
}

#[test]
fn two_files_are_drawn_with_carets_on_both_values() {
    let diagnostic =
        Diagnostic::error(Code("GS0301"), "port taken", at("services/a.yaml", "\"8080:80\""))
            .says("8080/tcp here")
            .also(at("services/b.yaml", "\"8080:80\""), "and here")
            .hint("give one another port");
    insta::assert_snapshot!(drawn(&[diagnostic]), @r#"
    error[GS0301]: port taken
     --> services/a.yaml:2:15
      |
    2 | ports: { web: "8080:80" }
      |               ^^^^^^^^^ 8080/tcp here
      |
     ::: services/b.yaml:2:15
      |
    2 | ports: { web: "8080:80" }
      |               --------- and here
      |
      = help: give one another port
    "#);
}

#[test]
fn columns_count_characters_and_control_characters_are_not_passed_on() {
    let mark = Diagnostic::warning(
        Code("GS0901"),
        "odd \u{1b}[0m",
        at("services/ü.yaml", "\"ß\u{1b}[31m\""),
    )
    .hint("not \u{1b}[1m");
    let out = drawn(&[mark]);
    assert!(out.contains("services/ü.yaml:1:8"), "{out}");
    assert!(!out.contains('\u{1b}'), "{out:?}");
}

#[test]
fn a_value_over_several_lines_is_marked_on_its_first() {
    let block = at("services/ü.yaml", "|\n  eins\n  zwei");
    let out = drawn(&[Diagnostic::error(Code("GS0101"), "a block", block)]);
    assert!(out.contains("2 | b: |\n  |    ^"), "{out}");
    assert!(!out.contains("eins"), "{out}");
}

#[test]
fn places_without_text_are_told_bare() {
    let far =
        Place { file: "services/a.yaml".to_owned(), line: 9, column: 9, start: 900, end: 999 };
    let gone = Place { file: "gone.bin".to_owned(), line: 1, column: 1, start: 0, end: 0 };
    let empty = Place { file: "empty.yaml".to_owned(), ..gone.clone() };
    let out = drawn(&[
        Diagnostic::error(Code("GS0002"), "not UTF-8", gone.clone()).says("byte 7"),
        Diagnostic::error(Code("GS0003"), "past the end", far).also(gone, "another"),
        Diagnostic::error(Code("GS0004"), "nothing there", empty),
    ]);
    assert!(out.contains("--> gone.bin:1:1"), "{out}");
    assert!(out.contains("byte 7"), "{out}");
    assert!(out.contains("services/a.yaml:"), "{out}");
    assert!(out.contains("--> empty.yaml:1:1"), "{out}");
    assert_eq!(out.matches("\n\n").count(), 2, "{out}");
}

#[test]
fn colours_are_written_only_when_asked_for() {
    let diagnostic = [Diagnostic::error(Code("GS0301"), "x", at("services/a.yaml", "web"))];
    assert!(text(&diagnostic, &files, true).contains('\u{1b}'));
    assert!(!text(&diagnostic, &files, false).contains('\u{1b}'));
}
