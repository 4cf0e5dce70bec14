//! Nodes against their pins: an address, a key or a way that only a commit knows is none that is gone.

use super::{Breach, destinations, is_below};
use crate::model::{AbsPath, Boot, Fleet, Limits, Node, Pin, Reach, Ssh};

/// gitsync's own directory where nobody says another.
const USUAL_ROOT: &str = "/var/lib/gitsync";

pub(super) fn breaches(node: &Node, fleet: &Fleet, limits: &Limits) -> Vec<Breach> {
    let pin = limits.nodes.get(&node.name);
    let mut found = paths(node, limits);
    if pin.is_none() && limits.nodes_only {
        found.push(at(node, "nodes_only".to_owned(), "this node is not pinned".to_owned()));
    }
    let pin = pin.cloned().unwrap_or_default();
    let key = |key: &str| format!("nodes.{}.{key}", node.name);
    match &node.reach {
        Reach::Local(_) if pin.local => {}
        Reach::Local(_) => {
            let message = "it is a directory of the controller's own machine, and not pinned as `local: true`";
            found.push(at(node, key("local"), message.to_owned()));
        }
        Reach::Ssh(ssh) => found.extend(reached(node, ssh, &pin, fleet, limits)),
    }
    if let Some(address) = pin.address.filter(|address| *address != node.address) {
        let message = format!("its address is {}, and {address} is pinned", node.address);
        found.push(at(node, key("address"), message));
    }
    found
}

fn at(node: &Node, limit: String, message: String) -> Breach {
    Breach::new(format!("nodes/{}.yaml", node.name), limit, message)
}

/// A node is proven by its key; without one only by the way there.
fn reached(node: &Node, ssh: &Ssh, pin: &Pin, fleet: &Fleet, limits: &Limits) -> Vec<Breach> {
    let mut found = Vec::new();
    let key = |key: &str| format!("nodes.{}.{key}", node.name);
    if let Some(wanted) = &pin.host_key {
        let said = ssh.host_key.as_deref().map(bare);
        if said != Some(bare(wanted)) {
            let message = match said {
                Some(_) => "its `ssh.host_key` is another than the pinned one",
                None => "its `ssh.host_key` is not written, and one is pinned",
            };
            found.push(at(node, key("host_key"), message.to_owned()));
        }
    }
    let address = pin.address.map(|address| address.to_string());
    let proven = pin.host_key.is_some() && pin.host.is_none();
    let wanted = pin.host.clone().or(address).filter(|host| !proven && *host != ssh.host);
    if let Some(wanted) = wanted {
        let message = format!("its `ssh.host` is {}, and {wanted} is pinned", ssh.host);
        found.push(at(node, key("host"), message));
    }
    let stranger = |jump: &&String| !fleet.nodes.keys().any(|name| name.as_str() == jump.as_str());
    if let Some(jump) = ssh.jump.as_ref().filter(stranger).filter(|_| limits.nodes_only) {
        let message = format!("it is reached through {jump}, which is no pinned node");
        found.push(at(node, "nodes_only".to_owned(), message));
    }
    found
}

/// A public key without what people write behind it.
fn bare(key: &str) -> (&str, &str) {
    let mut words = key.split_whitespace();
    (words.next().unwrap_or_default(), words.next().unwrap_or_default())
}

/// gitsync's own directory and the boot script are written to as well.
fn paths(node: &Node, limits: &Limits) -> Vec<Breach> {
    let Some((allowed, key)) = destinations(limits, &node.name) else { return Vec::new() };
    let local = |path: &AbsPath| match &node.reach {
        Reach::Local(base) => path.is_within(base) && is_below(base, allowed),
        Reach::Ssh(_) => false,
    };
    let usual = node.root.as_str() == USUAL_ROOT;
    let mut found = Vec::new();
    if !usual && !is_below(&node.root, allowed) && !local(&node.root) {
        let message = format!("its `root` is {}, which is no allowed destination", node.root);
        found.push(at(node, key.clone(), message));
    }
    if let Boot::File(path) = &node.boot
        && !is_below(path, allowed)
    {
        let message = format!("its `boot` script is {path}, which is no allowed destination");
        found.push(at(node, key, message));
    }
    found
}
