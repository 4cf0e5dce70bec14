//! One SSH connection: the master process, what it says, and its end.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openssh::Session;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;

use super::config::{Files, Hop};
use super::directory::ControlDirectory;
use super::forward::Forward;
use super::said::Said;

/// What the master prints once its control socket listens.
const READY: &str = "ready";

/// The generated files of one connection; they go with it.
#[derive(Debug)]
pub(super) struct Written(Vec<PathBuf>);

impl Written {
    /// Writes the configuration and the pinned key of every hop.
    pub(super) fn write(files: &Files<'_>, way: &[Hop]) -> io::Result<Self> {
        let mut written = Self(Vec::new());
        for (index, hop) in way.iter().enumerate() {
            written.add(files.config(index), &files.text(index, way))?;
            if let Some(line) = hop.pinned_line() {
                written.add(files.pinned(index), &line)?;
            }
        }
        Ok(written)
    }

    fn add(&mut self, path: PathBuf, text: &str) -> io::Result<()> {
        self.0.push(path.clone());
        fs::write(path, text)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Unconnected {
    /// `ssh` itself could not be started.
    NoProgram(io::Error),
    /// It ended, and said this.
    Ended(String),
    /// It took too long, and had said this.
    Late(String),
}

/// A running master. Dropping it ends the process, and with it everything that went through it.
#[derive(Debug)]
pub(super) struct Master {
    /// What sessions are opened through.
    pub(super) session: Arc<Session>,
    /// What the process says on standard error.
    pub(super) said: Arc<Said>,
    /// Sockets that lead to addresses of the node.
    pub(super) forwards: Mutex<BTreeMap<SocketAddr, Forward>>,
    control: PathBuf,
    child: Mutex<Child>,
    gone: Arc<Notify>,
}

impl Master {
    /// Connects; `config` says how.
    ///
    /// The process leads a group of its own, so that Ctrl-C at the terminal doesn't take away the connection that
    /// the put-back needs.
    pub(super) async fn start(
        directory: &ControlDirectory,
        config: &Path,
        host: &str,
        within: Duration,
    ) -> Result<Self, Unconnected> {
        let control = directory.name("m");
        let mut child = spawn(config, &control, host).map_err(Unconnected::NoProgram)?;
        let said = Arc::new(Said::default());
        let gone = Arc::new(Notify::new());
        listen(&mut child, Arc::clone(&said), Arc::clone(&gone));
        match tokio::time::timeout(within, ready(&mut child)).await {
            Ok(true) => {}
            Ok(false) => {
                // Its last words may still be on the way: the reader notifies when it has them all.
                let _ = tokio::time::timeout(Duration::from_secs(1), gone.notified()).await;
                return Err(Unconnected::Ended(said.text()));
            }
            Err(_) => return Err(Unconnected::Late(said.text())),
        }
        let session = Arc::new(Session::resume_mux(control.clone().into_boxed_path(), None));
        let forwards = Mutex::new(BTreeMap::new());
        Ok(Self { session, said, forwards, control, child: Mutex::new(child), gone })
    }

    /// Whether the process still runs.
    pub(super) fn runs(&self) -> bool {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(child.try_wait(), Ok(None))
    }

    /// Waits until the process has ended or is about to.
    pub(super) async fn ended(&self) {
        self.gone.notified().await;
        // For whoever waits next: a permit is handed to one only.
        self.gone.notify_one();
    }

    /// The control socket.
    pub(super) fn control(&self) -> &Path {
        &self.control
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.control);
    }
}

fn spawn(config: &Path, control: &Path, host: &str) -> io::Result<Child> {
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(config).arg("-M").arg("-N").arg("-S").arg(control);
    ssh.args(["-o", "PermitLocalCommand=yes", "-o"]).arg(format!("LocalCommand=echo {READY}"));
    ssh.arg("--").arg(host).env("LC_ALL", "C");
    ssh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    ssh.process_group(0).kill_on_drop(true).spawn()
}

/// `ssh` runs its local command when it is authenticated and listens on its control socket.
async fn ready(child: &mut Child) -> bool {
    let Some(mut stdout) = child.stdout.take() else { return false };
    let mut seen = Vec::new();
    let mut buffer = [0; 64];
    while let Ok(count @ 1..) = stdout.read(&mut buffer).await {
        seen.extend_from_slice(buffer.get(..count).unwrap_or_default());
        if String::from_utf8_lossy(&seen).lines().any(|line| line.trim() == READY) {
            return true;
        }
    }
    false
}

fn listen(child: &mut Child, said: Arc<Said>, gone: Arc<Notify>) {
    let Some(stderr) = child.stderr.take() else { return };
    tokio::spawn(async move {
        let mut lines = BufReader::new(stderr).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            tracing::debug!(target: "gitsync::ssh", "{text}");
            said.add(text);
        }
        gone.notify_one();
    });
}
