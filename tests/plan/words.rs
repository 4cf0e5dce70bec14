//! Reasons and notices, in words.

use crate::build::*;
use gitsync::model::*;

fn changed(old: Unit, new: Unit) -> Plan {
    scene([old], [new]).plan()
}

fn why(old: &Unit, change: impl FnOnce(&mut Unit)) -> Vec<String> {
    let plan = changed(old.clone(), old.clone().with(change));
    let step = plan.steps().next().unwrap();
    step.reasons.iter().map(|reason| reason.0.clone()).collect()
}

#[test]
fn every_input_that_changes_is_a_reason() {
    let old = unit("a/service.x", "1")
        .port(80)
        .needs(&["b/service.db"])
        .about("image.app", "ghcr.io/x/app:1")
        .with(|unit| {
            unit.node_env.insert("TOKEN".into(), path("/etc/token"));
            unit.commands = vec![command(Moment::Activate, "reload it")];
        });
    let says = |change: fn(&mut Unit), words: &[&str]| assert_eq!(why(&old, change), words);
    says(
        |unit| drop(unit.about.insert("image.app".into(), "ghcr.io/x/app:2".into())),
        &["image ghcr.io/x/app:1 → 2"],
    );
    says(
        |unit| drop(unit.about.insert("image.app".into(), "other/app:1".into())),
        &["image ghcr.io/x/app:1 → other/app:1"],
    );
    says(|unit| unit.artifacts[0].mode = 0o600, &["compose.yaml has another mode or owner"]);
    says(
        |unit| unit.artifacts = vec![file("/opt/stacks/service-x/compose.yaml", "2")],
        &["compose.yaml changed"],
    );
    says(|unit| unit.artifacts.push(file("/srv/extra", "1")), &["/srv/extra added"]);
    says(
        |unit| unit.commands[0] = command(Moment::Activate, "restart it"),
        &["activate command changed"],
    );
    says(|unit| unit.commands.clear(), &["activate command removed"]);
    says(|unit| unit.health.checks.clear(), &["health check changed"]);
    says(|unit| unit.health.retries = 3, &["health timing changed"]);
    says(
        |unit| drop(unit.node_env.insert("TOKEN".into(), path("/etc/other"))),
        &["env TOKEN reads /etc/other instead of /etc/token"],
    );
    says(|unit| unit.node_env.clear(), &["env TOKEN no longer reads /etc/token"]);
    says(
        |unit| *unit = unit.clone().with(|unit| unit.claims.ports.clear()).port(81),
        &["port 80/tcp → 81/tcp"],
    );
    says(
        |unit| *unit = unit.clone().needs(&["b/service.other"]),
        &["dependency b/service.db removed", "dependency b/service.other added"],
    );
    says(|unit| *unit = unit.clone().group("x@prod", 1, false), &["place in its group changed"]);
    says(|unit| *unit = unit.clone().about("hosts", "x.example.net"), &["hosts x.example.net"]);
    says(|unit| unit.adopt = true, &["written by another version of gitsync"]);
}

#[test]
fn many_files_are_counted_rather_than_listed() {
    let old = unit("a/service.x", "1");
    let words = why(&old, |unit| {
        unit.artifacts.extend((0..7).map(|n| file(&format!("/srv/f{n}"), "1")));
    });
    assert_eq!(words, ["/srv/f0, /srv/f1, /srv/f2, /srv/f3 and 3 more files: added"]);
}

#[test]
fn new_and_adopted_units_say_so() {
    let plan = scene([], [unit("a/service.x", "1")]).plan();
    assert_eq!(reasons(step(&plan, "a/service.x")), ["new on a"]);
    let plan = scene([], [unit("a/service.x", "1").with(|unit| unit.adopt = true)]).plan();
    assert_eq!(reasons(step(&plan, "a/service.x")), ["adopted for the first time on a"]);
    let plan =
        scene([unit("a/service.x", "1"), unit("a/service.y", "1")], [unit("a/service.y", "1")]);
    assert_eq!(reasons(step(&plan.plan(), "a/service.x")), ["no longer wanted"]);
}

#[test]
fn a_single_instance_tells_how_long_it_is_down() {
    let notice =
        |old: Unit, new: Unit| changed(old, new).steps().next().unwrap().notices[0].0.clone();
    assert_eq!(
        notice(unit("nas/service.plex", "1"), unit("nas/service.plex", "2")),
        "plex restarts on nas, up to about 10 s down: it has no second instance"
    );
    let graceful = |version| unit("nas/service.plex", version).about("stop_grace", "3s");
    assert_eq!(
        notice(graceful("1"), graceful("2").about("start_period", "20s")),
        "plex restarts on nas, about 23 s down: it has no second instance"
    );
    let slow = |version| {
        let start = std::time::Duration::from_secs(30);
        unit("nas/service.api@dev", version).with(|unit| unit.health.start_period = start)
    };
    assert_eq!(
        notice(slow("1"), slow("2")),
        "api@dev restarts on nas, up to about 40 s down: it has no second instance"
    );
}

#[test]
fn a_pair_behind_a_gateway_is_not_missed_only_while_the_other_is_well() {
    let pair = |version| {
        [
            unit("vps1/service.w", version).group("w@prod", 1, true).witness(30),
            unit("vps2/service.w", version).group("w@prod", 2, true).witness(30),
        ]
    };
    let mut scene = scene(pair("1"), pair("2"));
    let said = |scene: &Scene| notices(step(&scene.plan(), "vps2/service.w"))[0].to_owned();
    assert_eq!(said(&scene), "w: no downtime, vps1 serves meanwhile");
    assert_eq!(
        notices(step(&scene.plan(), "vps2/service.w"))[1..],
        ["WebSockets and long downloads on vps2 drop once"]
    );
    let fallback = scene.report("vps1").units.get_mut(&id("vps1/service.w")).unwrap();
    fallback.containers[0].health = Some("unhealthy".into());
    assert_eq!(
        said(&scene),
        "w restarts on vps2, up to about 10 s down: no other instance is well now"
    );
    scene.unreachable("vps1");
    assert!(said(&scene).ends_with("no other instance is well now"));
}

#[test]
fn without_a_gateway_the_others_only_go_on() {
    let member = |n: u32, version: &str| {
        unit(&format!("n{n}/service.dns"), version).group("dns@prod", n, false)
    };
    let plan = scene((1..=3).map(|n| member(n, "1")), (1..=3).map(|n| member(n, "2"))).plan();
    assert_eq!(
        notices(step(&plan, "n1/service.dns")),
        ["dns restarts on n1, up to about 10 s down; n2 and n3 go on"]
    );
}

#[test]
fn a_gateway_that_reloads_drops_websockets_only_when_its_files_change() {
    let edge = |version| {
        unit("vps1/gateway.edge", version).about("reload", "yes").with(|unit| {
            unit.runtime = Runtime::Host;
        })
    };
    let plan = changed(edge("1"), edge("2"));
    assert_eq!(
        notices(step(&plan, "vps1/gateway.edge")),
        ["edge reloads on vps1, no restart", "WebSockets through vps1 drop once"]
    );
    let plan = changed(edge("1"), edge("1").needs(&["vps1/service.x"]));
    assert_eq!(notices(step(&plan, "vps1/gateway.edge")), ["edge: nothing restarts on vps1"]);
}

#[test]
fn files_without_an_activation_restart_nothing() {
    let bundle = |version: &str, activate: Option<&str>| {
        unit("nas/bundle.mcp", version).with(|unit| {
            unit.runtime = Runtime::Files;
            unit.commands =
                activate.map(|text| command(Moment::Activate, text)).into_iter().collect();
        })
    };
    let said = |plan: Plan| plan.steps().next().unwrap().notices[0].0.clone();
    assert_eq!(
        said(changed(bundle("1", None), bundle("2", None))),
        "mcp: files change on nas; nothing restarts"
    );
    let activate = Some("systemctl reload mcp");
    assert_eq!(
        said(changed(bundle("1", activate), bundle("2", activate))),
        "mcp: files change on nas, then `systemctl reload mcp` runs"
    );
    assert_eq!(
        said(scene([], [bundle("1", None)]).plan()),
        "mcp: files arrive on nas; nothing restarts"
    );
}

#[test]
fn what_goes_keeps_its_volumes_and_says_who_goes_on() {
    let pair = |node: &str, order| unit(node, "1").group("w@prod", order, false);
    let scene = scene(
        [pair("vps1/service.w", 1), pair("vps2/service.w", 2), unit("vps1/service.x", "1")],
        [pair("vps1/service.w", 1)],
    );
    let plan = scene.plan();
    assert_eq!(
        notices(step(&plan, "vps2/service.w")),
        ["w stops on vps2; its volumes stay; vps1 goes on"]
    );
    assert_eq!(notices(step(&plan, "vps1/service.x")), ["x stops on vps1; its volumes stay"]);
}

#[test]
fn sensitive_files_are_never_shown() {
    let secret = |version: &str| {
        unit("a/service.x", version).with(|unit| {
            unit.artifacts[0].sensitive = true;
            unit.artifacts.push(file("/opt/stacks/service-x/plain", version));
        })
    };
    let plan = changed(secret("1"), secret("2"));
    let files = &step(&plan, "a/service.x").files;
    assert!(files[0].sensitive && files[0].diff.is_none());
    assert!(files[1].diff.is_some());
}
