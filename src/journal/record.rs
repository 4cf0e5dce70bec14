//! What the journal takes and gives back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::model::{Effect, Name, Outcome, Plan, Timestamp, Verdict};

/// What started a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `gitsync apply`.
    Apply,
    /// A commit that the daemon saw.
    Daemon,
    /// `gitsync rollback`.
    Rollback,
}

impl Kind {
    /// The word in the journal and in output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Daemon => "daemon",
            Self::Rollback => "rollback",
        }
    }
}

/// A rollout that is about to begin: everything that a replay needs besides outcomes.
#[derive(Clone, Copy, Debug)]
pub struct NewRollout<'a> {
    /// From [`super::Journal::next_id`].
    pub id: &'a str,
    /// The fleet.
    pub fleet: &'a Name,
    /// The plan, whole.
    pub plan: &'a Plan,
    /// The fence to take, by node.
    pub fences: &'a BTreeMap<Name, u64>,
    /// Random, one per rollout.
    pub nonce: &'a str,
    /// Who, in words.
    pub holder: &'a str,
    /// When.
    pub started: Timestamp,
    /// What started it.
    pub kind: Kind,
}

/// A rollout as the journal holds it, ready for a replay.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutRecord {
    /// Its id.
    pub id: String,
    /// The fleet.
    pub fleet: Name,
    /// What started it.
    pub kind: Kind,
    /// The plan, whole.
    pub plan: Plan,
    /// The fence by node.
    pub fences: BTreeMap<Name, u64>,
    /// This rollout's nonce.
    pub nonce: String,
    /// Who, in words.
    pub holder: String,
    /// When it began.
    pub started: Timestamp,
    /// Effects that were issued, in order; an effect done again is there again.
    pub issued: Vec<Effect>,
    /// Outcomes in the order in which they were recorded.
    pub outcomes: Vec<Outcome>,
    /// How it ended, if it did.
    pub verdict: Option<Verdict>,
    /// Why, in words; empty when converged.
    pub reason: Option<String>,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Past {
    /// Its id.
    pub id: String,
    /// The fleet.
    pub fleet: Name,
    /// What started it.
    pub kind: Kind,
    /// The commit, if it had one.
    pub commit: Option<String>,
    /// How many units were to change.
    pub changes: u64,
    /// Who, in words.
    pub holder: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How it ended; none while it is open.
    pub verdict: Option<Verdict>,
    /// Why, in words; empty when converged.
    pub reason: Option<String>,
}

/// One rollout with everything that was told of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shown {
    /// Its line of the history.
    #[serde(flatten)]
    pub past: Past,
    /// The plan.
    pub plan: Plan,
    /// What came of each effect, in order.
    pub outcomes: Vec<Outcome>,
    /// What happened, in order.
    pub events: Vec<Event>,
}
