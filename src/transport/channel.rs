//! A channel: runs one verb of the node script somewhere, bytes in and bytes out.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;

use super::{Dial, TransportError, knock};

/// What came back from one run of the node script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Everything that the script wrote to standard output.
    pub stdout: Vec<u8>,
    /// The same for standard error; kept for messages only.
    pub stderr: Vec<u8>,
    /// The exit status; none when a signal ended it.
    pub status: Option<i32>,
}

impl Answer {
    /// Whether the script can't have run: it always writes an answer and exits with 0, unless a signal ends it.
    ///
    /// A channel then installs the script and calls it again, once.
    pub fn script_is_missing(&self) -> bool {
        self.stdout.is_empty() && self.status.is_some_and(|code| (1..128).contains(&code))
    }

    /// The last line of standard error, for a message.
    pub fn complaint(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr);
        let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        line.chars().filter(|c| !c.is_control()).collect()
    }
}

/// A way to run verbs of the node script. It installs the script when it is missing, and nothing else.
#[async_trait]
pub trait Channel: Send + Sync {
    /// Runs one verb with the request on standard input, over at most `deadline`.
    ///
    /// Dropping the future, or an error, leaves the script running: every verb can be called again.
    async fn run(
        &self,
        verb: &str,
        request: Vec<u8>,
        deadline: Duration,
    ) -> Result<Answer, TransportError>;

    /// Runs a verb that is a word between others, and does not stand in line behind long ones.
    async fn say(
        &self,
        verb: &str,
        request: Vec<u8>,
        deadline: Duration,
    ) -> Result<Answer, TransportError> {
        self.run(verb, request, deadline).await
    }

    /// Forgets a standing connection, so that the next verb comes over a new one.
    async fn reconnect(&self) -> Result<(), TransportError> {
        Ok(())
    }

    /// A way for the controller's clients to an address as the node sees it.
    async fn dial(&self, target: SocketAddr) -> Result<Dial, TransportError>;

    /// Whether an address accepts a TCP connection as the node sees it; `Failed` with the reason when it doesn't.
    async fn knock(&self, target: SocketAddr, within: Duration) -> Result<(), TransportError> {
        knock::knock(self.dial(target).await?, within).await
    }
}
