//! Small fleets built by hand, for tests of what is rendered from them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::model::*;

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn path(text: &str) -> AbsPath {
    AbsPath::new(text).unwrap()
}

pub fn node(text: &str, address: &str) -> Node {
    Node {
        name: name(text),
        address: address.parse().unwrap(),
        reach: Reach::Ssh(Ssh {
            host: address.to_owned(),
            user: Some("deploy".to_owned()),
            port: None,
            host_key: None,
            jump: None,
            identity: None,
            sudo: true,
        }),
        labels: BTreeMap::from([("role".to_owned(), "edge".to_owned())]),
        arch: None,
        root: path("/var/lib/gitsync"),
        paths: NodePaths {
            services: path("/opt/stacks"),
            gateways: path("/etc"),
            syncs: path("/etc"),
        },
        boot: Boot::Systemd,
        optional: false,
    }
}

/// Two VPSes and nothing on them.
pub fn fleet() -> Fleet {
    let nodes = [node("vps1", "100.67.88.109"), node("vps2", "100.102.55.88")];
    Fleet {
        name: name("homelab"),
        domain: Some("example.net".to_owned()),
        environments: vec![name("prod")],
        policy: Policy {
            on_failure: OnFailure::Rollback,
            max_parallel: 4,
            canary: 1,
            prune: Prune { enabled: true, max_removals: Count::Percent(30) },
            dead_man: Some(Duration::from_secs(60)),
        },
        nodes: nodes.into_iter().map(|node| (node.name.clone(), node)).collect(),
        instances: Vec::new(),
        gateways: BTreeMap::new(),
        syncs: BTreeMap::new(),
        bundles: Vec::new(),
        files: BTreeMap::new(),
        suspend: None,
        secrets: BTreeMap::new(),
        templates: BTreeMap::new(),
        commit: None,
        dirty: false,
    }
}

pub fn health() -> Health {
    Health {
        checks: vec![Check::Running],
        interval: Duration::from_secs(2),
        timeout: Duration::from_secs(5),
        retries: 15,
        start_period: Duration::from_secs(20),
        stable_for: Duration::from_secs(10),
        from: ProbeFrom::Node,
    }
}

pub fn container(image: &str) -> Container {
    Container {
        image: image.to_owned(),
        command: None,
        entrypoint: None,
        user: None,
        env: BTreeMap::new(),
        volumes: Vec::new(),
        network: Network::Bridge,
        devices: Vec::new(),
        gpus: None,
        cap_add: Vec::new(),
        privileged: false,
        labels: BTreeMap::new(),
        restart: Restart::UnlessStopped,
        resources: Resources::default(),
        replicas: 1,
        stop_grace: None,
        healthcheck: None,
        logging: Logging { max_size: "10m".to_owned(), max_file: 3 },
    }
}

pub fn instance(service: &str, node: &str, form: Form) -> Instance {
    Instance {
        id: UnitId::new(&name(node), UnitKind::Service, &name(service)),
        service: name(service),
        environment: name("prod"),
        role: Role::Member,
        form,
        project: service.to_owned(),
        directory: path(&format!("/opt/stacks/{service}")),
        ports: BTreeMap::new(),
        files: Vec::new(),
        health: health(),
        health_declared: false,
        depends_on: Vec::new(),
        rollback: Rollback::Auto,
        moves: None,
        adopt: false,
        source: format!("services/{service}.yaml"),
    }
}

pub fn image(service: &str, node: &str, container: Container) -> Instance {
    instance(service, node, Form::Image(Box::new(container)))
}

pub fn port(host: u16, container: u16, bind: BindAddress) -> PortMapping {
    PortMapping { container, host, protocols: vec![Protocol::Tcp], bind }
}

pub fn mount(source: MountSource, target: &str, read_only: bool) -> Mount {
    Mount { source, target: path(target), read_only }
}

pub fn delivered(from: &str, to: &str) -> Delivered {
    Delivered {
        path: from.to_owned(),
        secret: None,
        destination: path(to),
        mode: 0o644,
        mode_given: false,
        owner: None,
    }
}

pub fn repo_file(text: &str) -> RepoFile {
    RepoFile { content: text.as_bytes().to_vec(), executable: false }
}

pub fn upstream(service: &str, on: &Node, port: u16) -> Upstream {
    Upstream {
        unit: UnitId::new(&on.name, UnitKind::Service, &name(service)),
        address: on.address,
        port,
        loopback: false,
    }
}

pub fn route(service: &str, below: &str, upstreams: Vec<Upstream>) -> Route {
    Route {
        path: below.to_owned(),
        strip_path: false,
        access: Access::Public,
        service: name(service),
        environment: name("prod"),
        upstreams,
        balance: Balance::RoundRobin,
        health_path: Some("/".to_owned()),
        upstream_tls: false,
        try_duration: Duration::from_secs(25),
        headers: Vec::new(),
        request_headers: Vec::new(),
    }
}

pub fn header(name: &str, value: &str) -> Header {
    Header { name: name.to_owned(), value: value.to_owned() }
}

pub fn gateway(sites: Vec<Site>) -> Gateway {
    Gateway {
        adopt: false,
        name: name("edge"),
        proxy: Proxy::Caddy,
        on: vec![name("vps1"), name("vps2")],
        run: GatewayRun::Systemd,
        listen: Listen { http: 80, https: 443, bind: Vec::new(), admin: None },
        health_interval: Duration::from_secs(10),
        health_timeout: Duration::from_secs(5),
        health_passes: 1,
        tls: Tls::Off,
        sites,
        mesh: vec!["100.64.0.0/10".to_owned()],
        image: None,
        source: "gateways/edge.yaml".to_owned(),
    }
}

pub fn sync(text: &str, direction: Direction) -> Sync {
    Sync {
        name: name(text),
        path: path("/srv/dns-resolver"),
        direction,
        user: Some("sync".to_owned()),
        identity: Some(path("/home/sync/.ssh/id_ed25519")),
        port: None,
        delete: DeleteMode::Never,
        exclude: vec!["*.tmp".to_owned()],
        delay: Duration::from_secs(1),
        source: format!("syncs/{text}.yaml"),
    }
}

pub fn bundle(text: &str, node: &str, files: Vec<Delivered>) -> Bundle {
    Bundle {
        id: UnitId::new(&name(node), UnitKind::Bundle, &name(text)),
        name: name(text),
        directory: path(&format!("/etc/{text}")),
        files,
        template: false,
        activate: None,
        health: Health { checks: Vec::new(), ..health() },
        depends_on: Vec::new(),
        adopt: false,
        source: format!("bundles/{text}.yaml"),
    }
}

/// A fleet with something of every kind, as people have it.
pub fn everything() -> Fleet {
    let mut fleet = fleet();
    let (one, two) = (fleet.nodes[&name("vps1")].clone(), fleet.nodes[&name("vps2")].clone());
    for (on, role) in [(&one, Role::Fallback(1)), (&two, Role::Primary)] {
        let mut from = container("organizr/organizr:2.1.2320");
        from.env.insert("TZ".to_owned(), EnvValue::Plain("Europe/Helsinki".to_owned()));
        let token = EnvValue::NodeFile(path("/etc/gitsync/secrets/organizr"));
        from.env.insert("TOKEN".to_owned(), token);
        from.volumes.push(mount(MountSource::Volume("config".to_owned()), "/config", false));
        let mut instance = image("organizr", on.name.as_str(), from);
        instance.role = role;
        instance.ports.insert("web".to_owned(), port(8081, 80, BindAddress::One(on.address)));
        fleet.instances.push(instance);
    }
    let mut pair = route(
        "organizr",
        "",
        vec![upstream("organizr", &two, 8081), upstream("organizr", &one, 8081)],
    );
    pair.balance = Balance::First;
    let mut api = route("api", "/api", vec![upstream("api", &one, 8000)]);
    api.strip_path = true;
    api.access = Access::Mesh;
    api.headers.push(header("X-Frame-Options", "DENY"));
    api.request_headers.push(header("X-Note", "costs $5 {path}"));
    let process = ProcessForm {
        start: "exec api --port 8000".to_owned(),
        stop: None,
        reload: Some("api reload".to_owned()),
        env: BTreeMap::from([
            ("MOTTO".to_owned(), EnvValue::Plain("it's $HOME".to_owned())),
            ("KEY".to_owned(), EnvValue::NodeFile(path("/etc/api.key"))),
        ]),
    };
    let mut program = instance("api", "vps1", Form::Process(process));
    program.ports.insert("http".to_owned(), port(8000, 8000, BindAddress::One(one.address)));
    fleet.instances.push(program);
    let host = "organizr.example.net".to_owned();
    let edge = gateway(vec![Site { host, routes: vec![api, pair] }]);
    fleet.gateways.insert(name("edge"), edge);
    let both = Direction::Between(vec![name("vps1"), name("vps2")]);
    fleet.syncs.insert(name("dns-files"), sync("dns-files", both));
    fleet
        .files
        .insert("files/mcp/mcp.json".to_owned(), repo_file("{\"node\": \"{{ node.name }}\"}\n"));
    let mut mcp = bundle("mcp", "vps1", vec![delivered("files/mcp/mcp.json", "/etc/mcp/mcp.json")]);
    mcp.template = true;
    mcp.activate =
        Some(BundleActivation { command: "systemctl reload mcp".to_owned(), validate: None });
    fleet.bundles.push(mcp);
    fleet.instances.sort_by(|a, b| a.id.cmp(&b.id));
    fleet
}
