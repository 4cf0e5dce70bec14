//! What must hold in every run, each by its name.

use std::time::Duration;

use gitsync::event::Happening;
use gitsync::model::{
    Digest, Effect, FailureKind, Name, OnFailure, Rollback, Step, UnitId, Verdict,
};
use gitsync::rollout::{NodeProgress, StepState};
use gitsync::transport::fake::{Badness, World};

use crate::run::{Run, essence};

/// What is asked for at once.
pub fn on_effects(run: &mut Run<'_>, listed: &[Effect]) {
    let plan = &run.scenario.plan;
    let most = plan.policy.max_parallel as usize;
    let units = listed.iter().filter(|effect| effect.unit().is_some()).count();
    if units > most {
        run.broke("never more than max_parallel at once", format!("{listed:?}"));
    }
    let back =
        |e: &&Effect| matches!(essence(e), Effect::PutBack { .. } | Effect::ProbeBack { .. });
    if run.decided && listed.iter().any(|effect| back(&effect)) {
        run.broke("after the decision it only goes forward", format!("{listed:?}"));
    }
}

/// What an effect is about to do to the nodes.
pub fn before_effect(run: &mut Run<'_>, effect: &Effect) {
    one_at_a_time(run, effect);
    match essence(effect) {
        Effect::Change { unit } | Effect::Stop { unit } => {
            dependencies_first(run, unit);
            partner_serves(run, unit, |step| step.to.clone());
        }
        Effect::PutBack { unit } => {
            dependents_back_first(run, unit);
            never_stays(run, unit);
            halting_stays(run, unit);
            partner_serves(run, unit, |step| step.from.clone());
        }
        _ => {}
    }
}

/// What the nodes look like after an effect.
pub fn after_effect(run: &mut Run<'_>) {
    if run.decided {
        return;
    }
    let steps: Vec<&Step> = run.scenario.plan.steps().collect();
    for step in steps {
        let going = step.to.is_none().then_some(&step.unit);
        for unit in going.into_iter().chain(step.replaces.iter().map(|r| &r.unit)) {
            let files = run.world.unit(unit).and_then(|unit| unit.files.as_ref());
            if files.is_none() {
                run.broke("nothing is removed before the decision", format!("{unit}"));
            }
        }
    }
}

/// Two effects that move one unit could come to pass in either order.
fn one_at_a_time(run: &mut Run<'_>, effect: &Effect) {
    let moves = |effect: &Effect| match essence(effect) {
        Effect::Change { unit } | Effect::Stop { unit } | Effect::PutBack { unit } => {
            Some(unit.clone())
        }
        _ => None,
    };
    let mut others = run.under_way.iter().filter(|outcome| moves(&outcome.effect).is_some());
    let twin = others.find(|outcome| moves(&outcome.effect) == moves(effect));
    if let Some(twin) = twin {
        let what = format!("{effect:?} during {:?}", twin.effect);
        run.broke("one thing at a time is done to a unit", what);
    }
}

fn state(run: &Run<'_>, unit: &UnitId) -> Option<StepState> {
    run.rollout.steps().find(|step| step.unit == unit).map(|step| step.state)
}

fn dependencies_first(run: &mut Run<'_>, unit: &UnitId) {
    let needs = run.step(unit).map(|step| step.depends_on.as_slice()).unwrap_or_default();
    for need in needs {
        let settled = run.events.iter().any(|event| match &event.what {
            Happening::Healthy { unit, .. } | Happening::Stopped { unit } => unit == need,
            Happening::NodeLeft { node, .. } => *node == need.node,
            _ => false,
        });
        if run.step(need).is_some() && !settled {
            run.broke("dependencies are good first", format!("{unit} before {need}"));
        }
    }
}

fn dependents_back_first(run: &mut Run<'_>, unit: &UnitId) {
    let steps = run.scenario.plan.steps();
    let dependents: Vec<&Step> = steps.filter(|step| step.depends_on.contains(unit)).collect();
    for dependent in dependents {
        let open = |s| matches!(s, StepState::Suspect | StepState::PuttingBack | StepState::Kept);
        if state(run, &dependent.unit).is_some_and(open) {
            let what = format!("{unit} before {}", dependent.unit);
            // One that is left as it is only holds what it needs when it says `rollback: never`.
            let kept = state(run, &dependent.unit) == Some(StepState::Kept);
            if !kept || dependent.rollback == Rollback::Never {
                run.broke("dependents go back first", what);
            }
        }
    }
}

fn never_stays(run: &mut Run<'_>, unit: &UnitId) {
    if run.step(unit).is_some_and(|step| step.rollback == Rollback::Never) {
        run.broke("what says `rollback: never` is not put back", unit.to_string());
    }
}

fn halting_stays(run: &mut Run<'_>, unit: &UnitId) {
    let halts = run.scenario.plan.policy.on_failure == OnFailure::Halt;
    let cancelled = run.journal.iter().any(|outcome| outcome.effect == Effect::Operator);
    if halts && !cancelled {
        run.broke("a fleet that halts puts nothing back", unit.to_string());
    }
}

/// Whether requests that gateways send to a unit are answered.
fn serves(run: &Run<'_>, unit: &UnitId, seen_for: Duration) -> bool {
    let Some(there) = run.world.unit(unit) else { return false };
    let Some(version) = there.runs.as_ref() else { return false };
    let mut bad = run.scenario.bad.iter();
    let silent = bad.any(|(digest, bad)| digest == version && *bad == Badness::Probe);
    !there.dead && !silent && there.since.after(seen_for) <= run.world.now()
}

/// A member of a pair is only touched while gateways can send requests to the other.
fn partner_serves(run: &mut Run<'_>, unit: &UnitId, target: fn(&Step) -> Option<Digest>) {
    if run.scenario.nodes_act_alone() {
        return;
    }
    let group = |id: &UnitId| (id.kind, id.name.clone(), id.environment.clone());
    let gates = run.scenario.plan.waves.iter().filter_map(|wave| wave.gate.as_ref());
    let gate = gates.clone().find(|gate| gate.seen.iter().any(|seen| group(seen) == group(unit)));
    let steps = run.scenario.plan.steps();
    let partner = steps.map(|s| &s.unit).find(|id| *id != unit && group(id) == group(unit));
    let (Some(gate), Some(partner)) = (gate, partner) else { return };
    let there = run.world.unit(unit).and_then(|unit| unit.runs.clone());
    let moves = there.is_some() && there != run.step(unit).and_then(target);
    if moves && serves(run, unit, Duration::ZERO) && !serves(run, partner, gate.after) {
        run.broke("a pair serves throughout", format!("{unit} while {partner} is not seen"));
    }
}

/// What is left when everything is quiet.
pub fn at_the_end(run: &mut Run<'_>) {
    let Some(verdict) = run.rollout.verdict() else { return };
    let steps: Vec<&Step> = run.scenario.plan.steps().collect();
    for step in steps {
        wholly_one(run, step, verdict);
    }
    quarantined_for_content(run);
    told(run, verdict);
}

fn at(world: &World, unit: &UnitId, version: Option<&Digest>) -> bool {
    match (world.unit(unit), version) {
        (None, None) => true,
        (Some(unit), Some(_)) => {
            [&unit.current, &unit.files, &unit.runs].iter().all(|there| there.as_ref() == version)
        }
        _ => false,
    }
}

fn wholly_one(run: &mut Run<'_>, step: &Step, verdict: Verdict) {
    let world = &run.world;
    let replaced =
        |there: bool| step.replaces.iter().all(|r| at(world, &r.unit, there.then_some(&r.from)));
    let old = at(world, &step.unit, step.from.as_ref()) && replaced(true);
    let new = at(world, &step.unit, step.to.as_ref()) && replaced(false);
    let mut troubles = run.rollout.troubles().iter();
    let named = troubles.any(|trouble| trouble.unit.as_ref() == Some(&step.unit));
    let gone = |(name, state): (&Name, _)| *name == step.unit.node && state == NodeProgress::Left;
    let left = run.rollout.nodes().any(gone);
    let held = match verdict {
        Verdict::Converged => new || (left && old),
        Verdict::RolledBack => old,
        Verdict::NeedsOperator if run.decided => new || named || (left && old),
        Verdict::NeedsOperator => old || named,
    };
    let reason = run.rollout.reason();
    let leased = run.rollout.plan().policy.dead_man.is_some();
    let promised = leased
        && run.rollout.troubles().iter().any(|trouble| {
            let lost = ["could not be put back", "is back, the next rollout puts it right"];
            let told = format!("{} {}", trouble.message, trouble.next);
            let lost = lost.iter().all(|words| told.contains(words));
            trouble.unit.as_ref() == Some(&step.unit) && lost
        });
    if promised && !old {
        let there = run.world.unit(&step.unit);
        let what = format!("{}: {there:?}", step.unit);
        return run.broke("a lease that is counted on puts back", what);
    }
    let spoken = !named || reason.contains(&step.unit.to_string());
    if !held || !spoken {
        let there = run.world.unit(&step.unit);
        let what = format!("{} with {verdict}: {there:?}, told: {reason}", step.unit);
        run.broke("wholly new or wholly old, or named", what);
    }
}

fn quarantined_for_content(run: &mut Run<'_>) {
    let content =
        |what: &Happening| matches!(what, Happening::Failed { kind: FailureKind::Content, .. });
    let forward =
        run.events.iter().take_while(|e| !matches!(e.what, Happening::PuttingBack { .. }));
    let failed = forward.filter(|event| content(&event.what)).count() > 0;
    let spoiled = !run.scenario.bad.is_empty() || !run.scenario.needs.is_empty();
    let quarantined = run.rollout.quarantine().is_some();
    if quarantined != failed || (quarantined && !spoiled) {
        let what = format!("quarantined: {quarantined}, failed: {failed}, spoiled: {spoiled}");
        run.broke("quarantined exactly when content failed", what);
    }
}

/// The end is told once, last of all; no node is forgotten, and those that heard it know the verdict.
fn told(run: &mut Run<'_>, verdict: Verdict) {
    let ends = run.events.iter().filter(|e| matches!(e.what, Happening::Ended { .. })).count();
    let last = run.events.last().map(|event| &event.what);
    let right = matches!(last, Some(Happening::Ended { verdict: said, .. }) if *said == verdict);
    if ends != 1 || !right {
        run.broke("the end is told once", format!("{last:?}"));
    }
    let open = |state| {
        use NodeProgress::{Abandoning, Confirming, Prepared, Preparing, Unsure};
        matches!(state, Preparing | Prepared | Unsure | Confirming | Abandoning)
    };
    if run.scenario.plan.steps().count() > 0 && run.rollout.nodes().any(|(_, state)| open(state)) {
        run.broke(
            "every node is told the end",
            format!("{:?}", run.rollout.nodes().collect::<Vec<_>>()),
        );
    }
    let heard: Vec<_> = run
        .rollout
        .nodes()
        .filter_map(|(name, state)| {
            let word = match state {
                NodeProgress::Confirmed => Verdict::Converged.word(),
                NodeProgress::Abandoned => verdict.word(),
                _ => return None,
            };
            Some((name.clone(), word))
        })
        .collect();
    for (name, word) in heard {
        let record = run.world.node(&name).map(|node| node.record.clone()).unwrap_or_default();
        let said = record.verdict.as_ref().map(|(word, ..)| word.as_str());
        if said != Some(word) || record.holder.is_some() {
            run.broke("nodes that heard the end know it", format!("{name}: {record:?}"));
        }
    }
}
