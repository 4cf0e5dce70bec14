//! One imagined node: its files, what runs, its record, and the marker of the open rollout.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{
    AbsPath, Digest, Good, Pending, Record, Replaced, Timestamp, Unit, UnitId, Verdict,
};

/// A unit as the node has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FakeUnit {
    /// What the node says it runs.
    pub current: Option<Digest>,
    /// What it ran before.
    pub previous: Option<Digest>,
    /// A change of the open rollout.
    pub pending: Option<Pending>,
    /// Whose files are in place.
    pub files: Option<Digest>,
    /// Which version's program runs.
    pub runs: Option<Digest>,
    /// Since when.
    pub since: Timestamp,
    /// Whether its program died.
    pub dead: bool,
}

/// A file as it lies on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnDisk {
    /// Its bytes.
    pub content: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
    /// `user:group`.
    pub owner: String,
}

/// The open rollout, as the node keeps it across a reboot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Its id.
    pub rollout: String,
    /// The silence that the node bears; none without a lease.
    pub dead_man: Option<Duration>,
    /// When the lease lapses; none before the first change.
    pub lapses: Option<Timestamp>,
    /// What was changed, in order: unit, what it was, and what it replaced.
    pub changes: Vec<(UnitId, Option<Digest>, Vec<Replaced>)>,
}

/// An imagined node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FakeNode {
    /// How often it was booted.
    pub boots: u32,
    /// Units by id.
    pub units: BTreeMap<UnitId, FakeUnit>,
    /// Files by path, managed ones and others.
    pub disk: BTreeMap<AbsPath, OnDisk>,
    /// Manifests that were brought.
    pub manifests: BTreeMap<Digest, Unit>,
    /// Blobs that were brought.
    pub blobs: BTreeMap<String, Vec<u8>>,
    /// The record of the fleet.
    pub record: Record,
    /// The nonce that goes with the record's fence; outlives the holder, so that a repeated end is known again.
    pub nonce: String,
    /// The open rollout.
    pub marker: Option<Marker>,
    /// The nonce of a rollout whose changes the node took back by itself.
    pub restored: Option<String>,
    /// Units whose files and programs were removed for good.
    pub removed: BTreeSet<UnitId>,
}

impl FakeNode {
    /// Puts a version's files in place, removing those of the version before.
    pub fn install(&mut self, id: &UnitId, to: Option<&Digest>) {
        let old = self.units.get(id).and_then(|unit| unit.files.clone());
        if let Some(manifest) = old.and_then(|digest| self.manifests.get(&digest)) {
            for artifact in &manifest.artifacts {
                self.disk.remove(&artifact.destination);
            }
        }
        if let Some(manifest) = to.and_then(|digest| self.manifests.get(digest)) {
            for artifact in &manifest.artifacts {
                let content = self.blobs.get(&artifact.blob()).cloned().unwrap_or_default();
                let owner = artifact.owner.clone().unwrap_or_else(|| "root:root".to_owned());
                let file = OnDisk { content, mode: artifact.mode, owner };
                self.disk.insert(artifact.destination.clone(), file);
            }
        }
        self.units.entry(id.clone()).or_default().files = to.cloned();
    }

    /// Makes a version's program run from `at` on; the same one goes on undisturbed.
    pub fn activate(&mut self, id: &UnitId, to: Option<&Digest>, at: Timestamp) {
        let unit = self.units.entry(id.clone()).or_default();
        if unit.runs.as_ref() != to || unit.dead {
            unit.runs = to.cloned();
            unit.since = at;
            unit.dead = false;
        }
    }

    /// Files, program and bookkeeping as `digest` has them, whatever state they are in.
    pub fn return_to(&mut self, id: &UnitId, digest: Option<&Digest>, at: Timestamp) {
        self.install(id, digest);
        self.activate(id, digest, at);
        let unit = self.units.entry(id.clone()).or_default();
        unit.current = digest.cloned();
        unit.pending = None;
        if digest.is_none() {
            self.units.remove(id);
        }
    }

    /// Takes back everything that the open rollout changed, last change first, and gives the fence back. A rollout
    /// that has not changed anything stays open.
    pub fn restore_itself(&mut self, at: Timestamp) {
        let Some(marker) = self.marker.take_if(|marker| !marker.changes.is_empty()) else { return };
        for (id, from, replaces) in marker.changes.iter().rev() {
            self.return_to(id, from.as_ref(), at);
            self.start_again(replaces, at);
        }
        self.restored = Some(self.nonce.clone());
        self.record.holder = None;
    }

    /// Starts units that made room for another.
    pub fn start_again(&mut self, replaces: &[Replaced], at: Timestamp) {
        for replaced in replaces {
            self.return_to(&replaced.unit, Some(&replaced.from), at);
        }
    }

    /// Notes a change before it is made; the first one arms the lease.
    pub fn begin(&mut self, change: (&UnitId, Option<&Digest>, &[Replaced]), to: Option<&Digest>) {
        let (id, from, replaces) = change;
        let Some(marker) = &mut self.marker else { return };
        if !marker.changes.iter().any(|(unit, ..)| unit == id) {
            marker.changes.push((id.clone(), from.cloned(), replaces.to_vec()));
        }
        let rollout = marker.rollout.clone();
        let unit = self.units.entry(id.clone()).or_default();
        unit.pending = Some(Pending { rollout, from: from.cloned(), to: to.cloned() });
    }

    /// The node heard from its controller: the lease begins anew.
    pub fn renew(&mut self, at: Timestamp) {
        if let Some(marker) = &mut self.marker {
            let armed = marker.dead_man.filter(|_| !marker.changes.is_empty());
            marker.lapses = armed.map(|silence| at.after(silence));
        }
    }

    /// The decision: nothing is taken back any more, and removed units go.
    pub fn converge(&mut self, good: &Good, keep: bool, remove: &[UnitId]) {
        self.marker = None;
        for unit in self.units.values_mut() {
            unit.pending = None;
        }
        for id in remove {
            self.install(id, None);
            self.units.remove(id);
            self.removed.insert(id.clone());
        }
        let word = Verdict::Converged.word().to_owned();
        self.record.verdict = Some((word, good.release.clone(), good.at));
        if keep {
            self.record.good.retain(|kept| kept.release != good.release);
            self.record.good.insert(0, good.clone());
            self.record.good.truncate(3);
        }
        self.record.holder = None;
    }
}
