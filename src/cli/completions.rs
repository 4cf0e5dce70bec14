//! `gitsync completions SHELL`.

use clap::Args;
use clap_complete::Shell;

use super::problem::Problem;

/// Print completions for a shell.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell to complete for
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    pub fn run(&self) -> Result<u8, Problem> {
        clap_complete::generate(
            self.shell,
            &mut super::command(),
            "gitsync",
            &mut std::io::stdout(),
        );
        Ok(0)
    }
}
