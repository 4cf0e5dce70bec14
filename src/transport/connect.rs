//! The way to a node, by how it is reached.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Name, Node, Reach, Ssh};

use super::ssh::ConfigError;
use super::{Channel, LocalChannel, Scripted, SshChannel, SshOptions, Transport};

/// A transport to a node of a fleet; nothing is connected yet.
///
/// Errors when the node's SSH settings can't be used, as jump hosts that lead in a circle.
pub fn connect(
    node: &Node,
    nodes: &BTreeMap<Name, Node>,
    options: &SshOptions,
) -> Result<Arc<dyn Transport>, ConfigError> {
    match &node.reach {
        Reach::Local(_) => {
            let home = std::env::var("HOME").unwrap_or_else(|_| "/".to_owned());
            let channel = LocalChannel::new(node.root.clone(), &home);
            Ok(scripted(node, channel))
        }
        Reach::Ssh(_) => {
            let named = |name: &str| ssh_of(nodes, name);
            let channel = SshChannel::new(node, &named, options.clone())?;
            Ok(scripted(node, channel))
        }
    }
}

fn scripted(node: &Node, channel: impl Channel + 'static) -> Arc<dyn Transport> {
    Arc::new(Scripted::new(node.name.clone(), channel).with_boot(node.boot.clone()))
}

fn ssh_of(nodes: &BTreeMap<Name, Node>, name: &str) -> Option<(Name, Ssh)> {
    let (key, node) = nodes.get_key_value(name)?;
    match &node.reach {
        Reach::Ssh(ssh) => Some((key.clone(), ssh.clone())),
        Reach::Local(_) => None,
    }
}
