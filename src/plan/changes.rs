//! Which units change: what each node runs now against what the release wants.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Action, Digest, NodeReport, NodeState, Unit, UnitId, UnitReport};

use super::Inputs;
use super::place::Claim;

/// A unit that changes.
#[derive(Clone, Debug)]
pub struct Change<'a> {
    /// Which.
    pub unit: &'a UnitId,
    /// What happens to it.
    pub action: Action,
    /// What it runs now.
    pub from: Option<&'a Digest>,
    /// What it becomes.
    pub to: Option<Digest>,
    /// What it is now, as far as its node's manifest can be read.
    pub old: Option<&'a Unit>,
    /// What it will be.
    pub new: Option<&'a Unit>,
    /// A rollout that died midway and left this unit half changed.
    pub leftover: Option<&'a str>,
    /// What its node said.
    pub report: Option<&'a NodeReport>,
    /// For a removed unit: the change (by index) that takes its place and stops it.
    pub taker: Option<usize>,
    /// For a taker: the removed units (by index) that it stops first.
    pub replaces: Vec<usize>,
}

impl Change<'_> {
    /// Whether it is stopped for good by a step of its own or within a replace step.
    pub fn removed(&self) -> bool {
        self.action == Action::Remove
    }
}

/// What the comparison found.
#[derive(Debug, Default)]
pub struct Found<'a> {
    /// Changes sorted by unit.
    pub changes: Vec<Change<'a>>,
    /// Units that a node runs and nobody wants, kept because pruning is off.
    pub kept: Vec<(&'a UnitId, Option<&'a Unit>)>,
    /// What every known unit runs.
    pub known: BTreeMap<UnitId, Digest>,
    /// Wanted units that stay as they are.
    pub unchanged: usize,
    /// What must be let go of before it can be taken.
    pub claims: BTreeSet<Claim>,
}

/// Compares every wanted unit on reachable nodes, and every unit that such a node knows.
pub fn find<'a>(inputs: &Inputs<'a>, digests: &BTreeMap<&'a UnitId, Digest>) -> Found<'a> {
    let mut found = Found::default();
    for (id, unit) in &inputs.release.units {
        let Some(report) = inputs.observed.report(&id.node) else { continue };
        let Some(digest) = digests.get(id) else { continue };
        match wanted(id, unit, digest, report) {
            Some(change) => found.changes.push(change),
            None => found.unchanged += 1,
        }
    }
    for state in inputs.observed.nodes.values() {
        let NodeState::Reachable(report) = state else { continue };
        for (id, unit) in &report.units {
            if let Some(current) = &unit.current {
                found.known.insert(id.clone(), current.clone());
            }
            if inputs.release.units.contains_key(id) {
                continue;
            }
            let Some(change) = unwanted(id, unit, report) else { continue };
            if inputs.policy.prune.enabled {
                found.changes.push(change);
            } else {
                found.kept.push((id, change.old));
            }
        }
    }
    found.changes.sort_by(|a, b| a.unit.cmp(b.unit));
    found
}

/// The change that a wanted unit needs; none when its node runs exactly that.
fn wanted<'a>(
    id: &'a UnitId,
    unit: &'a Unit,
    digest: &Digest,
    report: &'a NodeReport,
) -> Option<Change<'a>> {
    let known = report.units.get(id);
    let from = known.and_then(|unit| unit.current.as_ref());
    let leftover = known.and_then(|unit| unit.pending.as_ref()).map(|p| p.rollout.as_str());
    let action = match from {
        None => Action::Create,
        Some(current) if current != digest => Action::Update,
        Some(_) if leftover.is_some() => Action::Repair,
        Some(_) => return None,
    };
    Some(Change {
        unit: id,
        action,
        from,
        to: Some(digest.clone()),
        old: from.and_then(|digest| report.manifests.get(digest)),
        new: Some(unit),
        leftover,
        report: Some(report),
        taker: None,
        replaces: Vec::new(),
    })
}

/// The removal of a unit that its node runs, or has half of; none when the node only remembers it.
fn unwanted<'a>(
    id: &'a UnitId,
    unit: &'a UnitReport,
    report: &'a NodeReport,
) -> Option<Change<'a>> {
    let made = unit.pending.as_ref().and_then(|pending| pending.to.as_ref());
    let from = unit.current.as_ref().or(made)?;
    Some(Change {
        unit: id,
        action: Action::Remove,
        from: Some(from),
        to: None,
        old: report.manifests.get(from),
        new: None,
        leftover: unit.pending.as_ref().map(|pending| pending.rollout.as_str()),
        report: Some(report),
        taker: None,
        replaces: Vec::new(),
    })
}

/// The index of a unit's change.
pub fn position(changes: &[Change], unit: &UnitId) -> Option<usize> {
    changes.binary_search_by(|change| change.unit.cmp(unit)).ok()
}
