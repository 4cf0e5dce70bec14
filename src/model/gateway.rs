//! What routes requests to instances.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AbsPath, Name, UnitId, duration};

/// What routes requests to instances, on each of its nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gateway {
    /// The file's name.
    pub name: Name,
    /// The program.
    pub proxy: Proxy,
    /// Its nodes.
    pub on: Vec<Name>,
    /// How the program is run.
    pub run: GatewayRun,
    /// Where it listens.
    pub listen: Listen,
    /// Between two health checks of an upstream.
    #[serde(with = "duration::serde_text")]
    pub health_interval: Duration,
    /// How long one health check may take.
    #[serde(with = "duration::serde_text")]
    pub health_timeout: Duration,
    /// Good answers before an upstream counts as healthy again.
    pub health_passes: u32,
    /// Certificates.
    pub tls: Tls,
    /// What is routed, sorted by host.
    pub sites: Vec<Site>,
    /// Networks (CIDR) whose clients may use `access: mesh` routes.
    pub mesh: Vec<String>,
    /// The image for `run: compose`.
    pub image: Option<String>,
    /// Whether files that are there already are taken over.
    pub adopt: bool,
    /// The repository file that defines it.
    pub source: String,
}

/// A proxy program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proxy {
    /// Caddy 2.6 or later.
    Caddy,
}

/// How the proxy is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GatewayRun {
    /// The distribution's systemd service.
    Systemd,
    /// A container on the node's network.
    Compose,
    /// The author's own commands: a foreground start that the node script keeps, or systemd-like ones.
    Command {
        /// Runs in the foreground; `caddy run` on the file when absent.
        start: Option<String>,
        /// Ends it.
        stop: Option<String>,
        /// Loads a changed file; `caddy reload` when absent.
        reload: Option<String>,
        /// Checks the staged file; `caddy validate` when absent.
        validate: Option<String>,
    },
}

/// Where a gateway listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listen {
    /// Plain HTTP.
    pub http: u16,
    /// HTTPS.
    pub https: u16,
    /// Addresses; none means all.
    pub bind: Vec<IpAddr>,
    /// Where Caddy's admin interface listens, `localhost:2019`, or `off`.
    pub admin: Option<String>,
}

/// Where certificates come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Plain HTTP only.
    Off,
    /// ACME over the proxy's own challenges.
    Auto,
    /// The proxy's own authority.
    Internal,
    /// Files on the node.
    Files {
        /// Certificate chain, PEM.
        cert: AbsPath,
        /// Private key, PEM.
        key: AbsPath,
    },
}

/// Everything for one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Site {
    /// The full host name.
    pub host: String,
    /// Longest path first; the empty path last.
    pub routes: Vec<Route>,
}

/// Requests below one path of one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// A prefix with leading `/` and without trailing `/`; empty for all.
    pub path: String,
    /// Whether the prefix is removed before the request goes on.
    pub strip_path: bool,
    /// Who may use it.
    pub access: Access,
    /// The service's name, for people.
    pub service: Name,
    /// The service's environment.
    pub environment: Name,
    /// In the order of preference for `first`.
    pub upstreams: Vec<Upstream>,
    /// How one is chosen.
    pub balance: Balance,
    /// What active checks ask, if the service has an HTTP check.
    pub health_path: Option<String>,
    /// Whether the upstream speaks TLS.
    pub upstream_tls: bool,
    /// How long a request waits for an upstream to appear.
    #[serde(with = "duration::serde_text")]
    pub try_duration: Duration,
    /// Headers set on responses.
    pub headers: Vec<Header>,
    /// Headers set on requests to the upstream.
    pub request_headers: Vec<Header>,
}

/// A header that is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value, as it must come out.
    pub value: String,
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Everyone.
    Public,
    /// Clients from the mesh's networks.
    Mesh,
}

/// One instance behind a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// The instance.
    pub unit: UnitId,
    /// Where it can be reached from other nodes.
    pub address: IpAddr,
    /// The port on its node.
    pub port: u16,
    /// Whether it can be reached only from its own node (over 127.0.0.1).
    pub loopback: bool,
}

/// How an upstream is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// The first healthy one.
    First,
    /// The one with the fewest requests under way.
    LeastConn,
    /// Each in turn.
    RoundRobin,
}

impl Gateway {
    /// The units that this gateway routes to, each once, sorted.
    pub fn routed(&self) -> Vec<&UnitId> {
        let units: BTreeMap<&UnitId, ()> = self
            .sites
            .iter()
            .flat_map(|site| &site.routes)
            .flat_map(|route| &route.upstreams)
            .map(|upstream| (&upstream.unit, ()))
            .collect();
        units.into_keys().collect()
    }

    /// How long after an upstream is healthy until this gateway surely knows.
    pub fn witness(&self) -> Duration {
        self.health_interval.saturating_mul(self.health_passes).saturating_add(self.health_timeout)
    }
}
