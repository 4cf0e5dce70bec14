//! `gitsync graph`: the fleet as a picture.

use clap::{Args, ValueEnum};

use crate::report::graph;
use crate::report::plan::Filter;

use super::context::{Global, Place};
use super::output;
use super::problem::Problem;

/// Draw the fleet: nodes, their units, and what leads from one to another.
#[derive(Debug, Args)]
pub struct GraphCommand {
    #[command(flatten)]
    place: Place,
    /// What the picture is written in
    #[arg(long, value_enum, default_value_t)]
    format: Language,
    /// Only what is on this node, and what that is tied to
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// Only this service, and what it is tied to
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
}

/// What a picture is written in.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Language {
    /// For Markdown on GitHub, GitLab and Forgejo
    #[default]
    Mermaid,
    /// For Graphviz: `gitsync graph --format dot | dot -Tsvg`
    Dot,
    /// For programs
    Json,
}

impl GraphCommand {
    /// Prints the picture.
    pub fn run(&self, global: &Global) -> Result<u8, Problem> {
        let fleet = global.wanted(&self.place.snapshot()?)?.fleet;
        if let Some(node) = &self.node {
            super::render::known(node, &fleet.nodes)?;
        }
        let filter = Filter { node: self.node.clone(), service: self.service.clone() };
        let whole = graph::Graph::of(&fleet);
        if !whole.has(&filter) {
            let name = self.service.as_deref().unwrap_or_default();
            let place = self.node.iter().map(|node| format!(" on {node}")).collect::<String>();
            return Err(Problem::new(format!("there is no `{name}`{place}")).hint(
                "name a service as `api`, one environment of it as `api@dev`, anything else as `gateway.edge`",
            ));
        }
        let graph = whole.seen(&filter);
        match self.format {
            Language::Json => return output::json(&graph),
            Language::Mermaid => anstream::print!("{}", graph::mermaid(&graph)),
            Language::Dot => anstream::print!("{}", graph::dot(&graph)),
        }
        Ok(0)
    }
}
