//! The imagined transport: nodes in memory that keep the same contract as real ones, with faults on demand.
//!
//! Simulations drive [`World`] directly, without async and with a clock of their own; [`FakeTransport`] puts the
//! verbs of one of its nodes behind the trait.

mod fault;
mod node;
mod report;
mod verbs;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{
    Abandon, ChangeUnit, Confirm, Dial, Fence, NodeProbe, Prepare, Transport, TransportError,
    Unlock,
};
use crate::model::{
    Attempt, Check, Digest, Failure, FailureKind, Health, Holder, Name, NodeReport, UnitId,
};

pub use fault::{Badness, Fault, FaultKind, Verb};
pub use node::{FakeNode, FakeUnit, Marker, OnDisk};
pub use world::{ANOTHER, CALL, DEADLINE, Order, World};

/// The verbs of one node of an imagined world. A call that hangs fails at once; only the world's clock moves.
#[derive(Clone, Debug)]
pub struct FakeTransport {
    world: Arc<Mutex<World>>,
    node: Name,
}

impl FakeTransport {
    /// The way to `node` in a world that others share.
    pub fn new(world: Arc<Mutex<World>>, node: Name) -> Self {
        Self { world, node }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // A poisoned world is still a world: only tests break it off.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The world, if the node can be reached in it.
    fn reach(&self) -> Result<MutexGuard<'_, World>, TransportError> {
        let world = self.world();
        if world.reachable(&self.node) {
            Ok(world)
        } else {
            Err(TransportError::Unreachable(format!("{} does not answer", self.node)))
        }
    }
}

fn order(request: &Prepare) -> Order {
    let units = request.units.iter().map(|unit| {
        let to = unit.to.as_ref().map(crate::model::Unit::digest);
        (unit.id.clone(), to, unit.from.clone())
    });
    let bring = request.units.iter().filter_map(|unit| Some((unit.to.clone()?, unit.adopt)));
    Order {
        fence: request.fence.clone(),
        holder: Holder {
            who: request.holder.clone(),
            rollout: request.rollout.clone(),
            since: request.since,
            nonce: request.fence.nonce.clone(),
        },
        dead_man: request.dead_man,
        takeover: request.takeover,
        units: units.collect(),
        bring: bring.collect(),
        opened: request.opened.clone(),
    }
}

/// What an imagined shell says to a check's command: it knows `false` and `exit N`, all others are good.
fn refusal(check: &Check) -> Option<String> {
    let Check::Exec { command, .. } = check else { return None };
    let status = match command.trim() {
        "false" => "1",
        other => other.strip_prefix("exit ")?.trim(),
    };
    (status != "0").then(|| format!("exit status {status}"))
}

/// A probe that used its budget up.
fn missed(health: &Health, detail: &str) -> TransportError {
    let attempt = |number: u32| Attempt {
        after: health.interval.saturating_mul(number),
        passed: false,
        detail: detail.to_owned(),
    };
    TransportError::Failed(Box::new(Failure {
        kind: FailureKind::Content,
        unit: None,
        message: detail.to_owned(),
        log: Vec::new(),
        attempts: (0..=health.retries).map(attempt).collect(),
    }))
}

#[async_trait]
impl Transport for FakeTransport {
    async fn observe(&self, _fleet: &Name) -> Result<NodeReport, TransportError> {
        self.world().observe(&self.node)
    }

    async fn prepare(&self, request: &Prepare) -> Result<(), TransportError> {
        let order = order(request);
        self.world().prepare(&self.node, &order)
    }

    async fn change(&self, request: &ChangeUnit) -> Result<(), TransportError> {
        self.world().change(request)
    }

    async fn stop(&self, request: &ChangeUnit) -> Result<(), TransportError> {
        self.world().stop(request)
    }

    async fn put_back(&self, request: &ChangeUnit) -> Result<(), TransportError> {
        self.world().put_back(request)
    }

    async fn bring_up(
        &self,
        _fleet: &Name,
        id: &UnitId,
        digest: &Digest,
    ) -> Result<(), TransportError> {
        self.reach()?.brought_up(id, digest)
    }

    async fn probe(&self, request: &NodeProbe) -> Result<Vec<Attempt>, TransportError> {
        let seen = self.world().probe(&request.id, None)?;
        let mut refusals = request.health.checks.iter().filter_map(refusal);
        match refusals.next() {
            Some(detail) => Err(missed(&request.health, &detail)),
            None => Ok(seen),
        }
    }

    async fn hold(&self, fence: &Fence, _anew: bool) -> Result<(), TransportError> {
        self.world().hold(&self.node, fence)
    }

    async fn confirm(&self, request: &Confirm) -> Result<(), TransportError> {
        self.world().confirm(&self.node, request)
    }

    async fn abandon(&self, request: &Abandon) -> Result<(), TransportError> {
        self.world().abandon(&self.node, request)
    }

    async fn unlock(&self, request: &Unlock) -> Result<(), TransportError> {
        self.world().unlock(&self.node, &request.nonce)
    }

    async fn unquarantine(
        &self,
        _fleet: &Name,
        release: Option<&Digest>,
    ) -> Result<(), TransportError> {
        let mut world = self.reach()?;
        let record = &mut world.node_mut(&self.node).record;
        record.quarantine.retain(|kept| release.is_some_and(|lifted| kept.release != *lifted));
        Ok(())
    }

    async fn read(
        &self,
        _fleet: &Name,
        blobs: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Vec<u8>>, TransportError> {
        let mut world = self.reach()?;
        let held = &world.node_mut(&self.node).blobs;
        let plain = blobs.iter().filter(|name| !name.starts_with('k'));
        Ok(plain.filter_map(|name| Some((name.clone(), held.get(name)?.clone()))).collect())
    }

    async fn read_files(
        &self,
        _fleet: &Name,
        id: &UnitId,
    ) -> Result<BTreeMap<String, Vec<u8>>, TransportError> {
        let mut world = self.reach()?;
        let node = world.node_mut(&self.node);
        let current = node.units.get(id).and_then(|unit| unit.current.as_ref());
        let manifest = current.and_then(|digest| node.manifests.get(digest));
        let artifacts = manifest.map(|unit| unit.artifacts.as_slice()).unwrap_or_default();
        let shown = artifacts.iter().filter(|artifact| !artifact.sensitive);
        let present = shown.filter_map(|artifact| {
            let file = node.disk.get(&artifact.destination)?;
            Some((artifact.destination.to_string(), file.content.clone()))
        });
        Ok(present.collect())
    }

    async fn logs(
        &self,
        _fleet: &Name,
        id: &UnitId,
        lines: u32,
    ) -> Result<Vec<String>, TransportError> {
        drop(self.reach()?);
        Ok(vec![format!("{id} says why")].into_iter().take(lines as usize).collect())
    }

    async fn dial(&self, target: SocketAddr) -> Result<Dial, TransportError> {
        drop(self.reach()?);
        Ok(Dial::Direct(target))
    }
}
