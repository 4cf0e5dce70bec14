//! `depends_on` into unit ids.

use std::collections::BTreeSet;

use super::context::Cx;
use super::index::Index;
use super::layers::Origin;
use crate::check::document::text::DependencyText;
use crate::check::document::{DocKind, codes};
use crate::model::{Name, UnitId, UnitKind};

impl Cx<'_> {
    /// The units that `depends_on` means; a service's are those of the same environment, else of the first.
    pub fn depends(
        &mut self,
        index: &Index<'_>,
        written: Option<&Vec<DependencyText>>,
        environment: &Name,
        origin: &Origin,
    ) -> Vec<UnitId> {
        let mut units = BTreeSet::new();
        for (at, DependencyText(text)) in written.into_iter().flatten().enumerate() {
            let (kind, name) = split(text);
            let Ok(name) = Name::new(name) else { continue };
            if self.exists(kind, &name) {
                units.extend(self.units(index, kind, &name, environment));
                continue;
            }
            let place = self.at(origin, &format!("/depends_on/{at}"));
            let message = format!("there is no {} `{name}`", kind.word());
            let hint = self.other_kind(&name).or_else(|| self.suggest(kind, name.as_str()));
            self.error_hint(codes::UNKNOWN_DEPENDENCY, message, place, hint);
        }
        units.into_iter().collect()
    }

    fn other_kind(&self, name: &Name) -> Option<String> {
        let kinds = [DocKind::Service, DocKind::Gateway, DocKind::Sync, DocKind::Bundle];
        let kind = kinds.into_iter().find(|kind| self.exists(*kind, name))?;
        Some(format!("did you mean `{}/{name}`?", kind.word()))
    }

    fn units(
        &self,
        index: &Index<'_>,
        kind: DocKind,
        name: &Name,
        environment: &Name,
    ) -> Vec<UnitId> {
        let on = |nodes: Option<&Vec<Name>>, kind: UnitKind| -> Vec<UnitId> {
            nodes.into_iter().flatten().map(|node| UnitId::new(node, kind, name)).collect()
        };
        match kind {
            DocKind::Gateway => on(index.gateways.get(name), UnitKind::Gateway),
            DocKind::Bundle => on(index.bundles.get(name), UnitKind::Bundle),
            DocKind::Sync => {
                index.syncs.get(name).into_iter().flatten().map(UnitId::sync).collect()
            }
            _ => self.instances_of(index, name, environment),
        }
    }

    fn instances_of(&self, index: &Index<'_>, name: &Name, environment: &Name) -> Vec<UnitId> {
        let first = self.fleet.environments.first();
        let found = [Some(environment), first]
            .into_iter()
            .flatten()
            .find_map(|environment| index.services.get(&(name.clone(), environment.clone())));
        let Some(placed) = found else { return Vec::new() };
        let nodes = placed.nodes.iter();
        nodes.map(|(node, _)| self.instance_id(node, name, &placed.environment)).collect()
    }

    /// The unit of a service on a node in an environment.
    pub fn instance_id(&self, node: &Name, service: &Name, environment: &Name) -> UnitId {
        let mut id = UnitId::new(node, UnitKind::Service, service);
        if self.fleet.environments.first() != Some(environment) {
            id.environment = Some(environment.clone());
        }
        id
    }
}

fn split(text: &str) -> (DocKind, &str) {
    match text.split_once('/') {
        Some(("gateway", name)) => (DocKind::Gateway, name),
        Some(("sync", name)) => (DocKind::Sync, name),
        Some(("bundle", name)) => (DocKind::Bundle, name),
        Some((_, name)) => (DocKind::Service, name),
        None => (DocKind::Service, text),
    }
}
