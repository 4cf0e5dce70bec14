//! Which units change, what is refused and what is warned about.

use crate::build::*;
use gitsync::model::*;
use gitsync::plan::NodeFacts;

#[test]
fn the_same_release_changes_nothing() {
    let units = || [unit("a/service.x", "1"), unit("b/service.y", "1").needs(&["a/service.x"])];
    let plan = scene(units(), units()).plan();
    assert!(plan.is_empty() && plan.waves.is_empty());
    assert_eq!((plan.unchanged, plan.refusals.len(), plan.warnings.len()), (2, 0, 0));
}

#[test]
fn units_are_created_updated_and_removed() {
    let base = [unit("a/service.gone", "1"), unit("a/service.old", "1")];
    let head = [unit("a/service.new", "1"), unit("a/service.old", "2")];
    let scene = scene(base, head);
    let plan = scene.plan();
    assert_eq!(
        waves(&plan),
        [vec!["+ a/service.new", "~ a/service.old"], vec!["- a/service.gone"]]
    );
    assert_eq!(plan.release, scene.release.digest());
    assert_eq!(step(&plan, "a/service.new").way_back, WayBack::Removal);
    assert_eq!(step(&plan, "a/service.old").way_back, WayBack::Previous);
    assert_eq!(step(&plan, "a/service.gone").way_back, WayBack::Previous);
    assert!(step(&plan, "a/service.gone").health.is_none());
    assert!(step(&plan, "a/service.gone").health_before.is_some());
    assert_eq!(plan.wanted.len(), 2);
    assert_eq!(plan.observed.len(), 2);
}

#[test]
fn drift_is_not_planned_but_a_dead_rollout_s_leftover_is_repaired() {
    let units = || [unit("a/service.x", "1"), unit("a/service.y", "1")];
    let mut scene = scene(units(), units());
    let report = scene.report("a").units.get_mut(&id("a/service.x")).unwrap();
    report.containers.clear();
    assert!(scene.plan().is_empty());
    let report = scene.report("a").units.get_mut(&id("a/service.y")).unwrap();
    let to = Some(Digest::of(b"other"));
    report.pending = Some(Pending { rollout: "r7".into(), from: None, to });
    let plan = scene.plan();
    assert_eq!(waves(&plan), [["~ a/service.y"]]);
    assert_eq!(step(&plan, "a/service.y").action, Action::Repair);
    assert_eq!(reasons(step(&plan, "a/service.y")), ["rollout r7 left it half changed"]);
    assert_eq!(codes(&plan.warnings), ["foreign-pending"]);
}

#[test]
fn what_a_dead_rollout_half_made_and_nobody_wants_is_removed() {
    let mut scene = scene([unit("a/service.x", "1")], [unit("a/service.x", "1")]);
    let to = Some(Digest::of(b"half"));
    let pending = Some(Pending { rollout: "r7".into(), from: None, to: to.clone() });
    let half = UnitReport { pending, ..UnitReport::default() };
    scene.report("a").units.insert(id("a/service.half"), half);
    let plan = scene.plan();
    assert_eq!(waves(&plan), [["- a/service.half"]]);
    assert_eq!(step(&plan, "a/service.half").from, to);
    assert!(plan.refusals.is_empty());
}

#[test]
fn a_required_node_that_does_not_answer_refuses_the_plan() {
    let mut scene = scene(
        [unit("a/service.x", "1"), unit("b/service.y", "1")],
        [unit("a/service.x", "2"), unit("b/service.y", "2")],
    );
    scene.unreachable("b");
    let plan = scene.plan();
    assert_eq!(codes(&plan.refusals), ["unreachable"]);
    assert_eq!(waves(&plan), [["~ a/service.x"]]);
    assert_eq!(plan.unchanged, 0);
    scene.observed.nodes.remove(&name("b"));
    assert_eq!(codes(&scene.plan().refusals), ["unreachable"]);
}

#[test]
fn an_optional_node_that_sleeps_is_skipped_and_its_units_are_left_alone() {
    let mut scene = scene(
        [unit("a/service.x", "1"), unit("b/service.gone", "1")],
        [unit("a/service.x", "2").needs(&["b/service.y"]), unit("b/service.y", "1")],
    );
    scene.nodes.get_mut(&name("b")).unwrap().optional = true;
    scene.unreachable("b");
    let plan = scene.plan();
    assert!(plan.refusals.is_empty());
    assert_eq!(waves(&plan), [["~ a/service.x"]]);
    assert_eq!(plan.nodes, [name("a")]);
    assert_eq!(plan.skipped[0].reason, "asleep: no route to host");
    assert_eq!(codes(&plan.warnings), ["dependency-asleep"]);
    assert!(step(&plan, "a/service.x").depends_on.is_empty());
}

#[test]
fn units_of_a_node_that_left_the_fleet_are_removed() {
    let mut scene =
        scene([unit("a/service.x", "1"), unit("old/service.y", "1")], [unit("a/service.x", "1")]);
    scene.nodes.remove(&name("old"));
    assert_eq!(waves(&scene.plan()), [["- old/service.y"]]);
}

#[test]
fn removals_beyond_the_policy_are_refused() {
    let base: Vec<Unit> = (0..10).map(|n| unit(&format!("a/service.s{n}"), "1")).collect();
    let mut scene = scene(base.clone(), base[..6].to_vec());
    let plan = scene.plan();
    assert_eq!(codes(&plan.refusals), ["too-many-removals"]);
    assert_eq!(plan.steps().count(), 4);
    scene.policy.prune.max_removals = Count::Number(4);
    assert!(scene.plan().refusals.is_empty());
}

#[test]
fn a_service_that_leaves_volumes_behind_on_another_node_must_say_so() {
    let at = |node: &str| {
        unit(&format!("{node}/service.x"), "1").with(|unit| {
            unit.claims.volumes = ["x_data".to_owned()].into();
        })
    };
    let plan = scene([at("a")], [at("b")]).plan();
    assert_eq!(codes(&plan.refusals), ["volumes-left-behind"]);
    assert!(plan.refusals[0].message.starts_with("a/service.x moves to b"));
    assert!(scene([at("a")], [at("b").about("moves", "empty")]).plan().refusals.is_empty());
    assert!(scene([at("a")], [at("a"), at("b")]).plan().refusals.is_empty());
    let bare = [unit("a/service.x", "1")];
    assert!(scene(bare, [unit("b/service.x", "1")]).plan().refusals.is_empty());
}

#[test]
fn an_empty_release_is_refused_while_units_run() {
    let plan = scene([unit("a/service.x", "1")], []).plan();
    assert_eq!(codes(&plan.refusals), ["empty-release"]);
    assert!(scene([], []).plan().refusals.is_empty());
}

#[test]
fn without_pruning_nothing_is_removed_and_all_is_said() {
    let mut scene = scene(
        [unit("a/service.gone", "1").port(80), unit("a/service.x", "1")],
        [unit("a/service.x", "2")],
    );
    scene.policy.prune.enabled = false;
    let plan = scene.plan();
    assert_eq!(waves(&plan), [["~ a/service.x"]]);
    assert_eq!(codes(&plan.warnings), ["prune-disabled"]);
    assert!(plan.refusals.is_empty());
    let needy = unit("a/service.y", "1").port(80);
    scene.release.units.insert(needy.id.clone(), needy);
    let plan = scene.plan();
    assert_eq!(codes(&plan.refusals), ["held-by-kept"]);
    assert!(plan.refusals[0].message.contains("port 80/tcp, which a/service.gone holds"));
}

#[test]
fn an_update_without_its_old_blobs_has_no_way_back() {
    let mut scene = scene([unit("a/service.x", "1")], [unit("a/service.x", "2")]);
    scene.report("a").blobs.clear();
    let plan = scene.plan();
    assert_eq!(step(&plan, "a/service.x").way_back, WayBack::None);
    assert_eq!(codes(&plan.refusals), ["no-way-back"]);
    assert_eq!(plan.refusals[0].message, "no way back: a/service.x");
    scene.allow_no_rollback = true;
    let plan = scene.plan();
    assert!(plan.refusals.is_empty());
    assert_eq!(codes(&plan.warnings), ["no-way-back"]);
}

#[test]
fn an_update_whose_manifest_is_unreadable_has_no_way_back() {
    let mut scene = scene([unit("a/service.x", "1")], [unit("a/service.x", "2")]);
    scene.report("a").manifests.clear();
    let plan = scene.plan();
    assert_eq!(codes(&plan.refusals), ["no-way-back"]);
    assert_eq!(
        reasons(step(&plan, "a/service.x")),
        ["its old manifest can't be read: everything is written again"]
    );
}

#[test]
fn a_stopped_unit_needs_the_commands_that_start_it_again() {
    let base = unit("a/service.x", "1").with(|unit| {
        unit.runtime = Runtime::Host;
        unit.commands = vec![command(Moment::Start, "systemctl start x")];
    });
    let mut scene = scene([base, unit("a/service.y", "1")], [unit("a/service.y", "1")]);
    assert!(scene.plan().refusals.is_empty());
    scene.report("a").blobs.clear();
    assert_eq!(codes(&scene.plan().refusals), ["no-way-back"]);
}

#[test]
fn a_changed_remote_node_without_boot_cover_is_warned_about_once() {
    let mut scene = scene(
        [unit("a/service.x", "1"), unit("a/service.y", "1"), unit("b/service.z", "1")],
        [unit("a/service.x", "2"), unit("a/service.y", "2"), unit("b/service.z", "1")],
    );
    for facts in scene.nodes.values_mut() {
        facts.boot_cover = false;
    }
    let plan = scene.plan();
    assert_eq!(codes(&plan.warnings), ["no-reboot-cover"]);
    assert!(plan.warnings[0].message.starts_with("a has no cover"));
    scene.nodes.get_mut(&name("a")).unwrap().local = true;
    assert!(scene.plan().warnings.is_empty());
}

#[test]
fn comparing_two_commits_needs_no_node() {
    let base = release([unit("a/service.x", "1"), unit("gone/service.y", "1")]);
    let head = release([unit("a/service.x", "2"), unit("a/service.z", "1")]);
    let fleet = Fleet {
        name: name("homelab"),
        domain: None,
        environments: vec![name("prod")],
        policy: policy(),
        nodes: Default::default(),
        instances: vec![],
        gateways: Default::default(),
        syncs: Default::default(),
        bundles: vec![],
        files: Default::default(),
        suspend: None,
        secrets: Default::default(),
        templates: Default::default(),
        commit: None,
        dirty: false,
    };
    let plan = gitsync::plan::compare(&base, &head, &fleet);
    assert!(plan.refusals.is_empty() && plan.warnings.is_empty(), "{plan:?}");
    assert_eq!(waves(&plan), [vec!["~ a/service.x", "+ a/service.z"], vec!["- gone/service.y"]]);
    let diff = step(&plan, "a/service.x").files[0].diff.as_deref().unwrap();
    assert!(diff.contains("-    image: app:1\n+    image: app:2\n"), "{diff}");
}

#[test]
fn the_highest_fence_tells_the_last_good_release() {
    let mut scene = scene([unit("a/service.x", "1"), unit("b/service.y", "1")], []);
    let good = |release: &str, at: u64, unit: &str| Good {
        release: Digest(release.into()),
        commit: None,
        at: Timestamp(at),
        units: [(id(unit), Digest("d".into()))].into(),
    };
    assert_eq!(gitsync::plan::last_good(&scene.observed), None);
    scene.report("a").record.good = vec![good("new", 20, "a/service.x")];
    scene.report("a").record.fence = 5;
    scene.report("b").record.good = vec![good("old", 90, "b/service.y")];
    scene.report("b").record.fence = 4;
    let last = gitsync::plan::last_good(&scene.observed).unwrap();
    assert_eq!((last.release.0.as_str(), last.units.len()), ("new", 1));
    scene.report("b").record.good = vec![good("new", 20, "b/service.y")];
    assert_eq!(gitsync::plan::last_good(&scene.observed).unwrap().units.len(), 2);
}

#[test]
fn any_node_s_quarantine_counts_until_the_release_converged_after_it() {
    let mut scene = scene([unit("a/service.x", "1"), unit("b/service.y", "1")], []);
    let bad = Digest("bad".into());
    let entry = |at| Quarantined {
        release: bad.clone(),
        commit: None,
        at: Timestamp(at),
        reason: "probe failed".into(),
    };
    scene.report("a").record.quarantine = vec![entry(10), entry(30)];
    scene.report("b").record.fence = 99;
    let found = gitsync::plan::quarantined(&scene.observed, &bad).unwrap();
    assert_eq!(found.at, Timestamp(30));
    assert!(gitsync::plan::quarantined(&scene.observed, &Digest("x".into())).is_none());
    scene.report("b").record.good =
        vec![Good { release: bad.clone(), commit: None, at: Timestamp(31), units: [].into() }];
    assert!(gitsync::plan::quarantined(&scene.observed, &bad).is_none());
}

#[test]
fn a_node_whose_root_a_reboot_empties_gets_nothing_new_unless_it_is_for_trying_out() {
    let units = |version| [unit("a/service.x", version), unit("b/service.y", "1")];
    let mut scene = scene(units("1"), units("2"));
    scene.report("b").volatile = Some("tmpfs".to_owned());
    assert!(scene.plan().refusals.is_empty(), "nothing changes on b");
    scene.report("a").volatile = Some("tmpfs".to_owned());
    let plan = scene.plan();
    assert_eq!(codes(&plan.refusals), ["volatile-root"]);
    let message = "the root directory of a is on tmpfs, which forgets everything at a reboot";
    assert_eq!(plan.refusals[0].message, message);
    scene.nodes.insert(name("a"), NodeFacts { local: true, ..NODE });
    assert!(scene.plan().refusals.is_empty());
}

#[test]
fn what_is_on_a_root_that_a_reboot_empties_can_still_be_removed() {
    let mut scene =
        scene([unit("a/service.x", "1"), unit("a/service.y", "1")], [unit("a/service.x", "1")]);
    scene.report("a").volatile = Some("ramfs".to_owned());
    let plan = scene.plan();
    assert_eq!(waves(&plan), [["- a/service.y"]]);
    assert!(plan.refusals.is_empty());
}
