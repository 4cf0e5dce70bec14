//! What the looking commands share: the fleet of a path, and what its nodes say now.

use crate::engine::Nodes;
use crate::model::{Name, Observed};
use crate::settings::{Flags, Settings};

use super::context::{self, Global, Place, Wanted};
use super::problem::Problem;

/// A fleet, its nodes and what they said.
pub struct Look {
    /// The checked and rendered files.
    pub wanted: Wanted,
    /// The ways to the nodes.
    pub nodes: Nodes,
    /// What they said.
    pub observed: Observed,
    /// The controller's settings.
    pub settings: Settings,
}

impl Look {
    /// Whether a node's silence is no fault.
    pub fn may_sleep(&self, node: &Name) -> bool {
        self.wanted.fleet.nodes.get(node).is_some_and(|node| node.optional)
    }
}

/// Reads the fleet at `place` and asks all its nodes once.
pub async fn look(global: &Global, place: &Place) -> Result<Look, Problem> {
    let wanted = global.wanted(&place.snapshot()?)?;
    let settings = global.settings(Flags::default())?;
    let nodes = context::nodes(&wanted.fleet, &settings)?;
    let observed = nodes.observe(&wanted.fleet.name).await;
    Ok(Look { wanted, nodes, observed, settings })
}
