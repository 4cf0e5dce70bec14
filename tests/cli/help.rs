//! The help texts as people read them, and the demo that the README begins with.

use std::process::Command;

use crate::lab::{Lab, Running, processes};

const COMMANDS: [&str; 33] = [
    "",
    "init",
    "validate",
    "render",
    "graph",
    "plan",
    "show-plan",
    "apply",
    "run",
    "status",
    "history",
    "show",
    "drift",
    "check",
    "logs",
    "retry",
    "unlock",
    "suspend",
    "resume",
    "forget",
    "rollback",
    "import",
    "import compose",
    "import caddyfile",
    "notify",
    "notify test",
    "secret",
    "secret add",
    "secret edit",
    "secret rekey",
    "schema",
    "completions",
    "demo",
];

#[test]
fn help_of_every_command_is_as_reviewed() {
    let lab = Lab::new();
    for name in COMMANDS {
        let arguments: Vec<&str> = name.split_whitespace().chain(["--help"]).collect();
        let mut command = lab.command(&arguments);
        command.env_remove("GITSYNC_STATE");
        let said = Running::start(command).end().exits(0);
        assert_eq!(said.err, "");
        let name = if name.is_empty() { "gitsync".to_owned() } else { name.replace(' ', "-") };
        insta::assert_snapshot!(format!("help_{name}"), said.out);
    }
}

#[test]
fn every_command_that_is_listed_has_its_help_reviewed() {
    let listed = gitsync::cli::command();
    let mut names = vec![String::new()];
    for command in listed.get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = command.get_name();
        names.push(name.to_owned());
        let below = command.get_subcommands().filter(|command| !command.is_hide_set());
        names.extend(below.map(|command| format!("{name} {}", command.get_name())));
    }
    assert_eq!(names, COMMANDS);
}

#[test]
fn wrong_word_gets_a_suggestion() {
    let lab = Lab::new();
    lab.gitsync(&["aply"]).exits(2).says("'apply'");
    lab.gitsync(&["apply", "--ye"]).exits(2).says("'--yes'");
}

#[test]
fn demo_plays_to_its_end_and_leaves_nothing_behind() {
    let home = tempfile::tempdir().unwrap();
    let temporary = home.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    // A copy of the program, so that processes of other tests are not taken for the demo's.
    let program = home.path().join("gitsync");
    std::fs::copy(env!("CARGO_BIN_EXE_gitsync"), &program).unwrap();
    let mut command = Command::new(&program);
    command
        .arg("demo")
        .current_dir(home.path())
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", home.path())
        .env("TMPDIR", &temporary);
    let said = Running::start(command).end().exits(0);
    for text in
        ["converged", "rolled_back", "rounds were answered by app 1.1", "Drift:", "Try next"]
    {
        assert!(said.out.contains(text), "no `{text}` in {}", said.out);
    }
    let left: Vec<_> = std::fs::read_dir(&temporary).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    let own = program.display().to_string();
    let place = home.path().display().to_string();
    let mine = |line: &Vec<String>| line.iter().any(|word| *word == own || word.contains(&place));
    let left: Vec<_> = processes().into_iter().filter(|(_, line)| mine(line)).collect();
    assert!(left.is_empty(), "{left:?}");
}
