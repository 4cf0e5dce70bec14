//! `bundles/*.yaml` into bundles: their files found, one bundle per node.

use super::context::Cx;
use super::index::Index;
use super::layers::Origin;
use crate::check::document::kinds::{BundleDoc, FilesDoc};
use crate::check::document::{DocKind, Document, codes, escape, files, suggest};
use crate::model::{Bundle, BundleActivation, Delivered, Name, SecretRef, UnitId, UnitKind};

impl Cx<'_> {
    /// All bundles, one per node, sorted by unit.
    pub fn all_bundles(&mut self, index: &Index<'_>) -> Vec<Bundle> {
        let mut bundles = Vec::new();
        for (document, doc) in self.typed::<BundleDoc>(DocKind::Bundle) {
            let nodes = index.bundles.get(&document.name).cloned().unwrap_or_default();
            bundles.extend(self.bundle(index, document, &doc, &nodes));
        }
        bundles.sort_by(|a, b| a.id.cmp(&b.id));
        bundles
    }

    fn bundle(
        &mut self,
        index: &Index<'_>,
        document: &Document,
        doc: &BundleDoc,
        nodes: &[Name],
    ) -> Vec<Bundle> {
        let origin = Origin::new(&document.file);
        let delivered = self.delivered(doc, &origin);
        let health = self.bundle_health(doc.health.as_ref(), &origin);
        let first = self.fleet.environments.first().cloned();
        let depends_on = first
            .map(|first| self.depends(index, doc.depends_on.as_ref(), &first, &origin))
            .unwrap_or_default();
        if doc.validate.is_some() && doc.activate.is_none() {
            let place = self.places.key_place(&document.file, "/validate");
            self.error(
                codes::CONFLICT,
                "`validate` belongs to `activate`, which is missing",
                place,
            );
        }
        let activate = doc.activate.as_ref().map(|command| BundleActivation {
            command: command.0.clone(),
            validate: doc.validate.as_ref().map(|validate| validate.0.clone()),
        });
        let on_node = |node: &Name| Bundle {
            id: UnitId::new(node, UnitKind::Bundle, &document.name),
            name: document.name.clone(),
            directory: doc.to.path.0.clone(),
            files: delivered.clone(),
            template: doc.template.unwrap_or(false),
            activate: activate.clone(),
            health: health.clone(),
            depends_on: depends_on.clone(),
            adopt: doc.adopt.unwrap_or(false),
            source: document.file.clone(),
        };
        nodes.iter().map(on_node).collect()
    }

    /// The files of a bundle and where they land.
    fn delivered(&mut self, doc: &BundleDoc, origin: &Origin) -> Vec<Delivered> {
        let mut found = Vec::new();
        for (path, rest, pointer) in self.bundle_files(doc, origin) {
            let Some((path, secret)) = self.bundle_file(path, origin, &pointer) else { continue };
            let executable = self.files.get(&path).is_some_and(|file| file.executable);
            let usual = match (&secret, executable) {
                (Some(_), _) => 0o600,
                (None, true) => 0o755,
                (None, false) => 0o644,
            };
            let mode = doc.to.mode.as_ref().map_or(usual, |mode| mode.0);
            let owner = doc.to.owner.as_ref().map(|owner| owner.0.clone());
            match doc.to.path.0.join(&rest) {
                Ok(destination) => found.push(Delivered {
                    path,
                    secret,
                    destination,
                    mode,
                    mode_given: doc.to.mode.is_some(),
                    owner,
                }),
                Err(error) => {
                    self.error(codes::BAD_PATH, error.to_string(), self.at(origin, &pointer));
                }
            }
        }
        found.sort_by(|a, b| a.destination.cmp(&b.destination));
        found
    }

    /// The file of the repository, and the value in it that is meant when it is an encrypted one.
    fn bundle_file(
        &mut self,
        path: String,
        origin: &Origin,
        pointer: &str,
    ) -> Option<(String, Option<SecretRef>)> {
        let Some(text) = path.strip_prefix(SecretRef::PREFIX) else {
            return self.take(&path).then_some((path, None));
        };
        let secret = self.secret(text, self.at(origin, pointer))?;
        Some((secret.path(), Some(secret)))
    }

    /// Paths in the repository, paths below the directory, and where they were written.
    fn bundle_files(&mut self, doc: &BundleDoc, origin: &Origin) -> Vec<(String, String, String)> {
        let written = match &doc.files {
            FilesDoc::Path(path) => return self.path_files(&path.0, origin),
            FilesDoc::Map(map) => map,
        };
        let mut found = Vec::new();
        for (rest, path) in written {
            let pointer = format!("/files/{}", escape(rest));
            let secret = path.0.starts_with(SecretRef::PREFIX);
            if secret || self.snapshot.entries.contains_key(&path.0) {
                found.push((path.0.clone(), rest.clone(), pointer));
            } else {
                self.missing(&path.0, origin, &pointer);
            }
        }
        found
    }

    fn path_files(&mut self, path: &str, origin: &Origin) -> Vec<(String, String, String)> {
        let pointer = "/files".to_owned();
        let folder = path.trim_end_matches('/');
        if self.snapshot.entries.contains_key(folder) && !path.ends_with('/') {
            let name = folder.rsplit_once('/').map_or(folder, |(_, name)| name);
            return vec![(folder.to_owned(), name.to_owned(), pointer)];
        }
        let inside = files::below(self.snapshot, folder);
        let found: Vec<(String, String, String)> = inside
            .filter_map(|file| {
                let rest = file.strip_prefix(folder)?.strip_prefix('/')?;
                Some((file.to_owned(), rest.to_owned(), pointer.clone()))
            })
            .collect();
        if found.is_empty() {
            self.missing(path, origin, &pointer);
        }
        found
    }

    fn missing(&mut self, path: &str, origin: &Origin, pointer: &str) {
        let hint = suggest(path, self.snapshot.entries.keys().map(String::as_str));
        let message = format!("there is no file or folder `{path}` in the repository");
        self.error_hint(codes::MISSING_FILE, message, self.at(origin, pointer), hint);
    }
}
