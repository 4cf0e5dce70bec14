//! Nodes that are lost in the middle of a rollout: for one direction only, and for good.

use std::time::{Duration, Instant};

use gitsync_lab::{Spec, Truth, Way};

use crate::plain::{self, PATIENCE, PORT, run_within, write_service};
use crate::stage::{Daemon, Stage};

/// Where the second service of a host answers.
const OTHER: u16 = 8081;

/// `gitsync apply` beside the scenario, with a shorter wait for nodes that are gone.
fn begin_apply(stage: &Stage) -> Daemon {
    let mut command = stage.gitsync(&["apply", "--yes"]);
    command.env("GITSYNC_CONNECT_TIMEOUT", "2s");
    stage.begin(command, "apply.log")
}

/// Gives services another version, in one commit.
fn commit_versions(stage: &Stage, names: &[&str]) {
    for name in names {
        stage.edit(&format!("services/{name}.yaml"), "VERSION: \"1\"", "VERSION: \"2\"");
    }
    stage.commit("version 2");
}

/// The line that tells the verdict.
#[track_caller]
fn verdict(told: &str) -> &str {
    let mut lines = told.lines().filter(|line| line.starts_with("needs_operator: "));
    lines.next().unwrap_or_else(|| panic!("no verdict that needs an operator: {told}"))
}

/// Insists that no host has anything half-done, and that nobody holds it.
#[track_caller]
fn all_whole(stage: &Stage, hosts: &[&str]) {
    for host in hosts {
        assert_eq!(plain::holder(stage, host), None, "{host}");
        assert_eq!(plain::truth(stage, host).pending(host), [""; 0], "{host}");
    }
}

#[test]
fn nodes_that_are_half_heard_in_the_middle_of_their_switch_are_named_and_mended_when_they_return() {
    let Some(stage) = plain::stage("lost-one-way", &Spec::of(3, |host| host)) else { return };
    plain::short_lease(&stage);
    write_service(&stage, "first", &["h1"], PORT, "");
    for (name, host) in [("mute", "h2"), ("deaf", "h3")] {
        write_service(&stage, name, &[host], PORT, "depends_on: [first]\n");
        // It has to be killed in the end, so that its switch takes a while.
        let file = format!("services/{name}.yaml");
        stage.edit(&file, "env: {", "env: { APP_IGNORE_TERM: \"1\",");
    }
    write_service(&stage, "last", &["h1"], OTHER, "depends_on: [mute, deaf]\n");
    stage.commit("version 1");
    stage.apply();
    let before = plain::truth(&stage, "h1");
    commit_versions(&stage, &["first", "mute", "deaf", "last"]);
    let mut apply = begin_apply(&stage);
    for (host, name) in [("h2", "mute"), ("h3", "deaf")] {
        apply.wait_for(0, &format!("{host}/service.{name}: switching"), PATIENCE);
        let pending = format!("/var/lib/gitsync/fleets/stage/units/service.{name}/pending");
        stage.until(PATIENCE, "the middle of a switch", || {
            if stage.host(host).has(&pending) { Ok(()) } else { Err(format!("no {pending}")) }
        });
    }
    let controller = stage.lab.controller();
    stage.host("h2").one_way(Way::Mute, controller).unwrap();
    stage.host("h3").one_way(Way::Deaf, controller).unwrap();
    let began = Instant::now();
    assert_eq!(apply.ends(Duration::from_secs(150)), Some(4), "{}", apply.log());
    let told = apply.log();
    assert!(began.elapsed() < Duration::from_secs(120), "{told}");
    for unit in ["h2/service.mute", "h3/service.deaf"] {
        assert!(verdict(&told).contains(&format!("{unit} could not be put back: ")), "{told}");
    }
    // What the deaf one says still comes through, but it is never asked again.
    let heard =
        ["h2/service.mute: switched", "h2/service.mute: healthy", "h3/service.deaf: healthy"];
    assert!(!heard.iter().any(|line| told.contains(line)), "too late: {told}");
    assert!(verdict(&told).contains("when h2 is back, the next rollout puts it right"), "{told}");
    assert!(told.contains("h1/service.first: put back") && !told.contains("quarantined"), "{told}");
    assert!(!told.contains("h1/service.last: switching"), "the wave after it was begun: {told}");
    before.same_content(&plain::truth(&stage, "h1")).unwrap();
    assert_eq!([PORT, OTHER].map(|port| stage.version("h1", port)), ["1", "1"]);

    // As long as they are half heard, nothing is begun.
    let put_back = plain::truth(&stage, "h1");
    let said = run_within(&stage, Duration::from_secs(45), &["apply", "--yes"]).exits(1);
    let said = said.says("h2 can't be reached: ").says("h3 can't be reached: ");
    said.says("rollout stage-2 needs an operator: ").says("h2/service.mute could not be put back");
    plain::untouched(&stage, "h1", &put_back);

    // Heard again, they are found where they put themselves, and brought to where all the others go.
    stage.host("h2").both_ways(Way::Mute, controller).unwrap();
    stage.host("h3").both_ways(Way::Deaf, controller).unwrap();
    stage.run(&["status"]).exits(0).says("took back rollout stage-2").never_says("in between");
    stage.apply().says("converged").says("h2/service.mute").says("h3/service.deaf");
    for (host, port) in [("h1", PORT), ("h1", OTHER), ("h2", PORT), ("h3", PORT)] {
        assert_eq!(stage.version(host, port), "2", "{host}:{port}");
    }
    all_whole(&stage, &["h1", "h2", "h3"]);
    let said = stage.run(&["apply", "--yes"]).exits(0).says("Nothing changes");
    said.never_says("needs an operator");
}

#[test]
fn a_required_node_that_is_gone_for_good_is_named_while_the_rest_is_put_back() {
    let Some(stage) = plain::stage("lost-back", &Spec::of(3, |host| host)) else { return };
    plain::short_lease(&stage);
    write_service(&stage, "first", &["h1"], PORT, "");
    write_service(&stage, "second", &["h2"], PORT, "depends_on: [first]\n");
    write_service(&stage, "third", &["h3"], PORT, "depends_on: [second]\n");
    stage.commit("version 1");
    stage.apply();
    let before = Truth::of(&stage.lab).unwrap();
    stage.edit("services/third.yaml", "env: {", "env: { APP_HEALTH: never,");
    commit_versions(&stage, &["first", "second", "third"]);
    let mut apply = begin_apply(&stage);
    apply.wait_for(0, "h2/service.second: switching", PATIENCE);
    stage.host("h1").power_off();
    assert_eq!(apply.ends(Duration::from_secs(150)), Some(4), "{}", apply.log());
    let told = apply.log();
    assert!(verdict(&told).starts_with("needs_operator: h3/service.third: "), "{told}");
    assert!(verdict(&told).contains("h1/service.first could not be put back: "), "{told}");
    assert!(verdict(&told).contains("gone for good, take its file out of nodes/"), "{told}");
    for unit in ["h2/service.second", "h3/service.third"] {
        assert!(told.contains(&format!("{unit}: put back")), "{told}");
    }
    let rest = |stage: &Stage| {
        for host in ["h2", "h3"] {
            assert_eq!(stage.version(host, PORT), "1", "{host}");
            before.only_host(host).same_content(&plain::truth(stage, host)).unwrap();
        }
        all_whole(stage, &["h2", "h3"]);
    };
    rest(&stage);

    // Whatever is tried next says so and begins nothing, a good commit too.
    refused(&stage, "h1/service.first could not be put back");
    stage.edit("services/third.yaml", "APP_HEALTH: never,", "");
    stage.commit("all are good");
    refused(&stage, "h1/service.first could not be put back");
    rest(&stage);
    goes_on_without_h1(&stage, "2");
    assert_eq!(stage.version("h3", PORT), "2");
}

#[test]
fn a_required_node_that_is_gone_for_good_when_the_decision_is_due_is_named_and_nothing_is_decided()
{
    let Some(stage) = plain::stage("lost-decided", &Spec::of(2, |host| host)) else { return };
    plain::short_lease(&stage);
    write_service(&stage, "first", &["h1"], PORT, "");
    write_service(&stage, "second", &["h2"], PORT, "depends_on: [first]\n");
    stage.commit("version 1");
    stage.apply();
    let before = plain::truth(&stage, "h2");
    commit_versions(&stage, &["first", "second"]);
    let mut apply = begin_apply(&stage);
    apply.wait_for(0, "h2/service.second: switching", PATIENCE);
    stage.host("h1").power_off();
    assert_eq!(apply.ends(Duration::from_secs(200)), Some(4), "{}", apply.log());
    let told = apply.log();
    assert!(!told.contains("decided: every change is good"), "{told}");
    assert!(told.contains("h2/service.second: put back"), "{told}");
    assert!(verdict(&told).contains("h1/service.first could not be put back: "), "{told}");
    assert!(verdict(&told).contains("gone for good, take its file out of nodes/"), "{told}");
    assert_eq!(stage.version("h2", PORT), "1");
    before.same_content(&plain::truth(&stage, "h2")).unwrap();
    all_whole(&stage, &["h2"]);
    refused(&stage, "h1/service.first could not be put back");
    goes_on_without_h1(&stage, "2");
}

/// Insists that a rollout is refused over `h1`, with what the last one left behind.
#[track_caller]
fn refused(stage: &Stage, left: &str) {
    let said = run_within(stage, Duration::from_secs(45), &["apply", "--yes"]).exits(1);
    let said = said.says("h1 can't be reached: ").says("rollout stage-2 needs an operator: ");
    said.says(left).says("take its file out of nodes/").never_says("preparing");
}

/// Takes `h1` and what ran there out of the fleet, and insists that the rest moves.
#[track_caller]
fn goes_on_without_h1(stage: &Stage, version: &str) {
    stage.remove("nodes/h1.yaml");
    stage.remove("services/first.yaml");
    stage.edit("services/second.yaml", "depends_on: [first]\n", "");
    stage.commit("without h1");
    stage.apply().says("h1 left the fleet but does not answer").says("converged");
    assert_eq!(stage.version("h2", PORT), version);
    all_whole(stage, &["h2"]);
}
