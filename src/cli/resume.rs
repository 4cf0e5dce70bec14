//! Rollouts that an earlier controller left without a verdict: taken up before anything new begins.

use std::path::Path;

use crate::engine::{Conductor, resumable};
use crate::journal::RolloutRecord;
use crate::settings::Settings;

use super::apply;
use super::context::{self, Format, Global, Wanted};
use super::notices::Notices;
use super::output;
use super::problem::Problem;
use super::signals;

/// What rollouts that were left are judged by.
pub struct LeftOver<'a> {
    /// What the controller may do now.
    pub settings: &'a Settings,
    /// The fleet's folder.
    pub path: &'a Path,
    /// What is wanted now.
    pub wanted: &'a Wanted,
}

impl LeftOver<'_> {
    /// Takes up every open rollout of this fleet in the journal and drives it to its verdict.
    ///
    /// Contents come from the rollout's own commit; when that can't be read or is no longer allowed, it is put back.
    pub async fn take_up(
        &self,
        global: &Global,
        conductor: &Conductor<'_>,
        format: Format,
        notices: &mut Notices,
    ) -> Result<(), Problem> {
        let Self { settings, path, wanted } = self;
        for record in conductor.journal.open_rollouts().await? {
            if record.plan.fleet != wanted.fleet.name {
                continue;
            }
            let id = record.id.clone();
            let own = own(global, path, &record);
            let distrust = match &record.plan.commit {
                Some(commit) => context::unsigned(path, commit, settings),
                None => Ok(None),
            };
            let both = own.as_ref().map(|own| (&own.fleet, &own.release));
            let found = resumable(&record, both, settings.limits.as_ref(), distrust);
            let nodes = context::nodes(found.fleet.unwrap_or(&wanted.fleet), settings)?;
            let (mut rollout, work) = conductor.resume(record, found, nodes).await?;
            let mut stop = signals::for_rollout()?;
            let mut progress = output::progress(global, format);
            let mut listen = |event: &crate::event::Event| {
                progress.tell(event);
                notices.event(event);
            };
            let driven =
                conductor.conduct(&mut rollout, &work, true, &mut stop, &mut listen).await?;
            if matches!(apply::ended(&driven, &id)?, 1 | 4) {
                let message = format!("rollout {id}, left by an earlier run, is not at a good end");
                return Err(Problem::new(message)
                    .hint(format!("`gitsync show {id}` tells every step"))
                    .exits(apply::code(&driven)));
            }
        }
        Ok(())
    }
}

/// What the rollout's own commit says, if it can still be read.
fn own(global: &Global, path: &Path, record: &RolloutRecord) -> Option<Wanted> {
    let commit = record.plan.commit.as_ref().filter(|_| !record.plan.dirty)?;
    let snapshot = context::at_revision(path, &commit.id).ok()?;
    global.wanted(&snapshot).ok()
}
