//! Whole repositories against limits: what is beyond them is told with its place and key, and nothing else is.

mod secrets;

use super::*;
use crate::model::{ComposeLimits, Content, Entry, Pin, Snapshot, Units};
use crate::{check, render};

/// A fleet of one node with these files more or other, checked and rendered.
fn fleet(files: &[(&str, &str)]) -> (Fleet, Release) {
    let base = [
        ("fleet.yaml", "version: 1\nname: homelab\ndomain: example.net\n"),
        ("nodes/vps1.yaml", "address: 100.67.88.109\n"),
    ];
    let mut snapshot = Snapshot::default();
    for (path, text) in base.iter().chain(files) {
        let content = text.as_bytes().to_vec();
        snapshot.entries.insert((*path).to_owned(), Entry::File { content, executable: false });
    }
    let checked = check::check(&snapshot);
    let fleet = checked.fleet.unwrap_or_else(|| panic!("{files:?}: {:#?}", checked.diagnostics));
    let release = render::render(&fleet).unwrap();
    (fleet, release)
}

fn told(files: &[(&str, &str)], limits: &Limits) -> Vec<String> {
    let (fleet, release) = fleet(files);
    let found = breaches(&fleet, &release, limits, &BTreeMap::new());
    found.iter().map(ToString::to_string).collect()
}

/// The one breach that files are, or none for an empty text.
fn one(files: &[(&str, &str)], limits: &Limits, wanted: &str) {
    let told = told(files, limits);
    let wanted = if wanted.is_empty() { Vec::new() } else { vec![wanted.to_owned()] };
    assert_eq!(told, wanted, "{files:?}");
}

fn paths(all: &[&str]) -> Option<Vec<AbsPath>> {
    Some(all.iter().map(|path| AbsPath::new(*path).unwrap()).collect())
}

fn none() -> Option<Units> {
    Some(Units::Listed(Vec::new()))
}

fn listed(pattern: &str) -> Option<Units> {
    Some(Units::Listed(vec![pattern.to_owned()]))
}

fn pinned(pin: Pin) -> Limits {
    let nodes = BTreeMap::from([(Name::new("vps1").unwrap(), pin)]);
    Limits { nodes, nodes_only: true, ..Limits::default() }
}

#[test]
fn nothing_written_limits_nothing() {
    let files = [
        (
            "services/x.yaml",
            "image: acme/x:1\nprivileged: true\nvolumes: [ /:/host:ro ]\nnetwork: host\nplacement: { on: all }\n",
        ),
        ("bundles/b.yaml", "files: files/b\nto: { on: all, path: /root/.ssh }\nactivate: reboot\n"),
        ("files/b/authorized_keys", "ssh-ed25519 AAAA\n"),
    ];
    one(&files, &Limits::default(), "");
}

#[test]
fn a_node_is_only_what_it_is_pinned_as() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHkX";
    let address = Some("100.67.88.109".parse().unwrap());
    let by_key = pinned(Pin { address, host_key: Some(format!("{key} mine")), ..Pin::default() });
    let node = |text: &str| text.to_owned();
    let with_key =
        |more: &str| format!("address: 100.67.88.109\nssh: {{ host_key: {key} theirs{more} }}\n");
    let evil = with_key(", host: evil.example").replace(" theirs", "Evil");
    for (text, limits, wanted) in [
        (with_key(""), &by_key, ""),
        // A key proves the node, whatever way leads there.
        (with_key(", host: other.example"), &by_key, ""),
        (
            with_key("").replace("109", "110"),
            &by_key,
            "nodes/vps1.yaml: its address is 100.67.88.110, and 100.67.88.109 is pinned (limits.nodes.vps1.address)",
        ),
        (
            node("address: 100.67.88.109\n"),
            &by_key,
            "nodes/vps1.yaml: its `ssh.host_key` is not written, and one is pinned (limits.nodes.vps1.host_key)",
        ),
        (
            evil,
            &by_key,
            "nodes/vps1.yaml: its `ssh.host_key` is another than the pinned one (limits.nodes.vps1.host_key)",
        ),
        (
            with_key(", jump: evil.example"),
            &by_key,
            "nodes/vps1.yaml: it is reached through evil.example, which is no pinned node (limits.nodes_only)",
        ),
        (
            node("address: 100.67.88.109\nssh: { host: evil.example }\n"),
            &pinned(Pin { address, ..Pin::default() }),
            "nodes/vps1.yaml: its `ssh.host` is evil.example, and 100.67.88.109 is pinned (limits.nodes.vps1.host)",
        ),
        (
            node("address: 100.67.88.109\nssh: { host: vps1.tail.ts.net }\n"),
            &pinned(Pin { address, host: Some("vps1.tail.ts.net".to_owned()), ..Pin::default() }),
            "",
        ),
        (
            node("local: /srv/x\naddress: 100.67.88.109\n"),
            &pinned(Pin { address, ..Pin::default() }),
            "nodes/vps1.yaml: it is a directory of the controller's own machine, and not pinned as `local: true` (limits.nodes.vps1.local)",
        ),
        (
            node("local: /srv/x\n"),
            &Limits::default(),
            "nodes/vps1.yaml: it is a directory of the controller's own machine, and not pinned as `local: true` (limits.nodes.vps1.local)",
        ),
        (node("local: /srv/x\n"), &pinned(Pin { local: true, ..Pin::default() }), ""),
    ] {
        one(&[("nodes/vps1.yaml", &text)], limits, wanted);
    }
    one(
        &[("nodes/evil.yaml", "address: 203.0.113.9\n")],
        &pinned(Pin::default()),
        "nodes/evil.yaml: this node is not pinned (limits.nodes_only)",
    );
}

#[test]
fn files_go_to_allowed_destinations_only() {
    let limits =
        Limits { destinations: paths(&["/opt/stacks", "/etc/caddy"]), ..Limits::default() };
    let bundle = |path: &str| format!("files: files/b\nto: {{ on: all, path: {path} }}\n");
    for (path, wanted) in [
        ("/opt/stacks/b", ""),
        ("/opt/stacksb", "/opt/stacksb"),
        ("/root/.ssh", "/root/.ssh"),
        ("/etc/cron.d", "/etc/cron.d"),
    ] {
        let text = bundle(path);
        let told = told(&[("bundles/b.yaml", &text), ("files/b/f", "x")], &limits);
        assert_eq!(told.is_empty(), wanted.is_empty(), "{path}: {told:?}");
        let all = told.iter().all(|line| {
            line.starts_with("vps1/bundle.b (bundles/b.yaml): ")
                && line.contains(wanted)
                && line.ends_with("(limits.destinations)")
        });
        assert!(all, "{told:?}");
    }
    // A node's own directories instead of the fleet's.
    let pin = Pin { destinations: paths(&["/etc/mcp"]), ..Pin::default() };
    let own =
        Limits { nodes_only: false, destinations: limits.destinations.clone(), ..pinned(pin) };
    let (allowed, refused) = (bundle("/etc/mcp"), bundle("/opt/stacks/b"));
    one(&[("bundles/b.yaml", &allowed), ("files/b/f", "x")], &own, "");
    let told = told(&[("bundles/b.yaml", &refused), ("files/b/f", "x")], &own);
    assert!(told[0].ends_with("(limits.nodes.vps1.destinations)"), "{told:?}");
}

#[test]
fn roots_boot_scripts_and_synced_folders_are_destinations_too() {
    let limits = Limits { destinations: paths(&["/opt", "/etc/lsyncd"]), ..Limits::default() };
    for (text, wanted) in [
        ("root: /opt/gitsync", ""),
        (
            "root: /etc/gitsync",
            "nodes/vps1.yaml: its `root` is /etc/gitsync, which is no allowed destination (limits.destinations)",
        ),
        (
            "boot: file:/etc/rc.local",
            "nodes/vps1.yaml: its `boot` script is /etc/rc.local, which is no allowed destination (limits.destinations)",
        ),
    ] {
        one(&[("nodes/vps1.yaml", &format!("address: 100.67.88.109\n{text}\n"))], &limits, wanted);
    }
    let second = ("nodes/vps2.yaml", "address: 100.67.88.110\n");
    let sync = ("syncs/s.yaml", "path: /root\nfrom: vps1\nto: [vps2]\n");
    one(
        &[second, sync],
        &limits,
        "syncs/s.yaml: /root is no allowed destination on vps2 (limits.destinations)",
    );
}

#[test]
fn commands_of_authors_are_told_wherever_they_hide() {
    let limits = Limits { commands: none(), ..Limits::default() };
    let file = ("files/b/f", "x");
    let bundle = "files: files/b\nto: { on: all, path: /etc/b }\n";
    let service = "placement: { on: all }\n";
    let gateway = "proxy: caddy\non: [vps1]\n";
    for (path, text, beyond) in [
        ("bundles/b.yaml", format!("{bundle}activate: reboot\n"), true),
        ("bundles/b.yaml", bundle.to_owned(), false),
        ("bundles/b.yaml", format!("{bundle}health: {{ exec: reboot }}\n"), true),
        ("services/s.yaml", format!("{service}run: command\nstart: ./x\n"), true),
        ("services/s.yaml", format!("{service}image: acme/x:1\ncommand: rm -rf /\n"), false),
        ("gateways/g.yaml", gateway.to_owned(), false),
        ("gateways/g.yaml", format!("{gateway}run: command\nstart: ./x\n"), true),
        ("gateways/g.yaml", format!("{gateway}run: command\n"), false),
    ] {
        let told = told(&[file, (path, &text)], &limits);
        assert_eq!(told.len(), usize::from(beyond), "{text}: {told:?}");
        assert!(told.iter().all(|line| line.ends_with("(limits.commands)")), "{told:?}");
        let any = Limits { commands: listed("vps1/*"), ..Limits::default() };
        one(&[file, (path, &text)], &any, "");
    }
    let second = ("nodes/vps2.yaml", "address: 100.67.88.110\n");
    let sync = ("syncs/s.yaml", "path: /srv\nfrom: vps1\nto: [vps2]\n");
    one(&[second, sync], &limits, "");
    one(
        &[second, sync, ("templates/lsyncd.conf.lua.tera", "os.execute('reboot')")],
        &limits,
        "vps1/sync: templates/lsyncd.conf.lua.tera is a program, and this unit may have no commands of its author (limits.commands)",
    );
    one(
        &[("gateways/g.yaml", gateway), ("templates/Caddyfile.tera", "import /etc/shadow")],
        &limits,
        "vps1/gateway.g (gateways/g.yaml): templates/Caddyfile.tera says what the proxy does, and this unit may have no commands of its author (limits.commands)",
    );
}

#[test]
fn files_of_the_node_become_environment_from_listed_directories_only() {
    let limits = Limits { node_files: paths(&["/etc/gitsync/secrets"]), ..Limits::default() };
    let text = "image: acme/x:1\nplacement: { on: all }\nenv: { T: node:/etc/gitsync/secrets/t, S: node:/etc/shadow }\n";
    one(
        &[("services/x.yaml", text)],
        &limits,
        "vps1/service.x (services/x.yaml): S would be read from /etc/shadow on the node (limits.node_files)",
    );
}

/// Limits that leave containers nothing of their node.
fn strict() -> Limits {
    let compose = ComposeLimits {
        privileged: none(),
        host_network: none(),
        host_namespaces: none(),
        host_mounts: paths(&["/srv"]),
        cap_add: Some(vec!["NET_BIND_SERVICE".to_owned()]),
        devices: Some(vec!["/dev/dri".to_owned()]),
    };
    Limits { compose, ..Limits::default() }
}

#[test]
fn images_get_no_more_of_their_node_than_is_allowed() {
    for (line, limit) in [
        ("volumes: [ config:/config, ./data:/data, /srv/media:/media ]", ""),
        ("cap_add: [NET_BIND_SERVICE]", ""),
        ("devices: [ /dev/dri/renderD128 ]", ""),
        ("privileged: true", "privileged"),
        ("network: host", "host_network"),
        ("volumes: [ /:/host:ro ]", "host_mounts"),
        ("volumes: [ /var/run/docker.sock:/var/run/docker.sock ]", "host_mounts"),
        ("volumes: [ /srvx:/x ]", "host_mounts"),
        ("cap_add: [SYS_ADMIN]", "cap_add"),
        ("devices: [ /dev/sda ]", "devices"),
        ("devices: [ /dev/dri/../sda ]", "devices"),
        ("gpus: all", "devices"),
    ] {
        let text = format!("image: acme/x:1\nplacement: {{ on: all }}\n{line}\n");
        let told = told(&[("services/x.yaml", &text)], &strict());
        assert_eq!(told.is_empty(), limit.is_empty(), "{line}: {told:?}");
        let place = "vps1/service.x (services/x.yaml): ";
        let limit = format!("(limits.compose.{limit})");
        assert!(told.iter().all(|it| it.starts_with(place) && it.ends_with(&limit)), "{told:?}");
    }
}

/// What a brought compose file is told for, by the limits' keys.
fn brought(compose: &str, more: &[(&str, &str)]) -> Vec<String> {
    let service = ("services/m/service.yaml", "compose: compose.yaml\nplacement: { on: all }\n");
    let mut files = vec![service, ("services/m/compose.yaml", compose)];
    files.extend(more);
    let told = told(&files, &strict());
    let key =
        |line: &String| line.rsplit("(limits.").next().unwrap().trim_end_matches(')').to_owned();
    let mut keys: Vec<String> = told.iter().map(key).collect();
    keys.dedup();
    keys
}

#[test]
fn brought_compose_files_get_no_more_of_their_node_than_is_allowed() {
    for (lines, limit) in [
        ("restart: always\n    volumes: [ ./a:/a, /srv/b:/b, c:/c, /anonymous ]", ""),
        ("security_opt: [ no-new-privileges:true ]", ""),
        ("privileged: false", ""),
        ("network_mode: service:b", ""),
        ("x-note: { privileged: true }", ""),
        ("privileged: true", "privileged"),
        ("privileged: yes", "privileged"),
        ("privileged: ${X:-true}", "privileged"),
        ("\"privileged\": !!bool \"true\"", "privileged"),
        ("network_mode: host", "host_network"),
        ("network_mode: ${N:-host}", "host_network"),
        ("network_mode: container:other", "host_namespaces"),
        ("pid: host", "host_namespaces"),
        ("ipc: host", "host_namespaces"),
        ("uts: host", "host_namespaces"),
        ("userns_mode: host", "host_namespaces"),
        ("cgroup: host", "host_namespaces"),
        ("pid: \"container:x\"", "host_namespaces"),
        ("cap_add: [ CAP_SYS_ADMIN ]", "cap_add"),
        ("cap_add: [ all ]", "cap_add"),
        ("devices: [ \"/dev/sda:/dev/x\" ]", "devices"),
        ("devices: [ { source: /dev/mem, target: /dev/mem } ]", "devices"),
        ("device_cgroup_rules: [ \"a *:* rwm\" ]", "privileged"),
        ("security_opt: [ seccomp=unconfined ]", "privileged"),
        ("security_opt: [ apparmor:unconfined ]", "privileged"),
        ("security_opt: [ \"label:disable\" ]", "privileged"),
        ("volumes: [ /etc:/etc ]", "host_mounts"),
        ("volumes: [ ../../../etc:/etc ]", "host_mounts"),
        ("volumes: [ /srv/../etc:/etc ]", "host_mounts"),
        ("volumes: [ ~/.ssh:/ssh ]", "privileged"),
        ("volumes: [ \"${HOME}:/home\" ]", "privileged"),
        ("volumes: [ { type: bind, source: /var/run/docker.sock, target: /s } ]", "host_mounts"),
        ("volumes: [ { type: npipe, source: x, target: /s } ]", "privileged"),
        ("volumes_from: [ \"container:other\" ]", "privileged"),
        ("cgroup_parent: /", "privileged"),
        ("runtime: sysbox", "privileged"),
        ("use_api_socket: true", "privileged"),
        ("credential_spec: { file: x.json }", "privileged"),
        ("provider: { type: evil }", "privileged"),
        ("a_key_of_tomorrow: 1", "privileged"),
        ("gpus: all", "devices"),
        ("deploy: { resources: { reservations: { devices: [ { driver: nvidia } ] } } }", "devices"),
        ("post_start: [ { command: id, privileged: true } ]", "privileged"),
        ("build: { context: ./app, privileged: true }", "privileged"),
        ("build: { context: ./app, network: host }", "privileged"),
        ("build: { context: ./app, entitlements: [ security.insecure ] }", "privileged"),
    ] {
        let compose = format!(
            "services:\n  a:\n    image: a:1\n    {lines}\n  b: {{ image: b:1 }}\nvolumes: {{ c: {{}} }}\n"
        );
        let wanted: Vec<String> =
            (!limit.is_empty()).then(|| format!("compose.{limit}")).into_iter().collect();
        assert_eq!(brought(&compose, &[("services/m/app/Dockerfile", "")]), wanted, "{lines}");
    }
}

#[test]
fn networks_volumes_and_unknown_sections_are_judged_as_well() {
    let base = "services: { a: { image: a:1 } }\n";
    for (lines, limit) in [
        ("networks: { n: { driver: bridge, internal: true } }", ""),
        ("networks: { n: { external: true, name: proxy } }", ""),
        ("volumes: { v: { driver: local, name: kept } }", ""),
        ("networks: { n: { external: true, name: host } }", "host_network"),
        ("networks: { host: { external: true } }", "host_network"),
        ("networks: { n: { driver: macvlan } }", "host_network"),
        ("volumes: { v: { driver_opts: { type: none, o: bind, device: /etc } } }", "host_mounts"),
        ("volumes: { v: { driver_opts: { type: none, o: bind, device: /srv/x } } }", ""),
        ("volumes: { v: { driver_opts: { type: nfs, device: \":/x\" } } }", "privileged"),
        ("volumes: { v: { driver: sshfs } }", "privileged"),
        ("section_of_tomorrow: {}", "privileged"),
    ] {
        let wanted: Vec<String> =
            (!limit.is_empty()).then(|| format!("compose.{limit}")).into_iter().collect();
        assert_eq!(brought(&format!("{base}{lines}\n"), &[]), wanted, "{lines}");
    }
}

#[test]
fn powers_that_come_through_other_files_or_anchors_count() {
    let evil =
        ("services/m/parts/evil.yaml", "services: { e: { image: e:1, privileged: true } }\n");
    for compose in [
        "include: [ parts/evil.yaml ]\nservices: { a: { image: a:1 } }\n",
        "services: { a: { extends: { file: parts/evil.yaml, service: e } } }\n",
        "services: { a: { extends: b }, b: { extends: { file: parts/evil.yaml, service: e } } }\n",
        "x-p: &p { privileged: true }\nservices: { a: { <<: *p, image: a:1 } }\n",
        "x-p: &p { privileged: true }\nservices: { a: { <<: [ *p ], image: a:1, profiles: [ off ] } }\n",
    ] {
        assert_eq!(brought(compose, &[evil]), ["compose.privileged"], "{compose}");
    }
}

#[test]
fn units_that_are_listed_may_have_what_others_may_not() {
    let text = "image: acme/x:1\nplacement: { on: all }\nprivileged: true\nnetwork: host\n";
    let mut limits = strict();
    limits.compose.privileged = listed("*/service.x");
    limits.compose.host_network = Some(Units::Any);
    one(&[("services/x.yaml", text)], &limits, "");
    let told = told(&[("services/y.yaml", text)], &limits);
    assert_eq!(
        told,
        ["vps1/service.y (services/y.yaml): y asks for `privileged` (limits.compose.privileged)"]
    );
}

#[test]
fn what_nodes_keep_is_judged_by_what_they_hold_and_refused_when_they_do_not_say() {
    let text = "image: acme/x:1\nplacement: { on: all }\nprivileged: true\n";
    let (fleet, mut release) = fleet(&[("services/x.yaml", text)]);
    let mut contents = BTreeMap::new();
    for artifact in release.units.values_mut().flat_map(|unit| &mut unit.artifacts) {
        let blob = artifact.blob();
        if let Content::Bytes(bytes) =
            std::mem::replace(&mut artifact.content, Content::OnNode(blob.clone()))
        {
            contents.insert(blob, bytes);
        }
    }
    let found = |contents| breaches(&fleet, &release, &strict(), contents);
    assert_eq!(found(&contents)[0].limit, "compose.privileged");
    let unread = found(&BTreeMap::new());
    assert!(unread[0].message.contains("can't be read"), "{unread:?}");
}
