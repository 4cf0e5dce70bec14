//! Verbs on a node: what the engine can ask of it, and the ways to get there.

mod channel;
mod connect;
pub mod fake;
mod knock;
mod local;
mod report;
mod request;
mod response;
pub mod script;
mod scripted;
pub mod ssh;

pub use channel::{Answer, Channel};
pub use connect::connect;
pub(crate) use knock::knock;
pub use local::LocalChannel;
pub use scripted::Scripted;
pub use ssh::{ControlDirectory, SshChannel, SshOptions};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::model::{
    Attempt, Digest, Failure, FailureKind, Good, Health, Name, NodeReport, Replaced, Timestamp,
    Unit, UnitId, Verdict,
};

/// Why a verb did not come to a good end.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TransportError {
    /// The node could not be reached, or the answer broke off or came too late.
    #[error("{0}")]
    Unreachable(String),
    /// The host key is unknown or another one; holds what to do.
    #[error("{0}")]
    HostKey(String),
    /// The node answered that it failed or refused.
    #[error("{}", .0.message)]
    Failed(Box<Failure>),
}

impl TransportError {
    /// The failure as outcomes carry it.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Failed(failure) => *failure,
            Self::Unreachable(message) => plain_failure(FailureKind::Transport, message),
            Self::HostKey(message) => plain_failure(FailureKind::Refused, message),
        }
    }
}

fn plain_failure(kind: FailureKind, message: String) -> Failure {
    Failure { kind, unit: None, message, log: Vec::new(), attempts: Vec::new() }
}

/// The right to change a fleet's units on a node: a number that only grows, and this rollout's nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The fleet.
    pub fleet: Name,
    /// Higher than any seen.
    pub number: u64,
    /// Random, one per rollout.
    pub nonce: String,
}

/// Take the fence, bring what is missing, prove the way back, validate.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepare {
    /// The fence to take.
    pub fence: Fence,
    /// Who takes it, in words.
    pub holder: String,
    /// The rollout's id.
    pub rollout: String,
    /// When the rollout began.
    pub since: Timestamp,
    /// The silence that the node bears; none switches the lease off.
    pub dead_man: Option<Duration>,
    /// Whether a holder that is still there is pushed aside (only after its rollout is known to be over).
    pub takeover: bool,
    /// Units that change on this node.
    pub units: Vec<PrepareUnit>,
    /// Blobs that the node is known to have.
    pub present: BTreeSet<String>,
    /// Contents with secrets that were opened for it, by their blobs' names.
    pub opened: Opened,
}

/// Contents with secrets, opened; gone from memory with the last who holds them, and never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Opened(Arc<BTreeMap<String, Zeroizing<Vec<u8>>>>);

impl Opened {
    /// Contents by their blobs' names.
    pub fn new(contents: BTreeMap<String, Zeroizing<Vec<u8>>>) -> Self {
        Self(Arc::new(contents))
    }

    /// The content of a blob.
    pub fn get(&self, blob: &str) -> Option<&Vec<u8>> {
        self.0.get(blob).map(|content| &**content)
    }

    /// The names of all.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A unit that will change on a node.
#[derive(Clone, Debug, PartialEq)]
pub struct PrepareUnit {
    /// Which.
    pub id: UnitId,
    /// What it becomes; none for a removal.
    pub to: Option<Unit>,
    /// What it runs now.
    pub from: Option<Digest>,
    /// Whether foreign files in its place are taken over.
    pub adopt: bool,
}

/// Switch, activate, or put back a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeUnit {
    /// The fence held.
    pub fence: Fence,
    /// Which.
    pub id: UnitId,
    /// What it becomes; for a put-back what the rollout wanted.
    pub to: Option<Digest>,
    /// What it was before the rollout.
    pub from: Option<Digest>,
    /// Units stopped first (started again by a put-back).
    pub replaces: Vec<Replaced>,
    /// How long the node may take.
    pub deadline: Duration,
}

/// The node's share of a unit's probe: exec and running checks.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeProbe {
    /// The fleet.
    pub fleet: Name,
    /// Which.
    pub id: UnitId,
    /// Budget and checks (http and tcp ones are not the node's).
    pub health: Health,
}

/// The decision, told to a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Confirm {
    /// The fence held; given back by this.
    pub fence: Fence,
    /// What is good now, with this node's units.
    pub good: Good,
    /// Whether it becomes last good (a dirty release doesn't).
    pub keep: bool,
    /// Stopped units whose files and containers are removed now.
    pub remove: Vec<UnitId>,
    /// A release that an operator rolled back from: quarantined, with the reason in words.
    pub quarantine: Option<(Digest, String)>,
}

/// The end of a rollout that did not converge, told to a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Abandon {
    /// The fence held; given back by this.
    pub fence: Fence,
    /// How it ended.
    pub verdict: Verdict,
    /// The release that was wanted.
    pub release: Digest,
    /// The commit that brought it.
    pub commit: Option<String>,
    /// When.
    pub at: Timestamp,
    /// Why the release is quarantined, if it is.
    pub quarantine: Option<String>,
}

/// The end of a hold, by an operator who says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlock {
    /// The fleet.
    pub fleet: Name,
    /// Whose hold: the rollout's nonce.
    pub nonce: String,
    /// Who ends it, in words.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// Where a client on the controller connects to reach an address as the node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dial {
    /// Straight to the address.
    Direct(SocketAddr),
    /// Through this socket, which the node's sshd forwards.
    Unix(PathBuf),
}

/// Verbs on one node. All are idempotent; each has its own deadline and never waits for ever.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Everything the node knows about the fleet, in one round trip.
    async fn observe(&self, fleet: &Name) -> Result<NodeReport, TransportError>;
    /// Take the fence and get everything ready; nothing that runs is touched.
    async fn prepare(&self, request: &Prepare) -> Result<(), TransportError>;
    /// Switch a unit's files and activate it.
    async fn change(&self, request: &ChangeUnit) -> Result<(), TransportError>;
    /// Stop a unit that is no longer wanted.
    async fn stop(&self, request: &ChangeUnit) -> Result<(), TransportError>;
    /// Put a unit back to what it was before the rollout, whatever state it is in.
    async fn put_back(&self, request: &ChangeUnit) -> Result<(), TransportError>;
    /// Start a unit that does not run, in the version that it has; refused while a rollout is open on the node.
    async fn bring_up(
        &self,
        fleet: &Name,
        id: &UnitId,
        digest: &Digest,
    ) -> Result<(), TransportError>;
    /// The node's share of a probe, over its whole budget; a failed probe is `Failed` with attempts.
    async fn probe(&self, request: &NodeProbe) -> Result<Vec<Attempt>, TransportError>;
    /// Renew the lease: done while this rollout's changes stand on the node, `Restored` once it took them back. With
    /// `anew` over a new connection, which an old one that is still open can't stand for.
    async fn hold(&self, fence: &Fence, anew: bool) -> Result<(), TransportError>;
    /// Tell the decision, over a new connection.
    async fn confirm(&self, request: &Confirm) -> Result<(), TransportError>;
    /// Tell that the rollout is over and did not converge.
    async fn abandon(&self, request: &Abandon) -> Result<(), TransportError>;
    /// End a hold, and have the node take back what the rollout changed; nothing when nobody holds it.
    async fn unlock(&self, request: &Unlock) -> Result<(), TransportError>;
    /// Lift the quarantine of a release, or of all.
    async fn unquarantine(
        &self,
        fleet: &Name,
        release: Option<&Digest>,
    ) -> Result<(), TransportError>;
    /// Contents of blobs (never sensitive ones).
    async fn read(
        &self,
        fleet: &Name,
        blobs: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Vec<u8>>, TransportError>;
    /// The present contents of a unit's managed files (for drift); missing and sensitive ones are left out.
    async fn read_files(
        &self,
        fleet: &Name,
        id: &UnitId,
    ) -> Result<BTreeMap<String, Vec<u8>>, TransportError>;
    /// The last lines that a unit's program logged.
    async fn logs(
        &self,
        fleet: &Name,
        id: &UnitId,
        lines: u32,
    ) -> Result<Vec<String>, TransportError>;
    /// A way for the controller's clients to an address as the node sees it.
    async fn dial(&self, target: SocketAddr) -> Result<Dial, TransportError>;
    /// Whether an address accepts a TCP connection as the node sees it; `Failed` with the reason when it doesn't.
    async fn knock(&self, target: SocketAddr, within: Duration) -> Result<(), TransportError> {
        knock::knock(self.dial(target).await?, within).await
    }
}
