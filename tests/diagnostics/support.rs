//! Repositories for tests: a small sound fleet, with a fixture's files laid over it.

use std::fs;
use std::path::{Path, PathBuf};

use gitsync::check::{Checked, check};
use gitsync::diagnostic::Diagnostic;
use gitsync::model::{Entry, MAX_FILE_BYTES, Snapshot};
use gitsync::render::render;

/// A path below `tests/diagnostics`.
pub fn here(below: &str) -> PathBuf {
    root().join("tests/diagnostics").join(below)
}

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The entries of a directory, sorted by name.
pub fn listed(directory: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The name of a file or directory.
pub fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// A fleet without services, in which nothing is wrong.
pub fn skeleton() -> Snapshot {
    let mut snapshot = Snapshot::default();
    lay(&mut snapshot, &here("skeleton"), "");
    snapshot
}

/// Adds the files of a directory, as they are.
pub fn lay(snapshot: &mut Snapshot, directory: &Path, prefix: &str) {
    for path in listed(directory) {
        let inside = format!("{prefix}{}", name(&path));
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_symlink() {
            let target = fs::read_link(&path).unwrap().to_string_lossy().into_owned();
            snapshot.entries.insert(inside, Entry::Link(target));
        } else if kind.is_dir() {
            lay(snapshot, &path, &format!("{inside}/"));
        } else if !inside.ends_with(".keep") {
            snapshot.entries.insert(inside, file(fs::read(&path).unwrap()));
        }
    }
}

/// A file with this content, or what stands for it when it is too large to be read.
pub fn file(content: Vec<u8>) -> Entry {
    if content.len() as u64 > MAX_FILE_BYTES {
        Entry::TooLarge(content.len() as u64)
    } else {
        Entry::File { content, executable: false }
    }
}

/// The repository of a fixture: `repo/` over the sound fleet, changed by what its `options` say.
///
/// `bare`: without the sound fleet. `large PATH BYTES`, `submodule PATH`: what a checkout should not hold itself.
pub fn fixture(directory: &Path) -> Snapshot {
    let options = fs::read_to_string(directory.join("options")).unwrap_or_default();
    let mut snapshot = skeleton();
    if options.lines().any(|line| line == "bare") {
        snapshot = Snapshot::default();
    }
    lay(&mut snapshot, &directory.join("repo"), "");
    for option in options.lines() {
        match option.split(' ').collect::<Vec<_>>().as_slice() {
            ["bare"] => {}
            ["large", path, bytes] => {
                let content = vec![b'#'; bytes.parse().unwrap()];
                snapshot.entries.insert((*path).to_owned(), file(content));
            }
            ["submodule", path] => {
                snapshot.entries.insert((*path).to_owned(), Entry::Submodule);
            }
            _ => panic!("{}: unknown option `{option}`", directory.display()),
        }
    }
    snapshot
}

/// What is wrong with a repository, when it is checked and, if it passes, when its units are rendered.
pub fn problems(snapshot: &Snapshot) -> Vec<Diagnostic> {
    let Checked { fleet, mut diagnostics, .. } = check(snapshot);
    let rendered = fleet.as_ref().map(render);
    diagnostics.extend(rendered.and_then(Result::err).into_iter().flatten());
    diagnostics
}

/// `GS0301 services/web.yaml:4:15`.
pub fn short(diagnostic: &Diagnostic) -> String {
    let place = diagnostic.place().unwrap();
    format!("{} {}:{}:{}", diagnostic.code.0, place.file, place.line, place.column)
}
