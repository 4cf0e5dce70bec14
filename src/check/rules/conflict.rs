//! Two units of one machine that want the same thing, told once for all machines where they do.

use std::collections::{BTreeMap, BTreeSet};

use super::find::{Find, Origin};
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::model::{Fleet, Name, Reach, UnitId};

/// A machine: all `local` nodes are directories of the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Machine<'f> {
    Local,
    Node(&'f Name),
}

/// The machine behind a node.
pub(super) fn machine<'f>(fleet: &'f Fleet, node: &'f Name) -> Machine<'f> {
    match fleet.nodes.get(node).map(|node| &node.reach) {
        Some(Reach::Local(_)) => Machine::Local,
        _ => Machine::Node(node),
    }
}

/// Something that a unit takes on its machine.
#[derive(Clone, Debug)]
pub(super) struct Taken<'f> {
    pub(super) unit: UnitId,
    pub(super) origin: Origin<'f>,
}

/// Two that take the same thing; the second is the one that is told.
pub(super) struct Conflict<'f> {
    pub(super) first: Taken<'f>,
    pub(super) second: Taken<'f>,
    /// What both want, as in `the port 80/tcp`.
    pub(super) what: String,
}

/// How conflicts of one kind are told.
pub(super) struct Telling {
    pub(super) code: Code,
    pub(super) hint: &'static str,
}

/// One diagnostic for each pair of places, with all the nodes where they conflict.
pub(super) fn tell(
    conflicts: Vec<Conflict<'_>>,
    telling: &Telling,
    find: &Find<'_>,
) -> Vec<Diagnostic> {
    let mut pairs: BTreeMap<(Place, Place), (Conflict<'_>, BTreeSet<Name>)> = BTreeMap::new();
    for conflict in conflicts {
        let key = (find.place(&conflict.second.origin), find.place(&conflict.first.origin));
        let nodes = [conflict.first.unit.node.clone(), conflict.second.unit.node.clone()];
        let (_, known) = pairs.entry(key).or_insert_with(|| (conflict, BTreeSet::new()));
        known.extend(nodes);
    }
    let told = pairs.into_iter().map(|((second, first), (conflict, nodes))| {
        let (one, two) = (conflict.first.unit.local(), conflict.second.unit.local());
        let on = node_list(&nodes);
        let who =
            if one == two { format!("two of `{one}`") } else { format!("`{one}` and `{two}`") };
        let message = format!("{who} both have {} on {on}", conflict.what);
        let diagnostic = Diagnostic::error(telling.code, message, second);
        let diagnostic = diagnostic.says(format!("`{two}` takes it here"));
        diagnostic.also(first, format!("`{one}` has it here")).hint(telling.hint)
    });
    told.collect()
}

/// `vps1`, `vps1 and vps2`, `vps1, vps2 and 7 more nodes`.
pub(super) fn node_list(nodes: &BTreeSet<Name>) -> String {
    let names: Vec<&str> = nodes.iter().map(Name::as_str).collect();
    match names.as_slice() {
        [] => "no node".to_owned(),
        [one] => format!("`{one}`"),
        [one, two] => format!("`{one}` and `{two}`"),
        [one, two, three] => format!("`{one}`, `{two}` and `{three}`"),
        [one, two, rest @ ..] => format!("`{one}`, `{two}` and {} more nodes", rest.len()),
    }
}

/// For things that one unit may have alone: every later one conflicts with the first that has the same key.
pub(super) fn repeated<'f, K: Ord>(
    taken: impl Iterator<Item = (K, String, Taken<'f>)>,
) -> Vec<Conflict<'f>> {
    let mut first: BTreeMap<K, Taken<'f>> = BTreeMap::new();
    let mut conflicts = Vec::new();
    for (key, what, second) in taken {
        match first.get(&key) {
            Some(first) if first.unit != second.unit => {
                conflicts.push(Conflict { first: first.clone(), second, what });
            }
            Some(_) => {}
            None => {
                first.insert(key, second);
            }
        }
    }
    conflicts
}
