//! What the daemon has to tell.

use crate::diagnostic::Diagnostic;
use crate::event::Event;
use crate::model::{Commit, Plan, Snapshot, UnitId};

use super::gate::Refusal;

/// What the daemon has to tell.
#[derive(Debug)]
pub enum News {
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
    /// The repository could not be looked at; the next look is after the interval.
    Unavailable(String),
    /// A rollout could not be driven on.
    Broken(String),
}
