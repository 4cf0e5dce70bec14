//! What a plan refuses because it would leave nobody to serve, or nobody to end it.

use crate::build::*;
use gitsync::model::*;
use gitsync::plan::side_by_side;

fn pair(version: &str, failover: bool) -> [Unit; 2] {
    ["f", "p"].map(|node| {
        let order = u32::from(node == "p");
        unit(&format!("{node}/service.w"), version).group("w@prod", order, failover)
    })
}

/// All waves of a plan made one.
fn at_once(plan: &Plan) -> Vec<Wave> {
    vec![Wave { gate: None, steps: plan.steps().cloned().collect() }]
}

#[test]
fn both_members_of_a_pair_in_one_wave_are_refused() {
    for failover in [true, false] {
        let scene = scene(pair("1", failover), pair("2", failover));
        let plan = scene.plan();
        assert_eq!(waves(&plan), [["~ f/service.w"], ["~ p/service.w"]]);
        assert!(plan.refusals.is_empty());
        let refused = side_by_side(&at_once(&plan), &scene.release, &scene.observed);
        assert_eq!(codes(&refused), ["pair-in-one-wave"]);
        assert_eq!(
            refused[0].message,
            "f/service.w and p/service.w would change side by side: nobody would serve"
        );
    }
}

#[test]
fn members_of_a_pair_that_go_in_one_wave_are_refused_when_they_stand_in_for_each_other() {
    for (failover, refused) in [(true, 1), (false, 0)] {
        let stays = unit("f/service.x", "1");
        let base: Vec<Unit> = pair("1", failover).into_iter().chain([stays.clone()]).collect();
        let mut scene = scene(base, [stays]);
        scene.policy.prune.max_removals = Count::Number(2);
        let plan = scene.plan();
        assert!(plan.refusals.is_empty());
        let told = side_by_side(&at_once(&plan), &scene.release, &scene.observed);
        assert_eq!(told.len(), refused, "{told:?}");
    }
}

#[test]
fn many_equals_may_change_side_by_side() {
    let member = |n: u32, version: &str| {
        unit(&format!("n{n}/service.api"), version).group("api@prod", n, false)
    };
    let many = |version: &str| (1..=4).map(|n| member(n, version)).collect::<Vec<_>>();
    let scene = scene(many("1"), many("2"));
    let plan = scene.plan();
    assert!(plan.refusals.is_empty());
    assert!(side_by_side(&at_once(&plan), &scene.release, &scene.observed).is_empty());
}

/// A gateway that routes to two instances of `web`.
fn edge(version: &str) -> Unit {
    unit("e/gateway.edge", version).needs(&["a/service.web", "b/service.web"])
}

#[test]
fn a_gateway_left_without_any_upstream_is_refused() {
    let web = |node: &str| unit(&format!("{node}/service.web"), "1");
    let other = || unit("a/service.other", "1");
    let base = [web("a"), web("b"), edge("1"), other()];
    let mut one = scene(base.clone(), [web("a"), edge("2"), other()]);
    assert!(one.plan().refusals.is_empty(), "{:?}", one.plan().refusals);
    let mut none = scene(base, [edge("2"), other()]);
    none.policy.prune.max_removals = Count::Number(2);
    let plan = none.plan();
    assert_eq!(codes(&plan.refusals), ["gateway-without-upstream"]);
    assert_eq!(
        plan.refusals[0].message,
        "e/gateway.edge would route to service.web, of which this release has no instance"
    );
    // What runs on a node that does not answer is not known to be gone.
    none.nodes.get_mut(&name("b")).unwrap().optional = true;
    none.unreachable("b");
    assert!(none.plan().refusals.is_empty());
    one.release.units.remove(&id("e/gateway.edge"));
    assert!(one.plan().refusals.is_empty());
}

#[test]
fn a_gateway_whose_upstreams_are_all_down_and_stay_so_is_warned_about() {
    let web = |node: &str| unit(&format!("{node}/service.web"), "1");
    let base = [web("a"), web("b"), edge("1")];
    let mut scene = scene(base, [web("a"), web("b"), edge("2")]);
    scene.report("a").units.get_mut(&id("a/service.web")).unwrap().containers.clear();
    assert!(scene.plan().warnings.is_empty());
    scene.report("b").units.get_mut(&id("b/service.web")).unwrap().containers[0].status =
        "exited".to_owned();
    let plan = scene.plan();
    assert_eq!(codes(&plan.warnings), ["upstream-down"]);
    let message = &plan.warnings[0].message;
    assert!(message.contains("a/service.web, b/service.web does not run"), "{message}");
    assert!(plan.refusals.is_empty());
    // One that this rollout changes is probed.
    let newer = unit("a/service.web", "2");
    scene.release.units.insert(newer.id.clone(), newer);
    assert!(scene.plan().warnings.is_empty());
}

#[test]
fn a_removal_of_what_the_controller_runs_in_is_refused() {
    let stays = || unit("a/service.x", "1");
    let mut scene = scene([unit("a/service.gitsync", "1"), stays()], [stays()]);
    assert!(scene.plan().refusals.is_empty());
    scene.controller = Some(id("a/service.gitsync"));
    let plan = scene.plan();
    assert_eq!(codes(&plan.refusals), ["cuts-controller"]);
    assert_eq!(plan.refusals[0].unit, Some(id("a/service.gitsync")));
    scene.policy.prune.enabled = false;
    assert!(scene.plan().refusals.is_empty());
}

#[test]
fn a_node_that_leaves_the_fleet_with_the_controller_on_it_is_refused() {
    let stays = || unit("a/service.x", "1");
    let mut scene = scene([unit("old/service.gitsync", "1"), stays()], [stays()]);
    scene.nodes.remove(&name("old"));
    scene.controller = Some(id("old/service.gitsync"));
    assert_eq!(codes(&scene.plan().refusals), ["cuts-controller"]);
}

#[test]
fn a_controller_s_unit_that_nobody_knows_is_warned_about() {
    let mut scene = scene([unit("a/service.x", "1")], [unit("a/service.x", "2")]);
    scene.controller = Some(id("a/service.typo"));
    let plan = scene.plan();
    assert_eq!(codes(&plan.warnings), ["unknown-controller"]);
    assert!(plan.refusals.is_empty());
}
