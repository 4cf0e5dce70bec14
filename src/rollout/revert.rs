//! What comes next after a failure: what is under way comes back, everything changed is put back, nodes are told.
//!
//! Waves go back in reverse, each probed before the one before it is touched: what is in earlier waves passed its
//! own probes, so there is no hurry, and capacity is kept. Members of a pair wait for gateways on the way back too;
//! one whose partner is down is left serving.

use std::collections::BTreeSet;

use crate::event::Happening;
use crate::model::{Effect, Failure, FailureKind, Name, OnFailure, Timestamp, UnitId};

use super::forward::wait_reason;
use super::record::{Told, essence};
use super::remedy;
use super::state::Tries;
use super::{Cause, NodeProgress, Phase, Rollout, StepState};

impl Rollout {
    /// Notes a failure; the first one makes the rollout turn round.
    pub(super) fn turn(
        &mut self,
        text: String,
        failure: &Failure,
        unit: Option<UnitId>,
        node: Option<Name>,
        told: &mut Told,
    ) {
        self.tell_failed(unit, node, failure, told);
        if failure.kind == FailureKind::Content {
            self.quarantine.get_or_insert_with(|| text.clone());
        }
        if self.cause.is_none() {
            self.reason.clone_from(&text);
            self.cause = Some(Cause { kind: failure.kind, text });
            self.let_go(told);
            self.phase = Phase::Draining;
        }
    }

    pub(super) fn tell_failed(
        &self,
        unit: Option<UnitId>,
        node: Option<Name>,
        failure: &Failure,
        told: &mut Told,
    ) {
        told.tell(Happening::Failed {
            unit,
            node,
            kind: failure.kind,
            message: failure.message.clone(),
            log: failure.log.clone(),
            attempts: failure.attempts.clone(),
        });
    }

    /// Gives up what only waits or asks; what may be moving a node stays due. Nothing of a node moves while it is
    /// prepared, so an operator who asks to stop need not wait for that either.
    fn let_go(&mut self, told: &mut Told) {
        let at = told.at;
        let cancelled = self.cause.as_ref().is_some_and(|c| c.kind == FailureKind::Cancelled);
        self.loose.extend(self.own_effect().filter(|effect| *essence(effect) != Effect::Decide));
        for step in 0..self.steps.len() {
            if self.idle(step, at) {
                self.loosen(step, StepState::Suspect, at);
            }
        }
        for node in &mut self.nodes {
            let waits = node.tries.until.is_some_and(|until| until > at);
            if node.state == NodeProgress::Preparing && (waits || cancelled) {
                self.loose.extend(node.effect());
                node.enter(NodeProgress::Unsure);
                if cancelled {
                    told.tell(Happening::GivenUp { node: node.name.clone() });
                }
            }
        }
    }

    /// Whether a step is on its way, but nothing can be moving its node: it is probed, or waits to be tried again.
    pub(super) fn idle(&self, step: usize, at: Timestamp) -> bool {
        let track = &self.steps[step];
        let waits = track.tries.until.is_some_and(|until| until > at);
        match track.state {
            StepState::Probing | StepState::ProbingBack => true,
            StepState::Changing | StepState::PuttingBack => waits,
            _ => false,
        }
    }

    pub(super) fn loosen(&mut self, step: usize, state: StepState, at: Timestamp) {
        self.loose.extend(self.steps[step].effect());
        self.steps[step].enter(state, at);
    }

    /// Lets an optional node go: its units leave, and its lease puts back what was changed on it.
    pub(super) fn leave(&mut self, node: usize, failure: &Failure, told: &mut Told) {
        let decided = self.nodes[node].state == NodeProgress::Confirming;
        let restored = failure.kind == FailureKind::Restored;
        let leased = restored || self.plan.policy.dead_man.is_some();
        self.nodes[node].enter(NodeProgress::Left);
        let name = self.nodes[node].name.clone();
        for step in 0..self.steps.len() {
            if self.steps[step].unit.node == name && !decided {
                self.leave_step(step, leased, told.at);
            }
        }
        told.tell(Happening::NodeLeft { node: name, reason: failure.message.clone() });
    }

    fn leave_step(&mut self, step: usize, leased: bool, at: Timestamp) {
        use StepState as S;
        let state = self.steps[step].state;
        if matches!(state, S::Back(_) | S::Stuck | S::Kept | S::Undone) {
            return;
        }
        if state.touched() && !leased {
            let message = "may be changed: its node was lost and has no lease".to_owned();
            let unit = &self.steps[step].unit;
            let next = remedy::of_lost(&unit.node, Some(unit));
            self.trouble(step, message, next);
        }
        let moving = matches!(state, S::Changing | S::PuttingBack) && !self.idle(step, at);
        // What may still be moving comes back first; its outcome then lets it go.
        if !moving {
            self.loosen(step, S::Left, at);
        }
    }

    /// Turns to the way back once nothing is under way any more.
    pub(super) fn drained(&mut self, told: &mut Told) {
        let moving = self.steps.iter().any(|step| step.state == StepState::Changing);
        if moving || self.any_node(NodeProgress::Preparing) {
            return;
        }
        for step in &mut self.steps {
            if matches!(step.state, StepState::Good(_) | StepState::Stopped) {
                step.enter(StepState::Suspect, told.at);
            }
        }
        self.keep_what_must_stay(told.at);
        let units: Vec<UnitId> = self.suspects().map(|i| self.steps[i].unit.clone()).collect();
        if !units.is_empty() {
            told.tell(Happening::PuttingBack { units });
        }
        self.enter_back(self.waves.len(), told);
    }

    /// Steps to put back, in the order in which that happens.
    fn suspects(&self) -> impl Iterator<Item = usize> {
        (0..self.steps.len()).rev().filter(|&i| self.steps[i].state == StepState::Suspect)
    }

    fn keep_what_must_stay(&mut self, at: Timestamp) {
        let cancelled = self.cause.as_ref().is_some_and(|c| c.kind == FailureKind::Cancelled);
        let halt = self.plan.policy.on_failure == OnFailure::Halt && !cancelled;
        let never = self.held_by_never();
        let suspects: Vec<usize> = self.suspects().collect();
        for step in suspects.into_iter().rev() {
            let message = match (halt, never.contains(&self.steps[step].unit)) {
                (true, _) => "is left as it is: this fleet halts on failure",
                (_, true) if self.steps[step].never => {
                    "is left on its new version: it says `rollback: never`"
                }
                (_, true) => "is left on its new version: one that says `rollback: never` needs it",
                _ => continue,
            };
            self.keep(step, message.to_owned(), at);
        }
    }

    fn keep(&mut self, step: usize, message: String, at: Timestamp) {
        self.steps[step].enter(StepState::Kept, at);
        let next = remedy::of_kept(&self.steps[step].unit, self.quarantine.is_some());
        self.trouble(step, message, next);
    }

    /// Changed units that say `rollback: never`, and what they depend on, however far.
    fn held_by_never(&self) -> BTreeSet<UnitId> {
        let never = self.suspects().filter(|&i| self.steps[i].never);
        let mut open: Vec<UnitId> = never.map(|i| self.steps[i].unit.clone()).collect();
        let mut held = BTreeSet::new();
        while let Some(unit) = open.pop() {
            if let Some(&step) = self.index.get(&unit)
                && held.insert(unit)
            {
                open.extend(self.steps[step].depends_on.iter().cloned());
            }
        }
        held
    }

    /// Begins to put back the last wave before `below` that has something to put back, or comes to what follows.
    fn enter_back(&mut self, below: usize, told: &mut Told) {
        for wave in (0..below).rev() {
            self.keep_serving(wave, told.at);
            let steps: Vec<usize> = self.ready_back(wave).collect();
            if steps.is_empty() {
                continue;
            }
            match self.back_gate(wave, &steps) {
                Some((until, seen)) if until > told.at => {
                    self.phase = Phase::BackGate { wave, until };
                    told.tell(Happening::Waiting { until, reason: wait_reason(&seen) });
                }
                _ => self.phase = Phase::Back { wave },
            }
            return;
        }
        self.after_last_back(told);
    }

    /// Steps of a wave that can be put back now: those whose partner is not down, last one first.
    fn ready_back(&self, wave: usize) -> impl Iterator<Item = usize> {
        let suspect = |&i: &usize| self.steps[i].state == StepState::Suspect;
        let steps = self.waves[wave].clone().rev().filter(suspect);
        steps.filter(|&i| self.partners(i).all(|p| self.steps[p].state != StepState::Doubtful))
    }

    /// Members of a unit's group that changed behind a gate that had to see this unit first.
    fn partners(&self, step: usize) -> impl Iterator<Item = usize> {
        let track = &self.steps[step];
        let later = (track.wave + 1..self.waves.len()).filter(|&wave| {
            let gate = self.plan.waves[wave].gate.as_ref();
            gate.is_some_and(|gate| gate.seen.contains(&track.unit))
        });
        let steps = later.flat_map(|wave| self.waves[wave].clone());
        steps.filter(|&other| same_group(&self.steps[other].unit, &track.unit))
    }

    /// Leaves units serving whose partner is down for good.
    fn keep_serving(&mut self, wave: usize, at: Timestamp) {
        for step in self.waves[wave].clone() {
            let mut partners =
                self.partners(step).filter(|&p| self.steps[p].state == StepState::Stuck);
            let down = partners.next().map(|partner| self.steps[partner].unit.clone());
            drop(partners);
            if let (StepState::Suspect, Some(down)) = (self.steps[step].state, down) {
                let message = format!("is left on its new version: it serves while {down} is down");
                self.keep(step, message, at);
            }
        }
    }

    /// When gateways have seen the partners that were put back just before.
    fn back_gate(&self, wave: usize, steps: &[usize]) -> Option<(Timestamp, Vec<UnitId>)> {
        let mut last: Option<Timestamp> = None;
        let mut seen = BTreeSet::new();
        for &partner in
            steps.iter().flat_map(|&step| self.partners(step)).collect::<Vec<_>>().iter()
        {
            let track = &self.steps[partner];
            let gate = self.plan.waves[track.wave].gate.as_ref();
            if let (StepState::Back(at), Some(gate), true) = (track.state, gate, track.wave > wave)
            {
                last = last.max(Some(at.after(gate.after)));
                seen.insert(track.unit.clone());
            }
        }
        last.map(|until| (until, seen.into_iter().collect()))
    }

    /// Puts back as many of a wave's steps as there is place for; goes on to the wave before when all are through.
    pub(super) fn advance_back(&mut self, wave: usize, told: &mut Told) {
        let busy = |state| matches!(state, StepState::PuttingBack | StepState::ProbingBack);
        let steps = &self.steps[self.waves[wave].clone()];
        let at_once = steps.iter().filter(|step| busy(step.state)).count();
        let ready: Vec<usize> = self.ready_back(wave).collect();
        if ready.is_empty() && at_once == 0 {
            self.enter_back(wave, told);
            return;
        }
        for step in ready.into_iter().take(self.places().saturating_sub(at_once)) {
            self.steps[step].enter(StepState::PuttingBack, told.at);
        }
    }

    /// Whether a unit whose old version does not answer gets a second look, once what it needs is back as well.
    pub(super) fn doubt(&mut self, step: usize, at: Timestamp) -> bool {
        use StepState::{ProbingBack, PuttingBack, Suspect};
        let open =
            |other: usize| matches!(self.steps[other].state, Suspect | PuttingBack | ProbingBack);
        let others = (0..self.steps.len()).any(|other| other != step && open(other));
        if self.steps[step].doubted || !others {
            return false;
        }
        self.steps[step].enter(StepState::Doubtful, at);
        self.steps[step].doubted = true;
        true
    }

    fn after_last_back(&mut self, told: &mut Told) {
        if self.steps.iter().any(|step| step.state == StepState::Doubtful) {
            self.phase = Phase::BackAgain;
            self.look_again(told.at);
        } else {
            self.abandon();
        }
    }

    /// Asks as many old versions again as there is place for.
    fn look_again(&mut self, at: Timestamp) {
        // Named apart from the first look, so that no late copy of that one passes for this.
        let until = at.after(std::time::Duration::from_millis(1));
        let probing = self.steps.iter().filter(|step| step.state == StepState::ProbingBack);
        let places = self.places().saturating_sub(probing.count());
        let doubtful = self.steps.iter_mut().filter(|step| step.state == StepState::Doubtful);
        for step in doubtful.take(places) {
            step.enter(StepState::ProbingBack, at);
            step.tries = Tries::not_before(until);
        }
    }

    pub(super) fn advance_again(&mut self, told: &mut Told) {
        self.look_again(told.at);
        let probing = self.steps.iter().any(|step| step.state == StepState::ProbingBack);
        if !probing {
            // Units that waited for their partner are decided now.
            self.enter_back(self.waves.len(), told);
        }
    }

    fn abandon(&mut self) {
        for node in &mut self.nodes {
            if matches!(node.state, NodeProgress::Prepared | NodeProgress::Unsure) {
                node.enter(NodeProgress::Abandoning);
            }
        }
        self.reason = self.reasons();
        self.phase = Phase::Abandoning;
    }
}

pub(super) fn same_group(a: &UnitId, b: &UnitId) -> bool {
    (a.kind, &a.name, &a.environment) == (b.kind, &b.name, &b.environment)
}
