//! Requests as visitors make them: every routed host through every gateway.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::model::{Check, Fleet, Gateway, Name, Site, StatusRange, Tls, UnitId};
use crate::transport::Transport;

use super::ask::{Question, Seen};

/// How long a visitor waits.
const VISIT: Duration = Duration::from_secs(10);

/// A request for one host and path through one gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The gateway's node.
    pub node: Name,
    /// Where the gateway listens, as its node sees it.
    pub listens: SocketAddr,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The host.
    pub host: String,
    /// The path.
    pub path: String,
    /// Who may answer.
    pub units: Vec<UnitId>,
}

/// Every route of every gateway on each of its nodes.
pub fn routes(fleet: &Fleet) -> Vec<Target> {
    let gateways = fleet.gateways.values();
    gateways.flat_map(|gateway| gateway.on.iter().flat_map(|node| through(gateway, node))).collect()
}

fn through<'a>(gateway: &'a Gateway, node: &'a Name) -> impl Iterator<Item = Target> + 'a {
    gateway.sites.iter().flat_map(move |site| site_targets(gateway, node, site))
}

fn site_targets<'a>(
    gateway: &'a Gateway,
    node: &'a Name,
    site: &'a Site,
) -> impl Iterator<Item = Target> + 'a {
    let (scheme, port) = match gateway.tls {
        Tls::Off => ("http", gateway.listen.http),
        _ => ("https", gateway.listen.https),
    };
    let address = gateway.listen.bind.first().copied();
    let listens = SocketAddr::new(address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), port);
    site.routes.iter().map(move |route| Target {
        node: node.clone(),
        listens,
        scheme,
        host: site.host.clone(),
        path: format!("{}/", route.path),
        units: route.upstreams.iter().map(|upstream| upstream.unit.clone()).collect(),
    })
}

/// Makes the request; any answer that is not a gateway's own failure (502, 503, 504) is good.
pub async fn visit(transport: &dyn Transport, target: &Target) -> Result<String, String> {
    let range = |first, last| StatusRange { first, last };
    let check = Check::Http {
        scheme: target.scheme.to_owned(),
        address: target.listens.ip(),
        port: target.listens.port(),
        host: Some(target.host.clone()),
        path: target.path.clone(),
        status: vec![range(100, 501), range(505, 599)],
        body: None,
    };
    let question = Question { check, through: Some(transport) };
    match question.ask(VISIT).await {
        Seen::Good(detail) => Ok(detail),
        Seen::Bad(detail) => Err(detail),
        Seen::Unasked(error) => Err(error.to_string()),
    }
}
