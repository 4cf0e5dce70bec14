//! What each verb does on an imagined node once the call has got through.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::{
    Attempt, Digest, Failure, FailureKind, Name, Quarantined, Timestamp, Unit, UnitId,
};

use super::super::{Abandon, ChangeUnit, Confirm, Fence, Opened, TransportError};
use super::fault::Badness;
use super::node::{FakeNode, Marker, OnDisk};
use super::world::{Order, World};

impl World {
    pub(super) fn prepared(&mut self, name: &Name, order: &Order) -> Result<(), TransportError> {
        self.take_fence(name, order)?;
        let bad = self.bad.clone();
        let node = self.node_mut(name);
        for (unit, adopt) in &order.bring {
            foreign(node, unit, *adopt)?;
            bring(node, unit, &order.opened);
        }
        for (id, to, from) in &order.units {
            let unit = node.units.get(id);
            let runs = unit.and_then(|unit| unit.current.as_ref());
            if runs != from.as_ref() {
                let message = format!("{id} changed since it was looked at");
                return Err(unit_failed(FailureKind::Refused, id, message));
            }
            if to.as_ref().and_then(|digest| bad.get(digest)) == Some(&Badness::Validation) {
                return Err(unit_failed(FailureKind::Content, id, "it is not valid".to_owned()));
            }
        }
        Ok(())
    }

    /// Higher than any seen, or this rollout's own again; one that is held only when its holder is pushed aside.
    fn take_fence(&mut self, name: &Name, order: &Order) -> Result<(), TransportError> {
        let now = self.now;
        let node = self.node_mut(name);
        let own = node.nonce == order.fence.nonce && node.record.fence == order.fence.number;
        if let Some(holder) = node.record.holder.clone().filter(|_| !own && !order.takeover) {
            return Err(failed(FailureKind::Busy, format!("{} holds {name}", holder.who)));
        }
        let again = own && node.restored.is_some();
        if own && !again && node.record.holder.is_none() {
            let message = format!("the rollout {} is over on {name}", order.holder.rollout);
            return Err(failed(FailureKind::Refused, message));
        }
        if !own && order.fence.number <= node.record.fence {
            let message = format!("{name} has seen fence {}", node.record.fence);
            return Err(failed(FailureKind::Refused, message));
        }
        if !own || again {
            node.restore_itself(now);
            node.restored = None;
            let (rollout, dead_man) = (order.holder.rollout.clone(), order.dead_man);
            node.marker = Some(Marker { rollout, dead_man, lapses: None, changes: Vec::new() });
        }
        node.record.fence = order.fence.number;
        node.nonce.clone_from(&order.fence.nonce);
        node.record.holder = Some(order.holder.clone());
        Ok(())
    }

    pub(super) fn fenced(&mut self, name: &Name, fence: &Fence) -> Result<(), TransportError> {
        let node = self.node_mut(name);
        if node.record.fence == fence.number && node.nonce == fence.nonce {
            return Ok(());
        }
        Err(failed(FailureKind::Busy, format!("{name} has seen fence {}", node.record.fence)))
    }

    /// Whether the rollout is still open on the node, with everything that it changed there.
    pub(super) fn held(&mut self, name: &Name, fence: &Fence) -> Result<(), TransportError> {
        self.fenced(name, fence)?;
        let node = self.node_mut(name);
        if node.restored.is_some() {
            let message =
                format!("{name} restored itself: it heard nothing for too long, or booted");
            return Err(failed(FailureKind::Restored, message));
        }
        match node.marker {
            Some(_) => Ok(()),
            None => Err(failed(FailureKind::Busy, format!("this rollout is over on {name}"))),
        }
    }

    /// Checks that the rollout is still open on the node and notes the change.
    pub(super) fn begin(&mut self, request: &ChangeUnit) -> Result<(), TransportError> {
        let name = &request.id.node;
        self.held(name, &request.fence)?;
        let node = self.node_mut(name);
        let change = (&request.id, request.from.as_ref(), request.replaces.as_slice());
        node.begin(change, request.to.as_ref());
        Ok(())
    }

    pub(super) fn half_changed(&mut self, request: &ChangeUnit) {
        if self.begin(request).is_ok() {
            let node = self.node_mut(&request.id.node);
            node.install(&request.id, request.to.as_ref());
            if let Some(unit) = node.units.get_mut(&request.id) {
                unit.runs = None;
            }
        }
    }

    pub(super) fn changed(&mut self, request: &ChangeUnit) -> Result<(), TransportError> {
        self.begin(request)?;
        let (now, id) = (self.now, &request.id);
        let badness = request.to.as_ref().and_then(|digest| self.bad.get(digest)).copied();
        let node = self.node_mut(&id.node);
        for replaced in &request.replaces {
            if let Some(unit) = node.units.get_mut(&replaced.unit) {
                unit.runs = None;
            }
        }
        node.install(id, request.to.as_ref());
        if matches!(badness, Some(Badness::Switched | Badness::Activation)) {
            node.install(id, request.from.as_ref());
            node.activate(id, request.from.as_ref(), now);
            return Err(unit_failed(FailureKind::Content, id, "it can't be activated".to_owned()));
        }
        node.activate(id, request.to.as_ref(), now);
        let unit = node.units.entry(id.clone()).or_default();
        unit.previous.clone_from(&request.from);
        unit.current.clone_from(&request.to);
        Ok(())
    }

    pub(super) fn stopped(&mut self, request: &ChangeUnit) -> Result<(), TransportError> {
        self.begin(request)?;
        let node = self.node_mut(&request.id.node);
        if let Some(unit) = node.units.get_mut(&request.id) {
            unit.runs = None;
        }
        Ok(())
    }

    pub(super) fn went_back(&mut self, request: &ChangeUnit) -> Result<(), TransportError> {
        self.fenced(&request.id.node, &request.fence)?;
        let now = self.now;
        let node = self.node_mut(&request.id.node);
        if node.restored.is_some() {
            return Ok(());
        }
        node.return_to(&request.id, request.from.as_ref(), now);
        node.start_again(&request.replaces, now);
        if let Some(marker) = &mut node.marker {
            marker.changes.retain(|(unit, ..)| *unit != request.id);
        }
        Ok(())
    }

    /// One that was put back already, or never changed, has no files to put back.
    pub(super) fn half_put_back(&mut self, request: &ChangeUnit) {
        let held = self.held(&request.id.node, &request.fence).is_ok();
        let node = self.node_mut(&request.id.node);
        let changes = node.marker.iter().flat_map(|marker| &marker.changes);
        let changed = changes.map(|(unit, ..)| unit).any(|unit| *unit == request.id);
        if held && changed {
            node.install(&request.id, request.from.as_ref());
        }
    }

    pub(super) fn brought_up(
        &mut self,
        id: &UnitId,
        digest: &Digest,
    ) -> Result<(), TransportError> {
        let now = self.now;
        let node = self.node_mut(&id.node);
        if let Some(holder) = &node.record.holder {
            return Err(failed(FailureKind::Busy, format!("{} holds {}", holder.who, id.node)));
        }
        if node.units.get(id).and_then(|unit| unit.current.as_ref()) != Some(digest) {
            let message = format!("{id} changed since it was looked at");
            return Err(unit_failed(FailureKind::Refused, id, message));
        }
        node.activate(id, Some(digest), now);
        Ok(())
    }

    pub(super) fn probed(
        &mut self,
        id: &UnitId,
        expected: Option<&Digest>,
    ) -> Result<Vec<Attempt>, TransportError> {
        let current = self.unit(id).and_then(|unit| unit.current.as_ref());
        if expected.is_some() && current != expected {
            let message = format!("{id} is not what was to be probed: its node restored itself");
            return Err(unit_failed(FailureKind::Restored, id, message));
        }
        let attempt = |passed, detail: &str| Attempt {
            after: Duration::from_secs(1),
            passed,
            detail: detail.to_owned(),
        };
        let runs = self.unit(id).filter(|unit| !unit.dead).and_then(|unit| unit.runs.clone());
        let needed = |digest: &Digest| match self.needs.get(digest) {
            Some((unit, version)) => self.unit(unit).and_then(|u| u.runs.as_ref()) == Some(version),
            None => true,
        };
        let bad = |digest: &Digest| self.bad.get(digest) == Some(&Badness::Probe);
        if runs.is_some_and(|digest| !bad(&digest) && needed(&digest)) {
            return Ok(vec![attempt(true, "answers")]);
        }
        let mut failure = plain(FailureKind::Content, "it does not answer".to_owned());
        failure.unit = Some(id.clone());
        failure.attempts = vec![attempt(false, "connection refused")];
        failure.log = vec![format!("{id} says why")];
        Err(TransportError::Failed(Box::new(failure)))
    }

    pub(super) fn confirmed(
        &mut self,
        name: &Name,
        request: &Confirm,
    ) -> Result<(), TransportError> {
        self.fenced(name, &request.fence)?;
        let now = self.now;
        let node = self.node_mut(name);
        if node.restored.as_ref() == Some(&request.fence.nonce) {
            let message = format!("{name} restored itself before it heard the decision");
            return Err(failed(FailureKind::Restored, message));
        }
        node.converge(&request.good, request.keep, &request.remove);
        if let Some((release, reason)) = &request.quarantine {
            quarantine(node, release, None, reason, now);
        }
        Ok(())
    }

    pub(super) fn abandoned(
        &mut self,
        name: &Name,
        request: &Abandon,
    ) -> Result<(), TransportError> {
        let node = self.node_mut(name);
        if node.record.holder.is_none() && request.fence.number > node.record.fence {
            // Its prepare has not come yet, and finds its rollout over.
            node.record.fence = request.fence.number;
            node.nonce.clone_from(&request.fence.nonce);
        }
        self.fenced(name, &request.fence)?;
        let node = self.node_mut(name);
        node.marker = None;
        node.restored = None;
        for unit in node.units.values_mut() {
            unit.pending = None;
        }
        let word = request.verdict.word().to_owned();
        node.record.verdict = Some((word, request.release.clone(), request.at));
        if let Some(reason) = &request.quarantine {
            quarantine(node, &request.release, request.commit.clone(), reason, request.at);
        }
        node.record.holder = None;
        Ok(())
    }
}

/// Files in the way that no unit of ours put there.
fn foreign(node: &FakeNode, unit: &Unit, adopt: bool) -> Result<(), TransportError> {
    let ours = node.units.values().filter_map(|u| node.manifests.get(u.files.as_ref()?));
    let managed: BTreeSet<_> =
        ours.flat_map(|unit| unit.artifacts.iter().map(|a| &a.destination)).collect();
    let clash = unit.artifacts.iter().find(|artifact| {
        let there = node.disk.get(&artifact.destination);
        let other = |file: &OnDisk| crate::model::sha256_hex(&file.content) != artifact.blob();
        !adopt && !managed.contains(&artifact.destination) && there.is_some_and(other)
    });
    let Some(clash) = clash else { return Ok(()) };
    let message = format!("{} is there already and is not ours", clash.destination);
    Err(unit_failed(FailureKind::Refused, &unit.id, message))
}

pub(super) fn bring(node: &mut FakeNode, unit: &Unit, opened: &Opened) {
    for (blob, content) in unit.contents() {
        let bytes = match content {
            crate::model::Content::Bytes(bytes) => Some(bytes),
            crate::model::Content::Sealed(_) => opened.get(&blob),
            crate::model::Content::OnNode(_) => None,
        };
        node.blobs.extend(bytes.map(|bytes| (blob, bytes.clone())));
    }
    node.manifests.insert(unit.digest(), unit.clone());
}

fn quarantine(
    node: &mut FakeNode,
    release: &Digest,
    commit: Option<String>,
    reason: &str,
    at: Timestamp,
) {
    node.record.quarantine.retain(|kept| kept.release != *release);
    let (release, reason) = (release.clone(), reason.to_owned());
    node.record.quarantine.push(Quarantined { release, commit, at, reason });
}

fn plain(kind: FailureKind, message: String) -> Failure {
    Failure { kind, unit: None, message, log: Vec::new(), attempts: Vec::new() }
}

pub(super) fn failed(kind: FailureKind, message: String) -> TransportError {
    TransportError::Failed(Box::new(plain(kind, message)))
}

fn unit_failed(kind: FailureKind, id: &UnitId, message: String) -> TransportError {
    let failure = Failure { unit: Some(id.clone()), ..plain(kind, message) };
    TransportError::Failed(Box::new(failure))
}
