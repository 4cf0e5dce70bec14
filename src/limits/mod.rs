//! What is beyond a controller's limits in a fleet and in what it would do. Judged is the rendered release.

mod compose;
mod nodes;
mod units;

use std::collections::BTreeMap;
use std::fmt;

use crate::model::{AbsPath, Fleet, Limits, Name, Node, Release};

/// Something that a limit forbids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Breach {
    /// The file of the repository, or the unit and its file.
    pub place: String,
    /// What is there.
    pub message: String,
    /// The key of the settings, below `limits`.
    pub limit: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (limits.{})", self.place, self.message, self.limit)
    }
}

impl Breach {
    fn new(place: impl Into<String>, limit: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), limit: limit.into(), message: message.into() }
    }
}

/// Everything in a fleet and its release that is beyond the limits, sorted.
///
/// `contents` has blobs of nodes for releases that were put together from what nodes keep; a compose file that can't
/// be read is beyond the limits when there are any on compose.
pub fn breaches(
    fleet: &Fleet,
    release: &Release,
    limits: &Limits,
    contents: &BTreeMap<String, Vec<u8>>,
) -> Vec<Breach> {
    let mut found = of_nodes(fleet, limits);
    found.extend(units::breaches(fleet, release, limits));
    if limits.compose.any() {
        let units = release.units.values();
        found.extend(units.flat_map(|unit| compose::breaches(fleet, unit, limits, contents)));
    }
    found.sort();
    found.dedup();
    found
}

/// Everything about a fleet's nodes that is beyond the limits: such a node is not even asked.
pub fn of_nodes(fleet: &Fleet, limits: &Limits) -> Vec<Breach> {
    fleet.nodes.values().flat_map(|node| of_node(node, fleet, limits)).collect()
}

/// The same for one node of a fleet.
pub fn of_node(node: &Node, fleet: &Fleet, limits: &Limits) -> Vec<Breach> {
    nodes::breaches(node, fleet, limits)
}

/// The directories that a node's files may go to, and the key that says so; none when they are not limited.
fn destinations<'l>(limits: &'l Limits, node: &Name) -> Option<(&'l [AbsPath], String)> {
    let own = limits.nodes.get(node).and_then(|pin| pin.destinations.as_deref());
    match own {
        Some(own) => Some((own, format!("nodes.{node}.destinations"))),
        None => limits.destinations.as_deref().map(|all| (all, "destinations".to_owned())),
    }
}

fn is_below(path: &AbsPath, directories: &[AbsPath]) -> bool {
    directories.iter().any(|directory| path.is_within(directory))
}

#[cfg(test)]
mod tests;
