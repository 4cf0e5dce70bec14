//! Instances of services: everything resolved for one node and one environment.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AbsPath, Health, Name, Rollback, SecretRef, UnitId, duration};

/// A service placed on a node for an environment, with all overrides applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Its unit.
    pub id: UnitId,
    /// The service's name.
    pub service: Name,
    /// The environment, also when it is the first.
    pub environment: Name,
    /// Its part among the service's instances.
    pub role: Role,
    /// What runs.
    pub form: Form,
    /// The compose project: the service's name, with `-<env>` in another environment than the first.
    pub project: String,
    /// Where its files lie and commands run.
    pub directory: AbsPath,
    /// Published ports by name.
    pub ports: BTreeMap<String, PortMapping>,
    /// Files of the repository delivered into the directory.
    pub files: Vec<Delivered>,
    /// When it counts as healthy.
    pub health: Health,
    /// Whether the author wrote a health check (else only `running` is asked).
    pub health_declared: bool,
    /// Units it needs.
    pub depends_on: Vec<UnitId>,
    /// Whether it may be put back.
    pub rollback: Rollback,
    /// Whether volumes may be left behind when it moves.
    pub moves: Option<Moves>,
    /// Whether files that are there already are taken over.
    pub adopt: bool,
    /// The repository file that defines it.
    pub source: String,
}

/// An instance's part among its service's instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Serves while it is healthy.
    Primary,
    /// Serves when those before it are not; numbered from 1.
    Fallback(u32),
    /// One of equals.
    Member,
}

/// What to do about volumes when an instance moves to another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Moves {
    /// It starts with empty volumes.
    Empty,
    /// Something else (a sync) carries the data.
    Synced,
}

impl Moves {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Synced => "synced",
        }
    }
}

/// What runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// An image; gitsync writes the compose file.
    Image(Box<Container>),
    /// A compose file that people already have, byte for byte.
    Compose(Brought),
    /// A program that the node script keeps.
    Process(ProcessForm),
}

/// A container that gitsync writes a compose file for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// The image reference as written.
    pub image: String,
    /// Replaces the image's command.
    pub command: Option<CommandLine>,
    /// Replaces the image's entrypoint.
    pub entrypoint: Option<CommandLine>,
    /// `user` or `uid:gid` in the container.
    pub user: Option<String>,
    /// Environment variables.
    pub env: BTreeMap<String, EnvValue>,
    /// Mounts.
    pub volumes: Vec<Mount>,
    /// How it is connected.
    pub network: Network,
    /// Devices, `host[:container[:rwm]]`.
    pub devices: Vec<String>,
    /// GPUs: `all` or a count.
    pub gpus: Option<String>,
    /// Capabilities added.
    pub cap_add: Vec<String>,
    /// Whether it is privileged.
    pub privileged: bool,
    /// Its labels besides gitsync's.
    pub labels: BTreeMap<String, String>,
    /// When it is started again.
    pub restart: Restart,
    /// Limits.
    pub resources: Resources,
    /// Containers of this instance on the node.
    pub replicas: u32,
    /// How long a stop may take.
    #[serde(with = "duration::serde_option")]
    pub stop_grace: Option<Duration>,
    /// Health check that Docker runs inside.
    pub healthcheck: Option<ContainerCheck>,
    /// Log limits.
    pub logging: Logging,
}

/// A command as a shell line or as words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CommandLine {
    /// One text, split as a shell splits words.
    Shell(String),
    /// Words as they are.
    Words(Vec<String>),
}

/// The value of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EnvValue {
    /// The text as written.
    Plain(String),
    /// The content of a file that never leaves the node.
    NodeFile(AbsPath),
    /// A secret of the repository.
    Secret(SecretRef),
}

/// A mount into a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What is mounted.
    pub source: MountSource,
    /// Where in the container.
    pub target: AbsPath,
    /// Whether the container may not write.
    pub read_only: bool,
}

/// What is mounted into a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountSource {
    /// A named volume of the project.
    Volume(String),
    /// A volume made outside.
    External(String),
    /// An absolute path on the node.
    Path(AbsPath),
    /// A path below the instance's directory, without a leading `./`; empty for the directory itself.
    Directory(String),
    /// A temporary file system in memory.
    Tmpfs,
}

/// How a container is connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The project's own network.
    Bridge,
    /// The node's network.
    Host,
    /// None at all.
    None,
    /// The project's own network and these, made outside.
    Join(Vec<String>),
}

/// When a container is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Never: exit 0 is success.
    No,
    /// Whenever it ends.
    Always,
    /// When it fails.
    OnFailure,
    /// Whenever it ends, but not after it was stopped.
    UnlessStopped,
}

/// Limits of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Memory as compose writes it, `512m`.
    pub memory: Option<String>,
    /// CPUs as compose writes them, `0.5`.
    pub cpus: Option<String>,
    /// Most processes.
    pub pids: Option<u32>,
    /// Shared memory, `1g`.
    pub shm: Option<String>,
}

/// Limits of a container's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// Size of one file, `10m`.
    pub max_size: String,
    /// How many files.
    pub max_file: u32,
}

/// A health check that Docker runs inside the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerCheck {
    /// What is run.
    pub test: ContainerCheckTest,
    /// Between two runs.
    #[serde(with = "duration::serde_text")]
    pub interval: Duration,
    /// How long one run may take.
    #[serde(with = "duration::serde_text")]
    pub timeout: Duration,
    /// Failures before it is unhealthy.
    pub retries: u32,
    /// How long failures don't count at first.
    #[serde(with = "duration::serde_text")]
    pub start_period: Duration,
}

/// What a container's health check runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerCheckTest {
    /// A line for the container's shell.
    Shell(String),
    /// Words as they are.
    Words(Vec<String>),
    /// Switches off the image's own check.
    Disable,
}

/// A compose file that people already have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Brought {
    /// File name below the directory, `compose.yaml`.
    pub file: String,
    /// Its path in the repository.
    pub path: String,
    /// Variables that compose puts into its texts.
    pub env: BTreeMap<String, EnvValue>,
    /// Its services by name, as far as gitsync has to know them.
    pub services: BTreeMap<String, BroughtService>,
    /// Named volumes that the project owns, by their names on the engine.
    pub volumes: Vec<String>,
}

/// One service of a brought compose file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BroughtService {
    /// The image, if it names one.
    pub image: Option<String>,
    /// The container's fixed name.
    pub container_name: Option<String>,
    /// Published ports.
    pub ports: Vec<PortMapping>,
    /// Whether it uses the node's network.
    pub host_network: bool,
    /// Mount sources, as far as they are files or directories of the node.
    pub mounts: Vec<Mount>,
    /// Whether it runs once (`restart: no` or no restart at all counts as not once unless written).
    pub once: bool,
    /// Whether a `profiles` key keeps it from starting.
    pub profiled: bool,
}

/// A program that the node script starts detached and keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessForm {
    /// Runs in the foreground; a shell program.
    pub start: String,
    /// Ends it; SIGTERM to the process group when absent.
    pub stop: Option<String>,
    /// Makes it read changed files; a restart when absent.
    pub reload: Option<String>,
    /// Environment variables.
    pub env: BTreeMap<String, EnvValue>,
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    /// In the container; equal to `host` for host networking and processes.
    pub container: u16,
    /// On the node.
    pub host: u16,
    /// Which protocols.
    pub protocols: Vec<Protocol>,
    /// Where it is bound.
    pub bind: BindAddress,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Where a port is bound on its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BindAddress {
    /// Every address, v4 and v6.
    Any,
    /// One address.
    One(IpAddr),
}

/// Where ports are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Publish {
    /// On the node's address.
    Mesh,
    /// On every address.
    Host,
    /// On loopback.
    Loopback,
    /// Not at all.
    None,
}

/// A file of the repository that is put on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// Its path in the repository.
    pub path: String,
    /// The value that is delivered, when the file is an encrypted one.
    pub secret: Option<SecretRef>,
    /// Where it lands.
    pub destination: AbsPath,
    /// Permission bits, `0o644`.
    pub mode: u32,
    /// Whether its author chose the permission bits.
    pub mode_given: bool,
    /// `user:group`, or the script's own user.
    pub owner: Option<String>,
}
