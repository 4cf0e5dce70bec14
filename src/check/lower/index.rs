//! What is placed where, known before dependencies and routes are resolved.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::context::Cx;
use super::layers::{Layered, Origin, in_environment, node_blocks};
use crate::check::document::kinds::{BundleDoc, GatewayDoc, PlacementDoc, SyncDoc};
use crate::check::document::{DocKind, Document, codes, escape, suggest};
use crate::model::{Name, Role};

/// A service in one environment, placed.
pub struct Placed<'a> {
    /// Its document.
    pub document: &'a Document,
    /// The environment.
    pub environment: Name,
    /// The service as it is in the environment.
    pub layered: Layered,
    /// Its nodes, those of nodes that are not valid included.
    pub nodes: Vec<(Name, Role)>,
}

/// What is placed where.
#[derive(Default)]
pub struct Index<'a> {
    /// Services by name and environment.
    pub services: BTreeMap<(Name, Name), Placed<'a>>,
    /// Nodes of gateways.
    pub gateways: BTreeMap<Name, Vec<Name>>,
    /// Nodes of syncs.
    pub syncs: BTreeMap<Name, Vec<Name>>,
    /// Nodes of bundles.
    pub bundles: BTreeMap<Name, Vec<Name>>,
}

impl<'a> Index<'a> {
    /// Places everything, and tells what can't be placed.
    pub fn build(cx: &mut Cx<'a>) -> Self {
        let mut index = Self::default();
        let loaded = cx.loaded;
        for document in loaded.valid(DocKind::Service) {
            for placed in cx.environments_of(document) {
                let key = (document.name.clone(), placed.environment.clone());
                index.services.insert(key, placed);
            }
        }
        for (document, doc) in cx.typed::<GatewayDoc>(DocKind::Gateway) {
            let nodes = cx.select(&doc.on, &Origin::new(&document.file), "/on");
            index.gateways.insert(document.name.clone(), nodes);
        }
        for (document, doc) in cx.typed::<SyncDoc>(DocKind::Sync) {
            let named = doc
                .between
                .into_iter()
                .flatten()
                .chain(doc.from)
                .chain(doc.to.into_iter().flatten());
            let nodes: BTreeSet<Name> = named.map(|label| label.0).collect();
            index.syncs.insert(document.name.clone(), nodes.into_iter().collect());
        }
        for (document, doc) in cx.typed::<BundleDoc>(DocKind::Bundle) {
            let nodes = cx.select(&doc.to.on, &Origin::new(&document.file), "/to/on");
            index.bundles.insert(document.name.clone(), nodes);
        }
        index
    }
}

impl<'a> Cx<'a> {
    fn environments_of(&mut self, document: &'a Document) -> Vec<Placed<'a>> {
        let blocks = document.json.get("environments").and_then(Value::as_object);
        let written: Vec<&String> = blocks.into_iter().flat_map(|blocks| blocks.keys()).collect();
        if blocks.is_none() {
            let first = self.fleet.environments.first().cloned();
            return first.into_iter().filter_map(|name| self.place(document, name)).collect();
        }
        if written.is_empty() {
            let place = self.places.place(&document.file, "/environments");
            self.error(codes::SELECTS_NOTHING, "no environment is named here", place);
        }
        let names = written.into_iter().filter_map(|name| self.environment(document, name));
        let names: Vec<Name> = names.collect();
        names.into_iter().filter_map(|name| self.place(document, name)).collect()
    }

    fn environment(&mut self, document: &Document, text: &str) -> Option<Name> {
        let declared = self.fleet.environments.iter().find(|name| name.as_str() == text);
        if declared.is_none() && self.fleet.doc.is_some() {
            let pointer = format!("/environments/{}", escape(text));
            let place = self.places.key_place(&document.file, &pointer);
            let hint = suggest(text, self.fleet.environments.iter().map(Name::as_str));
            let hint =
                hint.unwrap_or_else(|| "declare it in `environments` of fleet.yaml".to_owned());
            let message = format!("there is no environment `{}`", text.escape_debug());
            self.error_hint(codes::UNKNOWN_ENVIRONMENT, message, place, Some(hint));
            return None;
        }
        declared.cloned()
    }

    fn place(&mut self, document: &'a Document, environment: Name) -> Option<Placed<'a>> {
        let layered = in_environment(&document.json, &document.file, &environment);
        let Some(placement) = layered.json.get("placement") else {
            let message = "`placement` is missing: say where the service runs";
            self.error(codes::MISSING_KEY, message, self.at(&layered.origin, ""));
            return None;
        };
        let placement: PlacementDoc = self.read(placement, &document.file)?;
        let nodes = self.placed(&placement, &layered.origin);
        self.blocks_for_nodes(document, &environment, &nodes);
        Some(Placed { document, environment, layered, nodes })
    }

    /// Tells blocks for nodes that don't exist or that the service is not placed on.
    fn blocks_for_nodes(
        &mut self,
        document: &Document,
        environment: &Name,
        nodes: &[(Name, Role)],
    ) {
        for text in node_blocks(&document.json, environment) {
            let common = format!("/nodes/{}", escape(text));
            let own = format!("/environments/{}{common}", escape(environment.as_str()));
            let own_written = self.places.find(&document.file, &own).is_some();
            let pointer = if own_written { &own } else { &common };
            let place = self.places.key_place(&document.file, pointer);
            let name = match Name::new(text.as_str()) {
                Ok(name) => name,
                Err(error) => {
                    self.error(codes::BAD_NAME, error.to_string(), place);
                    continue;
                }
            };
            let elsewhere = document.json.get("environments").is_some() && !own_written;
            if self.known_node(&name, place.clone())
                && !nodes.iter().any(|(node, _)| *node == name)
                && !elsewhere
            {
                let message = format!("the service is not placed on `{name}`");
                self.error(codes::SELECTS_NOTHING, message, place);
            }
        }
    }
}
