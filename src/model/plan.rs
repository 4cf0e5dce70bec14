//! The plan: release against observed, as plain data that can be printed, saved and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Commit, Digest, Health, Name, Policy, Rollback, UnitId, duration};

/// What will change where, in which order, why, and what people will notice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// The format's version: 1.
    pub version: u32,
    /// The fleet.
    pub fleet: Name,
    /// The commit that is wanted.
    pub commit: Option<Commit>,
    /// Whether the files differed from the commit; a dirty release never becomes last good.
    pub dirty: bool,
    /// The digest of the wanted release.
    pub release: Digest,
    /// What every wanted unit will be after the rollout, by unit.
    pub wanted: BTreeMap<UnitId, Digest>,
    /// What every known unit was when the plan was made, by unit.
    pub observed: BTreeMap<UnitId, Digest>,
    /// How the rollout goes.
    pub policy: Policy,
    /// Nodes that take part: all reachable ones, whether they change or not.
    pub nodes: Vec<Name>,
    /// Those of them that may sleep: one that is lost on the way leaves the rollout, the others go on.
    #[serde(default)]
    pub optional: BTreeSet<Name>,
    /// Nodes that don't, and why.
    pub skipped: Vec<Skipped>,
    /// Changes in order.
    pub waves: Vec<Wave>,
    /// What deserves a look before this is applied.
    pub warnings: Vec<Warning>,
    /// Units that stay as they are.
    pub unchanged: usize,
    /// What stops this plan from being applied; empty when nothing does.
    pub refusals: Vec<Warning>,
}

impl Plan {
    /// Every step in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.waves.iter().flat_map(|wave| &wave.steps)
    }

    /// Whether nothing will change.
    pub fn is_empty(&self) -> bool {
        self.waves.iter().all(|wave| wave.steps.is_empty())
    }
}

/// A node that takes no part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Skipped {
    /// Which.
    pub node: Name,
    /// Why, in words.
    pub reason: String,
}

/// Changes that may run side by side, after everything in earlier waves is good.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Wave {
    /// What must have passed since the earlier waves were good.
    pub gate: Option<Gate>,
    /// The changes, sorted by unit.
    pub steps: Vec<Step>,
}

/// A wait before a wave: until every gateway has seen the members changed before as healthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gate {
    /// How long after the last of them was healthy.
    #[serde(with = "duration::serde_text")]
    #[schemars(with = "String")]
    pub after: Duration,
    /// The members that gateways must have seen.
    pub seen: Vec<UnitId>,
}

/// The change of one unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Which.
    pub unit: UnitId,
    /// What happens to it.
    pub action: Action,
    /// What it runs now.
    pub from: Option<Digest>,
    /// What it becomes.
    pub to: Option<Digest>,
    /// Removed units of the same node that are stopped first because this one needs what they hold.
    pub replaces: Vec<Replaced>,
    /// What changes in its files.
    pub files: Vec<FileChange>,
    /// Which inputs changed.
    pub reasons: Vec<Reason>,
    /// What people will notice.
    pub notices: Vec<Notice>,
    /// Whether it can be put back.
    pub way_back: WayBack,
    /// Whether it may be put back.
    pub rollback: Rollback,
    /// How the new version is probed; none for removals.
    pub health: Option<Health>,
    /// How the old version is probed after a put-back; none when there was none.
    pub health_before: Option<Health>,
    /// Whether its node is optional.
    pub optional: bool,
    /// Whether foreign files in its place are taken over.
    pub adopt: bool,
    /// Units that this one needs, as far as they change too.
    pub depends_on: Vec<UnitId>,
    /// Contents with secrets that its old or its new version has, by names that tell nothing of them.
    #[serde(default)]
    pub sealed: BTreeSet<String>,
}

/// A removed unit that makes room for another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replaced {
    /// Which.
    pub unit: UnitId,
    /// What it runs.
    pub from: Digest,
}

/// What happens to a unit.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is new: `+`.
    Create,
    /// It changes: `~`.
    Update,
    /// It goes: `-`.
    Remove,
    /// It takes the place of removed ones: `±`.
    Replace,
    /// It is wanted and the node has it, but it was moved by hand or is not running: `~`.
    Repair,
}

impl Action {
    /// The symbol people see.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Create => "+",
            Self::Update | Self::Repair => "~",
            Self::Remove => "-",
            Self::Replace => "±",
        }
    }
}

/// A change of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileChange {
    /// Where.
    pub destination: String,
    /// What.
    pub kind: FileChangeKind,
    /// A unified diff without header lines; none for binary, sensitive or unknown content.
    pub diff: Option<String>,
    /// Whether its content may not be shown.
    pub sensitive: bool,
}

/// What changes about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileChangeKind {
    /// It is new.
    Added,
    /// Its content changes.
    Changed,
    /// Only its mode or owner changes.
    Mode,
    /// It goes.
    Removed,
}

/// Which input changed, in words: `image organizr/organizr:2.1.1 → 2.1.2`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Reason(pub String);

/// What people will notice, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Notice(pub String);

/// Something about a plan that deserves a look, with a stable code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// `no-way-back`, `no-reboot-cover`, `too-many-removals`, `foreign-pending`, …
    pub code: String,
    /// In words.
    pub message: String,
    /// The unit it is about, if one.
    pub unit: Option<UnitId>,
}

/// Whether a unit can be put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WayBack {
    /// To its previous version, from the node's own blobs.
    Previous,
    /// It is new: the way back is to remove what was made.
    Removal,
    /// None is known.
    None,
}
