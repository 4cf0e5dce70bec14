//! Which files of a snapshot define what, parsed and validated, with everything that is wrong with them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::parse::{parse_tree, start_of};
use super::places::Places;
use super::{DocKind, codes, files, to_json, validate};
use crate::check::schema::compiled;
use crate::diagnostic::{Diagnostic, Severity};
use crate::model::{Name, SecretFile, Snapshot};

/// A file that defines something and is as its schema wants it.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it defines.
    pub kind: DocKind,
    /// The name of what it defines; `fleet` for the fleet.
    pub name: Name,
    /// Its path in the repository.
    pub file: String,
    /// Its content.
    pub json: Value,
    /// Whether it is as its schema wants it; one that is not only serves to know what is there.
    pub valid: bool,
}

/// All documents of a snapshot.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// By kind, then by name.
    pub documents: BTreeMap<(DocKind, Name), Document>,
    /// Encrypted files by name.
    pub secrets: BTreeMap<Name, SecretFile>,
    /// Where everything was written.
    pub places: Places,
    /// Everything that is wrong so far.
    pub diagnostics: Vec<Diagnostic>,
}

/// What the path of a file means.
enum Meaning<'a> {
    Defines(DocKind, &'a str),
    Encrypts(&'a str),
    Unsupported(&'static str),
    Misplaced(String),
    Nothing,
}

/// Reads every document of a snapshot.
pub fn load(snapshot: &Snapshot) -> Loaded {
    let mut loaded = Loaded { diagnostics: files::foreign(snapshot), ..Loaded::default() };
    let mut told = BTreeSet::new();
    for path in snapshot.entries.keys() {
        match meaning(path) {
            Meaning::Defines(kind, name) => loaded.define(snapshot, kind, name, path),
            Meaning::Encrypts(name) => loaded.secret_file(snapshot, name, path),
            Meaning::Unsupported(what) if told.insert(what) => {
                let message = format!("not supported yet: {what}");
                let problem = Diagnostic::error(codes::NOT_SUPPORTED, message, start_of(path));
                loaded.diagnostics.push(problem);
            }
            Meaning::Misplaced(hint) => {
                let message = "this file would never be read";
                let problem = Diagnostic::error(codes::MISPLACED, message, start_of(path));
                loaded.diagnostics.push(problem.hint(hint));
            }
            _ => {}
        }
    }
    loaded.folders_without_service(snapshot);
    if !snapshot.entries.contains_key("fleet.yaml") {
        let message = if snapshot.entries.is_empty() {
            "there is nothing here"
        } else {
            "there is no `fleet.yaml` here"
        };
        let problem = Diagnostic::error(codes::NO_FLEET, message, start_of("fleet.yaml"));
        loaded.diagnostics.push(problem.hint("a fleet begins with `version: 1` and `name: …`"));
    }
    loaded
}

fn meaning(path: &str) -> Meaning<'_> {
    let Some((folder, rest)) = path.split_once('/') else {
        return match path {
            "fleet.yaml" => Meaning::Defines(DocKind::Fleet, "fleet"),
            "fleet.yml" | "fleet.json" => Meaning::Misplaced("name it `fleet.yaml`".to_owned()),
            _ => Meaning::Nothing,
        };
    };
    match folder {
        "zones" => return Meaning::Unsupported("`zones/`, names served inside the mesh"),
        "secrets" => return encrypted(rest),
        _ => {}
    }
    match DocKind::ALL.into_iter().find(|kind| kind.folder() == Some(folder)) {
        Some(kind) => inside(kind, rest),
        None => similar(folder, rest),
    }
}

fn encrypted(rest: &str) -> Meaning<'_> {
    match rest.strip_suffix(".yaml") {
        Some(stem) if !rest.contains('/') => Meaning::Encrypts(stem),
        // A word beside the files for those who look into the folder.
        _ if rest.ends_with(".md") || rest.starts_with(".git") => Meaning::Nothing,
        _ => Meaning::Misplaced("encrypted files are `secrets/NAME.yaml`".to_owned()),
    }
}

fn inside(kind: DocKind, rest: &str) -> Meaning<'_> {
    let service = kind == DocKind::Service;
    let folder = kind.folder().unwrap_or_default();
    if let Some(name) = rest.strip_suffix(".yaml").filter(|name| !name.contains('/')) {
        return Meaning::Defines(kind, name);
    }
    match rest.split_once('/') {
        Some((name, "service.yaml")) if service => Meaning::Defines(kind, name),
        Some((name, "service.yml")) if service => {
            Meaning::Misplaced(format!("name it `services/{name}/service.yaml`"))
        }
        Some(_) if service => Meaning::Nothing,
        Some((_, deep)) if deep.ends_with(".yaml") || deep.ends_with(".yml") => {
            Meaning::Misplaced(format!("move it to `{folder}/`: one file per {}", kind.word()))
        }
        None if rest.ends_with(".yml") => {
            Meaning::Misplaced(format!("name it `{folder}/{}.yaml`", rest.trim_end_matches(".yml")))
        }
        _ => Meaning::Nothing,
    }
}

/// A folder whose name is nearly that of a known one.
fn similar<'a>(folder: &str, rest: &str) -> Meaning<'a> {
    let known = ["nodes", "services", "gateways", "syncs", "bundles"];
    let close = known.iter().find(|name| strsim::damerau_levenshtein(name, folder) <= 1);
    match close {
        Some(name) if rest.ends_with(".yaml") => {
            Meaning::Misplaced(format!("did you mean the folder `{name}/`?"))
        }
        _ => Meaning::Nothing,
    }
}

impl Loaded {
    /// The valid document of a kind and name.
    pub fn valid(&self, kind: DocKind) -> impl Iterator<Item = &Document> {
        self.documents.values().filter(move |document| document.kind == kind && document.valid)
    }

    fn define(&mut self, snapshot: &Snapshot, kind: DocKind, stem: &str, file: &str) {
        let Ok(name) = Name::new(stem) else {
            let message =
                format!("`{}` is not a DNS label, so it can't be a name", stem.escape_debug());
            let problem = Diagnostic::error(codes::BAD_NAME, message, start_of(file));
            let hint = "use 1 to 63 of a-z, 0-9 and `-`, not first or last a `-`";
            self.diagnostics.push(problem.hint(hint));
            return;
        };
        let json = self.read(snapshot, kind, file);
        let valid = json.is_some();
        let json = json.unwrap_or_else(|| self.rough(kind, file));
        let document = Document { kind, name: name.clone(), file: file.to_owned(), json, valid };
        if let Some(first) = self.documents.insert((kind, name), document) {
            let message = format!("the {} `{stem}` is defined twice", kind.word());
            let problem = Diagnostic::error(codes::DEFINED_TWICE, message, start_of(file));
            self.diagnostics.push(problem.also(start_of(&first.file), "first defined here"));
        }
    }

    /// The document as far as it was parsed, when it is not valid.
    fn rough(&self, kind: DocKind, file: &str) -> Value {
        let tree = self.places.tree(file);
        tree.map_or(Value::Null, |tree| to_json(&compiled(kind).schema, &tree.root))
    }

    fn read(&mut self, snapshot: &Snapshot, kind: DocKind, file: &str) -> Option<Value> {
        let content = match files::read(snapshot, file) {
            Ok((content, _)) => content,
            Err(reason) => {
                self.diagnostics.extend(reason.diagnostic(file));
                return None;
            }
        };
        let tree = match parse_tree(file, content) {
            Ok(tree) => tree,
            Err(problems) => {
                self.diagnostics.extend(problems);
                return None;
            }
        };
        let json = to_json(&compiled(kind).schema, &tree.root);
        self.places.insert(tree);
        let problems = validate::problems(kind, file, &json, &self.places);
        let errors = problems.iter().any(|problem| problem.severity == Severity::Error);
        self.diagnostics.extend(problems);
        (!errors).then_some(json)
    }

    fn folders_without_service(&mut self, snapshot: &Snapshot) {
        let mut seen = BTreeMap::new();
        for path in files::below(snapshot, "services") {
            let mut parts = path.splitn(3, '/').skip(1);
            if let (Some(folder), Some(rest)) = (parts.next(), parts.next()) {
                let entry = seen.entry(folder).or_insert((path, false));
                entry.1 |= rest == "service.yaml" || rest == "service.yml";
            }
        }
        for (folder, (path, _)) in seen.into_iter().filter(|(_, (_, defined))| !defined) {
            let message = format!("the folder `services/{folder}/` has no `service.yaml`");
            let problem = Diagnostic::error(codes::MISPLACED, message, start_of(path));
            self.diagnostics.push(problem.hint("files that bundles deliver lie in `files/`"));
        }
    }
}
