//! Documents into the fleet: every reference resolved, every default filled in, or the reason why not.

mod bundles;
mod container;
mod context;
mod depends;
mod forms;
mod gateways;
mod health;
mod index;
mod layers;
mod nodes;
mod placement;
mod policy;
mod ports;
mod routes;
mod secrets;
mod services;
mod syncs;
mod volumes;

use std::collections::BTreeMap;

use self::context::Cx;
use self::index::Index;
use super::document::kinds::SuspendDoc;
use super::document::{DocKind, Loaded};
use crate::diagnostic::Diagnostic;
use crate::model::{Fleet, Snapshot};

/// Lowers all valid documents; the fleet is whole only when neither loading nor lowering found an error.
pub fn lower(snapshot: &Snapshot, loaded: &Loaded) -> (Option<Fleet>, Vec<Diagnostic>) {
    let mut cx = Cx::new(snapshot, loaded);
    let policy = cx.policy();
    let nodes = cx.all_nodes();
    cx.nodes = nodes;
    let index = Index::build(&mut cx);
    let (instances, seeds) = cx.all_services(&index);
    let gateways = cx.all_gateways(&index, &instances, &seeds);
    let syncs = cx.all_syncs();
    let bundles = cx.all_bundles(&index);
    let templates = cx.templates();
    let name = loaded.valid(DocKind::Fleet).next().and(cx.fleet.name.clone());
    let fleet = name.map(|name| Fleet {
        name,
        domain: cx.fleet.domain.clone(),
        environments: cx.fleet.environments.clone(),
        policy,
        suspend: cx.fleet.doc.as_ref().and_then(|doc| suspended(doc.suspend.as_ref()?)),
        nodes: cx.nodes,
        instances,
        gateways,
        syncs,
        bundles,
        files: cx.files,
        secrets: loaded.secrets.clone(),
        templates,
        commit: snapshot.commit.clone(),
        dirty: snapshot.dirty,
    });
    (fleet, cx.problems)
}

fn suspended(doc: &SuspendDoc) -> Option<String> {
    match doc {
        SuspendDoc::Word(suspended) => suspended.then(String::new),
        SuspendDoc::Reason(reason) => Some(reason.0.clone()),
    }
}

impl Cx<'_> {
    /// Overrides of built-in templates: the text files of `templates/`.
    fn templates(&mut self) -> BTreeMap<String, String> {
        let snapshot = self.snapshot;
        let mut found = BTreeMap::new();
        for path in super::document::files::below(snapshot, "templates") {
            let Some(content) = self.content(path) else { continue };
            let name = path.trim_start_matches("templates/").to_owned();
            match String::from_utf8(content) {
                Ok(text) => drop(found.insert(name, text)),
                Err(_) => self.not_text(path),
            }
        }
        found
    }
}
