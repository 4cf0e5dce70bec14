//! `gitsync history`: past rollouts of this controller, newest first.

use clap::Args;

use crate::journal::{Past, Unlocked};
use crate::model::{Name, Timestamp};
use crate::settings::Flags;

use super::context::{Format, Global};
use super::output::{self, table, when};
use super::problem::Problem;

/// Past rollouts, newest first.
#[derive(Debug, Args)]
pub struct History {
    /// How many at most
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// How it is told
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl History {
    /// Prints a line per rollout.
    pub async fn run(&self, global: &Global) -> Result<u8, Problem> {
        let settings = global.settings(Flags::default())?;
        let journal = global.reader(&settings).await?;
        let past = journal.history(self.limit).await?;
        let unlocks = journal.unlocks(self.limit).await?;
        if self.format == Format::Json {
            return output::json(&told(&past, &unlocks));
        }
        let head = ["ID", "FLEET", "BEGAN", "BY", "COMMIT", "VERDICT", "WHY"];
        let mut rows: Vec<(Timestamp, Vec<String>)> =
            past.iter().map(|entry| (entry.started, row(entry))).collect();
        rows.extend(unlocks.iter().map(|entry| (entry.at, unlock_row(entry))));
        rows.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let rows = rows.into_iter().map(|(_, row)| row).take(self.limit as usize);
        let rows: Vec<_> = std::iter::once(head.map(str::to_owned).to_vec()).chain(rows).collect();
        anstream::print!("{}", table(&rows));
        Ok(0)
    }
}

fn row(entry: &Past) -> Vec<String> {
    vec![
        entry.id.clone(),
        entry.fleet.to_string(),
        when(entry.started),
        entry.holder.clone(),
        entry.commit.as_deref().map_or("-", crate::report::words::short).to_owned(),
        entry.verdict.map_or("open".to_owned(), |verdict| verdict.to_string()),
        entry.reason.clone().unwrap_or_default(),
    ]
}

fn unlock_row(entry: &Unlocked) -> Vec<String> {
    let dash = || "-".to_owned();
    let nodes: Vec<&str> = entry.nodes.iter().map(Name::as_str).collect();
    let why = format!(
        "{} (rollout {} of {}, on {})",
        entry.reason,
        entry.rollout,
        entry.held_by,
        nodes.join(", ")
    );
    let (fleet, by) = (entry.fleet.to_string(), entry.by.clone());
    vec![dash(), fleet, when(entry.at), by, dash(), "unlocked".to_owned(), why]
}

/// Rollouts as ever, and unlocks as objects with that one key.
fn told(past: &[Past], unlocks: &[Unlocked]) -> Vec<serde_json::Value> {
    let unlocks = unlocks.iter().map(|entry| (entry.at, serde_json::json!({ "unlocked": entry })));
    let past = past.iter().map(|entry| (entry.started, serde_json::json!(entry)));
    let mut all: Vec<(Timestamp, serde_json::Value)> = past.chain(unlocks).collect();
    all.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    all.into_iter().map(|(_, entry)| entry).collect()
}
