//! The one transition table: an outcome comes in, nodes and steps move, and what happened is told.

use crate::event::{Event, Happening};
use crate::model::{Effect, Failure, FailureKind, Name, Outcome, OutcomeResult, Timestamp};

use super::remedy;
use super::state::{CONFIRM_RETRIES, RETRIES, Tries, sentence};
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
            (N::Rearming, OutcomeResult::Failed(failure)) => self.unready(node, failure, told),
            (N::Rearming, _) => {
                self.nodes[node].enter(N::Renewing);
                told.tell(Happening::Prepared { node: name });
            }
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
            (_, result) if self.renewing(step) => self.renewed(step, result, told),
            (S::Changing, OutcomeResult::Done) => self.changed(step, told),
            (S::Probing, OutcomeResult::Passed(report)) => {
                self.steps[step].enter(S::Good(at), at);
                told.tell(Happening::Healthy { unit, attempts: report.attempts });
            }
            (S::Changing | S::Probing, OutcomeResult::Failed(failure)) => {
                self.step_failed(step, failure, told);
            }
            (S::PuttingBack, result) if went_back(&result) => {
                let probed = self.steps[step].probed_back;
                self.steps[step].enter(if probed { S::ProbingBack } else { S::Back(at) }, at);
                self.found(step);
                told.tell(Happening::PutBack { unit });
            }
            (S::ProbingBack, OutcomeResult::Passed(_)) => {
                self.steps[step].enter(S::Back(at), at);
                self.found(step);
            }
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
            (Phase::Deciding, OutcomeResult::Failed(failure)) => self.undecided(failure, told),
            (Phase::Deciding, _) => {
                told.tell(Happening::Decided);
                self.confirm();
            }
            // Nothing else of the rollout itself is due.
            _ => {}
        }
    }

    /// The decision was not made: a node can't be asked over a new connection, or took its changes back.
    fn undecided(&mut self, failure: Failure, told: &mut Told) {
        let name = failure.unit.as_ref().map(|unit| unit.node.clone());
        let node = name.as_ref().and_then(|name| self.node_named(name));
        let lost = failure.kind == FailureKind::Transport;
        let until = lost.then(|| self.decision.again(told.at, RETRIES, None)).flatten();
        if let Some(until) = until {
            let retrying = name.map(|node| Happening::Retrying {
                node,
                message: failure.message.clone(),
                until,
            });
            told.happenings.extend(retrying);
        } else if let Some(node) = node.filter(|node| self.may_leave(*node, failure.kind)) {
            self.leave(node, &failure, told);
            self.decision = Tries::anew(told.at);
        } else {
            let text = sentence(&"the decision", &failure);
            self.turn(text, &failure, failure.unit.clone(), name, told);
        }
    }

    /// Whether an optional node just leaves: it was lost, or took back what nobody elsewhere was proven against.
    fn may_leave(&self, node: usize, kind: FailureKind) -> bool {
        let goes = match kind {
            FailureKind::Transport => true,
            FailureKind::Restored => !self.needed_elsewhere(node),
            _ => false,
        };
        goes && self.nodes[node].optional && self.cause.is_none()
    }

    pub(super) fn changed(&mut self, step: usize, told: &mut Told) {
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
        if self.may_leave(node, failure.kind) {
            self.leave(node, &failure, told);
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
        if failure.kind == FailureKind::Restored {
            self.roll_forward(node, failure, told);
            return;
        }
        if self.nodes[node].optional && failure.kind == FailureKind::Transport {
            self.leave(node, &failure, told);
            return;
        }
        let tries = self.nodes[node].tries.count();
        self.nodes[node].enter(NodeProgress::Unheard);
        let message = format!("did not take the decision: {}", remedy::tried(tries, &failure));
        let next = remedy::of_decision(&self.nodes[node].name, failure.kind);
        self.trouble_on(node, &message, &next);
        self.tell_failed(None, Some(self.nodes[node].name.clone()), &failure, told);
    }

    fn unabandoned(&mut self, node: usize, failure: Failure, told: &mut Told) {
        let patient = self.patient(node, &failure, told);
        if self.node_again_until(node, &failure, (RETRIES, patient), told) {
            return;
        }
        self.nodes[node].enter(NodeProgress::Unheard);
        self.tell_failed(None, Some(self.nodes[node].name.clone()), &failure, told);
    }

    fn step_failed(&mut self, step: usize, failure: Failure, told: &mut Told) {
        if self.cause.is_none() && self.step_again(step, &failure, None, told) {
            return;
        }
        self.steps[step].enter(StepState::Suspect, told.at);
        let unit = self.steps[step].unit.clone();
        match self.node_of(step) {
            Some(node) if self.may_leave(node, failure.kind) => self.leave(node, &failure, told),
            _ => self.turn(sentence(&unit, &failure), &failure, Some(unit), None, told),
        }
    }

    fn back_failed(&mut self, step: usize, failure: Failure, told: &mut Told) {
        let node = self.node_of(step);
        let patient = node.and_then(|node| self.patient(node, &failure, told));
        if self.step_again(step, &failure, patient, told) {
            return;
        }
        let putting = self.steps[step].state == StepState::PuttingBack;
        let lost = failure.kind == FailureKind::Transport;
        let leased = self.plan.policy.dead_man.is_some();
        let node = node.filter(|_| putting && lost);
        if let Some(node) = node.filter(|node| leased && self.nodes[*node].optional) {
            self.leave(node, &failure, told);
        } else if !putting && !lost && self.doubt(step, told.at) {
            self.tell_failed(Some(self.steps[step].unit.clone()), None, &failure, told);
        } else {
            self.stuck(step, node, &failure, told);
        }
    }

    fn stuck(&mut self, step: usize, lost: Option<usize>, failure: &Failure, told: &mut Told) {
        let putting = self.steps[step].state == StepState::PuttingBack;
        let what = if putting { "could not be put back" } else { "was put back but is not good" };
        let message = format!("{what}: {}", remedy::tried(self.steps[step].tries.count(), failure));
        let unit = self.steps[step].unit.clone();
        let next = match lost {
            Some(_) => remedy::of_lost(&unit.node, Some(&unit)),
            None => remedy::of_stuck(&unit),
        };
        if let Some(node) = lost.filter(|_| self.plan.policy.dead_man.is_some()) {
            // Not told that the rollout is over: a node that still has its lease restores what we could not.
            self.nodes[node].enter(NodeProgress::Unheard);
        }
        self.steps[step].enter(StepState::Stuck, told.at);
        self.trouble(step, message.clone(), next);
        told.tell(Happening::PutBackFailed { unit, message });
    }

    pub(super) fn node_of(&self, step: usize) -> Option<usize> {
        self.node_named(&self.steps[step].unit.node)
    }

    fn node_named(&self, name: &Name) -> Option<usize> {
        self.nodes.iter().position(|track| track.name == *name)
    }

    fn node_left(&self, step: usize) -> bool {
        self.node_of(step).is_some_and(|node| self.nodes[node].state == NodeProgress::Left)
    }

    pub(super) fn trouble(&mut self, step: usize, message: String, next: String) {
        let unit = self.steps[step].unit.clone();
        self.troubles.push(Trouble { node: unit.node.clone(), unit: Some(unit), message, next });
    }

    /// Trouble with every unit that changed on a node, or with the node itself when none did.
    fn trouble_on(&mut self, node: usize, message: &str, next: &str) {
        let name = self.nodes[node].name.clone();
        let here = (0..self.steps.len()).filter(|&i| self.steps[i].unit.node == name);
        let units: Vec<usize> = here.filter(|&i| self.steps[i].state.touched()).collect();
        for &step in &units {
            self.trouble(step, message.to_owned(), next.to_owned());
        }
        if units.is_empty() {
            let (message, next) = (message.to_owned(), next.to_owned());
            self.troubles.push(Trouble { node: name, unit: None, message, next });
        }
    }
}

/// Whether a put-back came to its end; a node that restored itself has nothing left to put back.
fn went_back(result: &OutcomeResult) -> bool {
    match result {
        OutcomeResult::Failed(failure) => failure.kind == FailureKind::Restored,
        _ => true,
    }
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
