//! Rollouts that an earlier controller left: what they go on with, or why they are put back.

use std::collections::BTreeMap;

use tokio::sync::watch;

use crate::check;
use crate::event::Event;
use crate::journal::{Kind, RolloutRecord};
use crate::model::{Fleet, Limits, Release};
use crate::render;
use crate::source::{Distrust, SourceError};

use super::daemon::{Daemon, DaemonError, Next};
use super::drive::{Driven, Stop};
use super::gate::{pinned, within};
use super::news::News;

/// What a rollout that was left goes on with.
#[derive(Debug)]
pub struct Resumable<'a> {
    /// The fleet whose nodes and gateways are asked; none when the rollout's own can't be had or is not the pinned one.
    pub fleet: Option<&'a Fleet>,
    /// What is brought, or why the rollout is put back unless it was decided.
    pub release: Result<&'a Release, String>,
}

/// Judges what a rollout's own commit says, by the limits and signers of now: they may be stricter than then.
///
/// A rollback is not judged by its signature: it goes to what nodes keep, as an operator said.
pub fn resumable<'a>(
    record: &RolloutRecord,
    own: Option<(&'a Fleet, &'a Release)>,
    limits: Option<&Limits>,
    distrust: Result<Option<Distrust>, SourceError>,
) -> Resumable<'a> {
    let put_back =
        |fleet, why: &str| Resumable { fleet, release: Err(format!("its commit {why}")) };
    let beyond = "is beyond the limits of this controller";
    let Some((fleet, release)) = own else {
        return put_back(None, "can't be read any more");
    };
    if pinned(fleet, limits).is_err() {
        return put_back(None, beyond);
    }
    if within(fleet, release, limits, &BTreeMap::new()).is_err() {
        return put_back(Some(fleet), beyond);
    }
    let untrusted = match distrust {
        _ if record.kind == Kind::Rollback => None,
        Ok(distrust) => distrust.map(|distrust| distrust.message),
        Err(error) => Some(error.to_string()),
    };
    if let Some(why) = untrusted {
        return put_back(Some(fleet), &format!("is not trusted any more: {why}"));
    }
    if release.digest() != record.plan.release {
        return put_back(Some(fleet), "is rendered to something else by now");
    }
    Resumable { fleet: Some(fleet), release: Ok(release) }
}

impl Daemon {
    /// Goes on with rollouts that an earlier controller left without a verdict.
    ///
    /// One that can't go on is put back, over the ways that `now` knows when its own are not to be had.
    pub(super) async fn take_up(
        &self,
        now: Option<&Fleet>,
        stop: &mut watch::Receiver<Stop>,
        tell: &mut (dyn FnMut(News) + Send),
    ) -> Result<Next, DaemonError> {
        for record in self.journal.open_rollouts().await? {
            let commit = record.plan.commit.as_ref().map(|commit| commit.id.clone());
            let (wanted, distrust) = match commit {
                Some(id) => (self.rendered(&id).await, self.distrusted(&id).await),
                None => (None, Ok(None)),
            };
            let own = wanted.as_ref().map(|(fleet, release)| (fleet, release));
            let found = resumable(&record, own, self.limits.as_ref(), distrust);
            if let Err(why) = &found.release {
                tell(News::Broken(format!("rollout {}: {why}", record.id)));
            }
            let known = now.filter(|now| now.name == record.plan.fleet);
            let Some(Ok(nodes)) = found.fleet.or(known).map(|fleet| self.nodes(fleet)) else {
                continue;
            };
            let conductor = self.conductor();
            let (mut rollout, work) = conductor.resume(record, found, nodes).await?;
            let mut listen = |event: &Event| tell(News::Rollout(event.clone()));
            let driven = conductor.conduct(&mut rollout, &work, true, stop, &mut listen).await?;
            if driven == Driven::Left {
                return Ok(Next::Leave);
            }
        }
        Ok(Next::Rest)
    }

    async fn rendered(&self, commit: &str) -> Option<(Fleet, Release)> {
        let snapshot = self.mirror.snapshot(commit, &self.path).await.ok()?;
        let fleet = check::check(&snapshot).fleet?;
        let release = render::render(&fleet).ok()?;
        Some((fleet, release))
    }
}
