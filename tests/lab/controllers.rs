//! Controllers that meet: two at once, a stale one, a dead one, a laptop beside the daemon.

use std::time::Duration;

use gitsync_lab::{Spec, Truth};

use crate::plain::{self, PATIENCE, PORT, commit_version, process, write_service, write_web};
use crate::stage::{Said, Stage};

/// The laptop's home: a state and a journal of its own.
const LAPTOP: &str = "laptop";

/// Runs `gitsync` on the laptop.
#[track_caller]
fn laptop(stage: &Stage, arguments: &[&str]) -> Said {
    stage.finish(arguments, &mut stage.gitsync_of(LAPTOP, arguments))
}

/// Two services, the second on `h2` after the first on `h1`, rolled out in version 1 by nobody yet.
fn two_waves(stage: &Stage) {
    write_service(stage, "first", &["h1"], PORT, "");
    write_service(stage, "second", &["h2"], PORT, "depends_on: [first]\n");
    stage.commit("both");
}

/// Both services in version 2, committed.
fn second_version(stage: &Stage) {
    stage.edit("services/first.yaml", "\"1\"", "\"2\"");
    commit_version(stage, "second", "1", "2");
}

/// Lets the first service stay good for long, so that a rollout can be met in its first wave.
fn linger(stage: &Stage, stable_for: &str) {
    let text = format!("port: web, stable_for: {stable_for} }}");
    stage.edit("services/first.yaml", "port: web }", &text);
}

fn versions(stage: &Stage) -> [String; 2] {
    [stage.version("h1", PORT), stage.version("h2", PORT)]
}

#[test]
fn a_laptop_is_refused_while_the_daemon_rolls_out_and_sees_what_it_did() {
    let Some(stage) = plain::stage("controllers-two", &Spec::of(2, |host| host)) else { return };
    two_waves(&stage);
    let daemon = stage.daemon();
    daemon.wait_for(0, "converged", PATIENCE);
    linger(&stage, "5s");
    let mark = daemon.mark();
    second_version(&stage);
    daemon.wait_for(mark, "h1/service.first: switched, probing", PATIENCE);
    let pid = process(&stage, "h1", "service.first");
    let refused = laptop(&stage, &["apply", "--yes"]).exits(1);
    let refused = refused.says("h1 is held by user@").says("(rollout stage-2, for ");
    refused.says("wait for its verdict").never_says("switching").never_says("preparing");
    let told = daemon.wait_for(mark, "converged", PATIENCE);
    assert!(!told.contains("busy") && !told.contains("put back"), "{told}");
    assert_eq!(versions(&stage), ["2", "2"]);
    assert_eq!(process(&stage, "h1", "service.first"), pid, "one of both started it");
    laptop(&stage, &["apply", "--yes"]).exits(0).says("0 to create, 0 to change, 0 to remove");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_daemon_waits_while_a_laptop_rolls_out_and_goes_on_by_itself() {
    let Some(stage) = plain::stage("controllers-waits", &Spec::of(2, |host| host)) else { return };
    two_waves(&stage);
    linger(&stage, "5s");
    stage.commit("slow");
    let apply = stage
        .begin(stage.gitsync_of(LAPTOP, &["apply", "--yes", "--format", "json"]), "laptop.log");
    apply.wait_for(0, "\"changed\"", PATIENCE);
    stage.edit("services/second.yaml", "\"1\"", "\"3\"");
    stage.commit("second 3");
    let daemon = stage.daemon();
    let told = daemon.wait_for(0, "not rolled out: h1 is held by", PATIENCE);
    assert!(told.contains("wait for its verdict"), "{told}");
    apply.wait_for(0, "\"converged\"", PATIENCE);
    daemon.wait_for(0, "converged", PATIENCE);
    assert_eq!(versions(&stage), ["1", "3"]);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_controller_that_stood_still_is_fenced_after_another_took_over() {
    let Some(stage) = plain::stage("controllers-fenced", &Spec::of(2, |host| host)) else { return };
    two_waves(&stage);
    stage.apply();
    linger(&stage, "2s");
    second_version(&stage);
    let mut stale = stage.begin(stage.gitsync(&["apply", "--yes"]), "stale.log");
    stale.wait_for(0, "h1/service.first: switched, probing", PATIENCE);
    stale.signal("STOP");
    stage.edit("services/first.yaml", "\"2\"", "\"3\"");
    commit_version(&stage, "second", "2", "3");
    let refused = laptop(&stage, &["apply", "--yes"]).exits(1);
    refused.says("is held by user@").says("--take-over");
    assert_eq!(versions(&stage), ["2", "1"]);
    let took = laptop(&stage, &["apply", "--yes", "--take-over"]).exits(0);
    took.says("it is taken over").says("converged");
    assert_eq!(versions(&stage), ["3", "3"]);
    let before = Truth::of(&stage.lab).unwrap();
    let pids = ["h1/first", "h2/second"].map(|unit| pid(&stage, unit));
    stale.signal("CONT");
    let code = stale.ends(PATIENCE);
    let told = stale.log();
    assert_eq!(code, Some(4), "{told}");
    assert!(told.contains("the fence is at"), "{told}");
    assert!(told.contains("needs_operator"), "{told}");
    before.same(&Truth::of(&stage.lab).unwrap()).unwrap();
    assert_eq!(["h1/first", "h2/second"].map(|unit| pid(&stage, unit)), pids);
    assert_eq!(versions(&stage), ["3", "3"]);
    laptop(&stage, &["apply", "--yes"]).exits(0).says("0 to create, 0 to change, 0 to remove");
}

#[test]
fn a_daemon_killed_in_a_rollout_is_taken_over_by_another_controller() {
    let Some(stage) = plain::stage("controllers-killed", &Spec::of(2, |host| host)) else { return };
    two_waves(&stage);
    let mut daemon = stage.daemon();
    daemon.wait_for(0, "converged", PATIENCE);
    linger(&stage, "3s");
    let mark = daemon.mark();
    second_version(&stage);
    daemon.wait_for(mark, "h1/service.first: switched, probing", PATIENCE);
    daemon.signal("KILL");
    daemon.ends(PATIENCE);
    assert_eq!(versions(&stage), ["2", "1"]);
    laptop(&stage, &["apply", "--yes"]).exits(1).says("(rollout stage-2, for ").says("--take-over");
    laptop(&stage, &["apply", "--yes", "--take-over"]).exits(0).says("converged");
    assert_eq!(versions(&stage), ["2", "2"]);
    for host in ["h1", "h2"] {
        assert!(plain::truth(&stage, host).pending(host).is_empty(), "{host}");
        assert_eq!(plain::holder(&stage, host), None, "{host}");
    }
    // The dead one's journal still has the rollout open: it finds that it lost it, and leaves everything alone.
    let before = Truth::of(&stage.lab).unwrap();
    let again = stage.daemon_of("home", "again.log");
    let told = again.wait_for(0, "up to date", PATIENCE);
    assert!(told.contains("goes on"), "{told}");
    before.same(&Truth::of(&stage.lab).unwrap()).unwrap();
    assert_eq!(versions(&stage), ["2", "2"]);
    assert_eq!(again.stop(), Some(0));
}

#[test]
fn a_laptop_and_a_daemon_agree_on_last_good_and_quarantine() {
    let Some(stage) = plain::stage("controllers-agree", &Spec::of(2, |host| host)) else { return };
    write_web(&stage, &["h1", "h2"]);
    let good = stage.commit("web");
    let daemon = stage.daemon();
    daemon.wait_for(0, "converged", PATIENCE);
    let mark = daemon.mark();
    stage.edit("services/web.yaml", "APP_VERSION: \"1\"", "APP_VERSION: \"2\", APP_HEALTH: never");
    let bad = stage.commit("web never gets well");
    daemon.wait_for(mark, "rolled_back", PATIENCE);
    let before = Truth::of(&stage.lab).unwrap();
    let refused = laptop(&stage, &["apply", "--yes"]).exits(1);
    refused.says("is quarantined: ").says("gitsync retry").never_says("preparing");
    let status = laptop(&stage, &["status", "--format", "json"]).json();
    assert_eq!(status["last_good"]["commit"], good.as_str(), "{status}");
    assert_eq!(status["quarantine"][0]["commit"], bad.as_str(), "{status}");
    before.same(&Truth::of(&stage.lab).unwrap()).unwrap();
    assert_eq!(versions(&stage), ["1", "1"]);
    // Nor does the daemon try it again, and the laptop's own fix is the daemon's last good.
    stage.edit("services/web.yaml", "APP_HEALTH: never", "APP_HEALTH: ok");
    assert_eq!(daemon.stop(), Some(0));
    let fixed = stage.commit("web gets well");
    laptop(&stage, &["apply", "--yes"]).exits(0).says("converged");
    let after = Truth::of(&stage.lab).unwrap();
    let daemon = stage.daemon_of("home", "again.log");
    daemon.wait_for(0, "up to date", Duration::from_secs(30));
    assert!(!daemon.log().contains("begins"), "{}", daemon.log());
    assert_eq!(daemon.stop(), Some(0));
    after.same(&Truth::of(&stage.lab).unwrap()).unwrap();
    let status = stage.run(&["status", "--format", "json"]).exits(0).json();
    assert_eq!(status["last_good"]["commit"], fixed.as_str(), "{status}");
    assert_eq!(versions(&stage), ["2", "2"]);
}

/// The process of a unit, written `h1/first`.
#[track_caller]
fn pid(stage: &Stage, unit: &str) -> String {
    let (host, service) = unit.split_once('/').unwrap();
    process(stage, host, &format!("service.{service}"))
}
