//! Ctrl-C and SIGTERM while `gitsync apply` is at work.

use crate::lab::{Lab, Running};

/// A rollout that is in the middle: `api` is new, `web` is new and under watch.
fn in_the_middle(lab: &Lab) -> Running {
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.slow_web("web 2", "20s");
    lab.api("api 2");
    lab.write("files/motd/motd", "second\n");
    lab.commit("second");
    let mut apply = lab.start(&["apply", "--yes"]);
    apply.hears("n1/service.web: switched");
    apply
}

#[test]
fn first_ctrl_c_puts_everything_back() {
    let lab = Lab::new();
    let apply = in_the_middle(&lab);
    apply.ctrl_c();
    let said = apply.end().exits(3).says("putting back").says("rolled_back");
    assert!(said.err.contains("Ctrl-C again leaves at once"), "{}", said.err);
    assert!(!said.out.contains("quarantined"), "the content is not to blame: {}", said.out);
    lab.runs("web 1", "api 1", "welcome");
    lab.slow_web("web 2", "300ms");
    lab.commit("the same, watched for less");
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.runs("web 2", "api 2", "second");
}

#[test]
fn second_ctrl_c_leaves_at_once_and_the_next_apply_goes_on() {
    let lab = Lab::new();
    let apply = in_the_middle(&lab);
    apply.ctrl_c();
    apply.complains("Ctrl-C again");
    apply.ctrl_c();
    let said = apply.end().exits(1).says("was left before its verdict");
    assert!(said.err.contains("goes on with it"), "{}", said.err);
    lab.slow_web("web 3", "300ms");
    lab.commit("third");
    let said = lab.gitsync(&["apply", "--yes"]).exits(0);
    assert!(said.out.contains("goes on") && said.out.contains("rolled_back"), "{}", said.out);
    lab.runs("web 3", "api 2", "second");
}

#[test]
fn sigterm_leaves_at_a_safe_point_and_the_next_apply_goes_forward() {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.slow_web("web 2", "2s");
    lab.commit("second");
    let mut apply = lab.start(&["apply", "--yes"]);
    apply.hears("n1/service.web: switching");
    apply.signal("TERM");
    apply.end().exits(1).says("was left before its verdict");
    let said = lab.gitsync(&["apply", "--yes"]).exits(0).says("goes on").says("converged");
    assert!(!said.out.contains("put back"), "{}", said.out);
    lab.runs("web 2", "api 1", "welcome");
}
