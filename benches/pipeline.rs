//! Check, render and plan on generated fleets of 10, 100 and 1,000 nodes with ten services each.

use divan::Bencher;
use gitsync::model::{self, *};
use gitsync::{check, plan, render};

#[path = "../tests/programs/fleets.rs"]
#[allow(dead_code, reason = "a bench needs only some of the helpers")]
mod fleets;

use fleets::*;

const NODES: [usize; 3] = [10, 100, 1_000];
const SERVICES: usize = 10;

fn main() {
    divan::main();
}

/// A service on every node for each of ten; each node's first two are pairs with its neighbour's, the rest need
/// one another in a chain, and a gateway on the first two nodes routes to all pairs.
fn generated(nodes: usize, version: &str) -> Fleet {
    let mut fleet = fleet();
    let machines: Vec<Node> = (0..nodes)
        .map(|n| node(&format!("n{n}"), &format!("10.{}.{}.1", n / 250, n % 250)))
        .collect();
    fleet.nodes = machines.iter().map(|node| (node.name.clone(), node.clone())).collect();
    let mut routes = Vec::new();
    for (n, machine) in machines.iter().enumerate() {
        for service in 0..SERVICES {
            let first = n - n % 2;
            let named =
                if service < 2 { format!("p{first}-{service}") } else { format!("s{n}-{service}") };
            fleet.instances.push(generated_instance(machine, &named, n, service, version));
            if service < 2 {
                let port = 8_000 + u16::try_from(service).unwrap_or(0);
                routes.push(route(
                    &named,
                    &format!("/{named}"),
                    vec![upstream(&named, machine, port)],
                ));
            }
        }
    }
    fleet.instances.sort_by(|a, b| a.id.cmp(&b.id));
    let mut edge = gateway(vec![Site { host: "example.net".to_owned(), routes }]);
    edge.on = machines.iter().take(2).map(|node| node.name.clone()).collect();
    fleet.gateways = [(edge.name.clone(), edge)].into();
    fleet
}

fn generated_instance(on: &Node, named: &str, n: usize, service: usize, version: &str) -> Instance {
    let mut from = container(&format!("ghcr.io/acme/{named}:{version}"));
    from.volumes.push(mount(MountSource::Volume("data".to_owned()), "/data", false));
    for key in 0..5 {
        from.env.insert(format!("KEY_{key}"), EnvValue::Plain(format!("value {n} {service}")));
    }
    let mut instance = image(named, on.name.as_str(), from);
    let host = 8_000 + u16::try_from(service).unwrap_or(0);
    instance.ports.insert("web".to_owned(), port(host, 80, BindAddress::One(on.address)));
    if service < 2 {
        instance.role = if n.is_multiple_of(2) { Role::Primary } else { Role::Fallback(1) };
    } else if service > 2 {
        let need = name(&format!("s{n}-{}", service - 1));
        instance.depends_on = vec![UnitId::new(&on.name, UnitKind::Service, &need)];
    }
    instance
}

fn released(fleet: &Fleet) -> Release {
    render::render(fleet).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// The files of a fleet: a node file for each machine, and ten services for each, one file a service.
fn written(nodes: usize) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let mut put = |path: String, text: String| {
        let entry = Entry::File { content: text.into_bytes(), executable: false };
        snapshot.entries.insert(path, entry);
    };
    put("fleet.yaml".to_owned(), "version: 1\nname: lab\ndomain: example.net\n".to_owned());
    for n in 0..nodes {
        let address = format!("10.{}.{}.1", n / 250, n % 250);
        put(format!("nodes/n{n}.yaml"), format!("address: {address}\nssh: {{ user: deploy }}\n"));
        for service in 0..SERVICES {
            put(format!("services/s{n}-{service}.yaml"), written_service(n, service));
        }
    }
    snapshot
}

fn written_service(n: usize, service: usize) -> String {
    let needs = match service {
        0 => String::new(),
        _ => format!("depends_on: [s{n}-{}]\n", service - 1),
    };
    format!(
        "image: ghcr.io/acme/s{n}-{service}:1.0.0\nplacement: {{ on: [n{n}] }}\n\
         ports: {{ web: \"{}:80\" }}\nvolumes: [ \"data:/data\" ]\n\
         health: {{ http: /, port: web }}\nenv: {{ KEY: value, OTHER: \"{n}\" }}\n{needs}",
        8_000 + service
    )
}

#[divan::bench(args = NODES, sample_count = 10)]
fn check_files(bencher: Bencher, nodes: usize) {
    let snapshot = written(nodes);
    let checked = check::check(&snapshot);
    assert!(checked.fleet.is_some(), "{:?}", checked.diagnostics.first());
    bencher.bench(|| check::check(&snapshot));
}

#[divan::bench(args = NODES, sample_count = 10)]
fn render_fleet(bencher: Bencher, nodes: usize) {
    let fleet = generated(nodes, "1.0.0");
    bencher.bench(|| released(&fleet));
}

/// A plan from one version to another; the observation is the nodes' own, so contents are only blobs in it.
fn planned(bencher: Bencher, nodes: usize, from: &str, to: &str) {
    let fleet = generated(nodes, to);
    let (base, release) = (released(&generated(nodes, from)), released(&fleet));
    let mut observed = plan::as_observed(&base, fleet.nodes.keys());
    for state in observed.nodes.values_mut() {
        let NodeState::Reachable(report) = state else { continue };
        for unit in report.manifests.values_mut() {
            if let Some(read) = unit_from_manifest(&manifest_text(unit)) {
                *unit = read;
            }
        }
    }
    let contents = base.units.values().flat_map(|unit| unit.contents()).filter_map(known).collect();
    bencher.bench(|| {
        plan::plan(&plan::Inputs {
            release: &release,
            fleet: &fleet.name,
            policy: &fleet.policy,
            nodes: plan::node_facts(&fleet),
            observed: &observed,
            contents: &contents,
            allow_no_rollback: false,
            controller: None,
        })
    });
}

fn known((blob, content): (String, &Content)) -> Option<(String, Vec<u8>)> {
    match content {
        Content::Bytes(bytes) => Some((blob, bytes.clone())),
        Content::OnNode(_) | Content::Sealed(_) => None,
    }
}

#[divan::bench(args = NODES, sample_count = 10)]
fn plan_no_change(bencher: Bencher, nodes: usize) {
    planned(bencher, nodes, "1.0.0", "1.0.0");
}

#[divan::bench(args = NODES, sample_count = 10)]
fn plan_everything_changes(bencher: Bencher, nodes: usize) {
    planned(bencher, nodes, "1.0.0", "1.0.1");
}
