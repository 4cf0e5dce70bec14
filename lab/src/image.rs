//! Container images made from one static program, without an engine: layers, configuration, manifest and digests.

mod archive;
mod elf;
mod layer;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

pub use archive::{archive, write_archive};
pub(crate) use layer::digest;
pub use layer::{ExtraFile, Layer};

/// The media type of manifests.
pub const MANIFEST_TYPE: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// The media type of configurations.
pub const CONFIG_TYPE: &str = "application/vnd.docker.container.image.v1+json";
/// The media type of layers: tar archives that aren't compressed, so a layer has one digest everywhere.
pub const LAYER_TYPE: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// The environment variable by which an image tells its app which version it is.
pub const VERSION_VARIABLE: &str = "APP_VERSION";

/// When every image was made: a fixed time, for equal images are to have equal bytes.
const CREATED: &str = "2024-01-01T00:00:00Z";

/// Why no image could be made.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The program's file can't be read.
    #[error("cannot read the program {path}")]
    Read {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no program for a machine that images exist for.
    #[error("not a 64-bit Linux program for amd64 or arm64")]
    NotAProgram,
    /// The program wants a loader, and an image has none.
    #[error("the program is linked dynamically, and an image holds no libraries")]
    Dynamic,
    /// An extra file's path has no place under the root.
    #[error("an image's file needs a plain absolute path, not {0:?}")]
    Path(String),
    /// An archive can't be written.
    #[error("cannot write an archive")]
    Archive(#[from] io::Error),
}

/// A static program in a layer of its own, which all images of it share.
#[derive(Clone, Debug)]
pub struct App {
    architecture: &'static str,
    layer: Layer,
}

impl App {
    /// Reads the program; the one expensive step, so keep the value and clone it.
    pub fn from_file(path: &Path) -> Result<Self, ImageError> {
        let bytes =
            fs::read(path).map_err(|source| ImageError::Read { path: path.to_owned(), source })?;
        Self::from_bytes(&bytes)
    }

    /// The same from the program's bytes.
    pub fn from_bytes(program: &[u8]) -> Result<Self, ImageError> {
        let architecture = elf::architecture(program)?;
        Ok(Self { architecture, layer: layer::of_app(program)? })
    }

    /// The layer with `/app`, `/tmp`, `/etc` and `/data`.
    pub fn layer(&self) -> &Layer {
        &self.layer
    }

    /// An image of this program that knows its version, in its environment and as a label.
    pub fn image(&self, version: &str) -> Image {
        let image = Image {
            architecture: self.architecture.to_owned(),
            layers: vec![self.layer.clone()],
            environment: BTreeMap::new(),
            entrypoint: vec!["/app".to_owned()],
            command: Vec::new(),
            ports: BTreeSet::new(),
            labels: BTreeMap::new(),
            health_check: None,
            user: String::new(),
            stop_signal: None,
        };
        image.env(VERSION_VARIABLE, version).label("org.opencontainers.image.version", version)
    }
}

/// How an engine asks a container whether it is well.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HealthCheck {
    /// The command, without a shell.
    pub command: Vec<String>,
    /// The time between two checks.
    pub interval: Duration,
    /// How long one check may take.
    pub timeout: Duration,
    /// How long failures don't count after the start.
    pub start_period: Duration,
    /// How many failures in a row make a container unhealthy.
    pub retries: u32,
}

impl HealthCheck {
    /// A check each second that may take a second, with three tries.
    pub fn new<I: IntoIterator<Item: Into<String>>>(command: I) -> Self {
        Self {
            command: strings(command),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            start_period: Duration::ZERO,
            retries: 3,
        }
    }

    fn to_json(&self) -> Value {
        let test: Vec<&str> =
            ["CMD"].into_iter().chain(self.command.iter().map(String::as_str)).collect();
        json!({
            "Test": test,
            "Interval": nanoseconds(self.interval),
            "Timeout": nanoseconds(self.timeout),
            "StartPeriod": nanoseconds(self.start_period),
            "Retries": self.retries,
        })
    }
}

/// A container image: what runs, and how. The same settings give the same bytes.
#[derive(Clone, Debug)]
pub struct Image {
    architecture: String,
    layers: Vec<Layer>,
    environment: BTreeMap<String, String>,
    entrypoint: Vec<String>,
    command: Vec<String>,
    ports: BTreeSet<u16>,
    labels: BTreeMap<String, String>,
    health_check: Option<HealthCheck>,
    user: String,
    stop_signal: Option<String>,
}

impl Image {
    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets a label.
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Declares a TCP port that the program listens on.
    pub fn port(mut self, port: u16) -> Self {
        self.ports.insert(port);
        self
    }

    /// Replaces the entry point, which is `/app` by itself.
    pub fn entrypoint<I: IntoIterator<Item: Into<String>>>(mut self, words: I) -> Self {
        self.entrypoint = strings(words);
        self
    }

    /// Sets the arguments of the entry point.
    pub fn cmd<I: IntoIterator<Item: Into<String>>>(mut self, words: I) -> Self {
        self.command = strings(words);
        self
    }

    /// Sets the health check.
    pub fn health_check(mut self, check: HealthCheck) -> Self {
        self.health_check = Some(check);
        self
    }

    /// Sets who the program runs as, `1000` or `1000:1000`; an image has no `/etc/passwd`.
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    /// Sets the signal that asks the program to stop, `SIGTERM` by itself.
    pub fn stop_signal(mut self, signal: &str) -> Self {
        self.stop_signal = Some(signal.to_owned());
        self
    }

    /// Says another architecture than the program's own, such as `arm64`: an image for the wrong machine.
    pub fn architecture(mut self, architecture: &str) -> Self {
        architecture.clone_into(&mut self.architecture);
        self
    }

    /// Adds files of root's, with the directories above them, as one more layer.
    pub fn files(mut self, files: &[ExtraFile]) -> Result<Self, ImageError> {
        self.layers.push(layer::of_files(files)?);
        Ok(self)
    }

    /// Its layers, lowest first.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Its configuration, as an engine keeps it.
    pub fn config(&self) -> Vec<u8> {
        let digests: Vec<&str> = self.layers.iter().map(Layer::digest).collect();
        let history: Vec<Value> = (self.layers.iter())
            .map(|layer| json!({ "created": CREATED, "created_by": layer.origin() }))
            .collect();
        let config = json!({
            "architecture": self.architecture,
            "os": "linux",
            "created": CREATED,
            "config": self.settings(),
            "rootfs": { "type": "layers", "diff_ids": digests },
            "history": history,
        });
        config.to_string().into_bytes()
    }

    fn settings(&self) -> Value {
        let environment: Vec<String> =
            self.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let ports: BTreeMap<String, Value> =
            self.ports.iter().map(|port| (format!("{port}/tcp"), json!({}))).collect();
        let mut settings = json!({
            "User": self.user,
            "Env": environment,
            "Entrypoint": self.entrypoint,
            "Cmd": self.command,
            "WorkingDir": "/",
            "ExposedPorts": ports,
            "Labels": self.labels,
        });
        if let Some(check) = &self.health_check {
            settings["Healthcheck"] = check.to_json();
        }
        if let Some(signal) = &self.stop_signal {
            settings["StopSignal"] = json!(signal);
        }
        settings
    }

    /// The digest of its configuration: what `docker image inspect` calls its `Id`.
    pub fn id(&self) -> String {
        digest(&self.config())
    }

    /// Its manifest, as a registry keeps it.
    pub fn manifest(&self) -> Vec<u8> {
        let config = self.config();
        let layers: Vec<Value> = (self.layers.iter())
            .map(|layer| described(LAYER_TYPE, layer.bytes().len(), layer.digest()))
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": described(CONFIG_TYPE, config.len(), &digest(&config)),
            "layers": layers,
        });
        manifest.to_string().into_bytes()
    }

    /// The digest of its manifest: what stands behind the `@` of a pull.
    pub fn digest(&self) -> String {
        digest(&self.manifest())
    }
}

fn described(media_type: &str, size: usize, digest: &str) -> Value {
    json!({ "mediaType": media_type, "size": size, "digest": digest })
}

fn strings<I: IntoIterator<Item: Into<String>>>(words: I) -> Vec<String> {
    words.into_iter().map(Into::into).collect()
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
