//! `gitsync show-plan`: a saved plan as it was when it was made.

use std::path::PathBuf;

use clap::Args;

use super::plan::View;
use super::problem::Problem;
use super::saved;

/// Show a plan that `gitsync plan --out` saved. No node is asked, and no repository is read.
#[derive(Debug, Args)]
pub struct ShowPlan {
    /// The saved plan
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How the plan is told
    #[arg(long, value_enum, default_value_t)]
    format: View,
}

impl ShowPlan {
    /// Reads the plan and prints it.
    pub fn run(&self) -> Result<u8, Problem> {
        let saved = saved::read(&self.file)?;
        self.format.print(&saved.plan, &Default::default())?;
        Ok(0)
    }
}
