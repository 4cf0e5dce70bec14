//! Files kept in step between nodes while they run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AbsPath, Name, duration};

/// A folder kept in step between nodes by lsyncd over rsync and ssh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync {
    /// The file's name.
    pub name: Name,
    /// The folder, the same on every node.
    pub path: AbsPath,
    /// Who sends to whom.
    pub direction: Direction,
    /// The login on the receiving nodes.
    pub user: Option<String>,
    /// The private key file on the sending nodes.
    pub identity: Option<AbsPath>,
    /// The receiving nodes' SSH port, when it is not 22.
    pub port: Option<u16>,
    /// What happens to files that vanish at the sender.
    pub delete: DeleteMode,
    /// rsync patterns left out.
    pub exclude: Vec<String>,
    /// Events are gathered this long.
    #[serde(with = "duration::serde_text")]
    pub delay: Duration,
    /// The repository file that defines it.
    pub source: String,
}

/// Who sends to whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Every node to every other.
    Between(Vec<Name>),
    /// One node to others.
    OneWay {
        /// The sender.
        from: Name,
        /// The receivers.
        to: Vec<Name>,
    },
}

/// What happens to files that vanish at the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeleteMode {
    /// They stay at the receiver.
    Never,
    /// They are deleted while lsyncd runs, never at its start.
    Running,
}

impl Sync {
    /// The nodes that `node` sends to.
    pub fn targets(&self, node: &Name) -> Vec<&Name> {
        match &self.direction {
            Direction::Between(nodes) if nodes.contains(node) => {
                nodes.iter().filter(|other| *other != node).collect()
            }
            Direction::OneWay { from, to } if from == node => to.iter().collect(),
            _ => Vec::new(),
        }
    }
}
