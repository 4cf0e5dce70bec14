//! What holds for every release and every observation.

use std::collections::{BTreeMap, BTreeSet};

use crate::build::*;
use gitsync::model::*;
use gitsync::plan::as_observed;
use proptest::prelude::*;

/// How one unit is made; dependencies point to earlier ones only.
#[derive(Clone, Debug)]
struct Seed {
    node: usize,
    before: Option<u8>,
    after: Option<u8>,
    needs: Vec<usize>,
    group: Option<u8>,
    port: Option<u16>,
    never: bool,
    witness: u64,
}

fn seed() -> impl Strategy<Value = Seed> {
    (
        0..4usize,
        prop::option::weighted(0.8, 0..2u8),
        prop::option::weighted(0.8, 0..2u8),
        prop::collection::vec(0..30usize, 0..3),
        prop::option::of(0..4u8),
        prop::option::weighted(0.3, 80..84u16),
        prop::bool::weighted(0.1),
        0..3u64,
    )
        .prop_map(|(node, before, after, needs, group, port, never, witness)| Seed {
            node,
            before,
            after,
            needs,
            group,
            port,
            never,
            witness,
        })
}

fn label(index: usize, seed: &Seed) -> String {
    // Names do not follow the order of dependencies.
    format!("n{}/service.s{}", seed.node, (index * 7) % 31)
}

fn made(seeds: &[Seed], version: impl Fn(&Seed) -> Option<u8>) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut ports = BTreeSet::new();
    for (index, seed) in seeds.iter().enumerate() {
        let Some(number) = version(seed) else { continue };
        let mut unit = unit(&label(index, seed), &number.to_string()).witness(seed.witness * 5);
        for need in seed.needs.iter().filter(|need| **need < index) {
            // Dependencies on what is not wanted are refused by the check.
            if version(&seeds[*need]).is_some() {
                unit.depends_on.insert(id(&label(*need, &seeds[*need])));
            }
        }
        if let Some(group) = seed.group {
            // A group is of one kind throughout.
            unit = unit.group(&format!("g{group}"), index as u32, group % 2 == 0);
        }
        if let Some(port) = seed.port.filter(|port| ports.insert((seed.node, *port))) {
            unit = unit.port(port);
        }
        if seed.never {
            unit.rollback = Rollback::Never;
        }
        units.push(unit);
    }
    units
}

fn stage(seeds: &[Seed], canary: u32) -> Scene {
    let mut scene = scene(made(seeds, |seed| seed.before), made(seeds, |seed| seed.after));
    scene.policy.canary = canary;
    scene.policy.prune.max_removals = Count::Percent(100);
    scene
}

fn wave_of(plan: &Plan) -> BTreeMap<&UnitId, usize> {
    let mut waves = BTreeMap::new();
    for (number, wave) in plan.waves.iter().enumerate() {
        for step in &wave.steps {
            waves.insert(&step.unit, number);
            waves.extend(step.replaces.iter().map(|gone| (&gone.unit, number)));
        }
    }
    waves
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_needed_unit_changes_in_an_earlier_wave(
        seeds in prop::collection::vec(seed(), 1..30), canary in 0..3u32,
    ) {
        let scene = stage(&seeds, canary);
        let plan = scene.plan();
        let waves = wave_of(&plan);
        for (unit, wave) in &waves {
            let Some(wanted) = scene.release.units.get(*unit) else { continue };
            for need in &wanted.depends_on {
                if let Some(earlier) = waves.get(need) {
                    prop_assert!(earlier < wave, "{unit} needs {need}");
                    prop_assert!(step(&plan, &unit.to_string()).depends_on.contains(need));
                }
            }
        }
        prop_assert!(!codes(&plan.warnings).contains(&"order-cycle"));
    }

    #[test]
    fn two_members_of_a_failover_group_are_never_changed_side_by_side(
        seeds in prop::collection::vec(seed(), 1..30), canary in 0..3u32,
    ) {
        let scene = stage(&seeds, canary);
        let plan = scene.plan();
        prop_assert!(!codes(&plan.refusals).contains(&"pair-in-one-wave"));
        let base = release(made(&seeds, |seed| seed.before));
        let mut seen = BTreeSet::new();
        for (unit, wave) in wave_of(&plan) {
            let known = scene.release.units.get(unit).or(base.units.get(unit)).unwrap();
            let Some(membership) = known.membership.as_ref().filter(|m| m.failover) else { continue };
            // Two within one replace step are one change.
            let replaced = plan.steps().any(|step| step.replaces.iter().any(|gone| gone.unit == *unit));
            if !replaced {
                prop_assert!(seen.insert((wave, &membership.group)), "{unit} in wave {wave}");
            }
        }
    }

    #[test]
    fn a_member_that_serves_waits_until_gateways_have_seen_those_before(
        seeds in prop::collection::vec(seed(), 1..30),
    ) {
        let scene = stage(&seeds, 1);
        let plan = scene.plan();
        let waves = wave_of(&plan);
        for (number, wave) in plan.waves.iter().enumerate() {
            for step in wave.steps.iter().filter(|step| step.from.is_some() && step.to.is_some()) {
                let group = scene.release.units[&step.unit].membership.as_ref().map(|m| &m.group);
                let earlier = scene.release.units.values().filter(|unit| {
                    group.is_some() && unit.membership.as_ref().map(|m| &m.group) == group
                        && waves.get(&unit.id).is_some_and(|wave| *wave < number)
                });
                for unit in earlier {
                    let gate = wave.gate.as_ref().map_or(Default::default(), |gate| gate.after);
                    prop_assert!(gate >= unit.witness, "{} after {}", step.unit, unit.id);
                }
            }
        }
    }

    #[test]
    fn what_goes_stops_after_all_that_stays_and_after_its_dependents(
        seeds in prop::collection::vec(seed(), 1..30),
    ) {
        let scene = stage(&seeds, 1);
        let plan = scene.plan();
        let waves = wave_of(&plan);
        let base = release(made(&seeds, |seed| seed.before));
        let plain: Vec<(usize, &Step)> = plan.waves.iter().enumerate()
            .flat_map(|(number, wave)| wave.steps.iter().map(move |step| (number, step)))
            .filter(|(_, step)| step.action == Action::Remove)
            .collect();
        for (number, gone) in plain {
            for dependent in base.units.values().filter(|unit| unit.depends_on.contains(&gone.unit)) {
                if let Some(wave) = waves.get(&dependent.id) {
                    prop_assert!(*wave < number || dependent.id == gone.unit, "{} before {}", gone.unit, dependent.id);
                }
            }
        }
    }

    #[test]
    fn planning_the_outcome_of_a_plan_gives_an_empty_plan(
        seeds in prop::collection::vec(seed(), 1..30),
    ) {
        let mut scene = stage(&seeds, 1);
        let before = scene.plan();
        let nodes: Vec<Name> = scene.nodes.keys().cloned().collect();
        scene.observed = as_observed(&scene.release, nodes.iter());
        let after = scene.plan();
        prop_assert!(after.is_empty() && after.warnings.is_empty());
        prop_assert_eq!(&after.observed, &before.wanted);
        prop_assert_eq!(after.unchanged, after.wanted.len());
    }

    #[test]
    fn every_change_is_in_exactly_one_step_and_the_same_input_gives_the_same_bytes(
        seeds in prop::collection::vec(seed(), 1..30),
    ) {
        let scene = stage(&seeds, 1);
        let plan = scene.plan();
        let mut all: Vec<&UnitId> = plan.steps()
            .flat_map(|step| std::iter::once(&step.unit).chain(step.replaces.iter().map(|gone| &gone.unit)))
            .collect();
        let count = all.len();
        all.sort();
        all.dedup();
        prop_assert_eq!(all.len(), count);
        let differ = plan.wanted.iter().filter(|(unit, to)| plan.observed.get(*unit) != Some(*to)).count();
        let gone = plan.observed.keys().filter(|unit| !plan.wanted.contains_key(*unit)).count();
        prop_assert_eq!(count, differ + gone);
        prop_assert!(plan.waves.iter().all(|wave| !wave.steps.is_empty()));
        prop_assert_eq!(&plan.release, &scene.release.digest());
        let bytes = |plan: &Plan| serde_json::to_string(plan).unwrap();
        prop_assert_eq!(bytes(&plan), bytes(&scene.plan()));
    }
}
