//! The manifest: a unit as text that a shell reads line by line, and whose SHA-256 is the unit's digest.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::release::{
    Artifact, Claims, Command, Content, Membership, Moment, Rollback, Runtime, Unit, Validation,
};
use super::{AbsPath, BindAddress, Health, Name, Protocol, UnitId, duration};

/// What only the controller reads: one line of JSON at the manifest's end. Borrowed when written, owned when read.
#[derive(Serialize, Deserialize)]
struct Meta<'a> {
    id: Cow<'a, UnitId>,
    fleet: Cow<'a, Name>,
    directory: Cow<'a, AbsPath>,
    runtime: Cow<'a, Runtime>,
    artifacts: Vec<MetaArtifact<'a>>,
    commands: Vec<(Moment, Cow<'a, str>)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host_service: Option<Cow<'a, str>>,
    validation: Validation,
    node_env: Cow<'a, BTreeMap<String, AbsPath>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    sealed_env: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    health: Cow<'a, Health>,
    depends_on: Cow<'a, BTreeSet<UnitId>>,
    claims: Cow<'a, Claims>,
    membership: Option<Cow<'a, Membership>>,
    #[serde(with = "duration::serde_text")]
    witness: Duration,
    rollback: Rollback,
    adopt: bool,
    about: Cow<'a, BTreeMap<String, String>>,
}

#[derive(Serialize, Deserialize)]
struct MetaArtifact<'a> {
    destination: Cow<'a, AbsPath>,
    mode: u32,
    owner: Option<Cow<'a, str>>,
    blob: Cow<'a, str>,
    sensitive: bool,
}

/// The names of a unit's contents, in its own order: hashing them is most of a manifest's cost, so it is done once.
struct Blobs<'a> {
    files: Vec<Cow<'a, str>>,
    commands: Vec<Cow<'a, str>>,
    env: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

impl<'a> Blobs<'a> {
    fn of(unit: &'a Unit) -> Self {
        let files = unit.artifacts.iter().map(|file| blob(&file.content));
        let commands = unit.commands.iter().map(|command| blob(&command.content));
        let env = unit.sealed_env.iter();
        let env = env.map(|(key, content)| (Cow::Borrowed(key.as_str()), blob(content)));
        Self { files: files.collect(), commands: commands.collect(), env: env.collect() }
    }
}

fn blob(content: &Content) -> Cow<'_, str> {
    match content {
        Content::OnNode(name) => Cow::Borrowed(name),
        Content::Bytes(_) | Content::Sealed(_) => Cow::Owned(content.blob()),
    }
}

/// Writes a unit's manifest; the same unit gives the same bytes on any machine.
///
/// Lines are `key value…`, the last field taking the rest of the line. The node reads all but `meta`.
pub fn manifest_text(unit: &Unit) -> String {
    let blobs = Blobs::of(unit);
    let mut text = String::with_capacity(2048);
    text.push_str("gitsync-manifest 1\n");
    let mut line = |key: &str, value: fmt::Arguments<'_>| {
        let _ = writeln!(text, "{key} {value}");
    };
    line("unit", format_args!("{}", unit.id.local()));
    line("fleet", format_args!("{}", unit.fleet));
    line("runtime", format_args!("{}", unit.runtime.word()));
    line("directory", format_args!("{}", unit.directory));
    runtime_lines(unit, &mut line);
    for (key, path) in &unit.node_env {
        line("env", format_args!("{key} {path}"));
    }
    for (key, blob) in &blobs.env {
        line("sealed", format_args!("{key} {blob}"));
    }
    if let Some(service) = &unit.host_service {
        line("host-service", format_args!("{service}"));
    }
    line("validation", format_args!("{}", unit.validation.word()));
    for (command, blob) in unit.commands.iter().zip(&blobs.commands) {
        line("command", format_args!("{} {blob}", command.moment.word()));
    }
    for (file, blob) in unit.artifacts.iter().zip(&blobs.files) {
        let owner = file.owner.as_deref().unwrap_or("-");
        line("file", format_args!("{:04o} {owner} {blob} {}", file.mode, file.destination));
    }
    line("meta", format_args!("{}", meta_json(unit, blobs)));
    text
}

fn runtime_lines(unit: &Unit, line: &mut impl FnMut(&str, fmt::Arguments<'_>)) {
    if let Runtime::Compose { project, files, services, needs, recreate } = &unit.runtime {
        line("project", format_args!("{project}"));
        for file in files {
            line("compose", format_args!("{file}"));
        }
        for service in services {
            let kind = if service.once { "once" } else { "restart" };
            let image = service.image.as_deref().unwrap_or("-");
            line("service", format_args!("{} {kind} {image}", service.name));
        }
        for path in needs {
            line("needs", format_args!("{path}"));
        }
        for service in recreate {
            line("recreate", format_args!("{service}"));
        }
    }
    for claim in &unit.claims.ports {
        let protocol = match claim.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        let address = match claim.bind {
            BindAddress::Any => "*".to_owned(),
            BindAddress::One(address) => address.to_string(),
        };
        line("port", format_args!("{protocol} {address} {}", claim.port));
    }
}

fn meta_json(unit: &Unit, blobs: Blobs<'_>) -> String {
    let artifacts = unit.artifacts.iter().zip(blobs.files);
    let commands = unit.commands.iter().zip(blobs.commands);
    let meta = Meta {
        id: Cow::Borrowed(&unit.id),
        fleet: Cow::Borrowed(&unit.fleet),
        directory: Cow::Borrowed(&unit.directory),
        runtime: Cow::Borrowed(&unit.runtime),
        artifacts: artifacts.map(|(artifact, blob)| meta_artifact(artifact, blob)).collect(),
        commands: commands.map(|(command, blob)| (command.moment, blob)).collect(),
        host_service: unit.host_service.as_deref().map(Cow::Borrowed),
        validation: unit.validation,
        node_env: Cow::Borrowed(&unit.node_env),
        sealed_env: blobs.env,
        health: Cow::Borrowed(&unit.health),
        depends_on: Cow::Borrowed(&unit.depends_on),
        claims: Cow::Borrowed(&unit.claims),
        membership: unit.membership.as_ref().map(Cow::Borrowed),
        witness: unit.witness,
        rollback: unit.rollback,
        adopt: unit.adopt,
        about: Cow::Borrowed(&unit.about),
    };
    // Maps with text keys and plain values only: serialisation has no way to fail.
    serde_json::to_string(&meta).unwrap_or_default()
}

fn meta_artifact<'a>(artifact: &'a Artifact, blob: Cow<'a, str>) -> MetaArtifact<'a> {
    MetaArtifact {
        destination: Cow::Borrowed(&artifact.destination),
        mode: artifact.mode,
        owner: artifact.owner.as_deref().map(Cow::Borrowed),
        blob,
        sensitive: artifact.sensitive,
    }
}

/// Reads a unit back from its manifest, with contents as blobs of the node.
///
/// None when the text has no readable `meta` line (a manifest of another version).
pub fn unit_from_manifest(text: &str) -> Option<Unit> {
    let json = text.lines().find_map(|line| line.strip_prefix("meta "))?;
    let meta: Meta = serde_json::from_str(json).ok()?;
    Some(Unit {
        id: meta.id.into_owned(),
        fleet: meta.fleet.into_owned(),
        directory: meta.directory.into_owned(),
        runtime: meta.runtime.into_owned(),
        artifacts: meta.artifacts.into_iter().map(artifact_on_node).collect(),
        commands: meta
            .commands
            .into_iter()
            .map(|(moment, blob)| Command { moment, content: Content::OnNode(blob.into_owned()) })
            .collect(),
        host_service: meta.host_service.map(Cow::into_owned),
        validation: meta.validation,
        node_env: meta.node_env.into_owned(),
        sealed_env: meta.sealed_env.into_iter().map(env_on_node).collect(),
        health: meta.health.into_owned(),
        depends_on: meta.depends_on.into_owned(),
        claims: meta.claims.into_owned(),
        membership: meta.membership.map(Cow::into_owned),
        witness: meta.witness,
        rollback: meta.rollback,
        adopt: meta.adopt,
        about: meta.about.into_owned(),
    })
}

fn env_on_node((key, blob): (Cow<'_, str>, Cow<'_, str>)) -> (String, Content) {
    (key.into_owned(), Content::OnNode(blob.into_owned()))
}

fn artifact_on_node(meta: MetaArtifact<'_>) -> Artifact {
    Artifact {
        destination: meta.destination.into_owned(),
        mode: meta.mode,
        owner: meta.owner.map(Cow::into_owned),
        content: Content::OnNode(meta.blob.into_owned()),
        sensitive: meta.sensitive,
    }
}

#[cfg(test)]
mod tests {
    use super::super::release::hashed;
    use super::super::{Check, PortClaim, ProbeFrom, Release};
    use super::*;

    fn unit(number: usize) -> Unit {
        let node = Name::new("vps1").unwrap();
        let second = Duration::from_secs(1);
        let path = |text: &str| AbsPath::new(text).unwrap();
        Unit {
            id: UnitId::from_local(&node, &format!("service.app{number:04}@dev")).unwrap(),
            fleet: Name::new("lab").unwrap(),
            directory: path("/opt/stacks/app"),
            runtime: Runtime::Process,
            artifacts: vec![Artifact {
                destination: path("/opt/stacks/app/conf"),
                mode: 0o640,
                owner: Some("app:app".to_owned()),
                content: Content::Bytes(b"answer = 42\n".to_vec()),
                sensitive: false,
            }],
            commands: vec![
                Command { moment: Moment::Start, content: Content::Bytes(b"run\n".to_vec()) },
                Command { moment: Moment::Stop, content: Content::OnNode("ab".repeat(32)) },
            ],
            host_service: None,
            validation: Validation::Staged,
            node_env: [("TOKEN".to_owned(), path("/etc/token"))].into(),
            sealed_env: BTreeMap::new(),
            health: Health {
                checks: vec![Check::Running],
                interval: second,
                timeout: second,
                retries: 3,
                start_period: Duration::ZERO,
                stable_for: second,
                from: ProbeFrom::Node,
            },
            depends_on: BTreeSet::new(),
            claims: Claims {
                ports: BTreeSet::from([PortClaim {
                    protocol: Protocol::Tcp,
                    bind: BindAddress::Any,
                    port: 80,
                }]),
                ..Claims::default()
            },
            membership: Some(Membership { group: "app@dev".to_owned(), order: 1, failover: true }),
            witness: second,
            rollback: Rollback::Auto,
            adopt: false,
            about: [("image".to_owned(), "app:1".to_owned())].into(),
        }
    }

    #[test]
    fn a_unit_keeps_its_identity_from_one_version_of_gitsync_to_the_next() {
        assert_eq!(unit(7).digest().short(), "69a6d670b9a2", "{}", manifest_text(&unit(7)));
    }

    #[test]
    fn a_manifest_that_was_read_is_written_as_it_was() {
        let text = manifest_text(&unit(7));
        assert_eq!(manifest_text(&unit_from_manifest(&text).unwrap()), text);
    }

    #[test]
    fn a_digest_hashes_every_content_once_and_then_the_manifest() {
        let unit = unit(7);
        let contents = "answer = 42\n".len() + "run\n".len();
        let hashed = hashed::by(|| drop(unit.digest()));
        assert_eq!(hashed, contents + manifest_text(&unit).len());
    }

    #[test]
    fn the_work_for_a_release_grows_as_its_units_do() {
        let release = |units| Release {
            units: (0..units).map(|n| (unit(n).id, unit(n))).collect(),
            ..Release::default()
        };
        let work = |units| hashed::by(|| drop(release(units).digest()));
        assert_eq!(work(800), 8 * work(100));
    }
}
