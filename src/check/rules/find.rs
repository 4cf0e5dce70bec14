//! From nouns of a fleet back to where their author wrote them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::check::document::{Places, Tree, Yaml, escape, parse_tree, value_at};
use crate::diagnostic::Place;
use crate::model::{Bundle, Fleet, Form, Gateway, Instance, Sync, UnitId, UnitKind};

/// Where something was written, found only once it is needed.
#[derive(Clone, Debug)]
pub(super) enum Origin<'f> {
    /// A pointer into a service's file, with what its environment and its node override.
    Service(&'f Instance, String),
    /// A pointer into a compose file.
    Compose(&'f Instance, String),
    /// The entry that publishes a port of a service of a compose file.
    ComposePort(&'f Instance, &'f str, u16),
    /// The entry that mounts something at a target in a service of a compose file.
    ComposeMount(&'f Instance, &'f str, &'f str),
    /// The top-level volume of a compose file that has a name of its own.
    ComposeVolume(&'f Instance, String),
    /// A pointer into a gateway's file.
    Gateway(&'f Gateway, &'static str),
    /// A pointer into any file.
    File(&'f str, String),
}

impl<'f> Origin<'f> {
    /// The instance that it is about.
    pub(super) fn instance(&self) -> Option<&'f Instance> {
        match self {
            Self::Service(instance, _)
            | Self::Compose(instance, _)
            | Self::ComposePort(instance, ..)
            | Self::ComposeMount(instance, ..)
            | Self::ComposeVolume(instance, _) => Some(instance),
            Self::Gateway(..) | Self::File(..) => None,
        }
    }
}

/// Looks places up; compose files are parsed again only when a problem touches them.
pub(super) struct Find<'a> {
    fleet: &'a Fleet,
    places: &'a Places,
    brought: RefCell<BTreeMap<String, Option<Rc<Tree>>>>,
}

impl<'a> Find<'a> {
    pub(super) fn new(fleet: &'a Fleet, places: &'a Places) -> Self {
        Self { fleet, places, brought: RefCell::default() }
    }

    pub(super) fn place(&self, origin: &Origin<'_>) -> Place {
        match origin {
            Origin::Service(instance, pointer) => match self.service(instance, pointer) {
                (place, Some(_)) => place,
                (_, None) => self.form(instance),
            },
            Origin::Compose(instance, pointer) => self.compose(instance, pointer),
            Origin::ComposePort(instance, service, port) => {
                self.compose_port(instance, service, *port)
            }
            Origin::ComposeMount(instance, service, target) => {
                self.compose_mount(instance, service, target)
            }
            Origin::ComposeVolume(instance, name) => self.compose_volume(instance, name),
            Origin::Gateway(gateway, pointer) => self.gateway(gateway, pointer),
            Origin::File(file, pointer) => self.places.place(file, pointer),
        }
    }

    /// The place of a value of a service: as its node has it, else its environment, else all.
    pub(super) fn service(&self, instance: &Instance, pointer: &str) -> (Place, Option<&'a Yaml>) {
        let file = instance.source.as_str();
        for prefix in prefixes(instance) {
            let full = format!("{prefix}{pointer}");
            if let Some(value) = self.value(file, &full) {
                return (self.places.place(file, &full), Some(value));
            }
        }
        (self.places.place(file, pointer), None)
    }

    /// The tree of a brought compose file; none when it isn't among the fleet's files.
    fn tree(&self, path: &str) -> Option<Rc<Tree>> {
        let parse = || {
            let file = self.fleet.files.get(path)?;
            parse_tree(path, &file.content).ok().map(Rc::new)
        };
        self.brought.borrow_mut().entry(path.to_owned()).or_insert_with(parse).clone()
    }

    /// The place in a brought compose file; where the service names that file when it isn't written there.
    fn compose(&self, instance: &Instance, pointer: &str) -> Place {
        let place = || {
            let Form::Compose(brought) = &instance.form else { return None };
            let tree = self.tree(&brought.path)?;
            value_at(&tree.root, pointer).map(|value| tree.place(value.span))
        };
        place().unwrap_or_else(|| self.form(instance))
    }

    /// The item of a list in a brought compose file.
    fn compose_item(
        &self,
        instance: &Instance,
        pointer: &str,
        wanted: impl Fn(&Yaml) -> bool,
    ) -> Place {
        let place = || {
            let Form::Compose(brought) = &instance.form else { return None };
            let tree = self.tree(&brought.path)?;
            let item = value_at(&tree.root, pointer)?.items().iter().find(|item| wanted(item))?;
            Some(tree.place(item.span))
        };
        place().unwrap_or_else(|| self.compose(instance, pointer))
    }

    fn compose_port(&self, instance: &Instance, service: &str, port: u16) -> Place {
        let pointer = format!("/services/{}/ports", escape(service));
        self.compose_item(instance, &pointer, |item| {
            let published = item.get("published").unwrap_or(item);
            published.text().is_some_and(|text| names_port(text, port))
        })
    }

    fn compose_mount(&self, instance: &Instance, service: &str, target: &str) -> Place {
        let pointer = format!("/services/{}/volumes", escape(service));
        let same = |text: &str| text.trim_end_matches('/') == target;
        self.compose_item(instance, &pointer, |item| match item.get("target") {
            Some(written) => written.text().is_some_and(same),
            None => item.text().is_some_and(|text| text.split(':').any(same)),
        })
    }

    fn compose_volume(&self, instance: &Instance, name: &str) -> Place {
        let place = || {
            let Form::Compose(brought) = &instance.form else { return None };
            let tree = self.tree(&brought.path)?;
            let mut named = tree.root.get("volumes")?.pairs().iter();
            let own = named.find_map(|pair| {
                pair.value.get("name").filter(|written| written.text() == Some(name))
            });
            own.map(|written| tree.place(written.span))
        };
        place().unwrap_or_else(|| self.compose(instance, "/volumes"))
    }

    /// The place of a value of a gateway; where it says on which nodes it runs when that was not written.
    pub(super) fn gateway(&self, gateway: &Gateway, pointer: &str) -> Place {
        let written = self.places.find(&gateway.source, pointer);
        written.unwrap_or_else(|| self.places.place(&gateway.source, "/on"))
    }

    pub(super) fn sync(&self, sync: &Sync, pointer: &str) -> Place {
        self.places.place(&sync.source, pointer)
    }

    pub(super) fn value(&self, file: &str, pointer: &str) -> Option<&'a Yaml> {
        value_at(&self.places.tree(file)?.root, pointer)
    }

    pub(super) fn at(&self, file: &str, pointer: &str) -> Place {
        self.places.place(file, pointer)
    }

    /// The place of a value, if exactly that was written.
    pub(super) fn written(&self, file: &str, pointer: &str) -> Option<Place> {
        self.places.find(file, pointer)
    }

    /// Where a service says what runs.
    pub(super) fn form(&self, instance: &Instance) -> Place {
        let pointer = match &instance.form {
            Form::Image(_) => "/image",
            Form::Compose(_) => "/compose",
            Form::Process(_) => "/start",
        };
        self.service(instance, pointer).0
    }

    /// Where a service says that it needs a unit.
    pub(super) fn dependency(&self, instance: &Instance, on: &UnitId) -> Place {
        let (place, list) = self.service(instance, "/depends_on");
        self.dependency_in(&instance.source, list, on).unwrap_or(place)
    }

    /// Where a bundle says that it needs a unit.
    pub(super) fn bundle_dependency(&self, bundle: &Bundle, on: &UnitId) -> Place {
        let list = self.value(&bundle.source, "/depends_on");
        let found = self.dependency_in(&bundle.source, list, on);
        found.unwrap_or_else(|| self.places.place(&bundle.source, "/depends_on"))
    }

    fn dependency_in(&self, file: &str, list: Option<&Yaml>, on: &UnitId) -> Option<Place> {
        let name = on.name.as_ref().map(crate::model::Name::as_str);
        let matches = |text: &str| match text.split_once('/') {
            Some((kind, rest)) => {
                kind == on.kind.word() && (on.kind == UnitKind::Sync || Some(rest) == name)
            }
            None => on.kind == UnitKind::Service && Some(text) == name,
        };
        let item = list?.items().iter().find(|item| item.text().is_some_and(matches))?;
        Some(item.span.place(file))
    }

    /// Where a service exposes a host and path; `domain` completes what it writes.
    pub(super) fn exposed(
        &self,
        instance: &Instance,
        domain: Option<&str>,
        host: &str,
        path: &str,
    ) -> (Place, Option<&'a Yaml>) {
        let (place, list) = self.service(instance, "/expose");
        let full = |text: &str| match (text, domain) {
            ("@", Some(domain)) => domain.to_owned(),
            (label, Some(domain)) if !label.contains('.') => format!("{label}.{domain}"),
            (text, _) => text.to_owned(),
        };
        let matches = |item: &&Yaml| {
            let text = |key: &str| item.get(key).and_then(Yaml::text);
            let prefix = text("path").unwrap_or_default().trim_end_matches('/');
            text("host").is_some_and(|text| full(text) == host) && prefix == path
        };
        match list.and_then(|list| list.items().iter().find(matches)) {
            Some(item) => {
                let at = item.get("host").unwrap_or(item);
                (at.span.place(&instance.source), Some(item))
            }
            None => (place, None),
        }
    }
}

/// Whether the text of a published port names it, alone or in a range.
fn names_port(text: &str, port: u16) -> bool {
    let ports = text.split('/').next().unwrap_or_default();
    ports.split(':').any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.parse::<u16>(), last.parse::<u16>()) {
            (Ok(first), Ok(last)) => (first..=last).contains(&port),
            _ => false,
        }
    })
}

/// Where a service's file may hold a value for an instance, what wins first.
fn prefixes(instance: &Instance) -> [String; 4] {
    let node = escape(instance.id.node.as_str());
    let environment = escape(instance.environment.as_str());
    [
        format!("/environments/{environment}/nodes/{node}"),
        format!("/nodes/{node}"),
        format!("/environments/{environment}"),
        String::new(),
    ]
}
