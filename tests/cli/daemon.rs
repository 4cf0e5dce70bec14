//! `gitsync run`: pushes, signals, broken commits, and a daemon that ends in the middle of a rollout.

use crate::lab::{Lab, Running, wait};

/// A daemon that looks by itself once an hour, so that only what woke it explains what it does.
fn patient(lab: &Lab) -> Running {
    lab.start(&["run", &lab.bare().display().to_string(), "--interval", "1h"])
}

fn started(lab: &Lab) -> Running {
    lab.start(&["run", &lab.home().join("fleet.git").display().to_string(), "--interval", "1h"])
}

#[test]
fn push_is_live_within_one_poll() {
    let lab = Lab::new();
    // Not a path, so that no watcher sees the push: only the poll does.
    let url = format!("file://{}", lab.bare().display());
    let mut daemon = lab.start(&["run", &url, "--interval", "1s"]);
    daemon.hears("converged");
    lab.runs("web 1", "api 1", "welcome");
    lab.api("api 2");
    lab.commit("api 2");
    lab.push();
    daemon.hears("converged");
    lab.runs("web 1", "api 2", "welcome");
    daemon.signal("TERM");
    daemon.end().exits(0);
    lab.runs("web 1", "api 2", "welcome");
}

#[test]
fn local_repository_that_changes_and_hangups_are_looked_at_at_once() {
    let lab = Lab::new();
    let mut daemon = patient(&lab);
    daemon.hears("converged");
    lab.write("files/motd/motd", "pushed\n");
    lab.commit("pushed");
    lab.push();
    daemon.hears("converged");
    lab.runs("web 1", "api 1", "pushed");
    // A node that does not answer is asked again on the next look, which a hangup is.
    let away = lab.home().join("away");
    std::fs::rename(lab.node_directory("n2"), &away).unwrap();
    std::fs::write(lab.node_directory("n2"), "").unwrap();
    lab.write("files/motd/motd", "third\n");
    lab.commit("third");
    lab.push();
    daemon.hears("not rolled out: n2 can't be reached");
    lab.runs("web 1", "api 1", "pushed");
    std::fs::remove_file(lab.node_directory("n2")).unwrap();
    std::fs::rename(&away, lab.node_directory("n2")).unwrap();
    daemon.signal("HUP");
    daemon.hears("converged");
    lab.runs("web 1", "api 1", "third");
    daemon.signal("INT");
    daemon.end().exits(0);
}

#[test]
fn broken_commit_is_told_changes_nothing_and_its_fix_goes_through() {
    let lab = Lab::new();
    let mut daemon = patient(&lab);
    daemon.hears("converged");
    let good = std::fs::read_to_string(lab.repository().join("services/web.yaml")).unwrap();
    lab.write("services/web.yaml", &good.replace("on: [n1]", "on: [n9]"));
    lab.api("api 2");
    lab.commit("broken");
    lab.push();
    daemon.hears("services/web.yaml:3:19");
    daemon.hears("nothing was changed");
    lab.runs("web 1", "api 1", "welcome");
    lab.web("web 2");
    lab.commit("fixed");
    lab.push();
    daemon.hears("converged");
    lab.runs("web 2", "api 2", "welcome");
}

#[test]
fn commit_without_nodes_is_refused_once_and_the_old_fleet_is_kept_up() {
    let lab = Lab::new();
    let url = format!("file://{}", lab.bare().display());
    let mut daemon = lab.start(&["run", &url, "--interval", "1s"]);
    daemon.hears("converged");
    lab.without_nodes();
    lab.push();
    daemon.hears("not rolled out: this fleet no longer has any node");
    lab.runs("web 1", "api 1", "welcome");
    // At later looks what fell is started again, and nothing is said twice.
    lab.kill_app(lab.web);
    daemon.hears("n1/service.web did not run: started again");
    lab.runs("web 1", "api 1", "welcome");
    lab.node("n1");
    lab.node("n2");
    lab.api("api 1");
    lab.web("web 2");
    lab.commit("nodes again");
    lab.push();
    daemon.hears("converged");
    assert_eq!(lab.web_says().as_deref(), Some("web 2"));
    daemon.signal("TERM");
    let said = daemon.end().exits(0);
    assert_eq!(said.out.matches("no longer has any node").count(), 1, "{}", said.out);
}

#[test]
fn sick_commit_is_put_back_and_tried_once() {
    let lab = Lab::new();
    let mut daemon = patient(&lab);
    daemon.hears("converged");
    lab.sick_web("web 2");
    lab.commit("sick");
    lab.push();
    daemon.hears("rolled_back");
    lab.runs("web 1", "api 1", "welcome");
    daemon.signal("HUP");
    lab.write("README.md", "unrelated\n");
    lab.commit("unrelated");
    lab.push();
    daemon.hears("is quarantined");
    lab.web("web 3");
    lab.commit("the fix");
    lab.push();
    daemon.hears("converged");
    lab.runs("web 3", "api 1", "welcome");
}

#[test]
fn a_service_that_died_is_started_again_whatever_the_newest_commit_is_like() {
    let lab = Lab::new();
    let url = format!("file://{}", lab.bare().display());
    let mut daemon = lab.start(&["run", &url, "--interval", "1s"]);
    daemon.hears("converged");
    lab.kill_app(lab.web);
    daemon.hears("n1/service.web did not run: started again");
    wait("web", || lab.web_says().as_deref() == Some("web 1"));
    // A commit that can't be rolled out keeps nothing down.
    lab.write("services/api.yaml", "image: [");
    lab.commit("broken");
    lab.push();
    daemon.hears("nothing was changed");
    lab.kill_app(lab.api);
    daemon.hears("n2/service.api did not run: started again");
    wait("api", || lab.api_says().as_deref() == Some("api 1"));
    daemon.signal("TERM");
    let said = daemon.end().exits(0);
    assert_eq!(said.out.matches("started again").count(), 2, "{}", said.out);
    lab.gitsync(&["history"]).exits(0).says("converged");
    lab.runs("web 1", "api 1", "welcome");
}

#[test]
fn sigterm_during_a_rollout_ends_at_a_safe_point_and_a_restart_converges() {
    let lab = Lab::new();
    let mut daemon = patient(&lab);
    daemon.hears("converged");
    lab.api("api 2");
    lab.slow_web("web 2", "3s");
    lab.commit("slow");
    lab.push();
    daemon.hears("n2/service.api: switched");
    daemon.signal("TERM");
    let said = daemon.end().exits(0);
    assert_eq!(said.out.matches("converged").count(), 1, "{}", said.out);
    let mut daemon = started(&lab);
    daemon.hears("goes on");
    daemon.hears("converged");
    lab.runs("web 2", "api 2", "welcome");
    daemon.hears("up to date");
    let said = daemon.said();
    assert!(!said.contains("n2/service.api: switching"), "it was switched already: {said}");
}

#[test]
fn kill_during_a_rollout_and_a_restart_end_on_one_side() {
    let lab = Lab::new();
    let mut daemon = patient(&lab);
    daemon.hears("converged");
    let moments = [
        "n1: preparing",
        "n2/service.api: switching",
        "n2/service.api: healthy",
        "n1/service.web: switched",
    ];
    for (round, moment) in moments.iter().enumerate() {
        let (web, api) = (format!("web k{round}"), format!("api k{round}"));
        lab.slow_web(&web, "1s");
        lab.api(&api);
        lab.write("files/motd/motd", &format!("motd k{round}\n"));
        lab.commit("to be killed in");
        lab.push();
        daemon.hears(moment);
        daemon.kill();
        daemon = started(&lab);
        daemon.hears("goes on");
        daemon.hears("converged");
        daemon.hears("up to date");
        lab.runs(&web, &api, &format!("motd k{round}"));
    }
}

#[test]
fn restart_puts_a_rollout_back_whose_commit_is_gone() {
    let lab = Lab::new();
    let mut daemon = patient(&lab);
    daemon.hears("converged");
    let good = lab.repository().join(".git/refs/heads/main");
    let good = std::fs::read_to_string(good).unwrap();
    lab.slow_web("web 2", "30s");
    lab.commit("to be forgotten");
    lab.push();
    daemon.hears("n1/service.web: switched");
    daemon.kill();
    lab.settle();
    // History was rewritten and the mirror lost: nobody can read the commit any more.
    std::fs::remove_dir_all(lab.home().join("fleet.git")).unwrap();
    std::fs::remove_dir_all(lab.state().join("mirror")).unwrap();
    std::fs::write(lab.repository().join(".git/refs/heads/main"), good).unwrap();
    let mut daemon = patient(&lab);
    daemon.hears("can't be read any more");
    daemon.hears("rolled_back");
    daemon.hears("up to date");
    lab.runs("web 1", "api 1", "welcome");
}

#[test]
fn second_controller_in_one_state_directory_is_refused_clearly() {
    let lab = Lab::new();
    let mut daemon = patient(&lab);
    daemon.hears("converged");
    lab.gitsync(&["apply", "--yes"]).exits(1).says("another gitsync (pid ").says("--state");
    let second = started(&lab).end().exits(1);
    assert!(second.err.contains("another gitsync (pid "), "{}", second.err);
    lab.gitsync(&["status"]).exits(0).says("running");
    lab.gitsync(&["history"]).exits(0).says("converged");
    lab.gitsync(&["plan"]).exits(0);
    daemon.signal("TERM");
    daemon.end().exits(0);
}

#[test]
fn daemon_without_a_repository_says_where_to_write_it() {
    let lab = Lab::new();
    lab.gitsync(&["run"]).exits(1).says("GITSYNC_REPOSITORY");
    let nowhere = lab.home().join("nowhere").display().to_string();
    lab.gitsync(&["run", &nowhere, "--interval", "soon"]).exits(2).says("--interval");
    let mut daemon = lab.start(&["run", &lab.bare().display().to_string(), "--branch", "live"]);
    daemon.hears("has no branch `live`");
    daemon.signal("TERM");
    daemon.end().exits(0);
}

#[test]
fn json_news_are_one_object_a_line() {
    let lab = Lab::new();
    let url = lab.bare().display().to_string();
    let mut daemon = lab.start(&["run", &url, "--interval", "1h", "--format", "json"]);
    daemon.hears("\"converged\"");
    wait("the log's last line", || daemon.said().ends_with('\n'));
    daemon.signal("TERM");
    let lines = daemon.end().exits(0).json_lines();
    assert_eq!(lines[0]["news"], "commit");
    assert!(lines.iter().any(|line| line["event"] == "ended"));
}

#[test]
fn fleet_that_halts_on_failure_waits_for_a_person_before_the_next_rollout() {
    let lab = Lab::new();
    let fleet = std::fs::read_to_string(lab.repository().join("fleet.yaml")).unwrap();
    assert!(!fleet.contains("on_failure"), "{fleet}");
    let halting = match fleet.contains("rollout: {") {
        true => fleet.replace("rollout: {", "rollout: { on_failure: halt,"),
        false => fleet + "rollout: { on_failure: halt }\n",
    };
    lab.write("fleet.yaml", &halting);
    lab.commit("halt on failure");
    let mut daemon = patient(&lab);
    daemon.hears("converged");
    lab.sick_web("web 2");
    lab.commit("sick");
    lab.push();
    daemon.hears("needs_operator: ");
    lab.web("web 3");
    lab.commit("mended");
    lab.push();
    daemon.hears("not rolled out: this fleet halts on failure");
    daemon.signal("TERM");
    daemon.end().exits(0);
    lab.gitsync(&["apply", "--yes"]).exits(0).says("converged");
    lab.runs("web 3", "api 1", "welcome");
    let mut daemon = patient(&lab);
    daemon.hears("up to date");
    lab.web("web 4");
    lab.commit("goes on by itself");
    lab.push();
    daemon.hears("converged");
}
