//! The way back: what is awaited, in which order things go back, what stays, and who is told.

use super::*;

#[test]
fn a_failed_probe_puts_everything_back_in_reverse_and_quarantines() {
    let waves = vec![vec![update("a/service.db")], vec![update("b/service.app")]];
    let mut run = Run::of(plan(waves));
    for text in ["prepare a", "prepare b", "change a/service.db", "probe a/service.db"] {
        run.good(text);
    }
    run.good("change b/service.app");
    run.bad("probe b/service.app", FailureKind::Content);
    let order = [
        "put-back b/service.app",
        "probe-back b/service.app",
        "put-back a/service.db",
        "probe-back a/service.db",
        "abandon a",
        "abandon b",
    ];
    assert_eq!(run.finish(), order);
    assert_eq!(run.verdict(), Some(Verdict::RolledBack));
    assert_eq!(run.rollout.quarantine(), Some("b/service.app: it broke"));
}

#[test]
fn a_failed_change_waits_for_what_is_moving_and_drops_what_only_asks() {
    let steps = vec![update("a/service.x"), update("b/service.x"), update("c/service.x")];
    let mut all = plan(vec![steps]);
    all.policy.max_parallel = 3;
    let mut run = Run::of(all);
    for text in ["prepare a", "prepare b", "prepare c", "change a/service.x"] {
        run.good(text);
    }
    let probe = run.find("probe a/service.x");
    run.bad("change b/service.x", FailureKind::Content);
    assert_eq!(run.listed(), ["change c/service.x"], "only what may be moving a node is awaited");
    run.answer(probe.clone(), OutcomeResult::Passed(ProbeReport::default()));
    let again = Outcome { effect: probe.clone(), at: Timestamp(1), result: fine(&probe) };
    assert_eq!(run.rollout.record(again), Err(IllegalMove::NotDue(probe)));
    run.good("change c/service.x");
    let back = run.finish();
    assert_eq!(back.iter().filter(|text| text.starts_with("put-back")).count(), 3, "{back:?}");
}

#[test]
fn a_lost_node_is_tried_three_times_then_everything_reachable_is_put_back() {
    let waves = vec![vec![update("a/service.x")], vec![update("b/service.y")]];
    let mut run = Run::of(plan(waves));
    for text in ["prepare a", "prepare b", "change a/service.x", "probe a/service.x"] {
        run.good(text);
    }
    run.lost("change b/service.y");
    run.lost("put-back b/service.y");
    assert_eq!(run.finish(), ["put-back a/service.x", "probe-back a/service.x", "abandon a"]);
    assert_eq!(run.verdict(), Some(Verdict::NeedsOperator));
    assert!(run.rollout.reason().contains("b/service.y could not be put back"));
    let remedy = "when b is back, the next rollout puts it right: `gitsync apply`; if it is gone for good, take its file";
    assert!(run.rollout.reason().contains(remedy), "{}", run.rollout.reason());
    assert_eq!(run.rollout.quarantine(), None, "a lost node says nothing about the content");
}

#[test]
fn an_operator_who_stops_a_rollout_does_not_wait_for_what_is_prepared() {
    let mut run = Run::of(plan(vec![vec![update("a/service.x"), update("b/service.x")]]));
    run.good("prepare a");
    let told = run
        .rollout
        .record(Rollout::cancelled(Timestamp(9000), "the operator asked to stop"))
        .unwrap();
    let node = Name::new("b").unwrap();
    assert!(told.iter().any(|event| event.what == Happening::GivenUp { node: node.clone() }));
    // It may come all the same, and changes nothing.
    let prepared = Outcome {
        effect: Effect::Prepare { node },
        at: Timestamp(9001),
        result: OutcomeResult::Done,
    };
    assert_eq!(run.rollout.record(prepared), Ok(Vec::new()));
    assert_eq!(run.finish(), ["abandon a", "abandon b"]);
    assert_eq!(run.verdict(), Some(Verdict::RolledBack));
    assert_eq!(run.rollout.quarantine(), None);
}

#[test]
fn the_operator_can_turn_a_rollout_round_until_the_decision() {
    let mut run = Run::of(plan(vec![vec![update("a/service.x")]]));
    run.good("prepare a");
    run.good("change a/service.x");
    run.rollout.record(Rollout::cancelled(Timestamp(9000), "the operator asked to stop")).unwrap();
    assert_eq!(run.finish(), ["put-back a/service.x", "probe-back a/service.x", "abandon a"]);
    assert_eq!(run.verdict(), Some(Verdict::RolledBack));
    assert_eq!(run.rollout.quarantine(), None);

    let mut late = Run::of(plan(vec![vec![update("a/service.x")]]));
    for text in ["prepare a", "change a/service.x", "probe a/service.x"] {
        late.good(text);
    }
    assert_eq!(
        late.rollout.record(Rollout::cancelled(Timestamp(9000), "the operator asked to stop")),
        Ok(Vec::new())
    );
    assert_eq!(late.finish(), ["decide", "confirm a"]);
    assert_eq!(late.verdict(), Some(Verdict::Converged));
}

#[test]
fn a_unit_that_must_not_be_rolled_back_stays_with_what_it_needs() {
    let never = Step {
        rollback: Rollback::Never,
        depends_on: vec![unit("a/service.db")],
        ..update("a/service.app")
    };
    let waves = vec![vec![update("a/service.db"), update("a/service.other")], vec![never]];
    let mut run = Run::of(plan(waves));
    run.good("prepare a");
    for text in ["service.db", "service.other"] {
        run.good(&format!("change a/{text}"));
        run.good(&format!("probe a/{text}"));
    }
    run.good("change a/service.app");
    run.bad("probe a/service.app", FailureKind::Content);
    assert_eq!(
        run.finish(),
        ["put-back a/service.other", "probe-back a/service.other", "abandon a"]
    );
    assert_eq!(run.verdict(), Some(Verdict::NeedsOperator));
    let named = |id: &str| run.rollout.troubles().iter().any(|t| t.unit == Some(unit(id)));
    assert!(named("a/service.app") && named("a/service.db"));
}

#[test]
fn a_fleet_that_halts_leaves_what_changed_and_calls_the_operator() {
    let mut halting = plan(vec![vec![update("a/service.x")]]);
    halting.policy.on_failure = OnFailure::Halt;
    let mut run = Run::of(halting);
    run.good("prepare a");
    run.bad("change a/service.x", FailureKind::Content);
    assert_eq!(run.finish(), ["abandon a"]);
    assert_eq!(run.verdict(), Some(Verdict::NeedsOperator));
}

fn pair() -> Plan {
    let mut pair = plan(vec![vec![update("b/service.p")], vec![update("a/service.p")]]);
    let seen = vec![unit("b/service.p")];
    pair.waves[1].gate = Some(crate::model::Gate { after: Duration::from_secs(25), seen });
    pair
}

#[test]
fn the_second_of_a_pair_waits_for_gateways_on_both_ways() {
    let mut run = Run::of(pair());
    for text in ["prepare a", "prepare b", "change b/service.p", "probe b/service.p"] {
        run.good(text);
    }
    let until = Timestamp(run.now + 25_000);
    assert_eq!(run.rollout.effects(), [Effect::Wait { until }]);
    run.good("wait");
    run.good("change a/service.p");
    run.bad("probe a/service.p", FailureKind::Content);
    let order = [
        "put-back a/service.p",
        "probe-back a/service.p",
        "wait",
        "put-back b/service.p",
        "probe-back b/service.p",
        "abandon a",
        "abandon b",
    ];
    assert_eq!(run.finish(), order);
    assert_eq!(run.verdict(), Some(Verdict::RolledBack));
}

#[test]
fn the_good_one_of_a_pair_is_left_serving_when_the_other_is_stuck() {
    let mut run = Run::of(pair());
    for text in ["prepare a", "prepare b", "change b/service.p", "probe b/service.p", "wait"] {
        run.good(text);
    }
    run.bad("change a/service.p", FailureKind::Content);
    run.bad("put-back a/service.p", FailureKind::Content);
    assert_eq!(run.finish(), ["abandon a", "abandon b"]);
    assert_eq!(run.verdict(), Some(Verdict::NeedsOperator));
    assert!(run.rollout.reason().contains("it serves while a/service.p is down"));
}

#[test]
fn an_old_version_that_needs_another_old_one_is_asked_again_at_the_end() {
    let waves = vec![vec![update("a/service.db")], vec![update("a/service.app")]];
    let mut run = Run::of(plan(waves));
    for text in ["prepare a", "change a/service.db", "probe a/service.db", "change a/service.app"] {
        run.good(text);
    }
    run.bad("probe a/service.app", FailureKind::Content);
    run.good("put-back a/service.app");
    run.bad("probe-back a/service.app", FailureKind::Content);
    let order = [
        "put-back a/service.db",
        "probe-back a/service.db",
        "again probe-back a/service.app",
        "abandon a",
    ];
    assert_eq!(run.finish(), order);
    assert_eq!(run.verdict(), Some(Verdict::RolledBack));
}

#[test]
fn a_node_with_a_lease_is_put_back_when_it_returns_after_it_restored_itself() {
    let mut run = Run::of(plan(vec![vec![update("a/service.x")]]));
    run.good("prepare a");
    run.lost("change a/service.x");
    let first = run.now;
    run.bad("put-back a/service.x", FailureKind::Transport);
    while run.now < first + 60_000 {
        run.bad("again put-back a/service.x", FailureKind::Transport);
    }
    let order = ["again put-back a/service.x", "probe-back a/service.x", "abandon a"];
    assert_eq!(run.finish(), order);
    assert_eq!(run.verdict(), Some(Verdict::RolledBack));
}

#[test]
fn units_of_one_lost_node_share_the_time_that_it_is_waited_for() {
    let mut run = Run::of(plan(vec![vec![update("a/service.x")], vec![update("a/service.y")]]));
    for text in ["prepare a", "change a/service.x", "probe a/service.x"] {
        run.good(text);
    }
    run.bad("change a/service.y", FailureKind::Node);
    let began = run.now;
    run.lost("put-back a/service.y");
    assert!(run.now >= began + 90_000, "{}", run.now - began);
    let second = run.now;
    run.lost("put-back a/service.x");
    assert!(run.now < second + 30_000, "{}", run.now - second);
}

#[test]
fn without_a_lease_a_lost_node_is_tried_three_times_and_no_longer() {
    let mut bare = plan(vec![vec![update("a/service.x")]]);
    bare.policy.dead_man = None;
    let mut run = Run::of(bare);
    run.good("prepare a");
    run.bad("change a/service.x", FailureKind::Node);
    let began = run.now;
    run.lost("put-back a/service.x");
    assert!(run.now < began + 30_000);
    assert!(run.rollout.reason().contains("tried 4 times, at last: it broke"));
}

#[test]
fn what_needs_an_operator_names_the_command_to_go_on() {
    let mut run = Run::of(plan(vec![vec![update("a/service.x")]]));
    run.good("prepare a");
    run.bad("change a/service.x", FailureKind::Content);
    run.bad("put-back a/service.x", FailureKind::Node);
    run.finish();
    let reason = run.rollout.reason();
    for words in ["`gitsync apply`", "sh <root>/bin/gitsync-node-*.sh restore service.x"] {
        assert!(reason.contains(words), "{reason}");
    }
}
