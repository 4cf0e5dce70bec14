//! Drift: where a node no longer runs what was last rolled out to it, or lags behind what is wanted.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{
    Artifact, ContainerReport, Digest, FileReport, FileState, Name, NodeReport, NodeState,
    Observed, ProcessState, Release, Runtime, Unit, UnitId, UnitReport,
};

/// One thing that is not as it was rolled out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// The unit; its id names the node.
    pub unit: UnitId,
    /// What is different.
    #[serde(flatten)]
    pub kind: DriftKind,
}

/// What is different about a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "drift")]
pub enum DriftKind {
    /// A managed file is gone.
    FileMissing {
        /// Where it was.
        destination: String,
    },
    /// A managed file has other content.
    FileChanged {
        /// Where.
        destination: String,
        /// The name of the blob that should be there.
        expected: String,
        /// Whether its content may not be shown.
        sensitive: bool,
    },
    /// A managed file has another mode or owner.
    FileMode {
        /// Where.
        destination: String,
        /// `0644 root:root`; the owner only when it is managed.
        expected: String,
        /// The same as it is.
        found: String,
    },
    /// Something that is no file is in a managed file's place.
    FileForeign {
        /// Where.
        destination: String,
        /// `link`, `directory` or `other`.
        found: String,
    },
    /// A compose service has no container.
    ContainerMissing {
        /// The compose service.
        service: String,
    },
    /// A container does not run.
    ContainerStopped {
        /// The compose service.
        service: String,
        /// What the engine calls its state.
        status: String,
        /// Its last exit status.
        exit_code: i64,
    },
    /// A container keeps being restarted.
    ContainerRestarting {
        /// The compose service.
        service: String,
        /// How often so far.
        restarts: u64,
    },
    /// A container runs and says that it is not well.
    ContainerUnhealthy {
        /// The compose service.
        service: String,
    },
    /// The unit's process should run and doesn't.
    ProcessDead,
    /// The unit's process was stopped.
    ProcessStopped,
    /// The node runs another version than is wanted.
    Behind {
        /// What it runs.
        runs: Digest,
        /// What is wanted.
        wanted: Digest,
        /// The last good release of its node, if one is recorded.
        release: Option<Digest>,
    },
    /// The node lacks a wanted unit.
    Missing {
        /// What is wanted.
        wanted: Digest,
    },
    /// The node runs a unit that is not wanted.
    Unknown,
    /// A rollout that died left the unit half changed.
    HalfChanged {
        /// The rollout.
        rollout: String,
    },
}

impl fmt::Display for DriftKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileMissing { destination } => write!(f, "{destination} is gone"),
            Self::FileChanged { destination, .. } => write!(f, "{destination} was changed"),
            Self::FileMode { destination, expected, found } => {
                write!(f, "{destination} is {found}, not {expected}")
            }
            Self::FileForeign { destination, found } => {
                write!(f, "{destination} is no file any more: {found}")
            }
            Self::ContainerMissing { service } => write!(f, "{service} has no container"),
            Self::ContainerStopped { service, status, exit_code } => {
                write!(
                    f,
                    "the container of {service} does not run: {status}, exit status {exit_code}"
                )
            }
            Self::ContainerRestarting { service, restarts } => {
                write!(f, "the container of {service} keeps restarting: {restarts} times so far")
            }
            Self::ContainerUnhealthy { service } => {
                write!(f, "the container of {service} says that it is unhealthy")
            }
            Self::ProcessDead => f.write_str("its process died"),
            Self::ProcessStopped => f.write_str("its process was stopped"),
            Self::Behind { runs, wanted, .. } => {
                write!(f, "behind: runs {}, wanted is {}", runs.short(), wanted.short())
            }
            Self::Missing { wanted } => write!(f, "not there yet: wanted is {}", wanted.short()),
            Self::Unknown => f.write_str("runs, but nothing wants it"),
            Self::HalfChanged { rollout } => write!(f, "left half changed by rollout {rollout}"),
        }
    }
}

/// Everything on reachable nodes that differs from the release and from what was rolled out, by unit.
///
/// Nodes that did not answer say nothing, so nothing is said about them. Files, containers and processes
/// are held against the manifest that the node itself runs, not against the release: a unit that is
/// behind and otherwise as it was rolled out drifts only by being behind.
pub fn drift(release: &Release, observed: &Observed) -> Vec<Drift> {
    let mut found = Vec::new();
    for (node, state) in &observed.nodes {
        let NodeState::Reachable(report) = state else { continue };
        for (id, unit) in &report.units {
            let kinds = unit_drift(id, unit, report, release);
            found.extend(kinds.into_iter().map(|kind| Drift { unit: id.clone(), kind }));
        }
        found.extend(missing(node, report, release));
    }
    found.sort_by(|a, b| a.unit.cmp(&b.unit));
    found
}

/// What is no longer as it was rolled out on nodes that no rollout holds, whatever a release wants.
pub fn moved(observed: &Observed) -> Vec<Drift> {
    let mut found = drift(&Release::default(), observed);
    found.retain(|drift| {
        let report = observed.report(&drift.unit.node);
        let free = report.is_some_and(|report| report.record.holder.is_none());
        free && !matches!(
            drift.kind,
            DriftKind::Behind { .. }
                | DriftKind::Missing { .. }
                | DriftKind::Unknown
                | DriftKind::HalfChanged { .. }
        )
    });
    found
}

fn missing<'a>(
    node: &'a Name,
    report: &'a NodeReport,
    release: &'a Release,
) -> impl Iterator<Item = Drift> + 'a {
    let lacking = release
        .on(node)
        .filter(|unit| report.units.get(&unit.id).is_none_or(|unit| unit.current.is_none()));
    lacking.map(|unit| Drift {
        unit: unit.id.clone(),
        kind: DriftKind::Missing { wanted: unit.digest() },
    })
}

fn unit_drift(
    id: &UnitId,
    unit: &UnitReport,
    report: &NodeReport,
    release: &Release,
) -> Vec<DriftKind> {
    let mut kinds = Vec::new();
    if let Some(pending) = &unit.pending {
        kinds.push(DriftKind::HalfChanged { rollout: pending.rollout.clone() });
    }
    let Some(current) = &unit.current else { return kinds };
    match release.units.get(id).map(Unit::digest) {
        None => kinds.push(DriftKind::Unknown),
        Some(wanted) if wanted != *current => {
            let release = report.record.last_good().map(|good| good.release.clone());
            kinds.push(DriftKind::Behind { runs: current.clone(), wanted, release });
        }
        Some(_) => {}
    }
    let Some(manifest) = report.manifests.get(current) else { return kinds };
    kinds.extend(unit.files.iter().filter_map(|file| file_drift(file, manifest)));
    kinds.extend(running_drift(unit, manifest));
    kinds
}

/// What does not run of a unit as its manifest says.
pub(super) fn running_drift(unit: &UnitReport, manifest: &Unit) -> Vec<DriftKind> {
    let mut kinds = container_drift(unit, manifest);
    kinds.extend(process_drift(unit, manifest));
    kinds
}

/// How a managed file differs from its unit's manifest.
pub(super) fn file_drift(file: &FileReport, manifest: &Unit) -> Option<DriftKind> {
    let place = |artifact: &Artifact| artifact.destination.cmp(&file.destination);
    let sorted = manifest.artifacts.binary_search_by(place).ok();
    let artifact = sorted.and_then(|index| manifest.artifacts.get(index))?;
    let destination = file.destination.as_str().to_owned();
    match &file.state {
        FileState::Missing => Some(DriftKind::FileMissing { destination }),
        FileState::Foreign(found) => {
            Some(DriftKind::FileForeign { destination, found: found.clone() })
        }
        FileState::Present { hash, mode, owner } => {
            let expected = artifact.blob();
            if expected != *hash {
                let sensitive = artifact.sensitive;
                return Some(DriftKind::FileChanged { destination, expected, sensitive });
            }
            mode_drift(artifact, *mode, owner, destination)
        }
    }
}

fn mode_drift(
    artifact: &Artifact,
    mode: u32,
    owner: &str,
    destination: String,
) -> Option<DriftKind> {
    let moved = artifact.owner.as_deref().filter(|wanted| *wanted != owner);
    if artifact.mode == mode && moved.is_none() {
        return None;
    }
    let words = |mode: u32, owner: Option<&str>| match owner {
        Some(owner) => format!("{mode:04o} {owner}"),
        None => format!("{mode:04o}"),
    };
    Some(DriftKind::FileMode {
        destination,
        expected: words(artifact.mode, moved),
        found: words(mode, moved.map(|_| owner)),
    })
}

fn container_drift(unit: &UnitReport, manifest: &Unit) -> Vec<DriftKind> {
    let Runtime::Compose { services, .. } = &manifest.runtime else { return Vec::new() };
    let mut kinds = Vec::new();
    for service in services {
        let mut own = unit.containers.iter().filter(|c| c.service == service.name).peekable();
        if own.peek().is_none() && !service.once {
            kinds.push(DriftKind::ContainerMissing { service: service.name.clone() });
        }
        kinds.extend(own.filter_map(|container| one_container(container, service.once)));
    }
    kinds
}

fn one_container(container: &ContainerReport, once: bool) -> Option<DriftKind> {
    let service = container.service.clone();
    match container.status.as_str() {
        "running" if container.health.as_deref() == Some("unhealthy") => {
            Some(DriftKind::ContainerUnhealthy { service })
        }
        "running" => None,
        "exited" if once && container.exit_code == 0 => None,
        "restarting" => {
            Some(DriftKind::ContainerRestarting { service, restarts: container.restarts })
        }
        status => Some(DriftKind::ContainerStopped {
            service,
            status: status.to_owned(),
            exit_code: container.exit_code,
        }),
    }
}

fn process_drift(unit: &UnitReport, manifest: &Unit) -> Option<DriftKind> {
    let process = unit.process.as_ref().filter(|_| manifest.runtime == Runtime::Process)?;
    match process.state {
        ProcessState::Running => None,
        ProcessState::Dead => Some(DriftKind::ProcessDead),
        ProcessState::None => Some(DriftKind::ProcessStopped),
    }
}
