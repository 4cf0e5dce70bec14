//! Nodes that left the fleet while they did not answer: remembered however many rollouts follow, until forgotten.

use crate::lab::Lab;

/// A lab whose n2 was taken out of the fleet while it could not be reached.
fn left() -> Lab {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    away(&lab);
    lab.remove("nodes/n2.yaml");
    lab.remove("services/api.yaml");
    lab.write("services/web.yaml", &crate::lab::service("n1", lab.web, "web 1", ""));
    lab.commit("without n2");
    lab
}

fn away(lab: &Lab) {
    std::fs::rename(lab.node_directory("n2"), lab.home().join("away")).unwrap();
    std::fs::write(lab.node_directory("n2"), "").unwrap();
}

fn back(lab: &Lab) {
    std::fs::remove_file(lab.node_directory("n2")).unwrap();
    std::fs::rename(lab.home().join("away"), lab.node_directory("n2")).unwrap();
}

/// A rollout of another message of the day.
fn next(lab: &Lab, text: &str) -> crate::lab::Said {
    lab.write("files/motd/motd", text);
    lab.commit(text);
    lab.gitsync(&["apply", "--yes"]).exits(0)
}

const ASKS: &str = "n2 left the fleet but does not answer";

#[test]
fn a_node_that_left_is_asked_again_however_many_rollouts_follow_and_cleaned_once_it_answers() {
    let lab = left();
    for text in ["one", "two", "three", "four", "five"] {
        let said = next(&lab, text);
        assert!(said.out.contains(ASKS), "{text}: {}{}", said.out, said.err);
        assert!(said.out.contains("`gitsync forget n2`"), "{text}: {}", said.out);
    }
    lab.gitsync(&["plan"]).exits(0).says(ASKS);
    lab.gitsync(&["status"]).exits(0).says("left the fleet, not cleaned since");
    assert_eq!(lab.api_says().as_deref(), Some("api 1"));
    back(&lab);
    next(&lab, "six").says("- n2/service.api");
    assert_eq!(lab.api_says(), None);
    let said = next(&lab, "seven");
    assert!(!said.out.contains("n2"), "{}", said.out);
}

#[test]
fn a_node_that_is_forgotten_is_never_asked_again_and_what_runs_there_stays() {
    let lab = left();
    next(&lab, "one").says(ASKS);
    let forget = |more: &[&str]| lab.gitsync(&[&["forget", "n2"], more].concat());
    let said = forget(&["--reason", " ", "--yes"]).exits(1);
    assert!(said.err.contains("needs a reason"), "{}", said.err);
    let said = forget(&["--reason", "sold"]).exits(1);
    assert!(said.err.contains("n2/service.api in") && said.err.contains("stays"), "{}", said.err);
    assert!(said.err.contains("not confirmed"), "{}", said.err);
    next(&lab, "two").says(ASKS);
    forget(&["--reason", "sold", "--yes"]).exits(0).says("n2 is forgotten");
    let said = forget(&["--reason", "sold", "--yes"]).exits(1);
    assert!(said.err.contains("was forgotten by ada@"), "{}", said.err);
    back(&lab);
    let said = next(&lab, "three");
    assert!(!said.out.contains("n2"), "{}", said.out);
    assert_eq!(lab.api_says().as_deref(), Some("api 1"));
    // Back in the fleet it counts again, also when it leaves once more.
    lab.node("n2");
    lab.api("api 2");
    lab.commit("n2 is back");
    lab.gitsync(&["apply", "--yes"]).exits(0);
    assert_eq!(lab.api_says().as_deref(), Some("api 2"));
    away(&lab);
    lab.remove("nodes/n2.yaml");
    lab.remove("services/api.yaml");
    next(&lab, "four").says(ASKS);
}

#[test]
fn what_never_left_can_t_be_forgotten() {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    let forget = |node: &str| lab.gitsync(&["forget", node, "--reason", "x", "--yes"]).exits(1).err;
    let told = forget("n1");
    assert!(told.contains("n1 is in this fleet") && told.contains("nodes/n1.yaml"), "{told}");
    assert!(forget("n9").contains("n9 is not remembered here"));
}
