//! What goes wrong: every fault at every call of every plan, alone and with a killed controller; then many at once.

use gitsync::model::{Digest, Step, Timestamp};
use gitsync::transport::fake::{Badness, Fault, FaultKind, Verb};

use crate::fleets::{Case, cases};
use crate::run::{Kill, Run, Scenario};

pub const VERBS: [Verb; 8] = [
    Verb::Prepare,
    Verb::Change,
    Verb::Stop,
    Verb::PutBack,
    Verb::Probe,
    Verb::Hold,
    Verb::Confirm,
    Verb::Abandon,
];

pub fn kinds() -> Vec<FaultKind> {
    vec![
        FaultKind::Refused,
        FaultKind::DoneButFailed,
        FaultKind::AnswerLost,
        FaultKind::Halfway,
        FaultKind::Hang,
        FaultKind::Gone { until: None },
        FaultKind::Gone { until: Some(Timestamp(2_030_000)) },
        FaultKind::Gone { until: Some(Timestamp(2_200_000)) },
        FaultKind::Closed { until: Timestamp(2_060_000) },
        FaultKind::Lapse,
        FaultKind::Reboot,
        FaultKind::Overtaken,
    ]
}

/// What may be wrong from the start: nothing, content of each kind in each unit, or the operator's mind.
pub fn beginnings(case: &Case) -> Vec<Scenario> {
    let plain = Scenario::of(&case.plan);
    let mut all = vec![plain.clone(), Scenario { cancel: Some(6), ..plain.clone() }];
    if case.large {
        let last = case.plan.steps().filter(|step| step.to.is_some()).last();
        let bad = last.map(|step| (digest(step), Badness::Probe)).into_iter().collect();
        all.push(Scenario { bad, ..plain });
        return all;
    }
    for step in case.plan.steps().filter(|step| step.to.is_some()) {
        for badness in [Badness::Validation, Badness::Activation, Badness::Probe] {
            let bad = vec![(digest(step), badness)];
            all.push(Scenario { bad, ..plain.clone() });
        }
    }
    all.push(Scenario { undecided: true, ..plain });
    all
}

/// What a step brings.
pub fn digest(step: &Step) -> Digest {
    step.to.clone().unwrap()
}

/// Every single fault that can hit a scenario, call by call.
pub fn single_faults(scenario: &Scenario) -> Vec<Scenario> {
    let smooth = Run::of(scenario);
    let mut all = Vec::new();
    for node in &scenario.plan.nodes {
        for verb in VERBS {
            for call in 1..=smooth.world.calls(node, verb) {
                for kind in kinds() {
                    let faults = vec![Fault { node: node.clone(), verb, call, kind }];
                    all.push(Scenario { faults, ..scenario.clone() });
                }
            }
        }
    }
    all
}

pub fn kills(done: usize) -> Vec<Kill> {
    let ways = [(true, false), (false, false), (true, true), (false, true)];
    let at = |effect| ways.map(|(before, long)| Kill { effect, before, long });
    (1..=done).flat_map(at).collect()
}

/// A small generator whose seed says everything.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, most: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most.max(1)
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

pub fn random_scenario(seed: u64) -> (&'static str, Scenario) {
    let mut random = Seeded(seed);
    let case = random.pick(cases());
    let faults = (0..random.below(5)).map(|_| Fault {
        node: random.pick(&case.plan.nodes),
        verb: random.pick(&VERBS),
        call: 1 + u32::try_from(random.below(4)).unwrap(),
        kind: random.pick(&kinds()),
    });
    let faults = faults.collect();
    let kills = (0..random.below(3)).map(|_| Kill {
        effect: 1 + random.below(30),
        before: random.below(2) == 0,
        long: random.below(3) == 0,
    });
    let kills = kills.collect();
    let wanted: Vec<Digest> = case.plan.steps().filter_map(|step| step.to.clone()).collect();
    let ways = [Badness::Validation, Badness::Switched, Badness::Activation, Badness::Probe];
    let bad = (0..random.below(3)).map(|_| (random.pick(&wanted), random.pick(&ways))).collect();
    let scenario = Scenario {
        faults,
        bad,
        kills,
        cancel: (random.below(4) == 0).then(|| random.below(20)),
        undecided: random.below(20) == 0,
        stall: (random.below(8) == 0).then(|| 1 + random.below(30)),
        silent: (random.below(8) == 0).then(|| (random.below(20), 20 + random.below(20))),
        shuffle: Some(seed),
        ..Scenario::of(&case.plan)
    };
    (case.name, scenario)
}
