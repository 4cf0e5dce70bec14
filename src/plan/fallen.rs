//! Which units should run and don't, with everything else about them as it was rolled out: they only need a start.

use std::collections::BTreeSet;

use crate::model::{Digest, NodeReport, NodeState, Observed, UnitId, UnitReport};

use super::drift::{DriftKind, file_drift, running_drift};

/// A unit that should run and doesn't.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallen {
    /// Which.
    pub unit: UnitId,
    /// The version that its node has of it.
    pub digest: Digest,
    /// What it needs, wherever that is.
    pub needs: BTreeSet<UnitId>,
}

/// Every unit on reachable nodes that has fallen, sorted.
///
/// What each node itself has counts, not what a release wants. Units with files that were edited by hand are left
/// to people, and so is everything that a rollout holds or left half changed. A container that its engine keeps
/// restarting, or that is not well, is not down.
pub fn fallen(observed: &Observed) -> Vec<Fallen> {
    let mut found = Vec::new();
    for state in observed.nodes.values() {
        let NodeState::Reachable(report) = state else { continue };
        if report.record.holder.is_none() {
            let units = report.units.iter();
            found.extend(units.filter_map(|(id, unit)| one(id, unit, report)));
        }
    }
    found.sort_by(|a, b| a.unit.cmp(&b.unit));
    found
}

fn one(id: &UnitId, unit: &UnitReport, report: &NodeReport) -> Option<Fallen> {
    let digest = unit.current.as_ref().filter(|_| unit.pending.is_none())?;
    let manifest = report.manifests.get(digest)?;
    let edited = unit.files.iter().any(|file| file_drift(file, manifest).is_some());
    if edited || !running_drift(unit, manifest).iter().any(is_down) {
        return None;
    }
    Some(Fallen { unit: id.clone(), digest: digest.clone(), needs: manifest.depends_on.clone() })
}

fn is_down(kind: &DriftKind) -> bool {
    match kind {
        DriftKind::ContainerMissing { .. } | DriftKind::ProcessDead | DriftKind::ProcessStopped => {
            true
        }
        DriftKind::ContainerStopped { status, .. } => status == "exited" || status == "created",
        _ => false,
    }
}
