//! What every kind of unit looks like, as reviewed snapshots, and what holds for all of them.

mod secrets;

use std::collections::BTreeSet;
use std::time::Duration;

use super::render;
use crate::model::{self, *};

#[path = "../../tests/programs/fleets.rs"]
#[allow(dead_code)]
mod fleets;

use fleets::*;

/// Everything of a unit that lands on its node, as one text.
fn printed(unit: &Unit) -> String {
    let mut text = format!("{} in {}\n{:?}\n", unit.id, unit.directory, unit.runtime);
    text.push_str(&format!("depends on {:?}\n", unit.depends_on.iter().collect::<Vec<_>>()));
    text.push_str(&format!("about {:?}\n", unit.about));
    for artifact in &unit.artifacts {
        text.push_str(&format!("--- {} {:04o}\n", artifact.destination, artifact.mode));
        text.push_str(&shown(&artifact.content));
    }
    for command in &unit.commands {
        text.push_str(&format!("--- {}\n{}", command.moment.word(), shown(&command.content)));
    }
    text
}

fn shown(content: &Content) -> String {
    match content {
        Content::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Content::OnNode(blob) => blob.clone(),
        Content::Sealed(sealed) => sealed.blob(),
    }
}

fn unit(fleet: &Fleet, id: &str) -> Unit {
    render(fleet).unwrap().units.remove(&id.parse::<UnitId>().unwrap()).unwrap()
}

fn file(unit: &Unit, name: &str) -> String {
    let found = unit.artifacts.iter().find(|artifact| artifact.destination.file_name() == name);
    shown(&found.unwrap().content)
}

#[test]
fn rendering_the_same_fleet_twice_gives_the_same_release() {
    assert_eq!(render(&everything()).unwrap(), render(&everything()).unwrap());
    assert_eq!(render(&everything()).unwrap().digest(), render(&everything()).unwrap().digest());
}

#[test]
fn an_image_service_is_a_compose_project() {
    insta::assert_snapshot!(printed(&unit(&everything(), "vps2/service.organizr")));
}

#[test]
fn a_process_service_has_its_environment_quoted() {
    insta::assert_snapshot!(printed(&unit(&everything(), "vps1/service.api")));
}

#[test]
fn a_systemd_gateway_is_validated_reloaded_and_asked() {
    insta::assert_snapshot!(printed(&unit(&everything(), "vps1/gateway.edge")));
}

#[test]
fn a_compose_gateway_watches_its_mounted_directory() {
    let mut fleet = everything();
    fleet.gateways.get_mut(&name("edge")).unwrap().run = GatewayRun::Compose;
    insta::assert_snapshot!(printed(&unit(&fleet, "vps1/gateway.edge")));
}

#[test]
fn a_command_gateway_runs_caddy_unless_told_otherwise() {
    let mut fleet = everything();
    let run = GatewayRun::Command { start: None, stop: None, reload: None, validate: None };
    fleet.gateways.get_mut(&name("edge")).unwrap().run = run;
    let unit = unit(&fleet, "vps1/gateway.edge");
    assert_eq!(unit.runtime, Runtime::Process);
    let moments: Vec<Moment> = unit.commands.iter().map(|command| command.moment).collect();
    assert_eq!(moments, [Moment::Validate, Moment::Start, Moment::Reload]);
    let start = shown(&unit.command(Moment::Start).unwrap().content);
    assert!(start.contains("caddy run --config '/etc/caddy/Caddyfile'"), "{start}");
}

#[test]
fn a_node_that_sends_has_an_lsyncd_and_one_that_only_receives_has_none() {
    insta::assert_snapshot!(printed(&unit(&everything(), "vps1/sync")));
    let mut fleet = everything();
    let one_way = Direction::OneWay { from: name("vps2"), to: vec![name("vps1")] };
    fleet.syncs.insert(name("dns-files"), sync("dns-files", one_way));
    let release = render(&fleet).unwrap();
    let syncs: Vec<String> = release
        .units
        .keys()
        .filter(|id| id.kind == UnitKind::Sync)
        .map(UnitId::to_string)
        .collect();
    assert_eq!(syncs, ["vps2/sync"]);
}

#[test]
fn a_bundle_is_filled_in_for_its_node() {
    insta::assert_snapshot!(printed(&unit(&everything(), "vps1/bundle.mcp")));
}

#[test]
fn a_brought_compose_file_stays_as_it_is_and_gets_labels_beside_it() {
    let mut fleet = fleet();
    let text = "services: { web: { image: 'nginx:1.27' }, job: { image: 'busybox:1.36' } }\n";
    fleet.files.insert("services/media/compose.yaml".to_owned(), repo_file(text));
    fleet.files.insert("services/media/nginx.conf".to_owned(), repo_file("events {}\n"));
    let conf = MountSource::Directory("nginx.conf".to_owned());
    let web = BroughtService {
        image: Some("nginx:1.27".to_owned()),
        container_name: Some("media-web".to_owned()),
        mounts: vec![mount(conf, "/etc/nginx/nginx.conf", true)],
        ..BroughtService::default()
    };
    let job = BroughtService {
        image: Some("busybox:1.36".to_owned()),
        mounts: vec![mount(MountSource::Path(path("/srv/media")), "/media", false)],
        once: true,
        ..BroughtService::default()
    };
    let brought = Brought {
        file: "compose.yaml".to_owned(),
        path: "services/media/compose.yaml".to_owned(),
        env: Default::default(),
        services: [("web".to_owned(), web), ("job".to_owned(), job)].into(),
        volumes: vec!["media_data".to_owned()],
    };
    let mut media = instance("media", "vps1", Form::Compose(brought));
    media.files = vec![
        delivered("services/media/nginx.conf", "/opt/stacks/media/nginx.conf"),
        delivered("services/media/compose.yaml", "/opt/stacks/media/compose.yaml"),
    ];
    fleet.instances.push(media);
    let unit = unit(&fleet, "vps1/service.media");
    assert_eq!(file(&unit, "compose.yaml"), text);
    assert_eq!(unit.claims.names, BTreeSet::from(["media-web".to_owned()]));
    insta::assert_snapshot!(printed(&unit));
}

#[test]
fn a_container_has_everything_that_its_author_wrote() {
    let mut from = container("ghcr.io/acme/api:1.4.2");
    from.command = Some(CommandLine::Words(vec!["serve".to_owned(), "--cost=$5".to_owned()]));
    from.entrypoint = Some(CommandLine::Shell("/entry --now".to_owned()));
    from.user = Some("1000:1000".to_owned());
    from.volumes = vec![
        mount(MountSource::External("shared".to_owned()), "/shared", false),
        mount(MountSource::Volume("shared".to_owned()), "/own", false),
        mount(MountSource::Path(path("/srv/media")), "/media", true),
        mount(MountSource::Directory("data".to_owned()), "/data", false),
        mount(MountSource::Directory("api.toml".to_owned()), "/api.toml", true),
        mount(MountSource::Tmpfs, "/tmp", false),
    ];
    from.network = Network::Join(vec!["proxy".to_owned()]);
    from.devices = vec!["/dev/dri:/dev/dri".to_owned()];
    from.gpus = Some("all".to_owned());
    from.cap_add = vec!["NET_ADMIN".to_owned()];
    from.privileged = true;
    from.labels.insert("note".to_owned(), "no".to_owned());
    from.restart = Restart::No;
    from.resources = Resources {
        memory: Some("512m".to_owned()),
        cpus: Some("0.5".to_owned()),
        pids: Some(100),
        shm: Some("1g".to_owned()),
    };
    from.replicas = 2;
    from.stop_grace = Some(Duration::from_millis(1500));
    from.healthcheck = Some(ContainerCheck {
        test: ContainerCheckTest::Shell("wget -qO- localhost || exit 1".to_owned()),
        interval: Duration::from_secs(30),
        timeout: Duration::from_secs(5),
        retries: 3,
        start_period: Duration::from_secs(90),
    });
    let mut fleet = fleet();
    fleet.files.insert("services/api/api.toml".to_owned(), repo_file("port = 8000\n"));
    let mut api = image("api", "vps1", from);
    let both = vec![Protocol::Tcp, Protocol::Udp];
    let v6 = BindAddress::One("fd7a::1".parse().unwrap());
    api.ports.insert("a".to_owned(), PortMapping { protocols: both, ..port(53, 53, v6) });
    api.ports.insert("b".to_owned(), port(8000, 80, BindAddress::Any));
    api.files = vec![delivered("services/api/api.toml", "/opt/stacks/api/api.toml")];
    fleet.instances.push(api);
    insta::assert_snapshot!(printed(&unit(&fleet, "vps1/service.api")));
}

#[test]
fn a_changed_mounted_file_changes_the_digest_label_and_others_do_not() {
    let labelled = |text: &str, other: &str| {
        let mut fleet = fleet();
        fleet.files.insert("a".to_owned(), repo_file(text));
        fleet.files.insert("b".to_owned(), repo_file(other));
        let mut from = container("nginx:1.27");
        from.volumes.push(mount(MountSource::Directory("conf".to_owned()), "/conf", true));
        let mut web = image("web", "vps1", from);
        web.files = vec![
            delivered("a", "/opt/stacks/web/conf/a"),
            delivered("b", "/opt/stacks/web/elsewhere"),
        ];
        fleet.instances.push(web);
        file(&unit(&fleet, "vps1/service.web"), "compose.yaml")
    };
    assert!(labelled("1", "1").contains("gitsync.digest"));
    assert_ne!(labelled("1", "1"), labelled("2", "1"));
    assert_eq!(labelled("1", "1"), labelled("1", "2"));
    let none = file(&unit(&everything(), "vps1/service.organizr"), "compose.yaml");
    assert!(!none.contains("gitsync.digest"));
}

#[test]
fn a_container_that_mounts_a_bundles_file_follows_it() {
    let mut fleet = everything();
    let mut from = container("mcp:1.0");
    from.volumes.push(mount(MountSource::Path(path("/etc/mcp/mcp.json")), "/mcp.json", true));
    fleet.instances.push(image("mcp", "vps1", from));
    let unit = unit(&fleet, "vps1/service.mcp");
    assert!(file(&unit, "compose.yaml").contains("gitsync.digest"));
    assert!(unit.depends_on.contains(&"vps1/bundle.mcp".parse::<UnitId>().unwrap()));
    let Runtime::Compose { needs, recreate, .. } = &unit.runtime else { panic!("no project") };
    assert_eq!((needs.len(), recreate.as_slice()), (1, &["mcp".to_owned()][..]));
}

#[test]
fn members_of_a_pair_change_the_fallback_first_and_wait_for_the_gateway() {
    let fleet = everything();
    let (first, last) =
        (unit(&fleet, "vps1/service.organizr"), unit(&fleet, "vps2/service.organizr"));
    let orders = [&first, &last].map(|unit| unit.membership.clone().unwrap().order);
    assert_eq!(orders, [0, 1]);
    assert!(first.membership.unwrap().failover);
    assert_eq!(first.witness, Duration::from_secs(15));
    assert_eq!(first.about["hosts"], "organizr.example.net");
    assert_eq!(unit(&fleet, "vps1/service.api").about["hosts"], "organizr.example.net/api");
    assert!(unit(&fleet, "vps1/service.api").membership.is_none());
}

#[test]
fn a_gateway_dials_its_own_nodes_loopback_and_leaves_out_that_of_others() {
    let mut fleet = everything();
    let edge = fleet.gateways.get_mut(&name("edge")).unwrap();
    for upstream in &mut edge.sites[0].routes[1].upstreams {
        upstream.loopback = true;
    }
    edge.sites[0].routes[0].upstreams[0].address = "fd7a::1".parse().unwrap();
    let text = file(&unit(&fleet, "vps1/gateway.edge"), "Caddyfile");
    assert!(text.contains("reverse_proxy 127.0.0.1:8081 {"), "{text}");
    assert!(text.contains("reverse_proxy [fd7a::1]:8000 {"), "{text}");
    assert!(!text.contains("100.102.55.88"), "{text}");
}

#[test]
fn two_gateways_on_a_node_have_a_directory_each() {
    let mut fleet = everything();
    let other = Gateway { name: name("inner"), on: vec![name("vps1")], ..gateway(Vec::new()) };
    fleet.gateways.insert(name("inner"), other);
    assert_eq!(unit(&fleet, "vps1/gateway.edge").directory, path("/etc/caddy-edge"));
    assert_eq!(unit(&fleet, "vps1/gateway.inner").directory, path("/etc/caddy-inner"));
    assert_eq!(unit(&fleet, "vps2/gateway.edge").directory, path("/etc/caddy"));
}

#[test]
fn a_repository_may_bring_its_own_template() {
    let mut fleet = everything();
    let own = "{% include 'part.tera' %}{{ sites[0].routes[1].upstreams[0] }}\n".to_owned();
    fleet.templates.insert("Caddyfile.tera".to_owned(), own);
    fleet.templates.insert("part.tera".to_owned(), "# ours\n".to_owned());
    let unit = unit(&fleet, "vps1/gateway.edge");
    assert_eq!(file(&unit, "Caddyfile"), "# ours\n100.102.55.88:8081\n");
    let asks =
        |check: &Check| matches!(check, Check::Exec { command, .. } if command.contains("curl"));
    assert!(!unit.health.checks.iter().any(asks), "there is no proof to ask for");
}

#[test]
fn a_broken_template_is_told_with_file_line_and_column() {
    for (text, line) in
        [("ok\n{{ sites.nothing.at }}\n", 2), ("{% if %}", 1), ("\n\n{{ unknown }}", 3)]
    {
        let mut fleet = everything();
        fleet.templates.insert("Caddyfile.tera".to_owned(), text.to_owned());
        let problems = render(&fleet).unwrap_err();
        let place = problems[0].place().unwrap();
        assert_eq!(problems.len(), 1, "the same problem of two nodes is told once");
        assert_eq!((problems[0].code, place.line), (super::codes::TEMPLATE, line), "{text}");
        assert_eq!(place.file, "templates/Caddyfile.tera");
    }
}

#[test]
fn templates_can_neither_loop_nor_write_without_end() {
    let endless = "{% for a in range(end=100000000000) %}x{% endfor %}";
    let long = "{% for a in range(end=9999) %}{{ \"long text \" ~ fleet.name ~ fleet.name }}\
                {{ \"                                                                    \" }}\
                {{ \"                                                                    \" }}\
                {% endfor %}";
    let silent = "{% set r = range(end=9999) %}{% for a in r %}{% for b in r %}{% for c in r %}\
                  {% endfor %}{% endfor %}{% endfor %}";
    for (text, said) in [(endless, "longer than"), (long, "writes more"), (silent, "go round")] {
        let mut fleet = everything();
        fleet.files.insert("files/mcp/mcp.json".to_owned(), repo_file(text));
        let problems = render(&fleet).unwrap_err();
        assert_eq!(problems[0].code, super::codes::TEMPLATE);
        assert!(problems[0].message.contains(said), "{}", problems[0].message);
        assert_eq!(problems[0].place().unwrap().file, "files/mcp/mcp.json");
    }
}

#[test]
fn places_in_templates_are_those_that_their_authors_see() {
    let mut fleet = everything();
    let text = "{\n{% for a in range(end=2) %}é{{ a }}{{ unknown.thing }}{% endfor %}\n";
    fleet.files.insert("files/mcp/mcp.json".to_owned(), repo_file(text));
    let problems = render(&fleet).unwrap_err();
    let place = problems[0].place().unwrap();
    assert_eq!((place.line, place.column), (2, 39));
    assert_eq!(text.get(place.start..place.end), Some("unknown"));
}

#[test]
fn all_problems_are_told_at_once() {
    let mut fleet = everything();
    fleet.files.clear();
    let edge = fleet.gateways.get_mut(&name("edge")).unwrap();
    edge.sites[0].routes[0].headers.push(header("-Server", ""));
    edge.sites[0].routes[0].headers.push(header("X-Line", "a\nb"));
    let mut bad = container("busybox:1.36");
    bad.env.insert("A-B".to_owned(), EnvValue::NodeFile(path("/x")));
    let mut bad = image("bad", "vps1", bad);
    bad.files.push(delivered("x", "/etc/passwd"));
    fleet.instances.push(bad);
    let codes: Vec<&str> = render(&fleet).unwrap_err().iter().map(|p| p.code.0).collect();
    assert_eq!(codes, ["GS0602", "GS0604", "GS0604", "GS0603"]);
}
