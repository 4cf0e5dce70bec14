//! `gitsync retry`: the quarantine lifted, so that a release is tried again.

use clap::Args;

use crate::model::Digest;

use super::context::{Global, Place};
use super::look::look;
use super::problem::Problem;

/// Lift the quarantine of the wanted release (or of another, or of all).
#[derive(Debug, Args)]
pub struct Retry {
    #[command(flatten)]
    place: Place,
    /// The release, by the first digits of its digest; the wanted one when absent
    #[arg(long, value_name = "DIGEST", conflicts_with = "all")]
    release: Option<String>,
    /// Every release
    #[arg(long)]
    all: bool,
}

impl Retry {
    /// Lifts the quarantine on every reachable node.
    pub async fn run(&self, global: &Global) -> Result<u8, Problem> {
        let look = look(global, &self.place).await?;
        let fleet = &look.wanted.fleet.name;
        let prefix = match &self.release {
            Some(prefix) => prefix.clone(),
            None if self.all => String::new(),
            None => look.wanted.release.digest().0,
        };
        let mut lifted = 0;
        for node in look.nodes.names() {
            let Some(report) = look.observed.report(node) else { continue };
            let entries = report.record.quarantine.iter().map(|entry| &entry.release);
            let found: Vec<&Digest> = entries.filter(|d| d.0.starts_with(&prefix)).collect();
            for release in &found {
                if let Some(transport) = look.nodes.get(node) {
                    transport.unquarantine(fleet, Some(release)).await?;
                    lifted += 1;
                }
            }
        }
        if lifted == 0 {
            return Err(Problem::new("no such release is quarantined")
                .hint("`gitsync status` lists what is quarantined"));
        }
        if !global.quiet {
            anstream::println!(
                "lifted on {lifted} nodes; the next look or `gitsync apply` tries again"
            );
        }
        Ok(0)
    }
}
