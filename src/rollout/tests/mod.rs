//! Single moves of a rollout, each on the smallest plan that shows it.

use std::time::Duration;

use super::*;
use crate::model::{
    Count, Digest, Health, OnFailure, Policy, ProbeFrom, ProbeReport, Prune, Replaced, Rollback,
    Step, Wave, WayBack,
};

mod back;
mod decision;

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
        sealed: BTreeSet::new(),
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

    /// Answers everything as good, first listed first, until `text` is listed.
    fn until(&mut self, text: &str) {
        while !self.listed().iter().any(|listed| listed == text) {
            let first = self.listed()[0].clone();
            self.good(&first);
        }
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
