//! Drift is told apart from a plan.

use crate::build::*;
use gitsync::model::*;
use gitsync::plan::{Drift, DriftKind, drift, fallen, moved};

fn found(scene: &Scene) -> Vec<DriftKind> {
    drift(&scene.release, &scene.observed).into_iter().map(|drift| drift.kind).collect()
}

fn still() -> Scene {
    scene([unit("a/service.x", "1")], [unit("a/service.x", "1")])
}

fn report<'a>(scene: &'a mut Scene, text: &str) -> &'a mut UnitReport {
    let unit = id(text);
    scene.report(unit.node.as_str()).units.get_mut(&unit).unwrap()
}

#[test]
fn a_node_that_runs_what_it_was_given_does_not_drift() {
    let mut scene = still();
    let good = scene.release.units[&id("a/service.x")].artifacts[0].clone();
    let state = FileState::Present { hash: good.blob(), mode: 0o644, owner: "root:root".into() };
    report(&mut scene, "a/service.x").files =
        vec![FileReport { destination: good.destination, state }];
    assert_eq!(found(&scene), []);
}

#[test]
fn files_that_moved_are_found_one_by_one() {
    let destination = "/opt/stacks/service-x/compose.yaml".to_owned();
    let expected = still().release.units[&id("a/service.x")].artifacts[0].blob();
    let present = |hash: &str, mode| FileState::Present {
        hash: hash.into(),
        mode,
        owner: "root:root".into(),
    };
    let cases = [
        (FileState::Missing, DriftKind::FileMissing { destination: destination.clone() }),
        (
            FileState::Foreign("link".into()),
            DriftKind::FileForeign { destination: destination.clone(), found: "link".into() },
        ),
        (
            present("0", 0o644),
            DriftKind::FileChanged {
                destination: destination.clone(),
                expected: expected.clone(),
                sensitive: false,
            },
        ),
        (
            present(&expected, 0o666),
            DriftKind::FileMode {
                destination: destination.clone(),
                expected: "0644".into(),
                found: "0666".into(),
            },
        ),
    ];
    for (state, kind) in cases {
        let mut scene = still();
        report(&mut scene, "a/service.x").files =
            vec![FileReport { destination: path(&destination), state }];
        assert_eq!(found(&scene), [kind]);
        assert!(scene.plan().is_empty(), "drift is no change");
    }
}

#[test]
fn an_owner_counts_only_where_it_is_managed() {
    let owned =
        || unit("a/service.x", "1").with(|unit| unit.artifacts[0].owner = Some("app:app".into()));
    let mut scene = scene([owned()], [owned()]);
    let hash = owned().artifacts[0].blob();
    let state = FileState::Present { hash, mode: 0o644, owner: "root:root".into() };
    report(&mut scene, "a/service.x").files =
        vec![FileReport { destination: path("/opt/stacks/service-x/compose.yaml"), state }];
    assert_eq!(
        found(&scene),
        [DriftKind::FileMode {
            destination: "/opt/stacks/service-x/compose.yaml".into(),
            expected: "0644 app:app".into(),
            found: "0644 root:root".into(),
        }]
    );
}

#[test]
fn containers_that_stopped_restart_or_are_gone_are_found() {
    let service = || "app".to_owned();
    let with = |change: fn(&mut ContainerReport)| {
        let mut scene = still();
        change(&mut report(&mut scene, "a/service.x").containers[0]);
        found(&scene)
    };
    assert_eq!(
        with(|container| {
            container.status = "exited".into();
            container.exit_code = 137;
        }),
        [DriftKind::ContainerStopped {
            service: service(),
            status: "exited".into(),
            exit_code: 137
        }]
    );
    assert_eq!(
        with(|container| {
            container.status = "restarting".into();
            container.restarts = 4;
        }),
        [DriftKind::ContainerRestarting { service: service(), restarts: 4 }]
    );
    assert_eq!(
        with(|container| container.health = Some("unhealthy".into())),
        [DriftKind::ContainerUnhealthy { service: service() }]
    );
    let mut scene = still();
    report(&mut scene, "a/service.x").containers.clear();
    assert_eq!(found(&scene), [DriftKind::ContainerMissing { service: service() }]);
}

#[test]
fn a_job_that_ended_well_is_no_drift() {
    let job = || {
        unit("a/service.x", "1").with(|unit| {
            if let Runtime::Compose { services, .. } = &mut unit.runtime {
                services[0].once = true;
            }
        })
    };
    let mut scene = scene([job()], [job()]);
    assert_eq!(found(&scene), []);
    report(&mut scene, "a/service.x").containers[0].exit_code = 1;
    assert_eq!(found(&scene).len(), 1);
}

#[test]
fn a_process_that_died_is_told_from_one_that_was_stopped() {
    let process = || unit("a/service.x", "1").with(|unit| unit.runtime = Runtime::Process);
    for (state, kinds) in [
        (ProcessState::Running, vec![]),
        (ProcessState::Dead, vec![DriftKind::ProcessDead]),
        (ProcessState::None, vec![DriftKind::ProcessStopped]),
    ] {
        let mut scene = scene([process()], [process()]);
        report(&mut scene, "a/service.x").process = Some(ProcessReport { state, pid: None });
        assert_eq!(found(&scene), kinds);
    }
}

#[test]
fn units_behind_missing_unknown_and_half_changed_are_told_by_node() {
    let mut scene = scene(
        [unit("a/service.x", "1"), unit("a/service.gone", "1"), unit("b/service.x", "2")],
        [unit("a/service.x", "2"), unit("a/service.new", "1"), unit("b/service.x", "2")],
    );
    let pending = Pending { rollout: "r7".into(), from: None, to: None };
    report(&mut scene, "b/service.x").pending = Some(pending);
    let runs = report(&mut scene, "a/service.x").current.clone().unwrap();
    let wanted = |text: &str| scene.release.units[&id(text)].digest();
    let said = |text: &str, kind| Drift { unit: id(text), kind };
    assert_eq!(
        drift(&scene.release, &scene.observed),
        [
            said("a/service.gone", DriftKind::Unknown),
            said("a/service.new", DriftKind::Missing { wanted: wanted("a/service.new") }),
            said(
                "a/service.x",
                DriftKind::Behind { runs, wanted: wanted("a/service.x"), release: None }
            ),
            said("b/service.x", DriftKind::HalfChanged { rollout: "r7".into() }),
        ]
    );
    scene.unreachable("a");
    scene.unreachable("b");
    assert_eq!(drift(&scene.release, &scene.observed), []);
}

fn fallen_units(scene: &Scene) -> Vec<String> {
    fallen(&scene.observed).iter().map(|one| one.unit.to_string()).collect()
}

#[test]
fn what_only_needs_a_start_has_fallen() {
    let states = [
        ("exited", true),
        ("created", true),
        ("running", false),
        ("restarting", false),
        ("paused", false),
    ];
    for (status, fell) in states {
        let mut scene = still();
        report(&mut scene, "a/service.x").containers[0].status = status.into();
        assert_eq!(fallen_units(&scene).len(), usize::from(fell), "{status}");
    }
    let mut scene = still();
    report(&mut scene, "a/service.x").containers[0].health = Some("unhealthy".into());
    assert!(fallen_units(&scene).is_empty());
    report(&mut scene, "a/service.x").containers.clear();
    assert_eq!(fallen_units(&scene), ["a/service.x"]);
    let runs = report(&mut scene, "a/service.x").current.clone().unwrap();
    assert_eq!(fallen(&scene.observed)[0].digest, runs, "what its node has, whatever is wanted");
    for state in [ProcessState::Dead, ProcessState::None] {
        let process = || unit("a/service.x", "1").with(|unit| unit.runtime = Runtime::Process);
        let mut scene = scene_of(process());
        report(&mut scene, "a/service.x").process = Some(ProcessReport { state, pid: None });
        assert_eq!(fallen_units(&scene), ["a/service.x"]);
    }
}

fn scene_of(unit: Unit) -> Scene {
    scene([unit.clone()], [unit])
}

#[test]
fn what_was_edited_is_held_or_is_half_changed_is_not_started_again() {
    let down = || {
        let mut scene = still();
        report(&mut scene, "a/service.x").containers.clear();
        scene
    };
    assert_eq!(fallen_units(&down()), ["a/service.x"]);
    let mut edited = down();
    let destination = edited.release.units[&id("a/service.x")].artifacts[0].destination.clone();
    let state = FileState::Present {
        hash: Digest::of(b"edited").0,
        mode: 0o644,
        owner: "root:root".into(),
    };
    report(&mut edited, "a/service.x").files = vec![FileReport { destination, state }];
    assert!(fallen_units(&edited).is_empty(), "edited by hand");
    let mut half = down();
    report(&mut half, "a/service.x").pending =
        Some(Pending { rollout: "r7".into(), from: None, to: None });
    assert!(fallen_units(&half).is_empty(), "half changed");
    let mut held = down();
    held.report("a").record.holder = Some(Holder {
        who: "ann@laptop".into(),
        rollout: "r8".into(),
        since: Timestamp(1),
        nonce: "n".into(),
    });
    assert!(fallen_units(&held).is_empty(), "a rollout is on its way");
    let mut gone = down();
    gone.unreachable("a");
    assert!(fallen_units(&gone).is_empty());
}

#[test]
fn what_moved_is_told_apart_from_what_waits_for_a_rollout() {
    let mut scene = scene(
        [unit("a/service.x", "1"), unit("a/service.old", "1")],
        [unit("a/service.x", "2"), unit("a/service.new", "1")],
    );
    assert!(!drift(&scene.release, &scene.observed).is_empty());
    assert_eq!(moved(&scene.observed), []);
    let edited = |scene: &mut Scene| {
        let destination = unit("a/service.x", "1").artifacts[0].destination.clone();
        let state = FileState::Missing;
        report(scene, "a/service.x").files = vec![FileReport { destination, state }];
    };
    edited(&mut scene);
    let found: Vec<String> = moved(&scene.observed).iter().map(|it| it.unit.to_string()).collect();
    assert_eq!(found, ["a/service.x"]);
    scene.report("a").record.holder = Some(Holder {
        who: "ann@laptop".into(),
        rollout: "r8".into(),
        since: Timestamp(1),
        nonce: "n".into(),
    });
    assert_eq!(moved(&scene.observed), [], "a rollout is on its way");
}
