//! What is tried again: how often, how long, and what is told of it.

use crate::event::Happening;
use crate::model::{Failure, FailureKind, Name, Timestamp};

use super::record::Told;
use super::state::RETRIES;
use super::{NodeProgress, Rollout, StepState};

impl Rollout {
    /// Until when a node that can't be reached is tried all the same: while it may still restore itself and come back.
    pub(super) fn patient(
        &mut self,
        node: usize,
        failure: &Failure,
        told: &Told,
    ) -> Option<Timestamp> {
        let name = &self.nodes[node].name;
        let mut here = self.steps.iter().filter(|step| step.unit.node == *name);
        let armed = here.any(|s| !matches!(s.state, StepState::Waiting | StepState::Left));
        let lease = self.plan.policy.dead_man.filter(|_| armed);
        let lost = failure.kind == FailureKind::Transport;
        lost.then(|| self.nodes[node].patience(told.at, lease)).flatten()
    }

    /// A step's node was reached.
    pub(super) fn found(&mut self, step: usize) {
        if let Some(node) = self.node_of(step) {
            self.nodes[node].lost = None;
        }
    }

    /// Whether a failed transport is tried again; says so when it is.
    pub(super) fn step_again(
        &mut self,
        step: usize,
        failure: &Failure,
        patient: Option<Timestamp>,
        told: &mut Told,
    ) -> bool {
        let track = &mut self.steps[step];
        let back = matches!(track.state, StepState::PuttingBack | StepState::ProbingBack);
        let until =
            passes(failure, back).then(|| track.tries.again(told.at, RETRIES, patient)).flatten();
        let node = track.unit.node.clone();
        retrying(node, failure, until, told)
    }

    pub(super) fn node_again(
        &mut self,
        node: usize,
        failure: &Failure,
        limit: u32,
        told: &mut Told,
    ) -> bool {
        self.node_again_until(node, failure, (limit, None), told)
    }

    pub(super) fn node_again_until(
        &mut self,
        node: usize,
        failure: &Failure,
        (limit, patient): (u32, Option<Timestamp>),
        told: &mut Told,
    ) -> bool {
        let track = &mut self.nodes[node];
        // Before anything changed, a node that is held by another rollout is simply not ours.
        let held = track.state != NodeProgress::Preparing;
        let until =
            passes(failure, held).then(|| track.tries.again(told.at, limit, patient)).flatten();
        let name = track.name.clone();
        retrying(name, failure, until, told)
    }
}

/// Whether a failure may pass by itself: a node that can't be reached, or one that is `restoring` itself just now and
/// lets nobody else at its files meanwhile.
fn passes(failure: &Failure, restoring: bool) -> bool {
    match failure.kind {
        FailureKind::Transport => true,
        FailureKind::Busy => restoring,
        _ => false,
    }
}

fn retrying(node: Name, failure: &Failure, until: Option<Timestamp>, told: &mut Told) -> bool {
    let Some(until) = until else { return false };
    told.tell(Happening::Retrying { node, message: failure.message.clone(), until });
    true
}
