//! What can go wrong in the imagined world: faults of nodes and connections, and bad content.

use std::time::Duration;

use crate::model::{Name, Timestamp};

/// The verbs that faults can hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// What does the node run?
    Observe,
    /// Get ready.
    Prepare,
    /// Switch and activate.
    Change,
    /// Stop what is not wanted.
    Stop,
    /// Back to what it was.
    PutBack,
    /// Is it healthy?
    Probe,
    /// Does what was changed still stand?
    Hold,
    /// The decision.
    Confirm,
    /// The end without one.
    Abandon,
}

/// What goes wrong at one call of a verb on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub node: Name,
    /// At which verb.
    pub verb: Verb,
    /// At its how-manieth call, counted from 1.
    pub call: u32,
    /// What happens.
    pub kind: FaultKind,
}

/// What a fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The node refuses; nothing is done.
    Refused,
    /// Everything is done, but the node reports that it can't.
    DoneButFailed,
    /// Everything is done, but the answer is lost.
    AnswerLost,
    /// A part is done (files are switched, the old version no longer runs), then the connection breaks.
    Halfway,
    /// Nothing is done; the error comes when the deadline is over.
    Hang,
    /// The node can't be reached from here on until then, if ever; it goes on running.
    Gone {
        /// Back from then on; none is never.
        until: Option<Timestamp>,
    },
    /// Nobody listens at the node's door from here on until then, as it says at once; it goes on running.
    Closed {
        /// Open again from then on.
        until: Timestamp,
    },
    /// The node hears nothing for so long that its lease lapses, then the call gets through.
    Lapse,
    /// The node reboots, then the call gets through.
    Reboot,
    /// Another controller takes the node over, then the call gets through.
    Overtaken,
}

/// What is wrong with a version of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Badness {
    /// Its native validation fails while it is staged.
    Validation,
    /// Its native validation fails after its files are in place; they go back.
    Switched,
    /// Its activation fails; the node brings the old version back at once.
    Activation,
    /// It runs and never answers a probe.
    Probe,
    /// It answers probes at first and dies so long after it began to run.
    Dies(Duration),
}
