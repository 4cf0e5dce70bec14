//! What the nodes remember together: the last good release and the quarantine.

use crate::model::{Digest, Good, NodeReport, NodeState, Observed, Quarantined};

fn reports(observed: &Observed) -> impl Iterator<Item = &NodeReport> {
    observed.nodes.values().filter_map(|state| match state {
        NodeState::Reachable(report) => Some(report.as_ref()),
        NodeState::Unreachable(_) => None,
    })
}

/// The release of the last converged rollout, with the units of every node that recorded it.
///
/// The node with the highest fence decides; among equals the one that converged last. None when no
/// reachable node has seen a converged rollout.
pub fn last_good(observed: &Observed) -> Option<Good> {
    let goods = reports(observed)
        .filter_map(|report| Some((report.record.fence, report.record.last_good()?)));
    let (_, decided) = goods.max_by_key(|(fence, good)| (*fence, good.at))?;
    let mut merged = decided.clone();
    let same = reports(observed).filter_map(|report| report.record.last_good());
    for good in same.filter(|good| good.release == decided.release) {
        merged.units.extend(good.units.iter().map(|(id, digest)| (id.clone(), digest.clone())));
    }
    Some(merged)
}

/// The newest quarantine of a release by any node, unless the release converged somewhere after it.
///
/// Any node's word counts: one that slept while the others lifted a quarantine may hold a release back
/// once too often, but a bad release is never let through because a fresh node does not know it.
pub fn quarantined<'a>(observed: &'a Observed, release: &Digest) -> Option<&'a Quarantined> {
    let entries = reports(observed).flat_map(|report| &report.record.quarantine);
    let newest = entries.filter(|entry| entry.release == *release).max_by_key(|entry| entry.at)?;
    let goods = reports(observed).flat_map(|report| &report.record.good);
    let lifted = goods.filter(|good| good.release == *release).any(|good| good.at > newest.at);
    (!lifted).then_some(newest)
}
