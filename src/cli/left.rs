//! Nodes that left the fleet, asked over the ways that earlier commits of a repository know.

use std::path::Path;

use async_trait::async_trait;

use crate::check;
use crate::engine::{Asked, Earlier, Left, Nodes};
use crate::journal::Journal;
use crate::model::{Fleet, Node, Timestamp};
use crate::settings::Settings;
use crate::source;
use crate::transport::{SshOptions, connect};

use super::context::{self, Wanted};
use super::problem::Problem;

/// Earlier fleets of a repository, and the ways to their nodes.
struct Commits<'a> {
    path: &'a Path,
    options: SshOptions,
    parallel: usize,
}

#[async_trait]
impl Earlier for Commits<'_> {
    async fn fleet(&self, commit: &str) -> Option<Fleet> {
        fleet_of(self.path, commit)
    }

    fn ways(&self, nodes: Vec<&Node>, fleet: &Fleet) -> Option<Nodes> {
        Nodes::new(nodes, self.parallel, |node| connect(node, &fleet.nodes, &self.options)).ok()
    }
}

/// The fleet of a commit; none when it can't be read any more.
pub fn fleet_of(path: &Path, commit: &str) -> Option<Fleet> {
    check::check(&source::revision(path, commit).ok()?).fleet
}

/// Asks nodes that left the fleet, as far as commits that had them can be read; `now` when that may be written down.
pub async fn ask(
    path: &Path,
    wanted: &Wanted,
    settings: &Settings,
    (journal, now): (&Journal, Option<Timestamp>),
    asked: &mut Asked,
) -> Result<(), Problem> {
    let left = Left {
        fleet: &wanted.fleet,
        commit: wanted.release.commit.as_ref().map(|commit| commit.id.as_str()),
        limits: settings.limits.as_ref(),
        journal,
        now,
    };
    let options = context::ssh_options(settings)?;
    let commits = Commits { path, options, parallel: settings.parallel };
    Ok(asked.ask_left(&left, &commits).await?)
}
