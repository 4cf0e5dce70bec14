//! `gitsync validate`: every problem of every file in one run.

use clap::{Args, ValueEnum};

use crate::check;
use crate::diagnostic::Severity;
use crate::render;
use crate::report::diagnostics;

use super::context::{self, Global, Place};
use super::output::colour_out;
use super::problem::Problem;

/// Check a fleet repository.
#[derive(Debug, Args)]
pub struct Validate {
    #[command(flatten)]
    place: Place,
    /// How problems are told
    #[arg(long, value_enum, default_value_t)]
    format: Report,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Report {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// As GitHub shows them beside the lines of a pull request
    Github,
}

impl Validate {
    /// Checks and renders; exit code 2 when anything is an error.
    pub fn run(&self, global: &Global) -> Result<u8, Problem> {
        let snapshot = self.place.snapshot()?;
        let checked = check::check(&snapshot);
        let mut found = checked.diagnostics;
        if let Some(Err(more)) = checked.fleet.as_ref().map(render::render) {
            found.extend(more);
        }
        let bad = found.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        let text = match self.format {
            Report::Json => diagnostics::json(&found),
            Report::Github => diagnostics::github(&found, &self.prefix()),
            Report::Text if global.quiet && !bad => String::new(),
            Report::Text if found.is_empty() => {
                format!("{}\n", diagnostics::summary(&found, snapshot.entries.len()))
            }
            Report::Text => context::problems(&found, &snapshot, colour_out()),
        };
        anstream::print!("{text}");
        Ok(if bad { 2 } else { 0 })
    }

    /// Where the fleet's folder is in its repository, for places that GitHub understands.
    fn prefix(&self) -> String {
        let path = self.place.path.display().to_string();
        let path = path.trim_start_matches("./").trim_end_matches('/');
        if path.is_empty() || path == "." { String::new() } else { format!("{path}/") }
    }
}
