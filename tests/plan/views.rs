//! Every view of one plan that has a bit of everything.

use crate::build::*;
use gitsync::model::*;
use gitsync::report::plan::{Filter, MARKDOWN_LIMIT, human, json, markdown};

/// A pair behind two gateways, a replaced and a removed unit, a secret, a sleeping node, a missing way back.
pub fn rich() -> Scene {
    let organizr = |node: &str, order, version: &str| {
        unit(&format!("{node}/service.organizr"), version)
            .group("organizr@prod", order, true)
            .witness(35)
            .about("image.organizr", &format!("organizr/organizr:2.1.{version}"))
            .about("hosts", "organizr.example.net")
    };
    let edge = |node: &str, version: &str, needs: &[&str]| {
        unit(&format!("{node}/gateway.edge"), version).needs(needs).about("reload", "yes").with(
            |unit| {
                unit.runtime = Runtime::Host;
                unit.commands = vec![command(Moment::Reload, "caddy reload")];
            },
        )
    };
    let pair = ["vps1/service.organizr", "vps2/service.organizr"];
    let with_old = ["vps1/service.organizr", "vps2/service.organizr", "vps1/service.gone"];
    let secret = |version: &str| {
        unit("unraid/service.plex", version).about("stop_grace", "10s").with(|unit| {
            let token = file("/opt/stacks/service-plex/token", version);
            unit.artifacts.push(Artifact { sensitive: true, mode: 0o600, ..token });
        })
    };
    let mcp = unit("unraid/bundle.mcp", "1").with(|unit| {
        unit.runtime = Runtime::Files;
        unit.commands = vec![command(Moment::Activate, "systemctl reload mcp | tee <log>")];
    });
    let mut scene = scene(
        [
            organizr("vps1", 1, "1"),
            organizr("vps2", 2, "1"),
            edge("vps1", "1", &with_old),
            edge("vps2", "1", &with_old),
            unit("vps1/service.gone", "1"),
            unit("unraid/service.old", "1").port(9000),
            secret("1"),
            unit("pi/service.dns", "1"),
        ],
        [
            organizr("vps1", 1, "2"),
            organizr("vps2", 2, "2"),
            edge("vps1", "2", &pair),
            edge("vps2", "2", &pair),
            unit("unraid/service.new", "1").port(9000),
            secret("2"),
            mcp,
            unit("pi/service.dns", "1"),
        ],
    );
    scene.release.commit = Some(Commit {
        id: "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d".into(),
        summary: "Organizr 2.1.2 and a new *thing*".into(),
        author: "Ada".into(),
        at: Timestamp(1_700_000_000_000),
    });
    scene.nodes.get_mut(&name("pi")).unwrap().optional = true;
    scene.unreachable("pi");
    scene.nodes.get_mut(&name("unraid")).unwrap().boot_cover = false;
    scene.report("vps2").manifests.retain(|_, unit| unit.id != id("vps2/gateway.edge"));
    scene
}

fn only(node: Option<&str>, service: Option<&str>) -> Filter {
    Filter { node: node.map(str::to_owned), service: service.map(str::to_owned) }
}

#[test]
fn people_read_the_plan_wave_by_wave() {
    insta::assert_snapshot!(human(&rich().plan(), &Filter::default(), false));
}

#[test]
fn colour_is_there_only_when_asked_for_and_changes_no_word() {
    let plan = rich().plan();
    let coloured = human(&plan, &Filter::default(), true);
    assert!(coloured.contains("\u{1b}["));
    let mut bare = String::new();
    let mut parts = coloured.split('\u{1b}');
    bare.push_str(parts.next().unwrap());
    for part in parts {
        bare.push_str(part.split_once('m').unwrap().1);
    }
    assert_eq!(bare, human(&plan, &Filter::default(), false));
}

#[test]
fn filters_narrow_the_view_and_not_the_plan() {
    let plan = rich().plan();
    insta::assert_snapshot!("human_node", human(&plan, &only(Some("unraid"), None), false));
    insta::assert_snapshot!("human_service", human(&plan, &only(None, Some("old")), false));
    let gateways = human(&plan, &only(Some("vps1"), Some("gateway.edge")), false);
    assert!(gateways.contains("vps1/gateway.edge") && !gateways.contains("  ~ vps2/gateway.edge"));
}

#[test]
fn a_filter_names_an_environment_with_its_service() {
    let dev = id("a/service.api@dev");
    assert!(only(None, Some("api")).shows(&dev));
    assert!(only(None, Some("api@dev")).shows(&dev));
    assert!(!only(None, Some("api@prod")).shows(&dev));
    assert!(!only(None, Some("api@dev")).shows(&id("a/service.api")));
    assert!(!only(Some("b"), Some("api")).shows(&dev));
}

#[test]
fn a_pull_request_shows_a_table_for_each_node() {
    insta::assert_snapshot!(markdown(&rich().plan(), &Filter::default()));
}

#[test]
fn programs_read_the_plan_itself() {
    let plan = rich().plan();
    let text = json(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    insta::assert_snapshot!(text);
}

#[test]
fn no_change_says_so_in_one_line() {
    let units = || [unit("a/service.x", "1")];
    let text = human(&scene(units(), units()).plan(), &Filter::default(), false);
    assert!(text.contains("Nothing changes"));
    let last = text.lines().last().unwrap();
    assert_eq!(last, "Plan: 0 to create, 0 to change, 0 to remove; 1 unchanged.");
}

#[test]
fn without_nodes_or_answers_nothing_is_said_about_what_they_run() {
    let words = |scene: Scene| human(&scene.plan(), &Filter::default(), false);
    let text = words(scene([], []));
    assert!(text.contains("Nobody was asked: this fleet has no nodes.\n"), "{text}");
    let units = || [unit("a/service.x", "1"), unit("b/service.x", "1")];
    let mut half = scene(units(), units());
    half.unreachable("b");
    half.nodes.get_mut(&name("b")).unwrap().optional = true;
    let text = human(&half.plan(), &Filter::default(), false);
    assert!(text.contains("Nothing changes: the nodes that answer run this release.\n"), "{text}");
    half.unreachable("a");
    half.nodes.get_mut(&name("a")).unwrap().optional = true;
    let text = words(half);
    assert!(text.contains("Nothing changes: no node answers.\n"), "{text}");
}

#[test]
fn a_reason_of_several_lines_keeps_every_view_in_shape() {
    let reason = "the key is another one\nIt offers this. Write\n  key: \"a\"\u{1b}[2J\r- vps1/x";
    let mut scene = scene([], [unit("a/service.x", "1"), unit("b/service.x", "1")]);
    scene.observed.nodes.insert(name("b"), NodeState::Unreachable(reason.into()));
    let plan = scene.plan();
    let text = human(&plan, &Filter::default(), false);
    assert!(text.contains("\n  b takes no part (the key is another one)\n"), "{text}");
    let refused = "Refused:\n  b can't be reached: the key is another one [unreachable]\n      \
                   It offers this. Write\n        key: \"a\"\u{fffd}[2J\n      - vps1/x\n";
    assert!(text.contains(refused), "{text}");
    let text = markdown(&plan, &Filter::default());
    assert!(text.contains("- b takes no part (the key is another one)\n"), "{text}");
    let refused = "- b can't be reached: the key is another one It offers this. Write key: ";
    assert!(text.contains(refused), "{text}");
}

#[test]
fn a_huge_plan_is_cut_with_a_note() {
    let many = (0..3_000).map(|n| unit(&format!("n{}/service.s{n}", n % 7), "1"));
    let text = markdown(&scene([], many).plan(), &Filter::default());
    assert!(text.len() <= MARKDOWN_LIMIT, "{}", text.len());
    assert!(text.ends_with("did not fit here. `gitsync plan` shows everything._\n"));
    assert!(text.contains("| `+` | `service.s0` |"));
}

#[test]
fn what_a_repository_says_can_neither_steer_a_terminal_nor_break_out_of_markdown() {
    let evil = "x:1\u{1b}[2J\r\n| a | <img src=x> @everyone ```";
    let spiked = |version: &str, text: &str| {
        unit("a/service.x", version).about("image.app", text).with(|unit| {
            unit.artifacts[0].content =
                Content::Bytes(format!("\u{1b}]0;t\u{7}\n````\n</details>{version}\n").into());
        })
    };
    let plan = scene([spiked("1", "x:1")], [spiked("2", evil)]).plan();
    let text = human(&plan, &Filter::default(), false);
    assert!(!text.contains('\u{1b}') && !text.contains('\r') && !text.contains('\u{7}'));
    let text = markdown(&plan, &Filter::default());
    assert!(!text.contains('\u{1b}') && !text.contains("<img") && !text.contains("@everyone"));
    assert!(text.contains("\n`````diff\n"), "the fence is longer than any inside");
}

#[test]
fn what_a_saved_plan_says_can_not_steer_a_terminal_either() {
    let mut plan = rich().plan();
    let evil = || "x\u{1b}[2J\u{7}y`".to_owned();
    plan.commit.as_mut().unwrap().id = evil();
    plan.warnings.iter_mut().for_each(|warning| warning.code = evil());
    plan.skipped.iter_mut().for_each(|skipped| skipped.reason = evil());
    let steps = plan.waves.iter_mut().flat_map(|wave| &mut wave.steps);
    steps.flat_map(|step| &mut step.files).for_each(|file| file.destination = evil());
    for text in [human(&plan, &Filter::default(), false), markdown(&plan, &Filter::default())] {
        assert!(text.contains("x\u{fffd}[2J"), "{text}");
        assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text}");
    }
}
