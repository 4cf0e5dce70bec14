//! The fleet as a graph: units in their nodes, and what leads from one to another. Plain data, drawn as text.

mod dot;
mod mermaid;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;

use crate::model::{Direction, Fleet, Gateway, Instance, Name, Proxy, Role, Sync, UnitId};
use crate::model::{Reach, UnitKind};

use super::plan::Filter;

pub use dot::dot;
pub use mermaid::mermaid;

/// Version of the graph as JSON.
pub const VERSION: u32 = 1;

/// A fleet as a graph; everything in it is sorted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Graph {
    /// The version of this form.
    pub version: u32,
    /// The fleet's name.
    pub fleet: Name,
    /// The machines, each with its units.
    pub nodes: Vec<Machine>,
    /// What leads from one unit to another.
    pub edges: Vec<Edge>,
}

/// A node and what is on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Its name.
    pub name: Name,
    /// Its address.
    pub address: IpAddr,
    /// Whether it is a directory of the controller's machine.
    pub local: bool,
    /// Whether it may sleep.
    pub optional: bool,
    /// What is on it.
    pub units: Vec<Item>,
}

/// A unit of a node, or the receiving end of a sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Its unit.
    pub unit: UnitId,
    /// The environment of a service, also when it is the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<Name>,
    /// What else is known of it, a few words each: its part in a pair, its proxy, that it only receives.
    pub notes: Vec<String>,
}

/// What leads from one unit to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Edge {
    /// Where it begins.
    pub from: UnitId,
    /// Where it ends.
    pub to: UnitId,
    /// What it means.
    pub kind: EdgeKind,
    /// Hosts of a route, names of syncs; empty for a need.
    pub labels: Vec<String>,
    /// Whether it goes both ways.
    pub both: bool,
}

/// What an edge means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EdgeKind {
    /// A gateway sends requests there.
    Route,
    /// It depends on it.
    Needs,
    /// Files go there.
    Sync,
}

impl Graph {
    /// The graph of a whole fleet.
    pub fn of(fleet: &Fleet) -> Self {
        let items = items(fleet);
        let mut edges = Edges::default();
        needs(fleet, &mut edges);
        fleet.gateways.values().for_each(|gateway| routes(gateway, &mut edges));
        fleet.syncs.values().for_each(|sync| folders(sync, &mut edges));
        let edges = edges.told(|unit| items.contains_key(unit));
        let nodes = fleet.nodes.values().map(|node| Machine {
            name: node.name.clone(),
            address: node.address,
            local: matches!(node.reach, Reach::Local(_)),
            optional: node.optional,
            units: items.values().filter(|item| item.unit.node == node.name).cloned().collect(),
        });
        Self { version: VERSION, fleet: fleet.name.clone(), nodes: nodes.collect(), edges }
    }

    /// Whether a filter shows any unit.
    pub fn has(&self, filter: &Filter) -> bool {
        let units = self.nodes.iter().flat_map(|node| &node.units);
        filter.service.is_none() || units.into_iter().any(|item| filter.shows(&item.unit))
    }

    /// The units that a filter shows, and whatever they are tied to.
    #[must_use]
    pub fn seen(mut self, filter: &Filter) -> Self {
        if filter.is_open() {
            return self;
        }
        let fits = |unit: &UnitId| filter.shows(unit);
        self.edges.retain(|edge| fits(&edge.from) || fits(&edge.to));
        let ends = self.edges.iter().flat_map(|edge| [edge.from.clone(), edge.to.clone()]);
        let tied: BTreeSet<UnitId> = ends.collect();
        for node in &mut self.nodes {
            node.units.retain(|item| fits(&item.unit) || tied.contains(&item.unit));
        }
        self.nodes.retain(|node| {
            !node.units.is_empty() || filter.node.as_deref() == Some(node.name.as_str())
        });
        self
    }
}

impl Machine {
    /// What is written over its units.
    fn title(&self) -> String {
        let mut title = format!("{} ({}", self.name, self.address);
        for (holds, word) in [(self.local, ", local"), (self.optional, ", optional")] {
            title.push_str(if holds { word } else { "" });
        }
        title + ")"
    }
}

impl Item {
    /// The lines that are written into it.
    fn lines(&self, several: bool) -> Vec<String> {
        let mut notes = self.notes.clone();
        let environment = self.environment.as_ref().filter(|_| several);
        notes.extend(environment.map(|name| format!("environment {name}")));
        let mut lines = vec![self.unit.local()];
        if !notes.is_empty() {
            lines.push(notes.join(", "));
        }
        lines
    }
}

/// Whether more than one environment is there, so that each is worth a word.
fn several_environments(graph: &Graph) -> bool {
    let items = graph.nodes.iter().flat_map(|node| &node.units);
    items.filter_map(|item| item.environment.as_ref()).collect::<BTreeSet<_>>().len() > 1
}

fn items(fleet: &Fleet) -> BTreeMap<UnitId, Item> {
    let item = |unit: UnitId, notes: Vec<String>| Item { unit, environment: None, notes };
    let services = fleet.instances.iter().map(service);
    let gateways = fleet.gateways.values().flat_map(|gateway| {
        let unit = |node| UnitId::new(node, UnitKind::Gateway, &gateway.name);
        let proxy = match gateway.proxy {
            Proxy::Caddy => "caddy",
        };
        gateway.on.iter().map(move |node| item(unit(node), vec![proxy.to_owned()]))
    });
    let bundles = fleet.bundles.iter().map(|bundle| item(bundle.id.clone(), Vec::new()));
    let syncs = ends(fleet).into_iter().map(|(node, sends)| {
        let note = if sends { None } else { Some("receives only".to_owned()) };
        item(UnitId::sync(node), note.into_iter().collect())
    });
    let all = services.chain(gateways).chain(bundles).chain(syncs);
    all.map(|item| (item.unit.clone(), item)).collect()
}

fn service(instance: &Instance) -> Item {
    let role = match instance.role {
        Role::Primary => Some("primary".to_owned()),
        Role::Fallback(1) => Some("fallback".to_owned()),
        Role::Fallback(number) => Some(format!("fallback {number}")),
        Role::Member => None,
    };
    let environment = Some(instance.environment.clone());
    Item { unit: instance.id.clone(), environment, notes: role.into_iter().collect() }
}

/// The nodes that take part in any sync, and whether they send.
fn ends(fleet: &Fleet) -> BTreeMap<&Name, bool> {
    let mut ends = BTreeMap::new();
    for sync in fleet.syncs.values() {
        match &sync.direction {
            Direction::Between(nodes) => ends.extend(nodes.iter().map(|node| (node, true))),
            Direction::OneWay { from, to } => {
                ends.insert(from, true);
                for node in to {
                    ends.entry(node).or_insert(false);
                }
            }
        }
    }
    ends
}

/// Edges on their way, each once with all its labels.
#[derive(Default)]
struct Edges(BTreeMap<(UnitId, UnitId, EdgeKind, bool), BTreeSet<String>>);

impl Edges {
    fn add(
        &mut self,
        from: &UnitId,
        to: &UnitId,
        kind: EdgeKind,
        both: bool,
    ) -> &mut BTreeSet<String> {
        self.0.entry((from.clone(), to.clone(), kind, both)).or_default()
    }

    fn told(self, known: impl Fn(&UnitId) -> bool) -> Vec<Edge> {
        let edges = self.0.into_iter().filter(|((from, to, ..), _)| known(from) && known(to));
        let edge = |((from, to, kind, both), labels): ((UnitId, UnitId, EdgeKind, bool), _)| {
            let labels: BTreeSet<String> = labels;
            Edge { from, to, kind, labels: labels.into_iter().collect(), both }
        };
        edges.map(edge).collect()
    }
}

fn needs(fleet: &Fleet, edges: &mut Edges) {
    let services = fleet.instances.iter().map(|one| (&one.id, &one.depends_on));
    let bundles = fleet.bundles.iter().map(|one| (&one.id, &one.depends_on));
    for (unit, needed) in services.chain(bundles) {
        for other in needed {
            edges.add(unit, other, EdgeKind::Needs, false);
        }
    }
}

fn routes(gateway: &Gateway, edges: &mut Edges) {
    for node in &gateway.on {
        let own = UnitId::new(node, UnitKind::Gateway, &gateway.name);
        for (site, route) in gateway.sites.iter().flat_map(|s| s.routes.iter().map(move |r| (s, r)))
        {
            for upstream in &route.upstreams {
                let labels = edges.add(&own, &upstream.unit, EdgeKind::Route, false);
                labels.insert(format!("{}{}", site.host, route.path));
            }
        }
    }
}

fn folders(sync: &Sync, edges: &mut Edges) {
    let mut tell = |from: &Name, to: &Name, both| {
        let labels = edges.add(&UnitId::sync(from), &UnitId::sync(to), EdgeKind::Sync, both);
        labels.insert(sync.name.to_string());
    };
    match &sync.direction {
        Direction::Between(nodes) => {
            for (first, then) in nodes.iter().flat_map(|a| nodes.iter().map(move |b| (a, b))) {
                if first < then {
                    tell(first, then, true);
                }
            }
        }
        Direction::OneWay { from, to } => to.iter().for_each(|node| tell(from, node, false)),
    }
}
