//! Commands that tell what is and what was: status, history, show, drift, check; and the way back, rollback.

use crate::lab::Lab;

#[test]
fn status_tells_what_runs_where_and_who_is_behind() {
    let lab = Lab::new();
    lab.gitsync(&["status"]).exits(0).says("nothing was rolled out yet").says("not there yet");
    let commit = lab.commit("to be rolled out");
    lab.gitsync(&["apply", "--yes"]).exits(0);
    let said = lab.gitsync(&["status"]).exits(0).says(&commit[..12]).says("running");
    assert!(!said.out.contains("behind"), "{}", said.out);
    lab.web("web 2");
    lab.gitsync(&["status"]).exits(0).says("running, behind");
    let status = lab.gitsync(&["status", "--format", "json"]).exits(0).json();
    assert_eq!(status["last_good"]["commit"], commit.as_str());
    assert_eq!(status["nodes"].as_array().unwrap().len(), 2);
    assert_eq!(status["units"].as_array().unwrap().len(), 3);
}

#[test]
fn history_lists_rollouts_and_show_tells_one_with_every_step() {
    let lab = Lab::new();
    lab.gitsync(&["history"]).exits(0);
    lab.gitsync(&["show", "nothing"]).exits(1).says("no rollout `nothing`").says("gitsync history");
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.sick_web("web 2");
    lab.commit("sick");
    lab.gitsync(&["apply", "--yes"]).exits(3);
    let said = lab.gitsync(&["history"]).exits(0);
    assert!(said.out.contains("converged") && said.out.contains("rolled_back"), "{}", said.out);
    let past = lab.gitsync(&["history", "--format", "json"]).exits(0).json();
    assert_eq!(past.as_array().unwrap().len(), 2);
    assert_eq!(past[0]["verdict"], "rolled_back", "newest first");
    let id = past[0]["id"].as_str().unwrap();
    let said = lab.gitsync(&["show", id]).exits(0);
    for text in ["n1/service.web: switching", "put back", "rolled_back", "UTC"] {
        assert!(said.out.contains(text), "no `{text}` in {}", said.out);
    }
    let shown = lab.gitsync(&["show", id, "--format", "json"]).exits(0).json();
    assert!(shown["events"].as_array().unwrap().len() > 5, "{shown}");
    assert_eq!(
        lab.gitsync(&["history", "--limit", "1", "--format", "json"])
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn drift_tells_changed_files_and_dead_processes_and_nothing_when_there_is_none() {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.gitsync(&["drift"]).exits(0).says("no drift");
    assert_eq!(lab.gitsync(&["drift", "--format", "json"]).exits(0).json(), serde_json::json!([]));
    std::fs::write(lab.motd(), "by hand\n").unwrap();
    lab.kill_app(lab.web);
    let said = lab.gitsync(&["drift"]).exits(1);
    for text in [
        "was changed",
        "-welcome",
        "+by hand",
        "n1/service.web: its process died",
        "2 differences in 2 units",
    ] {
        assert!(said.out.contains(text), "no `{text}` in {}", said.out);
    }
    let found = lab.gitsync(&["drift", "--format", "json"]).exits(1).json();
    assert_eq!(found.as_array().unwrap().len(), 2, "{found}");
}

#[test]
fn check_asks_every_probe_once_and_exits_with_1_when_one_fails() {
    let lab = Lab::new();
    lab.gitsync(&["check"]).exits(1).says("not there");
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.gitsync(&["check"]).exits(0).says("0 failed");
    lab.kill_app(lab.web);
    let said = lab.gitsync(&["check"]).exits(1);
    assert!(said.out.contains("FAILED") && said.out.contains("n1/service.web"), "{}", said.out);
    let rows = lab.gitsync(&["check", "--format", "json"]).exits(1).json();
    assert!(rows.as_array().unwrap().iter().any(|row| row["good"] == false), "{rows}");
}

#[test]
fn rollback_goes_to_the_good_release_before_and_quarantines_what_it_left() {
    let lab = Lab::new();
    lab.gitsync(&["rollback", "--yes"]).exits(1).says("no earlier good release");
    lab.gitsync(&["apply", "--yes"]).exits(0);
    let second = {
        lab.web("web 2");
        lab.write("files/motd/motd", "second\n");
        lab.commit("second")
    };
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.runs("web 2", "api 1", "second");
    lab.gitsync(&["rollback"]).exits(1).says("not confirmed");
    lab.gitsync(&["rollback", "--format", "json"]).exits(1).says("not confirmed");
    lab.runs("web 2", "api 1", "second");
    lab.gitsync(&["rollback", "--yes"]).exits(0).says("converged");
    lab.runs("web 1", "api 1", "welcome");
    lab.gitsync(&["apply", "--yes"]).exits(1).says("rolled back from by ada@");
    let listed = lab.gitsync(&["rollback", "--list"]).exits(0);
    assert!(listed.out.contains(&second[..12]), "{}", listed.out);
    lab.gitsync(&["rollback", "--to", &second[..8], "--yes"]).exits(0).says("converged");
    lab.runs("web 2", "api 1", "second");
    lab.gitsync(&["rollback", "--to", "nowhere", "--yes"])
        .exits(1)
        .says("`nowhere`")
        .says("kept are");
    let goods = lab.gitsync(&["rollback", "--list", "--format", "json"]).exits(0).json();
    assert_eq!(goods.as_array().unwrap().len(), 2, "{goods}");
}

#[test]
fn rollback_needs_neither_the_commit_nor_its_files() {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.web("web 2");
    lab.commit("second");
    lab.gitsync(&["apply", "--yes"]).exits(0);
    std::fs::remove_dir_all(lab.repository().join(".git")).unwrap();
    std::fs::remove_dir_all(lab.state()).unwrap();
    lab.gitsync(&["rollback", "--yes"]).exits(0).says("converged");
    lab.runs("web 1", "api 1", "welcome");
}
