//! The unit that keeps folders of a node in step with other nodes: one lsyncd with all that the node sends.

use std::io;
use std::net::IpAddr;

use serde::Serialize;
use tera::Context;

use super::template::Templates;
use super::{Problems, codes, shell};
use crate::model::{
    Artifact, Check, Command, Content, DeleteMode, Fleet, Health, Moment, Name, Node, ProbeFrom,
    Reach, Runtime, Sync, Unit, UnitId, Validation,
};

const FILE: &str = "lsyncd.conf.lua";
const KNOWN_HOSTS: &str = "known_hosts";

#[derive(Serialize)]
struct SyncView {
    name: String,
    node: String,
    /// `rsyncssh`, or `rsync` for addresses that rsync and ssh write in different ways (v6).
    method: &'static str,
    source: String,
    host: String,
    target: String,
    delay: u64,
    delete: bool,
    exclude: Vec<String>,
    port: Option<u16>,
    identity: Option<String>,
    options: Vec<SshOption>,
    rsh: String,
}

#[derive(Clone, Serialize)]
struct SshOption {
    name: &'static str,
    value: String,
}

/// The sync unit of a node; none when the node sends nothing.
pub(super) fn unit(
    fleet: &Fleet,
    node: &Node,
    templates: &Templates,
) -> Result<Option<Unit>, Problems> {
    let source = fleet.syncs.values().find(|sync| !sync.targets(&node.name).is_empty());
    let Some(source) = source.map(|sync| sync.source.as_str()) else { return Ok(None) };
    let outside = |error: crate::model::PathError| {
        vec![codes::in_file(codes::OUTSIDE, error.to_string(), source)]
    };
    let directory = node.paths.syncs.join("lsyncd").map_err(outside)?;
    let file = directory.join(FILE).map_err(outside)?;
    let hosts = directory.join(KNOWN_HOSTS).map_err(outside)?;
    let mut context = Context::new();
    context.insert("syncs", &views(fleet, node, hosts.as_str()));
    let text = templates.lsyncd(&context).map_err(|problem| vec![problem])?;
    let mut unit = super::blank(fleet, &UnitId::sync(&node.name), &directory, &health());
    unit.runtime = Runtime::Host;
    unit.host_service = Some("lsyncd".to_owned());
    unit.validation = Validation::Staged;
    unit.commands = commands(file.as_str());
    unit.artifacts.push(artifact(file, text));
    let keys = known_hosts(fleet, node);
    if !keys.is_empty() {
        unit.artifacts.push(artifact(hosts, keys));
    }
    Ok(Some(unit))
}

fn artifact(destination: crate::model::AbsPath, text: String) -> Artifact {
    let content = Content::Bytes(text.into_bytes());
    Artifact { destination, mode: 0o644, owner: None, content, sensitive: false }
}

/// It runs and keeps running: without its configuration lsyncd ends within a second.
fn health() -> Health {
    let command = "systemctl is-active --quiet lsyncd && \
                   { ! command -v pidof >/dev/null || pidof lsyncd >/dev/null; }"
        .to_owned();
    super::own_health(vec![Check::Exec { command, container: None }], ProbeFrom::Node)
}

fn commands(file: &str) -> Vec<Command> {
    let command = |moment, body: &str| {
        let content = Content::Bytes(shell::program(&[("file", file)], body).into_bytes());
        Command { moment, content }
    };
    vec![
        command(Moment::Validate, include_str!("../../templates/lsyncd-validate.sh")),
        command(Moment::Activate, include_str!("../../templates/lsyncd-activate.sh")),
        command(Moment::Stop, "exec systemctl stop lsyncd"),
        command(Moment::Start, "exec systemctl start lsyncd"),
        command(Moment::Remove, "systemctl disable --now lsyncd >/dev/null 2>&1 || :"),
        command(Moment::Logs, "exec journalctl -u lsyncd -n 40 --no-pager -o cat"),
    ]
}

fn views(fleet: &Fleet, node: &Node, hosts: &str) -> Vec<SyncView> {
    let sent = fleet.syncs.values().flat_map(|sync| {
        let targets = sync.targets(&node.name).into_iter();
        targets.filter_map(|name| fleet.nodes.get(name)).map(move |target| (sync, target))
    });
    sent.map(|(sync, target)| view(sync, target, hosts)).collect()
}

fn view(sync: &Sync, target: &Node, hosts: &str) -> SyncView {
    let user = sync.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
    let address = match target.address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    let options = options(target, hosts);
    SyncView {
        name: sync.name.to_string(),
        node: target.name.to_string(),
        method: if target.address.is_ipv4() { "rsyncssh" } else { "rsync" },
        source: sync.path.to_string(),
        target: format!("{user}{address}:{}", sync.path),
        host: format!("{user}{address}"),
        delay: sync.delay.as_secs().max(1),
        delete: sync.delete == DeleteMode::Running,
        exclude: sync.exclude.clone(),
        port: sync.port,
        identity: sync.identity.as_ref().map(ToString::to_string),
        rsh: rsh(sync, &options),
        options,
    }
}

/// A host key that the fleet pins is pinned for syncs too; else the node's own known hosts decide.
fn options(target: &Node, hosts: &str) -> Vec<SshOption> {
    let mut options = vec![SshOption { name: "BatchMode", value: "yes".to_owned() }];
    if host_key(target).is_some() {
        options.push(SshOption { name: "StrictHostKeyChecking", value: "yes".to_owned() });
        options.push(SshOption { name: "UserKnownHostsFile", value: hosts.to_owned() });
    }
    options
}

fn host_key(node: &Node) -> Option<&str> {
    match &node.reach {
        Reach::Ssh(ssh) => ssh.host_key.as_deref(),
        Reach::Local(_) => None,
    }
}

/// The remote shell as rsync splits it.
fn rsh(sync: &Sync, options: &[SshOption]) -> String {
    let mut words = vec!["ssh".to_owned()];
    if let Some(port) = sync.port {
        words.push(format!("-p {port}"));
    }
    if let Some(identity) = &sync.identity {
        words.push(format!("-i {}", shell::word(identity.as_str())));
    }
    for option in options {
        words.push(format!("-o {}", shell::word(&format!("{}={}", option.name, option.value))));
    }
    words.join(" ")
}

/// Lines for the pinned keys of the nodes that `node` sends to, each once.
fn known_hosts(fleet: &Fleet, node: &Node) -> String {
    let mut lines = std::collections::BTreeSet::new();
    for sync in fleet.syncs.values() {
        for target in sync.targets(&node.name) {
            lines.extend(key_line(fleet, target, sync.port));
        }
    }
    lines.into_iter().collect()
}

fn key_line(fleet: &Fleet, target: &Name, port: Option<u16>) -> Option<String> {
    let target = fleet.nodes.get(target)?;
    let key = host_key(target)?;
    Some(match port {
        None | Some(22) => format!("{} {key}\n", target.address),
        Some(port) => format!("[{}]:{port} {key}\n", target.address),
    })
}

/// For the template engine: every inserted text becomes a Lua string.
pub(super) fn escape(text: &str, out: &mut dyn io::Write) -> io::Result<()> {
    out.write_all(quoted(text).as_bytes())
}

/// A text as a Lua string, the same in Lua 5.1 and later.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_ascii_control() => out.push_str(&format!("\\{:03}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
