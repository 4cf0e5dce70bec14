//! `gitsync init`: what it makes is valid, rolls out as it is, and takes nothing from anybody.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use git2::Repository;

use crate::lab::{Lab, Running, wait};
use crate::said::Said;

/// An empty place beside the lab's own fleet, and somebody whom Git knows.
fn place(lab: &Lab) -> PathBuf {
    let config = "[user]\n\tname = Ada\n\temail = ada@example.net\n";
    std::fs::write(lab.home().join(".gitconfig"), config).unwrap();
    let place = lab.home().join("Möbel & Co");
    std::fs::create_dir(&place).unwrap();
    place
}

#[track_caller]
fn within(lab: &Lab, place: &Path, arguments: &[&str]) -> Said {
    let mut command = lab.command(arguments);
    command.current_dir(place);
    Running::start(command).end()
}

/// Every file below a directory with its text, except what Git keeps.
fn all(place: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() && entry.file_name().unwrap() != ".git" {
            found.extend(all(&entry));
        } else if entry.is_file() {
            found.insert(entry.clone(), std::fs::read_to_string(&entry).unwrap());
        }
    }
    found
}

#[test]
fn a_new_fleet_is_valid_rolls_out_here_and_leaves_the_repository_clean() {
    let lab = Lab::new();
    let place = place(&lab);
    within(&lab, &place, &["init"]).exits(0).says("Committed as").says("gitsync apply");
    within(&lab, &place, &["validate"]).exits(0).says("no problems in 15 files");
    within(&lab, &place, &["plan"]).exits(0).says("m-bel-co at ").says("1 to create");
    within(&lab, &place, &["apply", "--yes"]).exits(0).says("converged");
    let nodes =
        std::fs::read_dir(place.join(".gitsync")).unwrap().map(|entry| entry.unwrap().path());
    let greeting = nodes.map(|node| node.join("stacks/hello/hello.txt")).find(|path| path.exists());
    wait("the greeting", || {
        let said = greeting.as_ref().map(|path| std::fs::read_to_string(path).unwrap());
        said.as_deref() == Some("hello, fleet\n")
    });
    let repository = Repository::open(&place).unwrap();
    assert_eq!(repository.head().unwrap().shorthand().unwrap(), "main");
    assert!(repository.statuses(None).unwrap().iter().all(|status| status.status().is_ignored()));
    within(&lab, &place, &["apply", "--yes"]).exits(0).says("Nothing changes");
}

#[test]
fn every_file_names_a_schema_that_is_there_and_examples_are_valid_once_renamed() {
    let lab = Lab::new();
    let place = place(&lab);
    within(&lab, &place, &["init", "--quiet"]).exits(0);
    let mut files = 0;
    for (path, text) in all(&place) {
        let name = path.display().to_string();
        if let Some(schema) = text.lines().next().and_then(|line| line.split_once("$schema=")) {
            assert!(path.parent().unwrap().join(schema.1).is_file(), "{name}: {}", schema.1);
            files += 1;
        }
        if let Some(real) = name.strip_suffix(".example") {
            std::fs::rename(&path, real).unwrap();
        }
    }
    assert_eq!(files, 6);
    within(&lab, &place, &["validate"]).exits(0).says("no problems");
}

#[test]
fn machines_that_are_named_are_its_nodes() {
    let lab = Lab::new();
    let place = place(&lab);
    let machines = ["--with", "no=deploy@192.0.2.10", "--with", "nas=fd00::1"];
    within(&lab, &place, &[&["init"], &machines[..]].concat()).exits(0);
    within(&lab, &place, &["validate"]).exits(0).says("no problems");
    let text = within(&lab, &place, &["graph"]).exits(0).out;
    assert!(text.contains("no (192.0.2.10)") && text.contains("nas (fd00::1)"), "{text}");
    assert!(!place.join(".gitsync").exists());
    let twice = ["init", "x", "--with", "a=192.0.2.1", "--with", "a=192.0.2.2"];
    within(&lab, &place, &twice).exits(1).says("two machines are called `a`");
    within(&lab, &place, &["init", "x", "--with", "a=-oProxyCommand=x"]).exits(2);
    assert!(!place.join("x").exists());
}

#[test]
fn without_a_name_nothing_is_committed_and_the_commands_are_told() {
    let lab = Lab::new();
    let place = place(&lab);
    std::fs::write(lab.home().join(".gitconfig"), "").unwrap();
    let said = within(&lab, &place, &["init", "fleet"]).exits(0);
    let said = said.says("git config --global user.email").says("git commit -m \"a first fleet\"");
    said.says("cd fleet");
    assert!(Repository::open(place.join("fleet")).unwrap().head().is_err());
    // Who signs commits does it with Git.
    let config = "[user]\nname = Ada\nemail = a@example.net\n[commit]\ngpgsign = true\n";
    std::fs::write(lab.home().join(".gitconfig"), config).unwrap();
    within(&lab, &place, &["init", "signed"]).exits(0).says("to be signed");
    assert!(Repository::open(place.join("signed")).unwrap().head().is_err());
}

#[test]
fn nothing_is_overwritten_and_nothing_is_left_when_it_fails() {
    let lab = Lab::new();
    let place = place(&lab);
    let before = all(&lab.repository());
    within(&lab, &lab.repository(), &["init"]).exits(1).says("has a fleet.yaml already");
    assert_eq!(all(&lab.repository()), before);
    // A file in the way.
    std::fs::create_dir(place.join("services")).unwrap();
    std::fs::write(place.join("services/hello.yaml"), "mine").unwrap();
    std::fs::write(place.join("README.md"), "mine").unwrap();
    let before = all(&place);
    within(&lab, &place, &["init"]).exits(1).says("there already: services/hello.yaml");
    assert_eq!(all(&place), before);
    // Something fails in the middle.
    std::fs::remove_dir_all(place.join("services")).unwrap();
    std::fs::write(place.join("schema"), "mine").unwrap();
    within(&lab, &place, &["init"]).exits(1).says("can't be made");
    let names: Vec<_> = all(&place).into_keys().collect();
    assert_eq!(names, [place.join("README.md"), place.join("schema")]);
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 2);
    // What people have stays theirs, and what a node here keeps is not for Git all the same.
    std::fs::remove_file(place.join("schema")).unwrap();
    std::fs::write(place.join(".gitignore"), "mine").unwrap();
    within(&lab, &place, &["init"]).exits(0).says("README.md was there already");
    for file in ["README.md", ".gitignore"] {
        assert_eq!(std::fs::read_to_string(place.join(file)).unwrap(), "mine");
    }
    let repository = Repository::open(&place).unwrap();
    assert!(repository.is_path_ignored(".gitsync/vm/file").unwrap());
}

#[test]
fn a_repository_around_it_is_left_to_its_owner_unless_it_is_empty() {
    let lab = Lab::new();
    let place = place(&lab);
    let empty = Repository::init(&place).unwrap();
    within(&lab, &place, &["init", "fleet"]).exits(0).says("Committed as");
    assert!(!place.join("fleet/.git").exists());
    assert!(
        empty
            .head()
            .unwrap()
            .peel_to_tree()
            .unwrap()
            .get_path(Path::new("fleet/fleet.yaml"))
            .is_ok()
    );
    let tip = || Repository::open(lab.repository()).unwrap().head().unwrap().target();
    let before = tip();
    within(&lab, &lab.repository(), &["init", "sub"])
        .exits(0)
        .says("the repository around it is yours");
    assert!(!lab.repository().join("sub/.git").exists());
    assert_eq!(tip(), before);
    within(&lab, &lab.repository().join("sub"), &["validate"]).exits(0).says("no problems");
}
