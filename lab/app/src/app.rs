//! What every part of the running app shares: its configuration, identity and state.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use crate::config::Config;
use crate::health::Health;
use crate::stop::Stop;

/// The longest file that is served.
const LONGEST_FILE: u64 = 16 * 1024 * 1024;
/// Enough for a connection's thread, and small beside a container's memory limit.
const STACK: usize = 256 * 1024;

/// The running app.
pub struct App {
    /// How it was told to behave.
    pub config: Config,
    /// When the process started.
    pub started: Instant,
    /// The host's name, as the kernel has it.
    pub host: String,
    /// Another one at every start of the process.
    pub boot: String,
    /// Connections in hand and the way to the end.
    pub stop: Stop,
    files: Vec<(String, Option<Vec<u8>>)>,
    frozen: AtomicBool,
}

impl App {
    /// Starts the clock and reads the configured files.
    pub fn new(config: Config) -> Self {
        let files = config.files.iter().map(|path| (path.clone(), read_file(path))).collect();
        App {
            config,
            started: Instant::now(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            boot: random_word(),
            stop: Stop::default(),
            files,
            frozen: AtomicBool::new(false),
        }
    }

    /// The version that answers carry.
    pub fn version(&self) -> &str {
        match &self.config.health {
            Health::Old(version) => version,
            _ => &self.config.version,
        }
    }

    /// What a configured file held at the start; none if it wasn't configured or wasn't there.
    pub fn at_start(&self, path: &str) -> Option<&[u8]> {
        let (_, content) = self.files.iter().find(|(name, _)| name == path)?;
        content.as_deref()
    }

    /// From now on requests are taken and never answered.
    pub fn freeze(&self) {
        self.frozen.store(true, Ordering::SeqCst);
        self.say("stops answering");
    }

    /// Whether the app was told to stop answering.
    pub fn frozen(&self) -> bool {
        self.frozen.load(Ordering::SeqCst)
    }

    /// Ends the process with status 1, at once.
    pub fn die(&self, why: &str) -> ! {
        self.say(why);
        std::process::exit(1)
    }

    /// One line on standard output; a closed one is no reason to fail.
    pub fn say(&self, line: &str) {
        let _ = writeln!(io::stdout().lock(), "lab-app {}: {line}", self.config.version);
    }
}

/// One line on standard error.
pub fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "lab-app: {line}");
}

/// A thread that fails to start is an error, not a panic.
pub fn thread(work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().stack_size(STACK).spawn(work)
}

/// A regular file's content as it is now, up to 16 MiB; none if there is no such file.
pub fn read_file(path: &str) -> Option<Vec<u8>> {
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut content = Vec::new();
    File::open(path).ok()?.take(LONGEST_FILE).read_to_end(&mut content).ok()?;
    Some(content)
}

/// The standard library seeds its hashers from the kernel, so this needs no /dev/urandom.
fn random_word() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}
