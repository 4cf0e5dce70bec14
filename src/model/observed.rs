//! What the nodes said they run.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{AbsPath, Digest, Name, Timestamp, Unit, UnitId};

/// What all nodes said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// By node.
    pub nodes: BTreeMap<Name, NodeState>,
}

/// What one node said, or why it didn't.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeState {
    /// It answered.
    Reachable(Box<NodeReport>),
    /// It did not; the reason in words.
    Unreachable(String),
}

impl Observed {
    /// The node's report, if it answered.
    pub fn report(&self, node: &Name) -> Option<&NodeReport> {
        match self.nodes.get(node) {
            Some(NodeState::Reachable(report)) => Some(report),
            _ => None,
        }
    }

    /// The unit's report, if its node answered and knows it.
    pub fn unit(&self, id: &UnitId) -> Option<&UnitReport> {
        self.report(&id.node)?.units.get(id)
    }
}

/// What one node said in one pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeReport {
    /// Random, made once under the node's root.
    pub node_id: String,
    /// The kernel's boot id.
    pub boot_id: String,
    /// Seconds since boot.
    pub uptime: u64,
    /// The node's clock, seconds since 1970.
    pub now: u64,
    /// `uname -m`.
    pub arch: String,
    /// Who the script runs as.
    pub user: String,
    /// KiB free at the root.
    pub free: u64,
    /// The type of the root's file system (`tmpfs`, `ramfs`) when it forgets everything at a reboot.
    pub volatile: Option<String>,
    /// Optional programs and their versions.
    pub tools: BTreeMap<String, String>,
    /// The node's record of the fleet.
    pub record: Record,
    /// Whether whoever holds its fence was not heard for so long that the node is free again.
    pub lapsed: bool,
    /// What the node took back by itself, until the next rollout converges.
    pub restored: Option<Restored>,
    /// Units by id.
    pub units: BTreeMap<UnitId, UnitReport>,
    /// Manifests by digest: current, previous and those of kept good releases.
    pub manifests: BTreeMap<Digest, Unit>,
    /// Blobs present.
    pub blobs: BTreeSet<String>,
}

/// A node's record of a fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The highest fence seen.
    pub fence: u64,
    /// Who holds it now.
    pub holder: Option<Holder>,
    /// The last verdict: word, release and time.
    pub verdict: Option<(String, Digest, Timestamp)>,
    /// Kept good releases, newest (last good) first.
    pub good: Vec<Good>,
    /// Releases whose content failed.
    pub quarantine: Vec<Quarantined>,
}

impl Record {
    /// The release of the last converged rollout.
    pub fn last_good(&self) -> Option<&Good> {
        self.good.first()
    }
}

/// Who holds a fleet's fence on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// In words: `user@laptop`.
    pub who: String,
    /// The rollout.
    pub rollout: String,
    /// Since when.
    pub since: Timestamp,
    /// The rollout's nonce.
    pub nonce: String,
}

/// What a node took back by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The rollout whose changes they were.
    pub rollout: String,
    /// When it was done, on the node's clock.
    pub at: Timestamp,
    /// Units that could not be taken back.
    pub stuck: Vec<UnitId>,
    /// Why, in words.
    pub why: String,
}

/// A good release as one node keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Good {
    /// Its digest over the whole fleet.
    pub release: Digest,
    /// The commit, if it came from one.
    pub commit: Option<String>,
    /// When it converged.
    pub at: Timestamp,
    /// This node's units.
    pub units: BTreeMap<UnitId, Digest>,
}

/// A release whose content failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Its digest.
    pub release: Digest,
    /// The commit that brought it.
    pub commit: Option<String>,
    /// When.
    pub at: Timestamp,
    /// What failed.
    pub reason: String,
}

/// What a node said about one unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UnitReport {
    /// What it runs.
    pub current: Option<Digest>,
    /// What it ran before.
    pub previous: Option<Digest>,
    /// A change that is under way.
    pub pending: Option<Pending>,
    /// The current manifest's files as they are.
    pub files: Vec<FileReport>,
    /// Its containers.
    pub containers: Vec<ContainerReport>,
    /// Its process.
    pub process: Option<ProcessReport>,
}

/// A change that is under way on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The rollout.
    pub rollout: String,
    /// What it ran before; none when it is new.
    pub from: Option<Digest>,
    /// What it becomes; none when it is stopped for removal.
    pub to: Option<Digest>,
}

/// A managed file as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// Where it should be.
    pub destination: AbsPath,
    /// What is there.
    pub state: FileState,
}

/// What is at a managed file's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileState {
    /// A file.
    Present {
        /// SHA-256 of its content; of one with secrets in it the blob's name, or `changed`.
        hash: String,
        /// Permission bits.
        mode: u32,
        /// `user:group`.
        owner: String,
    },
    /// Nothing.
    Missing,
    /// Something else: `link`, `directory`, `other`.
    Foreign(String),
}

/// A container as the engine sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerReport {
    /// The compose service.
    pub service: String,
    /// The engine's id.
    pub id: String,
    /// The image's id.
    pub image: String,
    /// `running`, `exited`, `restarting`, `created`, …
    pub status: String,
    /// `healthy`, `unhealthy`, `starting`, if it has a check.
    pub health: Option<String>,
    /// How often the engine restarted it.
    pub restarts: u64,
    /// Its last exit status.
    pub exit_code: i64,
    /// When it started, as the engine writes it.
    pub started_at: String,
    /// Its name.
    pub name: String,
}

/// A process that the node script keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessReport {
    /// Whether it runs.
    pub state: ProcessState,
    /// Its process id.
    pub pid: Option<u32>,
}

/// Whether a kept process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProcessState {
    /// It runs.
    Running,
    /// It should and doesn't.
    Dead,
    /// It was never started, or was stopped.
    None,
}
