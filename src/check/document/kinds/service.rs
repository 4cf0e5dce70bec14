//! `services/*.yaml`: what people run, in one of three forms, and how it is placed, exposed and checked.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::Value;

use super::super::text::{
    Capability, DependencyText, DeviceText, FilePath, GpuText, HeaderValue, ImageText, Label, Line,
    Lines, Mode, OwnerText, PathText, PortText, ProjectText, SecretText, Shell, SiteHost, Time,
    UrlPrefix,
};
use super::{
    CommandDoc, HealthDoc, HealthcheckDoc, LoggingDoc, NetworkDoc, OneOrMany, PortRef,
    ResourcesDoc, RestartDoc, Scheme, Selector, VolumeDoc,
};

/// What people run: `image`, a `compose` file they already have, or `run: command`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "image": "organizr/organizr:2.1.2320",
    "placement": {"primary": "vps2", "fallback": ["vps1"]},
    "ports": {"web": "8081:80"},
    "expose": [{"host": "organizr", "port": "web"}],
    "health": {"http": "/", "port": "web"}
}]))]
pub struct ServiceDoc {
    /// The image; gitsync writes the compose file.
    pub image: Option<ImageText>,
    /// A compose file in this service's folder, brought as it is, byte for byte.
    pub compose: Option<FilePath>,
    /// `command`: a program that the node starts and keeps.
    pub run: Option<RunDoc>,
    /// With `run: command`: runs in the foreground.
    pub start: Option<Shell>,
    /// With `run: command`: ends it; SIGTERM when absent.
    pub stop: Option<Shell>,
    /// With `run: command`: makes it read changed files; a restart when absent.
    pub reload: Option<Shell>,
    /// Where it runs.
    pub placement: Option<PlacementDoc>,
    /// Published ports by name.
    pub ports: Option<BTreeMap<String, PortDoc>>,
    /// Where ports are published: `mesh` (the node's address), `host` (every address), `loopback` or `none`. `mesh`.
    pub publish: Option<PublishDoc>,
    /// What gateways route to it.
    pub expose: Option<Vec<ExposeDoc>>,
    /// When it counts as healthy.
    pub health: Option<HealthDoc>,
    /// What is mounted.
    pub volumes: Option<Vec<VolumeDoc>>,
    /// What it needs: services by name, others by kind, as in `sync/dns-files`.
    pub depends_on: Option<Vec<DependencyText>>,
    /// Whether it may be put back; `never` for a database whose new version migrates. `auto`.
    pub rollback: Option<RollbackDoc>,
    /// Environment variables, with `compose` those that it puts into the file; `node:/path` is a file that never leaves the
    /// node, `secret:FILE.KEY` a secret of the repository.
    pub env: Option<BTreeMap<String, Lines>>,
    /// Files in its directory whose content is a secret, by their path below it.
    pub secret_files: Option<BTreeMap<String, SecretFileDoc>>,
    /// What differs on a node.
    pub nodes: Option<BTreeMap<String, NodeBlock>>,
    /// The environments that it runs in and what differs there; only the first of the fleet when absent.
    pub environments: Option<BTreeMap<String, EnvironmentBlock>>,
    /// How the container is connected: `bridge`, `host`, `none`, or networks made outside. `bridge`.
    pub network: Option<NetworkDoc>,
    /// Devices of the node.
    pub devices: Option<Vec<DeviceText>>,
    /// GPUs: `all` or a count.
    pub gpus: Option<GpuText>,
    /// Capabilities added.
    pub cap_add: Option<Vec<Capability>>,
    /// Whether the container is privileged. `false`.
    pub privileged: Option<bool>,
    /// `user` or `uid:gid` in the container.
    pub user: Option<OwnerText>,
    /// Replaces the image's command.
    pub command: Option<CommandDoc>,
    /// Replaces the image's entrypoint.
    pub entrypoint: Option<CommandDoc>,
    /// The container's labels besides gitsync's.
    pub labels: Option<BTreeMap<String, Lines>>,
    /// When it is started again. `unless-stopped`.
    pub restart: Option<RestartDoc>,
    /// Limits.
    pub resources: Option<ResourcesDoc>,
    /// Containers of one instance on its node. 1.
    #[schemars(range(min = 1, max = 100))]
    pub replicas: Option<u32>,
    /// How long a stop may take.
    pub stop_grace: Option<Time>,
    /// A health check that Docker runs inside the container; `off` switches off the image's own.
    pub healthcheck: Option<HealthcheckDoc>,
    /// Limits of the container's log.
    pub logging: Option<LoggingDoc>,
    /// How a new version takes over. `recreate`.
    pub update: Option<UpdateDoc>,
    /// Where its files lie; below the node's `paths.services` when absent.
    pub directory: Option<PathText>,
    /// The compose project; the service's name when absent.
    pub project: Option<ProjectText>,
    /// What to do about volumes when it moves to another node.
    pub moves: Option<MovesDoc>,
    /// Whether containers and files that are there already are taken over. `false`.
    pub adopt: Option<bool>,
}

/// Which keys a block of differences may not have.
fn block(generator: &mut SchemaGenerator, about: &str, without: &[&str]) -> Schema {
    let mut schema = ServiceDoc::json_schema(generator);
    schema.remove("examples");
    schema.insert("description".into(), Value::from(about));
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.retain(|key, _| !without.contains(&key.as_str()));
    }
    schema
}

macro_rules! blocks {
    ($($(#[doc = $doc:literal])+ $name:ident without $without:expr;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Debug, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Value);

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                block(generator, [$($doc),+].map(str::trim).join(" ").as_str(), $without)
            }
        }
    )+};
}

blocks! {
    /// What differs in an environment: merged over the service, maps key by key, everything else as a whole.
    EnvironmentBlock without &["environments", "compose", "run"];
    /// What differs on a node: merged last, maps key by key, everything else as a whole.
    NodeBlock without &[
        "environments", "nodes", "placement", "expose", "compose", "run", "depends_on", "rollback", "moves",
    ];
}

/// The word `command`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunDoc {
    /// A program that the node starts and keeps.
    Command,
}

/// Where a service runs: on equals (`on`), or on a primary and its fallbacks.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("examples" = [{"on": ["vps1"]}, {"primary": "vps2", "fallback": ["vps1"]}]))]
pub enum PlacementDoc {
    /// On equals.
    On(PlacementOn),
    /// On a primary, and on others that serve when it doesn't.
    Primary(PlacementPrimary),
}

/// Equals.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlacementOn {
    /// Names, `all`, or labels.
    pub on: Selector,
}

/// A primary and its fallbacks.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlacementPrimary {
    /// Serves while it is healthy.
    pub primary: Label,
    /// Serve when those before are not healthy.
    #[schemars(length(min = 1))]
    pub fallback: Vec<Label>,
}

/// A file whose content is a secret: the secret alone, or in full.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("examples" = ["secret:db.key", {"secret": "secret:db.key", "owner": "999:999"}]))]
pub enum SecretFileDoc {
    /// Only root reads it.
    Short(SecretText),
    /// In full.
    Full(SecretFileFull),
}

/// A file whose content is a secret, in full.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretFileFull {
    /// Which.
    pub secret: SecretText,
    /// Permission bits. `0600`.
    pub mode: Option<Mode>,
    /// `user` or `user:group`, such as the one that the container's program runs as.
    pub owner: Option<OwnerText>,
}

/// A published port: `host:container`, one number for both, or in full.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PortDoc {
    /// The same on the node and in the container.
    Number(#[schemars(range(min = 1, max = 65535))] u16),
    /// `host:container`.
    Short(PortText),
    /// In full.
    Full(PortFull),
}

/// A published port in full.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PortFull {
    /// In the container.
    #[schemars(range(min = 1, max = 65535))]
    pub container: u16,
    /// On the node; the same as in the container when absent.
    #[schemars(range(min = 1, max = 65535))]
    pub host: Option<u16>,
    /// Which protocols. `tcp`.
    pub protocol: Option<OneOrMany<ProtocolDoc>>,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProtocolDoc {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Where ports are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PublishDoc {
    /// On the node's address.
    Mesh,
    /// On every address.
    Host,
    /// On loopback.
    Loopback,
    /// Not at all.
    None,
}

/// What gateways route to a service.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"host": "organizr", "port": "web", "access": "public"}]))]
pub struct ExposeDoc {
    /// A label below the fleet's domain, a full host name, or `@` for the domain itself.
    pub host: SiteHost,
    /// The port, by name or number; the only one when absent.
    pub port: Option<PortRef>,
    /// With `compose`: the service of the compose file.
    pub service: Option<Line>,
    /// Only requests below this path.
    pub path: Option<UrlPrefix>,
    /// Whether the path is removed before the request goes on. `false`.
    pub strip_path: Option<bool>,
    /// Who may use it: everyone, or clients of the mesh. `public`.
    pub access: Option<AccessDoc>,
    /// Only this gateway; every gateway when absent.
    pub gateway: Option<Label>,
    /// What the service speaks. `http`.
    pub scheme: Option<Scheme>,
    /// How an instance is chosen; the first healthy one for a primary, else the least busy.
    pub balance: Option<BalanceDoc>,
    /// Headers set on responses.
    pub headers: Option<BTreeMap<String, HeaderValue>>,
    /// Headers set on requests to the service.
    pub request_headers: Option<BTreeMap<String, HeaderValue>>,
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccessDoc {
    /// Everyone.
    Public,
    /// Clients from the mesh's networks.
    Mesh,
}

/// How an instance is chosen.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BalanceDoc {
    /// The first healthy one.
    First,
    /// The one with the fewest requests under way.
    LeastConn,
    /// Each in turn.
    RoundRobin,
}

/// Whether a service may be put back.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RollbackDoc {
    /// It is put back when the rollout fails.
    Auto,
    /// Its new version changes data so that the old one can't return.
    Never,
}

/// How a new version takes over.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UpdateDoc {
    /// The old one stops, the new one starts.
    Recreate,
}

/// What to do about volumes when an instance moves to another node.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MovesDoc {
    /// It starts with empty volumes.
    Empty,
    /// Something else (a sync) carries the data.
    Synced,
}
