//! What comes after the decision for a node that took its changes back before it heard of it: they are made again.
//!
//! Such a node is prepared again, its steps go in the order of their waves and are probed as before, then it is told
//! the decision. Nothing is put back any more: what fails now is named for the operator, and the node's lease brings
//! what was begun there to its old version. After some rounds of this it is left to the operator as well.

use crate::event::Happening;
use crate::model::{Failure, FailureKind, OutcomeResult};

use super::record::Told;
use super::remedy;
use super::revert::same_group;
use super::state::{CONFIRM_RETRIES, Fate, ROUNDS, Tries, sentence};
use super::{NodeProgress, Rollout, StepState};

impl Rollout {
    /// Goes on after the decision: changes are made again, nodes are told; the end when none is left to tell.
    pub(super) fn advance_confirming(&mut self, told: &mut Told) {
        self.settle_fates(told);
        self.admit_again(told);
        self.confirm_renewed(told);
        let telling =
            |node: &super::NodeTrack| node.state == NodeProgress::Confirming || node.returns();
        let moving = self.steps.iter().any(|step| step.effect().is_some());
        if !moving && !self.nodes.iter().any(telling) {
            self.end(told);
        }
    }

    /// A node took its changes back although the decision was made: it gets them again, so many times.
    pub(super) fn roll_forward(&mut self, node: usize, failure: Failure, told: &mut Told) {
        let name = self.nodes[node].name.clone();
        self.tell_failed(None, Some(name.clone()), &failure, told);
        self.nodes[node].enter(NodeProgress::Rearming);
        if self.nodes[node].rounds >= ROUNDS {
            self.give_up(node, None, &failure, told);
            return;
        }
        let track = &mut self.nodes[node];
        track.rounds += 1;
        track.tries = Tries::anew(told.at);
        for step in self.here(node) {
            if self.steps[step].state.settled() {
                self.steps[step].enter(StepState::Waiting, told.at);
            }
        }
        told.tell(Happening::RollingForward { node: name });
    }

    /// A node that took its changes back can't be prepared again.
    pub(super) fn unready(&mut self, node: usize, failure: Failure, told: &mut Told) {
        if !self.node_again(node, &failure, CONFIRM_RETRIES, told) {
            let name = self.nodes[node].name.clone();
            self.tell_failed(failure.unit.clone(), Some(name), &failure, told);
            self.give_up(node, None, &failure, told);
        }
    }

    /// Whether a step is one that is made again.
    pub(super) fn renewing(&self, step: usize) -> bool {
        self.node_of(step).is_some_and(|node| self.nodes[node].state == NodeProgress::Renewing)
    }

    /// What came of a step that is made again.
    pub(super) fn renewed(&mut self, step: usize, result: OutcomeResult, told: &mut Told) {
        let Some(node) = self.node_of(step) else { return };
        if self.nodes[node].fate.is_some() {
            self.steps[step].enter(StepState::Waiting, told.at);
            return;
        }
        match result {
            OutcomeResult::Done => {
                self.changed(step, told);
                self.steps[step].tries = Tries::anew(told.at);
            }
            OutcomeResult::Passed(report) => {
                self.steps[step].enter(StepState::Good(told.at), told.at);
                let unit = self.steps[step].unit.clone();
                told.tell(Happening::Healthy { unit, attempts: report.attempts });
            }
            OutcomeResult::Failed(failure) => self.failed_again(node, step, failure, told),
        }
    }

    fn failed_again(&mut self, node: usize, step: usize, failure: Failure, told: &mut Told) {
        if self.step_again(step, &failure, None, told) {
            return;
        }
        let tries = self.steps[step].tries.count();
        self.steps[step].enter(StepState::Waiting, told.at);
        if failure.kind != FailureKind::Restored {
            let unit = self.steps[step].unit.clone();
            self.tell_failed(Some(unit), None, &failure, told);
        }
        self.nodes[node].fate = Some(Fate { step, tries, failure });
        for other in self.here(node) {
            if self.idle(other, told.at) {
                self.loosen(other, StepState::Waiting, told.at);
            }
        }
    }

    /// What becomes of nodes on which a step failed again, once nothing moves there any more.
    fn settle_fates(&mut self, told: &mut Told) {
        for node in 0..self.nodes.len() {
            let moving = self.here(node).any(|step| self.steps[step].effect().is_some());
            if moving {
                continue;
            }
            let Some(fate) = self.nodes[node].fate.take() else { continue };
            match fate.failure.kind {
                FailureKind::Restored => self.roll_forward(node, fate.failure, told),
                _ => self.give_up(node, Some((fate.step, fate.tries)), &fate.failure, told),
            }
        }
    }

    /// Begins as many steps of the first wave that has any as there is place for; behind their gate, as before.
    fn admit_again(&mut self, told: &mut Told) {
        let returns = |rollout: &Self, step: usize| {
            rollout.node_of(step).is_some_and(|node| rollout.nodes[node].returns())
        };
        let open = |rollout: &Self, step: usize| {
            returns(rollout, step) && !rollout.steps[step].state.settled()
        };
        let first = (0..self.steps.len()).find(|&step| open(self, step));
        let Some(wave) = first.map(|step| self.steps[step].wave) else { return };
        let busy = self.steps.iter().filter(|step| step.effect().is_some()).count();
        let waits = |&step: &usize| {
            self.steps[step].state == StepState::Waiting
                && self.renewing(step)
                && !self.doomed(step)
        };
        let ready = self.waves[wave].clone().filter(waits);
        let ready: Vec<usize> = ready.take(self.places().saturating_sub(busy)).collect();
        let soonest = Tries::anew(told.at);
        let gate = self.gate_until(wave).map(Tries::not_before);
        for step in ready {
            let track = &mut self.steps[step];
            track.enter(StepState::Changing, told.at);
            track.tries = gate.filter(|gate| gate.until > soonest.until).unwrap_or(soonest);
            if !track.removal() {
                told.tell(Happening::Changing { unit: track.unit.clone() });
            }
        }
    }

    fn doomed(&self, step: usize) -> bool {
        self.node_of(step).is_some_and(|node| self.nodes[node].fate.is_some())
    }

    /// Tells the decision to nodes on which everything was made again.
    fn confirm_renewed(&mut self, told: &Told) {
        for node in 0..self.nodes.len() {
            let done = self.here(node).all(|step| self.steps[step].state.settled());
            let track = &mut self.nodes[node];
            if track.state == NodeProgress::Renewing && track.fate.is_none() && done {
                track.enter(NodeProgress::Confirming);
                track.tries = Tries::anew(told.at);
            }
        }
    }

    /// Leaves a node on which changes can't be made again to the operator, or to its return when it is optional.
    fn give_up(
        &mut self,
        node: usize,
        failed: Option<(usize, u32)>,
        failure: &Failure,
        told: &mut Told,
    ) {
        let lost = matches!(failure.kind, FailureKind::Transport | FailureKind::Restored);
        if lost && self.nodes[node].optional {
            self.leave(node, failure, told);
            return;
        }
        let name = self.nodes[node].name.clone();
        let tries = failed.map_or(self.nodes[node].tries.count(), |(_, tries)| tries);
        self.nodes[node].enter(NodeProgress::Unheard);
        let why = match failed {
            Some((step, _)) => sentence(&self.steps[step].unit, failure),
            None => remedy::tried(tries, failure),
        };
        let message = format!(
            "may run its old version: {name} took its changes back before it heard the decision, and they could \
             not be made again: {why}"
        );
        let next = remedy::of_undone(&name, failure.kind);
        for step in self.here(node) {
            if self.steps[step].state != StepState::Left {
                self.steps[step].enter(StepState::Undone, told.at);
                self.trouble(step, message.clone(), next.clone());
            }
        }
    }

    /// The steps of a node, in their order.
    fn here(&self, node: usize) -> impl Iterator<Item = usize> + use<> {
        let name = &self.nodes[node].name;
        let here = (0..self.steps.len()).filter(|&step| self.steps[step].unit.node == *name);
        here.collect::<Vec<_>>().into_iter()
    }

    /// Whether a unit elsewhere was, or is to be, proven against what a node took back: it needs a unit there and no
    /// equal one that is still in the rollout.
    pub(super) fn needed_elsewhere(&self, node: usize) -> bool {
        let name = &self.nodes[node].name;
        let stays = |unit: &crate::model::UnitId| {
            let step = self.index.get(unit).map(|&step| &self.steps[step]);
            unit.node != *name && step.is_some_and(|step| step.state != StepState::Left)
        };
        self.steps.iter().filter(|step| stays(&step.unit)).any(|step| {
            let mut there = step.depends_on.iter().filter(|need| need.node == *name);
            there.any(|need| {
                let mut others = step.depends_on.iter().filter(|other| stays(other));
                !others.any(|other| same_group(other, need))
            })
        })
    }
}
