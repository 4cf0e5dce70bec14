//! Reads a compose file that people already have, as far as gitsync has to know what is in it.
//!
//! The file is never changed and never run here: what counts is which names, ports and folders it takes, and that
//! it reads nothing outside its own folder. The keys are those of the Compose specification (compose-spec.io).

pub mod codes;
pub mod dotenv;
mod interpolate;
mod mounts;
mod ports;
pub mod powers;
mod references;
mod services;
mod tags;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use self::interpolate::Variables;
use self::mounts::Mounted;
use self::references::Included;
use self::tags::{Tag, untagged};
use super::document::{Tree, Yaml, parse_tree};
use crate::diagnostic::{Diagnostic, Place};
use crate::model::{AbsPath, Brought, BroughtService, PortMapping, Snapshot};

/// Files that one compose file may pull in with `include` and `extends`, all together.
const MAX_FILES: usize = 32;
/// Files of variables that one `include` may name.
const MAX_VARIABLE_FILES: usize = 8;
/// Ports, and mounts, that one compose file may name: a range or an anchor makes many of few bytes.
const MAX_ENTRIES: usize = 4096;
/// Services that may extend another in one compose file.
const MAX_EXTENDS: usize = 512;

/// Which compose file is read, and what compose will see beside it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The files of the repository.
    pub snapshot: &'a Snapshot,
    /// The folder in the repository that becomes the service's directory, without slashes at its ends.
    pub folder: &'a str,
    /// The compose file below that folder, `compose.yaml`.
    pub file: &'a str,
    /// Variables that compose will have besides `PATH` and `HOME`, none where the value isn't known here; programs run
    /// under `env -i`.
    pub variables: &'a BTreeMap<String, Option<String>>,
}

/// A compose file that was read, for any project and directory.
#[derive(Clone, Debug, Default)]
pub struct Compose {
    file: String,
    path: String,
    services: BTreeMap<String, Service>,
    volumes: BTreeMap<String, Volume>,
    /// Files of the repository that it reads (`env_file`, `include`, `configs`, …), by their paths there, sorted.
    pub references: Vec<String>,
    /// What it would read, there or not, by its path in the repository and what for.
    pub wanted: BTreeSet<(String, Use)>,
    /// The names that its files give the project, by file.
    pub names: BTreeMap<String, String>,
    /// Variables that its texts ask for.
    pub used: BTreeSet<String>,
    /// Variables that services get from compose's own environment, named without a value.
    pub passed: BTreeSet<String>,
    /// Those that compose gets only from its own environment, never from what an included file sees: arguments of
    /// builds, and keys of a mapping.
    pub handed: BTreeSet<String>,
    /// Powers over its node, with who asks for them.
    asked: Vec<(String, powers::Asked)>,
}

#[derive(Clone, Debug, Default)]
struct Service {
    image: Option<String>,
    container_name: Option<String>,
    ports: Vec<PortMapping>,
    host_network: bool,
    mounts: Vec<Mounted>,
    once: bool,
    profiled: bool,
}

/// What compose reads a file or directory for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// A compose file: `include`, `extends`.
    Compose,
    /// Values of variables in compose files.
    Variables,
    /// `env_file` of a service.
    Environment,
    /// The file of a secret.
    Secret,
    /// The file of a config.
    Config,
    /// What images are built from.
    Build,
    /// Anything else.
    Other,
}

/// A top-level volume.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Volume {
    /// Named by the project.
    Project,
    /// Made by the project under its own name.
    Named(String),
    /// Made outside.
    External(String),
}

/// Reads a compose file and what it includes; problems are told at their places, and what can be read is read.
pub fn read(source: Source<'_>) -> (Compose, Vec<Diagnostic>) {
    let mut reader = Reader {
        source,
        problems: Vec::new(),
        files: BTreeMap::new(),
        references: BTreeSet::new(),
        wanted: BTreeSet::new(),
        used: BTreeSet::new(),
        passed: BTreeSet::new(),
        handed: BTreeSet::new(),
        read: BTreeSet::new(),
        ports: 0,
        mounts: 0,
        extends: 0,
    };
    let path = reader.path_of(source.file);
    let mut compose =
        Compose { file: source.file.to_owned(), path: path.clone(), ..Compose::default() };
    if let Some(file) = reader.open(&path) {
        let variables = Rc::new(Variables::given(source.variables));
        let part = Part { file, base: String::new(), variables, merged: None };
        let parts = reader.included(part);
        reader.volumes(&parts, &mut compose);
        compose.names = parts.iter().filter_map(Part::named).collect();
        compose.asked.extend(parts.iter().flat_map(|part| reader.part_powers(part)));
        reader.services(&parts, &mut compose);
    }
    reader.references.remove(&path);
    compose.references = reader.references.into_iter().collect();
    compose.wanted = reader.wanted;
    compose.used = reader.used;
    compose.passed = reader.passed;
    compose.handed = reader.handed;
    (compose, reader.problems)
}

impl Compose {
    /// The services' names.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.services.keys().map(String::as_str)
    }

    /// What the file means for a project whose files lie in `directory` on their node.
    pub fn brought(&self, project: &str, directory: &AbsPath) -> Brought {
        let services = self.services.iter();
        let owned = self.volumes.iter().filter_map(|(key, volume)| match volume {
            Volume::Project => Some(format!("{project}_{key}")),
            Volume::Named(name) => Some(name.clone()),
            Volume::External(_) => None,
        });
        Brought {
            file: self.file.clone(),
            path: self.path.clone(),
            env: BTreeMap::new(),
            services: services.map(|(name, it)| (name.clone(), it.brought(directory))).collect(),
            volumes: owned.collect(),
        }
    }
}

impl Service {
    fn brought(&self, directory: &AbsPath) -> BroughtService {
        BroughtService {
            image: self.image.clone(),
            container_name: self.container_name.clone(),
            ports: self.ports.clone(),
            host_network: self.host_network,
            mounts: self.mounts.iter().filter_map(|mount| mount.below(directory)).collect(),
            once: self.once,
            profiled: self.profiled,
        }
    }
}

/// A parsed file, with its services found by name.
struct Opened {
    tree: Tree,
    services: BTreeMap<String, usize>,
    /// Compose's own tags, by the line that they stand in.
    tags: BTreeMap<u32, Tag>,
}

impl Opened {
    fn new(tree: Tree, tags: BTreeMap<u32, Tag>) -> Self {
        let pairs = tree.root.get("services").map(Yaml::pairs).unwrap_or_default();
        let services = pairs.iter().enumerate().map(|(at, pair)| (pair.key.clone(), at)).collect();
        Self { tree, services, tags }
    }
}

/// One file and the directory, below the folder, that its relative paths start from.
#[derive(Clone)]
struct Part {
    file: Rc<Opened>,
    base: String,
    variables: Rc<Variables>,
    /// Where it is included together with files that are merged with it.
    merged: Option<Place>,
}

impl Part {
    fn root(&self) -> &Yaml {
        &self.file.tree.root
    }

    fn service(&self, name: &str) -> Option<&Yaml> {
        let at = *self.file.services.get(name)?;
        self.root().get("services")?.pairs().get(at).map(|pair| &pair.value)
    }

    fn place(&self, yaml: &Yaml) -> Place {
        self.file.tree.place(yaml.span)
    }

    /// The text of a scalar as compose will see it; none when that isn't known here.
    fn text(&self, yaml: &Yaml) -> Option<String> {
        interpolate::interpolate(yaml.text()?, &self.variables).text
    }

    /// The name that the file gives the project.
    fn named(&self) -> Option<(String, String)> {
        let name = self.text(self.root().get("name")?)?;
        Some((self.file.tree.file.clone(), name))
    }

    /// Whether what lower files say under a key of a service still counts.
    fn keeps(&self, service: &Yaml, key: &str) -> bool {
        self.tag(service, key).is_none()
    }

    fn tag(&self, service: &Yaml, key: &str) -> Option<Tag> {
        self.file.tags.get(&service.pair(key)?.key_span.line).copied()
    }

    /// The value of a key of a service, unless it takes away what lower files say.
    fn said<'y>(&self, service: &'y Yaml, key: &str) -> Option<&'y Yaml> {
        let value = service.get(key)?;
        (self.tag(service, key) != Some(Tag::Reset)).then_some(value)
    }
}

fn included(file: Rc<Opened>, one: &Included, variables: Rc<Variables>, several: bool) -> Part {
    Part { file, base: one.base.clone(), variables, merged: several.then(|| one.item.clone()) }
}

/// What is known and found while one compose file is read.
struct Reader<'a> {
    source: Source<'a>,
    problems: Vec<Diagnostic>,
    files: BTreeMap<String, Option<Rc<Opened>>>,
    /// Files whose own reading was checked.
    read: BTreeSet<String>,
    references: BTreeSet<String>,
    wanted: BTreeSet<(String, Use)>,
    used: BTreeSet<String>,
    passed: BTreeSet<String>,
    handed: BTreeSet<String>,
    ports: usize,
    mounts: usize,
    extends: usize,
}

impl Reader<'_> {
    /// The path in the repository of a file below the folder.
    fn path_of(&self, below: &str) -> String {
        if self.source.folder.is_empty() || below.is_empty() {
            format!("{}{below}", self.source.folder)
        } else {
            format!("{}/{below}", self.source.folder)
        }
    }

    /// A file of the repository; parsed once, its problems told once.
    fn open(&mut self, path: &str) -> Option<Rc<Opened>> {
        if let Some(known) = self.files.get(path) {
            return known.clone();
        }
        let (bytes, tags) = untagged(self.source.snapshot.content(path)?);
        let parsed = match parse_tree(path, &bytes) {
            Ok(tree) => Some(Rc::new(Opened::new(tree, tags))),
            Err(problems) => {
                self.problems.extend(problems);
                None
            }
        };
        self.files.insert(path.to_owned(), parsed.clone());
        parsed
    }

    /// A part and, before it, everything that it includes from inside the folder.
    fn included(&mut self, first: Part) -> Vec<Part> {
        let mut parts = vec![first];
        let mut next = 0;
        while let Some(part) = parts.get(next).cloned() {
            next += 1;
            let found = self.includes(&part);
            for one in &found {
                if self.files.contains_key(&one.path) {
                    continue;
                }
                if self.files.len() >= MAX_FILES {
                    let message = format!("more than {MAX_FILES} files are included");
                    let place = one.place.clone();
                    self.problems.push(Diagnostic::error(codes::NOT_COMPOSE, message, place));
                    return parts;
                }
                let several = found.iter().filter(|other| other.item == one.item).count() > 1;
                let variables = self.included_variables(&part, &one.variables);
                parts.extend(
                    self.open(&one.path).map(|file| included(file, one, variables, several)),
                );
            }
        }
        parts
    }

    fn wrong(&mut self, part: &Part, yaml: &Yaml, message: impl Into<String>) {
        let place = part.place(yaml);
        self.problems.push(Diagnostic::error(codes::NOT_COMPOSE, message, place));
    }
}

#[cfg(test)]
mod tests;
