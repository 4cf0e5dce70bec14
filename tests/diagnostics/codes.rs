//! Every code has a page, an entry in the index and a fixture, and there are no others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::support::{here, listed, name, root};

/// The codes that the sources define, with their files; a code is defined once.
fn defined() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    collect(&root().join("src"), &mut found);
    found
}

fn collect(directory: &Path, found: &mut BTreeMap<String, String>) {
    for path in listed(directory) {
        if path.is_dir() {
            collect(&path, found);
        } else if name(&path) == "codes.rs" {
            for line in fs::read_to_string(&path).unwrap().lines() {
                let Some((_, code)) = line.split_once("= Code(\"") else { continue };
                let code = code.split('"').next().unwrap().to_owned();
                let file = path.strip_prefix(root()).unwrap().display().to_string();
                let before = found.insert(code.clone(), file.clone());
                assert_eq!(before, None, "{code} is defined again in {file}");
            }
        }
    }
}

fn pages() -> BTreeSet<String> {
    let files = listed(&root().join("docs/diagnostics"));
    let names = files.iter().map(|path| name(path).trim_end_matches(".md").to_owned());
    names.filter(|name| name != "README").collect()
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let defined: BTreeSet<String> = defined().into_keys().collect();
    assert!(defined.len() > 50, "{defined:?}");
    assert_eq!(defined, pages());
}

#[test]
fn every_page_opens_with_its_code_and_is_in_the_index() {
    let directory = root().join("docs/diagnostics");
    let index = fs::read_to_string(directory.join("README.md")).unwrap();
    for code in pages() {
        let page = fs::read_to_string(directory.join(format!("{code}.md"))).unwrap();
        let title = page.lines().next().unwrap();
        let said = title.strip_prefix(&format!("# {code}: ")).unwrap_or_else(|| panic!("{title}"));
        assert!(index.contains(&format!("| [{code}]({code}.md) | {said} |")), "{code}");
    }
    assert_eq!(index.matches(".md)").count(), pages().len());
}

/// What no repository can bring about by itself: only files that change while they are read, or paths that the check
/// has refused before.
const NOT_BY_A_REPOSITORY: [&str; 3] = ["GS0602", "GS0603", "GS0605"];

#[test]
fn every_code_has_a_fixture_and_every_fixture_a_code() {
    let mut defined: BTreeSet<String> = defined().into_keys().collect();
    for code in NOT_BY_A_REPOSITORY {
        assert!(defined.remove(code), "{code}");
    }
    let fixtures = listed(&here("fixtures"));
    let codes = fixtures.iter().map(|path| name(path).split('-').next().unwrap().to_owned());
    let codes: BTreeSet<String> = codes.filter(|code| code.starts_with("GS")).collect();
    assert_eq!(defined, codes);
}
