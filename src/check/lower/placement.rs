//! Selectors and placements into nodes.

use std::collections::BTreeSet;

use super::context::Cx;
use super::layers::Origin;
use crate::check::document::kinds::{PlacementDoc, Selector};
use crate::check::document::{DocKind, codes, text};
use crate::model::{Name, Role};

impl Cx<'_> {
    /// The nodes that a selector selects: in the written order for names, else by name.
    pub fn select(&mut self, selector: &Selector, origin: &Origin, pointer: &str) -> Vec<Name> {
        let selected: Vec<Name> = match selector {
            Selector::Names(names) => return self.listed(names, origin, pointer),
            Selector::All(_) => self.nodes.keys().cloned().collect(),
            Selector::Labels(labels) => {
                let has = |node: &&crate::model::Node| {
                    labels.iter().all(|(key, value)| node.labels.get(key) == Some(&value.0))
                };
                self.nodes.values().filter(has).map(|node| node.name.clone()).collect()
            }
        };
        // Nodes that are not valid may be what the selector means.
        let all_valid =
            self.loaded.documents.values().filter(|d| d.kind == DocKind::Node).all(|d| d.valid);
        if selected.is_empty() && all_valid {
            let place = self.at(origin, pointer);
            self.error(codes::SELECTS_NOTHING, "no node is selected here", place);
        }
        selected
    }

    /// Known nodes of a written list, each once.
    pub fn listed(&mut self, names: &[text::Label], origin: &Origin, pointer: &str) -> Vec<Name> {
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        for (at, text::Label(name)) in names.iter().enumerate() {
            let place = self.at(origin, &format!("{pointer}/{at}"));
            if !seen.insert(name) {
                self.error(codes::LISTED_TWICE, format!("`{name}` is listed twice"), place);
            } else if self.known_node(name, place) {
                found.push(name.clone());
            }
        }
        found
    }

    /// The nodes of a placement and their parts.
    pub fn placed(&mut self, placement: &PlacementDoc, origin: &Origin) -> Vec<(Name, Role)> {
        match placement {
            PlacementDoc::On(on) => {
                let nodes = self.select(&on.on, origin, "/placement/on");
                nodes.into_iter().map(|node| (node, Role::Member)).collect()
            }
            PlacementDoc::Primary(pair) => {
                let primary = pair.primary.0.clone();
                let place = self.at(origin, "/placement/primary");
                let known = self.known_node(&primary, place);
                let again = pair.fallback.iter().position(|name| name.0 == primary);
                if let Some(at) = again {
                    let place = self.at(origin, &format!("/placement/fallback/{at}"));
                    let message = format!("`{primary}` is the primary and can't be a fallback too");
                    self.error(codes::LISTED_TWICE, message, place);
                }
                let fallback = self.listed(&pair.fallback, origin, "/placement/fallback");
                let numbered = fallback.into_iter().filter(|name| *name != primary).zip(1..);
                let rest = numbered.map(|(node, number)| (node, Role::Fallback(number)));
                known.then(|| (primary.clone(), Role::Primary)).into_iter().chain(rest).collect()
            }
        }
    }
}
