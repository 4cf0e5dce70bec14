//! `gitsync apply`: what it takes, what it refuses, and what comes of it.

use crate::lab::{Lab, Running, service, wait};

#[test]
fn first_apply_brings_everything_up_and_the_second_says_that_nothing_changes() {
    let lab = Lab::new();
    let said = lab.gitsync(&["apply", "--yes"]).exits(0).says("3 to create").says("converged");
    let place = |text: &str| said.out.find(text).unwrap_or_else(|| panic!("{text}: {}", said.out));
    assert!(place("n2/service.api: healthy") < place("n1/service.web: switching"));
    lab.runs("web 1", "api 1", "welcome");
    let before = std::fs::metadata(lab.motd()).unwrap().modified().unwrap();
    let said =
        lab.gitsync(&["apply", "--yes"]).exits(0).says("0 to create, 0 to change, 0 to remove");
    assert!(!said.out.contains("rollout"), "{}", said.out);
    assert_eq!(std::fs::metadata(lab.motd()).unwrap().modified().unwrap(), before);
    lab.runs("web 1", "api 1", "welcome");
}

#[test]
fn json_lines_tell_a_rollout_and_that_nothing_changes() {
    let lab = Lab::new();
    let events = lab.gitsync(&["apply", "--yes", "--format", "json"]).exits(0).json_lines();
    assert_eq!(events[0]["event"], "rollout_started");
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["verdict"]), (&"ended".into(), &"converged".into()));
    let events = lab.gitsync(&["apply", "--yes", "--format", "json"]).exits(0).json_lines();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["event"], "up_to_date");
}

#[test]
fn quiet_apply_tells_only_how_it_ended() {
    let lab = Lab::new();
    let said = lab.gitsync(&["apply", "--yes", "--quiet"]).exits(0);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("converged\n", ""));
}

#[test]
fn without_a_terminal_and_yes_nothing_is_changed_in_any_format() {
    let lab = Lab::new();
    for more in [&["--format", "text"][..], &["--format", "json"], &["--quiet"]] {
        let arguments = [&["apply"], more].concat();
        lab.gitsync(&arguments).exits(1).says("not confirmed: nothing was changed").says("--yes");
        assert_eq!(lab.web_says(), None);
        assert!(!lab.motd().exists());
    }
}

#[test]
fn dirty_tree_needs_to_be_asked_for_and_never_becomes_last_good() {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    let good = lab.gitsync(&["status", "--format", "json"]).exits(0).json()["last_good"].clone();
    lab.write("files/motd/motd", "scribbled\n");
    lab.gitsync(&["apply", "--yes"]).exits(1).says("the files differ from HEAD").says("--dirty");
    lab.runs("web 1", "api 1", "welcome");
    lab.gitsync(&["apply", "--yes", "--dirty"]).exits(0).says("converged");
    lab.runs("web 1", "api 1", "scribbled");
    let now = lab.gitsync(&["status", "--format", "json"]).exits(0).json()["last_good"].clone();
    assert_eq!(now, good);
}

#[test]
fn failing_probe_is_put_back_quarantined_and_never_blocks_its_fix() {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.sick_web("web 2");
    lab.api("api 2");
    lab.write("files/motd/motd", "second\n");
    lab.commit("web 2 is sick");
    let said = lab.gitsync(&["apply", "--yes"]).exits(3).says("503").says("quarantined");
    assert!(said.out.contains("putting back") && said.out.contains("rolled_back"), "{}", said.out);
    lab.runs("web 1", "api 1", "welcome");
    lab.write("README.md", "nothing that anything is made from\n");
    lab.commit("unrelated");
    lab.gitsync(&["apply", "--yes"]).exits(1).says("quarantined").says("gitsync retry");
    lab.gitsync(&["status"]).exits(0).says("quarantined:");
    lab.web("web 3");
    lab.commit("the fix");
    lab.gitsync(&["apply", "--yes"]).exits(0).says("converged");
    lab.runs("web 3", "api 2", "second");
}

#[test]
fn retry_lifts_the_quarantine_once_and_says_when_there_is_none() {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.gitsync(&["retry"]).exits(1).says("is quarantined").says("gitsync status");
    lab.sick_web("web 2");
    lab.commit("web 2 is sick");
    lab.gitsync(&["apply", "--yes"]).exits(3);
    lab.gitsync(&["retry"]).exits(0).says("lifted on");
    lab.gitsync(&["apply", "--yes"]).exits(3).says("503");
    lab.gitsync(&["retry", "--all"]).exits(0);
    assert!(!lab.gitsync(&["status"]).exits(0).out.contains("quarantined"));
    lab.runs("web 1", "api 1", "welcome");
}

#[test]
fn removed_service_is_stopped_and_its_files_go() {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.remove("services/web.yaml");
    lab.commit("without web");
    lab.gitsync(&["apply", "--yes"]).exits(0).says("n1/service.web: stopped");
    assert_eq!(lab.web_says(), None);
    assert_eq!(lab.api_says().as_deref(), Some("api 1"));
}

#[test]
fn removed_node_is_cleaned_with_the_file_of_the_last_good_commit() {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.remove("nodes/n2.yaml");
    lab.remove("services/api.yaml");
    lab.write("services/web.yaml", &service("n1", lab.web, "web 1", ""));
    lab.commit("without n2");
    lab.gitsync(&["plan"]).exits(0).says("n2/service.api");
    lab.gitsync(&["apply", "--yes"]).exits(0).says("n2/service.api: stopped").says("converged");
    assert_eq!(lab.api_says(), None);
    assert_eq!(lab.web_says().as_deref(), Some("web 1"));
    lab.gitsync(&["apply", "--yes"]).exits(0).says("0 to remove");
}

#[test]
fn removed_node_that_does_not_answer_is_warned_about_and_forgotten_by_nobody() {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    let place = lab.node_directory("n2");
    let away = lab.home().join("away");
    std::fs::rename(&place, &away).unwrap();
    std::fs::write(&place, "not a directory\n").unwrap();
    let node = std::fs::read_to_string(lab.repository().join("nodes/n2.yaml")).unwrap();
    lab.remove("nodes/n2.yaml");
    lab.remove("services/api.yaml");
    lab.write("services/web.yaml", &service("n1", lab.web, "web 2", ""));
    lab.commit("without n2");
    lab.gitsync(&["apply", "--yes"]).exits(0).says("n2 left the fleet but does not answer");
    assert_eq!(lab.web_says().as_deref(), Some("web 2"));
    std::fs::remove_file(&place).unwrap();
    std::fs::rename(&away, &place).unwrap();
    lab.write("nodes/n2.yaml", &node);
    lab.commit("n2 again");
    lab.gitsync(&["apply", "--yes"]).exits(0).says("n2/service.api: stopped");
    assert_eq!(lab.api_says(), None);
}

/// A rollout in the middle: `web 2` runs, and stays under watch for long.
fn under_way(lab: &Lab) -> Running {
    lab.slow_web("web 2", "30s");
    lab.commit("web 2 stays under watch for long");
    let mut rollout = lab.start(&["apply", "--yes"]);
    rollout.hears("n1/service.web: switched");
    rollout
}

#[test]
fn dead_controllers_hold_is_refused_with_the_way_out_and_taken_over_on_demand() {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    under_way(&lab).kill();
    lab.settle();
    // The machine with the journal is gone; somebody else goes on from the repository.
    std::fs::remove_dir_all(lab.state()).unwrap();
    lab.web("web 3");
    lab.commit("web 3");
    let said =
        lab.gitsync(&["apply", "--yes"]).exits(1).says("is held by ada@").says("--take-over");
    assert!(said.err.contains("for "), "{}", said.err);
    let said = lab.gitsync(&["apply", "--yes", "--take-over"]).exits(0).says("converged");
    assert!(said.err.contains("warning: n1 is held by ada@"), "{}", said.err);
    wait("web 3", || lab.web_says().as_deref() == Some("web 3"));
    lab.gitsync(&["apply", "--yes"]).exits(0).says("0 to change");
}

#[test]
fn hold_of_a_dead_controller_is_unlocked_with_a_reason_that_history_keeps() {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.gitsync(&["unlock", "--reason", "none", "--yes"]).exits(1).says("nobody holds a node");
    under_way(&lab).kill();
    lab.settle();
    std::fs::remove_dir_all(lab.state()).unwrap();
    let reason = "that laptop fell into the sea";
    let refused = lab.gitsync(&["unlock", "--reason", reason]).exits(1).says("not confirmed");
    assert!(refused.err.contains("n1, n2: held by ada@"), "{}", refused.err);
    lab.gitsync(&["unlock", "--reason", " ", "--yes"]).exits(1).says("needs a reason");
    lab.gitsync(&["unlock", "--reason", reason, "--yes"]).exits(0).says("unlocked");
    // What it had changed was taken back by the nodes.
    lab.runs("web 1", "api 1", "welcome");
    let history = lab.gitsync(&["history"]).exits(0).says("unlocked").says(reason);
    assert!(history.out.contains("rollout lab-2 of ada@"), "{}", history.out);
    let json = lab.gitsync(&["history", "--format", "json"]).exits(0).json();
    assert_eq!(json[0]["unlocked"]["reason"], reason, "{json}");
    lab.web("web 3");
    lab.commit("web 3");
    lab.gitsync(&["apply", "--yes"]).exits(0).says("converged").never_says("is held by");
}

/// While one rollout is under way another one is refused, or waits for its end when that is asked for.
fn waits_for_another(state: impl Fn(&Lab) -> String, who: &str) {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    let first = under_way(&lab);
    lab.web("web 3");
    lab.commit("web 3");
    let state = state(&lab);
    let apply = ["apply", "--yes", "--state", &state];
    lab.gitsync(&apply).exits(1).says(who).never_says("waiting: ");
    let said = lab.gitsync(&[&apply[..], &["--lock-wait", "10ms"]].concat()).exits(1);
    assert!(said.err.contains("waiting: ") && said.err.contains("error: "), "{}", said.err);
    let second = lab.start(&[&apply[..], &["--lock-wait", "1m"]].concat());
    second.complains("waiting: ");
    second.complains(who);
    first.ctrl_c();
    first.end().exits(3);
    let said = second.end().exits(0).says("converged");
    assert_eq!(said.err.matches("waiting: ").count(), 1, "{}", said.err);
    lab.runs("web 3", "api 1", "welcome");
}

#[test]
fn rollout_of_another_controller_is_waited_for_when_that_is_asked_for() {
    let other = |lab: &Lab| lab.home().join("other").display().to_string();
    waits_for_another(other, "n1 is held by ada@");
}

#[test]
fn rollout_with_the_same_state_directory_is_waited_for_when_that_is_asked_for() {
    waits_for_another(|lab| lab.state().display().to_string(), "another gitsync (pid ");
}
