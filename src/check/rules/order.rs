//! What units need of each other: no circles, and nothing needed that may sleep.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::codes;
use super::find::Find;
use crate::diagnostic::{Diagnostic, Place};
use crate::model::{Bundle, Fleet, Gateway, Instance, UnitId, UnitKind};

/// Who says that something is needed.
#[derive(Clone, Copy)]
enum Needs<'f> {
    Instance(&'f Instance),
    Bundle(&'f Bundle),
    Gateway(&'f Gateway),
}

/// What units need, by unit.
struct Order<'f> {
    graph: DiGraph<UnitId, ()>,
    needs: BTreeMap<UnitId, Needs<'f>>,
}

impl<'f> Order<'f> {
    fn new(fleet: &'f Fleet) -> Self {
        let mut order = Self { graph: DiGraph::new(), needs: BTreeMap::new() };
        let mut indices = BTreeMap::new();
        for instance in &fleet.instances {
            order.add(&mut indices, &instance.id, &instance.depends_on, Needs::Instance(instance));
        }
        for bundle in &fleet.bundles {
            order.add(&mut indices, &bundle.id, &bundle.depends_on, Needs::Bundle(bundle));
        }
        for gateway in fleet.gateways.values() {
            let routed: Vec<UnitId> = gateway.routed().into_iter().cloned().collect();
            for node in &gateway.on {
                let id = UnitId::new(node, UnitKind::Gateway, &gateway.name);
                order.add(&mut indices, &id, &routed, Needs::Gateway(gateway));
            }
        }
        order
    }

    fn add(
        &mut self,
        indices: &mut BTreeMap<UnitId, NodeIndex>,
        id: &UnitId,
        on: &[UnitId],
        needs: Needs<'f>,
    ) {
        self.needs.insert(id.clone(), needs);
        let graph = &mut self.graph;
        let mut index = |id: &UnitId| match indices.get(id) {
            Some(index) => *index,
            None => {
                let index = graph.add_node(id.clone());
                indices.insert(id.clone(), index);
                index
            }
        };
        let edges: Vec<_> = on.iter().map(|on| (index(id), index(on))).collect();
        for (from, to) in edges {
            self.graph.add_edge(from, to, ());
        }
    }

    /// A shortest circle through the least unit of a strongly connected part; none when there is none.
    fn circle(&self, part: &[NodeIndex]) -> Option<Vec<UnitId>> {
        let inside: BTreeSet<NodeIndex> = part.iter().copied().collect();
        let start = *part.iter().min_by_key(|index| &self.graph[**index])?;
        let mut before: BTreeMap<NodeIndex, NodeIndex> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(at) = queue.pop_front() {
            for next in self.graph.neighbors(at).filter(|next| inside.contains(next)) {
                if next == start {
                    return Some(self.back(start, at, &before));
                }
                before.entry(next).or_insert_with(|| {
                    queue.push_back(next);
                    at
                });
            }
        }
        None
    }

    fn back(
        &self,
        start: NodeIndex,
        last: NodeIndex,
        before: &BTreeMap<NodeIndex, NodeIndex>,
    ) -> Vec<UnitId> {
        let mut units = vec![self.graph[last].clone()];
        let mut at = last;
        while at != start
            && let Some(previous) = before.get(&at)
        {
            at = *previous;
            units.push(self.graph[at].clone());
        }
        units.reverse();
        units
    }

    fn place(&self, find: &Find<'_>, unit: &UnitId, on: &UnitId) -> Place {
        match self.needs.get(unit) {
            Some(Needs::Instance(instance)) => find.dependency(instance, on),
            Some(Needs::Bundle(bundle)) => find.bundle_dependency(bundle, on),
            Some(Needs::Gateway(gateway)) => find.gateway(gateway, ""),
            None => Place::default(),
        }
    }

    fn tell(&self, find: &Find<'_>, circle: &[UnitId]) -> Diagnostic {
        let mut names: Vec<String> = circle.iter().map(UnitId::local).collect();
        names.extend(names.first().cloned());
        let message = format!("units need each other in a circle: {}", names.join(" → "));
        let next = circle.iter().skip(1).chain(circle.first());
        let mut edges = circle.iter().zip(next).map(|(unit, on)| {
            let said = match on.kind {
                _ if unit.kind == UnitKind::Gateway => {
                    format!("`{}` routes to `{}`", unit.local(), on.local())
                }
                _ => format!("`{}` needs `{}`", unit.local(), on.local()),
            };
            (self.place(find, unit, on), said)
        });
        let (place, said) = edges.next().unwrap_or_default();
        let first = Diagnostic::error(codes::CYCLE, message, place).says(said);
        let all = edges.fold(first, |diagnostic, (place, said)| diagnostic.also(place, said));
        all.hint("none of them could ever start first: leave one dependency out")
    }
}

/// Units depend on each other in a circle.
pub(super) fn cycle(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let order = Order::new(fleet);
    let parts = tarjan_scc(&order.graph);
    let circles = parts.iter().filter_map(|part| order.circle(part));
    let mut told: BTreeMap<Vec<String>, Vec<UnitId>> = BTreeMap::new();
    for circle in circles {
        let key = circle.iter().map(UnitId::local).collect();
        told.entry(key).or_insert(circle);
    }
    told.values().map(|circle| order.tell(find, circle)).collect()
}

/// A unit that is needed depends on units that may sleep.
///
/// Gateways are left out: a route whose instances sleep answers with an error and keeps no other route back.
pub(super) fn depends_on_optional(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let order = Order::new(fleet);
    let mut found = Vec::new();
    for (unit, needs) in &order.needs {
        let on = match needs {
            Needs::Instance(instance) => &instance.depends_on,
            Needs::Bundle(bundle) => &bundle.depends_on,
            Needs::Gateway(_) => continue,
        };
        if optional(fleet, unit) {
            continue;
        }
        for (_, units) in by_thing(on) {
            let [first, ..] = units.as_slice() else { continue };
            if units.iter().all(|unit| optional(fleet, unit)) {
                found.push(tell_optional(&order, find, unit, first));
            }
        }
    }
    found
}

fn optional(fleet: &Fleet, unit: &UnitId) -> bool {
    fleet.nodes.get(&unit.node).is_some_and(|node| node.optional)
}

/// Units of one thing together, whatever nodes they are on.
fn by_thing(units: &[UnitId]) -> BTreeMap<String, Vec<&UnitId>> {
    let mut things: BTreeMap<String, Vec<&UnitId>> = BTreeMap::new();
    for unit in units {
        things.entry(unit.local()).or_default().push(unit);
    }
    things
}

fn tell_optional(order: &Order<'_>, find: &Find<'_>, unit: &UnitId, on: &UnitId) -> Diagnostic {
    let message = format!("`{}` needs `{}`, which may sleep", unit.local(), on.local());
    Diagnostic::error(codes::DEPENDS_ON_OPTIONAL, message, order.place(find, unit, on))
        .says("all its nodes are optional")
        .hint(format!(
            "place `{}` on a node that is always there, or `{}` on an optional one",
            on.local(),
            unit.local()
        ))
}
