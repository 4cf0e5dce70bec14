//! `gitsync history`: past rollouts of this controller, newest first.

use clap::Args;

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
        if self.format == Format::Json {
            return output::json(&past);
        }
        let head = ["ID", "FLEET", "BEGAN", "BY", "COMMIT", "VERDICT", "WHY"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(past.iter().map(|entry| {
            vec![
                entry.id.clone(),
                entry.fleet.to_string(),
                when(entry.started),
                entry.holder.clone(),
                entry.commit.as_deref().map_or("-", crate::report::words::short).to_owned(),
                entry.verdict.map_or("open".to_owned(), |verdict| verdict.to_string()),
                entry.reason.clone().unwrap_or_default(),
            ]
        }));
        anstream::print!("{}", table(&rows));
        Ok(0)
    }
}
