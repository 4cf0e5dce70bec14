//! `gitsync suspend` and `gitsync resume`: nothing of a fleet is changed for a while.

use std::time::Duration;

use clap::Args;

use crate::journal::{self, Suspension};
use crate::settings::{Flags, Settings};

use super::context::{self, Global, Place};
use super::output;
use super::problem::Problem;
use super::run::duration;

/// Stop rollouts of a fleet on this controller for a while: the daemon changes nothing and starts nothing again.
///
/// It can be said while the daemon runs. A rollout that is under way goes on to its end. `suspend:` in fleet.yaml does the
/// same for every controller.
#[derive(Debug, Args)]
pub struct SuspendCommand {
    #[command(flatten)]
    place: Place,
    /// Why; everybody who is kept from a rollout reads it
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// It ends by itself after so long, as `2h` or `1d`
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
}

/// End the suspension of a fleet on this controller.
#[derive(Debug, Args)]
pub struct ResumeCommand {
    #[command(flatten)]
    place: Place,
}

impl SuspendCommand {
    /// Writes it down.
    pub fn run(&self, global: &Global) -> Result<u8, Problem> {
        let reason = self.reason.trim();
        if reason.is_empty() || reason.contains(char::is_control) {
            return Err(
                Problem::new("a suspension needs a reason of one line").hint("pass --reason TEXT")
            );
        }
        let wanted = global.wanted(&self.place.snapshot()?)?;
        let settings = global.settings(Flags::default())?;
        let now = context::clock().now();
        let suspension = Suspension {
            by: context::holder(),
            reason: reason.to_owned(),
            since: now,
            until: self.time.map(|time| now.after(time)),
        };
        let fleet = &wanted.fleet.name;
        journal::suspend(&settings.state, fleet, &suspension)
            .map_err(|error| problem(&settings, &error))?;
        if !global.quiet {
            let until = suspension.until.map_or("until `gitsync resume`".to_owned(), |until| {
                format!("until {} or `gitsync resume`", output::when(until))
            });
            anstream::println!("{fleet} is suspended on this controller {until}");
        }
        Ok(0)
    }
}

impl ResumeCommand {
    /// Takes it back.
    pub fn run(&self, global: &Global) -> Result<u8, Problem> {
        let wanted = global.wanted(&self.place.snapshot()?)?;
        let settings = global.settings(Flags::default())?;
        let fleet = &wanted.fleet.name;
        let was =
            journal::resume(&settings.state, fleet).map_err(|error| problem(&settings, &error))?;
        if !was {
            return Err(Problem::new(format!("{fleet} is not suspended on this controller")));
        }
        if !global.quiet {
            anstream::println!("{fleet} is resumed");
            if wanted.fleet.suspend.is_some() {
                anstream::println!("`suspend` in fleet.yaml still holds it");
            }
        }
        Ok(0)
    }
}

fn problem(settings: &Settings, error: &std::io::Error) -> Problem {
    let state = settings.state.display();
    let why = error.kind();
    Problem::new(format!("what is suspended can't be written below {state}: {why}"))
        .hint("make room there, or pass --state DIR; nothing was changed")
}
