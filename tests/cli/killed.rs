//! `gitsync apply` killed at many moments, then run again: it takes up what was left.

use crate::lab::Lab;

fn changed(lab: &Lab, round: usize) {
    lab.slow_web(&format!("web k{round}"), "1s");
    lab.api(&format!("api k{round}"));
    lab.write("files/motd/motd", &format!("motd k{round}\n"));
    lab.commit("to be killed in");
}

#[test]
fn apply_after_a_killed_one_takes_the_rollout_up_and_converges() {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    let moments = [
        "rollout lab-",
        "ready, nothing touched yet",
        "n1/bundle.motd: switching",
        "n2/service.api: switched",
        "n1/service.web: switching",
        "n1/service.web: switched",
        "decided",
        "confirmed",
    ];
    for (round, moment) in moments.iter().enumerate() {
        changed(&lab, round);
        let mut dying = lab.start(&["apply", "--yes"]);
        dying.hears(moment);
        dying.kill();
        let said = lab.gitsync(&["apply", "--yes"]).exits(0);
        assert!(said.out.contains("converged") || *moment == "confirmed", "{moment}: {}", said.out);
        lab.runs(&format!("web k{round}"), &format!("api k{round}"), &format!("motd k{round}"));
        lab.gitsync(&["drift"]).exits(0);
        lab.gitsync(&["apply", "--yes"]).exits(0).says("0 to create, 0 to change, 0 to remove");
    }
    let past = lab.gitsync(&["history", "--format", "json"]).exits(0).json();
    let open = past.as_array().unwrap().iter().filter(|entry| entry["verdict"].is_null());
    assert_eq!(open.count(), 0, "{past}");
}

#[test]
fn apply_after_one_that_was_killed_while_putting_back_goes_on_putting_back() {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.sick_web("web 2");
    lab.api("api 2");
    lab.write("files/motd/motd", "second\n");
    lab.commit("sick");
    let mut dying = lab.start(&["apply", "--yes"]);
    dying.hears("putting back");
    dying.kill();
    let said = lab.gitsync(&["apply", "--yes"]).exits(1).says("rolled_back").says("is quarantined");
    assert!(said.out.contains("goes on"), "{}", said.out);
    lab.runs("web 1", "api 1", "welcome");
}

#[test]
fn newer_commit_goes_through_after_the_killed_rollout_of_an_older_one() {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    changed(&lab, 1);
    let mut dying = lab.start(&["apply", "--yes"]);
    dying.hears("n2/service.api: switched");
    dying.kill();
    lab.api("api newest");
    lab.commit("newest");
    let said = lab.gitsync(&["apply", "--yes"]).exits(0);
    assert_eq!(said.out.matches("converged\n").count(), 2, "{}", said.out);
    lab.runs("web k1", "api newest", "motd k1");
}
