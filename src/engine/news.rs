//! What the daemon has to tell.

use crate::diagnostic::Diagnostic;
use crate::event::Event;
use crate::model::{Commit, Name, Plan, Snapshot, UnitId};
use crate::plan::Drift;

use super::gate::Refusal;

/// What the daemon has to tell.
#[derive(Debug)]
pub enum News {
    /// A commit, by its id, is looked at: what is told of a commit up to the next one is about it.
    Looking(String),
    /// A commit that was not looked at before.
    Commit(Commit),
    /// It is not valid: nothing changes.
    Invalid(Vec<Diagnostic>, Snapshot),
    /// It is valid, with these warnings.
    Warnings(Vec<Diagnostic>, Snapshot),
    /// What it would change.
    Planned(Box<Plan>),
    /// It may not be rolled out now.
    Refused(Refusal),
    /// The fleet runs what it wants.
    UpToDate,
    /// The fleet has no nodes: nobody was asked.
    NoNodes,
    /// Something happened in a rollout.
    Rollout(Event),
    /// A unit that did not run was started again.
    Started(UnitId),
    /// A unit does not run and could not be started; it is tried again.
    NotStarted(UnitId, String),
    /// What a look at the nodes between rollouts saw.
    Seen(Seen),
    /// The repository could not be looked at; the next look is after the interval.
    Unavailable(String),
    /// A rollout could not be driven on.
    Broken(String),
}

/// What a look at the nodes between rollouts saw, before what had fallen was started again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The fleet.
    pub fleet: Name,
    /// Its nodes.
    pub nodes: Vec<Presence>,
    /// What is no longer as it was rolled out, on the nodes that answer.
    pub drift: Vec<Drift>,
}

/// Whether a node answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Which.
    pub node: Name,
    /// Whether it may sleep.
    pub optional: bool,
    /// Whether it answers.
    pub answers: bool,
}
