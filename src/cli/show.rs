//! `gitsync show ID`: one rollout with every step.

use clap::Args;

use crate::report::{plan as view, words};
use crate::settings::Flags;

use super::context::{Format, Global};
use super::output::{self, colour_out, when};
use super::problem::Problem;

/// One rollout with every step.
#[derive(Debug, Args)]
pub struct Show {
    /// The rollout, as `gitsync history` lists it
    id: String,
    /// How it is told
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Show {
    /// Prints the plan and every event with its time.
    pub async fn run(&self, global: &Global) -> Result<u8, Problem> {
        let settings = global.settings(Flags::default())?;
        let journal = global.reader(&settings).await?;
        let Some(shown) = journal.show(&self.id).await? else {
            return Err(Problem::new(format!("there is no rollout `{}`", self.id))
                .hint("`gitsync history` lists them"));
        };
        if self.format == Format::Json {
            return output::json(&shown);
        }
        let filter = view::Filter::default();
        anstream::print!("{}", view::human(&shown.plan, &filter, colour_out()));
        for event in &shown.events {
            let time = when(event.at);
            for line in words::lines(event) {
                anstream::println!("{time}  {line}");
            }
        }
        Ok(0)
    }
}
