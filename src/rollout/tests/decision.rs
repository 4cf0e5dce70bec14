//! Around the decision: who is asked before it, and what becomes of nodes that took their changes back.

use super::*;

#[test]
fn a_stopped_unit_is_removed_after_the_decision_or_started_again() {
    let replacing = Step {
        replaces: vec![Replaced { unit: unit("a/service.older"), from: Digest::of(b"o") }],
        action: Action::Replace,
        ..update("a/service.new")
    };
    let waves = || vec![vec![replacing.clone()], vec![removal("a/service.gone")]];
    let mut run = Run::of(plan(waves()));
    run.finish();
    let gone = [unit("a/service.gone"), unit("a/service.older")];
    assert_eq!(run.rollout.removals(&name("a")), gone);

    let mut run = Run::of(plan(waves()));
    for text in ["prepare a", "change a/service.new", "probe a/service.new", "stop a/service.gone"]
    {
        run.good(text);
    }
    run.bad("decide", FailureKind::Node);
    assert_eq!(run.finish().first().map(String::as_str), Some("put-back a/service.gone"));
    assert_eq!(run.rollout.removals(&name("a")), []);
}

#[test]
fn a_required_node_that_never_hears_the_decision_is_named() {
    let mut run = Run::of(plan(vec![vec![update("a/service.x")], vec![update("b/service.y")]]));
    run.until("confirm a");
    run.lost("confirm a");
    run.finish();
    assert_eq!(run.verdict(), Some(Verdict::NeedsOperator));
    assert!(run.rollout.reason().contains("a/service.x did not take the decision"));
    assert!(run.rollout.reason().contains("when a is back, the next rollout puts it right"));
    assert_eq!(run.rollout.troubles().len(), 1);
}

#[test]
fn a_node_is_leased_until_it_is_told_how_it_ended() {
    let mut run = Run::of(plan(vec![vec![update("a/service.x")]]));
    assert_eq!(run.rollout.leased().collect::<Vec<_>>(), [&name("a")]);
    run.finish();
    assert_eq!(run.rollout.leased().count(), 0);
}

/// Two waves on two nodes, up to the point where both hear the decision.
fn decided() -> Run {
    let mut run = Run::of(plan(vec![
        vec![update("a/service.db"), update("b/service.x")],
        vec![update("a/service.app")],
    ]));
    run.until("confirm a");
    run
}

#[test]
fn a_node_that_restored_itself_before_it_heard_the_decision_is_rolled_forward() {
    let mut run = decided();
    let told = run.bad("confirm a", FailureKind::Restored);
    assert!(told.iter().any(|event| event.what == Happening::RollingForward { node: name("a") }));
    let order = [
        "again prepare a",
        "confirm b",
        "again change a/service.db",
        "again probe a/service.db",
        "again change a/service.app",
        "again probe a/service.app",
        "again confirm a",
    ];
    assert_eq!(run.finish(), order);
    assert_eq!((run.verdict(), run.rollout.reason()), (Some(Verdict::Converged), ""));
}

#[test]
fn a_node_that_restores_itself_again_and_again_is_named_after_two_rounds() {
    let mut run = decided();
    run.good("confirm b");
    run.bad("confirm a", FailureKind::Restored);
    run.good("again prepare a");
    run.bad("again change a/service.db", FailureKind::Restored);
    for text in ["prepare a", "change a/service.db", "probe a/service.db", "change a/service.app"] {
        run.good(&format!("again {text}"));
    }
    run.bad("again probe a/service.app", FailureKind::Restored);
    assert_eq!(run.verdict(), Some(Verdict::NeedsOperator));
    let named: Vec<_> = run.rollout.troubles().iter().filter_map(|t| t.unit.clone()).collect();
    assert_eq!(named, [unit("a/service.db"), unit("a/service.app")]);
    assert!(run.rollout.reason().contains("a took its changes back before it heard the decision"));
}

#[test]
fn what_fails_while_a_node_is_rolled_forward_is_named_and_nothing_is_put_back() {
    let mut run = decided();
    run.bad("confirm a", FailureKind::Restored);
    run.good("again prepare a");
    run.good("again change a/service.db");
    run.bad("again probe a/service.db", FailureKind::Content);
    assert_eq!(run.finish(), ["confirm b"]);
    assert_eq!(run.verdict(), Some(Verdict::NeedsOperator));
    assert!(run.rollout.reason().contains("could not be made again: a/service.db: it broke"));
    assert_eq!(run.rollout.quarantine(), None, "it was good when it was decided");
}

#[test]
fn a_node_that_is_lost_while_it_is_rolled_forward_is_tried_so_often_and_named() {
    let mut run = decided();
    run.good("confirm b");
    run.bad("confirm a", FailureKind::Restored);
    run.good("again prepare a");
    run.good("again change a/service.db");
    for _ in 0..4 {
        run.bad("again probe a/service.db", FailureKind::Transport);
    }
    assert_eq!((run.listed().len(), run.verdict()), (0, Some(Verdict::NeedsOperator)));
}

#[test]
fn what_moves_on_a_node_comes_back_before_it_is_rolled_forward_anew() {
    let steps = vec![update("a/service.x"), update("a/service.y")];
    let mut run = Run::of(plan(vec![steps]));
    run.until("confirm a");
    run.bad("confirm a", FailureKind::Restored);
    run.good("again prepare a");
    run.bad("again change a/service.x", FailureKind::Restored);
    assert_eq!(run.listed(), ["again change a/service.y"]);
    run.good("again change a/service.y");
    assert_eq!(run.listed(), ["again prepare a"], "from the beginning, once nothing moves");
    run.finish();
    assert_eq!(run.verdict(), Some(Verdict::Converged));
}

#[test]
fn a_required_node_that_restores_itself_before_the_decision_turns_the_rollout_round() {
    for last in ["stop a/service.gone", "decide"] {
        let waves = vec![
            vec![update("a/service.x")],
            vec![update("b/service.y")],
            vec![removal("a/service.gone")],
        ];
        let mut run = Run::of(plan(waves));
        run.until(last);
        run.bad(last, FailureKind::Restored);
        assert!(run.finish().contains(&"put-back b/service.y".to_owned()));
        assert_eq!((run.verdict(), run.rollout.quarantine()), (Some(Verdict::RolledBack), None));
    }
}

#[test]
fn an_optional_node_that_restores_itself_leaves_unless_others_were_proven_against_it() {
    let asleep = || Step { optional: true, ..update("nas/service.x") };
    let needing = || Step { depends_on: vec![unit("nas/service.x")], ..update("a/service.y") };
    let ends = |other: Step| {
        let mut run = Run::of(plan(vec![vec![asleep()], vec![other]]));
        for text in ["prepare a", "prepare nas", "change nas/service.x"] {
            run.good(text);
        }
        run.bad("probe nas/service.x", FailureKind::Restored);
        run.finish();
        run.verdict()
    };
    assert_eq!(ends(update("a/service.y")), Some(Verdict::Converged));
    assert_eq!(ends(needing()), Some(Verdict::RolledBack));
}

#[test]
fn the_decision_waits_for_a_node_that_can_t_be_reached_and_goes_on_without_an_optional_one() {
    let asleep = Step { optional: true, ..update("nas/service.x") };
    let mut run = Run::of(plan(vec![vec![update("a/service.y"), asleep]]));
    run.until("decide");
    assert_eq!(run.rollout.changed_nodes().count(), 2);
    let lost = |run: &mut Run, text: &str| {
        let effect = run.find(text);
        let OutcomeResult::Failed(failure) = failed(FailureKind::Transport) else { return };
        let failure = Failure { unit: Some(unit("nas/service.x")), ..failure };
        run.answer(effect, OutcomeResult::Failed(failure));
    };
    lost(&mut run, "decide");
    for _ in 0..3 {
        lost(&mut run, "again decide");
    }
    assert_eq!(run.finish(), ["again decide", "confirm a"]);
    assert_eq!(run.verdict(), Some(Verdict::Converged));
}

#[test]
fn a_node_that_is_busy_restoring_itself_is_asked_again() {
    let mut run = Run::of(plan(vec![vec![update("a/service.x")]]));
    run.good("prepare a");
    run.bad("change a/service.x", FailureKind::Restored);
    run.bad("put-back a/service.x", FailureKind::Busy);
    let order = ["again put-back a/service.x", "probe-back a/service.x", "abandon a"];
    assert_eq!(run.finish(), order);
    assert_eq!(run.verdict(), Some(Verdict::RolledBack));

    let mut run = decided();
    run.bad("confirm a", FailureKind::Busy);
    run.bad("again confirm a", FailureKind::Restored);
    run.bad("again prepare a", FailureKind::Busy);
    run.finish();
    assert_eq!(run.verdict(), Some(Verdict::Converged));
}
