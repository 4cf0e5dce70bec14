//! The one transition table: an outcome comes in, nodes and steps move, and what happened is told.

use crate::event::{Event, Happening};
use crate::model::{Effect, Failure, FailureKind, Name, Outcome, OutcomeResult, Timestamp};

use super::state::{CONFIRM_RETRIES, RETRIES, sentence};
use super::{IllegalMove, NodeProgress, Phase, Rollout, StepState, Trouble};

/// What happened at one time, in order.
pub(super) struct Told {
    pub(super) at: Timestamp,
    pub(super) happenings: Vec<Happening>,
}

impl Told {
    pub(super) fn tell(&mut self, what: Happening) {
        self.happenings.push(what);
    }
}

/// Who an outcome is about.
enum Target {
    Node(usize),
    Step(usize),
    Own,
}

impl Rollout {
    /// Takes an outcome: moves what it is about, then whatever follows from that; tells what happened.
    ///
    /// An outcome whose effect is not due (a second copy of one that was recorded, too) is refused and the state
    /// stays as it was. Once the verdict is there, nothing changes any more.
    pub fn record(&mut self, outcome: Outcome) -> Result<Vec<Event>, IllegalMove> {
        let Outcome { effect, at, result } = outcome;
        let mut told = Told { at, happenings: Vec::new() };
        if effect == Effect::Operator {
            self.operator(result, &mut told)?;
        } else if let Some(target) = self.due(&effect) {
            if !fits(essence(&effect), &result) {
                return Err(IllegalMove::WrongResult(effect));
            }
            match target {
                Target::Node(node) => self.node_moved(node, result, &mut told),
                Target::Step(step) => self.step_moved(step, result, &mut told),
                Target::Own => self.own_moved(result, &mut told),
            }
        } else if !self.loose.remove(&effect) {
            return Err(IllegalMove::NotDue(effect));
        }
        self.advance(&mut told);
        Ok(told.happenings.into_iter().map(|what| Event { at, what }).collect())
    }

    fn due(&self, effect: &Effect) -> Option<Target> {
        let (target, listed) = match essence(effect) {
            Effect::Prepare { node } | Effect::Confirm { node } | Effect::Abandon { node } => {
                let place = self.nodes.iter().position(|track| track.name == *node)?;
                (Target::Node(place), self.nodes[place].effect())
            }
            Effect::Wait { .. } | Effect::Decide => (Target::Own, self.own_effect()),
            other => {
                let place = *self.index.get(other.unit()?)?;
                (Target::Step(place), self.steps[place].effect())
            }
        };
        (listed.as_ref() == Some(effect)).then_some(target)
    }

    fn operator(&mut self, result: OutcomeResult, told: &mut Told) -> Result<(), IllegalMove> {
        let OutcomeResult::Failed(failure) = result else {
            return Err(IllegalMove::WrongResult(Effect::Operator));
        };
        let forward =
            matches!(self.phase, Phase::Preparing | Phase::Gate { .. } | Phase::Wave { .. });
        if forward {
            self.turn(failure.message.clone(), &failure, None, None, told);
        }
        Ok(())
    }

    fn node_moved(&mut self, node: usize, result: OutcomeResult, told: &mut Told) {
        use NodeProgress as N;
        let name = self.nodes[node].name.clone();
        match (self.nodes[node].state, result) {
            (N::Preparing, OutcomeResult::Failed(failure)) => self.unprepared(node, failure, told),
            (N::Confirming, OutcomeResult::Failed(failure)) => {
                self.unconfirmed(node, failure, told);
            }
            (N::Abandoning, OutcomeResult::Failed(failure)) => {
                self.unabandoned(node, failure, told);
            }
            (N::Preparing, _) => {
                self.nodes[node].enter(N::Prepared);
                told.tell(Happening::Prepared { node: name });
            }
            (N::Confirming, _) => {
                self.nodes[node].enter(N::Confirmed);
                told.tell(Happening::Confirmed { node: name });
            }
            (N::Abandoning, _) => {
                self.nodes[node].enter(N::Abandoned);
                told.tell(Happening::Abandoned { node: name });
            }
            // Nothing is due of a node in any other state.
            _ => {}
        }
    }

    fn step_moved(&mut self, step: usize, result: OutcomeResult, told: &mut Told) {
        use StepState as S;
        let (at, track) = (told.at, &self.steps[step]);
        let unit = track.unit.clone();
        match (track.state, result) {
            _ if self.node_left(step) => self.steps[step].enter(S::Left, at),
            (S::Changing, OutcomeResult::Done) => self.changed(step, told),
            (S::Probing, OutcomeResult::Passed(report)) => {
                self.steps[step].enter(S::Good(at), at);
                told.tell(Happening::Healthy { unit, attempts: report.attempts });
            }
            (S::Changing | S::Probing, OutcomeResult::Failed(failure)) => {
                self.step_failed(step, failure, told);
            }
            (S::PuttingBack, OutcomeResult::Done) => {
                let probed = self.steps[step].probed_back;
                self.steps[step].enter(if probed { S::ProbingBack } else { S::Back(at) }, at);
                told.tell(Happening::PutBack { unit });
            }
            (S::ProbingBack, OutcomeResult::Passed(_)) => self.steps[step].enter(S::Back(at), at),
            (S::PuttingBack | S::ProbingBack, OutcomeResult::Failed(failure)) => {
                self.back_failed(step, failure, told);
            }
            // Nothing else is due and fits.
            _ => {}
        }
    }

    fn own_moved(&mut self, result: OutcomeResult, told: &mut Told) {
        match (self.phase, result) {
            (Phase::Gate { wave, .. }, _) => self.begin_wave(wave, told),
            (Phase::BackGate { wave, .. }, _) => self.phase = Phase::Back { wave },
            (Phase::Deciding, OutcomeResult::Failed(failure)) => {
                let text = sentence(&"the decision", &failure);
                self.turn(text, &failure, None, None, told);
            }
            (Phase::Deciding, _) => {
                told.tell(Happening::Decided);
                self.confirm();
            }
            // Nothing else of the rollout itself is due.
            _ => {}
        }
    }

    fn changed(&mut self, step: usize, told: &mut Told) {
        let at = told.at;
        let turned = self.cause.is_some();
        let track = &mut self.steps[step];
        let unit = track.unit.clone();
        let (state, what) = match track.removal() {
            true => (StepState::Stopped, Happening::Stopped { unit }),
            false if track.probed => (StepState::Probing, Happening::Changed { unit }),
            false => (StepState::Good(at), Happening::Changed { unit }),
        };
        track.enter(if turned { StepState::Suspect } else { state }, at);
        told.tell(what);
    }

    fn unprepared(&mut self, node: usize, failure: Failure, told: &mut Told) {
        if self.cause.is_none() && self.node_again(node, &failure, RETRIES, told) {
            return;
        }
        let lost = failure.kind == FailureKind::Transport;
        if lost && self.nodes[node].optional && self.cause.is_none() {
            self.leave(node, &failure.message, told);
            return;
        }
        // A fence that someone else holds was not taken: there is nothing of ours to abandon.
        let foreign = failure.kind == FailureKind::Busy;
        let state = if foreign { NodeProgress::Foreign } else { NodeProgress::Unsure };
        self.nodes[node].enter(state);
        let name = self.nodes[node].name.clone();
        let text = match &failure.unit {
            Some(unit) => sentence(unit, &failure),
            None => sentence(&name, &failure),
        };
        self.turn(text, &failure, failure.unit.clone(), Some(name), told);
    }

    fn unconfirmed(&mut self, node: usize, failure: Failure, told: &mut Told) {
        if self.node_again(node, &failure, CONFIRM_RETRIES, told) {
            return;
        }
        if self.nodes[node].optional && failure.kind == FailureKind::Transport {
            self.leave(node, &failure.message, told);
            return;
        }
        self.nodes[node].enter(NodeProgress::Unheard);
        let mut message = format!("did not take the decision: {}", failure.message);
        if failure.kind == FailureKind::Transport {
            message.push_str(&remedy(&self.nodes[node].name));
        }
        self.trouble_on(node, message);
        self.tell_failed(None, Some(self.nodes[node].name.clone()), &failure, told);
    }

    fn unabandoned(&mut self, node: usize, failure: Failure, told: &mut Told) {
        if self.node_again(node, &failure, RETRIES, told) {
            return;
        }
        self.nodes[node].enter(NodeProgress::Unheard);
        self.tell_failed(None, Some(self.nodes[node].name.clone()), &failure, told);
    }

    fn step_failed(&mut self, step: usize, failure: Failure, told: &mut Told) {
        let lost = failure.kind == FailureKind::Transport;
        if self.cause.is_none() && self.step_again(step, &failure, told) {
            return;
        }
        self.steps[step].enter(StepState::Suspect, told.at);
        let unit = self.steps[step].unit.clone();
        match self.node_of(step) {
            Some(node) if lost && self.nodes[node].optional && self.cause.is_none() => {
                self.leave(node, &failure.message, told);
            }
            _ => self.turn(sentence(&unit, &failure), &failure, Some(unit), None, told),
        }
    }

    fn back_failed(&mut self, step: usize, failure: Failure, told: &mut Told) {
        if self.step_again(step, &failure, told) {
            return;
        }
        let putting = self.steps[step].state == StepState::PuttingBack;
        let lost = failure.kind == FailureKind::Transport;
        let leased = self.plan.policy.dead_man.is_some();
        let node = self.node_of(step).filter(|_| putting && lost);
        if let Some(node) = node.filter(|node| leased && self.nodes[*node].optional) {
            self.leave(node, &failure.message, told);
        } else if !putting && !lost && self.doubt(step, told.at) {
            self.tell_failed(Some(self.steps[step].unit.clone()), None, &failure, told);
        } else {
            self.stuck(step, node, &failure, told);
        }
    }

    fn stuck(&mut self, step: usize, lost: Option<usize>, failure: &Failure, told: &mut Told) {
        let putting = self.steps[step].state == StepState::PuttingBack;
        let what = if putting { "could not be put back" } else { "was put back but is not good" };
        let mut message = format!("{what}: {}", failure.message);
        if let Some(node) = lost {
            message.push_str(&remedy(&self.nodes[node].name));
            if self.plan.policy.dead_man.is_some() {
                // Not told that the rollout is over: a node that still has its lease restores what we could not.
                self.nodes[node].enter(NodeProgress::Unheard);
            }
        }
        self.steps[step].enter(StepState::Stuck, told.at);
        self.trouble(step, message.clone());
        let unit = self.steps[step].unit.clone();
        told.tell(Happening::PutBackFailed { unit, message });
    }

    /// Whether a failed transport is tried again; says so when it is.
    fn step_again(&mut self, step: usize, failure: &Failure, told: &mut Told) -> bool {
        let transport = failure.kind == FailureKind::Transport;
        let track = &mut self.steps[step];
        let until = transport.then(|| track.tries.again(told.at, RETRIES)).flatten();
        let node = track.unit.node.clone();
        retrying(node, failure, until, told)
    }

    fn node_again(&mut self, node: usize, failure: &Failure, limit: u32, told: &mut Told) -> bool {
        let transport = failure.kind == FailureKind::Transport;
        let track = &mut self.nodes[node];
        let until = transport.then(|| track.tries.again(told.at, limit)).flatten();
        let name = track.name.clone();
        retrying(name, failure, until, told)
    }

    pub(super) fn node_of(&self, step: usize) -> Option<usize> {
        let name = &self.steps[step].unit.node;
        self.nodes.iter().position(|track| track.name == *name)
    }

    fn node_left(&self, step: usize) -> bool {
        self.node_of(step).is_some_and(|node| self.nodes[node].state == NodeProgress::Left)
    }

    pub(super) fn trouble(&mut self, step: usize, message: String) {
        let unit = self.steps[step].unit.clone();
        self.troubles.push(Trouble { node: unit.node.clone(), unit: Some(unit), message });
    }

    /// Trouble with every unit that changed on a node, or with the node itself when none did.
    fn trouble_on(&mut self, node: usize, message: String) {
        let name = self.nodes[node].name.clone();
        let here = (0..self.steps.len()).filter(|&i| self.steps[i].unit.node == name);
        let units: Vec<usize> = here.filter(|&i| self.steps[i].state.touched()).collect();
        for &step in &units {
            self.trouble(step, message.clone());
        }
        if units.is_empty() {
            self.troubles.push(Trouble { node: name, unit: None, message });
        }
    }
}

/// What to do about a required node that was lost with something of this rollout on it.
fn remedy(node: &Name) -> String {
    format!(
        " (when {node} is back, the next rollout puts it right; if it is gone for good, take its file out of nodes/)"
    )
}

fn retrying(node: Name, failure: &Failure, until: Option<Timestamp>, told: &mut Told) -> bool {
    let Some(until) = until else { return false };
    told.tell(Happening::Retrying { node, message: failure.message.clone(), until });
    true
}

/// The effect itself, without the wait before it is tried again.
pub(super) fn essence(effect: &Effect) -> &Effect {
    match effect {
        Effect::Retry { what, .. } => what,
        other => other,
    }
}

/// Whether an effect can end like that.
fn fits(effect: &Effect, result: &OutcomeResult) -> bool {
    let probe = matches!(effect, Effect::Probe { .. } | Effect::ProbeBack { .. });
    match result {
        OutcomeResult::Done => !probe,
        OutcomeResult::Passed(_) => probe,
        OutcomeResult::Failed(_) => !matches!(effect, Effect::Wait { .. }),
    }
}
