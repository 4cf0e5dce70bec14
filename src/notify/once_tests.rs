//! What is told once, held, and remembered.

use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn seen(node: &str, answers: bool) -> Sight {
    Sight { node: name(node), optional: node == "pi", answers }
}

fn edited(unit: &str, file: &str) -> Drift {
    let kind = DriftKind::FileMissing { destination: file.to_owned() };
    Drift { unit: unit.parse().unwrap(), kind }
}

/// So many looks that see the same; the titles of all that is told.
fn looks(once: &mut Once, count: u32, nodes: &[Sight], drift: &[Drift]) -> Vec<String> {
    let look = |_| once.look(nodes, drift, Timestamp(0)).into_iter().map(|told| told.title);
    (0..count).flat_map(look).collect()
}

fn fresh(state: &Path) -> Once {
    let mut once = Once::open(state);
    once.of(&name("lab"));
    once
}

#[test]
fn a_node_is_lost_and_back_after_some_looks_and_told_once_also_after_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let mut once = fresh(state.path());
    let (there, gone) = ([seen("a", true)], [seen("a", false)]);
    assert!(looks(&mut once, 5, &there, &[]).is_empty());
    assert!(looks(&mut once, HOLD - 1, &gone, &[]).is_empty());
    assert_eq!(looks(&mut once, 9, &gone, &[]), ["lab: a is lost"]);
    let mut once = fresh(state.path());
    assert!(looks(&mut once, 9, &gone, &[]).is_empty());
    assert_eq!(looks(&mut once, HOLD, &there, &[]), ["lab: a is back"]);
    let mut once = fresh(state.path());
    assert!(looks(&mut once, 9, &there, &[]).is_empty());
}

#[test]
fn a_node_that_comes_and_goes_is_not_told() {
    let mut once = Once::default();
    for look in 0..50 {
        assert!(looks(&mut once, 1, &[seen("a", look % 3 == 0)], &[]).is_empty(), "{look}");
    }
}

#[test]
fn a_node_that_may_sleep_says_so_and_one_that_left_the_fleet_is_forgotten() {
    let mut once = Once::default();
    let told = (0..HOLD).flat_map(|_| once.look(&[seen("pi", false)], &[], Timestamp(0)));
    let told: Vec<Message> = told.collect();
    assert_eq!((told.len(), told[0].optional), (1, Some(true)));
    assert!(told[0].text.contains("rollouts go on without it"));
    assert!(looks(&mut once, 5, &[seen("a", true)], &[]).is_empty());
    assert!(looks(&mut once, 5, &[seen("pi", true)], &[]).is_empty(), "it was forgotten");
}

#[test]
fn drift_is_told_once_again_when_it_changed_and_when_it_is_gone() {
    let state = tempfile::tempdir().unwrap();
    let mut once = fresh(state.path());
    let there = [seen("a", true)];
    let (one, two) = (edited("a/service.web", "/x"), edited("a/service.web", "/y"));
    let found = looks(&mut once, 9, &there, std::slice::from_ref(&one));
    assert_eq!(found, ["lab: drift in 1 place"]);
    let found = looks(&mut once, 9, &there, &[one.clone(), two.clone()]);
    assert_eq!(found, ["lab: drift in 2 places"]);
    let mut once = fresh(state.path());
    assert!(looks(&mut once, 9, &there, &[one.clone(), two.clone()]).is_empty());
    // Of a node that is silent nobody knows whether it drifts.
    assert_eq!(looks(&mut once, 9, &[seen("a", false)], &[]), ["lab: a is lost"]);
    assert_eq!(
        looks(&mut once, 9, &there, std::slice::from_ref(&two)),
        ["lab: a is back", "lab: drift in 1 place"]
    );
    assert_eq!(looks(&mut once, 9, &there, &[]), ["lab: drift is gone"]);
}

#[test]
fn a_number_that_grows_is_no_other_drift() {
    let mut once = Once::default();
    let restarting = |restarts| Drift {
        unit: "a/service.web".parse().unwrap(),
        kind: DriftKind::ContainerRestarting { service: "web".to_owned(), restarts },
    };
    let there = [seen("a", true)];
    let told =
        (0..20).flat_map(|restarts| once.look(&there, &[restarting(restarts)], Timestamp(0)));
    assert_eq!(told.count(), 1);
}

#[test]
fn drift_says_where_and_what() {
    let mut once = Once::default();
    let drift: Vec<Drift> = (1..8).map(|n| edited("a/bundle.motd", &format!("/etc/{n}"))).collect();
    let told = (0..HOLD).flat_map(|_| once.look(&[seen("a", true)], &drift, Timestamp(0)));
    let told: Vec<Message> = told.collect();
    assert_eq!(told[0].drift.len(), 7);
    insta::assert_snapshot!(told[0].text, @"a/bundle.motd: /etc/1 is gone; a/bundle.motd: /etc/2 is gone; a/bundle.motd: /etc/3 is gone; a/bundle.motd: /etc/4 is gone; a/bundle.motd: /etc/5 is gone; and 2 more. `gitsync drift` shows the differences.");
}

#[test]
fn a_commit_is_refused_once_for_each_reason_also_after_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let refuse = |once: &mut Once, commit: &str, code: &str| {
        once.refused(commit, None, code, "beyond\nSECOND LINE", Timestamp(0))
    };
    let mut once = Once::open(state.path());
    let told = refuse(&mut once, "0123456789abcdef", "limits").unwrap();
    assert_eq!(told.text, "Commit 0123456789ab is not rolled out: beyond. Nothing was changed.");
    assert_eq!(told.fleet, None);
    let mut once = fresh(state.path());
    assert_eq!(refuse(&mut once, "0123456789abcdef", "limits"), None);
    assert!(refuse(&mut once, "0123456789abcdef", "unsigned").is_some());
    assert!(refuse(&mut once, "fedcba9876543210", "unsigned").is_some());
}

#[test]
fn a_file_that_can_t_be_read_counts_as_nothing_told_and_another_fleet_starts_anew() {
    let state = tempfile::tempdir().unwrap();
    std::fs::write(state.path().join("told.json"), "{ half").unwrap();
    let mut once = fresh(state.path());
    assert_eq!(looks(&mut once, 9, &[seen("a", false)], &[]), ["lab: a is lost"]);
    once.of(&name("other"));
    assert_eq!(looks(&mut once, 9, &[seen("a", false)], &[]), ["other: a is lost"]);
}
