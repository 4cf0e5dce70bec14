//! References to secrets: each leads to an encrypted value, or it is told.

use super::context::Cx;
use crate::check::document::{codes, suggest};
use crate::diagnostic::Place;
use crate::model::SecretRef;

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
}
