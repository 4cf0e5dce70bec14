//! A node over OpenSSH: one multiplexed connection, opened when it is first needed and again when it broke.

mod config;
mod directory;
mod forward;
mod hostkey;
mod master;
mod reason;
mod run;
mod said;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::Instant;

pub use self::config::{ConfigError, Hop, hops};
pub use self::directory::ControlDirectory;

use self::config::Files;
use self::forward::Forward;
use self::master::{Master, Unconnected, Written};
use super::channel::{Answer, Channel};
use super::{Dial, TransportError, plain_failure, script};
use crate::model::{AbsPath, FailureKind, Name, Node, Reach, Ssh, duration_text};

/// Sessions open at once on one connection; sshd's default limit is 10, and other tools want some too.
const MOST_SESSIONS: usize = 6;

/// How long a master may take to say why an address was refused.
const REASON: Duration = Duration::from_secs(2);

/// What all connections of one controller share.
#[derive(Clone, Debug)]
pub struct SshOptions {
    /// Where control sockets and generated files are.
    pub directory: Arc<ControlDirectory>,
    /// How long opening a connection may take, jump hosts included.
    pub connect_timeout: Duration,
    /// How long a silent connection is borne between two questions; three unanswered ones end it.
    pub keepalive: Duration,
    /// The user's own SSH configuration.
    pub user_config: PathBuf,
}

impl SshOptions {
    /// 10 s to connect, a sign of life every 5 s, and the user's `~/.ssh/config`.
    pub fn new(directory: Arc<ControlDirectory>) -> Self {
        Self {
            directory,
            connect_timeout: Duration::from_secs(10),
            keepalive: Duration::from_secs(5),
            user_config: PathBuf::from("~/.ssh/config"),
        }
    }
}

/// Runs commands on one node over OpenSSH.
///
/// Nothing is connected before the first command. Commands run side by side over one connection, six at most; when
/// the node's sshd allows fewer, fewer. A connection that broke before a command began is opened again once; one
/// that breaks while a command runs is an error, since nobody knows how far it came.
#[derive(Debug)]
pub struct SshChannel {
    name: Name,
    root: AbsPath,
    way: Vec<Hop>,
    options: SshOptions,
    stem: String,
    state: Mutex<State>,
    sessions: run::Sessions,
}

#[derive(Debug, Default)]
struct State {
    master: Option<Arc<Master>>,
    files: Option<Written>,
    failed: Option<(Instant, TransportError)>,
}

impl SshChannel {
    /// A channel to `node`, not connected yet. `node_named` tells the SSH settings of another node of the fleet, for
    /// jump hosts.
    pub fn new(
        node: &Node,
        node_named: &dyn Fn(&str) -> Option<(Name, Ssh)>,
        options: SshOptions,
    ) -> Result<Self, ConfigError> {
        let ssh = match &node.reach {
            Reach::Ssh(ssh) => ssh,
            Reach::Local(_) => return Err(ConfigError::Local(node.name.clone())),
        };
        let name = options.directory.name("c");
        let stem = name.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        Ok(Self {
            name: node.name.clone(),
            root: node.root.clone(),
            way: hops(&node.name, ssh, node_named)?,
            options,
            stem,
            state: Mutex::new(State::default()),
            sessions: run::Sessions::new(MOST_SESSIONS),
        })
    }

    fn ssh(&self) -> Option<&Ssh> {
        self.way.first().map(|hop| &hop.ssh)
    }

    fn files<'a>(&'a self, user_config: &'a str) -> Files<'a> {
        Files {
            directory: self.options.directory.path(),
            stem: &self.stem,
            user_config,
            connect_timeout: self.options.connect_timeout,
            keepalive: self.options.keepalive,
        }
    }

    /// The connection, opened if there is none. Whoever waited while someone else's attempt failed shares that
    /// failure instead of waiting as long once more.
    async fn master(&self) -> Result<Arc<Master>, TransportError> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        if let Some(master) = state.master.as_ref().filter(|master| master.runs()) {
            return Ok(Arc::clone(master));
        }
        if let Some((_, error)) = state.failed.as_ref().filter(|(at, _)| *at > asked) {
            return Err(error.clone());
        }
        state.master = None;
        let opened = self.open(&mut state).await;
        state.failed = opened.as_ref().err().map(|error| (Instant::now(), error.clone()));
        state.master = opened.as_ref().ok().map(Arc::clone);
        opened
    }

    /// Gives the connection up, unless someone has opened another one meanwhile.
    async fn give_up(&self, broken: &Arc<Master>) {
        let mut state = self.state.lock().await;
        if state.master.as_ref().is_some_and(|master| Arc::ptr_eq(master, broken)) {
            state.master = None;
        }
    }

    async fn open(&self, state: &mut State) -> Result<Arc<Master>, TransportError> {
        let user_config = self.options.user_config.to_string_lossy();
        let files = self.files(&user_config);
        if state.files.is_none() {
            let written = Written::write(&files, &self.way);
            state.files = Some(written.map_err(|error| {
                let place = self.options.directory.path().display();
                node_failure(FailureKind::Node, format!("can't write to {place}: {error}"))
            })?);
        }
        let host = self.ssh().map(|ssh| ssh.host.as_str()).unwrap_or_default();
        let within = self.options.connect_timeout + Duration::from_secs(5);
        let config = files.config(0);
        match Master::start(&self.options.directory, &config, host, within).await {
            Ok(master) => Ok(Arc::new(master)),
            Err(why) => Err(self.unconnected(&files, why).await),
        }
    }

    async fn unconnected(&self, files: &Files<'_>, why: Unconnected) -> TransportError {
        let label = self.way.first().map(Hop::label).unwrap_or_default();
        match why {
            Unconnected::NoProgram(error) => {
                let message = format!("`ssh` could not be started on this machine: {error}");
                node_failure(FailureKind::Node, message)
            }
            Unconnected::Ended(said) if hostkey::is_host_key_trouble(&said) => {
                let message = hostkey::explain(&self.options.directory, files, &self.way, &said);
                TransportError::HostKey(message.await)
            }
            Unconnected::Ended(said) => {
                let reason = reason::reason(&said);
                TransportError::Unreachable(format!("{label} can't be reached: {reason}"))
            }
            Unconnected::Late(said) => {
                let waited = self.options.connect_timeout.as_secs() + 5;
                let heard =
                    said.lines().last().map(|line| format!(" ({line})")).unwrap_or_default();
                let message = format!("{label} did not let us in within {waited} s{heard}");
                TransportError::Unreachable(message)
            }
        }
    }

    /// `Unreachable` with the node's name before the reason.
    fn unreachable(&self, reason: impl std::fmt::Display) -> TransportError {
        TransportError::Unreachable(format!("`{}`: {reason}", self.name))
    }

    /// Whether the node's sshd lets a connection through to `target`, and the target accepts it.
    async fn try_target(&self, target: SocketAddr) -> Result<(), TransportError> {
        let master = self.master().await?;
        let mark = master.said.mark();
        let Err(error) = forward::knock(master.control(), target).await else { return Ok(()) };
        if !master.runs() {
            self.give_up(&master).await;
            return Err(self.unreachable("the connection broke off"));
        }
        // The master's answer is the same for every reason; its log has the real one, a moment later at times.
        let reason = master.said.since(mark, "open failed: ", REASON).await;
        let reason = reason.unwrap_or_else(|| error.to_string());
        if reason.contains("prohibited") {
            return Err(node_failure(FailureKind::Node, forbidden(&self.name)));
        }
        let reason = reason.trim_start_matches("connect failed: ").to_lowercase();
        Err(node_failure(FailureKind::Content, format!("{target}: {reason}")))
    }
}

fn forbidden(name: &Name) -> String {
    format!(
        "the sshd of `{name}` forbids TCP forwarding (AllowTcpForwarding, PermitOpen or DisableForwarding)"
    )
}

fn node_failure(kind: FailureKind, message: String) -> TransportError {
    TransportError::Failed(Box::new(plain_failure(kind, message)))
}

#[async_trait]
impl Channel for SshChannel {
    async fn run(
        &self,
        verb: &str,
        request: Vec<u8>,
        deadline: Duration,
    ) -> Result<Answer, TransportError> {
        let arguments = script::verb_arguments(&self.root, verb);
        let answer = self.execute(&arguments, &request, deadline).await?;
        if !answer.script_is_missing() {
            return Ok(answer);
        }
        self.install().await?;
        self.execute(&arguments, &request, deadline).await
    }

    async fn say(
        &self,
        verb: &str,
        request: Vec<u8>,
        deadline: Duration,
    ) -> Result<Answer, TransportError> {
        let arguments = script::verb_arguments(&self.root, verb);
        self.execute_in(run::Line::Passes, &arguments, &request, deadline).await
    }

    async fn reconnect(&self) -> Result<(), TransportError> {
        // Commands that still run keep the old connection until they end.
        self.state.lock().await.master = None;
        Ok(())
    }

    async fn dial(&self, target: SocketAddr) -> Result<Dial, TransportError> {
        let master = self.master().await?;
        let mut forwards = master.forwards.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(forward) = forwards.get(&target) {
            return Ok(Dial::Unix(forward.path().to_owned()));
        }
        let path = self.options.directory.name("f");
        let forward = Forward::listen(path, master.control().to_owned(), target)
            .map_err(|error| self.unreachable(format!("no socket for {target}: {error}")))?;
        let dial = Dial::Unix(forward.path().to_owned());
        forwards.insert(target, forward);
        Ok(dial)
    }

    async fn knock(&self, target: SocketAddr, within: Duration) -> Result<(), TransportError> {
        match tokio::time::timeout(within, self.try_target(target)).await {
            Ok(answer) => answer,
            Err(_) => {
                let message = format!("{target}: no answer within {}", duration_text(within));
                Err(node_failure(FailureKind::Content, message))
            }
        }
    }
}
