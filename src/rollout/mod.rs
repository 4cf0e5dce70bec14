//! One execution of a plan: outcomes in, effects out, ending in a verdict; without a clock and without I/O.
//!
//! ```text
//! prepare all nodes ─► wave 1 ─► (gate) ─► wave 2 … ─► decide ─► confirm all nodes ─► converged
//!        │                │                              │
//!        └── failure ─────┴──► drain ─► put back, last wave first ─► abandon all nodes ─► rolled back
//! ```
//! [`Rollout::record`] is the only transition table (`record.rs`); `forward.rs` says what comes next while all is
//! well, `revert.rs` what comes next after a failure, `again.rs` what comes next for a node that took its changes back
//! although the decision was made, and `remedy.rs` what a person is told to do. The whole state follows from the plan and the outcomes in
//! their order, so that replaying a journal gives the very state that was lost in a crash.

mod again;
mod forward;
mod record;
mod remedy;
mod retry;
mod revert;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use crate::event::{Event, Happening};
use crate::model::{
    Action, Effect, Failure, FailureKind, Name, Outcome, OutcomeResult, Plan, Timestamp, UnitId,
    Verdict,
};

pub use state::{NodeProgress, Phase, StepState, Trouble};
use state::{NodeTrack, StepTrack};

/// An outcome that does not belong to anything asked for; the state is as before.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum IllegalMove {
    /// Its effect is not due: never asked for, or its outcome was recorded already.
    #[error("{0:?} is not due")]
    NotDue(Effect),
    /// Its effect is due, but can't end like that.
    #[error("{0:?} can't end like that")]
    WrongResult(Effect),
}

/// One execution of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    id: String,
    /// Shared by copies: the plan never changes.
    plan: Arc<Plan>,
    started: Timestamp,
    phase: Phase,
    nodes: Vec<NodeTrack>,
    steps: Vec<StepTrack>,
    /// Each wave's steps.
    waves: Vec<Range<usize>>,
    index: BTreeMap<UnitId, usize>,
    /// Asked for and no longer wanted: an answer may still come and is ignored, once.
    loose: BTreeSet<Effect>,
    /// How often the decision was tried in vain.
    decision: state::Tries,
    cause: Option<Cause>,
    quarantine: Option<String>,
    troubles: Vec<Trouble>,
    reason: String,
}

/// Why a rollout turned round.
#[derive(Clone, Debug, PartialEq)]
struct Cause {
    kind: FailureKind,
    text: String,
}

/// A step as views show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepView<'a> {
    /// Its wave, counted from 1.
    pub wave: usize,
    /// Which unit.
    pub unit: &'a UnitId,
    /// What happens to it.
    pub action: Action,
    /// Where it is.
    pub state: StepState,
    /// Since when.
    pub since: Timestamp,
}

impl Rollout {
    /// A rollout that has not done anything. An empty plan has converged at once.
    pub fn new(id: String, plan: impl Into<Arc<Plan>>, at: Timestamp) -> Self {
        let plan = plan.into();
        let mut steps = Vec::new();
        let mut waves = Vec::new();
        for (number, wave) in plan.waves.iter().enumerate() {
            let first = steps.len();
            steps.extend(wave.steps.iter().map(|step| StepTrack::new(number, step, at)));
            waves.push(first..steps.len());
        }
        let index = steps.iter().enumerate().map(|(i, s)| (s.unit.clone(), i)).collect();
        let phase = if plan.is_empty() { Phase::Over } else { Phase::Preparing };
        Self {
            nodes: tracks(&plan),
            id,
            plan,
            started: at,
            phase,
            steps,
            waves,
            index,
            loose: BTreeSet::new(),
            decision: state::Tries::default(),
            cause: None,
            quarantine: None,
            troubles: Vec::new(),
            reason: String::new(),
        }
    }

    /// Everything that should be under way now, in a stable order: nodes, then units, then the rollout itself.
    ///
    /// A function of the state alone. The caller starts what it has not started yet, and reports each with the
    /// effect exactly as listed: for `Retry` the whole `Retry`, with the result of what it holds, done when
    /// `until` has come. Something under way that is no longer listed only waited or asked (a wait, a retry, a
    /// probe) or only prepared: it may be dropped, and if its outcome comes all the same it is taken and changes
    /// nothing.
    pub fn effects(&self) -> Vec<Effect> {
        if self.phase == Phase::Over {
            return Vec::new();
        }
        let nodes = self.nodes.iter().filter_map(NodeTrack::effect);
        let steps = self.steps.iter().filter_map(StepTrack::effect);
        nodes.chain(steps).chain(self.own_effect()).collect()
    }

    fn own_effect(&self) -> Option<Effect> {
        match self.phase {
            Phase::Gate { until, .. } | Phase::BackGate { until, .. } => {
                Some(Effect::Wait { until })
            }
            Phase::Deciding => Some(self.decision.wrap(Effect::Decide)),
            _ => None,
        }
    }

    /// The outcome that makes a rollout turn round although nothing failed, and why: its operator asked, or what it
    /// would go on with may no longer be used.
    ///
    /// It can be recorded at any time; once the decision is being made, or when everything is being put back
    /// already, it changes nothing.
    pub fn cancelled(at: Timestamp, why: &str) -> Outcome {
        let failure = Failure {
            kind: FailureKind::Cancelled,
            unit: None,
            message: why.to_owned(),
            log: Vec::new(),
            attempts: Vec::new(),
        };
        Outcome { effect: Effect::Operator, at, result: OutcomeResult::Failed(failure) }
    }

    /// What is told when the rollout begins, or goes on after its controller was away.
    pub fn started_events(&self, resumed: bool, at: Timestamp) -> Vec<Event> {
        let mut told = vec![Happening::RolloutStarted {
            rollout: self.id.clone(),
            release: self.plan.release.clone(),
            commit: self.plan.commit.as_ref().map(|commit| commit.id.clone()),
            changes: self.steps.len(),
            resumed,
        }];
        let preparing = self.nodes.iter().filter(|n| n.state == NodeProgress::Preparing);
        if self.phase == Phase::Preparing {
            told.extend(preparing.map(|node| Happening::Preparing { node: node.name.clone() }));
        }
        if let (Phase::Over, Some(verdict)) = (self.phase, self.verdict()) {
            told.push(self.ended(verdict));
        }
        told.into_iter().map(|what| Event { at, what }).collect()
    }

    /// How the rollout ended; none while anything is left to do.
    pub fn verdict(&self) -> Option<Verdict> {
        (self.phase == Phase::Over).then(|| self.judged())
    }

    /// How it will end, as nodes are told while it is being abandoned; none before that is certain.
    pub fn ending(&self) -> Option<Verdict> {
        matches!(self.phase, Phase::Abandoning | Phase::Over).then(|| self.judged())
    }

    fn judged(&self) -> Verdict {
        match (self.troubles.is_empty(), &self.cause) {
            (false, _) => Verdict::NeedsOperator,
            (true, Some(_)) => Verdict::RolledBack,
            (true, None) => Verdict::Converged,
        }
    }

    /// Why it ended as it did, in words; empty while it goes forward and when it converged.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Why the release is quarantined; none unless its content failed.
    pub fn quarantine(&self) -> Option<&str> {
        self.quarantine.as_deref()
    }

    /// What a person must look at, in the order it was found.
    pub fn troubles(&self) -> &[Trouble] {
        &self.troubles
    }

    /// The rollout's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The plan that it executes.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// When it began.
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// Which part of the way it is on.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Every step in the plan's order.
    pub fn steps(&self) -> impl Iterator<Item = StepView<'_>> {
        self.steps.iter().map(|step| StepView {
            wave: step.wave + 1,
            unit: &step.unit,
            action: step.action,
            state: step.state,
            since: step.since,
        })
    }

    /// Every node that takes part, in the plan's order.
    pub fn nodes(&self) -> impl Iterator<Item = (&Name, NodeProgress)> {
        self.nodes.iter().map(|node| (&node.name, node.state))
    }

    /// Nodes that hold a lease for this rollout and must go on hearing from the controller.
    pub fn leased(&self) -> impl Iterator<Item = &Name> {
        use NodeProgress::{
            Abandoning, Confirming, Prepared, Preparing, Rearming, Renewing, Unsure,
        };
        let holds = [Preparing, Prepared, Unsure, Confirming, Rearming, Renewing, Abandoning];
        let over = self.phase == Phase::Over;
        let held = self.nodes.iter().filter(move |node| !over && holds.contains(&node.state));
        held.map(|node| &node.name)
    }

    /// Nodes on which something of this rollout stands: each must still hold it when the decision is made.
    pub fn changed_nodes(&self) -> impl Iterator<Item = &Name> {
        let changed = |name: &Name| {
            self.steps.iter().any(|step| step.unit.node == *name && step.state.touched())
        };
        let here = self.nodes.iter().filter(|node| node.state == NodeProgress::Prepared);
        here.map(|node| &node.name).filter(move |name| changed(name))
    }

    /// Units of a node whose files and containers go when it hears the decision: stopped ones and replaced ones.
    pub fn removals(&self, node: &Name) -> Vec<UnitId> {
        let here = self.steps.iter().filter(|step| step.unit.node == *node);
        let mut units = BTreeSet::new();
        for step in here {
            match step.state {
                StepState::Stopped => drop(units.insert(step.unit.clone())),
                StepState::Good(_) => units.extend(step.replaces.iter().cloned()),
                _ => {}
            }
        }
        units.into_iter().collect()
    }
}

/// Every node of the plan once, those that only its steps name too.
fn tracks(plan: &Plan) -> Vec<NodeTrack> {
    let steps = plan.steps().filter(|step| step.optional).map(|step| &step.unit.node);
    let optional: BTreeSet<&Name> = plan.optional.iter().chain(steps).collect();
    let mut seen = BTreeSet::new();
    let named = plan.nodes.iter().chain(plan.steps().map(|step| &step.unit.node));
    let once = named.filter(|name| seen.insert(*name));
    once.map(|name| NodeTrack::new(name.clone(), optional.contains(name))).collect()
}
