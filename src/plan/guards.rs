//! What stops a plan from being applied, and what deserves a look before it is.

use std::collections::BTreeSet;

use crate::model::{Action, Name, Step, UnitId, Warning, Wave, WayBack};

use super::changes::{Change, Found, position};
use super::order::holds_controller;
use super::{Inputs, cover};

/// A warning or refusal with its stable code.
pub fn warning(code: &str, message: String, unit: Option<&UnitId>) -> Warning {
    Warning { code: code.to_owned(), message, unit: unit.cloned() }
}

/// Guards against wipe-outs.
pub fn refusals(inputs: &Inputs, found: &Found) -> Vec<Warning> {
    let mut refusals = Vec::new();
    let known = found.known.len();
    if inputs.release.units.is_empty() && known > 0 {
        let message = format!("the release is empty, but the nodes run {}", units(known));
        refusals.push(warning("empty-release", message, None));
    }
    let removals = found.changes.iter().filter(|change| change.removed()).count();
    let limit = inputs.policy.prune.limit(known);
    if removals > limit {
        let message = format!(
            "{} would be removed of {known}; the policy bears {limit} at once (rollout.prune.max_removals)",
            units(removals)
        );
        refusals.push(warning("too-many-removals", message, None));
    }
    refusals.extend(volatile(inputs, found));
    refusals.extend(moves(found));
    refusals
}

/// Nodes whose records a reboot would take: nothing new is brought there. A `local` node is for trying out.
fn volatile(inputs: &Inputs, found: &Found) -> Vec<Warning> {
    let brought = found.changes.iter().filter(|change| !change.removed());
    let nodes: BTreeSet<&Name> = brought.map(|change| &change.unit.node).collect();
    let kept = nodes.into_iter().filter(|node| inputs.nodes.get(*node).is_some_and(|f| !f.local));
    let refusals = kept.filter_map(|node| {
        let kind = inputs.observed.report(node)?.volatile.as_ref()?;
        let message = format!(
            "the root directory of {node} is on {kind}, which forgets everything at a reboot"
        );
        Some(warning("volatile-root", message, None))
    });
    refusals.collect()
}

/// Services that leave volumes behind on one node and begin without them on another, unless they say that it is meant.
fn moves<'a>(found: &'a Found<'a>) -> impl Iterator<Item = Warning> + 'a {
    let arrives = |change: &&Change| change.action != Action::Remove && change.from.is_none();
    let arriving = found.changes.iter().filter(arrives).filter_map(|change| change.new);
    arriving.filter(|new| !new.about.contains_key("moves")).filter_map(|new| {
        let same = |gone: &&Change| {
            let (gone, new) = (gone.unit, &new.id);
            (gone.kind, &gone.name, &gone.environment) == (new.kind, &new.name, &new.environment)
        };
        let holds = |gone: &&Change| gone.old.is_some_and(|old| !old.claims.volumes.is_empty());
        let gone = found.changes.iter().filter(|change| change.removed());
        let gone = gone.filter(same).find(holds)?;
        let (unit, node) = (gone.unit, &new.id.node);
        let message = format!("{unit} moves to {node} and leaves its volumes behind");
        Some(warning("volumes-left-behind", message, Some(&new.id)))
    })
}

/// Removals of what the controller itself runs in: nobody would be left to end the rollout.
pub fn cuts<'a>(inputs: &'a Inputs, found: &'a Found<'a>) -> impl Iterator<Item = Warning> + 'a {
    let removed = found.changes.iter().filter(|change| change.removed());
    removed.filter(|change| holds_controller(change, inputs)).map(|change| {
        let message = format!("{} would be removed, and the controller runs in it", change.unit);
        warning("cuts-controller", message, Some(change.unit))
    })
}

/// A controller's unit that neither the fleet nor a node knows: it would not be spared.
fn strange_controller(inputs: &Inputs) -> Option<Warning> {
    let unit = inputs.controller?;
    let known = inputs.release.units.contains_key(unit) || inputs.observed.unit(unit).is_some();
    let message = format!(
        "the controller's settings say that it runs in {unit}, which this fleet does not have: nothing is spared for it"
    );
    (!known).then(|| warning("unknown-controller", message, None))
}

/// `1 unit`, `3 units`.
pub fn units(count: usize) -> String {
    if count == 1 { "1 unit".to_owned() } else { format!("{count} units") }
}

/// What deserves a look.
pub fn warnings(inputs: &Inputs, found: &Found) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (id, _) in &found.kept {
        let message = format!("{id} is no longer wanted and stays: pruning is off");
        warnings.push(warning("prune-disabled", message, Some(id)));
    }
    for node in uncovered(inputs, found) {
        let message = format!(
            "{node} has no cover across a reboot (boot: none): if it reboots during the rollout, \
             it stays between old and new until a controller is back"
        );
        warnings.push(warning("no-reboot-cover", message, None));
    }
    for change in &found.changes {
        if let Some(rollout) = change.leftover {
            let message = format!("{} was left half changed by rollout {rollout}", change.unit);
            warnings.push(warning("foreign-pending", message, Some(change.unit)));
        }
    }
    warnings.extend(asleep(inputs, found));
    warnings.extend(cover::down(inputs, found));
    warnings.extend(strange_controller(inputs));
    warnings
}

fn uncovered<'a>(inputs: &Inputs, found: &Found<'a>) -> BTreeSet<&'a Name> {
    let bare = |node: &Name| inputs.nodes.get(node).is_some_and(|f| !f.boot_cover && !f.local);
    found.changes.iter().map(|change| &change.unit.node).filter(|node| bare(node)).collect()
}

/// Changed units that need something on a node that takes no part.
fn asleep(inputs: &Inputs, found: &Found) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for change in &found.changes {
        let needs = change.new.iter().flat_map(|unit| &unit.depends_on);
        for need in needs.filter(|need| position(&found.changes, need).is_none()) {
            if inputs.observed.report(&need.node).is_none() {
                let message = format!(
                    "{} needs {need}, but {} does not answer: it is not known to run",
                    change.unit, need.node
                );
                warnings.push(warning("dependency-asleep", message, Some(change.unit)));
            }
        }
    }
    warnings
}

/// Steps without a way back: refusals, or warnings when that is allowed.
pub fn ways_back(waves: &[Wave], allowed: bool) -> (Vec<Warning>, Vec<Warning>) {
    let lost = |step: &&Step| step.way_back == WayBack::None;
    let told = waves.iter().flat_map(|wave| &wave.steps).filter(lost).map(|step| {
        warning("no-way-back", format!("no way back: {}", step.unit), Some(&step.unit))
    });
    let mut told: Vec<Warning> = told.collect();
    told.sort_by(|a, b| a.unit.cmp(&b.unit));
    if allowed { (Vec::new(), told) } else { (told, Vec::new()) }
}
