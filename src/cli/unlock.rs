//! `gitsync unlock`: another's hold ended, with a reason.

use std::collections::BTreeMap;

use clap::Args;

use crate::journal::Unlocked;
use crate::model::{Holder, Name, Timestamp, Verdict};
use crate::transport::Unlock;

use super::context::{self, Global, Place};
use super::look::{Look, look};
use super::output;
use super::problem::Problem;

/// End the hold of a rollout whose controller is dead for good; nodes take back what it changed.
///
/// Not needed where nodes hold a lease: they are free again soon after their controller fell silent.
#[derive(Debug, Args)]
pub struct UnlockCommand {
    #[command(flatten)]
    place: Place,
    /// Why; it stands in the history and on the nodes
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Only these nodes
    #[arg(long, value_name = "NAME", value_parser = name)]
    node: Vec<Name>,
    /// Unlock without asking
    #[arg(long, short)]
    yes: bool,
}

fn name(text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|error| error.to_string())
}

/// The nodes that one rollout holds.
struct Hold {
    holder: Holder,
    nodes: Vec<Name>,
}

impl UnlockCommand {
    /// Ends every hold on the chosen nodes.
    pub async fn run(&self, global: &Global) -> Result<u8, Problem> {
        if self.reason.trim().is_empty() {
            return Err(Problem::new("an unlock needs a reason").hint("pass --reason TEXT"));
        }
        let look = look(global, &self.place).await?;
        let journal = global.journal(&look.settings).await?;
        let holds = self.holds(&look)?;
        for hold in &holds {
            anstream::eprintln!("{}", told(hold));
        }
        if !self.yes
            && !output::confirmed("End this, and have the nodes take back what it changed?")
        {
            return Err(Problem::new("not confirmed: nothing was changed")
                .hint("without a terminal, pass --yes"));
        }
        let now = context::clock().now();
        for hold in &holds {
            let unlocked = self.unlock(&look, hold, now).await?;
            journal.unlocked(&unlocked).await?;
            if let Some(open) = journal.open_of(&hold.holder.nonce).await? {
                let why = format!("unlocked by {}: {}", unlocked.by, unlocked.reason);
                journal.finish(&open, Verdict::NeedsOperator, &why, now).await?;
            }
        }
        if !global.quiet {
            anstream::println!("unlocked; the next rollout plans from what the nodes run now");
        }
        Ok(0)
    }

    fn holds(&self, look: &Look) -> Result<Vec<Hold>, Problem> {
        let known = |node: &&Name| look.wanted.fleet.nodes.contains_key(*node);
        if let Some(stranger) = self.node.iter().find(|node| !known(node)) {
            return Err(Problem::new(format!("this fleet has no node {stranger}")));
        }
        let chosen = |node: &Name| self.node.is_empty() || self.node.contains(node);
        let mut holds: BTreeMap<String, Hold> = BTreeMap::new();
        for node in look.nodes.names().filter(|node| chosen(node)) {
            let Some(report) = look.observed.report(node) else { continue };
            let Some(holder) = &report.record.holder else { continue };
            let fresh = || Hold { holder: holder.clone(), nodes: Vec::new() };
            holds.entry(holder.nonce.clone()).or_insert_with(fresh).nodes.push(node.clone());
        }
        if holds.is_empty() {
            return Err(Problem::new("nobody holds a node here")
                .hint("`gitsync status` tells who holds what, and which nodes answer"));
        }
        Ok(holds.into_values().collect())
    }

    async fn unlock(&self, look: &Look, hold: &Hold, now: Timestamp) -> Result<Unlocked, Problem> {
        let request = Unlock {
            fleet: look.wanted.fleet.name.clone(),
            nonce: hold.holder.nonce.clone(),
            by: context::holder(),
            reason: self.reason.trim().to_owned(),
            at: now,
        };
        for node in &hold.nodes {
            if let Some(transport) = look.nodes.get(node) {
                transport.unlock(&request).await?;
            }
        }
        let Hold { holder, nodes } = hold;
        Ok(Unlocked {
            fleet: request.fleet,
            rollout: holder.rollout.clone(),
            held_by: holder.who.clone(),
            nodes: nodes.clone(),
            by: request.by,
            reason: request.reason,
            at: now,
        })
    }
}

fn told(hold: &Hold) -> String {
    let nodes: Vec<&str> = hold.nodes.iter().map(Name::as_str).collect();
    let Holder { who, rollout, since, .. } = &hold.holder;
    let (nodes, since) = (nodes.join(", "), output::when(*since));
    format!("{nodes}: held by {who}, rollout {rollout}, since {since}")
}
