//! What gateways route: hosts and paths told apart, instances that can be reached, headers that can be sent.

use std::collections::BTreeMap;

use super::codes;
use super::conflict::node_list;
use super::find::Find;
use crate::check::document::Yaml;
use crate::diagnostic::{Diagnostic, Place};
use crate::model::{Fleet, Gateway, Instance, Name, Route, Site, UnitId};

/// Headers that frame a message or a connection (RFC 9110, section 7.6.1).
const FRAMING: [&str; 6] =
    ["connection", "content-length", "keep-alive", "te", "transfer-encoding", "upgrade"];

/// Instances by their units, and the places of their routes.
struct Routes<'f> {
    fleet: &'f Fleet,
    instances: BTreeMap<&'f UnitId, &'f Instance>,
}

impl<'f> Routes<'f> {
    fn new(fleet: &'f Fleet) -> Self {
        let instances = fleet.instances.iter().map(|instance| (&instance.id, instance)).collect();
        Self { fleet, instances }
    }

    fn all(&self) -> impl Iterator<Item = (&'f Gateway, &'f Site, &'f Route)> {
        let sites = self
            .fleet
            .gateways
            .values()
            .flat_map(|gateway| gateway.sites.iter().map(move |site| (gateway, site)));
        sites
            .flat_map(|(gateway, site)| site.routes.iter().map(move |route| (gateway, site, route)))
    }

    /// Where the service that a route leads to exposes it; the gateway when that can't be told.
    fn place<'a>(
        &self,
        find: &Find<'a>,
        gateway: &Gateway,
        site: &Site,
        route: &Route,
    ) -> (Place, Option<&'a Yaml>) {
        let first = route.upstreams.first().and_then(|upstream| self.instances.get(&upstream.unit));
        match first {
            Some(instance) => {
                let domain = self.fleet.domain.as_deref();
                find.exposed(instance, domain, &site.host, &route.path)
            }
            None => (find.gateway(gateway, ""), None),
        }
    }
}

fn title(route: &Route) -> String {
    format!("{}@{}", route.service, route.environment)
}

/// Two routes of a gateway have one host and path.
pub(super) fn same_route(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let routes = Routes::new(fleet);
    let mut seen: BTreeMap<(&Name, &str, &str), &Route> = BTreeMap::new();
    let mut found = Vec::new();
    for (gateway, site, route) in routes.all() {
        let key = (&gateway.name, site.host.as_str(), route.path.as_str());
        let Some(first) = seen.get(&key) else {
            seen.insert(key, route);
            continue;
        };
        let (at, _) = routes.place(find, gateway, site, route);
        let (other, _) = routes.place(find, gateway, site, first);
        let address = format!("{}{}", site.host, route.path);
        let message = format!("`{address}` leads to two services");
        let diagnostic = Diagnostic::error(codes::SAME_ROUTE, message, at)
            .says(format!("to `{}` here", title(route)))
            .also(other, format!("to `{}` here", title(first)))
            .hint("give one of them another `host` or `path`, or another `gateway`");
        found.push(diagnostic);
    }
    found
}

/// A gateway routes to an instance that it can't reach from one of its nodes.
pub(super) fn route_to_loopback(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let routes = Routes::new(fleet);
    let mut found = Vec::new();
    for (gateway, site, route) in routes.all() {
        for upstream in route.upstreams.iter().filter(|upstream| upstream.loopback) {
            let far = gateway.on.iter().filter(|node| **node != upstream.unit.node);
            let far: std::collections::BTreeSet<Name> = far.cloned().collect();
            if far.is_empty() {
                continue;
            }
            let (place, _) = routes.place(find, gateway, site, route);
            let message = format!(
                "the gateway `{}` can't reach `{}` from {}",
                gateway.name,
                upstream.unit,
                node_list(&far)
            );
            let mut diagnostic = Diagnostic::error(codes::ROUTE_TO_LOOPBACK, message, place)
                .hint("write `publish: mesh`, or keep the gateway on the service's own node");
            if let Some(instance) = routes.instances.get(&upstream.unit) {
                let (publish, value) = find.service(instance, "/publish");
                if value.is_some() {
                    diagnostic = diagnostic.also(publish, "it listens on its own node alone");
                }
            }
            found.push(diagnostic);
        }
    }
    found
}

/// A header that the proxy sets itself, because it frames the message.
pub(super) fn framing_header(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let routes = Routes::new(fleet);
    let mut found = Vec::new();
    for (gateway, site, route) in routes.all() {
        let both = [("headers", &route.headers), ("request_headers", &route.request_headers)];
        for (key, headers) in both {
            for header in headers {
                if !FRAMING.contains(&header.name.to_ascii_lowercase().as_str()) {
                    continue;
                }
                let (around, item) = routes.place(find, gateway, site, route);
                let pair = item.and_then(|item| item.get(key)?.pair(&header.name));
                let at = pair.map_or(around.clone(), |pair| pair.key_span.place(&around.file));
                let message = format!("the header `{}` is the proxy's own", header.name);
                let diagnostic = Diagnostic::error(codes::FRAMING_HEADER, message, at);
                found.push(diagnostic.says("it frames the message, so no route can set it"));
            }
        }
    }
    found
}

/// A gateway routes to a single instance.
pub(super) fn one_upstream(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let routes = Routes::new(fleet);
    let mut found = Vec::new();
    for (gateway, site, route) in routes.all() {
        let [upstream] = route.upstreams.as_slice() else { continue };
        let (place, _) = routes.place(find, gateway, site, route);
        let message = format!("`{}{}` has a single instance behind it", site.host, route.path);
        let said = format!("answered by `{}` alone", upstream.unit);
        let diagnostic = Diagnostic::warning(codes::ONE_UPSTREAM, message, place).says(said);
        found.push(diagnostic.hint("requests fail for a moment whenever it is changed"));
    }
    found
}
