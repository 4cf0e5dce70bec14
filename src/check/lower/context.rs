//! What lowering knows while it goes: the documents, their places, what was found so far.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::layers::Origin;
use crate::check::document::kinds::{FleetDoc, HealthDefaults};
use crate::check::document::{DocKind, Document, Loaded, Places, codes, files, start_of, suggest};
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::model::{Name, Node, ProbeFrom, RepoFile, Snapshot};

/// What lowering knows while it goes.
pub struct Cx<'a> {
    pub snapshot: &'a Snapshot,
    pub loaded: &'a Loaded,
    pub places: &'a Places,
    pub fleet: Settings,
    /// Valid nodes.
    pub nodes: BTreeMap<Name, Node>,
    /// Files that units deliver.
    pub files: BTreeMap<String, RepoFile>,
    pub problems: Vec<Diagnostic>,
}

/// What `fleet.yaml` says to everything else; filled in as well as can be when it is not valid.
pub struct Settings {
    pub name: Option<Name>,
    pub doc: Option<FleetDoc>,
    pub domain: Option<String>,
    pub environments: Vec<Name>,
    pub health: Timing,
    pub mesh: Vec<String>,
}

/// Defaults of health checks.
#[derive(Clone, Debug)]
pub struct Timing {
    pub interval: Duration,
    pub timeout: Duration,
    pub retries: u32,
    pub start_period: Duration,
    pub stable_for: Duration,
    pub from: ProbeFrom,
}

/// Networks whose clients may use mesh routes when the fleet names none: Tailscale's, private ones, loopback.
const MESH: [&str; 9] = [
    "100.64.0.0/10",
    "fd7a:115c:a1e0::/48",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
    "fe80::/10",
    "127.0.0.0/8",
    "::1/128",
];

impl<'a> Cx<'a> {
    pub fn new(snapshot: &'a Snapshot, loaded: &'a Loaded) -> Self {
        let nodes = BTreeMap::new();
        let files = BTreeMap::new();
        let (fleet, problems) = settings(loaded);
        let places = &loaded.places;
        Self { snapshot, loaded, places, fleet, nodes, files, problems }
    }

    /// Tells an error.
    pub fn error(&mut self, code: Code, message: impl Into<String>, place: Place) {
        self.problems.push(Diagnostic::error(code, message, place));
    }

    /// Tells an error with a hint, if there is one.
    pub fn error_hint(
        &mut self,
        code: Code,
        message: impl Into<String>,
        place: Place,
        hint: Option<String>,
    ) {
        let problem = Diagnostic::error(code, message, place);
        self.problems.push(hint.into_iter().fold(problem, Diagnostic::hint));
    }

    /// Whether something of this kind and name is written down, valid or not.
    pub fn exists(&self, kind: DocKind, name: &Name) -> bool {
        self.loaded.documents.contains_key(&(kind, name.clone()))
    }

    /// "did you mean …?" among the names of a kind.
    pub fn suggest(&self, kind: DocKind, word: &str) -> Option<String> {
        let names = self.loaded.documents.keys().filter(|(of, _)| *of == kind);
        suggest(word, names.map(|(_, name)| name.as_str()))
    }

    /// Whether a node exists; tells when it doesn't.
    pub fn known_node(&mut self, name: &Name, place: Place) -> bool {
        let known = self.exists(DocKind::Node, name);
        if !known {
            let hint = self.suggest(DocKind::Node, name.as_str());
            self.error_hint(codes::UNKNOWN_NODE, format!("there is no node `{name}`"), place, hint);
        }
        known
    }

    /// The valid documents of a kind as their type.
    pub fn typed<T: DeserializeOwned>(&mut self, kind: DocKind) -> Vec<(&'a Document, T)> {
        let loaded = self.loaded;
        let all = loaded.valid(kind);
        all.filter_map(|document| Some((document, self.read(&document.json, &document.file)?)))
            .collect()
    }

    /// A JSON value as its type; the schemas make sure that this works.
    pub fn read<T: DeserializeOwned>(&mut self, json: &serde_json::Value, file: &str) -> Option<T> {
        match T::deserialize(json) {
            Ok(value) => Some(value),
            Err(error) => {
                self.error(codes::BAD_TEXT, error.to_string(), start_of(file));
                None
            }
        }
    }

    /// The place of a value, wherever the blocks of a document say it.
    pub fn at(&self, origin: &Origin, pointer: &str) -> Place {
        origin.place(self.places, pointer)
    }

    /// The content of a file of the repository; tells when it is too large or leads out.
    pub fn content(&mut self, path: &str) -> Option<Vec<u8>> {
        match files::read(self.snapshot, path) {
            Ok((content, _)) => Some(content.to_vec()),
            Err(reason) => {
                self.problems.extend(reason.diagnostic(path));
                None
            }
        }
    }

    /// Takes a file for delivery; false, and told, when it can't be had.
    pub fn take(&mut self, path: &str) -> bool {
        if self.files.contains_key(path) {
            return true;
        }
        match files::read(self.snapshot, path) {
            Ok((content, executable)) => {
                let file = RepoFile { content: content.to_vec(), executable };
                self.files.insert(path.to_owned(), file);
                true
            }
            Err(reason) => {
                self.problems.extend(reason.diagnostic(path));
                false
            }
        }
    }

    /// Tells that a file is not UTF-8.
    pub fn not_text(&mut self, path: &str) {
        self.error(codes::NOT_UTF8, "the file is not UTF-8 text", start_of(path));
    }
}

fn settings(loaded: &Loaded) -> (Settings, Vec<Diagnostic>) {
    let document = loaded.documents.values().find(|document| document.kind == DocKind::Fleet);
    let valid = document.filter(|document| document.valid);
    let read = valid.map(|document| FleetDoc::deserialize(&document.json));
    let problems = read.iter().filter_map(|read| read.as_ref().err());
    let problems = problems
        .map(|error| Diagnostic::error(codes::BAD_TEXT, error.to_string(), start_of("fleet.yaml")))
        .collect();
    let doc: Option<FleetDoc> = read.and_then(Result::ok);
    let written = document.and_then(|document| document.json.get("environments")?.as_array());
    let names = written.into_iter().flatten().filter_map(|name| Name::new(name.as_str()?).ok());
    let mut environments: Vec<Name> = names.collect();
    if environments.is_empty() {
        environments.extend(Name::new("prod"));
    }
    let domain = document.and_then(|document| document.json.get("domain")?.as_str());
    let domain = domain.map(str::to_owned);
    let networks = doc.as_ref().and_then(|doc| doc.mesh.clone());
    let settings = Settings {
        name: doc.as_ref().map(|doc| doc.name.0.clone()),
        // Without a valid fleet.yaml a missing domain is not worth a second complaint.
        domain: domain.or_else(|| doc.is_none().then(|| "invalid".to_owned())),
        environments,
        health: Timing::default().with(doc.as_ref().and_then(|doc| doc.health.as_ref())),
        mesh: networks.map_or_else(
            || MESH.map(str::to_owned).to_vec(),
            |networks| networks.into_iter().map(|network| network.0).collect(),
        ),
        doc,
    };
    (settings, problems)
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(5),
            retries: 15,
            start_period: Duration::ZERO,
            stable_for: Duration::from_secs(10),
            from: ProbeFrom::Node,
        }
    }
}

impl Timing {
    fn with(self, doc: Option<&HealthDefaults>) -> Self {
        let Some(doc) = doc else { return self };
        Self {
            interval: doc.interval.as_ref().map_or(self.interval, |time| time.0),
            timeout: doc.timeout.as_ref().map_or(self.timeout, |time| time.0),
            retries: doc.retries.unwrap_or(self.retries),
            start_period: doc.start_period.as_ref().map_or(self.start_period, |time| time.0),
            stable_for: doc.stable_for.as_ref().map_or(self.stable_for, |time| time.0),
            from: doc.from.map_or(self.from, super::health::from),
        }
    }
}
