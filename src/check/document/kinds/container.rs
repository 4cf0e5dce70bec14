//! The parts of a service that are about its container: mounts, network, limits, Docker's own health check.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::text::{
    CpuText, FilePath, Lines, PathText, Shell, SizeText, Time, VolumeName, VolumeText,
};
use super::Off;

/// What is mounted.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum VolumeDoc {
    /// `name:/path`, `./folder:/path` or `/path:/path`, with `:ro` when the container may not write.
    Short(VolumeText),
    /// In full; exactly one of volume, external, path, folder and tmpfs.
    Full(Box<VolumeFull>),
}

/// What is mounted, in full.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VolumeFull {
    /// A named volume of the service.
    pub volume: Option<VolumeName>,
    /// A volume made outside.
    pub external: Option<VolumeName>,
    /// A path on the node.
    pub path: Option<PathText>,
    /// A path below the service's directory.
    pub folder: Option<FilePath>,
    /// A temporary file system in memory.
    pub tmpfs: Option<bool>,
    /// Where in the container.
    pub target: PathText,
    /// Whether the container may not write. `false`.
    pub read_only: Option<bool>,
}

/// How a container is connected.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum NetworkDoc {
    /// One word for it.
    Word(NetworkWord),
    /// The service's own network and these, made outside.
    Join(#[schemars(length(min = 1))] Vec<VolumeName>),
}

/// How a container is connected, in one word.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NetworkWord {
    /// The service's own network.
    Bridge,
    /// The node's network.
    Host,
    /// None at all.
    None,
}

/// A command as one text, split as a shell splits words, or as words.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CommandDoc {
    /// One text.
    Shell(Shell),
    /// Words as they are.
    Words(#[schemars(length(min = 1))] Vec<Lines>),
}

/// When a container is started again.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RestartDoc {
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
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourcesDoc {
    /// Memory.
    pub memory: Option<SizeText>,
    /// CPUs.
    pub cpus: Option<CpuText>,
    /// Most processes.
    #[schemars(range(min = 1, max = 4_194_304))]
    pub pids: Option<u32>,
    /// Shared memory.
    pub shm: Option<SizeText>,
}

/// A health check that Docker runs inside the container.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum HealthcheckDoc {
    /// Switches off the image's own check.
    Off(Off),
    /// A check.
    Full(HealthcheckFull),
}

/// A health check that Docker runs inside the container, in full.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthcheckFull {
    /// What is run: a line for the container's shell, or words.
    pub test: CommandDoc,
    /// Between two runs. `30s`.
    pub interval: Option<Time>,
    /// How long one run may take. `30s`.
    pub timeout: Option<Time>,
    /// Failures before it is unhealthy. 3.
    #[schemars(range(min = 1, max = 1000))]
    pub retries: Option<u32>,
    /// How long failures don't count at first. `0s`.
    pub start_period: Option<Time>,
}

/// Limits of a container's log.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoggingDoc {
    /// Size of one file. `10m`.
    pub max_size: Option<SizeText>,
    /// How many files. 3.
    #[schemars(range(min = 1, max = 1000))]
    pub max_file: Option<u32>,
}
