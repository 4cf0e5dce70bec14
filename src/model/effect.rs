//! What the engine must do next, and what came of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Attempt, Name, Timestamp, UnitId};

/// What the engine must do next. Every effect is idempotent: after a crash it is simply done again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "effect")]
pub enum Effect {
    /// Take the fence on a node, bring blobs and manifests, prove the way back, validate. Nothing running is touched.
    Prepare {
        /// Where.
        node: Name,
    },
    /// Switch a unit's files and activate it (stopping first what it replaces).
    Change {
        /// Which.
        unit: UnitId,
    },
    /// Stop a unit that is no longer wanted.
    Stop {
        /// Which.
        unit: UnitId,
    },
    /// The whole probe budget of a unit's new version.
    Probe {
        /// Which.
        unit: UnitId,
    },
    /// Let time pass.
    Wait {
        /// Until then.
        until: Timestamp,
    },
    /// Put a unit back to what it was before this rollout.
    PutBack {
        /// Which.
        unit: UnitId,
    },
    /// The whole probe budget of a unit that was put back.
    ProbeBack {
        /// Which.
        unit: UnitId,
    },
    /// Make the decision durable: from here on the rollout only goes forward.
    Decide,
    /// Disarm a node over a new connection, remove what was stopped, record last good, give the fence back.
    Confirm {
        /// Where.
        node: Name,
    },
    /// Record the verdict and the quarantine on a node, give the fence back.
    Abandon {
        /// Where.
        node: Name,
    },
    /// The operator asks that everything be put back: never asked for, only recorded.
    Operator,
    /// Again after a failed transport: the same effect, when `until` has come.
    Retry {
        /// Not before.
        until: Timestamp,
        /// What.
        what: Box<Effect>,
    },
}

impl Effect {
    /// The node that the effect is about, if one.
    pub fn node(&self) -> Option<&Name> {
        match self {
            Self::Prepare { node } | Self::Confirm { node } | Self::Abandon { node } => Some(node),
            Self::Retry { what, .. } => what.node(),
            _ => self.unit().map(|unit| &unit.node),
        }
    }

    /// The unit that the effect is about, if one.
    pub fn unit(&self) -> Option<&UnitId> {
        match self {
            Self::Change { unit }
            | Self::Stop { unit }
            | Self::Probe { unit }
            | Self::PutBack { unit }
            | Self::ProbeBack { unit } => Some(unit),
            Self::Retry { what, .. } => what.unit(),
            _ => None,
        }
    }
}

/// What came of an effect, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The effect as it was asked for.
    pub effect: Effect,
    /// When it was known.
    pub at: Timestamp,
    /// What came of it.
    pub result: OutcomeResult,
}

/// What came of an effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeResult {
    /// It is done.
    Done,
    /// The probe passed and stayed good.
    Passed(ProbeReport),
    /// It failed.
    Failed(Failure),
}

/// Why an effect failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure, which decides what follows.
    pub kind: FailureKind,
    /// The unit, when one of a node's units made it fail.
    pub unit: Option<UnitId>,
    /// In words.
    pub message: String,
    /// The last lines that the program said.
    pub log: Vec<String>,
    /// What probes saw.
    pub attempts: Vec<Attempt>,
}

/// What kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The content is bad (validator, activation, probe): it is quarantined.
    Content,
    /// The node could not be reached or did not answer in time: tried again.
    Transport,
    /// The node refused: fence taken, files not ours, no way back, policy.
    Refused,
    /// Someone else holds the fence.
    Busy,
    /// The node heard nothing for too long, or booted, and took back what this rollout changed on it.
    Restored,
    /// The node can't: disk full, tool missing.
    Node,
    /// The operator asked to stop.
    Cancelled,
}

/// What a probe saw when it passed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// All attempts.
    pub attempts: Vec<Attempt>,
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The fleet runs the new release.
    Converged,
    /// The fleet runs what it ran before.
    RolledBack,
    /// Something is in between; a person must look.
    NeedsOperator,
}

impl Verdict {
    /// The word in records, output and exit codes.
    pub fn word(self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::RolledBack => "rolled_back",
            Self::NeedsOperator => "needs_operator",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
