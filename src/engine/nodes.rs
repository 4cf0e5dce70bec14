//! The fleet's nodes as they are reached: one transport each.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};

use crate::model::{Name, Node, NodeState, Observed, UnitId};
use crate::plan::Fallen;
use crate::transport::ssh::ConfigError;
use crate::transport::{Transport, TransportError};

/// Nodes by name, each with the way to get there.
#[derive(Clone, Default)]
pub struct Nodes {
    nodes: BTreeMap<Name, Arc<dyn Transport>>,
    parallel: usize,
}

impl Nodes {
    /// Makes a transport for every node with `connect`; at most `parallel` nodes are asked at once.
    pub fn new<'a>(
        nodes: impl IntoIterator<Item = &'a Node>,
        parallel: usize,
        mut connect: impl FnMut(&Node) -> Result<Arc<dyn Transport>, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let ways = nodes.into_iter().map(|node| Ok((node.name.clone(), connect(node)?)));
        Ok(Self { nodes: ways.collect::<Result<_, ConfigError>>()?, parallel: parallel.max(1) })
    }

    /// The way to a node, if it is known.
    pub fn get(&self, node: &Name) -> Option<&Arc<dyn Transport>> {
        self.nodes.get(node)
    }

    /// The nodes' names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.nodes.keys()
    }

    /// Adds the nodes of `other` that are not here yet.
    pub fn join(&mut self, other: Self) {
        for (name, transport) in other.nodes {
            self.nodes.entry(name).or_insert(transport);
        }
        self.parallel = self.parallel.max(other.parallel);
    }

    /// Asks every node for everything it knows of the fleet, side by side, one round trip each.
    ///
    /// A node that doesn't answer is told as such; the call itself can't fail.
    pub async fn observe(&self, fleet: &Name) -> Observed {
        let asks: Vec<_> = self
            .nodes
            .iter()
            .map(|(name, transport)| ask(name, transport, fleet).boxed())
            .collect();
        let nodes = stream::iter(asks).buffer_unordered(self.parallel).collect::<Vec<_>>().await;
        Observed { nodes: nodes.into_iter().collect() }
    }

    /// Starts units that do not run, side by side; what came of each.
    pub async fn bring_up(
        &self,
        fleet: &Name,
        fallen: &[Fallen],
    ) -> Vec<(UnitId, Result<(), TransportError>)> {
        let starts: Vec<_> = fallen
            .iter()
            .filter_map(|one| Some((one, self.get(&one.unit.node)?)))
            .map(|(one, transport)| {
                let start = transport.bring_up(fleet, &one.unit, &one.digest);
                start.map(|done| (one.unit.clone(), done)).boxed()
            })
            .collect();
        stream::iter(starts).buffer_unordered(self.parallel).collect().await
    }
}

async fn ask(name: &Name, transport: &Arc<dyn Transport>, fleet: &Name) -> (Name, NodeState) {
    let state = state(transport.observe(fleet).await);
    tracing::debug!(node = %name, reached = matches!(state, NodeState::Reachable(_)), "observed");
    (name.clone(), state)
}

fn state(answer: Result<crate::model::NodeReport, TransportError>) -> NodeState {
    match answer {
        Ok(report) => NodeState::Reachable(Box::new(report)),
        Err(error) => NodeState::Unreachable(error.to_string()),
    }
}
