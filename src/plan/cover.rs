//! Who serves when a plan is carried out: members of a group never change side by side, and no gateway is left with
//! nothing behind it. Both are looked at in the finished waves, whoever put them in order.

use std::collections::BTreeMap;

use crate::model::{Action, Name, Observed, Release, Unit, UnitId, UnitKind, Warning, Wave};

use super::Inputs;
use super::changes::{Found, position};
use super::guards::warning;
use super::serving::is_well;

/// Two members in one wave of a group whose members take turns: a failover group, and a pair of equals.
///
/// What a step stops to take its place belongs to that step. Equals that go may go together.
pub fn side_by_side(waves: &[Wave], release: &Release, observed: &Observed) -> Vec<Warning> {
    let wanted = members(release);
    let mut refusals = Vec::new();
    for wave in waves {
        let mut seen: BTreeMap<&str, &UnitId> = BTreeMap::new();
        for step in &wave.steps {
            let unit = release.units.get(&step.unit).or_else(|| running(observed, &step.unit));
            let Some(membership) = unit.and_then(|unit| unit.membership.as_ref()) else { continue };
            let few = wanted.get(membership.group.as_str()).is_some_and(|count| *count <= 2);
            let serial = membership.failover || (few && step.action != Action::Remove);
            if let Some(other) =
                serial.then(|| seen.insert(&membership.group, &step.unit)).flatten()
            {
                let message = format!(
                    "{other} and {} would change side by side: nobody would serve",
                    step.unit
                );
                refusals.push(warning("pair-in-one-wave", message, Some(&step.unit)));
            }
        }
    }
    refusals
}

/// How many members a release wants of every group.
pub fn members(release: &Release) -> BTreeMap<&str, usize> {
    let mut wanted = BTreeMap::new();
    for membership in release.units.values().filter_map(|unit| unit.membership.as_ref()) {
        *wanted.entry(membership.group.as_str()).or_default() += 1;
    }
    wanted
}

fn running<'a>(observed: &'a Observed, id: &UnitId) -> Option<&'a Unit> {
    let current = observed.unit(id)?.current.as_ref()?;
    observed.report(&id.node)?.manifests.get(current)
}

/// Services that a gateway routes to, each with its instances.
type Behind<'a> = BTreeMap<(Option<&'a Name>, Option<&'a Name>), Vec<&'a UnitId>>;

fn behind(gateway: &Unit) -> Behind<'_> {
    let mut found = Behind::new();
    for id in gateway.depends_on.iter().filter(|id| id.kind == UnitKind::Service) {
        found.entry((id.name.as_ref(), id.environment.as_ref())).or_default().push(id);
    }
    found
}

fn gateways(release: &Release) -> impl Iterator<Item = (&UnitId, Behind<'_>)> {
    let gateways = release.units.iter().filter(|(id, _)| id.kind == UnitKind::Gateway);
    gateways.map(|(id, unit)| (id, behind(unit)))
}

/// Gateways of the release with a route that leads to no instance of it.
///
/// An instance on a node that does not answer may run there: a release that was put together from the nodes' own
/// records does not know.
pub fn without_upstream(inputs: &Inputs) -> Vec<Warning> {
    let mut refusals = Vec::new();
    let there = |id: &&&UnitId| {
        inputs.release.units.contains_key(**id) || inputs.observed.report(&id.node).is_none()
    };
    for (gateway, services) in gateways(inputs.release) {
        for upstreams in
            services.values().filter(|upstreams| !upstreams.iter().any(|id| there(&id)))
        {
            let Some(first) = upstreams.first() else { continue };
            let message = format!(
                "{gateway} would route to {}, of which this release has no instance",
                first.local()
            );
            refusals.push(warning("gateway-without-upstream", message, Some(gateway)));
        }
    }
    refusals
}

/// Gateways with a route whose instances all were seen down, and that this rollout does not touch.
pub fn down(inputs: &Inputs, found: &Found) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if found.changes.is_empty() {
        return warnings;
    }
    for (gateway, services) in gateways(inputs.release) {
        for upstreams in
            services.values().filter(|ids| ids.iter().all(|id| is_down(inputs, found, id)))
        {
            let named: Vec<String> = upstreams.iter().map(ToString::to_string).collect();
            let message = format!(
                "{gateway} has nothing to route to: {} does not run, and this rollout does not change it",
                named.join(", ")
            );
            warnings.push(warning("upstream-down", message, Some(gateway)));
        }
    }
    warnings
}

/// Whether an instance that stays as it is was seen not to run.
fn is_down(inputs: &Inputs, found: &Found, id: &UnitId) -> bool {
    let Some(unit) = inputs.release.units.get(id) else { return true };
    let seen = inputs.observed.unit(id);
    position(&found.changes, id).is_none() && seen.is_some_and(|report| !is_well(unit, report))
}
