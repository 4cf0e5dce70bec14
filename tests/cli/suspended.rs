//! Suspended fleets: nothing is changed and nothing started again, until somebody says so or the time is over.

use crate::lab::{Lab, wait};

#[test]
fn a_fleet_that_is_suspended_by_its_repository_is_left_as_it_is_until_a_commit_resumes_it() {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    let fleet = std::fs::read_to_string(lab.repository().join("fleet.yaml")).unwrap();
    lab.write("fleet.yaml", &format!("{fleet}suspend: the rack moves\n"));
    lab.web("web 2");
    lab.commit("suspended");
    let said = lab.gitsync(&["apply", "--yes"]).exits(1);
    assert!(said.err.contains("suspended by its fleet.yaml: the rack moves"), "{}", said.err);
    assert!(said.err.contains("take `suspend` out"), "{}", said.err);
    lab.gitsync(&["plan"]).exits(1).says("the rack moves").says("~ n1/service.web");
    lab.gitsync(&["status"]).exits(0).says("the rack moves");
    lab.runs("web 1", "api 1", "welcome");
    let url = format!("file://{}", lab.bare().display());
    let mut daemon = lab.start(&["run", &url, "--interval", "1s"]);
    daemon.hears("suspended by its fleet.yaml: the rack moves");
    // What somebody stops meanwhile is not started again.
    lab.kill_app(lab.web);
    wait("web to be gone", || lab.web_says().is_none());
    lab.write("fleet.yaml", &fleet);
    lab.commit("resumed");
    lab.push();
    daemon.hears("converged");
    assert_eq!(daemon.said().matches("the rack moves").count(), 1, "{}", daemon.said());
    lab.runs("web 2", "api 1", "welcome");
    daemon.signal("TERM");
    daemon.end().exits(0);
}

#[test]
fn a_fleet_is_suspended_and_resumed_beside_a_running_daemon() {
    let lab = Lab::new();
    let url = format!("file://{}", lab.bare().display());
    let mut daemon = lab.start(&["run", &url, "--interval", "1s"]);
    daemon.hears("converged");
    let said = lab.gitsync(&["suspend", "--reason", " "]).exits(1);
    assert!(said.err.contains("needs a reason"), "{}", said.err);
    let file = lab.home().join("file");
    std::fs::write(&file, "").unwrap();
    let state = file.display().to_string();
    let said = lab.gitsync(&["suspend", "--reason", "x", "--state", &state]).exits(1);
    assert!(
        said.err.contains("can't be written below") && said.err.contains("hint: "),
        "{}",
        said.err
    );
    let not = lab.gitsync(&["resume"]).exits(1);
    assert!(not.err.contains("is not suspended"), "{}", not.err);
    lab.gitsync(&["suspend", "--reason", "by hand for a while", "--for", "1h"])
        .exits(0)
        .says("is suspended on this controller until");
    lab.web("web 2");
    lab.commit("second");
    lab.push();
    daemon.hears("suspended by ada@");
    daemon.hears("by hand for a while");
    lab.kill_app(lab.web);
    daemon.hears("suspended by ada@");
    assert_eq!(lab.web_says(), None);
    lab.gitsync(&["status"]).exits(0).says("by hand for a while");
    lab.gitsync(&["resume"]).exits(0).says("is resumed");
    daemon.hears("converged");
    lab.runs("web 2", "api 1", "welcome");
    // One that is over ends by itself.
    lab.gitsync(&["suspend", "--reason", "a moment", "--for", "2s"]).exits(0);
    lab.web("web 3");
    lab.commit("third");
    lab.push();
    daemon.hears("converged");
    lab.runs("web 3", "api 1", "welcome");
}
