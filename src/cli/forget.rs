//! `gitsync forget`: a node that left the fleet is gone for good.

use clap::Args;

use crate::journal::{Departed, Forgotten};
use crate::model::{Name, Release};
use crate::render;
use crate::settings::Flags;

use super::context::{self, Global, Place};
use super::left;
use super::output;
use super::problem::Problem;

/// Say that a node which left the fleet is gone for good: it is never asked again.
///
/// A node whose file is taken out of the repository is cleaned by the next rollout. One that does not answer then is asked
/// again by every rollout until it was cleaned: nothing is forgotten by itself. What still runs on a node that is forgotten
/// stays as it is.
#[derive(Debug, Args)]
pub struct ForgetCommand {
    /// The node
    #[arg(value_name = "NODE", value_parser = name)]
    node: Name,
    #[command(flatten)]
    place: Place,
    /// Why; it stands in the record
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Forget without asking
    #[arg(long, short)]
    yes: bool,
}

fn name(text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|error| error.to_string())
}

impl ForgetCommand {
    /// Forgets the node; nothing on it is changed.
    pub async fn run(&self, global: &Global) -> Result<u8, Problem> {
        if self.reason.trim().is_empty() {
            return Err(Problem::new("forgetting needs a reason").hint("pass --reason TEXT"));
        }
        let wanted = global.wanted(&self.place.snapshot()?)?;
        let fleet = &wanted.fleet;
        let node = &self.node;
        if fleet.nodes.contains_key(node) {
            return Err(Problem::new(format!("{node} is in this fleet"))
                .hint(format!("take nodes/{node}.yaml out and roll that out first")));
        }
        let settings = global.settings(Flags::default())?;
        let journal = global.journal(&settings).await?;
        let departed = journal.departed(&fleet.name).await?;
        let found = self.found(&departed)?;
        self.tell(found);
        if !self.yes && !output::confirmed(&format!("Forget {node}?")) {
            return Err(Problem::new("not confirmed: nothing was changed")
                .hint("without a terminal, pass --yes"));
        }
        let forgotten = Forgotten {
            by: context::holder(),
            reason: self.reason.trim().to_owned(),
            at: context::clock().now(),
        };
        journal.forget(&fleet.name, node, &forgotten).await?;
        if !global.quiet {
            anstream::println!(
                "{node} is forgotten; it counts again once nodes/{node}.yaml is back"
            );
        }
        Ok(0)
    }

    fn found<'a>(&self, departed: &'a [Departed]) -> Result<&'a Departed, Problem> {
        let node = &self.node;
        let found = departed.iter().find(|one| one.node == *node);
        let Some(found) = found else {
            let open = departed.iter().filter(|one| one.forgotten.is_none());
            let names: Vec<&str> = open.map(|one| one.node.as_str()).collect();
            let hint = match names.is_empty() {
                true => "no node is: `gitsync apply` remembers one that left and does not answer"
                    .to_owned(),
                false => format!("remembered: {}", names.join(", ")),
            };
            return Err(Problem::new(format!("{node} is not remembered here")).hint(hint));
        };
        match &found.forgotten {
            Some(before) => Err(Problem::new(format!(
                "{node} was forgotten by {} at {}: {}",
                before.by,
                output::when(before.at),
                before.reason
            ))),
            None => Ok(found),
        }
    }

    /// Says what would stay, as far as the commit that had the node can be read.
    fn tell(&self, found: &Departed) {
        let since = output::when(found.since);
        anstream::eprintln!("{} left the fleet and could not be cleaned since {since}", self.node);
        let fleet = left::fleet_of(&self.place.path, &found.commit);
        let release = fleet.and_then(|fleet| render::render(&fleet).ok());
        for line in release.iter().flat_map(|release| stays(release, &self.node)) {
            anstream::eprintln!("  {line}");
        }
    }
}

fn stays(release: &Release, node: &Name) -> Vec<String> {
    release.on(node).map(|unit| format!("{} in {} stays", unit.id, unit.directory)).collect()
}
