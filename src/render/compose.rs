//! Compose files: written for services given as an image, and overrides for files that people bring.
//!
//! Every text is quoted twice: for YAML, and against compose's own interpolation of `$`.

use serde_json::{Map, Value, json};

use super::mounts::Managed;
use super::{span, yaml};
use crate::model::{
    AbsPath, BindAddress, Brought, CommandLine, Container, ContainerCheck, ContainerCheckTest,
    EnvValue, Instance, Mount, MountSource, Name, Network, PortMapping, Protocol, Resources,
    Restart, UnitId,
};

/// The compose file that gitsync writes.
pub(super) const FILE: &str = "compose.yaml";
/// The file that adds labels to a compose file that people bring.
pub(super) const OVERRIDE: &str = "gitsync.override.yaml";

const HEADER: &str = "# Written by gitsync; changes made here are undone by the next rollout.\n";

/// A text as it comes out of compose's interpolation unchanged.
pub(super) fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

fn text(value: &str) -> Value {
    Value::String(literal(value))
}

/// A tree as a file, under the line that says who wrote it.
pub(super) fn document(tree: &Value) -> Vec<u8> {
    format!("{HEADER}{}", yaml::document(tree)).into_bytes()
}

/// The labels that every container of a unit has.
pub(super) fn unit_labels(fleet: &Name, id: &UnitId) -> Map<String, Value> {
    let mut labels = Map::new();
    labels.insert("gitsync.fleet".to_owned(), text(fleet.as_str()));
    labels.insert("gitsync.unit".to_owned(), text(&id.local()));
    labels
}

/// The compose file of an instance that is given as an image.
pub(super) fn file(
    fleet: &Name,
    instance: &Instance,
    container: &Container,
    managed: &Managed<'_>,
) -> Vec<u8> {
    let mut root = Map::new();
    root.insert("name".to_owned(), text(&instance.project));
    let service = service(fleet, instance, container, managed);
    root.insert("services".to_owned(), json!({ instance.service.as_str(): service }));
    let networks = networks(&container.network);
    if !networks.is_empty() {
        root.insert("networks".to_owned(), Value::Object(networks));
    }
    let volumes = volumes(&container.volumes);
    if !volumes.is_empty() {
        root.insert("volumes".to_owned(), Value::Object(volumes));
    }
    document(&Value::Object(root))
}

/// The override of a brought compose file: labels for each of its services.
pub(super) fn labels(
    fleet: &Name,
    instance: &Instance,
    brought: &Brought,
    managed: &Managed<'_>,
) -> Vec<u8> {
    let mut services = Map::new();
    for (name, service) in &brought.services {
        let mut labels = unit_labels(fleet, &instance.id);
        if let Some(digest) = managed.digest(&instance.directory, &service.mounts) {
            labels.insert("gitsync.digest".to_owned(), text(&digest));
        }
        services.insert(name.clone(), json!({ "labels": labels }));
    }
    document(&json!({ "services": services }))
}

fn service(fleet: &Name, instance: &Instance, from: &Container, managed: &Managed<'_>) -> Value {
    let mut map = Map::new();
    map.insert("image".to_owned(), text(&from.image));
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            map.insert(key.to_owned(), value);
        }
    };
    put("entrypoint", from.entrypoint.as_ref().map(command));
    put("command", from.command.as_ref().map(command));
    put("user", from.user.as_deref().map(text));
    put("restart", Some(text(restart(from.restart))));
    put("scale", (from.replicas != 1).then(|| json!(from.replicas)));
    put("stop_grace_period", from.stop_grace.map(|grace| json!(span(grace))));
    put("environment", environment(from));
    put("network_mode", network_mode(&from.network).map(text));
    put("networks", joined(&from.network, &instance.project));
    put("ports", ports(instance, &from.network));
    put("volumes", list(from.volumes.iter().map(|m| mount(m, &instance.directory, managed, from))));
    put("devices", list(from.devices.iter().map(|device| text(device))));
    put("cap_add", list(from.cap_add.iter().map(|capability| text(capability))));
    put("privileged", from.privileged.then(|| json!(true)));
    put("deploy", from.gpus.as_deref().map(gpus));
    limits(&from.resources, &mut put);
    put("healthcheck", from.healthcheck.as_ref().map(healthcheck));
    put("logging", Some(logging(from)));
    put("labels", Some(Value::Object(service_labels(fleet, instance, from, managed))));
    Value::Object(map)
}

fn list(items: impl Iterator<Item = Value>) -> Option<Value> {
    let items: Vec<Value> = items.collect();
    (!items.is_empty()).then_some(Value::Array(items))
}

fn service_labels(
    fleet: &Name,
    instance: &Instance,
    from: &Container,
    managed: &Managed<'_>,
) -> Map<String, Value> {
    let own = from.labels.iter().map(|(key, value)| (key.clone(), text(value)));
    let mut labels: Map<String, Value> = own.collect();
    labels.extend(unit_labels(fleet, &instance.id));
    if let Some(digest) = managed.digest(&instance.directory, &from.volumes) {
        labels.insert("gitsync.digest".to_owned(), text(&digest));
    }
    labels
}

fn command(line: &CommandLine) -> Value {
    match line {
        CommandLine::Shell(line) => text(line),
        CommandLine::Words(words) => words.iter().map(|word| text(word)).collect(),
    }
}

fn restart(policy: Restart) -> &'static str {
    match policy {
        Restart::No => "no",
        Restart::Always => "always",
        Restart::OnFailure => "on-failure",
        Restart::UnlessStopped => "unless-stopped",
    }
}

/// Values as written; those of the node's files and secrets come in through the unit's `node.env`, which compose is given as its
/// own environment, so that the file itself holds no secret and need not be there to check the rest.
fn environment(from: &Container) -> Option<Value> {
    let value = |key: &str, value: &EnvValue| match value {
        EnvValue::Plain(plain) => text(plain),
        EnvValue::NodeFile(_) | EnvValue::Secret(_) => Value::String(format!("${{{key}-}}")),
    };
    let map: Map<String, Value> =
        from.env.iter().map(|(key, item)| (key.clone(), value(key, item))).collect();
    (!map.is_empty()).then_some(Value::Object(map))
}

fn network_mode(network: &Network) -> Option<&'static str> {
    match network {
        Network::Host => Some("host"),
        Network::None => Some("none"),
        Network::Bridge | Network::Join(_) => None,
    }
}

/// Joined networks get the project's name as an alias: service names of two projects would mix there.
fn joined(network: &Network, project: &str) -> Option<Value> {
    let Network::Join(names) = network else { return None };
    let mut map = Map::new();
    map.insert("default".to_owned(), json!({}));
    for name in names {
        map.insert(name.clone(), json!({ "aliases": [literal(project)] }));
    }
    Some(Value::Object(map))
}

fn networks(network: &Network) -> Map<String, Value> {
    let Network::Join(names) = network else { return Map::new() };
    let outside =
        |name: &String| (name.clone(), json!({ "external": true, "name": literal(name) }));
    names.iter().map(outside).collect()
}

fn ports(instance: &Instance, network: &Network) -> Option<Value> {
    if matches!(network, Network::Host | Network::None) {
        return None;
    }
    list(
        instance.ports.values().flat_map(|port| port.protocols.iter().map(|p| published(port, *p))),
    )
}

fn published(port: &PortMapping, protocol: Protocol) -> Value {
    let mut map = Map::new();
    map.insert("target".to_owned(), json!(port.container));
    map.insert("published".to_owned(), json!(port.host.to_string()));
    if let BindAddress::One(address) = port.bind {
        map.insert("host_ip".to_owned(), json!(address.to_string()));
    }
    let word = match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    map.insert("protocol".to_owned(), json!(word));
    Value::Object(map)
}

/// The key of a volume made outside; the project may own one of the same name.
fn external_key(name: &str, volumes: &[Mount]) -> String {
    let own = volumes.iter().any(|m| matches!(&m.source, MountSource::Volume(v) if v == name));
    if own { format!("{name}-external") } else { name.to_owned() }
}

fn volumes(mounts: &[Mount]) -> Map<String, Value> {
    let mut map = Map::new();
    for mount in mounts {
        match &mount.source {
            MountSource::Volume(name) => drop(map.insert(name.clone(), json!({}))),
            MountSource::External(name) => {
                let outside = json!({ "external": true, "name": literal(name) });
                map.insert(external_key(name, mounts), outside);
            }
            _ => {}
        }
    }
    map.sort_keys();
    map
}

fn mount(mount: &Mount, directory: &AbsPath, managed: &Managed<'_>, from: &Container) -> Value {
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| drop(map.insert(key.to_owned(), value));
    match &mount.source {
        MountSource::Volume(name) => {
            put("type", json!("volume"));
            put("source", text(name));
        }
        MountSource::External(name) => {
            put("type", json!("volume"));
            put("source", text(&external_key(name, &from.volumes)));
        }
        MountSource::Path(path) => bind(&mut put, path.as_str(), false),
        MountSource::Directory(below) => {
            let file = directory.join(below).is_ok_and(|path| managed.has(&path));
            let source = if below.is_empty() { ".".to_owned() } else { format!("./{below}") };
            bind(&mut put, &source, !file);
        }
        MountSource::Tmpfs => put("type", json!("tmpfs")),
    }
    put("target", text(mount.target.as_str()));
    if mount.read_only {
        put("read_only", json!(true));
    }
    Value::Object(map)
}

/// A source that is missing is an error for paths that are someone else's: Docker would make a directory of it.
fn bind(put: &mut impl FnMut(&str, Value), source: &str, create: bool) {
    put("type", json!("bind"));
    put("source", text(source));
    put("bind", json!({ "create_host_path": create }));
}

/// The form of device reservations that compose has had from its version 2 on.
fn gpus(count: &str) -> Value {
    let count = count.parse::<u64>().map_or_else(|_| text(count), |number| json!(number));
    let device = json!({ "driver": "nvidia", "count": count, "capabilities": ["gpu"] });
    json!({ "resources": { "reservations": { "devices": [device] } } })
}

fn limits(resources: &Resources, put: &mut impl FnMut(&str, Option<Value>)) {
    put("mem_limit", resources.memory.as_deref().map(text));
    put("cpus", resources.cpus.as_deref().map(text));
    put("pids_limit", resources.pids.map(|pids| json!(pids)));
    put("shm_size", resources.shm.as_deref().map(text));
}

fn healthcheck(check: &ContainerCheck) -> Value {
    let test = match &check.test {
        ContainerCheckTest::Disable => return json!({ "disable": true }),
        ContainerCheckTest::Shell(line) => json!(["CMD-SHELL", literal(line)]),
        ContainerCheckTest::Words(words) => {
            let words = words.iter().map(|word| text(word));
            std::iter::once(json!("CMD")).chain(words).collect()
        }
    };
    json!({
        "test": test,
        "interval": span(check.interval),
        "timeout": span(check.timeout),
        "retries": check.retries,
        "start_period": span(check.start_period),
    })
}

fn logging(from: &Container) -> Value {
    json!({
        "driver": "json-file",
        "options": {
            "max-size": literal(&from.logging.max_size),
            "max-file": from.logging.max_file.to_string(),
        },
    })
}
