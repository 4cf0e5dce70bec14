//! `expose` into routes: hosts completed, ports found on every instance.

use std::collections::BTreeMap;
use std::time::Duration;

use super::context::Cx;
use super::layers::Origin;
use super::ports::{Reachable, host_network};
use super::services::{Seed, port_names};
use crate::check::document::kinds::{AccessDoc, BalanceDoc, ExposeDoc, Scheme};
use crate::check::document::text::HeaderValue;
use crate::check::document::{DocKind, codes};
use crate::model::{Access, Balance, Check, Header, Instance, Name, Role, Route, Site, Upstream};

/// A route that belongs to some gateway.
pub struct Routed {
    /// The full host name.
    pub host: String,
    /// Only this gateway, else every one.
    pub gateway: Option<Name>,
    /// The route.
    pub route: Route,
}

/// A request waits at least this long for an upstream, and this much longer than an instance takes to start.
const PATIENCE: Duration = Duration::from_secs(5);

impl Cx<'_> {
    /// The routes of all services.
    pub fn routes(&mut self, seeds: &[Seed], instances: &[Instance]) -> Vec<Routed> {
        let mut by_service: BTreeMap<(&Name, &Name), Vec<&Instance>> = BTreeMap::new();
        for instance in instances {
            let key = (&instance.service, &instance.environment);
            by_service.entry(key).or_default().push(instance);
        }
        let mut routes = Vec::new();
        for seed in seeds {
            let members = by_service.remove(&(&seed.service, &seed.environment));
            let mut members = members.unwrap_or_default();
            members.sort_by_key(|instance| (rank(instance.role), instance.id.clone()));
            for (at, expose) in seed.doc.expose.iter().flatten().enumerate() {
                routes.extend(self.route(seed, expose, &format!("/expose/{at}"), &members));
            }
        }
        routes
    }

    fn route(
        &mut self,
        seed: &Seed,
        expose: &ExposeDoc,
        pointer: &str,
        members: &[&Instance],
    ) -> Option<Routed> {
        let origin = &seed.layered.origin;
        let host = self.host(&expose.host.0, origin, &format!("{pointer}/host"));
        let gateway = self.named_gateway(expose, origin, pointer);
        let found: Vec<(Upstream, &Instance)> = members
            .iter()
            .filter_map(|instance| {
                Some((self.upstream(seed, expose, pointer, instance)?, *instance))
            })
            .collect();
        let start = members.iter().map(|instance| instance.health.start_period).max();
        let route = Route {
            path: expose.path.as_ref().map(|path| path.0.clone()).unwrap_or_default(),
            strip_path: expose.strip_path.unwrap_or(false),
            access: match expose.access {
                Some(AccessDoc::Mesh) => Access::Mesh,
                _ => Access::Public,
            },
            service: seed.service.clone(),
            environment: seed.environment.clone(),
            balance: balance(expose.balance, members),
            health_path: found.first().and_then(|(upstream, it)| asked_path(upstream, it)),
            upstreams: found.into_iter().map(|(upstream, _)| upstream).collect(),
            upstream_tls: expose.scheme == Some(Scheme::Https),
            try_duration: start.unwrap_or_default().saturating_add(PATIENCE),
            headers: headers(expose.headers.as_ref()),
            request_headers: headers(expose.request_headers.as_ref()),
        };
        Some(Routed { host: host?, gateway: gateway?, route })
    }

    /// The full host name of what was written.
    fn host(&mut self, written: &str, origin: &Origin, pointer: &str) -> Option<String> {
        if written != "@" && written.contains('.') {
            return self.short_enough(written.to_owned(), origin, pointer);
        }
        let Some(domain) = self.fleet.domain.clone() else {
            let message = format!("`{written}` needs a domain, and fleet.yaml names none");
            let hint = "write a full host name with a dot, or `domain:` in fleet.yaml".to_owned();
            self.error_hint(codes::NO_DOMAIN, message, self.at(origin, pointer), Some(hint));
            return None;
        };
        let host = if written == "@" { domain } else { format!("{written}.{domain}") };
        self.short_enough(host, origin, pointer)
    }

    fn short_enough(&mut self, host: String, origin: &Origin, pointer: &str) -> Option<String> {
        if host.len() <= 253 {
            return Some(host);
        }
        let message = "the host name is longer than 253 characters";
        self.error(codes::BAD_HOST, message, self.at(origin, pointer));
        None
    }

    /// The gateway that a route names, if any; none, and told, when it doesn't exist.
    fn named_gateway(
        &mut self,
        expose: &ExposeDoc,
        origin: &Origin,
        pointer: &str,
    ) -> Option<Option<Name>> {
        let Some(label) = &expose.gateway else {
            if !self.loaded.documents.keys().any(|(kind, _)| *kind == DocKind::Gateway) {
                let message = "nothing routes to this: there is no gateway";
                let place = self.at(origin, pointer);
                let hint = Some("write one in `gateways/`, as in `gateways/edge.yaml`".to_owned());
                self.error_hint(codes::UNKNOWN_GATEWAY, message, place, hint);
            }
            return Some(None);
        };
        if self.exists(DocKind::Gateway, &label.0) {
            return Some(Some(label.0.clone()));
        }
        let place = self.at(origin, &format!("{pointer}/gateway"));
        let hint = self.suggest(DocKind::Gateway, label.0.as_str());
        let message = format!("there is no gateway `{}`", label.0);
        self.error_hint(codes::UNKNOWN_GATEWAY, message, place, hint);
        None
    }

    fn upstream(
        &mut self,
        seed: &Seed,
        expose: &ExposeDoc,
        pointer: &str,
        instance: &Instance,
    ) -> Option<Upstream> {
        let node = self.nodes.get(&instance.id.node)?.clone();
        let origin = &seed.layered.origin;
        let reachable = Reachable {
            service: &seed.service,
            node: &node,
            form: &instance.form,
            ports: &instance.ports,
            names: port_names(&seed.doc),
            host_network: host_network(&seed.doc),
        };
        let port =
            if expose.port.is_some() { format!("{pointer}/port") } else { pointer.to_owned() };
        let service = if expose.service.is_some() {
            format!("{pointer}/service")
        } else {
            pointer.to_owned()
        };
        let asked = (expose.port.as_ref(), expose.service.as_ref());
        let target = self.find_port(&reachable, asked.0, asked.1, origin, (&port, &service))?;
        Some(Upstream {
            unit: instance.id.clone(),
            address: target.address,
            port: target.port,
            loopback: target.loopback,
        })
    }
}

fn headers(written: Option<&BTreeMap<String, HeaderValue>>) -> Vec<Header> {
    let pairs = written.into_iter().flatten();
    pairs.map(|(name, value)| Header { name: name.clone(), value: value.0.clone() }).collect()
}

/// Primary first, then fallbacks in order, equals by name.
fn rank(role: Role) -> u32 {
    match role {
        Role::Primary | Role::Member => 0,
        Role::Fallback(number) => number,
    }
}

fn balance(written: Option<BalanceDoc>, members: &[&Instance]) -> Balance {
    let equals = members.iter().filter(|instance| instance.role == Role::Member).count();
    match written {
        Some(BalanceDoc::First) => Balance::First,
        Some(BalanceDoc::LeastConn) => Balance::LeastConn,
        Some(BalanceDoc::RoundRobin) => Balance::RoundRobin,
        None if equals > 1 => Balance::LeastConn,
        None => Balance::First,
    }
}

/// What active checks ask: the path of the instance's own check, when that asks the same port.
fn asked_path(upstream: &Upstream, instance: &Instance) -> Option<String> {
    instance.health.checks.iter().find_map(|check| match check {
        Check::Http { port, path, .. } if *port == upstream.port => Some(path.clone()),
        _ => None,
    })
}

/// Routes by host, the longest path first.
pub fn sites(routes: impl Iterator<Item = (String, Route)>) -> Vec<Site> {
    let mut hosts: BTreeMap<String, Vec<Route>> = BTreeMap::new();
    for (host, route) in routes {
        hosts.entry(host).or_default().push(route);
    }
    let sorted = hosts.into_iter().map(|(host, mut routes)| {
        routes.sort_by(|a, b| b.path.len().cmp(&a.path.len()).then_with(|| a.path.cmp(&b.path)));
        Site { host, routes }
    });
    sorted.collect()
}
