//! The example fleet: sound, and warned of nothing but what it says itself.

use std::path::Path;

use gitsync::check::check;
use gitsync::diagnostic::Severity;
use gitsync::model::Name;
use gitsync::render::render;
use gitsync::source::directory;

#[test]
fn the_example_is_valid_and_its_warnings_are_the_known_ones() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("example-repo");
    let checked = check(&directory(&root).unwrap());
    let told: Vec<String> = checked
        .diagnostics
        .iter()
        .map(|it| {
            let place = it.place().cloned().unwrap_or_default();
            format!("{:?} {} {}:{} {}", it.severity, it.code.0, place.file, place.line, it.message)
        })
        .collect();
    let errors = checked.diagnostics.iter().filter(|it| it.severity == Severity::Error).count();
    assert_eq!(errors, 0, "{}", told.join("\n"));
    let codes: Vec<&str> = checked.diagnostics.iter().map(|it| it.code.0).collect();
    // Two pairs keep databases of their own, two folders are kept in step both ways: the files say why.
    assert_eq!(codes, ["GS0903", "GS0903", "GS0904", "GS0904"], "{}", told.join("\n"));
    let fleet = checked.fleet.unwrap();
    assert_eq!((fleet.nodes.len(), fleet.name.as_str()), (3, "homelab"));
    let release = render(&fleet).unwrap_or_else(|problems| panic!("{problems:?}"));
    let on = |node: &str| release.on(&Name::new(node).unwrap()).count();
    assert_eq!((on("vps1"), on("vps2"), on("unraid")), (7, 7, 6));
}
