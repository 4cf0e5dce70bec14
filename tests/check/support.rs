//! Snapshots written down in tests.

use gitsync::check::{Checked, check};
use gitsync::diagnostic::Severity;
use gitsync::model::{Entry, Fleet, Snapshot};

/// The smallest fleet with two nodes.
pub const BASE: &[(&str, &str)] = &[
    ("fleet.yaml", "version: 1\nname: homelab\ndomain: example.net\n"),
    ("nodes/vps1.yaml", "address: 100.67.88.109\n"),
    ("nodes/vps2.yaml", "address: 100.102.55.88\n"),
];

/// A snapshot of text files.
pub fn snapshot(files: &[(&str, &str)]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (path, text) in files {
        let content = text.as_bytes().to_vec();
        snapshot.entries.insert((*path).to_owned(), Entry::File { content, executable: false });
    }
    snapshot
}

/// The base with more files, which may replace some of it.
pub fn with(files: &[(&str, &str)]) -> Snapshot {
    let mut all = snapshot(BASE);
    all.entries.extend(snapshot(files).entries);
    all
}

/// What was told: code, file, line, column, message.
pub fn told(checked: &Checked) -> Vec<String> {
    let line = |d: &gitsync::diagnostic::Diagnostic| {
        let place = d.place().unwrap();
        format!("{} {}:{}:{} {}", d.code.0, place.file, place.line, place.column, d.message)
    };
    checked.diagnostics.iter().map(line).collect()
}

/// The fleet of files that have no errors.
pub fn fleet(files: &[(&str, &str)]) -> Fleet {
    let checked = check(&with(files));
    let errors = checked.diagnostics.iter().any(|d| d.severity == Severity::Error);
    assert!(!errors, "{:#?}", told(&checked));
    checked.fleet.unwrap()
}
