//! A checked snapshot: everything that should be, with all references resolved.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bundle, Commit, Gateway, Instance, Name, Node, SecretFile, Sync, duration};

/// A checked snapshot. Every reference in it is known to resolve.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// The fleet's name.
    pub name: Name,
    /// The domain below which hosts are named.
    pub domain: Option<String>,
    /// The first is the default.
    pub environments: Vec<Name>,
    /// How rollouts go.
    pub policy: Policy,
    /// Why nothing is changed for now, when that is so; may be empty.
    pub suspend: Option<String>,
    /// Machines by name.
    pub nodes: BTreeMap<Name, Node>,
    /// Sorted by unit id.
    pub instances: Vec<Instance>,
    /// By name.
    pub gateways: BTreeMap<Name, Gateway>,
    /// By name.
    pub syncs: BTreeMap<Name, Sync>,
    /// One per bundle and node, sorted by unit id.
    pub bundles: Vec<Bundle>,
    /// Files that units deliver, by path in the repository.
    pub files: BTreeMap<String, RepoFile>,
    /// Encrypted files by name.
    pub secrets: BTreeMap<Name, SecretFile>,
    /// Overrides of built-in templates, by their names (`Caddyfile.tera`).
    pub templates: BTreeMap<String, String>,
    /// Where it comes from.
    pub commit: Option<Commit>,
    /// Whether the files differ from the commit.
    pub dirty: bool,
}

/// A file that units deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoFile {
    /// The bytes as they are.
    pub content: Vec<u8>,
    /// Whether Git marks it executable.
    pub executable: bool,
}

/// How rollouts of this fleet go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    /// What happens after a failure.
    pub on_failure: OnFailure,
    /// Units changed at once inside a wave.
    pub max_parallel: u32,
    /// This many instances of a service first.
    pub canary: u32,
    /// Removals.
    pub prune: Prune,
    /// The silence a node bears during a rollout; none switches the lease off.
    #[serde(with = "duration::serde_option")]
    #[schemars(with = "Option<String>")]
    pub dead_man: Option<Duration>,
}

/// What happens after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Everything that the rollout changed is put back.
    Rollback,
    /// It stops where it is; new rollouts wait for an operator.
    Halt,
}

/// What may be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Prune {
    /// Whether units that are no longer wanted are removed.
    pub enabled: bool,
    /// More removals than this stop the plan; at least 2 are always borne.
    pub max_removals: Count,
}

/// A number, or a share of all units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Count {
    /// So many.
    Number(u32),
    /// So many of a hundred.
    Percent(u32),
}

impl Prune {
    /// How many of `units` may be removed at once.
    pub fn limit(&self, units: usize) -> usize {
        let share = match self.max_removals {
            Count::Number(number) => number as usize,
            Count::Percent(percent) => units.saturating_mul(percent as usize) / 100,
        };
        share.max(2)
    }
}
