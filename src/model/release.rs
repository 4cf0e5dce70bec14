//! What one commit wants on every node: units with their artifacts and how they are run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    AbsPath, BindAddress, Commit, EnvValue, Health, Name, Protocol, Sealed, SecretRef, UnitId,
};

/// SHA-256 in lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    #[cfg(test)]
    hashed::note(bytes.len());
    hex(&Sha256::digest(bytes))
}

/// Bytes in lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let hex = |digit: u8| char::from(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
    let mut text = String::with_capacity(2 * bytes.len());
    text.extend(digits.map(hex));
    text
}

/// How much was hashed on this thread: what tests count instead of time.
#[cfg(test)]
pub(crate) mod hashed {
    use std::cell::Cell;

    thread_local!(static BYTES: Cell<usize> = const { Cell::new(0) });

    pub(super) fn note(bytes: usize) {
        BYTES.set(BYTES.get() + bytes);
    }

    /// The bytes that are hashed while `work` runs.
    pub(crate) fn by(work: impl FnOnce()) -> usize {
        let before = BYTES.get();
        work();
        BYTES.get() - before
    }
}

/// The identity of a unit's content (the SHA-256 of its manifest) or of a whole release.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("pattern" = "^[0-9a-f]{64}$"))]
pub struct Digest(pub String);

impl Digest {
    /// The digest of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha256_hex(bytes))
    }

    /// The first twelve hex digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

/// One rendered file of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Where it lands.
    pub destination: AbsPath,
    /// Permission bits, `0o644`.
    pub mode: u32,
    /// `user:group`; the script's own user when absent.
    pub owner: Option<String>,
    /// What is in it.
    pub content: Content,
    /// Whether its content may not be shown.
    pub sensitive: bool,
}

/// The content of an artifact or command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The bytes themselves.
    Bytes(Vec<u8>),
    /// A blob that the node holds, by its name there.
    OnNode(String),
    /// Bytes with secrets in them, which only the controller opens, right before a node gets them.
    Sealed(Sealed),
}

impl Content {
    /// The name of the blob: the SHA-256 of the bytes, or with secrets in them one that comes from their ciphertexts.
    pub fn blob(&self) -> String {
        match self {
            Self::Bytes(bytes) => sha256_hex(bytes),
            Self::OnNode(name) => name.clone(),
            Self::Sealed(sealed) => sealed.blob(),
        }
    }
}

impl Artifact {
    /// The name of the blob that holds the content.
    pub fn blob(&self) -> String {
        self.content.blob()
    }
}

/// When a command of a unit is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Moment {
    /// Checks staged or switched files; exit status 0 is good.
    Validate,
    /// Makes the files felt; safe to run twice.
    Activate,
    /// Ends what runs, so that `start` brings it back.
    Stop,
    /// Undoes `stop`.
    Start,
    /// Loads changed files without a restart.
    Reload,
    /// Removes what activation made besides files; never data.
    Remove,
    /// Prints the last lines that the program logged.
    Logs,
}

impl Moment {
    /// The word used in manifests.
    pub fn word(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::Activate => "activate",
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Reload => "reload",
            Self::Remove => "remove",
            Self::Logs => "logs",
        }
    }
}

/// A shell program that the node runs at a moment of the unit's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// When.
    pub moment: Moment,
    /// The program text.
    pub content: Content,
}

/// How a unit is run on its node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// Files, and at most an activate command.
    Files,
    /// A compose project.
    Compose {
        /// The fixed project name.
        project: String,
        /// Compose files below the unit's directory, in order.
        files: Vec<String>,
        /// Its services, sorted by name.
        services: Vec<ComposeService>,
        /// Paths of the node that must exist before activation.
        needs: Vec<AbsPath>,
        /// Services that are recreated whenever a managed file changes.
        recreate: Vec<String>,
    },
    /// A program that the node script keeps (its `start` command runs in the foreground).
    Process,
    /// A program of the node (systemd or other), moved by commands only.
    Host,
}

impl Runtime {
    /// The word used in manifests.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Compose { .. } => "compose",
            Self::Process => "process",
            Self::Host => "host",
        }
    }
}

/// A service of a compose project, as far as the node has to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComposeService {
    /// Its name in the compose file.
    pub name: String,
    /// Its image, if it has one.
    pub image: Option<String>,
    /// Whether it ends with exit status 0 by design.
    pub once: bool,
}

/// When a unit's native validation runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Validation {
    /// While preparing, on the unit laid out as a tree.
    Staged,
    /// After the files are in place, before activation.
    Switched,
    /// Not at all.
    None,
}

impl Validation {
    /// The word used in manifests.
    pub fn word(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Switched => "switched",
            Self::None => "none",
        }
    }
}

/// Whether a unit may be put back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rollback {
    /// It is put back when the rollout fails.
    #[default]
    Auto,
    /// Its new version changes data so that the old one can't return.
    Never,
}

/// A host port that a unit occupies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortClaim {
    /// The protocol.
    pub protocol: Protocol,
    /// Where it is bound.
    pub bind: BindAddress,
    /// The port.
    pub port: u16,
}

impl PortClaim {
    /// Whether both can't be bound at once: same port and protocol, and one address covers the other.
    pub fn clashes(&self, other: &Self) -> bool {
        let address = match (self.bind, other.bind) {
            (BindAddress::Any, _) | (_, BindAddress::Any) => true,
            (BindAddress::One(a), BindAddress::One(b)) => {
                a == b || a.is_unspecified() || b.is_unspecified()
            }
        };
        self.protocol == other.protocol && self.port == other.port && address
    }
}

/// What a unit occupies on its node, for replace steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Host ports.
    pub ports: BTreeSet<PortClaim>,
    /// Fixed container names.
    pub names: BTreeSet<String>,
    /// Named volumes as the engine knows them.
    pub volumes: BTreeSet<String>,
}

/// The group of interchangeable units that a unit belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The service and environment, `api@prod`.
    pub group: String,
    /// Changed in this order; the primary of a pair last.
    pub order: u32,
    /// Whether the group is primary and fallback (one at a time always).
    pub failover: bool,
}

/// The smallest thing changed and put back on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Which one.
    pub id: UnitId,
    /// Where commands run and relative paths begin.
    pub directory: AbsPath,
    /// How it is run.
    pub runtime: Runtime,
    /// Its files, sorted by destination.
    pub artifacts: Vec<Artifact>,
    /// Its commands, sorted by moment, one each.
    pub commands: Vec<Command>,
    /// The service of the node's own that its commands move, as systemd knows it: it is put back as it was found.
    pub host_service: Option<String>,
    /// When native validation runs.
    pub validation: Validation,
    /// Environment variables whose values are files of the node.
    pub node_env: BTreeMap<String, AbsPath>,
    /// Environment variables whose values are blobs: secrets, and what a brought compose file asks for.
    pub sealed_env: BTreeMap<String, Content>,
    /// When it counts as healthy.
    pub health: Health,
    /// Units that must be good first, sorted.
    pub depends_on: BTreeSet<UnitId>,
    /// What it occupies.
    pub claims: Claims,
    /// Its group, when there are several of it.
    pub membership: Option<Membership>,
    /// How long gateways that route to it take to see it healthy again, in the longest case.
    pub witness: std::time::Duration,
    /// Whether it may be put back.
    pub rollback: Rollback,
    /// Whether files that are there already are taken over.
    pub adopt: bool,
    /// What people call it and how they see it, for the plan's words.
    pub about: BTreeMap<String, String>,
    /// The fleet it belongs to.
    pub fleet: Name,
}

impl Unit {
    /// The unit's identity: the SHA-256 of its manifest.
    pub fn digest(&self) -> Digest {
        Digest::of(super::manifest_text(self).as_bytes())
    }

    /// The command for a moment, if the unit has one.
    pub fn command(&self, moment: Moment) -> Option<&Command> {
        self.commands.iter().find(|command| command.moment == moment)
    }

    /// Every blob that the unit needs, with bytes where they are known.
    pub fn contents(&self) -> BTreeMap<String, &Content> {
        let files = self.artifacts.iter().map(|artifact| &artifact.content);
        let commands = self.commands.iter().map(|command| &command.content);
        let env = self.sealed_env.values();
        files.chain(commands).chain(env).map(|content| (content.blob(), content)).collect()
    }

    /// The names of the unit's contents that have secrets in them.
    pub fn sealed(&self) -> BTreeSet<String> {
        let files = self.artifacts.iter().filter(|artifact| artifact.sensitive);
        let contents = files.map(|artifact| &artifact.content).chain(self.sealed_env.values());
        contents.map(Content::blob).filter(|blob| super::is_sealed(blob)).collect()
    }
}

/// All units that one commit wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// The units by id.
    pub units: BTreeMap<UnitId, Unit>,
    /// Where it comes from.
    pub commit: Option<Commit>,
    /// Whether the files differed from the commit.
    pub dirty: bool,
    /// The encrypted files that its contents refer to, by path in the repository.
    pub secrets: BTreeMap<String, Vec<u8>>,
}

impl Release {
    /// The release's identity: the SHA-256 over its units' ids and digests, whatever the commit.
    pub fn digest(&self) -> Digest {
        let mut text = String::new();
        for (id, unit) in &self.units {
            let _ = writeln!(text, "{id} {}", unit.digest());
        }
        Digest::of(text.as_bytes())
    }

    /// The units of one node.
    pub fn on<'a>(&'a self, node: &'a Name) -> impl Iterator<Item = &'a Unit> {
        self.units.values().filter(move |unit| unit.id.node == *node)
    }
}

/// Environment values, apart by where they come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SplitEnv {
    /// As written.
    pub plain: BTreeMap<String, String>,
    /// Files of the node.
    pub files: BTreeMap<String, AbsPath>,
    /// Secrets of the repository.
    pub secrets: BTreeMap<String, SecretRef>,
}

impl SplitEnv {
    /// Takes them apart.
    pub fn of(env: &BTreeMap<String, EnvValue>) -> Self {
        let mut split = Self::default();
        for (key, value) in env {
            let key = key.clone();
            match value {
                EnvValue::Plain(text) => drop(split.plain.insert(key, text.clone())),
                EnvValue::NodeFile(path) => drop(split.files.insert(key, path.clone())),
                EnvValue::Secret(reference) => drop(split.secrets.insert(key, reference.clone())),
            }
        }
        split
    }
}
