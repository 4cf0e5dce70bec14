//! One command over an open connection: input in, output out, and what its end means.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use openssh::{Child, Error, Session, Stdio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::super::channel::Answer;
use super::super::{TransportError, script};
use super::master::Master;
use super::{SshChannel, node_failure};
use crate::model::FailureKind;

const INSTALL_DEADLINE: Duration = Duration::from_secs(60);
/// sshd gives a session's place back a moment after the command's end was told.
const PLACE_BACK: Duration = Duration::from_millis(25);
const MOST_TRIES: usize = 80;

/// The right to have sessions open; it shrinks to what the node's sshd allows.
#[derive(Debug)]
pub(super) struct Sessions {
    places: Semaphore,
    limit: AtomicUsize,
}

impl Sessions {
    pub(super) fn new(limit: usize) -> Self {
        Self { places: Semaphore::new(limit), limit: AtomicUsize::new(limit) }
    }

    /// Whether sshd is likely to have a place beside those.
    fn spare(&self) -> bool {
        self.limit.load(Ordering::SeqCst) >= super::MOST_SESSIONS
    }

    /// One place fewer from now on, but never none.
    fn shrink(&self, permit: SemaphorePermit<'_>) {
        let fewer = |limit: usize| (limit > 1).then(|| limit - 1);
        if self.limit.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer).is_ok() {
            permit.forget();
        }
    }
}

/// How a command comes by its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// When there is a place.
    Waits,
    /// Past those that wait, where sshd allows it: sshd's own limit is above ours.
    Passes,
}

/// Why a session did not begin.
enum Unopened {
    /// The connection is gone: worth another one.
    Gone,
    /// sshd allows no further session on this connection.
    Full,
    /// Something else.
    Other(String),
}

impl SshChannel {
    /// Runs a program on the node, with `sudo -n` where the node wants it; `Unreachable` when the connection fails,
    /// breaks off, or `deadline` passes (the program may then run on).
    pub async fn execute(
        &self,
        arguments: &[String],
        input: &[u8],
        deadline: Duration,
    ) -> Result<Answer, TransportError> {
        self.execute_in(Line::Waits, arguments, input, deadline).await
    }

    /// The same, in line with others or past them.
    pub(super) async fn execute_in(
        &self,
        how: Line,
        arguments: &[String],
        input: &[u8],
        deadline: Duration,
    ) -> Result<Answer, TransportError> {
        let sudo = self.ssh().is_some_and(|ssh| ssh.sudo);
        let line = script::remote_command(arguments, sudo);
        match tokio::time::timeout(deadline, self.run_line(how, &line, input)).await {
            Ok(answer) => self.check_sudo(answer?, sudo),
            Err(_) => Err(self.unreachable(format!("no answer within {} s", deadline.as_secs()))),
        }
    }

    /// Brings the node script.
    pub(super) async fn install(&self) -> Result<(), TransportError> {
        let arguments = script::install_arguments(&self.root);
        let text = script::script_text().as_bytes();
        let answer = self.execute(&arguments, text, INSTALL_DEADLINE).await?;
        if answer.status == Some(0) {
            return Ok(());
        }
        let message =
            format!("`{}`: installing the node script: {}", self.name, answer.complaint());
        Err(node_failure(FailureKind::Node, message))
    }

    fn check_sudo(&self, answer: Answer, sudo: bool) -> Result<Answer, TransportError> {
        if !sudo || !answer.script_is_missing() {
            return Ok(answer);
        }
        let complaint = answer.complaint();
        let user = self.ssh().and_then(|ssh| ssh.user.as_deref()).unwrap_or("the login user");
        let name = &self.name;
        let message = if complaint.contains("password is required")
            || complaint.contains("a terminal")
        {
            format!(
                "`{name}`: sudo wants a password from {user}. Let it run without, with a line like \
                 `{user} ALL=(root) NOPASSWD: ALL` in /etc/sudoers.d/gitsync, or log in as root and drop `sudo: true`"
            )
        } else if complaint.contains("sudoers") || complaint.contains("not allowed") {
            format!("`{name}`: {user} may not use sudo: {complaint}")
        } else if complaint.contains("sudo") && answer.status == Some(127) {
            format!(
                "`{name}`: there is no sudo; install it, or log in as root and drop `sudo: true`"
            )
        } else {
            return Ok(answer);
        };
        Err(node_failure(FailureKind::Node, message))
    }

    /// Opens the connection again once when it turns out to be dead before the command began.
    async fn run_line(
        &self,
        how: Line,
        line: &str,
        input: &[u8],
    ) -> Result<Answer, TransportError> {
        let mut reopened = false;
        let mut past = how == Line::Passes && self.sessions.spare();
        for _ in 0..MOST_TRIES {
            let place = match past {
                true => None,
                false => {
                    Some(self.sessions.places.acquire().await.map_err(|e| self.unreachable(e))?)
                }
            };
            let master = self.master().await?;
            match begin(&master, line).await {
                Ok(child) => return self.finish(&master, child, input).await,
                Err(Unopened::Gone) if !reopened => {
                    reopened = true;
                    self.give_up(&master).await;
                }
                Err(Unopened::Gone) => {
                    return Err(self.unreachable("the connection broke off before the command"));
                }
                Err(Unopened::Full) => {
                    // One that passed has no place to give up; it gets in line.
                    past = false;
                    if let Some(place) = place {
                        self.sessions.shrink(place);
                    }
                    tokio::time::sleep(PLACE_BACK).await;
                }
                Err(Unopened::Other(reason)) => return Err(self.unreachable(reason)),
            }
        }
        Err(self.unreachable("sshd allows no session on the connection (MaxSessions)"))
    }

    async fn finish(
        &self,
        master: &Arc<Master>,
        child: Child<Arc<Session>>,
        input: &[u8],
    ) -> Result<Answer, TransportError> {
        let (stdout, stderr, end) = exchange(child, input).await;
        let answer = |status| Answer { stdout, stderr, status };
        match end {
            Ok(status) => Ok(answer(status)),
            // A signal ended the command, or the connection is gone: the master's end tells which.
            Err(Error::RemoteProcessTerminated) if !ends(master).await => Ok(answer(None)),
            Err(error) => {
                self.give_up(master).await;
                let said = master.said.newest();
                let reason = said.unwrap_or_else(|| error.to_string());
                Err(self.unreachable(format!("the connection broke off: {reason}")))
            }
        }
    }
}

/// Whether the master has ended or is just about to.
async fn ends(master: &Master) -> bool {
    tokio::time::timeout(Duration::from_millis(300), master.ended()).await.is_ok() || !master.runs()
}

async fn begin(master: &Master, line: &str) -> Result<Child<Arc<Session>>, Unopened> {
    if !master.runs() {
        return Err(Unopened::Gone);
    }
    let mut command = Arc::clone(&master.session).arc_raw_command(line);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    match command.spawn().await {
        Ok(child) => Ok(child),
        Err(error) => Err(classify(master, &error).await),
    }
}

async fn classify(master: &Master, error: &Error) -> Unopened {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    if text.contains("refused by peer") {
        Unopened::Full
    } else if matches!(error, Error::Disconnected) || ends(master).await {
        Unopened::Gone
    } else {
        Unopened::Other(text)
    }
}

type Exchanged = (Vec<u8>, Vec<u8>, Result<Option<i32>, Error>);

/// Writes all input and reads all output at once, so that neither side waits for the other.
async fn exchange(mut child: Child<Arc<Session>>, input: &[u8]) -> Exchanged {
    let (stdin, stdout) = (child.stdin().take(), child.stdout().take());
    let stderr = child.stderr().take();
    let write = async move {
        if let Some(mut pipe) = stdin {
            // A program that fails early reads no further; its answer says why.
            let _ = pipe.write_all(input).await;
        }
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let read_out = async {
        if let Some(mut pipe) = stdout {
            let _ = pipe.read_to_end(&mut out).await;
        }
    };
    let read_err = async {
        if let Some(mut pipe) = stderr {
            let _ = pipe.read_to_end(&mut err).await;
        }
    };
    tokio::join!(write, read_out, read_err);
    let end = match child.wait().await {
        Ok(status) => Ok(status.code()),
        // The crate reads 127 as "not found"; to us it is a status like any other.
        Err(Error::Remote(_)) => Ok(Some(127)),
        Err(error) => Err(error),
    };
    (out, err, end)
}
