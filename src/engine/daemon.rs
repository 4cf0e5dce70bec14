//! The daemon: watches a repository and moves the fleet to its newest commit, one rollout at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

use crate::check;
use crate::clock::{Clock, jitter};
use crate::event::Event;
use crate::journal::{self, Journal, Kind};
use crate::model::{Fleet, Limits, Node, Release, UnitId, Verdict};
use crate::render;
use crate::rollout::NodeProgress;
use crate::settings::Signatures;
use crate::source::{Mirror, SourceError};
use crate::transport::Transport;
use crate::transport::ssh::ConfigError;

use super::asked::Asked;
use super::departed::{Earlier, Left};
use super::drive::{DriveError, Driven, Stop};
use super::gate::{gate, within};
use super::news::News;
use super::nodes::Nodes;
use super::patience::Patience;
use super::sealed::Vault;
use super::transact::{Conductor, survey};
use super::upkeep::Upkeep;

/// A unit that keeps falling, and a rollout that keeps failing on the way, are tried again at least this often.
const LONGEST_REST: Duration = Duration::from_secs(600);

/// Makes the way to a node of a fleet.
pub type Connect =
    Arc<dyn Fn(&Node, &Fleet) -> Result<Arc<dyn Transport>, ConfigError> + Send + Sync>;

/// Watches a repository and moves the fleet to its newest commit.
pub struct Daemon {
    /// The controller's copy of the repository.
    pub mirror: Mirror,
    /// The branch that is wanted.
    pub branch: String,
    /// The fleet's folder in the repository; empty for its root.
    pub path: String,
    /// Between two looks, before jitter.
    pub interval: Duration,
    /// Nodes asked at once.
    pub parallel: usize,
    /// The way to nodes.
    pub connect: Connect,
    /// The controller's record.
    pub journal: Journal,
    /// Time.
    pub clock: Clock,
    /// Who, in words.
    pub holder: String,
    /// Whether a commit need not follow the last good one.
    pub any_history: bool,
    /// The unit that this daemon itself runs in.
    pub controller: Option<UnitId>,
    /// Whose signature a commit must have.
    pub signatures: Option<Signatures>,
    /// What no commit may go beyond.
    pub limits: Option<Limits>,
    /// What opens the fleet's secrets.
    pub vault: Arc<dyn Vault>,
}

/// Why the daemon can't go on at all.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The journal can't be read or written.
    #[error(transparent)]
    Journal(#[from] crate::journal::JournalError),
    /// A rollout could not be driven.
    #[error(transparent)]
    Drive(#[from] DriveError),
}

/// What wakes the daemon between two looks.
pub struct Wakes {
    /// What the system asks.
    pub stop: watch::Receiver<Stop>,
    /// Look now (SIGHUP, or a local repository that changed).
    pub look: mpsc::Receiver<()>,
}

/// What is left to do after a look at a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing until the branch moves.
    Rest,
    /// The same commit again after the interval: a node was missing, or somebody stood in the way.
    Again,
    /// The same commit again, ever more rarely: a rollout of it failed on the way.
    Later,
    /// Leave.
    Leave,
}

/// What came of a look at a commit.
struct Looked {
    next: Next,
    /// Whether what an earlier controller left was taken up.
    taken_up: bool,
    /// The fleet that the commit describes; none when it is not valid or has no nodes.
    fleet: Option<Fleet>,
}

impl Daemon {
    /// Runs until it is asked to stop. A failed look or rollout is told and tried again; only a journal that
    /// can't be written ends it.
    pub async fn run(
        &self,
        mut wakes: Wakes,
        tell: &mut (dyn FnMut(News) + Send),
    ) -> Result<(), DaemonError> {
        let mut seen: Option<(String, Next)> = None;
        let mut first = true;
        let mut fleet = None;
        let mut upkeep = Upkeep::default();
        let mut patience = Patience::default();
        while *wakes.stop.borrow() == Stop::No {
            match self.tip().await {
                Ok(commit) => {
                    let known = seen.as_ref().filter(|(id, _)| *id == commit);
                    let new = known.is_none();
                    if first || known.is_none_or(|(_, next)| patience.asks(*next)) {
                        let looked = self.look(&commit, new, first, &mut wakes.stop, tell).await?;
                        let next = looked.next;
                        fleet = looked.fleet.or(fleet);
                        first &= !looked.taken_up;
                        patience.after(next, new, self.longest());
                        if next == Next::Leave {
                            return Ok(());
                        }
                        seen = Some((commit, next));
                        if self.moved(&seen).await {
                            continue;
                        }
                    }
                }
                Err(error) => tell(News::Unavailable(error.to_string())),
            }
            let awake =
                |fleet: &&Fleet| fleet.suspend.is_none() && self.suspension(fleet).is_none();
            if let Some(fleet) = fleet.as_ref().filter(awake) {
                tokio::select! {
                    () = self.keep_up(fleet, &mut upkeep, tell) => {}
                    _ = wakes.stop.changed() => continue,
                }
            }
            self.rest(&mut wakes).await;
        }
        Ok(())
    }

    async fn tip(&self) -> Result<String, SourceError> {
        self.mirror.fetch().await?;
        self.mirror.tip(&self.branch).await
    }

    /// Whether the branch moved while a commit was being worked on.
    async fn moved(&self, seen: &Option<(String, Next)>) -> bool {
        let tip = self.tip().await.ok();
        tip.is_some() && tip.as_ref() != seen.as_ref().map(|(id, _)| id)
    }

    async fn rest(&self, wakes: &mut Wakes) {
        let until = self.clock.now().after(jitter(self.interval));
        tokio::select! {
            () = self.clock.sleep_until(until) => {}
            _ = wakes.stop.changed() => {}
            Some(()) = wakes.look.recv() => {}
        }
    }

    /// Looks at one commit: from its files to a verdict, if there is anything to do.
    async fn look(
        &self,
        commit: &str,
        new: bool,
        first: bool,
        stop: &mut watch::Receiver<Stop>,
        tell: &mut (dyn FnMut(News) + Send),
    ) -> Result<Looked, DaemonError> {
        tell(News::Looking(commit.to_owned()));
        let trusted = self.trusted(commit, new, tell).await;
        let wanted = match &trusted {
            Ok(true) => self.wanted(commit, new, tell).await,
            _ => Ok(None),
        };
        let (trusted, wanted) = match trusted.and_then(|trusted| Ok((trusted, wanted?))) {
            Ok(both) => both,
            Err(error) => {
                tell(News::Unavailable(error.to_string()));
                return Ok(Looked { next: Next::Again, taken_up: false, fleet: None });
            }
        };
        let now = wanted.as_ref().map(|(fleet, _)| fleet);
        if first && self.take_up(now, stop, tell).await? == Next::Leave {
            return Ok(Looked { next: Next::Leave, taken_up: true, fleet: None });
        }
        let Some((fleet, release)) = wanted else {
            // Who may sign can change while the branch stays.
            let next = if trusted { Next::Rest } else { Next::Again };
            return Ok(Looked { next, taken_up: true, fleet: None });
        };
        let next = self.move_to(&fleet, release, stop, tell).await?;
        // One without nodes is none to keep up: what its nodes ran goes on as it is.
        Ok(Looked {
            next,
            taken_up: true,
            fleet: Some(fleet).filter(|fleet| !fleet.nodes.is_empty()),
        })
    }

    /// How many looks the longest rest takes.
    pub(super) fn longest(&self) -> u32 {
        let looks = LONGEST_REST.as_millis() / self.interval.as_millis().max(1);
        u32::try_from(looks).unwrap_or(u32::MAX)
    }

    async fn wanted(
        &self,
        commit: &str,
        new: bool,
        tell: &mut (dyn FnMut(News) + Send),
    ) -> Result<Option<(Fleet, Release)>, SourceError> {
        let snapshot = self.mirror.snapshot(commit, &self.path).await?;
        if let Some(commit) = snapshot.commit.clone().filter(|_| new) {
            tell(News::Commit(commit));
        }
        let checked = check::check(&snapshot);
        let mut found = checked.diagnostics;
        let wanted = match checked.fleet {
            Some(fleet) => match render::render(&fleet) {
                Ok(release) => Some((fleet, release)),
                Err(more) => {
                    found.extend(more);
                    None
                }
            },
            None => None,
        };
        match &wanted {
            None => tell(News::Invalid(found, snapshot)),
            Some(_) if new && !found.is_empty() => tell(News::Warnings(found, snapshot)),
            Some(_) => {}
        }
        let limited = |(fleet, release): &(Fleet, Release)| {
            within(fleet, release, self.limits.as_ref(), &BTreeMap::new()).err()
        };
        if let Some(refusal) = wanted.as_ref().and_then(limited) {
            tell(News::Refused(refusal));
            return Ok(None);
        }
        Ok(wanted)
    }

    pub(super) fn nodes(&self, fleet: &Fleet) -> Result<Nodes, ConfigError> {
        Nodes::new(fleet.nodes.values(), self.parallel, |node| (self.connect)(node, fleet))
    }

    pub(super) fn conductor(&self) -> Conductor<'_> {
        Conductor {
            journal: &self.journal,
            clock: &self.clock,
            holder: self.holder.clone(),
            vault: self.vault.as_ref(),
        }
    }

    /// Why this controller changes nothing of a fleet for now, in words.
    fn suspension(&self, fleet: &Fleet) -> Option<String> {
        let now = self.clock.now();
        journal::suspension(self.journal.directory(), &fleet.name, now).map(|it| it.words(now))
    }

    async fn move_to(
        &self,
        fleet: &Fleet,
        release: Release,
        stop: &mut watch::Receiver<Stop>,
        tell: &mut (dyn FnMut(News) + Send),
    ) -> Result<Next, DaemonError> {
        let nodes = match self.nodes(fleet) {
            Ok(nodes) => nodes,
            Err(error) => {
                tell(News::Broken(error.to_string()));
                return Ok(Next::Rest);
            }
        };
        let mut asked = Asked::ask(&fleet.name, nodes).await;
        let left = Left {
            fleet,
            commit: release.commit.as_ref().map(|commit| commit.id.as_str()),
            limits: self.limits.as_ref(),
            journal: &self.journal,
            now: Some(self.clock.now()),
        };
        asked.ask_left(&left, self).await?;
        asked.let_go(&self.journal).await?;
        asked.remember(fleet, &self.journal).await?;
        asked.halt(fleet);
        asked.suspend(fleet, self.suspension(fleet));
        asked.spare(self.controller.clone());
        if let Err(error) = self.recall(release.commit.as_ref(), &mut asked).await {
            tell(News::Unavailable(error.to_string()));
            return Ok(Next::Again);
        }
        let survey = survey(fleet, release, asked, false).await;
        let asleep = !survey.plan.skipped.is_empty();
        if let Err(refusal) = gate(&survey.plan, &survey.observed, false) {
            let stays = refusal.stays();
            tell(News::Refused(refusal));
            return Ok(if stays { Next::Rest } else { Next::Again });
        }
        if survey.plan.is_empty() {
            tell(if fleet.nodes.is_empty() { News::NoNodes } else { News::UpToDate });
            return Ok(if asleep { Next::Again } else { Next::Rest });
        }
        tell(News::Planned(Box::new(survey.plan.clone())));
        let conductor = self.conductor();
        let (mut rollout, work) = match conductor.begin(survey, Kind::Daemon).await {
            // The key may be there at the next look.
            Err(DriveError::Sealed(why)) => {
                tell(News::Broken(format!("the secrets can't be opened: {why}")));
                return Ok(Next::Again);
            }
            begun => begun?,
        };
        let mut listen = |event: &Event| tell(News::Rollout(event.clone()));
        let driven = conductor.conduct(&mut rollout, &work, false, stop, &mut listen).await?;
        let left = rollout.nodes().any(|(_, progress)| progress == NodeProgress::Left);
        Ok(after(&driven, asleep || left, rollout.quarantine().is_some()))
    }
}

#[async_trait]
impl Earlier for Daemon {
    async fn fleet(&self, commit: &str) -> Option<Fleet> {
        let snapshot = self.mirror.snapshot(commit, &self.path).await.ok()?;
        check::check(&snapshot).fleet
    }

    fn ways(&self, nodes: Vec<&Node>, fleet: &Fleet) -> Option<Nodes> {
        Nodes::new(nodes, self.parallel, |node| (self.connect)(node, fleet)).ok()
    }
}

fn after(driven: &Driven, asleep: bool, quarantined: bool) -> Next {
    match driven {
        Driven::Left => Next::Leave,
        Driven::Ended(Verdict::Converged, _) if asleep => Next::Again,
        Driven::Ended(Verdict::RolledBack, _) if !quarantined => Next::Later,
        Driven::Ended(..) => Next::Rest,
    }
}
