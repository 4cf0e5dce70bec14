//! The imagined world: nodes, the clock, and what goes wrong; its verbs keep the contract that real nodes keep.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{
    Attempt, Digest, FailureKind, Holder, Name, NodeReport, Timestamp, Unit, UnitId,
};

use super::super::{Abandon, ChangeUnit, Confirm, Fence, Opened, TransportError};
use super::fault::{Badness, Fault, FaultKind, Verb};
use super::node::{FakeNode, FakeUnit, Marker};
use super::verbs::{bring, failed};

/// How long the caller waits for a call that hangs.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// How long any other call takes.
pub const CALL: Duration = Duration::from_millis(50);

/// The nonce of the other controller that takes a node over.
pub const ANOTHER: &str = "another";

/// What `prepare` asks of a node, with versions by their digests.
#[derive(Clone, Debug)]
pub struct Order {
    /// The fence to take.
    pub fence: Fence,
    /// Who takes it, and for which rollout since when.
    pub holder: Holder,
    /// The silence that the node bears.
    pub dead_man: Option<Duration>,
    /// Whether another holder is pushed aside.
    pub takeover: bool,
    /// Units that change: what they become, and what they run now.
    pub units: Vec<(UnitId, Option<Digest>, Option<Digest>)>,
    /// Manifests with their contents, as far as they are brought; and whether each takes foreign files over.
    pub bring: Vec<(Unit, bool)>,
    /// Contents with secrets that were opened for it.
    pub opened: Opened,
}

/// The imagined world.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub(super) now: Timestamp,
    pub(super) nodes: BTreeMap<Name, FakeNode>,
    gone: BTreeMap<Name, Option<Timestamp>>,
    closed: BTreeSet<Name>,
    pub(super) bad: BTreeMap<Digest, Badness>,
    pub(super) needs: BTreeMap<Digest, (UnitId, Digest)>,
    faults: Vec<Fault>,
    calls: BTreeMap<(Name, Verb), u32>,
}

impl World {
    /// A world of nodes that run nothing, at a time.
    pub fn new<'a>(nodes: impl IntoIterator<Item = &'a Name>, now: Timestamp) -> Self {
        let nodes = nodes.into_iter().map(|name| (name.clone(), FakeNode::default())).collect();
        Self { now, nodes, ..Self::default() }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// A node, as an onlooker sees it.
    pub fn node(&self, name: &Name) -> Option<&FakeNode> {
        self.nodes.get(name)
    }

    /// A node, to arrange something on it by hand.
    pub fn node_mut(&mut self, name: &Name) -> &mut FakeNode {
        self.nodes.entry(name.clone()).or_default()
    }

    /// A unit, as an onlooker sees it.
    pub fn unit(&self, id: &UnitId) -> Option<&FakeUnit> {
        self.nodes.get(&id.node)?.units.get(id)
    }

    /// How often a verb was called on a node, faults included.
    pub fn calls(&self, node: &Name, verb: Verb) -> u32 {
        self.calls.get(&(node.clone(), verb)).copied().unwrap_or(0)
    }

    /// Lets a unit run a version, as if an earlier rollout had brought it.
    pub fn seed(&mut self, id: &UnitId, digest: &Digest) {
        let now = self.now;
        self.node_mut(&id.node).return_to(id, Some(digest), now);
    }

    /// The same with the manifest and its contents.
    pub fn seed_unit(&mut self, unit: &Unit) {
        bring(self.node_mut(&unit.id.node), unit, &Opened::default());
        self.seed(&unit.id, &unit.digest());
    }

    /// Makes a version bad.
    pub fn spoil(&mut self, digest: &Digest, badness: Badness) {
        self.bad.insert(digest.clone(), badness);
    }

    /// Makes a version answer probes only while `unit` runs `version`.
    pub fn need(&mut self, digest: &Digest, unit: &UnitId, version: &Digest) {
        self.needs.insert(digest.clone(), (unit.clone(), version.clone()));
    }

    /// Lets something go wrong.
    pub fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Makes a node unreachable until then, or for good.
    pub fn lose(&mut self, node: &Name, until: Option<Timestamp>) {
        self.gone.insert(node.clone(), until);
    }

    /// Makes a lost node reachable again.
    pub fn find(&mut self, node: &Name) {
        self.gone.remove(node);
    }

    /// Whether a node can be reached now.
    pub fn reachable(&self, node: &Name) -> bool {
        match self.gone.get(node) {
            None => true,
            Some(until) => until.is_some_and(|until| until <= self.now),
        }
    }

    /// Lets time pass: programs die, leases lapse.
    pub fn advance(&mut self, to: Timestamp) {
        self.now = self.now.max(to);
        let now = self.now;
        for node in self.nodes.values_mut() {
            let lapsed = |marker: &Marker| marker.lapses.is_some_and(|at| at <= now);
            if node.marker.as_ref().is_some_and(lapsed) {
                node.restore_itself(now);
            }
            for unit in node.units.values_mut() {
                if let Some(Badness::Dies(after)) = unit.runs.as_ref().and_then(|d| self.bad.get(d))
                {
                    unit.dead |= unit.since.after(*after) <= now;
                }
            }
        }
    }

    /// A node boots anew: unconfirmed changes are taken back, programs start again.
    pub fn reboot(&mut self, name: &Name) {
        let now = self.now;
        let node = self.node_mut(name);
        node.boots += 1;
        node.restore_itself(now);
        for unit in node.units.values_mut() {
            unit.since = now;
            unit.dead = false;
        }
    }

    /// Another controller takes the node over, as an operator told it to: what was changed goes back first.
    pub fn overtake(&mut self, name: &Name) {
        let fence = Fence {
            fleet: name.clone(),
            number: self.node_mut(name).record.fence + 1,
            nonce: ANOTHER.to_owned(),
        };
        let (who, rollout) = ("someone else".to_owned(), ANOTHER.to_owned());
        let holder = Holder { who, rollout, since: self.now, nonce: fence.nonce.clone() };
        let (units, bring) = (Vec::new(), Vec::new());
        let opened = Opened::default();
        let order = Order { fence, holder, dead_man: None, takeover: true, units, bring, opened };
        // Nothing about an order without units can be refused.
        drop(self.prepared(name, &order));
    }

    /// A word between the calls, so that a node does not lapse into silence.
    pub fn renew(&mut self, name: &Name, fence: &Fence) {
        let (now, reachable) = (self.now, self.reachable(name));
        let node = self.node_mut(name);
        if reachable && node.nonce == fence.nonce {
            node.renew(now);
        }
    }

    /// What the node runs.
    pub fn observe(&mut self, name: &Name) -> Result<NodeReport, TransportError> {
        self.call(name, Verb::Observe, |world| Ok(world.report(name)), |_| {})
    }

    /// Takes the fence, checks and validates; nothing that runs is touched.
    pub fn prepare(&mut self, name: &Name, order: &Order) -> Result<(), TransportError> {
        self.call(name, Verb::Prepare, |world| world.prepared(name, order), |_| {})
    }

    /// Switches and activates a unit.
    pub fn change(&mut self, request: &ChangeUnit) -> Result<(), TransportError> {
        let half = |world: &mut Self| world.half_changed(request);
        self.call(&request.id.node, Verb::Change, |world| world.changed(request), half)
    }

    /// Stops a unit that is no longer wanted.
    pub fn stop(&mut self, request: &ChangeUnit) -> Result<(), TransportError> {
        let half = |world: &mut Self| drop(world.begin(request));
        self.call(&request.id.node, Verb::Stop, |world| world.stopped(request), half)
    }

    /// Puts a unit back.
    pub fn put_back(&mut self, request: &ChangeUnit) -> Result<(), TransportError> {
        let half = |world: &mut Self| world.half_put_back(request);
        self.call(&request.id.node, Verb::PutBack, |world| world.went_back(request), half)
    }

    /// Asks a unit's program over the whole budget; refused when the node runs another version than `expected`.
    pub fn probe(
        &mut self,
        id: &UnitId,
        expected: Option<&Digest>,
    ) -> Result<Vec<Attempt>, TransportError> {
        self.call(&id.node, Verb::Probe, |world| world.probed(id, expected), |_| {})
    }

    /// Renews the lease; refused when the node took the changes back.
    pub fn hold(&mut self, name: &Name, fence: &Fence) -> Result<(), TransportError> {
        self.call(name, Verb::Hold, |world| world.held(name, fence), |_| {})
    }

    /// Ends a hold; the node takes back what that rollout changed.
    pub fn unlock(&mut self, name: &Name, nonce: &str) -> Result<(), TransportError> {
        let now = self.now;
        let node = self.node_mut(name);
        let Some(holder) = node.record.holder.clone() else { return Ok(()) };
        if holder.nonce != nonce {
            return Err(failed(FailureKind::Busy, format!("by now {} holds {name}", holder.who)));
        }
        node.restore_itself(now);
        node.marker = None;
        node.record.fence += 1;
        node.nonce = format!("unlocked.{nonce}");
        node.record.holder = None;
        Ok(())
    }

    /// Tells the decision.
    pub fn confirm(&mut self, name: &Name, request: &Confirm) -> Result<(), TransportError> {
        self.call(name, Verb::Confirm, |world| world.confirmed(name, request), |_| {})
    }

    /// Tells the end.
    pub fn abandon(&mut self, name: &Name, request: &Abandon) -> Result<(), TransportError> {
        self.call(name, Verb::Abandon, |world| world.abandoned(name, request), |_| {})
    }

    /// One call: counted, hit by its fault if it has one, and worth a word to the lease.
    fn call<T>(
        &mut self,
        name: &Name,
        verb: Verb,
        act: impl FnOnce(&mut Self) -> Result<T, TransportError>,
        half: impl FnOnce(&mut Self),
    ) -> Result<T, TransportError> {
        let count = self.calls.entry((name.clone(), verb)).or_default();
        *count += 1;
        let hit = |f: &&Fault| f.node == *name && f.verb == verb && f.call == *count;
        let fault = self.faults.iter().find(hit).map(|fault| fault.kind);
        self.advance(self.now.after(CALL));
        if !self.reachable(name) {
            return Err(self.unreached(name));
        }
        match fault {
            Some(FaultKind::Refused) => {
                return Err(failed(FailureKind::Refused, format!("{name} refuses")));
            }
            Some(FaultKind::Hang) => return Err(self.timed_out(name)),
            Some(FaultKind::Gone { until }) => {
                self.lose(name, until);
                return Err(self.unreached(name));
            }
            Some(FaultKind::Closed { until }) => {
                self.lose(name, Some(until));
                self.closed.insert(name.clone());
                return Err(self.unreached(name));
            }
            Some(FaultKind::Halfway) => {
                half(self);
                return Err(TransportError::Unreachable(format!("{name}: the connection broke")));
            }
            Some(FaultKind::Lapse) => self.lapse(name),
            Some(FaultKind::Reboot) => self.reboot(name),
            Some(FaultKind::Overtaken) => self.overtake(name),
            Some(FaultKind::DoneButFailed | FaultKind::AnswerLost) | None => {}
        }
        let answer = act(self);
        let other = answer.as_ref().err().is_some_and(someone_else);
        if verb != Verb::Observe && !other {
            let now = self.now;
            self.node_mut(name).renew(now);
        }
        match fault {
            Some(FaultKind::DoneButFailed) => {
                Err(failed(FailureKind::Node, format!("{name}: no space left")))
            }
            Some(FaultKind::AnswerLost) => {
                Err(TransportError::Unreachable(format!("{name}: the answer broke off")))
            }
            _ => answer,
        }
    }

    /// A closed door is told at once; silence takes its time.
    fn unreached(&mut self, name: &Name) -> TransportError {
        if self.closed.contains(name) {
            return TransportError::Unreachable(format!("{name}: connection refused"));
        }
        self.timed_out(name)
    }

    fn timed_out(&mut self, name: &Name) -> TransportError {
        self.advance(self.now.after(DEADLINE));
        TransportError::Unreachable(format!("{name} did not answer in time"))
    }

    /// The node's lease lapses as if it had not heard anything for too long.
    fn lapse(&mut self, name: &Name) {
        let now = self.now;
        let node = self.node_mut(name);
        if node.marker.as_ref().is_some_and(|marker| marker.lapses.is_some()) {
            node.restore_itself(now);
        }
    }
}

/// Whether a node answered that it belongs to another rollout: no word that renews a lease.
fn someone_else(error: &TransportError) -> bool {
    matches!(error, TransportError::Failed(failure) if failure.kind == FailureKind::Busy)
}
