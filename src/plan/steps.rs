//! Steps and waves of a plan from ordered changes: ways back, gates, and what people are told.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{
    Action, Content, Gate, Moment, Replaced, Rollback, Step, Unit, UnitId, Wave, WayBack,
};

use super::Inputs;
use super::changes::{Change, position};
use super::order::Order;
use super::serving::Serving;
use super::{files, notices, reasons};

/// Builds every wave.
pub fn waves(inputs: &Inputs, changes: &[Change], order: &Order) -> Vec<Wave> {
    if changes.is_empty() {
        return Vec::new();
    }
    let serving = Serving::new(inputs.release, inputs.observed);
    let mut passed = BTreeMap::new();
    let mut waves = Vec::with_capacity(order.waves.len());
    for members in &order.waves {
        let members: Vec<&Change> = members.iter().filter_map(|i| changes.get(*i)).collect();
        let gate = gate(&members, &passed);
        for change in &members {
            remember(change, &mut passed);
        }
        let steps = members.iter().map(|change| step(inputs, changes, order, change, &serving));
        let mut steps: Vec<Step> = steps.collect();
        steps.sort_by(|a, b| a.unit.cmp(&b.unit));
        waves.push(Wave { gate, steps });
    }
    waves
}

/// Members that changed in earlier waves and how long gateways need to see them, by group.
type Passed<'a> = BTreeMap<&'a str, Vec<(&'a UnitId, Duration)>>;

fn remember<'a>(change: &Change<'a>, passed: &mut Passed<'a>) {
    let Some(unit) = change.new.filter(|unit| !unit.witness.is_zero()) else { return };
    if let Some(membership) = &unit.membership {
        passed.entry(&membership.group).or_default().push((change.unit, unit.witness));
    }
}

/// What a wave waits for: a member that serves now is only touched when gateways see the changed ones.
///
/// A member that is new takes nothing away, so nobody waits for it.
fn gate(members: &[&Change], passed: &Passed) -> Option<Gate> {
    let serves = members.iter().filter(|change| change.from.is_some());
    let groups = serves.filter_map(|change| {
        change.old.or(change.new)?.membership.as_ref().map(|membership| membership.group.as_str())
    });
    let mut seen: Vec<(&UnitId, Duration)> =
        groups.filter_map(|group| passed.get(group)).flatten().copied().collect();
    seen.sort_unstable();
    seen.dedup();
    let after = seen.iter().map(|(_, witness)| *witness).max()?;
    Some(Gate { after, seen: seen.into_iter().map(|(id, _)| id.clone()).collect() })
}

fn step(
    inputs: &Inputs,
    changes: &[Change],
    order: &Order,
    change: &Change,
    serving: &Serving,
) -> Step {
    let replaced: Vec<&Change> =
        change.replaces.iter().filter_map(|index| changes.get(*index)).collect();
    let files = files::changes(change.from.is_some(), change.old, change.new, inputs.contents);
    let reasons = reasons::reasons(change, &files);
    let notices = notices::notices(change, &replaced, &files, serving);
    let facts = inputs.nodes.get(&change.unit.node);
    Step {
        unit: change.unit.clone(),
        action: change.action,
        from: change.from.cloned(),
        to: change.to.clone(),
        replaces: replaced.iter().filter_map(|change| replaced_unit(change)).collect(),
        files,
        reasons,
        notices,
        way_back: way_back(change, &replaced),
        rollback: change.new.or(change.old).map_or(Rollback::Auto, |unit| unit.rollback),
        health: change.new.map(|unit| unit.health.clone()),
        health_before: change.old.map(|unit| unit.health.clone()),
        optional: facts.is_some_and(|facts| facts.optional),
        adopt: change.new.is_some_and(|unit| unit.adopt),
        depends_on: depends_on(changes, order, change),
        sealed: change.old.into_iter().chain(change.new).flat_map(Unit::sealed).collect(),
    }
}

fn replaced_unit(change: &Change) -> Option<Replaced> {
    Some(Replaced { unit: change.unit.clone(), from: change.from?.clone() })
}

/// What the unit needs that changes in an earlier wave.
fn depends_on(changes: &[Change], order: &Order, change: &Change) -> Vec<UnitId> {
    let wave = |index: usize| order.wave_of.get(index);
    let own = position(changes, change.unit).and_then(wave);
    let needs = change.new.iter().flat_map(|unit| &unit.depends_on);
    let earlier = needs.filter(|need| {
        position(changes, need).is_some_and(|index| {
            wave(index) < own && changes.get(index).is_some_and(|change| !change.removed())
        })
    });
    earlier.cloned().collect()
}

/// Whether a unit can be put back from what its node holds.
fn way_back(change: &Change, replaced: &[&Change]) -> WayBack {
    if !replaced.iter().all(|change| can_start_again(change)) {
        return WayBack::None;
    }
    let half_made = change.report.and_then(|report| report.units.get(change.unit));
    let runs = half_made.is_some_and(|unit| unit.current.is_some());
    let proven = match change.action {
        _ if !runs => return WayBack::Removal,
        Action::Remove => can_start_again(change),
        _ => is_whole(change),
    };
    if proven { WayBack::Previous } else { WayBack::None }
}

/// Whether the node holds the current manifest and every content it names.
fn is_whole(change: &Change) -> bool {
    let (Some(old), Some(report)) = (change.old, change.report) else { return false };
    let files = old.artifacts.iter().map(|file| &file.content);
    let commands = old.commands.iter().map(|command| &command.content);
    let mut contents = files.chain(commands).chain(old.sealed_env.values());
    contents.all(|content| holds(&report.blobs, content))
}

/// Whether a stopped unit can be started: its files stay until the verdict, its commands must be there.
fn can_start_again(change: &Change) -> bool {
    let (Some(old), Some(report)) = (change.old, change.report) else { return false };
    let needed = |unit: &Unit| {
        let moments = [Moment::Activate, Moment::Start, Moment::Stop];
        let commands = unit.commands.iter().filter(|command| moments.contains(&command.moment));
        commands.map(|command| command.content.clone()).collect::<Vec<_>>()
    };
    needed(old).iter().all(|content| holds(&report.blobs, content))
}

fn holds(blobs: &std::collections::BTreeSet<String>, content: &Content) -> bool {
    match content {
        Content::OnNode(name) => blobs.contains(name),
        Content::Bytes(_) | Content::Sealed(_) => blobs.contains(&content.blob()),
    }
}
