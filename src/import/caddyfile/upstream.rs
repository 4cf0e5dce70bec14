//! Which service of the fleet is behind an address.

use std::collections::BTreeSet;

use super::Caddyfile;
use crate::model::{Form, Instance, Name, PortMapping};

/// What is behind a route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Behind {
    pub service: Name,
    pub file: String,
    /// `port: web`, or `service: app, port: 80`.
    pub port: String,
}

/// The one service whose instances are behind all of these addresses.
pub(super) fn find(from: &Caddyfile<'_>, dials: &[String]) -> Result<Behind, String> {
    let all: Vec<(Behind, &Instance)> =
        dials.iter().map(|dial| one(from, dial)).collect::<Result<_, _>>()?;
    let behind: BTreeSet<&Behind> = all.iter().map(|(behind, _)| behind).collect();
    let mut behind = behind.into_iter();
    let (Some(only), None) = (behind.next(), behind.next()) else {
        return Err("several services are behind one route".to_owned());
    };
    let named: BTreeSet<_> = all.iter().map(|(_, instance)| &instance.id).collect();
    let first = all.first().map(|(_, instance)| *instance);
    let every = from.fleet.instances.iter().filter(|other| {
        first.is_some_and(|first| {
            (&first.service, &first.environment) == (&other.service, &other.environment)
        })
    });
    let missing: Vec<String> =
        every.filter(|it| !named.contains(&it.id)).map(|it| it.id.to_string()).collect();
    if !missing.is_empty() {
        return Err(format!("gitsync would also route to {}", missing.join(", ")));
    }
    Ok(only.clone())
}

fn one<'f>(from: &Caddyfile<'f>, dial: &str) -> Result<(Behind, &'f Instance), String> {
    let nobody = || format!("no service of the fleet publishes {dial}: bring it in first");
    let (host, port) = dial.rsplit_once(':').ok_or_else(nobody)?;
    let port: u16 = port.parse().map_err(|_| nobody())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let nodes = from.fleet.nodes.values();
    let node = match host {
        "localhost" | "127.0.0.1" | "::1" => Some(from.node),
        _ => nodes.into_iter().find(|node| node.address.to_string() == host).map(|node| &node.name),
    };
    let node = node.ok_or_else(nobody)?;
    let here = from.fleet.instances.iter().filter(|instance| instance.id.node == *node);
    let mut found = here.filter_map(|instance| Some((behind(instance, port)?, instance)));
    found.next().ok_or_else(nobody)
}

/// How a service calls a port of its node.
fn behind(instance: &Instance, port: u16) -> Option<Behind> {
    let has = |mapping: &PortMapping| mapping.host == port;
    let written = match &instance.form {
        Form::Compose(brought) => {
            let found = brought.services.iter().find_map(|(name, service)| {
                Some((name, service.ports.iter().find(|mapping| has(mapping))?))
            });
            let (name, mapping) = found?;
            format!("service: {name}, port: {}", mapping.container)
        }
        _ => {
            let (name, _) = instance.ports.iter().find(|(_, mapping)| has(mapping))?;
            format!("port: {name}")
        }
    };
    let (service, file) = (instance.service.clone(), instance.source.clone());
    Some(Behind { service, file, port: written })
}
