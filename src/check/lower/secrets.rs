//! References to secrets: each leads to an encrypted value, or it is told.

use super::context::Cx;
use super::forms::Folder;
use super::layers::Origin;
use crate::check::document::kinds::{SecretFileDoc, ServiceDoc};
use crate::check::document::{codes, escape, suggest};
use crate::diagnostic::Place;
use crate::model::{AbsPath, Delivered, SecretRef};

impl Cx<'_> {
    /// The secret that `text` refers to (without `secret:`), when there is one.
    pub fn secret(&mut self, text: &str, place: Place) -> Option<SecretRef> {
        let reference: SecretRef = match text.parse() {
            Ok(reference) => reference,
            Err(error) => {
                self.error(codes::UNKNOWN_SECRET, format!("{error}"), place);
                return None;
            }
        };
        let loaded = self.loaded;
        let Some(file) = loaded.secrets.get(&reference.file) else {
            let message = format!("there is no `{}`", reference.path());
            let known = loaded.secrets.keys().map(crate::model::Name::as_str);
            let hint = suggest(reference.file.as_str(), known)
                .unwrap_or_else(|| format!("make it: `gitsync secret add {reference}`"));
            self.error_hint(codes::UNKNOWN_SECRET, message, place, Some(hint));
            return None;
        };
        if !file.values.contains_key(&reference.key) {
            let message =
                format!("`{}` has no encrypted value `{}`", reference.path(), reference.key);
            let hint = suggest(&reference.key, file.values.keys().map(String::as_str))
                .unwrap_or_else(|| format!("add it: `gitsync secret add {reference}`"));
            self.error_hint(codes::UNKNOWN_SECRET, message, place, Some(hint));
            return None;
        }
        Some(reference)
    }

    /// The files of a service: those of its folder, and those that are secrets.
    pub fn service_files(
        &mut self,
        folder: &Folder,
        doc: &ServiceDoc,
        directory: &AbsPath,
        origin: &Origin,
    ) -> Vec<Delivered> {
        let mut files = self.folder_files(folder, directory, origin);
        for (rest, written) in doc.secret_files.iter().flatten() {
            let pointer = format!("/secret_files/{}", escape(rest));
            let taken = folder.files.iter().find(|(_, other)| other == rest);
            if let Some((path, _)) = taken {
                let message = format!("`{rest}` is `{path}` already, in plain");
                let place = origin.key_place(self.places, &pointer);
                self.error(codes::CONFLICT, message, place);
                continue;
            }
            files.extend(self.secret_file(rest, written, directory, origin));
        }
        files
    }

    fn secret_file(
        &mut self,
        rest: &str,
        written: &SecretFileDoc,
        directory: &AbsPath,
        origin: &Origin,
    ) -> Option<Delivered> {
        let pointer = format!("/secret_files/{}", escape(rest));
        let (text, mode, owner) = match written {
            SecretFileDoc::Short(text) => (text, None, None),
            SecretFileDoc::Full(full) => (&full.secret, full.mode.as_ref(), full.owner.as_ref()),
        };
        let secret = self.secret(&text.0.to_string(), self.at(origin, &pointer))?;
        match directory.join(rest) {
            Ok(destination) => Some(Delivered {
                path: secret.path(),
                secret: Some(secret),
                destination,
                mode: mode.map_or(0o600, |mode| mode.0),
                mode_given: mode.is_some(),
                owner: owner.map(|owner| owner.0.clone()),
            }),
            Err(error) => {
                let place = origin.key_place(self.places, &pointer);
                self.error(codes::BAD_PATH, error.to_string(), place);
                None
            }
        }
    }
}
