//! What people meet on a bad day: every message says what is wrong and what to do.

use std::net::TcpListener;

use crate::lab::Lab;

#[test]
fn folder_without_git_is_told() {
    let lab = Lab::new();
    std::fs::remove_dir_all(lab.repository().join(".git")).unwrap();
    lab.gitsync(&["apply", "--yes"]).exits(1).says("not in a Git repository").says("--dirty");
    lab.gitsync(&["plan", "--base", "HEAD"]).exits(1).says("not inside a Git repository");
    lab.gitsync(&["validate"]).exits(0);
}

#[test]
fn folder_without_a_fleet_is_told() {
    let lab = Lab::new();
    lab.remove("fleet.yaml");
    lab.gitsync(&["validate"]).exits(2).says("fleet.yaml");
    lab.gitsync(&["validate", "no/such/folder"]).exits(1).says("`no/such/folder` does not exist");
    let file = lab.repository().join("nodes/n1.yaml").display().to_string();
    lab.gitsync(&["validate", &file]).exits(1).says("is not a directory");
}

#[test]
fn unusable_state_directory_is_told_before_anything_changes() {
    let lab = Lab::new();
    std::fs::write(lab.state(), "a file, not a directory\n").unwrap();
    let said =
        lab.gitsync(&["apply", "--yes"]).exits(1).says("the state directory `").says("--state");
    assert!(!said.err.contains("exists (os error") || said.err.contains("can't be used"));
    assert_eq!(lab.web_says(), None);
    assert!(!lab.node_directory("n1").exists());
}

#[test]
fn unknown_revision_is_told_with_the_branches_that_are_there() {
    let lab = Lab::new();
    for arguments in [["validate", "--rev"], ["plan", "--base"], ["render", "--rev"]] {
        let arguments = [&arguments[..], &["nowhere"]].concat();
        lab.gitsync(&arguments).exits(1).says("`nowhere` names no commit").says("main");
    }
}

#[test]
fn settings_that_are_wrong_are_told_with_their_place() {
    let lab = Lab::new();
    let path = lab.home().join("settings.yaml");
    std::fs::write(&path, "brunch: main\n").unwrap();
    let path = path.display().to_string();
    lab.gitsync(&["status", "--config", &path]).exits(1).says("brunch").says("settings.yaml");
    lab.gitsync(&["status", "--config", "/no/such"]).exits(1).says("`/no/such` can't be read");
}

/// A node over SSH on a port of loopback where nothing listens.
fn silent_node(lab: &Lab, more: &str) {
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    lab.write(
        "nodes/n3.yaml",
        &format!(
            "address: 127.0.0.1\nssh: {{ host: 127.0.0.1, port: {port}, user: nobody }}\n{more}"
        ),
    );
}

#[test]
fn required_node_that_does_not_answer_stops_everything_before_it_begins() {
    let lab = Lab::new();
    silent_node(&lab, "");
    lab.commit("a node whose sshd is not there");
    let said = lab.gitsync(&["apply", "--yes"]).exits(1).says("n3 can't be reached");
    assert!(said.err.contains("nothing was changed") && said.err.contains("optional: true"));
    assert_eq!(
        said.err.matches("n3:").count() + said.err.matches("n3 can't").count(),
        1,
        "{}",
        said.err
    );
    assert_eq!(lab.web_says(), None);
    assert!(!lab.motd().exists());
    lab.gitsync(&["check"]).exits(1).says("unreachable");
    lab.gitsync(&["status"]).exits(0).says("unreachable");
    lab.gitsync(&["drift"]).exits(1).says("n3: not asked");
}

#[test]
fn optional_node_that_does_not_answer_is_skipped_and_named() {
    let lab = Lab::new();
    silent_node(&lab, "optional: true\n");
    lab.commit("a node that may sleep");
    lab.gitsync(&["apply", "--yes"]).exits(0).says("n3").says("asleep").says("converged");
    lab.runs("web 1", "api 1", "welcome");
    lab.gitsync(&["check"]).exits(0).says("asleep");
    lab.gitsync(&["drift"])
        .exits(0)
        .says("no drift on the nodes that answer")
        .says("n3: not asked");
}

#[test]
fn fleet_that_lost_its_last_node_is_refused_and_what_ran_there_runs_on() {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.without_nodes();
    let guard =
        "this fleet no longer has any node, and at its last rollout (lab-1) it had n1 and n2";
    lab.gitsync(&["plan"]).exits(1).says(guard).never_says("Nothing changes");
    lab.gitsync(&["plan", "--detailed-exitcode"]).exits(1);
    let said = lab.gitsync(&["apply", "--yes"]).exits(1).says(guard).says("nobody was asked");
    said.says("nodes/ back").never_says("Nothing changes");
    let plan = lab.gitsync(&["plan", "--format", "json"]).exits(1).json();
    assert_eq!(plan["refusals"][0]["code"], "no-nodes", "{plan}");
    assert_eq!((&plan["waves"], &plan["nodes"]), (&serde_json::json!([]), &serde_json::json!([])));
    lab.runs("web 1", "api 1", "welcome");
    assert_eq!(lab.gitsync(&["history", "--format", "json"]).json().as_array().unwrap().len(), 1);
}

#[test]
fn fleet_that_never_had_a_node_is_told_that_nobody_was_asked() {
    let lab = Lab::new();
    lab.without_nodes();
    let words = "Nobody was asked: this fleet has no nodes.";
    lab.gitsync(&["plan"]).exits(0).says(words);
    lab.gitsync(&["apply", "--yes"]).exits(0).says(words).never_says("Nothing changes");
    let up_to_date = lab.gitsync(&["apply", "--yes", "--format", "json"]).exits(0).json();
    assert_eq!(up_to_date["event"], "up_to_date");
    lab.gitsync(&["status"]).exits(0).says("no nodes: nobody was asked");
    lab.gitsync(&["drift"]).exits(0).says("no nodes: nobody was asked").never_says("every node");
}
