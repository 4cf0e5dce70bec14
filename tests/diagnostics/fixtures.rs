//! Each folder of `fixtures/` is a broken repository and, in `expected`, what must be found in it and where.

use std::borrow::Cow;
use std::fs;
use std::time::{Duration, Instant};

use gitsync::diagnostic::Diagnostic;
use gitsync::model::Snapshot;
use gitsync::report::diagnostics::{summary, text};

use crate::support::{fixture, here, listed, name, problems, short};

fn drawn(snapshot: &Snapshot, diagnostics: &[Diagnostic]) -> String {
    let sources = |path: &str| {
        let content = snapshot.content(path)?;
        std::str::from_utf8(content).ok().map(Cow::Borrowed)
    };
    let files = snapshot.entries.len();
    format!("{}\n{}\n", text(diagnostics, &sources, false), summary(diagnostics, files))
}

/// With `UPDATE_EXPECTED=1` the findings are written down instead, to be read before they are committed.
#[test]
fn each_broken_repository_is_told_with_code_file_line_and_column() {
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let mut wrong = Vec::new();
    for directory in listed(&here("fixtures")) {
        let found: Vec<String> = problems(&fixture(&directory)).iter().map(short).collect();
        let found = found.join("\n") + "\n";
        let path = directory.join("expected");
        if update {
            fs::write(&path, &found).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if found != expected {
            wrong.push(format!("{}:\nfound\n{found}expected\n{expected}", name(&directory)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_fixture_holds_the_code_that_it_is_named_after() {
    for directory in listed(&here("fixtures")) {
        let name = name(&directory);
        let expected = fs::read_to_string(directory.join("expected")).unwrap();
        let code = name.split('-').next().unwrap();
        if code.starts_with("GS") {
            assert!(expected.lines().any(|line| line.starts_with(code)), "{name}: {expected}");
        } else {
            let mut files: Vec<&str> =
                expected.lines().filter_map(|line| line.split([' ', ':']).nth(1)).collect();
            files.dedup();
            assert!(files.len() >= 3, "{name} should be about several files: {expected}");
        }
    }
}

#[test]
fn there_are_thirty_broken_repositories_and_more() {
    assert!(listed(&here("fixtures")).len() >= 30);
}

#[test]
fn problems_are_drawn_as_people_read_them() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for directory in listed(&here("fixtures")) {
            let snapshot = fixture(&directory);
            let diagnostics = problems(&snapshot);
            insta::assert_snapshot!(name(&directory), drawn(&snapshot, &diagnostics));
        }
    });
}

/// A debug build on a busy machine gets ten times what a release build may take.
#[test]
fn hostile_files_are_refused_fast() {
    for slug in ["GS0006-alias-bomb", "GS0006-deep-nesting", "GS0002-too-large", "GS0001-not-utf8"]
    {
        let snapshot = fixture(&here("fixtures").join(slug));
        let start = Instant::now();
        let found = problems(&snapshot);
        assert!(start.elapsed() < Duration::from_secs(10), "{slug}: {:?}", start.elapsed());
        assert!(found.iter().any(|it| slug.starts_with(it.code.0)), "{slug}");
    }
}
