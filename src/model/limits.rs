//! What a fleet may do on this controller's word: limits that no commit can change.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{AbsPath, Name, SecretRef, UnitId};

/// Limits outside of the repository. What isn't written is not limited, but for nodes that are this machine itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Where they are written, for words.
    pub file: String,
    /// What is known of nodes.
    pub nodes: BTreeMap<Name, Pin>,
    /// Whether only pinned nodes may be in a fleet.
    pub nodes_only: bool,
    /// Directories that files may go to, on nodes that have none of their own.
    pub destinations: Option<Vec<AbsPath>>,
    /// Units with commands of their authors.
    pub commands: Option<Units>,
    /// Directories whose files may become environment variables.
    pub node_files: Option<Vec<AbsPath>>,
    /// Which units may have which secrets: patterns of secrets (`db.*`) and who may have them.
    pub secrets: Option<BTreeMap<String, Units>>,
    /// What containers may have of their nodes.
    pub compose: ComposeLimits,
}

/// A node as its owner knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pin {
    /// Its address.
    pub address: Option<IpAddr>,
    /// Its public host key, `ssh-ed25519 AAAA…`.
    pub host_key: Option<String>,
    /// The name that it is reached by.
    pub host: Option<String>,
    /// Whether it may be a directory of this machine.
    pub local: bool,
    /// Directories that files may go to, instead of the fleet's.
    pub destinations: Option<Vec<AbsPath>>,
}

/// Units that may do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Units {
    /// Every one.
    Any,
    /// Those whose id matches one of these; `*` stands for any text. None at all when it is empty.
    Listed(Vec<String>),
}

/// What containers may have of their nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComposeLimits {
    /// Units with privileged containers, and with keys that this version doesn't know.
    pub privileged: Option<Units>,
    /// Units on the node's own network.
    pub host_network: Option<Units>,
    /// Units in other namespaces of the node or of other containers.
    pub host_namespaces: Option<Units>,
    /// Directories of the node that may be mounted, besides the service's own.
    pub host_mounts: Option<Vec<AbsPath>>,
    /// Capabilities that may be added.
    pub cap_add: Option<Vec<String>>,
    /// Devices that may be given, or `gpus`.
    pub devices: Option<Vec<String>>,
}

impl Units {
    /// Whether a unit is among them.
    pub fn has(&self, unit: &UnitId) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(patterns) => {
                let id = unit.to_string();
                patterns.iter().any(|pattern| matches(pattern, &id))
            }
        }
    }
}

impl Limits {
    /// Whether a unit may have a secret.
    pub fn allows_secret(&self, unit: &UnitId, secret: &SecretRef) -> bool {
        let Some(secrets) = &self.secrets else { return true };
        let name = secret.to_string();
        secrets.iter().any(|(pattern, units)| matches(pattern, &name) && units.has(unit))
    }
}

impl ComposeLimits {
    /// Whether anything is limited at all.
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}

/// Whether a text is what a pattern says, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(before) else { return false };
    let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    let mut rests = ends.filter_map(|at| rest.get(at..));
    rests.any(|rest| matches(after, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_whole_ids() {
        for (pattern, id, wanted) in [
            ("vps1/service.web", "vps1/service.web", true),
            ("vps1/service.web", "vps1/service.web2", false),
            ("*/service.web", "vps1/service.web", true),
            ("*/service.web", "vps1/service.web@dev", false),
            ("vps1/*", "vps1/sync", true),
            ("vps1/*", "vps10/sync", false),
            ("*.web*", "vps1/service.web@dev", true),
            ("*", "vps1/sync", true),
            ("", "vps1/sync", false),
        ] {
            let units = Units::Listed(vec![pattern.to_owned()]);
            assert_eq!(units.has(&id.parse().unwrap()), wanted, "{pattern} {id}");
        }
        assert!(!Units::Listed(Vec::new()).has(&"vps1/sync".parse().unwrap()));
    }
}
