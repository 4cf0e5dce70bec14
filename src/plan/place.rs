//! Who makes room for whom on a node: ports, container names, volumes, projects and destinations.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{AbsPath, Action, Name, PortClaim, Protocol, Runtime, Unit, Warning};

use super::changes::{Change, Found};
use super::guards::warning;

/// Something on a node that only one unit can hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holding<'a> {
    /// A host port; addresses are compared separately.
    Port(Protocol, u16),
    /// A container's name.
    Container(&'a str),
    /// A compose project.
    Project(&'a str),
    /// A named volume.
    Volume(&'a str),
    /// A managed file.
    File(&'a AbsPath),
}

impl std::fmt::Display for Holding<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Port(protocol, port) => write!(f, "port {port}/{}", protocol_word(*protocol)),
            Self::Container(name) => write!(f, "the container name {name}"),
            Self::Project(name) => write!(f, "the compose project {name}"),
            Self::Volume(name) => write!(f, "the volume {name}"),
            Self::File(path) => write!(f, "{path}"),
        }
    }
}

/// The protocol as people write it.
pub fn protocol_word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

/// What a unit holds.
pub fn holdings(unit: &Unit) -> impl Iterator<Item = Holding<'_>> {
    let claims = &unit.claims;
    let project = match &unit.runtime {
        Runtime::Compose { project, .. } => Some(Holding::Project(project)),
        _ => None,
    };
    let ports = claims.ports.iter().map(|port| Holding::Port(port.protocol, port.port));
    ports
        .chain(claims.names.iter().map(|name| Holding::Container(name)))
        .chain(claims.volumes.iter().map(|name| Holding::Volume(name)))
        .chain(unit.artifacts.iter().map(|file| Holding::File(&file.destination)))
        .chain(project)
}

fn ports_of(unit: &Unit, protocol: Protocol, port: u16) -> impl Iterator<Item = &PortClaim> {
    unit.claims.ports.iter().filter(move |c| c.protocol == protocol && c.port == port)
}

/// Whether one unit's holding stands in the way of another that needs the same one.
fn in_the_way(held: &Unit, needed: &Unit, what: &Holding) -> bool {
    match what {
        Holding::Port(protocol, port) => ports_of(held, *protocol, *port)
            .any(|a| ports_of(needed, *protocol, *port).any(|b| a.clashes(b))),
        _ => true,
    }
}

/// What stands in the way of what: `holder` must let go before `taker` is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// The change that lets go.
    pub holder: usize,
    /// The change that needs it.
    pub taker: usize,
}

/// Every pair of changes on one node of which one lets go of what the other newly needs.
///
/// Only nodes with a unit that lets go of something are looked at.
pub fn claims(changes: &[Change]) -> BTreeSet<Claim> {
    let mut holders: BTreeMap<(&Name, Holding), Vec<usize>> = BTreeMap::new();
    for (index, change) in changes.iter().enumerate() {
        let Some(old) = change.old else { continue };
        let kept: BTreeSet<Holding> = change.new.into_iter().flat_map(holdings).collect();
        for what in holdings(old).filter(|what| !kept.contains(what) || is_port(what)) {
            holders.entry((&change.unit.node, what)).or_default().push(index);
        }
    }
    let mut pairs = BTreeSet::new();
    for (taker, change) in changes.iter().enumerate() {
        let Some(new) = change.new.filter(|_| !holders.is_empty()) else { continue };
        for what in holdings(new) {
            let key = (&change.unit.node, what);
            for &holder in holders.get(&key).map_or(&[][..], Vec::as_slice) {
                let old = changes.get(holder).and_then(|change| change.old);
                let blocks = old.is_some_and(|old| in_the_way(old, new, &key.1));
                if holder != taker && blocks && lets_go(changes.get(holder), new, &key.1) {
                    pairs.insert(Claim { holder, taker });
                }
            }
        }
    }
    pairs
}

fn is_port(what: &Holding) -> bool {
    matches!(what, Holding::Port(..))
}

/// Whether the holder's new version no longer stands in the way (else the check would have refused both).
fn lets_go(holder: Option<&Change>, needed: &Unit, what: &Holding) -> bool {
    match holder.and_then(|change| change.new) {
        Some(new) if is_port(what) => !in_the_way(new, needed, what),
        _ => true,
    }
}

/// Makes every taker of a removed unit's place a replace step; a removed unit is stopped by its first taker.
///
/// With pruning off, what a wanted unit needs from one that is kept is a refusal.
pub fn assign(found: &mut Found, prune: bool) -> Vec<Warning> {
    found.claims = claims(&found.changes);
    if !prune {
        return held_by_kept(found);
    }
    if found.claims.is_empty() {
        return Vec::new();
    }
    let rank = super::order::dependency_rank(&found.changes);
    let mut firsts: BTreeMap<usize, usize> = BTreeMap::new();
    for claim in &found.claims {
        if !found.changes.get(claim.holder).is_some_and(Change::removed) {
            continue;
        }
        let first = firsts.entry(claim.holder).or_insert(claim.taker);
        if rank.get(claim.taker) < rank.get(*first) {
            *first = claim.taker;
        }
    }
    for (holder, taker) in firsts {
        if let Some(change) = found.changes.get_mut(holder) {
            change.taker = Some(taker);
        }
        if let Some(change) = found.changes.get_mut(taker) {
            change.action = Action::Replace;
            change.replaces.push(holder);
        }
    }
    Vec::new()
}

fn held_by_kept(found: &Found) -> Vec<Warning> {
    let mut held: BTreeMap<(&Name, Holding), (usize, &Unit)> = BTreeMap::new();
    for (index, (id, unit)) in found.kept.iter().enumerate() {
        let Some(unit) = unit else { continue };
        held.extend(holdings(unit).map(|what| ((&id.node, what), (index, *unit))));
    }
    let mut refusals = Vec::new();
    for change in &found.changes {
        let Some(new) = change.new.filter(|_| !held.is_empty()) else { continue };
        for what in holdings(new) {
            let key = (&change.unit.node, what);
            let Some((_, unit)) = held.get(&key).filter(|(_, u)| in_the_way(u, new, &key.1)) else {
                continue;
            };
            let message = format!(
                "{} needs {}, which {} holds: it is no longer wanted, but pruning is off",
                change.unit, key.1, unit.id
            );
            refusals.push(warning("held-by-kept", message, Some(change.unit)));
        }
    }
    refusals
}
