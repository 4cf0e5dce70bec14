//! Ports on a machine: who listens where, and what can't be bound twice.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::codes;
use super::conflict::{Conflict, Machine, Taken, Telling, machine, tell};
use super::find::{Find, Origin};
use crate::check::document::escape;
use crate::diagnostic::Diagnostic;
use crate::model::{
    BindAddress, Brought, Fleet, Form, Gateway, Instance, Name, Network, PortMapping, Protocol,
    Tls, UnitId, UnitKind,
};

/// Where a program listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Bind {
    /// Every address of both families.
    Any,
    /// Every v4 address (`0.0.0.0` of a container: Docker binds each family by itself).
    AnyV4,
    /// Every v6 address.
    AnyV6,
    /// One address.
    One(IpAddr),
}

/// A port that a unit listens on.
struct Claim<'f> {
    machine: Machine<'f>,
    port: u16,
    protocol: Protocol,
    bind: Bind,
    taken: Taken<'f>,
    /// The container or the name of the port: one unit may repeat what it says of the same one.
    part: String,
}

/// Two units of a machine listen on one port.
pub(super) fn port_taken(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let mut claims = Vec::new();
    for instance in &fleet.instances {
        instance_claims(fleet, instance, &mut claims);
    }
    for gateway in fleet.gateways.values() {
        gateway_claims(fleet, gateway, &mut claims);
    }
    claims.sort_by_key(|claim| (claim.machine, claim.port, claim.protocol));
    let same = |a: &Claim<'_>, b: &Claim<'_>| {
        (a.machine, a.port, a.protocol) == (b.machine, b.port, b.protocol)
    };
    let conflicts = claims.chunk_by(same).flat_map(clashes).collect();
    let hint = "give one of them another port, or bind them to different addresses";
    tell(conflicts, &Telling { code: codes::PORT_TAKEN, hint }, find)
}

fn instance_claims<'f>(fleet: &'f Fleet, instance: &'f Instance, claims: &mut Vec<Claim<'f>>) {
    let machine = machine(fleet, &instance.id.node);
    let mut add = |mapping: &PortMapping, bind: Bind, origin: &Origin<'f>, part: &str| {
        for protocol in &mapping.protocols {
            claims.push(Claim {
                machine,
                port: mapping.host,
                protocol: *protocol,
                bind,
                taken: Taken { unit: instance.id.clone(), origin: origin.clone() },
                part: part.to_owned(),
            });
        }
    };
    for (name, mapping) in &instance.ports {
        if let Form::Compose(brought) = &instance.form
            && publishes(brought, mapping.host)
        {
            continue;
        }
        let origin = Origin::Service(instance, format!("/ports/{}", escape(name)));
        let bind = if on_host_network(instance) { Bind::Any } else { container_bind(mapping.bind) };
        add(mapping, bind, &origin, name);
    }
    let Form::Compose(brought) = &instance.form else { return };
    for (name, service) in brought.services.iter().filter(|(_, service)| !service.profiled) {
        for mapping in &service.ports {
            let origin = Origin::ComposePort(instance, name, mapping.host);
            add(mapping, container_bind(mapping.bind), &origin, name);
        }
    }
}

fn publishes(brought: &Brought, port: u16) -> bool {
    brought.services.values().flat_map(|service| &service.ports).any(|own| own.host == port)
}

fn on_host_network(instance: &Instance) -> bool {
    matches!(&instance.form, Form::Image(container) if container.network == Network::Host)
}

fn container_bind(bind: BindAddress) -> Bind {
    match bind {
        BindAddress::Any => Bind::Any,
        BindAddress::One(IpAddr::V4(address)) if address.is_unspecified() => Bind::AnyV4,
        BindAddress::One(IpAddr::V6(address)) if address.is_unspecified() => Bind::AnyV6,
        BindAddress::One(address) => Bind::One(address.to_canonical()),
    }
}

fn gateway_claims<'f>(fleet: &'f Fleet, gateway: &'f Gateway, claims: &mut Vec<Claim<'f>>) {
    let listen = &gateway.listen;
    let mut ports = vec![("/listen/http", listen.http, Protocol::Tcp, gateway_binds(gateway))];
    if gateway.tls != Tls::Off {
        ports.push(("/listen/https", listen.https, Protocol::Tcp, gateway_binds(gateway)));
        ports.push(("/listen/https", listen.https, Protocol::Udp, gateway_binds(gateway)));
    }
    if let Some((bind, port)) = admin(gateway) {
        ports.push(("/listen/admin", port, Protocol::Tcp, vec![bind]));
    }
    for node in &gateway.on {
        for (pointer, port, protocol, binds) in &ports {
            claims.extend(binds.iter().map(|bind| Claim {
                machine: machine(fleet, node),
                port: *port,
                protocol: *protocol,
                bind: *bind,
                taken: gateway_taken(gateway, node, pointer),
                part: (*pointer).to_owned(),
            }));
        }
    }
}

fn gateway_taken<'f>(gateway: &'f Gateway, node: &Name, pointer: &'static str) -> Taken<'f> {
    let unit = UnitId::new(node, UnitKind::Gateway, &gateway.name);
    Taken { unit, origin: Origin::Gateway(gateway, pointer) }
}

/// Go programs bind both families when they are told `0.0.0.0` or `::`.
fn gateway_binds(gateway: &Gateway) -> Vec<Bind> {
    let bind = |address: &IpAddr| {
        if address.is_unspecified() { Bind::Any } else { Bind::One(address.to_canonical()) }
    };
    if gateway.listen.bind.is_empty() {
        return vec![Bind::Any];
    }
    gateway.listen.bind.iter().map(bind).collect()
}

fn admin(gateway: &Gateway) -> Option<(Bind, u16)> {
    let text = gateway.listen.admin.as_deref().unwrap_or("localhost:2019");
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']);
    let address = if host == "localhost" { "127.0.0.1" } else { host };
    let address: IpAddr = address.parse().ok()?;
    let bind = if address.is_unspecified() { Bind::Any } else { Bind::One(address) };
    Some((bind, port.parse().ok()?))
}

/// The earliest claims on one port so far, by how they bind.
#[derive(Default)]
struct Bound<'c, 'f> {
    any: Option<&'c Claim<'f>>,
    v4: Family<'c, 'f>,
    v6: Family<'c, 'f>,
}

#[derive(Default)]
struct Family<'c, 'f> {
    wildcard: Option<&'c Claim<'f>>,
    first: Option<&'c Claim<'f>>,
    one: BTreeMap<IpAddr, &'c Claim<'f>>,
}

impl<'c, 'f> Bound<'c, 'f> {
    /// A claim that can't be had beside `bind`: a wildcard clashes with each address that it covers.
    fn against(&self, bind: Bind) -> Option<&'c Claim<'f>> {
        let other = match bind {
            Bind::Any => self.v4.first.or(self.v6.first),
            Bind::AnyV4 => self.v4.first,
            Bind::AnyV6 => self.v6.first,
            Bind::One(address) => {
                let family = if address.is_ipv4() { &self.v4 } else { &self.v6 };
                family.wildcard.or_else(|| family.one.get(&address).copied())
            }
        };
        self.any.or(other)
    }

    fn add(&mut self, claim: &'c Claim<'f>) {
        match claim.bind {
            Bind::Any => {
                self.any.get_or_insert(claim);
            }
            Bind::AnyV4 => self.v4.add(claim, None),
            Bind::AnyV6 => self.v6.add(claim, None),
            Bind::One(address) if address.is_ipv4() => self.v4.add(claim, Some(address)),
            Bind::One(address) => self.v6.add(claim, Some(address)),
        }
    }
}

impl<'c, 'f> Family<'c, 'f> {
    fn add(&mut self, claim: &'c Claim<'f>, address: Option<IpAddr>) {
        self.first.get_or_insert(claim);
        match address {
            Some(address) => {
                self.one.entry(address).or_insert(claim);
            }
            None => {
                self.wildcard.get_or_insert(claim);
            }
        }
    }
}

fn clashes<'f>(claims: &[Claim<'f>]) -> Vec<Conflict<'f>> {
    let mut bound = Bound::default();
    let mut conflicts = Vec::new();
    for claim in claims {
        match bound.against(claim.bind) {
            Some(first) if (&first.taken.unit, &first.part) != (&claim.taken.unit, &claim.part) => {
                conflicts.push(Conflict {
                    first: first.taken.clone(),
                    second: claim.taken.clone(),
                    what: what(claim),
                });
            }
            Some(_) => {}
            None => bound.add(claim),
        }
    }
    conflicts
}

fn what(claim: &Claim<'_>) -> String {
    let protocol = match claim.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    format!("the port {}/{protocol}", claim.port)
}

/// A port is published on every address.
pub(super) fn port_on_all(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for instance in &fleet.instances {
        let open = |mapping: &&PortMapping| {
            matches!(container_bind(mapping.bind), Bind::Any | Bind::AnyV4 | Bind::AnyV6)
        };
        let containers = match &instance.form {
            Form::Compose(brought) => brought.services.iter().collect(),
            _ => Vec::new(),
        };
        for (name, service) in containers.into_iter().filter(|(_, service)| !service.profiled) {
            if let Some(mapping) = service.ports.iter().find(open) {
                let origin = Origin::ComposePort(instance, name, mapping.host);
                found.push(on_all(mapping, find, &origin));
            }
        }
        for (name, mapping) in instance.ports.iter().filter(|(_, mapping)| open(mapping)) {
            let brought =
                matches!(&instance.form, Form::Compose(it) if publishes(it, mapping.host));
            if !brought && !on_host_network(instance) {
                let pointer = format!("/ports/{}", escape(name));
                found.push(on_all(mapping, find, &Origin::Service(instance, pointer)));
            }
        }
    }
    found
}

fn on_all(mapping: &PortMapping, find: &Find<'_>, origin: &Origin<'_>) -> Diagnostic {
    let message = format!("the port {} is published on every address", mapping.host);
    let hint = match origin {
        Origin::ComposePort(..) => "write the address to bind in front: `127.0.0.1:8080:80`",
        _ => {
            "`publish: mesh` binds the node's address alone, `publish: loopback` none of the network's"
        }
    };
    Diagnostic::warning(codes::PORT_ON_ALL, message, find.place(origin))
        .says(
            "also reachable from the internet, past the firewall, if the node has a public address",
        )
        .hint(hint)
}
