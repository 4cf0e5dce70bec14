//! The example repository is a fleet without an error.

use std::path::Path;

use gitsync::check::check;
use gitsync::diagnostic::Severity;
use gitsync::model::{Entry, Snapshot};

use super::support::told;

fn add(snapshot: &mut Snapshot, base: &Path, folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add(snapshot, base, &path);
            continue;
        }
        let name = path.strip_prefix(base).unwrap().to_str().unwrap().to_owned();
        let content = std::fs::read(&path).unwrap();
        snapshot.entries.insert(name, Entry::File { content, executable: false });
    }
}

#[test]
fn the_example_repository_is_a_fleet() {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("example-repo");
    let mut snapshot = Snapshot::default();
    add(&mut snapshot, &base, &base);
    let checked = check(&snapshot);
    let errors = checked.diagnostics.iter().any(|d| d.severity == Severity::Error);
    assert!(!errors && checked.fleet.is_some(), "{:#?}", told(&checked));
}
