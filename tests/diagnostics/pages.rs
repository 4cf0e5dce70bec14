//! The examples on the pages: the bad ones give the code of their page, the good ones nothing at all.

use std::fs;

use gitsync::model::Snapshot;

use crate::support::{file, listed, name, problems, root, short, skeleton};

/// The files of the code blocks below a heading: each block's first line names its file.
fn example(page: &str, heading: &str) -> Option<Snapshot> {
    let section = page.split("\n## ").find(|section| section.starts_with(heading))?;
    let mut snapshot = skeleton();
    let mut any = false;
    for block in section.split("\n```").skip(1).step_by(2) {
        let (_language, content) = block.split_once('\n').unwrap();
        let (first, rest) = content.split_once('\n').unwrap_or((content, ""));
        let path = first.trim_start_matches(['#', '/', ' ']);
        assert!(!path.is_empty() && !path.contains(' '), "no file is named: {first}");
        snapshot.entries.insert(path.to_owned(), file(format!("{rest}\n").into_bytes()));
        any = true;
    }
    any.then_some(snapshot)
}

fn pages() -> Vec<(String, String)> {
    let files = listed(&root().join("docs/diagnostics")).into_iter();
    let pages = files.map(|path| {
        let code = name(&path).trim_end_matches(".md").to_owned();
        (code, fs::read_to_string(path).unwrap())
    });
    pages.filter(|(code, _)| code != "README").collect()
}

#[test]
fn bad_examples_give_the_code_of_their_page() {
    let mut seen = 0;
    for (code, page) in pages() {
        let Some(snapshot) = example(&page, "Not like this") else { continue };
        let found: Vec<String> = problems(&snapshot).iter().map(short).collect();
        assert!(found.iter().any(|found| found.starts_with(&code)), "{code}: {found:?}");
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn good_examples_check_clean() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for (code, page) in pages() {
        let Some(snapshot) = example(&page, "But like this") else { continue };
        let found = problems(&snapshot);
        let found = found.iter().map(|it| format!("{} {}", short(it), it.message));
        let found: Vec<String> = found.collect();
        if !found.is_empty() {
            wrong.push(format!("{code}: {found:#?}"));
        }
        seen += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 50, "{seen}");
}

#[test]
fn every_page_says_what_is_wrong_and_what_is_right() {
    for (code, page) in pages() {
        for heading in ["\n## Not like this\n", "\n## But like this\n"] {
            assert!(page.contains(heading), "{code}{heading}");
        }
    }
}
