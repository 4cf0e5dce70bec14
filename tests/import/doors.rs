//! Flags, and what is refused before anything is written.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::fleet::{Fleet, files, text};

fn stack(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/stacks").join(name)
}

#[track_caller]
fn says(output: &Output, code: i32, words: &[&str]) {
    let all = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{all}");
    for word in words {
        assert!(all.contains(word), "no `{word}` in {all}");
    }
}

#[test]
fn a_service_that_is_there_is_never_written_over() {
    for (path, other) in
        [("services/a/service.yaml", "services/a"), ("services/a.yaml", "services/a.yaml")]
    {
        let fleet = Fleet::new(&stack("01-one-image"), "a");
        let own = "image: nginx:1.27.0\nplacement: { on: [vps1] }\nhealth: { container: true }\n";
        fleet.write(path, own);
        let said = fleet.import(&[]);
        says(&said, 1, &["there is", other, "already", "--name NAME"]);
        assert_eq!(fs::read_to_string(fleet.repository().join(path)).unwrap(), own);
        assert_eq!(fleet.services().len(), 1);
        says(&fleet.import(&["--project", "b", "--dry-run"]), 0, &["services/b", "project `b`"]);
    }
}

#[test]
fn several_stacks_come_together_or_not_at_all() {
    let fleet = Fleet::new(&stack("01-one-image"), "one");
    let stacks = fleet.stack().parent().unwrap().to_owned();
    for (from, to) in [("24-config-files", "two"), ("r1-outside", "bad")] {
        crate::fleet::copy(&stack(from), &stacks.join(to));
    }
    let path = |name: &str| stacks.join(name).display().to_string();
    let (one, two, bad) = (path("one"), path("two/compose.yaml"), path("bad"));
    let said = fleet.gitsync(&["import", "compose", &one, &bad, &two, "--node", "vps1"]);
    says(&said, 2, &["GS0402", "nothing was written"]);
    assert_eq!(fleet.services(), Vec::<String>::new());
    let said = fleet.gitsync(&["import", "compose", &one, &two, &one, "--node", "vps1"]);
    says(&said, 1, &["two of these stacks would be the service `one`"]);
    let said = fleet.gitsync(&["import", "compose", &one, &two, "--node", "vps1", "--name", "x"]);
    says(&said, 1, &["about one stack"]);
    says(
        &fleet.gitsync(&["import", "compose", &one, &two, "--node", "vps1"]),
        0,
        &["services/one", "services/two"],
    );
    let mut services = fleet.services();
    services.sort();
    assert_eq!(services, ["one", "two"]);
    assert_eq!(
        fs::metadata(fleet.repository().join("services/one")).unwrap().permissions().mode() & 0o777,
        0o755
    );
}

#[test]
fn a_dry_run_tells_all_and_writes_nothing() {
    let fleet = Fleet::new(&stack("07-variables"), "photos");
    let before = files(&fleet.repository());
    says(
        &fleet.import(&["--dry-run"]),
        0,
        &["services/photos", "makes the same of both", "Nothing was written"],
    );
    let said = fleet.import(&["--dry-run", "--format", "json"]);
    says(&said, 0, &[]);
    let told: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    let service = &told["services"][0];
    assert_eq!((&told["written"], &service["proof"]), (&false.into(), &"equal".into()));
    assert_eq!(service["left"][0]["path"], "library");
    assert_eq!(service["files"][0], ".env");
    assert!(before == files(&fleet.repository()));
}

#[test]
fn what_git_would_leave_out_is_told_with_the_line_to_write() {
    let fleet = Fleet::new(&stack("07-variables"), "photos");
    fleet.write(".gitignore", ".env\n");
    says(
        &fleet.import(&[]),
        1,
        &["Git would leave out services/photos/.env", "`!services/photos/.env`"],
    );
    assert_eq!(fleet.services(), Vec::<String>::new());
    fleet.write(".gitignore", ".env\n!services/photos/.env\n");
    says(&fleet.import(&[]), 0, &["services/photos"]);
}

#[test]
fn flags_end_up_in_the_service() {
    let fleet = Fleet::new(&stack("01-one-image"), "My.Dash_board");
    fleet.write("fleet.yaml", "version: 1\nname: home\nenvironments: [prod, dev]\n");
    let flags = [
        "--adopt",
        "--directory",
        "/home/ann/dash",
        "--environment",
        "dev",
        "--project",
        "old_dash",
    ];
    let words = [
        "services/old-dash",
        "project `old_dash`",
        "taken over is what runs on vps1 as project `old_dash` from /home/ann/dash; ",
    ];
    says(&fleet.import(&flags), 0, &words);
    let text =
        fs::read_to_string(fleet.repository().join("services/old-dash/service.yaml")).unwrap();
    for line in [
        "compose: compose.yaml",
        "project: old_dash #",
        "directory: /home/ann/dash",
        "placement: { on: [vps1] }",
        "environments: { dev: {} }",
        "adopt: true #",
    ] {
        assert!(text.lines().any(|it| it.starts_with(line)), "no `{line}` in {text}");
    }
    says(&fleet.gitsync(&["validate"]), 0, &[]);
    let plain = Fleet::new(&stack("01-one-image"), "My.Dash_board");
    let told = plain.import(&[]);
    says(&told, 0, &["services/mydash-board", "project `mydash_board`"]);
    assert!(!String::from_utf8_lossy(&told.stdout).contains("taken over"));
}

#[test]
fn wrong_words_are_told_with_what_would_be_right() {
    let fleet = Fleet::new(&stack("01-one-image"), "a");
    let stack = fleet.stack().display().to_string();
    let import = |flags: &[&str]| fleet.gitsync(&[&["import", "compose"], flags].concat());
    says(&import(&[&stack, "--node", "vps2"]), 1, &["there is no node `vps2`", "nodes are vps1"]);
    says(&import(&["/nowhere/x.yaml", "--node", "vps1"]), 1, &["there is no file /nowhere/x.yaml"]);
    let home = fleet.repository().join("nodes").display().to_string();
    says(&import(&[&home, "--node", "vps1"]), 1, &["no compose file", "docker-compose.yml"]);
    says(
        &import(&[&stack, "--node", "vps1", "--environment", "x"]),
        1,
        &["no environment `x`", "prod"],
    );
    says(&import(&[&stack, "--node", "vps1", "--name", "A b"]), 1, &["not a DNS label"]);
    let node = fleet.repository().join("nodes/vps1.yaml").display().to_string();
    says(&import(&[&stack, "--node", "vps1", "--file", &node]), 1, &["lies outside of", "beside"]);
    fleet.write("nodes/vps1.yaml", "address: nonsense\n");
    says(&import(&[&stack, "--node", "vps1"]), 2, &["GS0109", "not valid as it is"]);
}

#[test]
fn without_docker_compose_nothing_is_proven_and_that_is_said() {
    let fleet = Fleet::new(&stack("01-one-image"), "a");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gitsync"));
    command.args(["import", "compose"]).arg(fleet.stack()).args(["--node", "vps1"]);
    command.current_dir(fleet.repository()).env_clear().env("PATH", "/nowhere");
    says(&command.output().unwrap(), 0, &["proof  none: `docker compose` is not on this machine"]);
    assert_eq!(fleet.services(), ["a"]);
}

#[test]
fn what_compose_itself_refuses_is_told_in_its_words() {
    let fleet = Fleet::new(&stack("01-one-image"), "a");
    let bad = "services:\n  a:\n    image: nginx:1.27.0\n    mem_limit: much\n";
    fs::write(fleet.stack().join("compose.yaml"), bad).unwrap();
    says(
        &fleet.import(&[]),
        1,
        &["docker compose refuses the stack as it is", "nothing was written"],
    );
    assert_eq!(fleet.services(), Vec::<String>::new());
}
