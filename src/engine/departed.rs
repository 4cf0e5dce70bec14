//! Nodes that left the fleet: asked for what still runs there until they are clean, or until an operator forgets them.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use crate::journal::{Departed, Journal, JournalError};
use crate::model::{Fleet, Limits, Name, Node, NodeState, Timestamp};

use super::asked::Asked;
use super::nodes::Nodes;

/// Earlier fleets and the ways to their nodes.
#[async_trait]
pub trait Earlier: Send + Sync {
    /// The fleet of a commit; none when it can't be read any more.
    async fn fleet(&self, commit: &str) -> Option<Fleet>;

    /// The ways to some nodes of it; none when there is no way.
    fn ways(&self, nodes: Vec<&Node>, fleet: &Fleet) -> Option<Nodes>;
}

/// What is known of nodes that left, and where it is written down.
pub struct Left<'a> {
    /// What is wanted now.
    pub fleet: &'a Fleet,
    /// Its commit, if it has one.
    pub commit: Option<&'a str>,
    /// Nodes that are not as they are pinned are not asked.
    pub limits: Option<&'a Limits>,
    /// The controller's record.
    pub journal: &'a Journal,
    /// Now; none when nothing may be written down.
    pub now: Option<Timestamp>,
}

impl Asked {
    /// Asks nodes that good releases had, or that left before they could be cleaned, so that what still runs there is
    /// removed. What doesn't answer is remembered.
    pub async fn ask_left(
        &mut self,
        left: &Left<'_>,
        earlier: &dyn Earlier,
    ) -> Result<(), JournalError> {
        let remembered = left.remembered().await?;
        let forgotten = |node: &Name| remembered.get(node).is_some_and(|it| it.forgotten.is_some());
        for commit in self.commits(left, &remembered) {
            let Some(fleet) = earlier.fleet(&commit).await else { continue };
            let mut gone = self.gone(&fleet, left.fleet, left.limits);
            gone.retain(|node| !forgotten(&node.name));
            let Some(nodes) = (!gone.is_empty()).then(|| earlier.ways(gone, &fleet)).flatten()
            else {
                continue;
            };
            for (node, clean) in self.join(&left.fleet.name, nodes).await {
                left.note(&node, clean, &commit).await?;
            }
        }
        Ok(())
    }

    /// The commits whose fleets may have nodes that the wanted one no longer has.
    fn commits(&self, left: &Left<'_>, remembered: &BTreeMap<Name, Departed>) -> Vec<String> {
        let mut commits = self.earlier(left.commit);
        let open = remembered.values().filter(|node| node.forgotten.is_none());
        let known: BTreeSet<String> = commits.iter().cloned().collect();
        commits.extend(open.map(|node| node.commit.clone()).filter(|it| !known.contains(it)));
        commits
    }
}

impl Left<'_> {
    /// Nodes that left and are not in the fleet again.
    async fn remembered(&self) -> Result<BTreeMap<Name, Departed>, JournalError> {
        let mut found = BTreeMap::new();
        for departed in self.journal.departed(&self.fleet.name).await? {
            if !self.fleet.nodes.contains_key(&departed.node) {
                found.insert(departed.node.clone(), departed);
            } else if self.now.is_some() {
                self.journal.settled(&self.fleet.name, &departed.node).await?;
            }
        }
        Ok(found)
    }

    async fn note(&self, node: &Name, clean: bool, commit: &str) -> Result<(), JournalError> {
        match self.now {
            Some(_) if clean => self.journal.settled(&self.fleet.name, node).await,
            Some(now) => self.journal.depart(&self.fleet.name, node, commit, now).await,
            None => Ok(()),
        }
    }
}

/// Whether a node that left runs nothing of the fleet any more; what it only remembers goes with nobody asking.
pub(super) fn is_clean(state: &NodeState) -> bool {
    let NodeState::Reachable(report) = state else { return false };
    report.units.values().all(|unit| unit.current.is_none() && unit.pending.is_none())
}
