//! `lab down`: ends labs.

use gitsync_lab::Result;

use super::{Named, say};

#[derive(Debug, clap::Args)]
pub struct Down {
    #[command(flatten)]
    lab: Named,
    /// All labs that `lab up` made; those of running tests stay
    #[arg(long)]
    all: bool,
}

impl Down {
    pub fn run(&self) -> Result<()> {
        gitsync_lab::check_root()?;
        gitsync_lab::sweep()?;
        let names = if self.all { gitsync_lab::names()? } else { vec![self.lab.name.clone()] };
        for name in &names {
            let was_up = gitsync_lab::down(name)?;
            say(&format!("lab `{name}` {}\n", if was_up { "is down" } else { "was not up" }));
        }
        if names.is_empty() {
            say("no lab was up\n");
        }
        Ok(())
    }
}
