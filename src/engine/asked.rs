//! What the nodes said before a plan is made, and the nodes that left the fleet since its last good release.

use crate::model::{Fleet, Name, NodeState, Observed, Warning};
use crate::plan;

use super::nodes::Nodes;

/// Nodes and what they said.
pub struct Asked {
    pub(super) nodes: Nodes,
    pub(super) observed: Observed,
    pub(super) warnings: Vec<Warning>,
}

impl Asked {
    /// Asks all nodes of a fleet once.
    pub async fn ask(fleet: &Name, nodes: Nodes) -> Self {
        let observed = nodes.observe(fleet).await;
        Self { nodes, observed, warnings: Vec::new() }
    }

    /// The commit of the last good release, when it is another than `wanted`: its files may have nodes that
    /// the wanted ones no longer have.
    pub fn earlier(&self, wanted: Option<&str>) -> Option<String> {
        let commit = plan::last_good(&self.observed)?.commit?;
        (Some(commit.as_str()) != wanted).then_some(commit)
    }

    /// Asks nodes that left the fleet, so that what still runs there is removed.
    ///
    /// One that doesn't answer is warned about and keeps the rollout from nothing: the fleet goes on without it.
    pub async fn join(&mut self, fleet: &Name, gone: Nodes) {
        let said = gone.observe(fleet).await;
        for (node, state) in said.nodes {
            match &state {
                NodeState::Reachable(report) if report.units.is_empty() => {}
                NodeState::Reachable(_) => drop(self.observed.nodes.insert(node, state)),
                NodeState::Unreachable(reason) => self.warnings.push(left_behind(&node, reason)),
            }
        }
        self.nodes.join(gone);
    }
}

fn left_behind(node: &Name, reason: &str) -> Warning {
    let reason = reason.strip_prefix(&format!("{node}: ")).unwrap_or(reason);
    Warning {
        code: "removed-unreachable".to_owned(),
        message: format!(
            "{node} left the fleet but does not answer ({reason}): what runs there stays; \
             put its file back until it answers"
        ),
        unit: None,
    }
}

/// The nodes of an earlier fleet that a fleet no longer has.
pub fn gone<'a>(earlier: &'a Fleet, fleet: &Fleet) -> Vec<&'a crate::model::Node> {
    let left = earlier.nodes.values().filter(|node| !fleet.nodes.contains_key(&node.name));
    left.collect()
}
