//! What a rollout knows of each node and each step, in words small enough to draw.

use std::time::Duration;

use crate::model::{Action, Digest, Effect, Failure, Name, Step, Timestamp, UnitId};

/// How often a failed transport is tried again before the node counts as lost.
pub(super) const RETRIES: u32 = 3;
/// The same for a node that must still hear the decision: about a minute, the silence that a node bears.
pub(super) const CONFIRM_RETRIES: u32 = 6;
/// How often a node that took its changes back after the decision gets them again.
pub(super) const ROUNDS: u32 = 2;
/// What a node gets beyond the silence that it bears, to restore itself and to be reached again.
const GRACE: Duration = Duration::from_secs(30);

/// Where a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Its wave has not come, or has no place for it yet.
    Waiting,
    /// Its files are being switched and activated; or it is being stopped.
    Changing,
    /// It runs its new version and is being probed.
    Probing,
    /// Its new version is good, since then.
    Good(Timestamp),
    /// It is no longer wanted and was stopped.
    Stopped,
    /// It was changed, or may have been, and is to be put back.
    Suspect,
    /// It is being put back.
    PuttingBack,
    /// It was put back and its old version is being probed.
    ProbingBack,
    /// Its old version did not answer while what it needs was still new; it is probed again at the end.
    Doubtful,
    /// It is as it was before this rollout, since then.
    Back(Timestamp),
    /// It could not be put back, or its old version does not answer.
    Stuck,
    /// It was changed and is left so: a person must look.
    Kept,
    /// Its node took it back after the decision, and it could not be changed again.
    Undone,
    /// Its optional node left the rollout.
    Left,
}

impl StepState {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Changing => "changing",
            Self::Probing => "probing",
            Self::Good(_) => "good",
            Self::Stopped => "stopped",
            Self::Suspect => "to be put back",
            Self::PuttingBack => "being put back",
            Self::ProbingBack => "probing the old version",
            Self::Doubtful => "old version does not answer yet",
            Self::Back(_) => "put back",
            Self::Stuck => "stuck",
            Self::Kept => "left on the new version",
            Self::Undone => "taken back by its node",
            Self::Left => "left the rollout",
        }
    }

    /// Whether a wave that goes forward need not wait for it any more.
    pub(super) fn settled(self) -> bool {
        matches!(self, Self::Good(_) | Self::Stopped | Self::Left)
    }

    /// Whether the node may run something else than before, as far as this rollout did it.
    pub(super) fn touched(self) -> bool {
        !matches!(self, Self::Waiting | Self::Back(_) | Self::Left)
    }
}

/// Where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeProgress {
    /// It is being prepared.
    Preparing,
    /// It is ready and holds this rollout's fence.
    Prepared,
    /// Preparing it failed or was broken off: it may hold this rollout's fence.
    Unsure,
    /// Another rollout holds its fence: nothing of this one is on it.
    Foreign,
    /// It is optional and was lost; its lease looks after it.
    Left,
    /// It is being told the decision.
    Confirming,
    /// It took its changes back before it heard the decision, and is prepared again.
    Rearming,
    /// It was prepared again, and its changes are made again.
    Renewing,
    /// It knows the decision.
    Confirmed,
    /// It is being told that the rollout is abandoned.
    Abandoning,
    /// It knows that the rollout is abandoned.
    Abandoned,
    /// It could not be told how the rollout ended.
    Unheard,
}

/// How often something was tried in vain, and when it is tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tries {
    failed: u32,
    pub(super) until: Option<Timestamp>,
}

impl Tries {
    /// Counts a failure; the time of the next try (2, 4, 8, … at most 30 seconds later), or none after `limit` tries
    /// when it is `patient` no longer.
    pub(super) fn again(
        &mut self,
        at: Timestamp,
        limit: u32,
        patient: Option<Timestamp>,
    ) -> Option<Timestamp> {
        if self.failed >= limit && patient.is_none_or(|end| end <= at) {
            self.until = None;
            return None;
        }
        let pause = Duration::from_secs(2u64.saturating_pow(self.failed + 1).min(30));
        self.failed += 1;
        // Later than the last one in any case, or two tries would bear one name.
        let floor = self.until.map_or(at, |last| last.after(Duration::from_millis(1)));
        self.until = Some(at.after(pause).max(floor));
        self.until
    }

    /// Not before `until`, as if nothing had failed yet.
    pub(super) fn not_before(until: Timestamp) -> Self {
        Self { failed: 0, until: Some(until) }
    }

    /// Named apart from every effect before it, so that no late copy of one of those passes for it.
    pub(super) fn anew(at: Timestamp) -> Self {
        Self::not_before(at.after(Duration::from_millis(1)))
    }

    /// How often it was tried, with the try that has just failed.
    pub(super) fn count(self) -> u32 {
        self.failed + 1
    }

    pub(super) fn wrap(self, effect: Effect) -> Effect {
        match self.until {
            Some(until) => Effect::Retry { until, what: Box::new(effect) },
            None => effect,
        }
    }
}

/// A node on its way through a rollout.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NodeTrack {
    pub(super) name: Name,
    pub(super) optional: bool,
    pub(super) state: NodeProgress,
    pub(super) tries: Tries,
    /// How often its changes were begun again after the decision.
    pub(super) rounds: u32,
    /// What becomes of it once nothing moves on it any more.
    pub(super) fate: Option<Fate>,
    /// Since when it can't be reached although something of this rollout is on it.
    pub(super) lost: Option<Timestamp>,
}

/// Which of a node's changes failed when they were made again: it decides what becomes of the node.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fate {
    pub(super) step: usize,
    pub(super) tries: u32,
    pub(super) failure: Failure,
}

impl NodeTrack {
    pub(super) fn new(name: Name, optional: bool) -> Self {
        let (state, tries) = (NodeProgress::Preparing, Tries::default());
        Self { name, optional, state, tries, rounds: 0, fate: None, lost: None }
    }

    /// Whether its changes are being made again.
    pub(super) fn returns(&self) -> bool {
        matches!(self.state, NodeProgress::Rearming | NodeProgress::Renewing)
    }

    /// Until when it is tried to be reached: by then a lease has lapsed, and what the change itself had cut is back.
    pub(super) fn patience(&mut self, at: Timestamp, lease: Option<Duration>) -> Option<Timestamp> {
        let since = *self.lost.get_or_insert(at);
        lease.map(|silence| since.after(silence).after(GRACE))
    }

    /// What should be under way for it.
    pub(super) fn effect(&self) -> Option<Effect> {
        let node = self.name.clone();
        let effect = match self.state {
            NodeProgress::Preparing | NodeProgress::Rearming => Effect::Prepare { node },
            NodeProgress::Confirming => Effect::Confirm { node },
            NodeProgress::Abandoning => Effect::Abandon { node },
            _ => return None,
        };
        Some(self.tries.wrap(effect))
    }

    pub(super) fn enter(&mut self, state: NodeProgress) {
        self.state = state;
        self.tries = Tries::default();
    }
}

/// A step on its way through a rollout: what of the plan decides its moves, and where it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StepTrack {
    pub(super) wave: usize,
    pub(super) unit: UnitId,
    pub(super) action: Action,
    /// What it is put back to; none when it is new.
    pub(super) from: Option<Digest>,
    pub(super) probed: bool,
    pub(super) probed_back: bool,
    pub(super) never: bool,
    pub(super) depends_on: Vec<UnitId>,
    pub(super) replaces: Vec<UnitId>,
    pub(super) state: StepState,
    /// When it entered its state.
    pub(super) since: Timestamp,
    pub(super) tries: Tries,
    /// Whether its old version was already found not answering once.
    pub(super) doubted: bool,
}

impl StepTrack {
    pub(super) fn new(wave: usize, step: &Step, at: Timestamp) -> Self {
        let removal = step.action == Action::Remove;
        Self {
            wave,
            unit: step.unit.clone(),
            action: step.action,
            from: step.from.clone(),
            probed: !removal && step.health.is_some(),
            probed_back: step.from.is_some() && step.health_before.is_some(),
            never: step.rollback == crate::model::Rollback::Never,
            depends_on: step.depends_on.clone(),
            replaces: step.replaces.iter().map(|replaced| replaced.unit.clone()).collect(),
            state: StepState::Waiting,
            since: at,
            tries: Tries::default(),
            doubted: false,
        }
    }

    pub(super) fn removal(&self) -> bool {
        self.action == Action::Remove
    }

    /// What should be under way for it.
    pub(super) fn effect(&self) -> Option<Effect> {
        let unit = self.unit.clone();
        let effect = match self.state {
            StepState::Changing if self.removal() => Effect::Stop { unit },
            StepState::Changing => Effect::Change { unit },
            StepState::Probing => Effect::Probe { unit },
            StepState::PuttingBack => Effect::PutBack { unit },
            StepState::ProbingBack => Effect::ProbeBack { unit },
            _ => return None,
        };
        Some(self.tries.wrap(effect))
    }

    pub(super) fn enter(&mut self, state: StepState, at: Timestamp) {
        self.state = state;
        self.since = at;
        self.tries = Tries::default();
    }
}

/// Which part of the way a rollout is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Every node gets ready; nothing that runs is touched.
    Preparing,
    /// Gateways must see members that changed before this wave (counted from 0) begins.
    Gate {
        /// Which wave comes next.
        wave: usize,
        /// Until then.
        until: Timestamp,
    },
    /// This wave's steps are under way.
    Wave {
        /// Which, counted from 0.
        wave: usize,
    },
    /// Everything is good; the decision is being made durable.
    Deciding,
    /// Nodes are told the decision.
    Confirming,
    /// Something failed: nothing new begins, and what is under way comes back.
    Draining,
    /// Gateways must see members that were put back before this wave is.
    BackGate {
        /// Which wave comes next.
        wave: usize,
        /// Until then.
        until: Timestamp,
    },
    /// This wave is being put back.
    Back {
        /// Which, counted from 0.
        wave: usize,
    },
    /// Everything is back; old versions that did not answer are asked once more.
    BackAgain,
    /// Nodes are told that the rollout is abandoned.
    Abandoning,
    /// The verdict is final.
    Over,
}

/// Something that a person must look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Where.
    pub node: Name,
    /// The unit; none when it is about the whole node.
    pub unit: Option<UnitId>,
    /// What, in words: what was tried, how often, and the last error.
    pub message: String,
    /// What to do about it, with the command.
    pub next: String,
}

/// A sentence about a failure: where, then what; the place once, though many messages begin with the unit's name.
pub(super) fn sentence(place: &dyn std::fmt::Display, failure: &Failure) -> String {
    let place = format!("{place}: ");
    let (_, unit) = place.split_once('/').unwrap_or_default();
    let message = failure.message.as_str();
    let what = message.strip_prefix(&place).or_else(|| message.strip_prefix(unit));
    place.clone() + what.unwrap_or(message)
}
