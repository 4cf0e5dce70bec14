//! What must come before what, as a graph of ties of different strength, and how circles in it are undone.

use std::collections::BTreeSet;

use petgraph::Direction;
use petgraph::algo::{kosaraju_scc, toposort};
use petgraph::graph::{DiGraph, EdgeIndex, NodeIndex};
use petgraph::visit::EdgeRef;

/// Why one change comes before another, the weakest first: in a circle the weakest tie gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tie {
    /// What needed a replaced unit lets go of it first.
    LetGo,
    /// Some instances of a group come before the rest.
    Canary,
    /// What another change needs is let go of first.
    Claim,
    /// Members of a group take turns. The group may be put in another order, but never side by side.
    Turn(usize),
    /// It is needed; or it needed what stops.
    Needs,
}

/// The graph. Nodes are changes by index, then barriers that stand for "all of these".
#[derive(Debug, Default)]
pub struct Web {
    graph: DiGraph<(), Tie>,
    changes: usize,
}

impl Web {
    /// A graph of `changes` nodes without a tie.
    pub fn new(changes: usize) -> Self {
        let mut graph = DiGraph::with_capacity(changes, changes);
        for _ in 0..changes {
            graph.add_node(());
        }
        Self { graph, changes }
    }

    /// Says that `first` comes before `then`; a tie to itself is none.
    pub fn tie(&mut self, first: usize, then: usize, tie: Tie) {
        if first != then {
            self.graph.add_edge(NodeIndex::new(first), NodeIndex::new(then), tie);
        }
    }

    /// A node that is passed once everything tied before it is done.
    pub fn barrier(&mut self) -> usize {
        self.graph.add_node(()).index()
    }

    /// Everything that must come right before `node`.
    pub fn before(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        self.graph
            .neighbors_directed(NodeIndex::new(node), Direction::Incoming)
            .map(NodeIndex::index)
    }

    /// Everything that must come right after `node`.
    pub fn after(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        self.graph.neighbors(NodeIndex::new(node)).map(NodeIndex::index)
    }

    /// Whether `node` is a barrier.
    pub fn is_barrier(&self, node: usize) -> bool {
        node >= self.changes
    }

    /// An order of all nodes that holds every tie; ties in circles do not count.
    pub fn sorted(&self) -> Vec<usize> {
        match toposort(&self.graph, None) {
            Ok(order) => order.into_iter().map(NodeIndex::index).collect(),
            Err(_) => (0..self.graph.node_count()).collect(),
        }
    }

    /// Undoes circles until none is left, weakest ties first; returns the ties that were given up.
    ///
    /// `turn` gives a group's members in an order that agrees with every need. Each round gives up at
    /// least one tie or settles at least one group for good, so it ends.
    pub fn settle(&mut self, turn: impl Fn(usize) -> Vec<usize>) -> Vec<(usize, usize, Tie)> {
        let (mut dropped, mut settled) = (Vec::new(), BTreeSet::new());
        loop {
            let circles = self.circles();
            if circles.is_empty() {
                dropped.sort_unstable_by_key(|&(first, then, tie)| (tie, first, then));
                return dropped;
            }
            let mut doomed: BTreeSet<EdgeIndex> = BTreeSet::new();
            let mut rechain = BTreeSet::new();
            for inner in circles {
                let weakest = inner.iter().filter_map(|edge| self.graph.edge_weight(*edge)).min();
                match weakest.copied() {
                    Some(Tie::Turn(_)) => {
                        let groups = inner.iter().filter_map(|edge| self.turn_of(*edge));
                        let open: BTreeSet<usize> =
                            groups.filter(|group| !settled.contains(group)).collect();
                        if open.is_empty() {
                            doomed.extend(inner.iter().filter(|e| self.turn_of(**e).is_some()));
                        }
                        rechain.extend(open);
                    }
                    Some(Tie::Needs) => doomed.extend(self.backward(&inner)),
                    Some(tie) => doomed
                        .extend(inner.iter().filter(|e| self.graph.edge_weight(**e) == Some(&tie))),
                    None => {}
                }
            }
            dropped.extend(doomed.iter().filter_map(|edge| self.told(*edge)));
            self.graph.retain_edges(|graph, edge| match graph.edge_weight(edge) {
                Some(Tie::Turn(group)) if rechain.contains(group) => false,
                _ => !doomed.contains(&edge),
            });
            for group in rechain {
                self.chain(&turn(group), Tie::Turn(group));
                settled.insert(group);
            }
        }
    }

    /// Ties each of `members` to the next.
    pub fn chain(&mut self, members: &[usize], tie: Tie) {
        for (first, then) in members.iter().zip(members.iter().skip(1)) {
            self.tie(*first, *then, tie);
        }
    }

    fn turn_of(&self, edge: EdgeIndex) -> Option<usize> {
        match self.graph.edge_weight(edge) {
            Some(Tie::Turn(group)) => Some(*group),
            _ => None,
        }
    }

    fn told(&self, edge: EdgeIndex) -> Option<(usize, usize, Tie)> {
        let (first, then) = self.graph.edge_endpoints(edge)?;
        Some((first.index(), then.index(), *self.graph.edge_weight(edge)?))
    }

    /// Of the ties of a circle those that go from a later to an earlier node: without them no circle is left.
    fn backward(&self, inner: &[EdgeIndex]) -> Vec<EdgeIndex> {
        let back = |edge: &&EdgeIndex| {
            self.graph.edge_endpoints(**edge).is_some_and(|(first, then)| first > then)
        };
        inner.iter().filter(back).copied().collect()
    }

    /// The ties inside each knot of circles.
    fn circles(&self) -> Vec<Vec<EdgeIndex>> {
        let mut knot = vec![0; self.graph.node_count()];
        let components = kosaraju_scc(&self.graph);
        for (number, component) in components.iter().enumerate() {
            for node in component {
                if let Some(place) = knot.get_mut(node.index()) {
                    *place = number;
                }
            }
        }
        let mut inner = vec![Vec::new(); components.len()];
        for edge in self.graph.edge_references() {
            let number = knot.get(edge.source().index());
            if number == knot.get(edge.target().index())
                && let Some(place) = number.and_then(|number| inner.get_mut(*number))
            {
                place.push(edge.id());
            }
        }
        inner.retain(|edges| !edges.is_empty());
        inner
    }
}
