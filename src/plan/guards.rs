//! What stops a plan from being applied, and what deserves a look before it is.

use std::collections::BTreeSet;

use crate::model::{Name, Step, UnitId, Warning, Wave, WayBack};

use super::Inputs;
use super::changes::{Found, position};

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
    refusals
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
