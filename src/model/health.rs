//! When a unit counts as healthy.

use std::net::IpAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration;

/// How a unit's health is asked and when it is good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// All of them must pass.
    pub checks: Vec<Check>,
    /// Between two attempts.
    #[serde(with = "duration::serde_text")]
    #[schemars(with = "String")]
    pub interval: Duration,
    /// How long one attempt may take.
    #[serde(with = "duration::serde_text")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// Failed attempts borne after the start period.
    pub retries: u32,
    /// How long failures don't count at first.
    #[serde(with = "duration::serde_text")]
    #[schemars(with = "String")]
    pub start_period: Duration,
    /// How long it must stay good after the first good answer.
    #[serde(with = "duration::serde_text")]
    #[schemars(with = "String")]
    pub stable_for: Duration,
    /// Who asks http and tcp checks.
    pub from: ProbeFrom,
}

impl Health {
    /// The longest that probing may take from the activation to a final answer.
    pub fn budget(&self) -> Duration {
        let attempt = self.interval.saturating_add(self.timeout);
        let tries = attempt.saturating_mul(self.retries.saturating_add(1));
        self.start_period.saturating_add(tries).saturating_add(self.stable_for)
    }
}

/// Who asks http and tcp checks; exec and running checks are always the node's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProbeFrom {
    /// The controller's client through the node's sshd.
    #[default]
    Node,
    /// The controller's client over its own network.
    Controller,
    /// A request through the gateways that route to the instance.
    Gateway,
}

/// One thing that is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Check {
    /// An HTTP GET.
    Http {
        /// `http` or `https` (certificates of probes are not verified: the target is an address).
        scheme: String,
        /// The address to connect to.
        address: IpAddr,
        /// The port on the host.
        port: u16,
        /// The Host header, when it differs from the address.
        host: Option<String>,
        /// Path and query, beginning with `/`.
        path: String,
        /// Status codes that are good; none means 200 to 399.
        status: Vec<StatusRange>,
        /// A text that the first 64 KiB of the body must contain.
        body: Option<String>,
    },
    /// A TCP connection.
    Tcp {
        /// The address to connect to.
        address: IpAddr,
        /// The port on the host.
        port: u16,
    },
    /// A shell command on the node; exit status 0 is good. With a container it runs in there.
    Exec {
        /// What `sh -c` is given.
        command: String,
        /// The compose service in whose container it runs.
        container: Option<String>,
    },
    /// The unit's containers (or its process) run, were not restarted, and are healthy if they can tell.
    Running,
}

/// Status codes from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

/// One attempt of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Since the probe began.
    #[serde(with = "duration::serde_text")]
    pub after: Duration,
    /// Whether all checks passed.
    pub passed: bool,
    /// What was seen, in words, without secrets.
    pub detail: String,
}
