//! The promises, a test for each: no simulated rollout broke it. And single stories that show one by itself.

use std::time::Duration;

use gitsync::event::Happening;
use gitsync::model::{Effect, UnitId, Verdict};
use gitsync::transport::fake::{Badness, Fault, FaultKind, Verb};

use crate::faults::kills;
use crate::fleets::{cases, new, old, unit};
use crate::invariants;
use crate::run::{Run, Scenario};
use crate::suite::{any_scenario, chosen_seed, findings};

#[track_caller]
fn holds(invariant: &str) {
    assert!(invariants::NAMES.contains(&invariant), "{invariant} is not in the table");
    if let Some(broken) = findings().broken.get(invariant) {
        panic!("{invariant} was broken {} times, at first by {}", broken.times, broken.story);
    }
}

#[test]
fn at_least_a_hundred_thousand_faulted_rollouts_were_simulated() {
    let found = findings();
    let asked = found.wanted;
    assert!(found.faulted >= asked || chosen_seed().is_some(), "{} of {asked}", found.faulted);
    assert_eq!(found.verdicts.len(), 3, "{:?}", found.verdicts);
}

#[test]
fn only_named_invariants_are_spoken_of() {
    let unknown = findings().broken.keys().find(|name| !invariants::NAMES.contains(name));
    assert_eq!(unknown, None);
}

#[test]
fn wholly_new_or_wholly_old_or_named() {
    holds("wholly_new_or_wholly_old_or_named");
}

#[test]
fn every_rollout_ends() {
    holds("every_rollout_ends");
}

#[test]
fn a_decision_is_never_taken_back() {
    holds("a_decision_is_never_taken_back");
}

#[test]
fn a_decision_reaches_every_node_that_can_be_reached() {
    holds("a_decision_reaches_every_node_that_can_be_reached");
}

#[test]
fn nothing_is_decided_over_a_node_that_took_its_changes_back() {
    holds("nothing_is_decided_over_a_node_that_took_its_changes_back");
}

#[test]
fn nothing_changes_before_every_node_is_ready() {
    holds("nothing_changes_before_every_node_is_ready");
}

#[test]
fn nothing_is_removed_before_the_decision() {
    holds("nothing_is_removed_before_the_decision");
}

#[test]
fn no_node_is_left_armed_after_the_verdict() {
    holds("no_node_is_left_armed_after_the_verdict");
}

#[test]
fn a_lease_that_is_counted_on_puts_back() {
    holds("a_lease_that_is_counted_on_puts_back");
}

#[test]
fn a_lower_fence_never_changes_anything() {
    holds("a_lower_fence_never_changes_anything");
}

#[test]
fn what_is_needed_is_good_first() {
    holds("what_is_needed_is_good_first");
}

#[test]
fn put_back_in_reverse() {
    holds("put_back_in_reverse");
}

#[test]
fn what_was_put_back_is_proven() {
    holds("what_was_put_back_is_proven");
}

#[test]
fn members_of_a_pair_never_down_together() {
    holds("members_of_a_pair_never_down_together");
}

#[test]
fn max_parallel_holds() {
    holds("max_parallel_holds");
}

#[test]
fn one_thing_at_a_time_is_done_to_a_unit() {
    holds("one_thing_at_a_time_is_done_to_a_unit");
}

#[test]
fn what_must_never_go_back_stays() {
    holds("what_must_never_go_back_stays");
}

#[test]
fn a_fleet_that_halts_puts_nothing_back() {
    holds("a_fleet_that_halts_puts_nothing_back");
}

#[test]
fn only_bad_content_quarantines() {
    holds("only_bad_content_quarantines");
}

#[test]
fn a_replayed_journal_gives_the_same_state() {
    holds("a_replayed_journal_gives_the_same_state");
}

#[test]
fn no_outcome_counts_twice() {
    holds("no_outcome_counts_twice");
}

#[test]
fn every_outcome_that_was_asked_for_is_taken() {
    holds("every_outcome_that_was_asked_for_is_taken");
}

#[test]
fn every_node_is_told_the_end() {
    holds("every_node_is_told_the_end");
}

#[test]
fn nodes_that_heard_the_end_know_it() {
    holds("nodes_that_heard_the_end_know_it");
}

#[test]
fn the_end_is_told_once() {
    holds("the_end_is_told_once");
}

#[test]
fn every_trouble_says_what_to_do() {
    holds("every_trouble_says_what_to_do");
}

#[test]
fn a_node_that_returns_in_time_needs_no_operator() {
    holds("a_node_that_returns_in_time_needs_no_operator");
}

fn hold(case: &str, scenario: &Scenario) -> Verdict {
    let run = Run::of(scenario);
    assert!(run.broken.is_empty(), "{case} {}", run.story());
    run.rollout.verdict().unwrap()
}

/// One seed is enough to see a failure again: GITSYNC_SIMULATION_SEED=… with this test alone.
#[test]
fn the_scenario_of_a_chosen_seed_ends_well() {
    let (case, scenario) = any_scenario(chosen_seed().unwrap_or(1));
    hold(&case, &scenario);
}

#[test]
fn plans_converge_when_nothing_goes_wrong() {
    for case in cases() {
        let verdict = hold(case.name, &Scenario::of(&case.plan));
        assert_eq!(verdict, Verdict::Converged, "{}", case.name);
    }
}

#[test]
fn a_clean_restart_before_the_lease_lapses_changes_nothing_about_the_end() {
    for case in cases() {
        let smooth = Scenario::of(&case.plan);
        for kill in kills(Run::of(&smooth).done).into_iter().filter(|kill| !kill.long) {
            let verdict = hold(case.name, &Scenario { kills: vec![kill], ..smooth.clone() });
            assert_eq!(verdict, Verdict::Converged, "{} {kill:?}", case.name);
        }
    }
}

#[test]
fn an_optional_node_that_falls_asleep_does_not_stop_the_others() {
    let case = cases().iter().find(|case| case.name == "optional node").unwrap();
    let node = unit("pi/service.dns").node;
    for verb in [Verb::Prepare, Verb::Change, Verb::Probe, Verb::Confirm] {
        let kind = FaultKind::Gone { until: None };
        let faults = vec![Fault { node: node.clone(), verb, call: 1, kind }];
        let verdict = hold(case.name, &Scenario { faults, ..Scenario::of(&case.plan) });
        assert_eq!(verdict, Verdict::Converged, "{verb:?}");
    }
}

#[test]
fn an_old_version_that_needs_the_old_one_below_is_not_taken_for_stuck() {
    let case = cases().iter().find(|case| case.name == "three waves").unwrap();
    let (api, db): (UnitId, UnitId) = (unit("vps1/service.api"), unit("vps1/service.db"));
    let needs = vec![(old(&api), db.clone(), old(&db))];
    let bad = vec![(new(&api), Badness::Probe)];
    let scenario = Scenario { needs, bad, ..Scenario::of(&case.plan) };
    assert_eq!(hold(case.name, &scenario), Verdict::RolledBack);
}

#[test]
fn old_versions_that_are_asked_again_are_asked_within_the_limit() {
    // Three units of one wave, where two at once may be under way.
    let case = cases().iter().find(|case| case.name == "three waves").unwrap();
    let (db, edge) = (unit("vps1/service.db"), unit("vps2/gateway.edge"));
    let apis = ["vps1/service.api", "vps2/service.api", "nas/service.api"].map(unit);
    let needs = apis.iter().map(|api| (old(api), db.clone(), old(&db))).collect();
    let bad = vec![(new(&edge), Badness::Probe)];
    let scenario = Scenario { needs, bad, ..Scenario::of(&case.plan) };
    assert_eq!(hold(case.name, &scenario), Verdict::RolledBack);
    let run = Run::of(&scenario);
    let asked = |effect: &Effect| matches!(effect, Effect::Retry { what, .. } if matches!(**what, Effect::ProbeBack { .. }));
    let again = run.journal.iter().filter(|outcome| asked(&outcome.effect)).count();
    assert_eq!(again, apis.len(), "{}", run.story());
}

#[test]
fn without_a_lease_what_goes_stays_stopped_on_an_optional_node_that_never_hears_the_decision() {
    let case = cases().iter().find(|case| case.name == "no lease").unwrap();
    let gone = unit("pi/service.radarr");
    let kind = FaultKind::Gone { until: None };
    let faults = vec![Fault { node: gone.node.clone(), verb: Verb::Confirm, call: 1, kind }];
    let scenario = Scenario { faults, ..Scenario::of(&case.plan) };
    assert_eq!(hold(case.name, &scenario), Verdict::Converged);
    let run = Run::of(&scenario);
    let there = run.world.unit(&gone).unwrap();
    assert_eq!((&there.runs, &there.files), (&None, &Some(old(&gone))));
    let left = run
        .events
        .iter()
        .any(|event| matches!(&event.what, Happening::NodeLeft { node, .. } if *node == gone.node));
    assert!(left, "the node is named");
}

#[test]
fn what_dies_after_its_probes_is_no_matter_of_the_rollout() {
    let case = cases().first().unwrap();
    let unit = &case.plan.waves[0].steps[0].unit;
    let bad = vec![(new(unit), Badness::Dies(Duration::from_secs(3000)))];
    let scenario = Scenario { bad, ..Scenario::of(&case.plan) };
    assert_eq!(hold(case.name, &scenario), Verdict::Converged);
    let run = Run::of(&scenario);
    assert!(run.world.unit(unit).unwrap().dead, "the next look at the node finds it dead");
}
