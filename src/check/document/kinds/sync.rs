//! `syncs/*.yaml`: files kept in step between nodes while they run.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::text::{HostText, Label, Line, NodeFile, PathText, Time};

/// A folder kept in step between nodes by lsyncd.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"path": "/srv/dns-resolver", "from": "vps2", "to": ["vps1"], "user": "sync"}]))]
pub struct SyncDoc {
    /// The folder, the same on every node.
    pub path: PathText,
    /// Both ways: every node to every other.
    #[schemars(length(min = 2))]
    pub between: Option<Vec<Label>>,
    /// One way: the sender.
    pub from: Option<Label>,
    /// One way: the receivers.
    #[schemars(length(min = 1))]
    pub to: Option<Vec<Label>>,
    /// The login on the receiving nodes.
    pub user: Option<HostText>,
    /// The private key file on the sending nodes.
    pub identity: Option<NodeFile>,
    /// The receiving nodes' SSH port. 22.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// What happens to files that vanish at the sender. `never`.
    pub delete: Option<DeleteDoc>,
    /// rsync patterns left out.
    pub exclude: Option<Vec<Line>>,
    /// Events are gathered this long. `1s`.
    pub delay: Option<Time>,
}

/// What happens to files that vanish at the sender.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeleteDoc {
    /// They stay at the receiver.
    Never,
    /// They are deleted while lsyncd runs, never at its start.
    Running,
}
