//! `fleet.yaml`: the fleet's name, domain, environments, policy and defaults.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::text::{DomainText, Label, Line, Network, Percent, TimeOrOff};
use super::HealthDefaults;

/// The fleet: its name, domain, environments, policy and defaults.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"version": 1, "name": "homelab", "domain": "example.net"}]))]
pub struct FleetDoc {
    /// The version of these formats; 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// The fleet's name; it names the fleet's records on the nodes.
    pub name: Label,
    /// The domain below which hosts are named.
    pub domain: Option<DomainText>,
    /// The environments; the first is the default. `[prod]` when absent.
    #[schemars(length(min = 1))]
    pub environments: Option<Vec<Label>>,
    /// How rollouts go.
    pub rollout: Option<RolloutDoc>,
    /// Defaults of all health checks.
    pub health: Option<HealthDefaults>,
    /// Whether nothing of the fleet is changed for now: `true`, or why. `false`.
    pub suspend: Option<SuspendDoc>,
    /// Networks whose clients may use `access: mesh` routes; private and Tailscale networks when absent.
    pub mesh: Option<Vec<Network>>,
}

/// Whether nothing is changed for now.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("examples" = [true, "the NAS gets new disks"]))]
pub enum SuspendDoc {
    /// `true` or `false`.
    Word(bool),
    /// It is, and why.
    Reason(Line),
}

/// How rollouts go.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutDoc {
    /// What happens after a failure: everything is put back, or it stops and waits for an operator. `rollback`.
    pub on_failure: Option<OnFailureDoc>,
    /// Units changed at once inside a wave. 4.
    #[schemars(range(min = 1, max = 1000))]
    pub max_parallel: Option<u32>,
    /// This many instances of a service first. 1.
    #[schemars(range(min = 1, max = 1000))]
    pub canary: Option<u32>,
    /// What may be removed.
    pub prune: Option<PruneDoc>,
    /// The silence that a node bears during a rollout before it restores itself; `off` or a duration. `60s`.
    pub dead_man: Option<TimeOrOff>,
}

/// What happens after a failure.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailureDoc {
    /// Everything that the rollout changed is put back.
    Rollback,
    /// It stops where it is; new rollouts wait for an operator.
    Halt,
}

/// What may be removed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PruneDoc {
    /// Whether units that are no longer wanted are removed. `true`.
    pub enabled: Option<bool>,
    /// More removals than this stop the plan: a number, or a share of all units; 2 are always borne. `30%`.
    pub max_removals: Option<CountDoc>,
}

/// A number, or a share of all units.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CountDoc {
    /// So many.
    Number(#[schemars(range(min = 0, max = 1_000_000))] u32),
    /// So many of a hundred.
    Share(Percent),
}
