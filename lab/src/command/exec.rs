//! `lab exec`: a command on a host, past its sshd.

use std::ffi::OsString;

use gitsync_lab::Result;

use super::{Named, become_command, host};

#[derive(Debug, clap::Args)]
pub struct Exec {
    #[command(flatten)]
    lab: Named,
    /// The host
    host: String,
    /// The command, as root; its environment is empty but for PATH and HOME
    #[arg(last = true, required = true, num_args = 1.., value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Exec {
    pub fn run(&self) -> Result<()> {
        let lab = self.lab.find()?;
        become_command(lab.exec(host(&*lab, &self.host)?, &self.command)?)
    }
}
