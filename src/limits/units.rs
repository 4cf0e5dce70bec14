//! Units against the limits: where their files go, whose commands they run, and which files of their node they read.

use std::collections::BTreeSet;

use super::{Breach, destinations, is_below};
use crate::model::{
    AbsPath, Check, Content, Direction, Fleet, GatewayRun, Limits, Name, Release, Runtime,
    SecretRef, Unit, UnitId, UnitKind,
};

/// The template whose text is a program.
const LSYNCD: &str = "lsyncd.conf.lua.tera";

pub(super) fn breaches(fleet: &Fleet, release: &Release, limits: &Limits) -> Vec<Breach> {
    let units = release.units.values();
    let mut found: Vec<Breach> =
        units.flat_map(|unit| unit_breaches(fleet, unit, limits)).collect();
    found.extend(synced(fleet, limits));
    found
}

fn unit_breaches(fleet: &Fleet, unit: &Unit, limits: &Limits) -> Vec<Breach> {
    let mut found = places(fleet, unit, limits);
    if let Some(what) = commands(fleet, unit)
        && limits.commands.as_ref().is_some_and(|allowed| !allowed.has(&unit.id))
    {
        let message = format!("{what}, and this unit may have no commands of its author");
        found.push(Breach::new(place(fleet, &unit.id), "commands", message));
    }
    if let Some(allowed) = &limits.node_files {
        for (key, path) in unit.node_env.iter().filter(|(_, path)| !is_below(path, allowed)) {
            let message = format!("{key} would be read from {path} on the node");
            found.push(Breach::new(place(fleet, &unit.id), "node_files", message));
        }
    }
    found.extend(secrets(fleet, unit, limits));
    found
}

/// Secrets that the unit may not have.
fn secrets(fleet: &Fleet, unit: &Unit, limits: &Limits) -> Vec<Breach> {
    let files = unit.artifacts.iter().map(|artifact| &artifact.content);
    let sealed = files.chain(unit.sealed_env.values()).filter_map(|content| match content {
        Content::Sealed(sealed) => Some(sealed),
        Content::Bytes(_) | Content::OnNode(_) => None,
    });
    let all: BTreeSet<&SecretRef> = sealed.flat_map(|sealed| sealed.references()).collect();
    let others = all.into_iter().filter(|secret| !limits.allows_secret(&unit.id, secret));
    let tell = |secret: &SecretRef| {
        let message = format!("it would be given the secret {secret}");
        Breach::new(place(fleet, &unit.id), "secrets", message)
    };
    others.map(tell).collect()
}

/// A unit and the file that defines it, as far as the fleet has it.
pub(super) fn place(fleet: &Fleet, id: &UnitId) -> String {
    let named = |name: &Name| id.name.as_ref() == Some(name);
    let source = match id.kind {
        UnitKind::Service => fleet.instances.iter().find(|it| it.id == *id).map(|it| &it.source),
        UnitKind::Bundle => fleet.bundles.iter().find(|it| it.id == *id).map(|it| &it.source),
        UnitKind::Gateway => {
            fleet.gateways.values().find(|it| named(&it.name)).map(|it| &it.source)
        }
        UnitKind::Sync => None,
    };
    source.map_or_else(|| id.to_string(), |file| format!("{id} ({file})"))
}

fn places(fleet: &Fleet, unit: &Unit, limits: &Limits) -> Vec<Breach> {
    let Some((allowed, key)) = destinations(limits, &unit.id.node) else { return Vec::new() };
    let files = unit.artifacts.iter().map(|artifact| &artifact.destination);
    let all = files.chain([&unit.directory]);
    let outside = all.filter(|path| !is_below(path, allowed));
    let tell = |path: &AbsPath| {
        Breach::new(
            place(fleet, &unit.id),
            key.clone(),
            format!("{path} is no allowed destination"),
        )
    };
    outside.map(tell).collect()
}

/// What a sync keeps in step is written on every node that receives it.
fn synced(fleet: &Fleet, limits: &Limits) -> Vec<Breach> {
    let mut found = Vec::new();
    for sync in fleet.syncs.values() {
        let receivers: Vec<&Name> = match &sync.direction {
            Direction::Between(nodes) => nodes.iter().collect(),
            Direction::OneWay { to, .. } => to.iter().collect(),
        };
        for node in receivers {
            let Some((allowed, key)) = destinations(limits, node) else { continue };
            if !is_below(&sync.path, allowed) {
                let message = format!("{} is no allowed destination on {node}", sync.path);
                found.push(Breach::new(sync.source.clone(), key, message));
            }
        }
    }
    found
}

/// A program that the fleet's author wrote and that the unit runs on its node, outside of containers.
fn commands(fleet: &Fleet, unit: &Unit) -> Option<String> {
    let written = |what: &str| Some(what.to_owned());
    match unit.id.kind {
        UnitKind::Bundle if !unit.commands.is_empty() => return written("it has commands"),
        UnitKind::Service if unit.runtime == Runtime::Process => return written("it is a command"),
        UnitKind::Gateway => return gateway_commands(fleet, unit),
        UnitKind::Sync => {
            // What lsyncd is configured with is a program in Lua.
            let own = fleet.templates.contains_key(LSYNCD);
            return own.then(|| format!("templates/{LSYNCD} is a program"));
        }
        _ => {}
    }
    let host = |check: &&Check| matches!(check, Check::Exec { container: None, .. });
    unit.health
        .checks
        .iter()
        .find(host)
        .map(|_| "it has a health check that is a command".to_owned())
}

/// Commands of a gateway are ours unless its author wrote them; a template of the author's may make Caddy read and
/// serve whatever its node has.
fn gateway_commands(fleet: &Fleet, unit: &Unit) -> Option<String> {
    let own = fleet.templates.keys().find(|name| *name != LSYNCD);
    if let Some(name) = own {
        return Some(format!("templates/{name} says what the proxy does"));
    }
    let gateway = unit.id.name.as_ref().and_then(|name| fleet.gateways.get(name));
    let written = match gateway.map(|gateway| &gateway.run) {
        Some(GatewayRun::Command { start, stop, reload, validate }) => {
            [start, stop, reload, validate].into_iter().any(Option::is_some)
        }
        _ => unit.runtime == Runtime::Process,
    };
    written.then(|| "it is a command".to_owned())
}
