//! `gitsync import`: what there is already, as files of a fleet repository.

use clap::{Args, Subcommand};

use super::context::Global;
use super::problem::Problem;

mod caddyfile;
mod compose;
mod disk;
mod proof;
mod repository;
mod tell;

/// Bring what there is already into a fleet repository.
#[derive(Debug, Args)]
pub struct Import {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make services of compose files, proven by `docker compose config`
    Compose(compose::Compose),
    /// Make a gateway of a Caddyfile, with the routes that services have to be given
    Caddyfile(caddyfile::Caddyfile),
}

impl Import {
    /// Writes what is brought into the repository, or nothing.
    pub fn run(&self, global: &Global) -> Result<u8, Problem> {
        match &self.what {
            What::Compose(command) => command.run(global),
            What::Caddyfile(command) => command.run(global),
        }
    }
}
