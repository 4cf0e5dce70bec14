//! What comes before what.

use std::time::Duration;

use crate::build::*;
use gitsync::model::*;

/// Every unit at version 1, then at version 2.
fn updated(units: impl IntoIterator<Item = Unit>) -> Scene {
    let base: Vec<Unit> = units.into_iter().collect();
    let head: Vec<Unit> = base.iter().map(newer).collect();
    scene(base, head)
}

fn newer(unit: &Unit) -> Unit {
    unit.clone().with(|unit| {
        unit.artifacts = vec![file(unit.artifacts[0].destination.as_str(), "2")];
    })
}

#[test]
fn dependencies_change_before_their_dependents() {
    let scene = updated([
        unit("a/service.app", "1").needs(&["b/service.db"]),
        unit("b/service.db", "1"),
        unit("c/gateway.edge", "1").needs(&["a/service.app"]),
    ]);
    let plan = scene.plan();
    assert_eq!(waves(&plan), [["~ b/service.db"], ["~ a/service.app"], ["~ c/gateway.edge"]]);
    assert_eq!(step(&plan, "c/gateway.edge").depends_on, [id("a/service.app")]);
}

#[test]
fn a_dependency_that_stays_orders_nothing() {
    let base = [unit("a/service.app", "1").needs(&["b/service.db"]), unit("b/service.db", "1")];
    let head = [newer(&base[0]), base[1].clone()];
    let plan = scene(base, head).plan();
    assert_eq!(waves(&plan), [["~ a/service.app"]]);
    assert!(step(&plan, "a/service.app").depends_on.is_empty());
}

#[test]
fn a_failover_group_changes_one_at_a_time_the_primary_last_and_gateways_see_it() {
    let scene = updated([
        unit("p/service.w", "1").group("w@prod", 9, true).witness(35),
        unit("f/service.w", "1").group("w@prod", 1, true).witness(30),
        unit("g/service.w", "1").group("w@prod", 2, true).witness(40),
    ]);
    let plan = scene.plan();
    assert_eq!(waves(&plan), [["~ f/service.w"], ["~ g/service.w"], ["~ p/service.w"]]);
    assert_eq!(plan.waves[0].gate, None);
    let gate = plan.waves[1].gate.clone().unwrap();
    assert_eq!((gate.after, gate.seen), (Duration::from_secs(30), vec![id("f/service.w")]));
    let gate = plan.waves[2].gate.clone().unwrap();
    assert_eq!(gate.after, Duration::from_secs(40));
    assert_eq!(gate.seen, [id("f/service.w"), id("g/service.w")]);
}

#[test]
fn nobody_waits_for_gateways_before_a_member_that_is_new() {
    let pair = [
        unit("f/service.w", "1").group("w@prod", 1, true).witness(30),
        unit("p/service.w", "1").group("w@prod", 2, true).witness(30),
    ];
    let plan = scene([], pair).plan();
    assert_eq!(waves(&plan), [["+ f/service.w"], ["+ p/service.w"]]);
    assert_eq!(plan.waves[1].gate, None);
}

#[test]
fn a_canary_goes_before_the_rest_and_a_pair_of_equals_takes_turns() {
    let member = |n: u32| unit(&format!("n{n}/service.api"), "1").group("api@prod", n, false);
    let plan = updated((1..=4).map(member)).plan();
    assert_eq!(
        waves(&plan),
        [
            vec!["~ n1/service.api"],
            vec!["~ n2/service.api", "~ n3/service.api", "~ n4/service.api"]
        ]
    );
    let plan = updated((1..=2).map(member)).plan();
    assert_eq!(waves(&plan), [["~ n1/service.api"], ["~ n2/service.api"]]);
    let mut scene = updated((1..=4).map(member));
    scene.policy.canary = 0;
    assert_eq!(scene.plan().waves.len(), 1);
    scene.policy.canary = 9;
    assert_eq!(scene.plan().waves.len(), 1);
}

#[test]
fn a_removed_service_stops_after_its_route_is_gone() {
    let base = [
        unit("a/service.x", "1"),
        unit("a/service.keep", "1"),
        unit("e/gateway.edge", "1").needs(&["a/service.x"]),
    ];
    let head = [base[1].clone(), newer(&base[2]).needs(&[])];
    let plan = scene(base, head).plan();
    assert_eq!(waves(&plan), [["~ e/gateway.edge"], ["- a/service.x"]]);
}

#[test]
fn among_removed_units_dependents_stop_first() {
    let base = [
        unit("a/service.db", "1"),
        unit("a/service.app", "1").needs(&["a/service.db"]),
        unit("b/service.keep", "1"),
    ];
    let plan = scene(base.clone(), [newer(&base[2])]).plan();
    assert_eq!(waves(&plan), [["~ b/service.keep"], ["- a/service.app"], ["- a/service.db"]]);
}

#[test]
fn a_new_unit_takes_a_removed_one_s_place_in_one_step() {
    let cases: [fn(Unit) -> Unit; 4] = [
        |unit| unit.port(8080),
        |unit| unit.with(|unit| unit.claims.names.extend(["web".into()])),
        |unit| unit.with(|unit| unit.claims.volumes.extend(["data".into()])),
        |unit| unit.with(|unit| unit.artifacts.insert(0, file("/etc/web.conf", "1"))),
    ];
    for claim in cases {
        let base = [
            claim(unit("a/service.old", "1")),
            unit("a/service.user", "1").needs(&["a/service.old"]),
        ];
        let head = [claim(unit("a/service.new", "1")), newer(&base[1]).needs(&[])];
        let plan = scene(base, head).plan();
        assert_eq!(waves(&plan), [["~ a/service.user"], ["± a/service.new"]]);
        let step = step(&plan, "a/service.new");
        assert_eq!(step.replaces[0].unit, id("a/service.old"));
        assert_eq!(step.way_back, WayBack::Removal);
    }
}

#[test]
fn a_route_that_moves_from_a_replaced_unit_follows_the_new_one() {
    let base = [
        unit("a/service.old", "1").port(80),
        unit("e/gateway.edge", "1").needs(&["a/service.old"]),
    ];
    let head = [unit("a/service.new", "1").port(80), newer(&base[1]).needs(&["a/service.new"])];
    let plan = scene(base, head).plan();
    assert_eq!(waves(&plan), [["± a/service.new"], ["~ e/gateway.edge"]]);
    assert!(plan.warnings.is_empty());
}

#[test]
fn one_removed_unit_is_stopped_by_the_first_of_its_takers() {
    let base = [unit("a/service.old", "1").port(80).port(81)];
    let head = [
        unit("a/service.b", "1").port(80).needs(&["a/service.c"]),
        unit("a/service.c", "1").port(81),
    ];
    let plan = scene(base, head).plan();
    assert_eq!(waves(&plan), [["± a/service.c"], ["+ a/service.b"]]);
}

#[test]
fn a_place_on_another_node_or_address_is_nobody_else_s() {
    let on = |unit: Unit, address: &str| {
        let claim = PortClaim {
            protocol: Protocol::Tcp,
            bind: BindAddress::One(address.parse().unwrap()),
            port: 80,
        };
        unit.with(|unit| unit.claims.ports.extend([claim]))
    };
    let base = [on(unit("a/service.old", "1"), "10.0.0.1"), unit("b/service.b", "1").port(80)];
    let head = [on(unit("a/service.new", "1"), "10.0.0.2"), base[1].clone()];
    assert_eq!(waves(&scene(base, head).plan()), [["+ a/service.new"], ["- a/service.old"]]);
}

#[test]
fn a_port_that_moves_is_let_go_of_first() {
    let base = [unit("a/service.z", "1").port(80), unit("a/service.b", "1").port(81)];
    let head = [unit("a/service.z", "2").port(82), unit("a/service.b", "2").port(80)];
    assert_eq!(waves(&scene(base, head).plan()), [["~ a/service.z"], ["~ a/service.b"]]);
}

#[test]
fn two_that_swap_ports_are_warned_about() {
    let base = [unit("a/service.x", "1").port(80), unit("a/service.y", "1").port(81)];
    let head = [unit("a/service.x", "2").port(81), unit("a/service.y", "2").port(80)];
    let plan = scene(base, head).plan();
    assert_eq!(plan.steps().count(), 2);
    assert_eq!(codes(&plan.warnings), ["order-claim", "order-claim"]);
}

#[test]
fn what_cannot_be_put_back_goes_after_all_that_can() {
    let scene = updated([
        unit("a/service.db", "1").with(|unit| unit.rollback = Rollback::Never),
        unit("a/service.app", "1").needs(&["a/service.db"]),
        unit("b/service.x", "1"),
        unit("b/service.y", "1").needs(&["b/service.x"]),
    ]);
    assert_eq!(
        waves(&scene.plan()),
        [["~ b/service.x"], ["~ b/service.y"], ["~ a/service.db"], ["~ a/service.app"]]
    );
}

#[test]
fn the_controller_s_unit_goes_last_and_alone() {
    let base = [
        unit("a/service.gitsync", "1").about("controller", "yes"),
        unit("a/service.x", "1"),
        unit("b/service.gone", "1"),
        unit("e/gateway.edge", "1").needs(&["a/service.gitsync", "a/service.x"]),
    ];
    let head = [newer(&base[0]), newer(&base[1]), newer(&base[3])];
    let mut scene = scene(base, head);
    let plan = scene.plan();
    assert_eq!(
        waves(&plan),
        [["~ a/service.x"], ["~ e/gateway.edge"], ["- b/service.gone"], ["~ a/service.gitsync"]]
    );
    assert_eq!(codes(&plan.warnings), ["controller-last"]);
    assert_eq!(step(&plan, "e/gateway.edge").depends_on, [id("a/service.x")]);
    scene.controller = Some(id("a/service.x"));
    assert_eq!(waves(&scene.plan()).last().unwrap(), &["~ a/service.x"]);
}

#[test]
fn a_circle_of_needs_is_broken_the_same_way_every_time() {
    let scene = updated([
        unit("a/service.x", "1").needs(&["a/service.y"]),
        unit("a/service.y", "1").needs(&["a/service.x"]),
        unit("a/service.z", "1").needs(&["a/service.y"]),
    ]);
    let plan = scene.plan();
    assert_eq!(waves(&plan), [["~ a/service.x"], ["~ a/service.y"], ["~ a/service.z"]]);
    assert_eq!(codes(&plan.warnings), ["order-cycle"]);
    assert!(step(&plan, "a/service.x").depends_on.is_empty());
    assert_eq!(plan, scene.plan());
}

#[test]
fn pairs_that_need_each_other_crosswise_still_take_turns() {
    let scene = updated([
        unit("a/service.v", "1").group("v@prod", 1, true).needs(&["b/service.w"]),
        unit("b/service.v", "1").group("v@prod", 2, true),
        unit("a/service.w", "1").group("w@prod", 1, true).needs(&["b/service.v"]),
        unit("b/service.w", "1").group("w@prod", 2, true),
    ]);
    let plan = scene.plan();
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    assert_eq!(
        waves(&plan),
        [vec!["~ b/service.v", "~ b/service.w"], vec!["~ a/service.v", "~ a/service.w"]]
    );
}

#[test]
fn a_deep_chain_of_needs_is_one_wave_each() {
    let deep = (0..3_000).map(|n| {
        let need = format!("a/service.s{}", n + 1);
        let needs: &[&str] = if n < 2_999 { &[&need] } else { &[] };
        unit(&format!("a/service.s{n}"), "1").needs(needs)
    });
    let plan = updated(deep).plan();
    assert_eq!(plan.waves.len(), 3_000);
    assert_eq!(waves(&plan)[0], ["~ a/service.s2999"]);
}

#[test]
fn members_that_go_stop_after_what_needed_them_even_against_their_group_s_order() {
    let base = [
        unit("a/service.v", "1").group("v@prod", 1, true),
        unit("b/service.v", "1").group("v@prod", 2, true).needs(&["a/service.v"]),
        unit("c/service.x", "1"),
    ];
    let plan = scene(base.clone(), [base[2].clone()]).plan();
    assert_eq!(waves(&plan), [["- b/service.v"], ["- a/service.v"]]);
}
