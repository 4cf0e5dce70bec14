//! What happened, told once; listeners make lines, pages and messages of it.

use serde::{Deserialize, Serialize};

use crate::model::{Attempt, Digest, FailureKind, Name, Timestamp, UnitId, Verdict};

/// Something that happened during a rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Happening {
    /// A rollout began (or went on after its controller was restarted).
    RolloutStarted {
        /// Its id.
        rollout: String,
        /// What it wants.
        release: Digest,
        /// The commit, if one.
        commit: Option<String>,
        /// Units that change.
        changes: usize,
        /// Whether it goes on after a restart.
        resumed: bool,
    },
    /// A node is being prepared.
    Preparing {
        /// Which.
        node: Name,
    },
    /// A node is ready; nothing on it has been touched.
    Prepared {
        /// Which.
        node: Name,
    },
    /// Preparing a node is no longer waited for: the rollout was asked to stop, and nothing on the node was touched.
    GivenUp {
        /// Which.
        node: Name,
    },
    /// A wave begins, counted from 1.
    WaveStarted {
        /// Which.
        wave: usize,
        /// Of how many.
        of: usize,
        /// Its units.
        units: Vec<UnitId>,
    },
    /// A wave waits for gateways to see earlier members.
    Waiting {
        /// Until then.
        until: Timestamp,
        /// Why, in words.
        reason: String,
    },
    /// A unit's files are being switched and activated.
    Changing {
        /// Which.
        unit: UnitId,
    },
    /// A unit runs its new version and is being probed.
    Changed {
        /// Which.
        unit: UnitId,
    },
    /// A unit that is no longer wanted was stopped.
    Stopped {
        /// Which.
        unit: UnitId,
    },
    /// A unit's new version is good and stayed so.
    Healthy {
        /// Which.
        unit: UnitId,
        /// What the probe saw.
        attempts: Vec<Attempt>,
    },
    /// An effect will be tried again.
    Retrying {
        /// Where.
        node: Name,
        /// Why, in words.
        message: String,
        /// Not before.
        until: Timestamp,
    },
    /// Something failed.
    Failed {
        /// The unit, if one.
        unit: Option<UnitId>,
        /// The node, if one.
        node: Option<Name>,
        /// What kind of failure.
        kind: FailureKind,
        /// In words.
        message: String,
        /// The last lines that the program said.
        log: Vec<String>,
        /// What the probe saw.
        attempts: Vec<Attempt>,
    },
    /// An optional node left the rollout.
    NodeLeft {
        /// Which.
        node: Name,
        /// Why, in words.
        reason: String,
    },
    /// A node took back by itself what this rollout changed on it.
    TookBack {
        /// Which.
        node: Name,
        /// Why, in words.
        reason: String,
    },
    /// Everything changed is being put back.
    PuttingBack {
        /// The units, in order.
        units: Vec<UnitId>,
    },
    /// A unit runs its old version again.
    PutBack {
        /// Which.
        unit: UnitId,
    },
    /// A unit could not be put back.
    PutBackFailed {
        /// Which.
        unit: UnitId,
        /// Why, in words.
        message: String,
    },
    /// The decision is durable: the rollout only goes forward from here.
    Decided,
    /// A node took its changes back before it heard the decision: they are made there again.
    RollingForward {
        /// Which.
        node: Name,
    },
    /// A node was disarmed and recorded the release.
    Confirmed {
        /// Which.
        node: Name,
    },
    /// A node recorded that the rollout was abandoned.
    Abandoned {
        /// Which.
        node: Name,
    },
    /// The rollout ended.
    Ended {
        /// How.
        verdict: Verdict,
        /// Why, in words; empty when converged.
        reason: String,
        /// Whether the release was quarantined.
        quarantined: bool,
    },
}
