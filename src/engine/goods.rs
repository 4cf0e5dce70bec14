//! Releases that nodes keep: what was good, put together from the nodes' own records.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    Artifact, Digest, Fleet, Good, Observed, Release, Runtime, Timestamp, Unit, UnitId,
};

use super::nodes::Nodes;

/// A good release as the fleet knows it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Kept {
    /// Its digest.
    pub release: Digest,
    /// The commit, if it came from one.
    pub commit: Option<String>,
    /// When it converged.
    pub at: Timestamp,
}

/// Good releases that any reachable node keeps, newest first, each once.
pub fn kept(observed: &Observed) -> Vec<Kept> {
    let mut all: Vec<&Good> = reports(observed).flat_map(|report| &report.record.good).collect();
    all.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.release.cmp(&b.release)));
    let mut seen = BTreeSet::new();
    all.into_iter()
        .filter(|good| seen.insert(good.release.clone()))
        .map(|good| Kept {
            release: good.release.clone(),
            commit: good.commit.clone(),
            at: good.at,
        })
        .collect()
}

/// Why a kept release can't be put together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeptError {
    /// No reachable node knows it.
    #[error("no node keeps release {0}")]
    Unknown(String),
    /// A node lists a unit whose manifest it no longer has.
    #[error("{unit}: its node no longer has the manifest {digest}")]
    Incomplete {
        /// The unit.
        unit: UnitId,
        /// The manifest.
        digest: String,
    },
}

/// Puts a kept release together from the nodes' manifests; contents stay on the nodes as blobs.
pub fn rebuild(observed: &Observed, release: &Digest) -> Result<Release, KeptError> {
    let mut rebuilt = Release::default();
    let mut known = false;
    for report in reports(observed) {
        let Some(good) = report.record.good.iter().find(|good| good.release == *release) else {
            continue;
        };
        known = true;
        for (id, digest) in &good.units {
            let unit = report.manifests.get(digest).cloned();
            let unit: Unit = unit.ok_or_else(|| KeptError::Incomplete {
                unit: id.clone(),
                digest: digest.short().to_owned(),
            })?;
            rebuilt.units.insert(id.clone(), unit);
        }
    }
    if known { Ok(rebuilt) } else { Err(KeptError::Unknown(release.short().to_owned())) }
}

/// What a kept release's compose units have on their nodes: blobs by name, as far as they can be read.
pub async fn contents(
    nodes: &Nodes,
    fleet: &Fleet,
    release: &Release,
) -> BTreeMap<String, Vec<u8>> {
    let mut contents = BTreeMap::new();
    for node in nodes.names() {
        let compose = |unit: &&Unit| matches!(unit.runtime, Runtime::Compose { .. });
        let units = release.on(node).filter(compose);
        let blobs: BTreeSet<String> =
            units.flat_map(|unit| &unit.artifacts).map(Artifact::blob).collect();
        let Some(transport) = nodes.get(node).filter(|_| !blobs.is_empty()) else { continue };
        contents.extend(transport.read(&fleet.name, &blobs).await.unwrap_or_default());
    }
    contents
}

fn reports(observed: &Observed) -> impl Iterator<Item = &crate::model::NodeReport> {
    observed.nodes.keys().filter_map(|node| observed.report(node))
}
