//! The controller's own disk: a journal that can't be written, before a rollout and in the middle of one.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use gitsync_lab::{Spec, Truth};

use crate::stage::Stage;

const SOON: Duration = Duration::from_secs(30);

/// A host with one service, and a controller whose state lies on a small disk of its own.
fn stage(scenario: &'static str) -> Option<Stage> {
    let stage = Stage::new(scenario, &Spec::of(1, |host| host))?;
    stage.install_app(&["h1"]);
    stage.write_fleet("500ms");
    version(&stage, "1");
    let state = state(&stage);
    let image = stage.controller().join("state.img");
    std::fs::create_dir_all(&state).unwrap();
    std::fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
    end(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image));
    let mut mount = stage.lab.command("mount", &stage.controller());
    end(mount.args(["-o", "loop"]).arg(&image).arg(&state));
    Some(stage)
}

fn state(stage: &Stage) -> PathBuf {
    stage.controller().join("home/state")
}

#[track_caller]
fn end(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Takes all room on the controller's state disk.
fn fill(stage: &Stage) {
    let script = "dd if=/dev/zero of=.filler bs=1024 2>/dev/null; sync; test -s .filler";
    end(stage.lab.command("sh", &state(stage)).args(["-c", script]));
}

/// Gives it back.
fn drain(stage: &Stage) {
    end(stage.lab.command("rm", &state(stage)).args(["-f", ".filler"]));
}

fn version(stage: &Stage, version: &str) {
    stage.write_process("a", "h1", 8081, &format!("APP_VERSION={version}"), "");
}

#[test]
fn full_journal_disk_begins_nothing_and_recovers() {
    let Some(stage) = stage("journal-full") else { return };
    stage.commit("first");
    stage.apply();
    version(&stage, "2");
    stage.commit("second");
    let before = Truth::of(&stage.lab).unwrap();
    fill(&stage);
    let said = stage.run(&["apply", "--yes"]).exits(1);
    said.says("no space is left for the journal in").says("/home/state").never_says("preparing");
    before.same(&Truth::of(&stage.lab).unwrap()).unwrap();
    assert_eq!(stage.version("h1", 8081), "1");
    drain(&stage);
    stage.apply();
    assert_eq!(stage.version("h1", 8081), "2");
}

#[test]
fn journal_disk_that_fills_up_in_a_rollout_stops_it_and_it_is_taken_up_when_there_is_room() {
    let Some(stage) = stage("journal-fills") else { return };
    stage.commit("first");
    stage.apply();
    version(&stage, "2");
    stage.write_fleet("4s");
    stage.commit("second");
    let mut apply = stage.begin(stage.gitsync(&["apply", "--yes"]), "apply.log");
    apply.wait_for(0, "h1/service.a: switched", SOON);
    fill(&stage);
    assert_eq!(apply.ends(SOON), Some(1), "{}", apply.log());
    assert!(apply.log().contains("no space is left for the journal in"), "{}", apply.log());
    drain(&stage);
    stage.apply().says("goes on").says("converged");
    assert_eq!(stage.version("h1", 8081), "2");
    assert!(Truth::of(&stage.lab).unwrap().pending("h1").is_empty());
    stage.apply().says("0 to create, 0 to change, 0 to remove");
}
