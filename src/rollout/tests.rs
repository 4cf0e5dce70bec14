//! Single moves of a rollout, each on the smallest plan that shows it.

use std::time::Duration;

use super::*;
use crate::model::{
    Count, Digest, Health, OnFailure, Policy, ProbeFrom, ProbeReport, Prune, Replaced, Rollback,
    Step, Wave, WayBack,
};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn unit(text: &str) -> UnitId {
    text.parse().unwrap()
}

fn health() -> Health {
    Health {
        checks: Vec::new(),
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        retries: 3,
        start_period: Duration::ZERO,
        stable_for: Duration::from_secs(1),
        from: ProbeFrom::Node,
    }
}

fn update(id: &str) -> Step {
    Step {
        unit: unit(id),
        action: Action::Update,
        from: Some(Digest::of(b"old")),
        to: Some(Digest::of(b"new")),
        replaces: Vec::new(),
        files: Vec::new(),
        reasons: Vec::new(),
        notices: Vec::new(),
        way_back: WayBack::Previous,
        rollback: Rollback::Auto,
        health: Some(health()),
        health_before: Some(health()),
        optional: false,
        adopt: false,
        depends_on: Vec::new(),
    }
}

fn removal(id: &str) -> Step {
    Step { action: Action::Remove, to: None, health: None, ..update(id) }
}

fn plan(waves: Vec<Vec<Step>>) -> Plan {
    let mut nodes: Vec<Name> = waves.iter().flatten().map(|step| step.unit.node.clone()).collect();
    nodes.sort();
    nodes.dedup();
    Plan {
        version: 1,
        fleet: name("lab"),
        commit: None,
        dirty: false,
        release: Digest::of(b"release"),
        wanted: BTreeMap::new(),
        observed: BTreeMap::new(),
        policy: Policy {
            on_failure: OnFailure::Rollback,
            max_parallel: 2,
            canary: 1,
            prune: Prune { enabled: true, max_removals: Count::Number(2) },
            dead_man: Some(Duration::from_secs(60)),
        },
        nodes,
        optional: Default::default(),
        skipped: Vec::new(),
        waves: waves.into_iter().map(|steps| Wave { gate: None, steps }).collect(),
        warnings: Vec::new(),
        unchanged: 0,
        refusals: Vec::new(),
    }
}

/// A rollout and its virtual clock, one second per outcome.
struct Run {
    rollout: Rollout,
    now: u64,
}

impl Run {
    fn of(plan: Plan) -> Self {
        Self { rollout: Rollout::new("r1".to_owned(), plan, Timestamp(0)), now: 0 }
    }

    fn listed(&self) -> Vec<String> {
        self.rollout.effects().iter().map(short).collect()
    }

    fn answer(&mut self, effect: Effect, result: OutcomeResult) -> Vec<Event> {
        if let Effect::Retry { until, .. } | Effect::Wait { until } = &effect {
            self.now = self.now.max(until.0);
        }
        self.now += 1000;
        let outcome = Outcome { effect, at: Timestamp(self.now), result };
        self.rollout.record(outcome).unwrap()
    }

    /// Answers the effect listed as `text` as good.
    fn good(&mut self, text: &str) -> Vec<Event> {
        let effect = self.find(text);
        let result = fine(&effect);
        self.answer(effect, result)
    }

    fn bad(&mut self, text: &str, kind: FailureKind) -> Vec<Event> {
        let effect = self.find(text);
        self.answer(effect, failed(kind))
    }

    /// The same failure until it is not tried again.
    fn lost(&mut self, text: &str) {
        let again = format!("again {text}");
        self.bad(text, FailureKind::Transport);
        while self.listed().contains(&again) {
            self.bad(&again, FailureKind::Transport);
        }
    }

    fn find(&self, text: &str) -> Effect {
        let listed = self.rollout.effects();
        let found = listed.iter().find(|effect| short(effect) == text);
        found.unwrap_or_else(|| panic!("{text} is not in {listed:?}")).clone()
    }

    /// Answers everything as good, first listed first, until nothing is left; what was answered.
    fn finish(&mut self) -> Vec<String> {
        let mut done = Vec::new();
        while let Some(first) = self.listed().first().cloned() {
            self.good(&first);
            done.push(first);
        }
        done
    }

    fn verdict(&self) -> Option<Verdict> {
        self.rollout.verdict()
    }
}

fn fine(effect: &Effect) -> OutcomeResult {
    match record::essence(effect) {
        Effect::Probe { .. } | Effect::ProbeBack { .. } => {
            OutcomeResult::Passed(ProbeReport::default())
        }
        _ => OutcomeResult::Done,
    }
}

fn failed(kind: FailureKind) -> OutcomeResult {
    let message = "it broke".to_owned();
    OutcomeResult::Failed(Failure {
        kind,
        unit: None,
        message,
        log: Vec::new(),
        attempts: Vec::new(),
    })
}

fn short(effect: &Effect) -> String {
    match effect {
        Effect::Prepare { node } => format!("prepare {node}"),
        Effect::Confirm { node } => format!("confirm {node}"),
        Effect::Abandon { node } => format!("abandon {node}"),
        Effect::Change { unit } => format!("change {unit}"),
        Effect::Stop { unit } => format!("stop {unit}"),
        Effect::Probe { unit } => format!("probe {unit}"),
        Effect::PutBack { unit } => format!("put-back {unit}"),
        Effect::ProbeBack { unit } => format!("probe-back {unit}"),
        Effect::Wait { .. } => "wait".to_owned(),
        Effect::Decide => "decide".to_owned(),
        Effect::Operator => "operator".to_owned(),
        Effect::Retry { what, .. } => format!("again {}", short(what)),
    }
}

#[test]
fn waves_go_in_order_and_every_node_is_prepared_and_confirmed() {
    let mut plan = plan(vec![vec![update("a/service.db")], vec![update("b/service.app")]]);
    plan.nodes.push(name("idle"));
    let mut run = Run::of(plan);
    let done = run.finish();
    let order = [
        "prepare a",
        "prepare b",
        "prepare idle",
        "change a/service.db",
        "probe a/service.db",
        "change b/service.app",
        "probe b/service.app",
        "decide",
        "confirm a",
        "confirm b",
        "confirm idle",
    ];
    assert_eq!(done, order);
    assert_eq!(run.verdict(), Some(Verdict::Converged));
    assert_eq!(run.rollout.reason(), "");
}

#[test]
fn no_more_units_than_allowed_are_on_their_way() {
    let steps = vec![update("a/service.x"), update("b/service.x"), update("c/service.x")];
    let mut run = Run::of(plan(vec![steps]));
    for node in ["a", "b", "c"] {
        run.good(&format!("prepare {node}"));
    }
    assert_eq!(run.listed(), ["change a/service.x", "change b/service.x"]);
    run.good("change a/service.x");
    assert_eq!(run.listed(), ["probe a/service.x", "change b/service.x"]);
    run.good("probe a/service.x");
    assert_eq!(run.listed(), ["change b/service.x", "change c/service.x"]);
}

#[test]
fn an_empty_plan_has_converged_at_once() {
    let run = Run::of(plan(vec![]));
    assert_eq!((run.listed().len(), run.verdict()), (0, Some(Verdict::Converged)));
}

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
fn a_second_copy_of_an_outcome_is_refused_and_changes_nothing() {
    let mut run = Run::of(plan(vec![vec![update("a/service.x")]]));
    let effect = run.find("prepare a");
    run.good("prepare a");
    let before = run.rollout.clone();
    let copy = Outcome { effect: effect.clone(), at: Timestamp(1000), result: OutcomeResult::Done };
    assert_eq!(run.rollout.record(copy), Err(IllegalMove::NotDue(effect)));
    assert_eq!(run.rollout, before);
    let effect = run.find("change a/service.x");
    let wrong = OutcomeResult::Passed(ProbeReport::default());
    let odd = Outcome { effect: effect.clone(), at: Timestamp(1000), result: wrong };
    assert_eq!(run.rollout.record(odd), Err(IllegalMove::WrongResult(effect)));
    assert_eq!(run.rollout, before);
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
fn an_optional_node_that_is_lost_leaves_and_the_others_go_on() {
    let asleep = Step { optional: true, ..update("nas/service.x") };
    let mut run = Run::of(plan(vec![vec![asleep], vec![update("a/service.y")]]));
    run.good("prepare a");
    run.good("prepare nas");
    run.lost("change nas/service.x");
    assert_eq!(run.finish(), ["change a/service.y", "probe a/service.y", "decide", "confirm a"]);
    assert_eq!(run.verdict(), Some(Verdict::Converged));
}

#[test]
fn a_busy_node_ends_the_rollout_before_anything_changes() {
    let mut run = Run::of(plan(vec![vec![update("a/service.x"), update("b/service.x")]]));
    run.good("prepare a");
    run.bad("prepare b", FailureKind::Busy);
    assert_eq!(run.finish(), ["abandon a"]);
    assert_eq!(run.verdict(), Some(Verdict::RolledBack));
    assert_eq!((run.rollout.quarantine(), run.rollout.reason()), (None, "b: it broke"));
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
fn a_required_node_that_never_hears_the_decision_is_named() {
    let mut run = Run::of(plan(vec![vec![update("a/service.x")], vec![update("b/service.y")]]));
    while !run.listed().contains(&"confirm a".to_owned()) {
        let first = run.listed()[0].clone();
        run.good(&first);
    }
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
    while !run.listed().contains(&"confirm a".to_owned()) {
        let first = run.listed()[0].clone();
        run.good(&first);
    }
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
    while !run.listed().contains(&"confirm a".to_owned()) {
        let first = run.listed()[0].clone();
        run.good(&first);
    }
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
        while !run.listed().contains(&last.to_owned()) {
            let first = run.listed()[0].clone();
            run.good(&first);
        }
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
    while !run.listed().contains(&"decide".to_owned()) {
        let first = run.listed()[0].clone();
        run.good(&first);
    }
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
