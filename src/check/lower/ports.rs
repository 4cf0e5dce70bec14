//! `ports` and `publish` into mappings, and ports found again by name or number.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::context::Cx;
use super::layers::Origin;
use crate::check::document::kinds::{
    NetworkDoc, NetworkWord, PortDoc, PortRef, ProtocolDoc, PublishDoc, ServiceDoc,
};
use crate::check::document::text::Line;
use crate::check::document::{codes, escape, suggest};
use crate::model::{BindAddress, Brought, Form, Name, Node, PortMapping, Protocol};

/// What checks and routes need to know about the ports of an instance.
pub struct Reachable<'a> {
    /// The service's name.
    pub service: &'a Name,
    /// The instance's node.
    pub node: &'a Node,
    /// What runs.
    pub form: &'a Form,
    /// Published ports.
    pub ports: &'a BTreeMap<String, PortMapping>,
    /// Names of all ports, also when they are not published.
    pub names: Vec<String>,
    /// Whether it uses the node's network.
    pub host_network: bool,
}

/// A port on a node, as others reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// Whether only the node itself reaches it.
    pub loopback: bool,
}

/// Why a port could not be found.
struct NoPort {
    code: crate::diagnostic::Code,
    message: String,
    hint: Option<String>,
}

impl Cx<'_> {
    /// The published ports of a service on a node.
    pub fn ports(
        &mut self,
        doc: &ServiceDoc,
        origin: &Origin,
        node: &Node,
    ) -> BTreeMap<String, PortMapping> {
        let same = doc.run.is_some() || host_network(doc);
        let bind = bind(doc.publish.unwrap_or(PublishDoc::Mesh), node.address);
        let mut ports = BTreeMap::new();
        for (name, port) in doc.ports.iter().flatten() {
            let pointer = format!("/ports/{}", escape(name));
            if let Err(error) = Name::new(name.as_str()) {
                let place = origin.key_place(self.places, &pointer);
                self.error(codes::BAD_NAME, error.to_string(), place);
            }
            let (container, host, protocols) = numbers(port);
            if same && container != host {
                let message = "without a network of its own, a port has one number: it is what the program listens on";
                self.error(codes::CONFLICT, message, self.at(origin, &pointer));
            }
            if let Some(bind) = bind {
                ports.insert(name.clone(), PortMapping { container, host, protocols, bind });
            }
        }
        ports
    }

    /// Where a port of an instance is reached; told when it can't be.
    pub fn find_port(
        &mut self,
        of: &Reachable<'_>,
        port: Option<&PortRef>,
        service: Option<&Line>,
        origin: &Origin,
        pointers: (&str, &str),
    ) -> Option<Target> {
        let found = match of.form {
            Form::Compose(brought) => {
                let service = self.brought_service(brought, service, origin, pointers.1)?;
                of.brought(brought, &service, port)
            }
            _ => of.own(port),
        };
        match found {
            Ok(target) => Some(target),
            Err(no) => {
                self.error_hint(no.code, no.message, self.at(origin, pointers.0), no.hint);
                None
            }
        }
    }

    /// The service of a compose file that is meant; the only one when none is named.
    pub fn brought_service(
        &mut self,
        brought: &Brought,
        service: Option<&Line>,
        origin: &Origin,
        pointer: &str,
    ) -> Option<String> {
        let known = || brought.services.keys().map(String::as_str);
        let place = self.at(origin, pointer);
        match service {
            Some(Line(name)) if brought.services.contains_key(name) => Some(name.clone()),
            Some(Line(name)) => {
                let message = format!("`{}` has no service `{name}`", brought.file);
                self.error_hint(codes::UNKNOWN_SERVICE, message, place, suggest(name, known()));
                None
            }
            None if brought.services.len() == 1 => known().next().map(str::to_owned),
            // A file without services was told already.
            None if brought.services.is_empty() => None,
            None => {
                let names: Vec<&str> = known().collect();
                let message = "`service` is missing: the compose file has more than one";
                let hint = Some(format!("its services: {}", names.join(", ")));
                self.error_hint(codes::MISSING_KEY, message, place, hint);
                None
            }
        }
    }
}

impl Reachable<'_> {
    /// A port of an image or a process.
    fn own(&self, port: Option<&PortRef>) -> Result<Target, NoPort> {
        match port {
            Some(PortRef::Name(Line(name))) => match self.ports.get(name) {
                Some(mapping) => Ok(self.target(mapping)),
                None if self.names.contains(name) => Err(unpublished(name)),
                None => Err(NoPort {
                    code: codes::UNKNOWN_PORT,
                    message: format!("`{}` has no port `{name}`", self.service),
                    hint: suggest(name, self.names.iter().map(String::as_str))
                        .or_else(|| self.known()),
                }),
            },
            Some(PortRef::Number(number)) => {
                match self.ports.values().find(|mapping| mapping.container == *number) {
                    Some(mapping) => Ok(self.target(mapping)),
                    None if self.host_network => Ok(self.direct(*number)),
                    None => Err(NoPort {
                        code: codes::UNKNOWN_PORT,
                        message: format!("`{}` publishes no port {number}", self.service),
                        hint: self.known(),
                    }),
                }
            }
            None => self.only(self.ports.values()),
        }
    }

    /// A port of a service of a brought compose file, by its number in the container, else on the node.
    fn brought(
        &self,
        brought: &Brought,
        service: &str,
        port: Option<&PortRef>,
    ) -> Result<Target, NoPort> {
        let Some(inner) = brought.services.get(service) else { return self.only([].into_iter()) };
        let number = match port {
            Some(PortRef::Number(number)) => *number,
            Some(PortRef::Name(Line(name))) => {
                return Err(NoPort {
                    code: codes::UNKNOWN_PORT,
                    message: format!(
                        "`{name}` is no number, and ports of a compose file have no names"
                    ),
                    hint: None,
                });
            }
            None => return self.only(inner.ports.iter()),
        };
        let inside = inner.ports.iter().find(|mapping| mapping.container == number);
        let mapping = inside.or_else(|| inner.ports.iter().find(|mapping| mapping.host == number));
        match mapping {
            Some(mapping) => Ok(self.target(mapping)),
            None if inner.host_network => Ok(self.direct(number)),
            None => Err(NoPort {
                code: codes::UNKNOWN_PORT,
                message: format!("`{service}` of `{}` publishes no port {number}", brought.file),
                hint: None,
            }),
        }
    }

    fn only<'m>(&self, mut ports: impl Iterator<Item = &'m PortMapping>) -> Result<Target, NoPort> {
        match (ports.next(), ports.next()) {
            (Some(mapping), None) => Ok(self.target(mapping)),
            (None, _) => Err(NoPort {
                code: codes::UNREACHABLE_PORT,
                message: format!("`{}` publishes no port", self.service),
                hint: None,
            }),
            _ => Err(NoPort {
                code: codes::MISSING_KEY,
                message: format!("`port` is missing: `{}` has more than one", self.service),
                hint: self.known(),
            }),
        }
    }

    fn known(&self) -> Option<String> {
        (!self.names.is_empty()).then(|| format!("its ports: {}", self.names.join(", ")))
    }

    fn direct(&self, port: u16) -> Target {
        Target { address: self.node.address, port, loopback: false }
    }

    fn target(&self, mapping: &PortMapping) -> Target {
        let port = mapping.host;
        match mapping.bind {
            BindAddress::Any => self.direct(port),
            BindAddress::One(address) if address.is_unspecified() => self.direct(port),
            // A node whose own address is loopback shares its machine with those that ask.
            BindAddress::One(address) => {
                let loopback = address.is_loopback() && address != self.node.address;
                Target { address, port, loopback }
            }
        }
    }
}

fn unpublished(name: &str) -> NoPort {
    NoPort {
        code: codes::UNREACHABLE_PORT,
        message: format!("the port `{name}` is not published"),
        hint: Some("`publish: mesh`, `host` or `loopback` makes it reachable".to_owned()),
    }
}

/// Whether a service uses its node's network.
pub fn host_network(doc: &ServiceDoc) -> bool {
    matches!(doc.network, Some(NetworkDoc::Word(NetworkWord::Host)))
}

fn bind(publish: PublishDoc, address: IpAddr) -> Option<BindAddress> {
    match publish {
        PublishDoc::Mesh => Some(BindAddress::One(address)),
        PublishDoc::Host => Some(BindAddress::Any),
        PublishDoc::Loopback if address.is_ipv6() && address.is_loopback() => {
            Some(BindAddress::One(IpAddr::V6(Ipv6Addr::LOCALHOST)))
        }
        PublishDoc::Loopback => Some(BindAddress::One(IpAddr::V4(Ipv4Addr::LOCALHOST))),
        PublishDoc::None => None,
    }
}

fn numbers(port: &PortDoc) -> (u16, u16, Vec<Protocol>) {
    match port {
        PortDoc::Number(number) => (*number, *number, vec![Protocol::Tcp]),
        PortDoc::Short(short) => {
            let protocol = if short.0.udp { Protocol::Udp } else { Protocol::Tcp };
            (short.0.container, short.0.host, vec![protocol])
        }
        PortDoc::Full(full) => {
            let written = full.protocol.as_ref().map(|protocol| protocol.values());
            let mut protocols: Vec<Protocol> = written
                .unwrap_or_else(|| vec![ProtocolDoc::Tcp])
                .into_iter()
                .map(protocol)
                .collect();
            protocols.sort();
            protocols.dedup();
            (full.container, full.host.unwrap_or(full.container), protocols)
        }
    }
}

fn protocol(doc: ProtocolDoc) -> Protocol {
    match doc {
        ProtocolDoc::Tcp => Protocol::Tcp,
        ProtocolDoc::Udp => Protocol::Udp,
    }
}
