//! Services into instances: one per environment and node, with all blocks merged.

use super::context::Cx;
use super::forms::{Folder, FormWord};
use super::health;
use super::index::{Index, Placed};
use super::layers::{Layered, Origin, on_node};
use super::ports::{Reachable, host_network};
use crate::check::document::codes;
use crate::check::document::kinds::{HealthcheckDoc, MovesDoc, RollbackDoc, ServiceDoc};
use crate::model::{AbsPath, Instance, Moves, Name, Node, Role, Rollback, UnitId};

/// What of a service gateways need: its routes as written, for one environment.
pub struct Seed {
    /// The service.
    pub service: Name,
    /// The environment.
    pub environment: Name,
    /// The service as it is in the environment.
    pub doc: ServiceDoc,
    /// And where it was written.
    pub layered: Layered,
}

/// A service in an environment, before it is brought to its nodes.
struct Whole<'a> {
    placed: &'a Placed<'a>,
    word: FormWord,
    folder: Folder,
    needs: Vec<UnitId>,
}

impl Cx<'_> {
    /// All instances, sorted by unit, and what is to be routed to them.
    pub fn all_services(&mut self, index: &Index<'_>) -> (Vec<Instance>, Vec<Seed>) {
        let mut instances = Vec::new();
        let mut seeds = Vec::new();
        for ((service, environment), placed) in &index.services {
            let layered = &placed.layered;
            let Some(doc) = self.read::<ServiceDoc>(&layered.json, &layered.origin.file) else {
                continue;
            };
            let Some(word) = self.form_word(layered) else { continue };
            let folder = self.folder(layered, &doc, word);
            let needs = self.depends(index, doc.depends_on.as_ref(), environment, &layered.origin);
            let whole = Whole { placed, word, folder, needs };
            for (node, role) in &placed.nodes {
                instances.extend(self.on_its_node(&whole, &doc, node, *role));
            }
            let (service, environment) = (service.clone(), environment.clone());
            seeds.push(Seed { service, environment, doc, layered: layered.clone() });
        }
        instances.sort_by(|a, b| a.id.cmp(&b.id));
        (instances, seeds)
    }

    /// The instance on one node, after the node's block is merged.
    fn on_its_node(
        &mut self,
        whole: &Whole<'_>,
        doc: &ServiceDoc,
        node: &Name,
        role: Role,
    ) -> Option<Instance> {
        let node = self.nodes.get(node)?.clone();
        let placed = whole.placed;
        let json = &placed.document.json;
        match on_node(json, &placed.layered, &placed.environment, &node.name) {
            None => self.instance(whole, doc, &placed.layered.origin, &node, role),
            Some(layered) => {
                let doc = self.read::<ServiceDoc>(&layered.json, &placed.document.file)?;
                self.form_word(&layered)?;
                self.instance(whole, &doc, &layered.origin, &node, role)
            }
        }
    }

    fn instance(
        &mut self,
        whole: &Whole<'_>,
        doc: &ServiceDoc,
        origin: &Origin,
        node: &Node,
        role: Role,
    ) -> Option<Instance> {
        let document = whole.placed.document;
        let environment = &whole.placed.environment;
        let id = self.instance_id(&node.name, &document.name, environment);
        let (project, directory) = self.home(&id, doc, origin, node)?;
        let form = self.form(whole.word, doc, origin, &whole.folder, (&project, &directory))?;
        let ports = self.ports(doc, origin, node);
        let reachable = Reachable {
            service: &document.name,
            node,
            form: &form,
            ports: &ports,
            names: port_names(doc),
            host_network: host_network(doc),
        };
        let health = self.instance_health(doc.health.as_ref(), origin, &reachable);
        Some(Instance {
            service: document.name.clone(),
            environment: environment.clone(),
            role,
            project,
            files: self.service_files(&whole.folder, doc, &directory, origin),
            directory,
            health,
            health_declared: declared(doc),
            depends_on: whole.needs.clone(),
            rollback: rollback(doc.rollback),
            moves: doc.moves.map(moves),
            adopt: doc.adopt.unwrap_or(false),
            source: document.file.clone(),
            id,
            form,
            ports,
        })
    }

    /// The compose project and the directory of an instance; named after its environment unless that is the first.
    fn home(
        &mut self,
        id: &UnitId,
        doc: &ServiceDoc,
        origin: &Origin,
        node: &Node,
    ) -> Option<(String, AbsPath)> {
        let service = id.name.as_ref().map(Name::as_str).unwrap_or_default();
        let own = match &id.environment {
            Some(environment) => format!("{service}-{environment}"),
            None => service.to_owned(),
        };
        let written = doc.directory.as_ref().map(|path| path.0.clone());
        let directory = written.map_or_else(|| node.paths.services.join(&own), Ok);
        match directory {
            Ok(path) => Some((doc.project.as_ref().map_or(own, |project| project.0.clone()), path)),
            Err(error) => {
                self.error(codes::BAD_PATH, error.to_string(), self.at(origin, ""));
                None
            }
        }
    }
}

/// The names of all ports, also when they are not published.
pub fn port_names(doc: &ServiceDoc) -> Vec<String> {
    doc.ports.iter().flatten().map(|(name, _)| name.clone()).collect()
}

/// Whether the author wrote a health check, for the rollout or for Docker.
fn declared(doc: &ServiceDoc) -> bool {
    let inside = matches!(doc.healthcheck, Some(HealthcheckDoc::Full(_)));
    inside || health::declared(doc.health.as_ref())
}

fn rollback(doc: Option<RollbackDoc>) -> Rollback {
    match doc {
        Some(RollbackDoc::Never) => Rollback::Never,
        Some(RollbackDoc::Auto) | None => Rollback::Auto,
    }
}

fn moves(doc: MovesDoc) -> Moves {
    match doc {
        MovesDoc::Empty => Moves::Empty,
        MovesDoc::Synced => Moves::Synced,
    }
}
