//! Syncs: what goes round in circles, and what two directions can't promise.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::codes;
use super::find::Find;
use crate::diagnostic::Diagnostic;
use crate::model::{AbsPath, Direction, Fleet, Name, Sync};

/// Syncs with overlapping folders send files in a circle.
///
/// A sync with `between` is a circle of its own that lsyncd settles, told as [`codes::TWO_WAY_SYNC`]; this is about
/// circles that take two syncs, each of which takes what the other brings for a change.
pub(super) fn sync_loop(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let mut by_path: BTreeMap<&AbsPath, Vec<&Sync>> = BTreeMap::new();
    for sync in fleet.syncs.values() {
        by_path.entry(&sync.path).or_default().push(sync);
    }
    let mut found = Vec::new();
    for path in by_path.keys() {
        let over: Vec<&Sync> =
            above(path).iter().filter_map(|p| by_path.get(p)).flatten().copied().collect();
        if let Some((sync, other)) = circle(&over) {
            found.push(tell(find, sync, other));
        }
    }
    found.dedup();
    found
}

/// A path and all directories above it.
fn above(path: &AbsPath) -> Vec<AbsPath> {
    let mut all = vec![path.clone()];
    while let Some(parent) = all.last().map(AbsPath::parent)
        && all.last() != Some(&parent)
    {
        all.push(parent);
    }
    all
}

/// Two syncs that together send files in a circle.
fn circle<'f>(syncs: &[&'f Sync]) -> Option<(&'f Sync, &'f Sync)> {
    let mut graph: DiGraph<&Name, ()> = DiGraph::new();
    let mut indices: BTreeMap<&Name, NodeIndex> = BTreeMap::new();
    for (from, to) in syncs.iter().flat_map(|sync| edges(sync)) {
        let [from, to] =
            [from, to].map(|name| *indices.entry(name).or_insert_with(|| graph.add_node(name)));
        graph.add_edge(from, to, ());
    }
    let parts = tarjan_scc(&graph);
    parts.iter().filter(|part| part.len() > 1).find_map(|part| {
        let part: BTreeSet<&Name> = part.iter().map(|index| graph[*index]).collect();
        let inside = |sync: &&&Sync| {
            edges(sync).iter().any(|(from, to)| part.contains(from) && part.contains(to))
        };
        let mut taking = syncs.iter().filter(inside);
        let (first, second) = (*taking.next()?, *taking.next()?);
        Some(if first.name > second.name { (first, second) } else { (second, first) })
    })
}

/// Who sends to whom; a ring stands for all pairs, which connects the same nodes.
fn edges(sync: &Sync) -> Vec<(&Name, &Name)> {
    match &sync.direction {
        Direction::OneWay { from, to } => to.iter().map(|to| (from, to)).collect(),
        Direction::Between(nodes) => nodes.iter().zip(nodes.iter().cycle().skip(1)).collect(),
    }
}

fn tell(find: &Find<'_>, sync: &Sync, other: &Sync) -> Diagnostic {
    let message = format!("the syncs `{}` and `{}` send files in a circle", other.name, sync.name);
    Diagnostic::error(codes::SYNC_LOOP, message, find.sync(sync, "/path"))
        .says(format!("`{}` sends what `{}` brings", sync.name, other.name))
        .also(find.sync(other, "/path"), format!("and `{}` sends it on from here", other.name))
        .hint("keep their folders apart, or make one sync of them")
}

/// A sync in both directions.
pub(super) fn two_way_sync(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let both = fleet.syncs.values().filter(|sync| matches!(sync.direction, Direction::Between(_)));
    let told = both.map(|sync| {
        let message = format!("`{}` goes both ways, which lsyncd can't do safely", sync.name);
        Diagnostic::warning(codes::TWO_WAY_SYNC, message, find.sync(sync, "/between"))
            .says("whoever changes a file last wins, wherever that was")
            .hint("a file made and deleted within a second can come back from the other node")
            .hint("a file changed on both nodes at once to the same size stays different for good")
            .hint("prefer one way: `from: …`, `to: […]`")
    });
    told.collect()
}
