//! Drives one rollout through the imagined world: a virtual clock, a journal, a controller that can be killed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gitsync::event::{Event, Happening};
use gitsync::model::{
    Digest, Effect, Good, Holder, Name, Outcome, OutcomeResult, Plan, ProbeReport, Step, Timestamp,
    UnitId,
};
use gitsync::rollout::Rollout;
use gitsync::transport::fake::{Badness, Fault, Order, World};
use gitsync::transport::{Abandon, ChangeUnit, Confirm, Fence, TransportError};

use crate::fleets;
use crate::invariants;

/// When the controller is killed, and for how long it stays away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    /// At its how-manieth effect, counted from 1.
    pub effect: usize,
    /// Before the effect is done; else after, with its outcome lost.
    pub before: bool,
    /// Longer than a node bears silence.
    pub long: bool,
}

/// One rollout with all that goes wrong in it.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub plan: Arc<Plan>,
    pub faults: Vec<Fault>,
    pub bad: Vec<(Digest, Badness)>,
    /// A version that answers only while another unit runs that version.
    pub needs: Vec<(Digest, UnitId, Digest)>,
    pub kills: Vec<Kill>,
    /// The operator stops it after so many effects.
    pub cancel: Option<usize>,
    /// The decision can't be made durable.
    pub undecided: bool,
    /// Before this effect, counted from 1, the controller stands still for longer than a node bears.
    pub stall: Option<usize>,
    /// From this effect to that one no word goes to nodes between the effects.
    pub silent: Option<(usize, usize)>,
    /// Chooses what begins and what comes back next; none is first come, first served, one at a time.
    pub shuffle: Option<u64>,
}

impl Scenario {
    pub fn of(plan: &Arc<Plan>) -> Self {
        Self {
            plan: Arc::clone(plan),
            faults: Vec::new(),
            bad: Vec::new(),
            needs: Vec::new(),
            kills: Vec::new(),
            cancel: None,
            undecided: false,
            stall: None,
            silent: None,
            shuffle: None,
        }
    }

    /// What goes wrong in it, without its plan.
    pub fn told(&self) -> impl std::fmt::Debug + '_ {
        let Self { faults, bad, needs, kills, cancel, undecided, stall, silent, shuffle, .. } =
            self;
        (faults, (bad, needs), kills, (cancel, undecided), (stall, silent), shuffle)
    }

    /// Whether anything goes wrong in it at all.
    pub fn is_faulted(&self) -> bool {
        let Self { faults, bad, kills, cancel, undecided, stall, silent, .. } = self;
        let odd = cancel.is_some() || *undecided || stall.is_some() || silent.is_some();
        odd || !faults.is_empty() || !bad.is_empty() || !kills.is_empty()
    }

    /// Whether nodes may have restored or restarted things by themselves.
    pub fn nodes_act_alone(&self) -> bool {
        use gitsync::transport::fake::FaultKind::{Closed, Gone, Hang, Lapse, Overtaken, Reboot};
        let alone = |f: &Fault| {
            matches!(f.kind, Lapse | Reboot | Overtaken | Gone { .. } | Closed { .. } | Hang)
        };
        let alone_for_long = self.stall.is_some() || self.silent.is_some();
        alone_for_long || self.kills.iter().any(|kill| kill.long) || self.faults.iter().any(alone)
    }
}

/// A unit with the versions of its files and of its program.
pub type Found = (UnitId, Option<Digest>, Option<Digest>);

/// A run under way, and what it has seen.
pub struct Run<'a> {
    pub scenario: &'a Scenario,
    pub world: World,
    pub rollout: Rollout,
    pub journal: Vec<Outcome>,
    pub events: Vec<Event>,
    pub done: usize,
    /// Invariants by name, and how they were broken.
    pub broken: Vec<(&'static str, String)>,
    /// What other controllers found on nodes that they took over.
    pub overtaken: BTreeMap<Name, Vec<Found>>,
    /// Whether the decision was made.
    pub decided: bool,
    began: BTreeSet<Effect>,
    /// Done on the nodes, not yet known to the rollout.
    pub under_way: Vec<Outcome>,
    random: Option<u64>,
    fence: Fence,
}

/// More effects than any rollout of these sizes may need: every effect tried four times, and back again.
fn bound(plan: &Plan) -> usize {
    60 + 60 * (plan.nodes.len() + plan.steps().count())
}

impl<'a> Run<'a> {
    /// Runs a scenario to its end, then until everything is quiet; what was broken on the way.
    pub fn of(scenario: &'a Scenario) -> Self {
        let mut run = Self::new(scenario);
        run.drive();
        run.settle();
        invariants::at_the_verdict(&mut run);
        run.world.advance(run.world.now().after(Duration::from_secs(3600)));
        invariants::at_the_end(&mut run);
        run
    }

    fn new(scenario: &'a Scenario) -> Self {
        let mut world = fleets::world(&scenario.plan);
        for fault in &scenario.faults {
            world.fault(fault.clone());
        }
        for (digest, badness) in &scenario.bad {
            world.spoil(digest, *badness);
        }
        for (digest, unit, version) in &scenario.needs {
            world.need(digest, unit, version);
        }
        let rollout = fresh(&scenario.plan);
        Self {
            events: rollout.started_events(false, world.now()),
            scenario,
            world,
            rollout,
            journal: Vec::new(),
            done: 0,
            broken: Vec::new(),
            overtaken: BTreeMap::new(),
            decided: false,
            began: BTreeSet::new(),
            under_way: Vec::new(),
            random: scenario.shuffle,
            fence: Fence { fleet: scenario.plan.fleet.clone(), number: 7, nonce: "n7".to_owned() },
        }
    }

    /// What was broken, and everything that led to it.
    pub fn story(&self) -> String {
        let mut lines = vec![format!("{:?}", self.scenario.told())];
        lines.extend(self.broken.iter().map(|(name, what)| format!("BROKEN {name}: {what}")));
        lines.extend(self.journal.iter().map(|outcome| {
            let result = match &outcome.result {
                OutcomeResult::Failed(failure) => {
                    format!("{:?}: {}", failure.kind, failure.message)
                }
                OutcomeResult::Done => "done".to_owned(),
                OutcomeResult::Passed(_) => "passed".to_owned(),
            };
            format!("{} {:?} -> {result}", outcome.at.0, outcome.effect)
        }));
        lines.join("\n").replace("Name(\"", "(\"")
    }

    pub fn broke(&mut self, invariant: &'static str, what: String) {
        self.broken.push((invariant, what));
    }

    fn chance(&mut self, of: usize) -> usize {
        let Some(state) = &mut self.random else { return 0 };
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % of.max(1) as u64).unwrap_or(0)
    }

    fn drive(&mut self) {
        while self.rollout.verdict().is_none() {
            if self.done > bound(&self.scenario.plan) {
                let listed = self.rollout.effects();
                self.broke("every_rollout_ends", format!("still under way: {listed:?}"));
                return;
            }
            let listed = self.rollout.effects();
            invariants::on_effects(self, &listed);
            if listed.is_empty() && self.under_way.is_empty() {
                self.broke("every_rollout_ends", "nothing is under way".to_owned());
                return;
            }
            self.turn(&listed);
        }
    }

    /// Begins one effect, or takes one outcome, or lets time pass until something may begin.
    fn turn(&mut self, listed: &[Effect]) {
        let now = self.world.now();
        let open: Vec<&Effect> = listed.iter().filter(|e| !self.began.contains(*e)).collect();
        let ready: Vec<Effect> = open
            .iter()
            .filter(|e| until(e).is_none_or(|t| t <= now))
            .map(|e| (*e).clone())
            .collect();
        let come_back = !self.under_way.is_empty();
        if come_back && (ready.is_empty() || self.random.is_none() || self.chance(2) == 0) {
            let which = self.chance(self.under_way.len());
            let outcome = self.under_way.remove(which);
            self.take(outcome);
        } else if ready.is_empty() {
            match open.iter().filter_map(|effect| until(effect)).min() {
                Some(until) => self.pass(until),
                None => self.broke("every_rollout_ends", format!("lost track of {listed:?}")),
            }
        } else {
            let effect = ready[self.chance(ready.len())].clone();
            self.begin(effect);
        }
    }

    /// Lets time pass, with a word to every leased node in good time.
    fn pass(&mut self, to: Timestamp) {
        while self.world.now() < to {
            let step = self.world.now().after(Duration::from_secs(15));
            self.world.advance(step.min(to));
            self.keep_alive();
        }
    }

    fn keep_alive(&mut self) {
        if self.scenario.silent.is_some_and(|(from, to)| (from..to).contains(&self.done)) {
            return;
        }
        for node in self.rollout.leased() {
            self.world.renew(node, &self.fence);
        }
    }

    fn begin(&mut self, effect: Effect) {
        self.done += 1;
        let kill = self.scenario.kills.iter().find(|kill| kill.effect == self.done).copied();
        if let Some(kill) = kill.filter(|kill| kill.before) {
            return self.killed(kill);
        }
        if self.scenario.stall == Some(self.done) {
            self.world.advance(self.world.now().after(Duration::from_secs(75)));
        }
        invariants::before_effect(self, &effect);
        let result = self.execute(essence(&effect));
        self.keep_alive();
        invariants::after_effect(self);
        if let Some(kill) = kill {
            return self.killed(kill);
        }
        self.began.insert(effect.clone());
        let outcome = Outcome { effect, at: self.world.now(), result };
        self.under_way.push(outcome);
    }

    fn take(&mut self, mut outcome: Outcome) {
        outcome.at = self.world.now();
        self.began.remove(&outcome.effect);
        self.record(outcome);
        if self.scenario.cancel == Some(self.journal.len()) {
            self.record(Rollout::cancelled(self.world.now(), "the operator asked to stop"));
        }
    }

    fn record(&mut self, outcome: Outcome) {
        self.journal.push(outcome.clone());
        match self.rollout.record(outcome.clone()) {
            Ok(events) => {
                self.decided |= events.iter().any(|event| event.what == Happening::Decided);
                self.events.extend(events);
            }
            Err(refused) => {
                self.broke("every_outcome_that_was_asked_for_is_taken", format!("{refused}"))
            }
        }
        if outcome.effect != Effect::Operator && self.rollout.record(outcome.clone()).is_ok() {
            self.broke("no_outcome_counts_twice", format!("{outcome:?}"));
        }
    }

    /// The controller dies with everything it had under way, and another takes up its journal.
    fn killed(&mut self, kill: Kill) {
        self.began.clear();
        self.under_way.clear();
        let away = Duration::from_secs(if kill.long { 300 } else { 5 });
        self.world.advance(self.world.now().after(away));
        let mut again = fresh(&self.scenario.plan);
        for outcome in &self.journal {
            if again.record(outcome.clone()).is_err() {
                let what = format!("{outcome:?}");
                self.broken.push(("a_replayed_journal_gives_the_same_state", what));
            }
        }
        if again != self.rollout {
            self.broke("a_replayed_journal_gives_the_same_state", "into another state".to_owned());
        }
        self.rollout = again;
    }

    fn execute(&mut self, effect: &Effect) -> OutcomeResult {
        let done = match effect {
            Effect::Prepare { node } => self.prepare(node),
            Effect::Confirm { node } => self.confirm(node),
            Effect::Abandon { node } => self.abandon(node),
            Effect::Change { unit } => self.world.change(&self.request(unit)),
            Effect::Stop { unit } => self.world.stop(&self.request(unit)),
            Effect::PutBack { unit } => self.world.put_back(&self.request(unit)),
            Effect::Probe { unit } => return self.probe(unit, |step| step.to.clone()),
            Effect::ProbeBack { unit } => return self.probe(unit, |step| step.from.clone()),
            Effect::Decide if self.scenario.undecided => {
                Err(TransportError::Unreachable("the journal's disk is full".to_owned()))
            }
            Effect::Decide => return self.decide(),
            Effect::Wait { .. } | Effect::Operator | Effect::Retry { .. } => Ok(()),
        };
        match done {
            Ok(()) => OutcomeResult::Done,
            Err(error) => OutcomeResult::Failed(error.into_failure()),
        }
    }

    /// Every node that changed is asked anew whether it still holds what was changed, as the engine does.
    fn decide(&mut self) -> OutcomeResult {
        let names: Vec<Name> = self.rollout.changed_nodes().cloned().collect();
        for name in names {
            if let Err(error) = self.world.hold(&name, &self.fence) {
                let mut failure = error.into_failure();
                let mut units = self.scenario.plan.steps().map(|step| &step.unit);
                failure.unit = units.find(|unit| unit.node == name).cloned();
                return OutcomeResult::Failed(failure);
            }
        }
        invariants::on_decision(self);
        OutcomeResult::Done
    }

    fn probe(&mut self, unit: &UnitId, version: impl Fn(&Step) -> Option<Digest>) -> OutcomeResult {
        let expected = self.step(unit).and_then(version);
        let seen = self.world.probe(unit, expected.as_ref());
        self.pass(self.world.now().after(Duration::from_secs(10)));
        match seen {
            Ok(attempts) => OutcomeResult::Passed(ProbeReport { attempts }),
            Err(error) => OutcomeResult::Failed(error.into_failure()),
        }
    }

    pub fn step(&self, unit: &UnitId) -> Option<&'a Step> {
        self.scenario.plan.steps().find(|step| step.unit == *unit)
    }

    fn request(&self, unit: &UnitId) -> ChangeUnit {
        let step = self.step(unit).unwrap();
        ChangeUnit {
            fence: self.fence.clone(),
            id: unit.clone(),
            to: step.to.clone(),
            from: step.from.clone(),
            replaces: step.replaces.clone(),
            deadline: Duration::from_secs(20),
        }
    }

    fn prepare(&mut self, node: &Name) -> Result<(), TransportError> {
        let here = self.scenario.plan.steps().filter(|step| step.unit.node == *node);
        let order = Order {
            fence: self.fence.clone(),
            holder: Holder {
                who: "me".to_owned(),
                rollout: self.rollout.id().to_owned(),
                since: self.rollout.started(),
                nonce: self.fence.nonce.clone(),
            },
            dead_man: self.scenario.plan.policy.dead_man,
            takeover: false,
            units: here.map(|s| (s.unit.clone(), s.to.clone(), s.from.clone())).collect(),
            bring: Vec::new(),
            opened: gitsync::transport::Opened::default(),
        };
        self.world.prepare(node, &order)
    }

    fn confirm(&mut self, node: &Name) -> Result<(), TransportError> {
        let release = self.scenario.plan.release.clone();
        let at = self.world.now();
        let request = Confirm {
            fence: self.fence.clone(),
            good: Good { release, commit: None, at, units: Default::default() },
            keep: true,
            remove: self.rollout.removals(node),
            quarantine: None,
        };
        self.world.confirm(node, &request)
    }

    fn abandon(&mut self, node: &Name) -> Result<(), TransportError> {
        let request = Abandon {
            fence: self.fence.clone(),
            verdict: self.rollout.ending().unwrap(),
            release: self.scenario.plan.release.clone(),
            commit: None,
            at: self.world.now(),
            quarantine: self.rollout.quarantine().map(str::to_owned),
        };
        self.world.abandon(node, &request)
    }

    /// Answers that come when nobody waits for them any more.
    fn settle(&mut self) {
        for outcome in std::mem::take(&mut self.under_way) {
            self.record(outcome);
        }
    }
}

fn fresh(plan: &Arc<Plan>) -> Rollout {
    Rollout::new("r7".to_owned(), Arc::clone(plan), Timestamp(2_000_000))
}

fn until(effect: &Effect) -> Option<Timestamp> {
    match effect {
        Effect::Retry { until, .. } | Effect::Wait { until } => Some(*until),
        _ => None,
    }
}

pub fn essence(effect: &Effect) -> &Effect {
    match effect {
        Effect::Retry { what, .. } => what,
        other => other,
    }
}
