//! Every key of every form, once.

use std::time::Duration;

use gitsync::check::check;
use gitsync::model::*;

use super::support::{fleet, snapshot, told, with};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn instance<'a>(fleet: &'a Fleet, id: &str) -> &'a Instance {
    let id: UnitId = id.parse().unwrap();
    fleet.instances.iter().find(|instance| instance.id == id).unwrap()
}

const FLEET: &str = "
version: 1
name: homelab
domain: example.net
environments: [prod, dev]
rollout:
  on_failure: halt
  max_parallel: 2
  canary: 2
  prune: { enabled: false, max_removals: 50% }
  dead_man: 90s
health: { interval: 1s, timeout: 3s, retries: 5, start_period: 1s, stable_for: 4s, from: controller }
mesh: [100.64.0.0/10]
";

#[test]
fn fleet_yaml_gives_policy_and_defaults() {
    let fleet = fleet(&[("fleet.yaml", FLEET)]);
    assert_eq!(fleet.name, name("homelab"));
    assert_eq!(fleet.domain.as_deref(), Some("example.net"));
    assert_eq!(fleet.environments, [name("prod"), name("dev")]);
    let policy = Policy {
        on_failure: OnFailure::Halt,
        max_parallel: 2,
        canary: 2,
        prune: Prune { enabled: false, max_removals: Count::Percent(50) },
        dead_man: Some(Duration::from_secs(90)),
    };
    assert_eq!(fleet.policy, policy);
}

#[test]
fn a_node_has_the_defaults_of_a_plain_linux_machine() {
    let fleet = fleet(&[]);
    let node = &fleet.nodes["vps1"];
    let Reach::Ssh(ssh) = &node.reach else { panic!("over SSH") };
    assert_eq!(ssh.host, "100.67.88.109");
    assert_eq!(node.root.as_str(), "/var/lib/gitsync");
    assert_eq!(node.paths.services.as_str(), "/opt/stacks");
    assert_eq!(node.boot, Boot::Systemd);
    assert_eq!(fleet.environments, [name("prod")]);
}

#[test]
fn every_key_of_a_node_is_taken() {
    let text = "
address: fd7a:115c:a1e0::1
ssh: { host: nas.tail.ts.net, user: deploy, port: 2222, host_key: \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHkX me@x\", jump: vps1, identity: ~/.ssh/fleet, sudo: true }
labels: { role: nas, rank: 1.10, old: no }
arch: arm64
root: /mnt/user/appdata/gitsync
paths: { services: /mnt/user/stacks, gateways: /mnt/etc, syncs: /mnt/etc2 }
boot: file:/boot/config/go
optional: true
";
    let fleet = fleet(&[("nodes/unraid.yaml", text)]);
    let node = &fleet.nodes["unraid"];
    let Reach::Ssh(ssh) = &node.reach else { panic!("over SSH") };
    assert_eq!(ssh.jump.as_deref(), Some("vps1"));
    assert!(ssh.sudo);
    assert_eq!(node.labels["rank"], "1.10");
    assert_eq!(node.labels["old"], "no");
    assert_eq!(node.boot, Boot::File(AbsPath::new("/boot/config/go").unwrap()));
    assert!(node.optional);
    assert_eq!(node.paths.syncs.as_str(), "/mnt/etc2");
}

#[test]
fn a_local_node_lives_below_its_directory() {
    let fleet = fleet(&[("nodes/here.yaml", "local: /tmp/demo/here\n")]);
    let node = &fleet.nodes["here"];
    assert_eq!(node.reach, Reach::Local(AbsPath::new("/tmp/demo/here").unwrap()));
    assert_eq!(node.root.as_str(), "/tmp/demo/here/gitsync");
    assert_eq!(node.paths.services.as_str(), "/tmp/demo/here/stacks");
    assert_eq!(node.paths.gateways.as_str(), "/tmp/demo/here/etc");
    assert_eq!(node.boot, Boot::None);
    assert!(node.address.is_loopback());
}

const ORGANIZR: &str = r#"
image: organizr/organizr:2.1.2320
placement: { primary: vps2, fallback: [vps1] }
ports: { web: "8081:80" }
publish: mesh
expose:
  - { host: organizr, port: web, access: public }
  - { host: "@", port: web, access: mesh, path: /o/, strip_path: true, scheme: https, headers: { X-Frame-Options: DENY }, request_headers: { X-Real: "1" } }
  - { host: www.other.org, balance: round_robin, gateway: edge }
health: { http: /, port: web, start_period: 20s }
volumes: [ "config:/config" ]
depends_on: [dns-resolver, sync/dns-files]
rollback: auto
moves: synced
env: { TZ: Europe/Helsinki, TOKEN: node:/etc/gitsync/secrets/organizr, VERSION: 1.10, ANSWER: no, MODE: 0644 }
nodes: { vps1: { ports: { web: "8091:80" } } }
"#;

const DNS: &str = "
image: cznic/knot-resolver:v6.0.8
placement: { on: all }
network: host
ports: { dns: { container: 53, protocol: [tcp, udp] } }
health: { tcp: dns }
";

const EDGE: &str = "
proxy: caddy
on: [vps1, vps2]
run: systemd
listen: { http: 80, https: 443, bind: all }
health_interval: 10s
tls: off
";

const FILES_SYNC: &str = r#"
path: /srv/dns-resolver
between: [vps1, vps2]
user: sync
identity: node:/home/sync/.ssh/id_ed25519
delete: never
exclude: ["*.tmp"]
"#;

fn pair() -> Fleet {
    fleet(&[
        ("services/organizr.yaml", ORGANIZR),
        ("services/dns-resolver.yaml", DNS),
        ("gateways/edge.yaml", EDGE),
        ("syncs/dns-files.yaml", FILES_SYNC),
    ])
}

#[test]
fn a_failover_pair_has_its_roles_ports_and_checks_per_node() {
    let fleet = pair();
    let second = instance(&fleet, "vps2/service.organizr");
    assert_eq!(second.role, Role::Primary);
    assert_eq!(second.directory.as_str(), "/opt/stacks/organizr");
    assert_eq!(second.project, "organizr");
    let mapping = &second.ports["web"];
    assert_eq!((mapping.host, mapping.container), (8081, 80));
    assert_eq!(mapping.bind, BindAddress::One("100.102.55.88".parse().unwrap()));
    let first = instance(&fleet, "vps1/service.organizr");
    assert_eq!(first.role, Role::Fallback(1));
    let Check::Http { address, port, path, scheme, .. } = &first.health.checks[0] else {
        panic!("an http check")
    };
    assert_eq!(address.to_string(), "100.67.88.109");
    assert_eq!((*port, path.as_str(), scheme.as_str()), (8091, "/", "http"));
    assert_eq!(first.health.checks[1], Check::Running);
    assert!(first.health_declared);
    assert_eq!(first.health.start_period, Duration::from_secs(20));
    assert_eq!(first.health.stable_for, Duration::from_secs(10));
    let Form::Image(container) = &first.form else { panic!("an image") };
    assert_eq!(container.env["VERSION"], EnvValue::Plain("1.10".to_owned()));
    assert_eq!(container.env["ANSWER"], EnvValue::Plain("no".to_owned()));
    assert_eq!(container.env["MODE"], EnvValue::Plain("0644".to_owned()));
    assert!(matches!(container.env["TOKEN"], EnvValue::NodeFile(_)));
    let units: Vec<String> = first.depends_on.iter().map(UnitId::to_string).collect();
    let wanted =
        ["vps1/service.dns-resolver", "vps1/sync", "vps2/service.dns-resolver", "vps2/sync"];
    assert_eq!(units, wanted);
}

#[test]
fn routes_follow_the_pair_and_the_nodes_own_ports() {
    let fleet = pair();
    let gateway = &fleet.gateways["edge"];
    let hosts: Vec<&str> = gateway.sites.iter().map(|site| site.host.as_str()).collect();
    assert_eq!(hosts, ["example.net", "organizr.example.net", "www.other.org"]);
    let route = &gateway.sites[1].routes[0];
    assert_eq!(route.balance, Balance::First);
    assert_eq!(route.health_path.as_deref(), Some("/"));
    assert_eq!(route.try_duration, Duration::from_secs(25));
    let ports: Vec<(String, u16)> =
        route.upstreams.iter().map(|up| (up.unit.node.to_string(), up.port)).collect();
    assert_eq!(ports, [("vps2".to_owned(), 8081), ("vps1".to_owned(), 8091)]);
    let apex = &gateway.sites[0].routes[0];
    assert_eq!((apex.path.as_str(), apex.strip_path, apex.upstream_tls), ("/o", true, true));
    assert_eq!(apex.access, Access::Mesh);
    assert_eq!(apex.headers[0].value, "DENY");
    assert_eq!(gateway.sites[2].routes[0].balance, Balance::RoundRobin);
    assert_eq!(gateway.mesh[0], "100.64.0.0/10");
    assert_eq!(gateway.witness(), Duration::from_secs(15));
}

#[test]
fn host_networking_takes_its_ports_as_they_are() {
    let fleet = pair();
    let dns = instance(&fleet, "vps1/service.dns-resolver");
    assert_eq!(dns.ports["dns"].protocols, [Protocol::Tcp, Protocol::Udp]);
    assert_eq!(dns.ports["dns"].host, 53);
    assert_eq!(dns.role, Role::Member);
}

#[test]
fn a_sync_both_ways_sends_from_each_to_the_other() {
    let fleet = pair();
    let sync = &fleet.syncs["dns-files"];
    assert_eq!(sync.targets(&name("vps1")), [&name("vps2")]);
    assert_eq!(sync.identity.as_ref().unwrap().as_str(), "/home/sync/.ssh/id_ed25519");
    assert_eq!(sync.delete, DeleteMode::Never);
    assert_eq!(sync.delay, Duration::from_secs(1));
}

#[test]
fn a_one_way_sync_has_every_key() {
    let text = "{path: /srv/x, from: vps2, to: [vps1], port: 2222, delete: running, delay: 5s}";
    let fleet = fleet(&[("syncs/x.yaml", text)]);
    let sync = &fleet.syncs["x"];
    assert_eq!(sync.targets(&name("vps2")), [&name("vps1")]);
    assert_eq!((sync.port, sync.delete), (Some(2222), DeleteMode::Running));
}

const API: &str = r#"
image: ghcr.io/acme/api:1.4.2
placement: { on: { role: worker } }
ports: { http: "8000:8000" }
health: { http: { path: /healthz, status: [200, 202-204], body: ok, host: api.internal } }
environments:
  prod: { env: { NODE_ENV: production }, expose: [ { host: api, port: http } ] }
  dev:  { env: { NODE_ENV: development }, ports: { http: "8001:8000" }, expose: [ { host: dev-api, port: http } ], nodes: { vps2: { env: { NODE: two } } } }
"#;

#[test]
fn environments_are_merged_over_the_service_and_named_apart() {
    let fleet = fleet(&[
        ("fleet.yaml", FLEET),
        ("nodes/vps1.yaml", "address: 100.67.88.109\nlabels: { role: worker }\n"),
        ("nodes/vps2.yaml", "address: 100.102.55.88\nlabels: { role: worker }\n"),
        ("services/api.yaml", API),
        ("gateways/edge.yaml", EDGE),
    ]);
    let dev = instance(&fleet, "vps2/service.api@dev");
    assert_eq!((dev.project.as_str(), dev.directory.as_str()), ("api-dev", "/opt/stacks/api-dev"));
    assert_eq!(dev.ports["http"].host, 8001);
    let Form::Image(container) = &dev.form else { panic!("an image") };
    assert_eq!(container.env["NODE_ENV"], EnvValue::Plain("development".to_owned()));
    assert_eq!(container.env["NODE"], EnvValue::Plain("two".to_owned()));
    let Check::Http { status, body, host, .. } = &dev.health.checks[0] else { panic!("http") };
    assert_eq!(status[1], StatusRange { first: 202, last: 204 });
    assert_eq!((body.as_deref(), host.as_deref()), (Some("ok"), Some("api.internal")));
    let prod = instance(&fleet, "vps1/service.api");
    assert_eq!(prod.ports["http"].host, 8000);
    let site = fleet.gateways["edge"].sites.iter().find(|site| site.host == "dev-api.example.net");
    let route = &site.unwrap().routes[0];
    assert_eq!(route.balance, Balance::LeastConn);
    assert_eq!(route.upstreams.len(), 2);
}

#[test]
fn every_key_of_an_image_is_taken() {
    let text = r#"
image: acme/all:1
placement: { on: [vps1] }
ports: { a: 8080, b: "53:53/udp", c: { container: 90, host: 91, protocol: tcp } }
publish: loopback
health: { exec: pg_isready, container: true, interval: 1s, timeout: 1s, retries: 0, start_period: 0s, stable_for: 1s, from: node }
volumes:
  - "config:/config"
  - "./data:/data:ro"
  - { external: shared, target: /shared }
  - { path: /srv/x, target: /x, read_only: true }
  - { folder: conf, target: /conf }
  - { volume: other, target: /other }
  - { tmpfs: true, target: /tmp }
rollback: never
network: [proxy]
devices: [/dev/dri, "/dev/a:/dev/b:rw"]
gpus: all
cap_add: [NET_ADMIN]
privileged: true
user: 1000:1000
command: [serve, --port, 8080]
entrypoint: /bin/run it
labels: { a.b: c }
restart: no
resources: { memory: 512m, cpus: 0.5, pids: 100, shm: 1g }
replicas: 1
stop_grace: 30s
healthcheck: { test: "curl -f localhost", interval: 10s, timeout: 2s, retries: 4, start_period: 5s }
logging: { max_size: 5m, max_file: 2 }
update: recreate
directory: /srv/all
project: all_of_it
moves: empty
adopt: true
"#;
    let fleet = fleet(&[("services/all.yaml", text)]);
    let all = instance(&fleet, "vps1/service.all");
    assert_eq!((all.project.as_str(), all.directory.as_str()), ("all_of_it", "/srv/all"));
    assert_eq!(all.rollback, Rollback::Never);
    assert_eq!(all.moves, Some(Moves::Empty));
    assert!(all.adopt);
    assert_eq!(all.ports["a"].bind, BindAddress::One("127.0.0.1".parse().unwrap()));
    assert_eq!(all.ports["b"].protocols, [Protocol::Udp]);
    assert_eq!((all.ports["c"].host, all.ports["c"].container), (91, 90));
    let exec = Check::Exec { command: "pg_isready".to_owned(), container: Some("all".to_owned()) };
    assert_eq!(all.health.checks, [exec, Check::Running]);
    let Form::Image(container) = &all.form else { panic!("an image") };
    assert_eq!(container.volumes.len(), 7);
    assert_eq!(container.volumes[1].source, MountSource::Directory("data".to_owned()));
    assert!(container.volumes[1].read_only);
    assert_eq!(container.network, Network::Join(vec!["proxy".to_owned()]));
    assert_eq!(container.restart, Restart::No);
    assert_eq!(container.resources.cpus.as_deref(), Some("0.5"));
    let words = ["serve", "--port", "8080"].map(str::to_owned).to_vec();
    assert_eq!(container.command, Some(CommandLine::Words(words)));
    assert_eq!(container.user.as_deref(), Some("1000:1000"));
    let check = container.healthcheck.as_ref().unwrap();
    assert_eq!(check.test, ContainerCheckTest::Shell("curl -f localhost".to_owned()));
    assert_eq!(container.logging, Logging { max_size: "5m".to_owned(), max_file: 2 });
    assert_eq!(container.stop_grace, Some(Duration::from_secs(30)));
}

#[test]
fn a_brought_compose_file_is_read_and_its_folder_delivered() {
    let compose = "
services:
  plex:
    image: plexinc/pms-docker:1.41.3
    network_mode: host
  tautulli:
    image: tautulli/tautulli:v2.15.0
    ports: ['8181:8181']
";
    let service = "
compose: compose.yaml
placement: { on: [vps1] }
expose:
  - { host: plex, service: plex, port: 32400 }
  - { host: stats, service: tautulli, port: 8181 }
health: { http: /status, port: 8181, service: tautulli }
";
    let fleet = fleet(&[
        ("services/media/service.yaml", service),
        ("services/media/compose.yaml", compose),
        ("services/media/conf/app.ini", "x=1\n"),
        ("gateways/edge.yaml", EDGE),
    ]);
    let media = instance(&fleet, "vps1/service.media");
    let Form::Compose(brought) = &media.form else { panic!("a compose file") };
    assert_eq!(brought.path, "services/media/compose.yaml");
    assert!(brought.services["plex"].host_network);
    let files: Vec<&str> = media.files.iter().map(|file| file.destination.as_str()).collect();
    assert_eq!(files, ["/opt/stacks/media/conf/app.ini"]);
    assert_eq!(fleet.files["services/media/compose.yaml"].content, compose.as_bytes());
    assert!(matches!(media.health.checks[0], Check::Http { port: 8181, .. }));
    let route = &fleet.gateways["edge"].sites[0].routes[0];
    assert_eq!((route.upstreams[0].port, route.upstreams[0].loopback), (32400, false));
}

#[test]
fn a_program_is_kept_with_its_commands() {
    let text = "
run: command
start: ./serve --port 8080
stop: kill it
reload: kill -HUP it
placement: { on: [vps1] }
ports: { web: 8080 }
env: { A: b }
health: { exec: { command: test -f up, on: node }, tcp: 8080 }
expose: [ { host: app } ]
";
    let fleet = fleet(&[("services/app.yaml", text), ("gateways/edge.yaml", EDGE)]);
    let app = instance(&fleet, "vps1/service.app");
    let Form::Process(process) = &app.form else { panic!("a program") };
    assert_eq!(process.start, "./serve --port 8080");
    assert_eq!(process.reload.as_deref(), Some("kill -HUP it"));
    let exec = Check::Exec { command: "test -f up".to_owned(), container: None };
    assert!(app.health.checks.contains(&exec));
    assert_eq!(fleet.gateways["edge"].sites[0].routes[0].upstreams[0].port, 8080);
}

#[test]
fn every_way_to_run_a_gateway_is_taken() {
    let command = "
proxy: caddy
on: { role: edge }
run: command
start: caddy run
stop: caddy stop
reload: caddy reload
validate: caddy validate
listen: { http: 8080, https: 8443, bind: [127.0.0.1, \"::1\"], admin: off }
health_timeout: 2s
health_passes: 2
tls: { cert: /etc/ssl/c.pem, key: /etc/ssl/k.pem }
";
    let compose = "{proxy: caddy, on: all, run: compose, image: 'caddy:2.10', tls: internal}";
    let fleet = fleet(&[
        ("nodes/vps1.yaml", "address: 100.67.88.109\nlabels: { role: edge }\n"),
        ("gateways/a.yaml", command),
        ("gateways/b.yaml", compose),
    ]);
    let a = &fleet.gateways["a"];
    assert_eq!(a.on, [name("vps1")]);
    assert!(
        matches!(&a.run, GatewayRun::Command { validate: Some(text), .. } if text == "caddy validate")
    );
    assert_eq!(a.listen.bind.len(), 2);
    assert_eq!(a.listen.admin.as_deref(), Some("off"));
    assert!(matches!(a.tls, Tls::Files { .. }));
    let b = &fleet.gateways["b"];
    assert_eq!((b.run.clone(), b.image.as_deref()), (GatewayRun::Compose, Some("caddy:2.10")));
    assert_eq!(b.on, [name("vps1"), name("vps2")]);
}

#[test]
fn bundles_deliver_folders_files_and_maps() {
    let mut snapshot = with(&[
        (
            "bundles/mcp.yaml",
            "files: files/mcp/\nto: { on: all, path: /etc/mcp, mode: \"0640\", owner: root:mcp }\nactivate: systemctl reload mcp\nvalidate: mcp check\n",
        ),
        (
            "bundles/one.yaml",
            "files: files/mcp/a.json\nto: { on: [vps1], path: /etc/one, mode: 0600 }\ntemplate: true\nhealth: { exec: test -f /etc/one/a.json }\ndepends_on: [bundle/mcp]\nadopt: true\n",
        ),
        (
            "bundles/map.yaml",
            "files: { conf/b.json: files/mcp/a.json }\nto: { on: [vps1], path: /etc/map }\n",
        ),
        ("files/mcp/a.json", "{}"),
    ]);
    let script = Entry::File { content: b"#!/bin/sh\n".to_vec(), executable: true };
    snapshot.entries.insert("files/mcp/bin/run".to_owned(), script);
    let link = Entry::Link("../mcp/a.json".to_owned());
    snapshot.entries.insert("files/mcp/linked".to_owned(), link);
    let checked = check(&snapshot);
    let fleet = checked.fleet.as_ref().unwrap_or_else(|| panic!("{:#?}", told(&checked)));
    let bundle = |id: &str| fleet.bundles.iter().find(|it| it.id.to_string() == id).unwrap();
    let mcp = bundle("vps2/bundle.mcp");
    let files: Vec<(&str, u32)> =
        mcp.files.iter().map(|file| (file.destination.as_str(), file.mode)).collect();
    assert_eq!(
        files,
        [("/etc/mcp/a.json", 0o640), ("/etc/mcp/bin/run", 0o640), ("/etc/mcp/linked", 0o640)]
    );
    assert_eq!(fleet.files["files/mcp/linked"].content, b"{}");
    let activate = mcp.activate.as_ref().unwrap();
    assert_eq!(activate.validate.as_deref(), Some("mcp check"));
    let one = bundle("vps1/bundle.one");
    assert_eq!((one.files[0].destination.as_str(), one.files[0].mode), ("/etc/one/a.json", 0o600));
    assert_eq!(one.depends_on.len(), 2);
    assert!(one.template && one.adopt);
    assert_eq!(bundle("vps1/bundle.map").files[0].destination.as_str(), "/etc/map/conf/b.json");
}

#[test]
fn templates_override_by_name() {
    let fleet = fleet(&[("templates/Caddyfile.tera", "x")]);
    assert_eq!(fleet.templates["Caddyfile.tera"], "x");
}

#[test]
fn the_same_snapshot_gives_the_same_fleet() {
    let all = with(&[("services/organizr.yaml", ORGANIZR), ("services/dns-resolver.yaml", DNS)]);
    assert_eq!(check(&all).fleet, check(&all).fleet);
}

#[test]
fn nothing_at_all_is_an_error_and_no_empty_fleet() {
    for files in [&[][..], &[("README.md", "x")][..]] {
        let checked = check(&snapshot(files));
        assert!(checked.fleet.is_none());
        assert_eq!(checked.diagnostics[0].code.0, "GS0010");
    }
}
