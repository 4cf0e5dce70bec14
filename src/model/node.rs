//! A machine of the fleet and how it is reached.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{AbsPath, Name};

/// A machine: over SSH, or `local` (a directory on this machine).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The file's name.
    pub name: Name,
    /// The address that services bind, that upstreams and probes use.
    pub address: IpAddr,
    /// How commands get there.
    pub reach: Reach,
    /// What selectors match.
    pub labels: BTreeMap<String, String>,
    /// The machine's architecture as Docker names it (`amd64`, `arm64`, …), if given.
    pub arch: Option<String>,
    /// gitsync's own directory; it must outlive a reboot.
    pub root: AbsPath,
    /// Where files of each kind go.
    pub paths: NodePaths,
    /// How a put-back survives a reboot.
    pub boot: Boot,
    /// Whether it may sleep: skipped when unreachable, caught up on return.
    pub optional: bool,
}

/// How commands get to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// Over OpenSSH.
    Ssh(Ssh),
    /// The same script, run on this machine; the directory is the default base of its paths.
    Local(AbsPath),
}

/// What OpenSSH is told; what is absent is left to the user's own SSH configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ssh {
    /// Host name or address; the node's address when the file names none.
    pub host: String,
    /// Login name.
    pub user: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// The pinned public host key, `ssh-ed25519 AAAA…`.
    pub host_key: Option<String>,
    /// Jump host: a node's name or a host.
    pub jump: Option<String>,
    /// Private key file on the controller.
    pub identity: Option<String>,
    /// Whether the script runs through `sudo -n`.
    pub sudo: bool,
}

/// Where files of each kind go on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePaths {
    /// Below it a directory per service; `/opt/stacks`.
    pub services: AbsPath,
    /// Below it a directory per proxy; `/etc`.
    pub gateways: AbsPath,
    /// Below it `lsyncd/lsyncd.conf.lua`; `/etc`.
    pub syncs: AbsPath,
}

/// How a put-back survives a reboot of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Boot {
    /// A systemd unit.
    Systemd,
    /// An OpenRC service.
    Openrc,
    /// A crontab entry.
    Cron,
    /// A line in a script that runs at boot.
    File(AbsPath),
    /// No cover across a reboot; the plan says so.
    None,
}
