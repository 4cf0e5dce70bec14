//! Compose files as they would lie on their node, against what containers may have of it.

use std::collections::BTreeMap;

use super::units::place;
use super::{Breach, is_below};
use crate::check::compose::powers::Power;
use crate::check::compose::{Source, read};
use crate::model::{
    ComposeLimits, Content, Entry, Fleet, Limits, Runtime, Snapshot, Unit, UnitId, Units,
};

pub(super) fn breaches(
    fleet: &Fleet,
    unit: &Unit,
    limits: &Limits,
    contents: &BTreeMap<String, Vec<u8>>,
) -> Vec<Breach> {
    let Runtime::Compose { files, .. } = &unit.runtime else { return Vec::new() };
    let place = place(fleet, &unit.id);
    let tell = |limit: &str, message: String| {
        Breach::new(place.clone(), format!("compose{limit}"), message)
    };
    let snapshot = match delivered(unit, contents) {
        Ok(snapshot) => snapshot,
        Err(path) => return vec![tell("", format!("{path} can't be read, and so not judged"))],
    };
    let mut found = Vec::new();
    let variables = variables(unit);
    for file in files {
        let source = Source { snapshot: &snapshot, folder: "", file, variables: &variables };
        if !snapshot.entries.contains_key(file) {
            found.push(tell("", format!("`{file}` is not among its files")));
        }
        let (compose, problems) = read(source);
        let problem = problems.first().map(|problem| format!("`{file}`: {}", problem.message));
        found.extend(problem.map(|message| tell("", message)));
        for (who, power) in compose.powers(&unit.directory) {
            if let Some((limit, what)) = beyond(&unit.id, &power, &limits.compose) {
                found.push(tell(&format!(".{limit}"), format!("{who} asks for {what}")));
            }
        }
    }
    found
}

/// What compose is given on the node: values of secrets and of the node's files are not known here.
fn variables(unit: &Unit) -> BTreeMap<String, Option<String>> {
    let files = unit.node_env.keys().map(|key| (key.clone(), None));
    let blobs = unit.sealed_env.iter().map(|(key, content)| match content {
        Content::Bytes(bytes) => (key.clone(), String::from_utf8(bytes.clone()).ok()),
        Content::Sealed(_) | Content::OnNode(_) => (key.clone(), None),
    });
    files.chain(blobs).collect()
}

/// A unit's files as compose finds them, by their paths below its directory.
fn delivered(unit: &Unit, contents: &BTreeMap<String, Vec<u8>>) -> Result<Snapshot, String> {
    let mut snapshot = Snapshot::default();
    for artifact in &unit.artifacts {
        let Some(below) = artifact.destination.relative_to(&unit.directory) else { continue };
        let content = match &artifact.content {
            Content::Bytes(bytes) => bytes.clone(),
            // Nobody may see it here, and what compose reads from it stays unknown.
            Content::Sealed(_) => Vec::new(),
            Content::OnNode(blob) => {
                contents.get(blob).cloned().ok_or_else(|| artifact.destination.to_string())?
            }
        };
        let entry = Entry::File { content, executable: artifact.mode & 0o111 != 0 };
        snapshot.entries.insert(below.to_owned(), entry);
    }
    Ok(snapshot)
}

/// The limit that a power is beyond, and the power in words.
fn beyond(unit: &UnitId, power: &Power, limits: &ComposeLimits) -> Option<(&'static str, String)> {
    let lacks = |units: &Option<Units>| units.as_ref().is_some_and(|units| !units.has(unit));
    let (limit, beyond, words) = match power {
        Power::Privileged(what) => ("privileged", lacks(&limits.privileged), what.clone()),
        Power::HostNetwork => {
            ("host_network", lacks(&limits.host_network), "the node's network".to_owned())
        }
        Power::HostNamespace(key) => (
            "host_namespaces",
            lacks(&limits.host_namespaces),
            format!("another `{key}` namespace"),
        ),
        Power::Capability(name) => {
            let listed = |all: &Vec<String>| all.contains(name);
            let beyond = limits.cap_add.as_ref().is_some_and(|all| !listed(all));
            ("cap_add", beyond, format!("the capability {name}"))
        }
        Power::Device(name) => {
            let beyond = limits.devices.as_ref().is_some_and(|all| !is_device(name, all));
            ("devices", beyond, format!("the device {name}"))
        }
        Power::HostMount(path) => {
            let beyond = limits.host_mounts.as_ref().is_some_and(|all| !is_below(path, all));
            ("host_mounts", beyond, format!("the mount {path}"))
        }
    };
    beyond.then_some((limit, words))
}

/// A device as it is written, or below a listed directory; one with `..` in it is none of these.
fn is_device(name: &str, all: &[String]) -> bool {
    let path = crate::model::AbsPath::new(name);
    let below = |listed: &String| {
        let listed = crate::model::AbsPath::new(listed.as_str());
        matches!((&path, listed), (Ok(path), Ok(listed)) if path.is_within(&listed))
    };
    all.iter().any(|listed| listed == name || below(listed))
}
