//! Finds the real programs, and what several tests need around them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use gitsync::model::{Artifact, Content, Fleet, Release, Unit};
use proptest::prelude::*;

/// Directories that programs are looked for in, in this order.
fn directories() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = std::env::var_os("GITSYNC_TOOLS").unwrap_or_default();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
    std::env::split_paths(&path).chain(std::env::split_paths(&tools)).chain([own]).collect()
}

/// Every place where a program lies, each file once.
pub fn all(program: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for path in directories().into_iter().map(|directory| directory.join(program)) {
        let Ok(file) = path.canonicalize() else { continue };
        if file.is_file() && !found.contains(&file) {
            found.push(file);
        }
    }
    found
}

/// The first place where one of these programs lies.
pub fn first(programs: &[&str]) -> Option<PathBuf> {
    programs.iter().find_map(|program| all(program).into_iter().next())
}

/// Says that a program is missing; fails where it must not be.
pub fn missing(program: &str) {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
    assert!(
        !set("GITSYNC_REQUIRE_PROGRAMS") && !set("CI"),
        "{program} is not there, and GITSYNC_REQUIRE_PROGRAMS or CI asks for it"
    );
    // Past the test harness, which keeps what tests print to itself.
    let _ = writeln!(std::io::stderr(), "not found: {program}; its tests are skipped");
}

/// A command that sees nothing of this machine's settings.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.stdin(Stdio::null());
    command
}

pub fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&text).into_owned()
}

pub fn render(fleet: &Fleet) -> Release {
    gitsync::render::render(fleet).unwrap_or_else(|problems| panic!("{problems:?}"))
}

pub fn unit(fleet: &Fleet, id: &str) -> Unit {
    render(fleet).units.remove(&id.parse().unwrap()).unwrap()
}

pub fn bytes(content: &Content) -> &[u8] {
    match content {
        Content::Bytes(bytes) => bytes,
        Content::OnNode(blob) => panic!("{blob} is not here"),
        Content::Sealed(sealed) => panic!("{sealed:?} is not open"),
    }
}

pub fn text(unit: &Unit, file: &str) -> String {
    let named = |artifact: &&Artifact| artifact.destination.file_name() == file;
    let artifact = unit.artifacts.iter().find(named).unwrap();
    String::from_utf8(bytes(&artifact.content).to_vec()).unwrap()
}

/// Lays a unit's files out below a directory, as nodes do for validation.
pub fn lay_out(unit: &Unit, base: &Path) -> PathBuf {
    let below = |path: &str| base.join(path.trim_start_matches('/'));
    for artifact in &unit.artifacts {
        let file = below(artifact.destination.as_str());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes(&artifact.content)).unwrap();
    }
    below(unit.directory.as_str())
}

/// Asks again and again until it is so; fails after the limit.
pub fn wait_for(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < limit, "{what} did not come in {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Printable texts, with many of the characters that formats give a meaning.
pub fn printable() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,16}",
        "[a-c \"'`$(){}\\\\#:%&*!|>@?=,~<;^/-]{0,10}",
        "[{}\\\\$`\"a]{0,6}",
        prop::sample::select(vec![
            "pa$word",
            "$$",
            "${HOME}",
            "{env.HOME}",
            "{$HOME}",
            "{path}",
            "{http.request.uri}",
            "\\{",
            "\\}",
            "}",
            "{",
            "a\\",
            "`\\`",
            "`{$A:b}\\\"`",
            "#",
            "no",
            "null",
            "1e3",
            "~",
            " lead",
            "trail ",
            "'",
            "\"",
            "import x",
            "{{ x }}",
            "%20",
            "*",
            "@a",
            "a: b",
            "- a",
        ])
        .prop_map(str::to_owned),
    ]
}
