//! What comes next while all is well: waves in order, within their limits and behind their gates, then the decision.

use crate::event::Happening;
use crate::model::{Timestamp, UnitId};

use super::record::Told;
use super::{NodeProgress, Phase, Rollout, StepState};

impl Rollout {
    /// Moves on as far as nothing has to be awaited.
    pub(super) fn advance(&mut self, told: &mut Told) {
        loop {
            let before = self.phase;
            match before {
                Phase::Preparing if !self.any_node(NodeProgress::Preparing) => {
                    self.enter_wave(0, told);
                }
                Phase::Wave { wave } if self.wave_settled(wave) => self.enter_wave(wave + 1, told),
                Phase::Wave { wave } => self.admit(wave, told),
                Phase::Draining => self.drained(told),
                Phase::Back { wave } => self.advance_back(wave, told),
                Phase::BackAgain => self.advance_again(told),
                Phase::Confirming => self.advance_confirming(told),
                Phase::Abandoning if !self.any_node(NodeProgress::Abandoning) => self.end(told),
                _ => {}
            }
            if self.phase == before {
                return;
            }
        }
    }

    pub(super) fn any_node(&self, state: NodeProgress) -> bool {
        self.nodes.iter().any(|node| node.state == state)
    }

    fn wave_settled(&self, wave: usize) -> bool {
        self.steps[self.waves[wave].clone()].iter().all(|step| step.state.settled())
    }

    /// Begins the first wave from `from` on that has something left to do, or comes to the decision.
    fn enter_wave(&mut self, from: usize, told: &mut Told) {
        let Some(wave) = (from..self.waves.len()).find(|&wave| !self.wave_settled(wave)) else {
            self.phase = Phase::Deciding;
            return;
        };
        match self.gate_until(wave) {
            Some(until) if until > told.at => {
                self.phase = Phase::Gate { wave, until };
                let gate = self.plan.waves[wave].gate.as_ref();
                let seen = gate.map(|gate| gate.seen.as_slice()).unwrap_or_default();
                told.tell(Happening::Waiting { until, reason: wait_reason(seen) });
            }
            _ => self.begin_wave(wave, told),
        }
    }

    /// When gateways have seen the last of the members that changed before.
    pub(super) fn gate_until(&self, wave: usize) -> Option<Timestamp> {
        let gate = self.plan.waves[wave].gate.as_ref()?;
        let steps = gate.seen.iter().filter_map(|unit| self.steps.get(*self.index.get(unit)?));
        let good = steps.filter_map(|step| match step.state {
            StepState::Good(at) => Some(at),
            _ => None,
        });
        good.max().map(|last| last.after(gate.after))
    }

    pub(super) fn begin_wave(&mut self, wave: usize, told: &mut Told) {
        self.phase = Phase::Wave { wave };
        let steps = &self.steps[self.waves[wave].clone()];
        let here = steps.iter().filter(|step| step.state == StepState::Waiting);
        let units = here.map(|step| step.unit.clone()).collect();
        told.tell(Happening::WaveStarted { wave: wave + 1, of: self.waves.len(), units });
        self.admit(wave, told);
    }

    /// Begins as many of a wave's steps as there is place for.
    fn admit(&mut self, wave: usize, told: &mut Told) {
        let range = self.waves[wave].clone();
        let busy = |state| matches!(state, StepState::Changing | StepState::Probing);
        let at_once = self.steps[range.clone()].iter().filter(|step| busy(step.state)).count();
        let places = self.places().saturating_sub(at_once);
        let waiting = self.steps[range].iter_mut().filter(|s| s.state == StepState::Waiting);
        for step in waiting.take(places) {
            step.enter(StepState::Changing, told.at);
            if !step.removal() {
                told.tell(Happening::Changing { unit: step.unit.clone() });
            }
        }
    }

    /// Units that may be on their way at once.
    pub(super) fn places(&self) -> usize {
        usize::try_from(self.plan.policy.max_parallel).unwrap_or(usize::MAX).max(1)
    }

    pub(super) fn confirm(&mut self) {
        for node in self.nodes.iter_mut().filter(|node| node.state == NodeProgress::Prepared) {
            node.enter(NodeProgress::Confirming);
        }
        self.phase = Phase::Confirming;
    }

    pub(super) fn end(&mut self, told: &mut Told) {
        self.phase = Phase::Over;
        self.reason = self.reasons();
        told.tell(self.ended(self.judged()));
    }

    pub(super) fn ended(&self, verdict: crate::model::Verdict) -> Happening {
        let quarantined = self.quarantine.is_some();
        Happening::Ended { verdict, reason: self.reason.clone(), quarantined }
    }

    /// What made the rollout turn round, then what a person must look at.
    pub(super) fn reasons(&self) -> String {
        let cause = self.cause.iter().map(|cause| cause.text.clone());
        let troubles = self.troubles.iter().map(|trouble| match &trouble.unit {
            Some(unit) => format!("{unit} {} ({})", trouble.message, trouble.next),
            None => format!("{} {} ({})", trouble.node, trouble.message, trouble.next),
        });
        cause.chain(troubles).collect::<Vec<_>>().join("; ")
    }
}

pub(super) fn wait_reason(seen: &[UnitId]) -> String {
    let names: Vec<String> = seen.iter().map(ToString::to_string).collect();
    format!("until gateways have seen {} healthy again", names.join(", "))
}
