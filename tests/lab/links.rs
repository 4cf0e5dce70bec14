//! Links and machines that fail: nodes that can't be reached, sleep, freeze, hear nothing or go in the middle.

use std::time::{Duration, Instant};

use gitsync_lab::{Spec, Truth, Way};

use crate::plain::{
    self, PATIENCE, PORT, commit_version, process, run_within, untouched, write_service, write_web,
};

#[test]
fn required_nodes_that_fail_in_five_ways_are_all_named_and_nothing_changes_anywhere() {
    let Some(stage) = plain::stage("links-required", &Spec::of(6, |host| host)) else { return };
    write_web(&stage, &["h1", "h2", "h3", "h4", "h5", "h6"]);
    stage.commit("web");
    stage.apply();
    commit_version(&stage, "web", "1", "2");
    let before = Truth::of(&stage.lab).unwrap();
    let pid = process(&stage, "h1", "service.web");
    stage.host("h2").cut().unwrap();
    stage.host("h3").one_way(Way::Deaf, stage.lab.controller()).unwrap();
    stage.host("h4").one_way(Way::Mute, stage.lab.controller()).unwrap();
    stage.host("h5").hang_sshd().unwrap();
    stage.host("h6").freeze().unwrap();
    let said = run_within(&stage, Duration::from_secs(45), &["apply", "--yes"]).exits(1);
    for host in ["h2", "h3", "h4", "h5", "h6"] {
        assert!(said.err.contains(&format!("{host} can't be reached: ")), "{host}: {}", said.err);
    }
    assert!(!said.err.contains("h1 can't"), "{}", said.err);
    drop(said.says("timed out").says("optional: true").says("nothing was changed"));
    stage.host("h6").thaw().unwrap();
    before.same(&Truth::of(&stage.lab).unwrap()).unwrap();
    assert_eq!(process(&stage, "h1", "service.web"), pid);
    assert_eq!(stage.version("h1", PORT), "1");
    stage.host("h2").mend().unwrap();
    stage.host("h3").both_ways(Way::Deaf, stage.lab.controller()).unwrap();
    stage.host("h4").both_ways(Way::Mute, stage.lab.controller()).unwrap();
    stage.host("h5").wake_sshd().unwrap();
    stage.apply();
    for host in stage.lab.hosts() {
        assert_eq!(stage.version(host.name(), PORT), "2", "{}", host.name());
    }
}

#[test]
fn an_optional_node_that_sleeps_is_skipped_and_catches_up_by_itself_when_it_returns() {
    let Some(stage) = plain::stage("links-asleep", &Spec::of(2, |host| host)) else { return };
    stage.write_node("h2", "optional: true\n");
    write_web(&stage, &["h1", "h2"]);
    stage.commit("web");
    let daemon = stage.daemon();
    daemon.wait_for(0, "converged", PATIENCE);
    assert_eq!([stage.version("h1", PORT), stage.version("h2", PORT)], ["1", "1"]);
    let asleep = plain::truth(&stage, "h2");
    stage.host("h2").cut().unwrap();
    let mark = daemon.mark();
    commit_version(&stage, "web", "1", "2");
    let told = daemon.wait_for(mark, "converged", PATIENCE);
    assert!(told.contains("h2 takes no part (asleep: "), "{told}");
    assert!(told.contains("h1/service.web: healthy") && !told.contains("h2/"), "{told}");
    assert_eq!(stage.version("h1", PORT), "2");
    untouched(&stage, "h2", &asleep);
    let awake = (plain::truth(&stage, "h1"), process(&stage, "h1", "service.web"));
    let mark = daemon.mark();
    stage.host("h2").mend().unwrap();
    let told = daemon.wait_for(mark, "converged", PATIENCE);
    assert!(told.contains("h2/service.web: healthy") && !told.contains("h1/service"), "{told}");
    assert_eq!(stage.version("h2", PORT), "2");
    untouched(&stage, "h1", &awake.0);
    assert_eq!(process(&stage, "h1", "service.web"), awake.1);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn an_optional_node_lost_after_prepare_leaves_the_rollout_and_is_caught_up() {
    let Some(stage) = plain::stage("links-left", &Spec::of(2, |host| host)) else { return };
    // Far longer than this scenario: whose rollout it was does not wait for the lapse.
    stage.edit("fleet.yaml", "rollout: { prune", "rollout: { dead_man: 2h, prune");
    stage.write_node("h2", "optional: true\n");
    write_service(&stage, "first", &["h1"], PORT, "");
    write_service(&stage, "second", &["h2"], PORT, "depends_on: [first]\n");
    stage.commit("both");
    stage.apply();
    stage.edit("services/first.yaml", "\"1\"", "\"2\"");
    commit_version(&stage, "second", "1", "2");
    let quick = quick_daemon(&stage);
    quick.wait_for(0, "h1/service.first: switching", PATIENCE);
    stage.host("h2").cut().unwrap();
    let told = quick.wait_for(0, "converged", Duration::from_secs(120));
    assert!(told.contains("h2: left this rollout"), "{told}");
    assert_eq!(stage.version("h1", PORT), "2");
    let mark = quick.mark();
    stage.host("h2").mend().unwrap();
    let told = quick.wait_for(mark, "converged", PATIENCE);
    assert!(told.contains("h2/service.second: healthy"), "{told}");
    assert_eq!(stage.version("h2", PORT), "2");
    assert_eq!(plain::holder(&stage, "h2"), None);
    assert_eq!(quick.stop(), Some(0));
}

#[test]
fn a_required_node_lost_after_prepare_puts_the_rest_back_and_is_put_right_when_it_returns() {
    let Some(stage) = plain::stage("links-lost", &Spec::of(2, |host| host)) else { return };
    plain::short_lease(&stage);
    write_service(&stage, "first", &["h1"], PORT, "");
    write_service(&stage, "second", &["h2"], PORT, "depends_on: [first]\n");
    stage.commit("both");
    stage.apply();
    let before = Truth::of(&stage.lab).unwrap();
    stage.edit("services/first.yaml", "\"1\"", "\"2\"");
    commit_version(&stage, "second", "1", "2");
    let mut command = stage.gitsync(&["apply", "--yes"]);
    command.env("GITSYNC_CONNECT_TIMEOUT", "2s");
    let mut apply = stage.begin(command, "apply.log");
    apply.wait_for(0, "h1/service.first: switching", PATIENCE);
    stage.host("h2").cut().unwrap();
    let began = Instant::now();
    assert_eq!(apply.ends(Duration::from_secs(150)), Some(4), "{}", apply.log());
    let told = apply.log();
    assert!(began.elapsed() < Duration::from_secs(120), "{told}");
    assert!(told.contains("h1/service.first: put back"), "{told}");
    assert!(told.contains("needs_operator: ") && told.contains("h2/service.second"), "{told}");
    assert_eq!(stage.version("h1", PORT), "1");
    before.only_host("h1").same_content(&plain::truth(&stage, "h1")).unwrap();
    stage.host("h2").mend().unwrap();
    stage.until(PATIENCE, "h2 again", || match stage.version("h2", PORT).as_str() {
        "1" => Ok(()),
        other => Err(other.to_owned()),
    });
    stage.apply();
    assert_eq!([stage.version("h1", PORT), stage.version("h2", PORT)], ["2", "2"]);
    for host in ["h1", "h2"] {
        assert_eq!(plain::holder(&stage, host), None, "{host}");
        assert!(plain::truth(&stage, host).pending(host).is_empty());
    }
}

#[test]
fn a_host_that_freezes_while_it_is_probed_costs_the_rollout_time_and_nothing_else() {
    let Some(stage) = plain::stage("links-frozen", &Spec::of(2, |host| host)) else { return };
    write_service(&stage, "first", &["h1"], PORT, "");
    write_service(&stage, "second", &["h2"], PORT, "depends_on: [first]\n");
    stage.edit("services/second.yaml", "port: web }", "port: web, stable_for: 3s }");
    stage.commit("both");
    stage.apply();
    stage.edit("services/first.yaml", "\"1\"", "\"2\"");
    commit_version(&stage, "second", "1", "2");
    let mut apply = stage.begin(stage.gitsync(&["apply", "--yes"]), "apply.log");
    apply.wait_for(0, "h2/service.second: switched, probing", PATIENCE);
    stage.host("h2").freeze().unwrap();
    let frozen = Instant::now();
    let told = apply.wait_for(0, "trying again in", Duration::from_secs(55));
    assert!(told.contains("h2: `h2`"), "{told}");
    assert!(frozen.elapsed() < Duration::from_secs(55), "{told}");
    stage.host("h2").thaw().unwrap();
    assert_eq!(apply.ends(PATIENCE), Some(0), "{}", apply.log());
    assert_eq!([stage.version("h1", PORT), stage.version("h2", PORT)], ["2", "2"]);
}

#[test]
fn a_slow_line_takes_longer_and_brings_everything_whole() {
    let Some(stage) = plain::stage("links-slow", &Spec::of(1, |host| host)) else { return };
    write_web(&stage, &["h1"]);
    stage.commit("web");
    stage.apply();
    let noise: String = (0u32..200_000)
        .map(|n| char::from(b'!' + (n.wrapping_mul(2_654_435_761) >> 25) as u8 % 90))
        .collect();
    stage.write("files/noise/noise", &noise);
    stage.write(
        "bundles/noise.yaml",
        "files: files/noise/\nto: { on: [h1], path: /etc/noise, mode: \"0644\" }\n",
    );
    stage.commit("noise");
    stage.host("h1").slow(Some(256)).unwrap();
    let began = Instant::now();
    run_within(&stage, Duration::from_secs(45), &["apply", "--yes"]).exits(0).says("converged");
    assert!(began.elapsed() > Duration::from_secs(3), "the line was not slow");
    assert_eq!(stage.host("h1").read("/etc/noise/noise").unwrap(), noise);
    assert_eq!(stage.version("h1", PORT), "1");
}

/// The daemon with a shorter wait for nodes that are gone.
fn quick_daemon(stage: &crate::stage::Stage) -> crate::stage::Daemon {
    let bare = stage.bare();
    let mut command = stage.gitsync(&["run", bare.to_str().unwrap(), "--interval", "1s"]);
    command.env("GITSYNC_CONNECT_TIMEOUT", "2s");
    stage.begin(command, "daemon.log")
}
