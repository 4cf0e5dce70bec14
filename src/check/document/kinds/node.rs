//! `nodes/*.yaml`: a machine and how it is reached.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::text::{BootText, HostKey, HostText, KeyFile, Line, PathText};

/// A machine: over SSH, or `local` (a directory on this machine).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"address": "100.67.88.109", "labels": {"role": "edge"}}]))]
pub struct NodeDoc {
    /// The IP address that services bind, that upstreams and probes use; 127.0.0.1 for a local node.
    pub address: Option<IpAddr>,
    /// How SSH gets there; what is absent is left to the user's own SSH configuration.
    pub ssh: Option<SshDoc>,
    /// Instead of SSH: a directory on this machine that stands for the node.
    pub local: Option<PathText>,
    /// What selectors match.
    pub labels: Option<BTreeMap<String, Line>>,
    /// The machine's architecture as Docker names it.
    #[schemars(regex(pattern = r"^[a-z0-9_]+(/v[0-9]+)?$"), extend("examples" = ["amd64", "arm64"]))]
    pub arch: Option<String>,
    /// gitsync's own directory; it must outlive a reboot. `/var/lib/gitsync`.
    pub root: Option<PathText>,
    /// Where files of each kind go.
    pub paths: Option<PathsDoc>,
    /// How a put-back survives a reboot. `systemd`, `none` for a local node.
    pub boot: Option<BootText>,
    /// Whether it may sleep: skipped when unreachable, caught up on return. `false`.
    pub optional: Option<bool>,
}

/// How SSH gets to a node.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SshDoc {
    /// Host name, address or alias; the node's address when absent.
    pub host: Option<HostText>,
    /// Login name.
    pub user: Option<HostText>,
    /// Port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// The pinned public host key.
    pub host_key: Option<HostKey>,
    /// Jump host: a node's name or a host.
    pub jump: Option<HostText>,
    /// Private key file on the controller.
    pub identity: Option<KeyFile>,
    /// Whether commands run through `sudo -n`. `false`.
    pub sudo: Option<bool>,
}

/// Where files of each kind go on a node.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PathsDoc {
    /// Below it a directory per service. `/opt/stacks`.
    pub services: Option<PathText>,
    /// Below it a directory per proxy. `/etc`.
    pub gateways: Option<PathText>,
    /// Below it `lsyncd/lsyncd.conf.lua`. `/etc`.
    pub syncs: Option<PathText>,
}
