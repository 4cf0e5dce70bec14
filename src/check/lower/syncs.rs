//! `syncs/*.yaml` into syncs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::context::Cx;
use super::layers::Origin;
use crate::check::document::kinds::{DeleteDoc, SyncDoc};
use crate::check::document::{DocKind, Document, codes};
use crate::model::{DeleteMode, Direction, Name, Sync};

impl Cx<'_> {
    /// All syncs by name.
    pub fn all_syncs(&mut self) -> BTreeMap<Name, Sync> {
        let documents = self.typed::<SyncDoc>(DocKind::Sync);
        let syncs = documents.into_iter().filter_map(|(document, doc)| self.sync(document, doc));
        syncs.map(|sync| (sync.name.clone(), sync)).collect()
    }

    fn sync(&mut self, document: &Document, doc: SyncDoc) -> Option<Sync> {
        let direction = self.direction(document, &doc)?;
        Some(Sync {
            name: document.name.clone(),
            path: doc.path.0,
            direction,
            user: doc.user.map(|user| user.0),
            identity: doc.identity.map(|identity| identity.0),
            port: doc.port,
            delete: match doc.delete {
                Some(DeleteDoc::Running) => DeleteMode::Running,
                _ => DeleteMode::Never,
            },
            exclude: doc.exclude.into_iter().flatten().map(|pattern| pattern.0).collect(),
            delay: doc.delay.map_or(Duration::from_secs(1), |delay| delay.0),
            source: document.file.clone(),
        })
    }

    fn direction(&mut self, document: &Document, doc: &SyncDoc) -> Option<Direction> {
        let origin = Origin::new(&document.file);
        match (&doc.between, &doc.from, &doc.to) {
            (Some(nodes), None, None) => {
                Some(Direction::Between(self.listed(nodes, &origin, "/between")))
            }
            (None, Some(from), Some(to)) => {
                let known = self.known_node(&from.0, self.at(&origin, "/from"));
                let receivers = self.listed(to, &origin, "/to");
                if let Some(at) = to.iter().position(|name| name.0 == from.0) {
                    let place = self.at(&origin, &format!("/to/{at}"));
                    let message = format!("`{}` can't send to itself", from.0);
                    self.error(codes::LISTED_TWICE, message, place);
                }
                known.then(|| Direction::OneWay { from: from.0.clone(), to: receivers })
            }
            _ => {
                let message = "write either `between`, or both `from` and `to`";
                self.error(codes::CONFLICT, message, self.at(&origin, ""));
                None
            }
        }
    }
}
