//! `gateways/*.yaml`: what routes requests to instances.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::text::{AdminText, ImageText, PathText, Shell, Time};
use super::{All, Selector};

/// What routes requests to instances, on each of its nodes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"proxy": "caddy", "on": ["vps1", "vps2"], "tls": "auto"}]))]
pub struct GatewayDoc {
    /// The program.
    pub proxy: ProxyDoc,
    /// Its nodes.
    pub on: Selector,
    /// How the program is run. `systemd`.
    pub run: Option<GatewayRunDoc>,
    /// With `run: command`: runs in the foreground and is kept by the node.
    pub start: Option<Shell>,
    /// With `run: command`: ends it.
    pub stop: Option<Shell>,
    /// With `run: command`: loads a changed file.
    pub reload: Option<Shell>,
    /// With `run: command`: checks the staged file.
    pub validate: Option<Shell>,
    /// With `run: compose`: the image.
    pub image: Option<ImageText>,
    /// Where it listens.
    pub listen: Option<ListenDoc>,
    /// Between two health checks of an upstream. `10s`.
    pub health_interval: Option<Time>,
    /// How long one health check may take. `5s`.
    pub health_timeout: Option<Time>,
    /// Good answers before an upstream counts as healthy again. 1.
    #[schemars(range(min = 1, max = 100))]
    pub health_passes: Option<u32>,
    /// Whether a configuration that is there already, as the distribution's own, is taken over. `false`.
    pub adopt: Option<bool>,
    /// Where certificates come from: `off`, `auto` (ACME), `internal`, or files on the node. `off`.
    pub tls: Option<TlsDoc>,
}

/// A proxy program.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProxyDoc {
    /// Caddy 2.6 or later.
    Caddy,
}

/// How the proxy is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GatewayRunDoc {
    /// The distribution's systemd service.
    Systemd,
    /// A container on the node's network.
    Compose,
    /// The commands that this file gives.
    Command,
}

/// Where a gateway listens.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenDoc {
    /// Plain HTTP. 80.
    #[schemars(range(min = 1, max = 65535))]
    pub http: Option<u16>,
    /// HTTPS. 443.
    #[schemars(range(min = 1, max = 65535))]
    pub https: Option<u16>,
    /// Addresses, or `all`. `all`.
    pub bind: Option<BindDoc>,
    /// Where the proxy's admin interface listens, or `off`. `localhost:2019`.
    pub admin: Option<AdminText>,
}

/// Addresses, or `all`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum BindDoc {
    /// Every address.
    All(All),
    /// These addresses.
    Addresses(#[schemars(length(min = 1))] Vec<IpAddr>),
}

/// Where certificates come from.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TlsDoc {
    /// One word for it.
    Word(TlsWord),
    /// Files on the node.
    Files(TlsFiles),
}

/// Where certificates come from, in one word.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TlsWord {
    /// Plain HTTP only.
    Off,
    /// ACME over the proxy's own challenges.
    Auto,
    /// The proxy's own authority.
    Internal,
}

/// Certificate files on the node.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// Certificate chain, PEM.
    pub cert: PathText,
    /// Private key, PEM.
    pub key: PathText,
}
