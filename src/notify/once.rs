//! What was told already, so that it is told once, also after a restart; and a hold against what comes and goes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::{Name, Timestamp};
use crate::plan::{Drift, DriftKind};

use super::message::{CommitRef, Kind, Message, Moved, line};

/// So many looks in a row must agree before something counts as changed.
pub const HOLD: u32 = 3;

/// How many things a text names.
const NAMED: usize = 5;

/// Where it is kept below the state directory.
const FILE: &str = "told.json";

/// What was told already.
#[derive(Debug, Default)]
pub struct Once {
    path: Option<PathBuf>,
    told: Told,
    /// For how many looks in a row a thing was other than what was told of it.
    other: BTreeMap<String, u32>,
}

/// As it is kept on disk. Without it everything that is so now is told once more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Told {
    fleet: Option<Name>,
    lost: BTreeSet<Name>,
    drift: BTreeSet<String>,
    /// The newest refused commit, and why.
    refused: Option<(String, String)>,
}

/// A node at one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Which.
    pub node: Name,
    /// Whether it may sleep.
    pub optional: bool,
    /// Whether it answers.
    pub answers: bool,
}

impl Once {
    /// Reads what an earlier daemon told; what can't be read counts as nothing.
    pub fn open(state: &Path) -> Self {
        let path = state.join(FILE);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        Self {
            told: serde_json::from_str(&text).unwrap_or_default(),
            path: Some(path),
            ..Self::default()
        }
    }

    /// The fleet, as far as it is known.
    pub fn fleet(&self) -> Option<&Name> {
        self.told.fleet.as_ref()
    }

    /// Says which fleet it is about; what was told of another one is forgotten.
    pub fn of(&mut self, fleet: &Name) {
        if self.told.fleet.as_ref() != Some(fleet) {
            let known = std::mem::take(&mut self.told);
            // A commit can be refused before anybody knows whose it is.
            let refused = known.refused.filter(|_| known.fleet.is_none());
            self.told = Told { fleet: Some(fleet.clone()), refused, ..Told::default() };
            self.other.clear();
            self.keep();
        }
    }

    /// Takes a look at the nodes in; what has changed for good is told.
    pub fn look(&mut self, nodes: &[Sight], drift: &[Drift], at: Timestamp) -> Vec<Message> {
        let before = self.told.clone();
        let mut messages = self.nodes(nodes, at);
        messages.extend(self.drift(nodes, drift, at));
        if self.told != before {
            self.keep();
        }
        messages
    }

    /// A commit that is not rolled out; told once for each commit and reason.
    pub fn refused(
        &mut self,
        commit: &str,
        subject: Option<CommitRef>,
        code: &str,
        message: &str,
        at: Timestamp,
    ) -> Option<Message> {
        let key = (commit.to_owned(), code.to_owned());
        if self.told.refused.as_ref() == Some(&key) {
            return None;
        }
        self.told.refused = Some(key);
        self.keep();
        let commit = subject.unwrap_or_else(|| CommitRef::bare(commit));
        let why = line(message, 300);
        let text =
            format!("Commit {} is not rolled out: {why}. Nothing was changed.", commit.told());
        let fleet = self.told.fleet.as_ref();
        Some(Message {
            commit: Some(commit),
            reason: Some(why),
            code: Some(code.to_owned()),
            ..Message::new(Kind::Refused, fleet, at, "a commit is refused", text)
        })
    }

    fn nodes(&mut self, nodes: &[Sight], at: Timestamp) -> Vec<Message> {
        let mut messages = Vec::new();
        self.told.lost.retain(|lost| nodes.iter().any(|seen| seen.node == *lost));
        for seen in nodes {
            let lost = self.told.lost.contains(&seen.node);
            if self.changed(&format!("node {}", seen.node), lost == seen.answers) {
                messages.push(self.node(seen, at));
            }
        }
        messages
    }

    fn node(&mut self, seen: &Sight, at: Timestamp) -> Message {
        let node = &seen.node;
        let (kind, title, text) = if seen.answers {
            self.told.lost.remove(node);
            (Kind::NodeBack, format!("{node} is back"), format!("{node} answers again."))
        } else {
            self.told.lost.insert(node.clone());
            let means = match seen.optional {
                true => "It may sleep: rollouts go on without it.",
                false => "No rollout begins until it is back.",
            };
            (Kind::NodeLost, format!("{node} is lost"), format!("{node} does not answer. {means}"))
        };
        Message {
            node: Some(node.clone()),
            optional: Some(seen.optional),
            ..Message::new(kind, self.told.fleet.as_ref(), at, &title, text)
        }
    }

    fn drift(&mut self, nodes: &[Sight], drift: &[Drift], at: Timestamp) -> Option<Message> {
        let moved: BTreeSet<Moved> = drift.iter().map(moved).collect();
        let there: BTreeMap<String, Moved> =
            moved.into_iter().map(|one| (format!("{} {}", one.unit, one.what), one)).collect();
        let answers = |thing: &str| {
            let node = thing.split('/').next().unwrap_or_default();
            nodes.iter().find(|seen| seen.node.as_str() == node).map(|seen| seen.answers)
        };
        // What left the fleet is no longer anything; of a node that is silent nothing is known.
        self.told.drift.retain(|thing| answers(thing).is_some());
        let known: BTreeSet<String> =
            there.keys().chain(&self.told.drift).chain(self.other.keys()).cloned().collect();
        let mut changed = false;
        for thing in known.iter().filter(|thing| answers(thing) == Some(true)) {
            let told = self.told.drift.contains(thing);
            if self.changed(thing, told != there.contains_key(thing)) {
                changed = true;
                if told {
                    self.told.drift.remove(thing);
                } else {
                    self.told.drift.insert(thing.clone());
                }
            }
        }
        if !changed {
            return None;
        }
        let list = self.told.drift.iter().filter_map(|thing| there.get(thing).cloned());
        Some(told_drift(self.told.fleet.as_ref(), list.collect(), self.told.drift.len(), at))
    }

    /// Whether a thing has been other than what was told of it for long enough to be told.
    fn changed(&mut self, thing: &str, other: bool) -> bool {
        if !other {
            self.other.remove(thing);
            return false;
        }
        let looks = self.other.entry(thing.to_owned()).or_default();
        *looks += 1;
        let long = *looks >= HOLD;
        if long {
            self.other.remove(thing);
        }
        long
    }

    /// Writes it down. When that fails, something may be told twice.
    fn keep(&self) {
        let Some(path) = &self.path else { return };
        let written =
            serde_json::to_vec(&self.told).map_err(std::io::Error::from).and_then(|text| {
                let fresh = path.with_extension("new");
                let mut file = std::fs::File::create(&fresh)?;
                file.write_all(&text)?;
                file.sync_all()?;
                std::fs::rename(fresh, path)
            });
        if let Err(error) = written {
            tracing::warn!("what was told can't be written to {}: {error}", path.display());
        }
    }
}

/// A difference in words that stay the same while it does.
fn moved(drift: &Drift) -> Moved {
    let what = match &drift.kind {
        DriftKind::ContainerRestarting { service, .. } => {
            format!("the container of {service} keeps restarting")
        }
        kind => line(&kind.to_string(), 300),
    };
    Moved { unit: drift.unit.clone(), what }
}

fn told_drift(fleet: Option<&Name>, list: Vec<Moved>, count: usize, at: Timestamp) -> Message {
    if count == 0 {
        let text = "Everything is as it was rolled out again.".to_owned();
        return Message::new(Kind::DriftGone, fleet, at, "drift is gone", text);
    }
    let mut named: Vec<String> =
        list.iter().take(NAMED).map(|one| format!("{}: {}", one.unit, one.what)).collect();
    let more = count.saturating_sub(named.len());
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    let text = format!("{}. `gitsync drift` shows the differences.", named.join("; "));
    let title = match count {
        1 => "drift in 1 place".to_owned(),
        count => format!("drift in {count} places"),
    };
    Message { drift: list, ..Message::new(Kind::Drift, fleet, at, &title, text) }
}

#[cfg(test)]
#[path = "once_tests.rs"]
mod tests;
