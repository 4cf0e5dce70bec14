//! What must hold in every run, each by its name; `promises.rs` has a test of that name for each.

use std::time::Duration;

use gitsync::event::Happening;
use gitsync::model::{
    Digest, Effect, FailureKind, Name, OnFailure, OutcomeResult, Rollback, Step, Timestamp, UnitId,
    Verdict,
};
use gitsync::rollout::{NodeProgress, StepState};
use gitsync::transport::fake::{ANOTHER, Badness, FakeUnit, Fault, FaultKind, World};

use crate::run::{Run, Scenario, essence};

/// Every invariant.
pub const NAMES: [&str; 27] = [
    "wholly_new_or_wholly_old_or_named",
    "every_rollout_ends",
    "a_decision_is_never_taken_back",
    "a_decision_reaches_every_node_that_can_be_reached",
    "nothing_is_decided_over_a_node_that_took_its_changes_back",
    "nothing_changes_before_every_node_is_ready",
    "nothing_is_removed_before_the_decision",
    "no_node_is_left_armed_after_the_verdict",
    "a_lease_that_is_counted_on_puts_back",
    "a_lower_fence_never_changes_anything",
    "what_is_needed_is_good_first",
    "put_back_in_reverse",
    "what_was_put_back_is_proven",
    "members_of_a_pair_never_down_together",
    "max_parallel_holds",
    "one_thing_at_a_time_is_done_to_a_unit",
    "what_must_never_go_back_stays",
    "a_fleet_that_halts_puts_nothing_back",
    "only_bad_content_quarantines",
    "a_replayed_journal_gives_the_same_state",
    "no_outcome_counts_twice",
    "every_outcome_that_was_asked_for_is_taken",
    "every_node_is_told_the_end",
    "nodes_that_heard_the_end_know_it",
    "the_end_is_told_once",
    "every_trouble_says_what_to_do",
    "a_node_that_returns_in_time_needs_no_operator",
];

/// What is asked for at once.
pub fn on_effects(run: &mut Run<'_>, listed: &[Effect]) {
    let plan = &run.scenario.plan;
    let most = plan.policy.max_parallel as usize;
    let units = listed.iter().filter(|effect| effect.unit().is_some()).count();
    if units > most {
        run.broke("max_parallel_holds", format!("{listed:?}"));
    }
    let back =
        |e: &&Effect| matches!(essence(e), Effect::PutBack { .. } | Effect::ProbeBack { .. });
    if run.decided && listed.iter().any(|effect| back(&effect)) {
        run.broke("a_decision_is_never_taken_back", format!("{listed:?}"));
    }
}

/// What an effect is about to do to the nodes.
pub fn before_effect(run: &mut Run<'_>, effect: &Effect) {
    one_at_a_time(run, effect);
    match essence(effect) {
        Effect::Change { unit } | Effect::Stop { unit } => {
            all_ready(run, unit);
            dependencies_first(run, unit);
            partner_serves(run, unit, |step| step.to.clone());
        }
        Effect::PutBack { unit } => {
            dependents_back_first(run, unit);
            later_waves_back_first(run, unit);
            never_stays(run, unit);
            halting_stays(run, unit);
            partner_serves(run, unit, |step| step.from.clone());
        }
        _ => {}
    }
}

/// What the nodes look like after an effect.
pub fn after_effect(run: &mut Run<'_>) {
    overtaken_stay(run);
    if run.decided {
        return;
    }
    let steps: Vec<&Step> = run.scenario.plan.steps().collect();
    for step in steps {
        let going = step.to.is_none().then_some(&step.unit);
        for unit in going.into_iter().chain(step.replaces.iter().map(|r| &r.unit)) {
            let files = run.world.unit(unit).and_then(|unit| unit.files.as_ref());
            if files.is_none() {
                run.broke("nothing_is_removed_before_the_decision", format!("{unit}"));
            }
        }
    }
}

/// A node that another controller took over is as that one found it.
fn overtaken_stay(run: &mut Run<'_>) {
    if !run.scenario.faults.iter().any(|fault| fault.kind == FaultKind::Overtaken) {
        return;
    }
    for name in &run.scenario.plan.nodes {
        let Some(node) = run.world.node(name).filter(|node| node.nonce == ANOTHER) else {
            continue;
        };
        let there =
            |(id, unit): (&UnitId, &FakeUnit)| (id.clone(), unit.files.clone(), unit.runs.clone());
        let now: Vec<_> = node.units.iter().map(there).collect();
        let then = run.overtaken.entry(name.clone()).or_insert_with(|| now.clone());
        if *then != now {
            let what = format!("{name}: {then:?} became {now:?}");
            run.broken.push(("a_lower_fence_never_changes_anything", what));
            return;
        }
    }
}

/// The first step that is done finds every node ready.
fn all_ready(run: &mut Run<'_>, unit: &UnitId) {
    use NodeProgress::{Foreign, Preparing, Unsure};
    let open = |state| matches!(state, Preparing | Unsure | Foreign);
    let unready = run.rollout.nodes().find(|(_, state)| open(*state));
    if let Some(what) = unready.map(|(name, state)| format!("{unit} while {name} is {state:?}")) {
        run.broke("nothing_changes_before_every_node_is_ready", what);
    }
}

/// What a decision rests on, at the moment when it is made.
pub fn on_decision(run: &mut Run<'_>) {
    let there = |unit: &UnitId| run.world.unit(unit).and_then(|unit| unit.runs.clone());
    let mut steps = run.scenario.plan.steps();
    let missing = steps.find(|step| match state(run, &step.unit) {
        Some(StepState::Good(_)) => there(&step.unit) != step.to,
        Some(StepState::Stopped) => there(&step.unit).is_some(),
        _ => false,
    });
    if let Some(what) = missing.map(|step| step.unit.to_string()) {
        run.broke("nothing_is_decided_over_a_node_that_took_its_changes_back", what);
    }
}

/// A wave goes back when those after it are through; members of a pair may wait for each other.
fn later_waves_back_first(run: &mut Run<'_>, unit: &UnitId) {
    let plan = &run.scenario.plan;
    if plan.waves.iter().any(|wave| wave.gate.is_some()) {
        return;
    }
    let wave = run.rollout.steps().find(|step| step.unit == unit).map_or(0, |step| step.wave);
    let open =
        |s| matches!(s, StepState::Suspect | StepState::PuttingBack | StepState::ProbingBack);
    let mut later = run.rollout.steps().filter(|step| step.wave > wave && open(step.state));
    // One whose old version did not answer is asked again at the end.
    let early = later.next().map(|step| format!("{unit} before {}", step.unit));
    drop(later);
    if let Some(what) = early {
        run.broke("put_back_in_reverse", what);
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
        run.broke("one_thing_at_a_time_is_done_to_a_unit", what);
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
            run.broke("what_is_needed_is_good_first", format!("{unit} before {need}"));
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
                run.broke("put_back_in_reverse", what);
            }
        }
    }
}

fn never_stays(run: &mut Run<'_>, unit: &UnitId) {
    if run.step(unit).is_some_and(|step| step.rollback == Rollback::Never) {
        run.broke("what_must_never_go_back_stays", unit.to_string());
    }
}

fn halting_stays(run: &mut Run<'_>, unit: &UnitId) {
    let halts = run.scenario.plan.policy.on_failure == OnFailure::Halt;
    let cancelled = run.journal.iter().any(|outcome| outcome.effect == Effect::Operator);
    if halts && !cancelled {
        run.broke("a_fleet_that_halts_puts_nothing_back", unit.to_string());
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
        run.broke(
            "members_of_a_pair_never_down_together",
            format!("{unit} while {partner} is not seen"),
        );
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
    proven(run, verdict);
    overtaken_stay(run);
    remedies(run);
    reached(run, verdict);
    returned(run, verdict);
    lapsed(run);
}

/// What the nodes look like at the verdict, before any time passes.
pub fn at_the_verdict(run: &mut Run<'_>) {
    use NodeProgress::{Foreign, Left, Unheard};
    if run.rollout.verdict().is_none() {
        return;
    }
    let excused = |state| matches!(state, Foreign | Left | Unheard);
    let told: Vec<Name> =
        run.rollout.nodes().filter(|(_, s)| !excused(*s)).map(|(name, _)| name.clone()).collect();
    for name in told {
        let ours = run.world.node(&name).filter(|node| node.nonce != ANOTHER);
        let marker = ours.and_then(|node| node.marker.clone());
        if let Some(marker) = marker {
            run.broke("no_node_is_left_armed_after_the_verdict", format!("{name}: {marker:?}"));
        }
    }
}

/// Long after the end no lease waits any more.
fn lapsed(run: &mut Run<'_>) {
    for name in &run.scenario.plan.nodes {
        let armed = run.world.node(name).and_then(|node| node.marker.as_ref()?.lapses);
        if let Some(until) = armed {
            let what = format!("{name} until {until:?}");
            run.broken.push(("no_node_is_left_armed_after_the_verdict", what));
        }
    }
}

/// A fleet that is said to be as before was asked, unit by unit.
fn proven(run: &mut Run<'_>, verdict: Verdict) {
    if verdict != Verdict::RolledBack {
        return;
    }
    let passed = |unit: &UnitId| {
        run.journal.iter().any(|outcome| {
            let probe =
                matches!(essence(&outcome.effect), Effect::ProbeBack { unit: it } if it == unit);
            probe && matches!(outcome.result, OutcomeResult::Passed(_))
        })
    };
    let mut steps = run.rollout.steps().filter(|step| matches!(step.state, StepState::Back(_)));
    let asked = |unit: &UnitId| {
        run.step(unit).is_some_and(|step| step.from.is_some() && step.health_before.is_some())
    };
    let silent = steps.find(|step| asked(step.unit) && !passed(step.unit));
    let silent = silent.map(|step| step.unit.to_string());
    drop(steps);
    if let Some(what) = silent {
        run.broke("what_was_put_back_is_proven", what);
    }
}

fn remedies(run: &mut Run<'_>) {
    let mut troubles = run.rollout.troubles().iter();
    let bare = |next: &str| !next.contains('`') || next.contains("  ");
    let untold = troubles.find(|t| bare(&t.next) || !run.rollout.reason().contains(&t.next));
    if let Some(what) = untold.map(|trouble| format!("{trouble:?}")) {
        run.broke("every_trouble_says_what_to_do", what);
    }
}

/// Nodes that only restored themselves, and not too often, get the decision all the same.
fn reached(run: &mut Run<'_>, verdict: Verdict) {
    let Scenario { faults, kills, stall, silent, .. } = run.scenario;
    let mild = faults.iter().all(|f| matches!(f.kind, FaultKind::Lapse | FaultKind::Reboot));
    let times = faults.len() + kills.len() + usize::from(stall.is_some());
    if run.decided && mild && silent.is_none() && times <= 2 && verdict != Verdict::Converged {
        let what = run.rollout.reason().to_owned();
        run.broke("a_decision_reaches_every_node_that_can_be_reached", what);
    }
}

/// A node with a lease that is away for less than it is waited for is put back when it returns.
fn returned(run: &mut Run<'_>, verdict: Verdict) {
    let away = |fault: &Fault| match fault.kind {
        FaultKind::Gone { until: Some(until) } | FaultKind::Closed { until } => {
            until <= Timestamp(2_060_000)
        }
        _ => false,
    };
    let Scenario { plan, faults, kills, stall, silent, bad, undecided, .. } = run.scenario;
    let alone = kills.is_empty() && stall.is_none() && silent.is_none() && bad.is_empty();
    let leased = plan.policy.dead_man == Some(Duration::from_secs(60));
    let whole = plan.policy.on_failure == OnFailure::Rollback
        && plan.steps().all(|step| step.rollback == Rollback::Auto);
    let short = faults.len() == 1 && faults.iter().all(away) && !undecided;
    if alone && leased && whole && short && verdict == Verdict::NeedsOperator {
        let what = run.rollout.reason().to_owned();
        run.broke("a_node_that_returns_in_time_needs_no_operator", what);
    }
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

/// Whether what is to be removed does not run, with every file in its place.
fn stopped(world: &World, step: &Step) -> bool {
    let whole = |unit: &FakeUnit| unit.runs.is_none() && unit.files == step.from;
    world.unit(&step.unit).is_none_or(whole)
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
    // Lost before it heard the decision, and without a lease: its return finds what goes still there, stopped.
    let unleased = run.rollout.plan().policy.dead_man.is_none();
    let stays = match &step.to {
        Some(to) => at(world, &step.unit, Some(to)),
        None => stopped(world, step),
    };
    let untold = unleased && run.decided && stays;
    let held = match verdict {
        Verdict::Converged => new || (left && (old || untold)),
        Verdict::RolledBack => old,
        Verdict::NeedsOperator if run.decided => new || named || (left && (old || untold)),
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
        return run.broke("a_lease_that_is_counted_on_puts_back", what);
    }
    let spoken = !named || reason.contains(&step.unit.to_string());
    if !held || !spoken {
        let there = run.world.unit(&step.unit);
        let what = format!("{} with {verdict}: {there:?}, told: {reason}", step.unit);
        run.broke("wholly_new_or_wholly_old_or_named", what);
    }
}

fn quarantined_for_content(run: &mut Run<'_>) {
    let content =
        |what: &Happening| matches!(what, Happening::Failed { kind: FailureKind::Content, .. });
    let forward = run
        .events
        .iter()
        .take_while(|e| !matches!(e.what, Happening::PuttingBack { .. } | Happening::Decided));
    let failed = forward.filter(|event| content(&event.what)).count() > 0;
    let spoiled = !run.scenario.bad.is_empty() || !run.scenario.needs.is_empty();
    let quarantined = run.rollout.quarantine().is_some();
    if quarantined != failed || (quarantined && !spoiled) {
        let what = format!("quarantined: {quarantined}, failed: {failed}, spoiled: {spoiled}");
        run.broke("only_bad_content_quarantines", what);
    }
}

/// The end is told once, last of all; no node is forgotten, and those that heard it know the verdict.
fn told(run: &mut Run<'_>, verdict: Verdict) {
    let ends = run.events.iter().filter(|e| matches!(e.what, Happening::Ended { .. })).count();
    let last = run.events.last().map(|event| &event.what);
    let right = matches!(last, Some(Happening::Ended { verdict: said, .. }) if *said == verdict);
    if ends != 1 || !right {
        run.broke("the_end_is_told_once", format!("{last:?}"));
    }
    let open = |state| {
        use NodeProgress::{Abandoning, Confirming, Prepared, Preparing, Unsure};
        matches!(state, Preparing | Prepared | Unsure | Confirming | Abandoning)
    };
    if run.scenario.plan.steps().count() > 0 && run.rollout.nodes().any(|(_, state)| open(state)) {
        run.broke(
            "every_node_is_told_the_end",
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
            run.broke("nodes_that_heard_the_end_know_it", format!("{name}: {record:?}"));
        }
    }
}
