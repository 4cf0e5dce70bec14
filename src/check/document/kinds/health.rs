//! `health:` of services and bundles, and the fleet's defaults for it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::text::{HostText, Line, Shell, StatusText, Time, UrlPath};
use super::OneOrMany;

/// Defaults of all health checks.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthDefaults {
    /// Between two attempts. `2s`.
    pub interval: Option<Time>,
    /// How long one attempt may take. `5s`.
    pub timeout: Option<Time>,
    /// Failed attempts borne after the start period. 15.
    #[schemars(range(min = 0, max = 10_000))]
    pub retries: Option<u32>,
    /// How long failures don't count at first. `0s`.
    pub start_period: Option<Time>,
    /// How long it must stay good after the first good answer. `10s`.
    pub stable_for: Option<Time>,
    /// Who asks http and tcp checks. `node`.
    pub from: Option<FromDoc>,
}

/// When a unit counts as healthy; all checks that are written must pass.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"http": "/", "port": "web"}, {"exec": "pg_isready"}]))]
pub struct HealthDoc {
    /// An HTTP GET: a path, or more about it.
    pub http: Option<HttpDoc>,
    /// A TCP connection to a port.
    pub tcp: Option<PortRef>,
    /// A shell command; exit status 0 is good.
    pub exec: Option<ExecDoc>,
    /// Only the container's own health check; it is always asked besides the others.
    pub container: Option<bool>,
    /// The port that `http` asks, by name or number; the only one when absent.
    pub port: Option<PortRef>,
    /// The service of the compose file that `port` and `exec` are about.
    pub service: Option<Line>,
    /// Between two attempts.
    pub interval: Option<Time>,
    /// How long one attempt may take.
    pub timeout: Option<Time>,
    /// Failed attempts borne after the start period.
    #[schemars(range(min = 0, max = 10_000))]
    pub retries: Option<u32>,
    /// How long failures don't count at first.
    pub start_period: Option<Time>,
    /// How long it must stay good after the first good answer.
    pub stable_for: Option<Time>,
    /// Who asks http and tcp checks.
    pub from: Option<FromDoc>,
}

/// Who asks http and tcp checks.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FromDoc {
    /// The node itself.
    Node,
    /// The controller over its own network.
    Controller,
    /// A request through the gateways that route to the instance.
    Gateway,
}

/// A port by its name or its number.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PortRef {
    /// By number, as the container (or the process) knows it.
    Number(#[schemars(range(min = 1, max = 65535))] u16),
    /// By name.
    Name(Line),
}

/// An HTTP GET.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum HttpDoc {
    /// A path.
    Path(UrlPath),
    /// A path and more.
    Full(HttpFull),
}

/// An HTTP GET in full.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpFull {
    /// Path and query.
    pub path: UrlPath,
    /// `http` or `https`; certificates are not verified. `http`.
    pub scheme: Option<Scheme>,
    /// The Host header; the address when absent.
    pub host: Option<HostText>,
    /// Status codes that are good; 200 to 399 when absent.
    pub status: Option<OneOrMany<StatusText>>,
    /// A text that the first 64 KiB of the body must contain.
    #[schemars(length(min = 1))]
    pub body: Option<String>,
}

/// What an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

/// A shell command; exit status 0 is good.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ExecDoc {
    /// Where it runs follows from the form: in the container of `image`, else on the node.
    Command(Shell),
    /// A command and where it runs.
    Full(ExecFull),
}

/// A shell command and where it runs.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecFull {
    /// What `sh -c` is given.
    pub command: Shell,
    /// Where it runs.
    pub on: ExecOn,
}

/// Where a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExecOn {
    /// In the container.
    Container,
    /// On the node.
    Node,
}
