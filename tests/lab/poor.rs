//! A poor host: busybox, a user with sudo, two sessions on a connection, a root directory with a blank in its name.

use std::time::Duration;

use gitsync_lab::{HostSpec, Mount, Spec, Truth};

use crate::stage::Stage;

const ROOT: &str = "/data/git sync";
const SOON: Duration = Duration::from_secs(45);

/// One poor host with a service and a bundle, not rolled out yet.
fn stage(scenario: &'static str, shape: impl Fn(HostSpec) -> HostSpec) -> Option<Stage> {
    let stage = Stage::new(scenario, &Spec::of(1, |host| shape(host.poor())))?;
    stage.install_app(&["h1"]);
    stage.write_fleet("500ms");
    stage.write_node("h1", &format!("root: \"{ROOT}\"\n"));
    service(&stage, "APP_VERSION=1");
    stage.write("files/notes/a note", "one\n");
    stage.write(
        "bundles/notes.yaml",
        "files: files/notes/\nto: { on: all, path: /etc/notes, mode: \"0640\", owner: \"root:deploy\" }\n\
         activate: cp '/etc/notes/a note' /etc/noted\n",
    );
    stage.commit("first");
    Some(stage)
}

fn service(stage: &Stage, settings: &str) {
    stage.write_process("web", "h1", 8080, settings, "");
}

fn truth(stage: &Stage) -> Truth {
    // What the bundle's own command writes is not gitsync's to put back as it was.
    Truth::with_state(stage.lab.hosts(), &[ROOT]).unwrap()
}

fn note(stage: &Stage) -> String {
    stage.host("h1").read("/etc/notes/a note").unwrap()
}

#[test]
fn poor_host_lives_through_good_and_bad_commits() {
    let Some(stage) = stage("poor-life", |host| host) else { return };
    first_rollout_serves(&stage);
    second_rollout_moves_nothing(&stage);
    change_is_rolled_out(&stage);
    for (settings, stable_for) in [("APP_HEALTH=never", "500ms"), ("APP_HEALTH=dies:6s", "8s")] {
        bad_version_is_put_back(&stage, settings, stable_for);
    }
    rollback_needs_no_git(&stage);
    hand_made_changes_are_told(&stage);
    removal_takes_everything(&stage);
}

fn first_rollout_serves(stage: &Stage) {
    stage.apply().says("converged");
    assert_eq!((stage.version("h1", 8080).as_str(), note(stage).as_str()), ("1", "one\n"));
    let kept = stage.host("h1").sh("/lab/busybox stat -c '%a %U %G' '/etc/notes/a note'").unwrap();
    assert_eq!(kept.trim(), "640 root deploy");
    assert_eq!(stage.host("h1").read("/etc/noted").unwrap(), "one\n");
}

fn second_rollout_moves_nothing(stage: &Stage) {
    let before = truth(stage);
    stage.apply().says("0 to create, 0 to change, 0 to remove");
    before.same(&truth(stage)).unwrap();
}

fn change_is_rolled_out(stage: &Stage) {
    service(stage, "APP_VERSION=2");
    stage.write("files/notes/a note", "two\n");
    stage.commit("second");
    stage.apply().says("converged");
    assert_eq!((stage.version("h1", 8080).as_str(), note(stage).as_str()), ("2", "two\n"));
}

fn bad_version_is_put_back(stage: &Stage, settings: &str, stable_for: &str) {
    let before = truth(stage);
    stage.write_fleet(stable_for);
    service(stage, &format!("APP_VERSION=bad {settings}"));
    stage.write("files/notes/a note", "bad\n");
    stage.commit(settings);
    stage.run(&["apply", "--yes"]).exits(3).says("rolled_back").says("quarantined");
    before.same_content(&truth(stage)).unwrap();
    assert_eq!((stage.version("h1", 8080).as_str(), note(stage).as_str()), ("2", "two\n"));
    stage.run(&["apply", "--yes"]).exits(1).says("quarantined");
}

fn rollback_needs_no_git(stage: &Stage) {
    stage.write_fleet("500ms");
    service(stage, "APP_VERSION=3");
    stage.write("files/notes/a note", "three\n");
    stage.commit("third");
    stage.apply();
    let objects = stage.repository().join(".git/objects");
    let away = stage.controller().join("objects");
    stage.run(&["rollback", "--list"]).exits(0);
    std::fs::rename(&objects, &away).unwrap();
    std::fs::create_dir(&objects).unwrap();
    stage.run(&["rollback", "--yes"]).exits(0).says("converged");
    std::fs::remove_dir(&objects).unwrap();
    std::fs::rename(&away, &objects).unwrap();
    assert_eq!((stage.version("h1", 8080).as_str(), note(stage).as_str()), ("2", "two\n"));
}

fn hand_made_changes_are_told(stage: &Stage) {
    service(stage, "APP_VERSION=4");
    stage.write("files/notes/a note", "four\n");
    stage.commit("fourth");
    stage.apply();
    stage.run(&["drift"]).exits(0).says("no drift");
    stage.host("h1").write("/etc/notes/a note", "mine\n").unwrap();
    stage.run(&["drift"]).exits(1).says("-four").says("+mine");
    stage.host("h1").write("/etc/notes/a note", "four\n").unwrap();
    stage.run(&["drift"]).exits(0).says("no drift");
}

fn removal_takes_everything(stage: &Stage) {
    stage.remove("bundles/notes.yaml");
    stage.commit("no notes");
    stage.apply().says("1 to remove");
    assert!(!stage.host("h1").has("/etc/notes"), "the directory was made for the bundle");
    assert_eq!(stage.version("h1", 8080), "4");
}

#[test]
fn poor_host_with_a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let disk = |host: HostSpec| host.mount(Mount::Disk("/data".to_owned(), 16));
    let Some(stage) = stage("poor-disk", disk) else { return };
    stage.apply();
    let before = truth(&stage);
    stage.host("h1").fill("/data", 1024).unwrap();
    service(&stage, "APP_VERSION=2");
    stage.write_big("files/notes/b", 1024, 1);
    stage.commit("big");
    let said = stage.run(&["apply", "--yes"]).exits(3);
    said.says("h1: ").says(" KiB are needed below /data/git sync, ");
    stage.host("h1").drain("/data").unwrap();
    before.same(&truth(&stage)).unwrap();
    stage.apply();
    assert_eq!(stage.version("h1", 8080), "2");
}

#[test]
fn poor_host_that_hangs_reboots_or_loses_its_controller_ends_on_one_side() {
    let Some(stage) = stage("poor-faults", |host| host) else { return };
    let host = stage.host("h1");
    stage.apply();
    let before = truth(&stage);
    service(&stage, "APP_VERSION=2");
    stage.commit("second");
    host.hang_sshd().unwrap();
    stage.run(&["apply", "--yes"]).exits(1).says("h1 can't be reached");
    host.wake_sshd().unwrap();
    host.cut().unwrap();
    stage.run(&["apply", "--yes"]).exits(1).says("h1 can't be reached");
    host.mend().unwrap();
    before.same(&truth(&stage)).unwrap();
    stage.write_fleet("3s");
    stage.commit("slowly");
    let mut daemon = stage.daemon();
    daemon.wait_for(0, "h1/service.web: switched", SOON);
    daemon.signal("KILL");
    daemon.wait();
    let daemon = stage.daemon();
    daemon.wait_for(0, "goes on", SOON);
    daemon.wait_for(0, "converged", SOON);
    assert_eq!(stage.version("h1", 8080), "2");
    let mark = daemon.mark();
    host.reboot().unwrap();
    daemon.wait_for(mark, "h1/service.web did not run: started again", SOON);
    stage.until(SOON, "version 2", || match stage.version("h1", 8080) {
        two if two == "2" => Ok(()),
        other => Err(other),
    });
    assert_eq!(daemon.stop(), Some(0));
}
