//! `lab run`: a command in the controller's place.

use std::ffi::OsString;

use gitsync_lab::Result;

use super::{Named, become_command};

#[derive(Debug, clap::Args)]
pub struct Run {
    #[command(flatten)]
    lab: Named,
    /// The command, in this directory and with this environment
    #[arg(last = true, required = true, num_args = 1.., value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Run {
    pub fn run(&self) -> Result<()> {
        let lab = self.lab.find()?;
        become_command(lab.run(&self.command))
    }
}
