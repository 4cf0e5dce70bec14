//! The services of a compose file, with what they take over from those they extend.

use super::powers::Asked;
use super::references::{Needed, each};
use std::rc::Rc;

use super::mounts::Mounted;
use super::{Compose, MAX_EXTENDS, Part, Reader, Service, Use, codes};
use crate::check::document::{Kind, Yaml};
use crate::diagnostic::Diagnostic;

/// Services that one service may extend, one after the other.
const MAX_CHAIN: usize = 16;

/// A service by its name and the file that it stands in.
type Named = (Part, String);

impl Reader<'_> {
    /// Reads the services of all parts, and checks everything that they read.
    pub(super) fn services(&mut self, parts: &[Part], compose: &mut Compose) {
        for (at, part) in parts.iter().enumerate() {
            self.read_paths(part);
            for name in self.services_of(part) {
                let Some(chain) = self.merged(parts, at, &name) else { continue };
                let read = self.service(&chain, compose);
                compose.asked.extend(self.asked(&name, &chain, &read));
                compose.services.entry(name).or_insert(read);
            }
        }
    }

    /// A service with what it extends, the highest file first; none in a file that a higher one is merged over.
    fn merged(&mut self, parts: &[Part], at: usize, name: &str) -> Option<Vec<Named>> {
        let part = parts.get(at)?;
        let has = |other: &Part| {
            let same = part.merged.is_some() && other.merged == part.merged;
            same && other.service(name).is_some()
        };
        if parts.get(at + 1..)?.iter().any(has) {
            return None;
        }
        let mut chain = self.chain(part, name);
        for lower in parts.get(..at)?.iter().rev().filter(|other| has(other)) {
            chain.extend(self.chain(lower, name));
        }
        Some(chain)
    }

    fn services_of(&mut self, part: &Part) -> Vec<String> {
        let root = part.root();
        let Some(services) = root.get("services").filter(|value| !value.is_null()) else {
            if root.get("include").is_none() && part.merged.is_none() {
                self.wrong(part, root, "there are no `services` here");
            }
            return Vec::new();
        };
        if !matches!(services.kind, Kind::Map(_)) {
            self.wrong(part, services, "`services` must be a mapping of names");
        }
        let mut found = Vec::new();
        for pair in services.pairs() {
            if matches!(pair.value.kind, Kind::Map(_)) {
                found.push(pair.key.clone());
            } else {
                let message = format!("the service `{}` must be a mapping", pair.key);
                self.wrong(part, &pair.value, message);
            }
        }
        found
    }

    /// A service and those that it extends, itself first.
    fn chain(&mut self, part: &Part, name: &str) -> Vec<Named> {
        let mut chain: Vec<Named> = vec![(part.clone(), name.to_owned())];
        while let Some((part, name)) = chain.last().cloned() {
            let Some(service) = part.service(&name) else { break };
            let Some(extends) = service.get("extends").filter(|value| !value.is_null()) else {
                break;
            };
            let Some((from, base)) = self.extended(&part, extends) else { break };
            let same =
                |(part, name): &Named| part.file.tree.file == from.file.tree.file && *name == base;
            self.extends += 1;
            let problem = if from.service(&base).is_none() {
                Some(format!("there is no service `{base}` to extend"))
            } else if chain.iter().any(same) {
                Some("services extend each other in a circle".to_owned())
            } else if chain.len() >= MAX_CHAIN || self.extends > MAX_EXTENDS {
                Some("too many services extend others".to_owned())
            } else {
                None
            };
            if let Some(message) = problem {
                self.bad_extends(&part, extends, message);
                break;
            }
            chain.push((from, base));
        }
        chain
    }

    fn bad_extends(&mut self, part: &Part, extends: &Yaml, message: String) {
        let at = extends.get("service").unwrap_or(extends);
        self.problems.push(Diagnostic::error(codes::BAD_EXTENDS, message, part.place(at)));
    }

    /// Where an extended service stands; none when it can't be read, which was told then.
    fn extended(&mut self, part: &Part, extends: &Yaml) -> Option<Named> {
        let name = part.text(extends.get("service").unwrap_or(extends))?;
        let Some(file) = extends.get("file") else {
            return Some((part.clone(), name));
        };
        let below = self.reference(part, file, Needed::File, Use::Compose)?;
        let file = self.open(&self.path_of(&below))?;
        let base = below.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let variables = Rc::clone(&part.variables);
        let from = Part { file, base, variables, merged: None };
        self.read_paths(&from);
        Some((from, name))
    }

    fn service(&mut self, chain: &[Named], compose: &Compose) -> Service {
        let mut read = Service {
            image: Self::first(chain, "image"),
            container_name: Self::first(chain, "container_name"),
            host_network: Self::first(chain, "network_mode").as_deref() == Some("host"),
            once: matches!(Self::first(chain, "restart").as_deref(), Some("no" | "false")),
            ..Service::default()
        };
        let (mut ports, mut mounts) = (true, true);
        for (part, name) in chain {
            let Some(service) = part.service(name) else { continue };
            if let Some(list) = self.list(part, service, "ports").filter(|_| ports) {
                read.ports.extend(self.ports(part, list));
            }
            if let Some(list) = self.list(part, service, "volumes").filter(|_| mounts) {
                let found = self.mounts(part, list, &compose.volumes);
                merge(&mut read.mounts, found);
            }
            ports &= part.keeps(service, "ports");
            mounts &= part.keeps(service, "volumes");
            let profiles = part.said(service, "profiles").map(each).unwrap_or_default();
            read.profiled |= !profiles.is_empty();
        }
        if read.host_network {
            read.ports.clear();
        }
        read
    }

    /// The powers that a service asks for, itself or through what it extends.
    fn asked(&self, name: &str, chain: &[Named], read: &Service) -> Vec<(String, Asked)> {
        let own = chain.iter().filter_map(|(part, name)| Some((part, part.service(name)?)));
        let own = own.flat_map(|(part, service)| self.service_powers(part, service));
        let mounts = read.mounts.iter().cloned().map(Asked::Mount);
        own.chain(mounts).map(|asked| (name.to_owned(), asked)).collect()
    }

    fn list<'y>(&mut self, part: &Part, service: &'y Yaml, key: &str) -> Option<&'y Yaml> {
        let value = part.said(service, key).filter(|value| !value.is_null())?;
        if matches!(value.kind, Kind::List(_)) {
            return Some(value);
        }
        self.wrong(part, value, format!("`{key}` must be a list"));
        None
    }

    /// The value of a key in the first service of a chain that has it.
    fn first(chain: &[Named], key: &str) -> Option<String> {
        let mut values = chain.iter().filter_map(|(part, name)| {
            let service = part.service(name)?;
            service.get(key).map(|_| part.said(service, key).and_then(|value| part.text(value)))
        });
        values.next()?
    }
}

/// Adds the mounts of a lower file or service, but for those whose place in the container is taken.
fn merge(mounts: &mut Vec<Mounted>, lower: Vec<Mounted>) {
    let higher = mounts.len();
    for mount in lower {
        let taken = mounts.iter().take(higher).any(|other| other.covers(&mount));
        if !taken {
            mounts.push(mount);
        }
    }
}
