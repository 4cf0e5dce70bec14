//! The YAML that the documentation shows is a fleet, exactly as it stands there.

use gitsync::check::check;
use gitsync::model::{Entry, Snapshot};

/// YAML blocks of a Markdown text whose first line names a file: `# nodes/vps1.yaml`.
fn files(markdown: &str) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for block in markdown.split("```yaml\n").skip(1) {
        let text = block.split("```").next().unwrap_or_default();
        let name = text.lines().next().and_then(|line| line.strip_prefix("# "));
        let name = name.expect("the first line of a YAML block names its file").to_owned();
        let entry = Entry::File { content: text.as_bytes().to_vec(), executable: false };
        snapshot.entries.insert(name, entry);
    }
    snapshot
}

#[test]
fn the_readme_s_first_fleet_is_valid_as_it_stands() {
    let readme = include_str!("../../README.md");
    let snapshot = files(readme);
    assert_eq!(snapshot.entries.len(), 3);
    let checked = check(&snapshot);
    assert!(checked.fleet.is_some(), "{:#?}", checked.diagnostics);
    assert!(checked.diagnostics.is_empty(), "{:#?}", checked.diagnostics);
}

#[test]
fn the_reference_s_fleet_is_valid_as_it_stands() {
    let mut snapshot = files(include_str!("../../docs/repository.md"));
    let motd = Entry::File { content: b"welcome\n".to_vec(), executable: false };
    snapshot.entries.insert("files/motd".to_owned(), motd);
    let checked = check(&snapshot);
    assert!(checked.fleet.is_some(), "{:#?}", checked.diagnostics);
}

#[test]
fn the_fleet_of_the_page_on_secrets_is_valid_as_it_stands() {
    let mut snapshot = files(include_str!("../../docs/secrets.md"));
    let sealed = "password: ENC[a]\nkey: ENC[b]\nsmtp: ENC[c]\nsops:\n    age: [{ recipient: age1, enc: x }]\n";
    for (path, text) in [
        ("fleet.yaml", "version: 1\nname: homelab\n"),
        ("nodes/vps1.yaml", "address: 100.64.0.1\n"),
        ("secrets/db.yaml", sealed),
        ("files/app.conf", "password = {{ secret(key=\"db.password\") }}\n"),
    ] {
        let entry = Entry::File { content: text.as_bytes().to_vec(), executable: false };
        snapshot.entries.insert(path.to_owned(), entry);
    }
    let checked = check(&snapshot);
    let fleet = checked.fleet.unwrap_or_else(|| panic!("{:#?}", checked.diagnostics));
    assert!(checked.diagnostics.is_empty(), "{:#?}", checked.diagnostics);
    let release = gitsync::render::render(&fleet).unwrap();
    assert_eq!(release.units.values().map(|unit| unit.sealed().len()).sum::<usize>(), 6);
}
