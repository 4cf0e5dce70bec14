//! Generated plans with generated mishaps; proptest prints the smallest scenario that breaks an invariant.

use std::sync::Arc;
use std::time::Duration;

use gitsync::model::{Action, OnFailure, Plan, Replaced, Rollback, Step, Timestamp};
use gitsync::transport::fake::{Badness, Fault, FaultKind, Verb};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::fleets::{after, create, gated, name, new, old, plan, remove, unit, update};
use crate::run::{Kill, Run, Scenario};

/// A step as numbers: node, action, whether it never goes back, and which earlier units it needs.
type Draft = (usize, usize, bool, u8);

#[derive(Clone, Debug)]
struct Fleet {
    optional: Vec<bool>,
    waves: Vec<Vec<Draft>>,
    pair: bool,
    max_parallel: u32,
    halts: bool,
    leased: bool,
}

fn fleet() -> impl Strategy<Value = Fleet> {
    let step = (0..4usize, 0..6usize, prop::bool::weighted(0.1), any::<u8>());
    let waves = prop::collection::vec(prop::collection::vec(step, 1..4), 1..4);
    let optional = prop::collection::vec(prop::bool::weighted(0.2), 4);
    let rest = (any::<bool>(), 1..4u32, prop::bool::weighted(0.2), prop::bool::weighted(0.8));
    (optional, waves, rest).prop_map(|(optional, waves, (pair, max_parallel, halts, leased))| {
        Fleet { optional, waves, pair, max_parallel, halts, leased }
    })
}

fn steps_of(fleet: &Fleet) -> Vec<Vec<Step>> {
    let mut earlier: Vec<String> = Vec::new();
    let mut waves = Vec::new();
    for (number, drafts) in fleet.waves.iter().enumerate() {
        let mut steps = Vec::new();
        let mut ids = Vec::new();
        for (place, &(node, action, never, needs)) in drafts.iter().enumerate() {
            let id = format!("n{node}/service.u{number}-{place}");
            let needed = earlier.iter().enumerate().filter(|(i, _)| needs >> (i % 8) & 1 == 1);
            let needed: Vec<&str> = needed.map(|(_, id)| id.as_str()).collect();
            let step = Step {
                optional: fleet.optional[node],
                rollback: if never { Rollback::Never } else { Rollback::Auto },
                ..after(of_action(&id, action), &needed)
            };
            if step.to.is_some() {
                ids.push(id);
            }
            steps.push(step);
        }
        earlier.extend(ids);
        waves.push(steps);
    }
    waves
}

fn of_action(id: &str, action: usize) -> Step {
    match action {
        0 => create(id),
        1 => remove(id),
        2 => {
            let gone = unit(&format!("{id}-before"));
            let replaces = vec![Replaced { from: old(&gone), unit: gone }];
            Step { action: Action::Replace, replaces, ..create(id) }
        }
        _ => update(id),
    }
}

fn plan_of(fleet: &Fleet) -> Plan {
    let mut waves = steps_of(fleet);
    let optional = |node: usize| fleet.optional[node];
    if fleet.pair {
        waves.push(vec![Step { optional: optional(0), ..update("n0/service.pair") }]);
        waves.push(vec![Step { optional: optional(1), ..update("n1/service.pair") }]);
    }
    let last = waves.len() - 1;
    let mut plan = plan(waves);
    if fleet.pair {
        plan = gated(plan, last, "n0/service.pair");
    }
    plan.policy.max_parallel = fleet.max_parallel;
    plan.policy.on_failure = if fleet.halts { OnFailure::Halt } else { OnFailure::Rollback };
    plan.policy.dead_man = fleet.leased.then_some(Duration::from_secs(60));
    plan
}

fn fault() -> impl Strategy<Value = Fault> {
    use FaultKind as K;
    let verb = prop::sample::select(vec![
        Verb::Prepare,
        Verb::Change,
        Verb::Stop,
        Verb::PutBack,
        Verb::Probe,
        Verb::Hold,
        Verb::Confirm,
        Verb::Abandon,
    ]);
    let kind = prop_oneof![
        Just(K::Refused),
        Just(K::DoneButFailed),
        Just(K::AnswerLost),
        Just(K::Halfway),
        Just(K::Hang),
        Just(K::Lapse),
        Just(K::Reboot),
        Just(K::Overtaken),
        Just(K::Gone { until: None }),
        (2_000_000..2_400_000u64).prop_map(|at| K::Gone { until: Some(Timestamp(at)) }),
        (2_000_000..2_400_000u64).prop_map(|at| K::Closed { until: Timestamp(at) }),
    ];
    let node = (0..4usize).prop_map(|node| name(&format!("n{node}")));
    (node, verb, 1..5u32, kind).prop_map(|(node, verb, call, kind)| Fault {
        node,
        verb,
        call,
        kind,
    })
}

fn kill() -> impl Strategy<Value = Kill> {
    let kill = |(effect, before, long)| Kill { effect, before, long };
    (1..40usize, any::<bool>(), prop::bool::weighted(0.3)).prop_map(kill)
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let badness = prop::sample::select(vec![
        Badness::Validation,
        Badness::Switched,
        Badness::Activation,
        Badness::Probe,
    ]);
    let bad = prop::collection::vec((any::<prop::sample::Index>(), badness), 0..2);
    let faults = prop::collection::vec(fault(), 0..4);
    let kills = prop::collection::vec(kill(), 0..3);
    let wish = (prop::option::weighted(0.2, 1..30usize), prop::bool::weighted(0.05));
    let away = (
        prop::option::weighted(0.1, 1..40usize),
        prop::option::weighted(0.1, (1..30usize, 5..30usize)),
    );
    let shuffle = prop::option::weighted(0.8, any::<u64>());
    (fleet(), bad, faults, kills, (wish, away), shuffle).prop_map(
        |(fleet, bad, faults, kills, ((cancel, undecided), (stall, silent)), shuffle)| {
            let silent = silent.map(|(from, long)| (from, from + long));
            let plan = Arc::new(plan_of(&fleet));
            let wanted: Vec<_> = plan.steps().filter(|step| step.to.is_some()).collect();
            let spoil = |(which, how): (prop::sample::Index, Badness)| {
                let step = (!wanted.is_empty()).then(|| *which.get(&wanted));
                step.map(|step| (new(&step.unit), how))
            };
            let bad = bad.into_iter().filter_map(spoil).collect();
            let known = |fault: &Fault| plan.nodes.contains(&fault.node);
            let faults = faults.into_iter().filter(known).collect();
            Scenario {
                faults,
                bad,
                kills,
                cancel,
                undecided,
                stall,
                silent,
                shuffle,
                ..Scenario::of(&plan)
            }
        },
    )
}

/// The scenario of a seed, the same each time.
pub fn of_seed(seed: u64) -> Scenario {
    thread_local! {
        static STRATEGY: BoxedStrategy<Scenario> = scenario().boxed();
    }
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), random);
    STRATEGY.with(|strategy| strategy.new_tree(&mut runner)).unwrap().current()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_plan_with_any_mishaps_ends_well(scenario in scenario()) {
        let run = Run::of(&scenario);
        prop_assert!(run.broken.is_empty(), "{:#?}\n{}", scenario.plan, run.story());
    }
}
