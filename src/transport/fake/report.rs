//! What an imagined node says of itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    FileReport, FileState, Name, NodeReport, ProcessReport, ProcessState, UnitReport,
};

use super::node::{FakeNode, FakeUnit};
use super::world::World;

impl World {
    pub(super) fn report(&self, name: &Name) -> NodeReport {
        let Some(node) = self.nodes.get(name) else { return NodeReport::default() };
        NodeReport {
            lapsed: false,
            restored: None,
            node_id: format!("{name}-id"),
            boot_id: format!("{name}-boot-{}", node.boots),
            uptime: self.now.seconds(),
            now: self.now.seconds(),
            arch: "x86_64".to_owned(),
            user: "root".to_owned(),
            free: 1 << 20,
            volatile: None,
            tools: BTreeMap::new(),
            record: node.record.clone(),
            units: node.units.iter().map(|(id, u)| (id.clone(), unit_report(node, u))).collect(),
            manifests: node.manifests.clone(),
            blobs: node.blobs.keys().cloned().collect::<BTreeSet<_>>(),
        }
    }
}

/// Of a file with secrets in it not even the hash is told.
fn shown_hash(node: &FakeNode, blob: &str, content: &[u8]) -> String {
    if !crate::model::is_sealed(blob) {
        return crate::model::sha256_hex(content);
    }
    let same = node.blobs.get(blob).is_some_and(|held| held == content);
    if same { blob.to_owned() } else { "changed".to_owned() }
}

fn unit_report(node: &FakeNode, unit: &FakeUnit) -> UnitReport {
    let manifest = unit.current.as_ref().and_then(|digest| node.manifests.get(digest));
    let artifacts = manifest.map(|unit| unit.artifacts.as_slice()).unwrap_or_default();
    let files = artifacts.iter().map(|artifact| {
        let state = match node.disk.get(&artifact.destination) {
            Some(file) => FileState::Present {
                hash: shown_hash(node, &artifact.blob(), &file.content),
                mode: file.mode,
                owner: file.owner.clone(),
            },
            None => FileState::Missing,
        };
        FileReport { destination: artifact.destination.clone(), state }
    });
    let state = match (&unit.runs, unit.dead) {
        (Some(_), false) => ProcessState::Running,
        (Some(_), true) => ProcessState::Dead,
        (None, _) => ProcessState::None,
    };
    UnitReport {
        current: unit.current.clone(),
        previous: unit.previous.clone(),
        pending: unit.pending.clone(),
        files: files.collect(),
        containers: Vec::new(),
        process: Some(ProcessReport { state, pid: None }),
    }
}
