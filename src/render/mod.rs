//! Turns a fleet into a release: every unit with its files and commands, the same bytes on any machine.
//!
//! One file per artifact kind; the texts that they fill in lie in `templates/`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::diagnostic::{self, Diagnostic};
use crate::model::{
    AbsPath, Artifact, Check, Claims, Content, Fleet, Health, Instance, Membership, Name,
    ProbeFrom, Release, Role, Rollback, Runtime, Sealed, Unit, UnitId, Validation,
};

mod about;
mod bounds;
mod bundle;
mod caddyfile;
pub mod codes;
mod compose;
mod delivered;
mod gateway;
mod loops;
mod lsyncd;
mod mounts;
mod process;
mod sealed;
mod service;
mod shell;
mod template;
mod yaml;

#[cfg(test)]
mod tests;

/// Problems of one unit.
type Problems = Vec<Diagnostic>;

/// Renders a fleet: pure, and the same bytes for the same fleet on any machine.
///
/// Errors are problems in the repository that show only here: templates (GS0601), files that are not there, values
/// that a format can't hold. All of them are told at once.
pub fn render(fleet: &Fleet) -> Result<Release, Vec<Diagnostic>> {
    let mut made = Made::default();
    for bundle in &fleet.bundles {
        made.keep(bundle::unit(fleet, bundle).map(|mut unit| {
            about::kind(&mut unit);
            unit
        }));
    }
    services(fleet, &mut made);
    let templates = template::Templates::new(&fleet.templates);
    gateways(fleet, &templates, &mut made);
    for node in fleet.nodes.values() {
        match lsyncd::unit(fleet, node, &templates) {
            Ok(unit) => unit.into_iter().for_each(|mut unit| {
                about::kind(&mut unit);
                made.keep(Ok(unit));
            }),
            Err(problems) => made.keep(Err(problems)),
        }
    }
    made.finish(fleet)
}

fn services(fleet: &Fleet, made: &mut Made) {
    let routed = about::Routed::new(fleet);
    let groups = groups(&fleet.instances);
    let bundles = made.units.clone();
    let mut shared: BTreeMap<&Name, Vec<&Unit>> = BTreeMap::new();
    for bundle in bundles.values() {
        shared.entry(&bundle.id.node).or_default().push(bundle);
    }
    for instance in &fleet.instances {
        let beside = shared.get(&instance.id.node).map_or(&[][..], Vec::as_slice);
        made.keep(service::unit(fleet, instance, beside).map(|mut unit| {
            about::service(instance, &routed, &mut unit);
            unit.witness = routed.witness(&instance.id);
            unit.membership = groups.get(&instance.id).cloned();
            unit
        }));
    }
}

fn gateways(fleet: &Fleet, templates: &template::Templates, made: &mut Made) {
    for gateway in fleet.gateways.values() {
        for node in gateway.on.iter().filter_map(|name| fleet.nodes.get(name)) {
            made.keep(gateway::unit(fleet, gateway, node, templates).map(|mut unit| {
                about::gateway(gateway, &mut unit);
                unit
            }));
        }
    }
}

/// Units and problems so far.
#[derive(Default)]
struct Made {
    units: BTreeMap<UnitId, Unit>,
    problems: Problems,
}

impl Made {
    fn keep(&mut self, unit: Result<Unit, Problems>) {
        match unit {
            Ok(unit) => drop(self.units.insert(unit.id.clone(), unit)),
            Err(problems) => self.problems.extend(problems),
        }
    }

    /// Brings everything into its order; dependencies on what has no unit (a node that only receives) fall away.
    fn finish(mut self, fleet: &Fleet) -> Result<Release, Vec<Diagnostic>> {
        let known: BTreeSet<UnitId> = self.units.keys().cloned().collect();
        for unit in self.units.values_mut() {
            unit.artifacts.sort_by(|a, b| a.destination.cmp(&b.destination));
            unit.commands.sort_by_key(|command| command.moment);
            unit.depends_on.retain(|id| known.contains(id) && *id != unit.id);
            self.problems.extend(twice(unit));
        }
        if self.problems.is_empty() {
            return Ok(Release {
                secrets: encrypted(fleet, &self.units),
                units: self.units,
                commit: fleet.commit.clone(),
                dirty: fleet.dirty,
            });
        }
        diagnostic::sort(&mut self.problems);
        Err(self.problems)
    }
}

/// The encrypted files that units refer to.
fn encrypted(fleet: &Fleet, units: &BTreeMap<UnitId, Unit>) -> BTreeMap<String, Vec<u8>> {
    let contents = units.values().flat_map(|unit| {
        unit.artifacts.iter().map(|artifact| &artifact.content).chain(unit.sealed_env.values())
    });
    let sealed = contents.filter_map(|content| match content {
        Content::Sealed(sealed) => Some(sealed),
        Content::Bytes(_) | Content::OnNode(_) => None,
    });
    let files = sealed.flat_map(Sealed::references).filter_map(|reference| {
        Some((reference.path(), fleet.secrets.get(&reference.file)?.text.clone()))
    });
    files.collect()
}

/// Destinations that a unit has two files for; sorted artifacts have them side by side.
fn twice(unit: &Unit) -> Problems {
    let pairs = unit.artifacts.windows(2).filter_map(|pair| match pair {
        [a, b] if a.destination == b.destination => Some(&a.destination),
        _ => None,
    });
    let tell = |destination: &AbsPath| {
        let message = format!("{} would write {destination} twice", unit.id);
        codes::in_file(codes::TWICE, message, destination.as_str())
    };
    pairs.map(tell).collect()
}

/// A unit of which only the identity is known: files only, nothing to validate, no dependencies.
fn blank(fleet: &Fleet, id: &UnitId, directory: &AbsPath, health: &Health) -> Unit {
    Unit {
        id: id.clone(),
        directory: directory.clone(),
        runtime: Runtime::Files,
        artifacts: Vec::<Artifact>::new(),
        commands: Vec::new(),
        host_service: None,
        validation: Validation::None,
        node_env: BTreeMap::new(),
        sealed_env: BTreeMap::new(),
        health: health.clone(),
        depends_on: BTreeSet::new(),
        claims: Claims::default(),
        membership: None,
        witness: Duration::ZERO,
        rollback: Rollback::Auto,
        adopt: false,
        about: BTreeMap::new(),
        fleet: fleet.name.clone(),
    }
}

/// The health of units that the author writes no checks for: gateways and syncs.
fn own_health(checks: Vec<Check>, from: ProbeFrom) -> Health {
    Health {
        checks,
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(5),
        retries: 15,
        start_period: Duration::ZERO,
        stable_for: Duration::from_secs(2),
        from,
    }
}

/// Units with others of the same service and environment beside them.
fn groups(instances: &[Instance]) -> BTreeMap<UnitId, Membership> {
    let mut services: BTreeMap<(&Name, &Name), Vec<&Instance>> = BTreeMap::new();
    for instance in instances {
        services.entry((&instance.service, &instance.environment)).or_default().push(instance);
    }
    let mut groups = BTreeMap::new();
    for ((service, environment), mut members) in services {
        if members.len() < 2 {
            continue;
        }
        members.sort_by_key(|member| (rank(member.role), member.id.clone()));
        let failover = members.iter().any(|member| member.role != Role::Member);
        let group = format!("{service}@{environment}");
        for (order, member) in (0..).zip(members) {
            let membership = Membership { group: group.clone(), order, failover };
            groups.insert(member.id.clone(), membership);
        }
    }
    groups
}

/// Changed in this order: the last fallback first, the primary last.
fn rank(role: Role) -> u32 {
    match role {
        Role::Fallback(number) => u32::MAX - 1 - number.min(u32::MAX - 2),
        Role::Member => 0,
        Role::Primary => u32::MAX,
    }
}

/// A duration as Go programs of every age read it: whole seconds or milliseconds.
fn span(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis.is_multiple_of(1000) { format!("{}s", millis / 1000) } else { format!("{millis}ms") }
}
