//! The only loop: effects out, outcomes in, until the verdict; every step is in the journal first.

use std::collections::BTreeMap;

use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::event::{Event, Happening};
use crate::journal::{Journal, JournalError};
use crate::model::{Effect, Name, Outcome, OutcomeResult, Timestamp, Verdict};
use crate::rollout::{IllegalMove, Rollout};

use super::execute::{Ending, Known, Work};
use super::leases::Leases;

/// Why a rollout turns round that nothing failed in.
const ASKED: &str = "the operator asked to stop";

/// What the operator or the system asked of a running rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stop {
    /// Nothing: go on.
    #[default]
    No,
    /// Put everything back (the first Ctrl-C).
    PutBack,
    /// Finish what is under way and moves a node, then leave; a later start goes on from there (SIGTERM).
    Pause,
    /// Leave at once; a later start goes on from there.
    Leave,
    /// Leave at once, and put everything back on return (the second Ctrl-C, however soon after the first).
    PutBackLater,
}

impl Stop {
    fn puts_back(self) -> bool {
        matches!(self, Self::PutBack | Self::PutBackLater)
    }
}

/// How driving a rollout ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Driven {
    /// With a verdict and why.
    Ended(Verdict, String),
    /// It was asked to leave before one; the journal has what is needed to go on.
    Left,
}

/// Why a rollout can't be driven on. The journal still holds everything up to here.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The journal can't be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The secrets of changed units can't be opened; nothing was begun.
    #[error("the secrets of this rollout can't be opened: {0}")]
    Sealed(String),
    /// The rollout refused an outcome: a defect, told rather than hidden.
    #[error("the rollout refused an outcome: {0}")]
    Illegal(#[from] IllegalMove),
}

/// Drives a rollout to its verdict.
///
/// Each effect is journalled before it is begun and its outcome before the next is asked for, so that a crash
/// anywhere is a replay. Events go to the journal and to `listen`, in order.
pub async fn drive(
    rollout: &mut Rollout,
    work: &Work,
    journal: &Journal,
    clock: &Clock,
    stop: &mut watch::Receiver<Stop>,
    listen: &mut (dyn FnMut(&Event) + Send),
) -> Result<Driven, DriveError> {
    let mut leases = Leases::new(work);
    let mut loops = Loop { rollout, work, journal, clock, listen, begun: BTreeMap::new() };
    let mut under_way = FuturesUnordered::new();
    let mut asked = Stop::No;
    let mut alone = false;
    // A wait that was slept out is over, whatever a clock that was set back (or stands still in tests) says.
    let mut reached = Timestamp::default();
    loop {
        let now = clock.now().max(reached);
        let mut timer = None;
        if asked != Stop::Pause {
            let due = loops.due(now);
            timer = due.next;
            for effect in due.now {
                let begun = loops.start(effect, now).await?;
                under_way.push(begun);
            }
        }
        if under_way.is_empty() && timer.is_none() {
            return loops.end(asked).await;
        }
        let holding: Vec<Name> = loops.rollout.leased().cloned().collect();
        tokio::select! {
            // Who asks to stop is heard before anything else is taken in or begun.
            biased;
            changed = stop.changed(), if !alone => {
                alone = changed.is_err();
                let wish = if alone { Stop::Pause } else { *stop.borrow_and_update() };
                if wish.puts_back() && asked != Stop::PutBack {
                    loops.record(Rollout::cancelled(clock.now(), ASKED)).await?;
                }
                if matches!(wish, Stop::Leave | Stop::PutBackLater) {
                    return Ok(Driven::Left);
                }
                if wish == Stop::Pause {
                    // It can pull images for half an hour, and whoever goes on begins it again.
                    abort(&mut loops.begun, prepares);
                }
                asked = wish;
            }
            (node, reason) = leases.keep(&holding) => {
                loops.tell(Event { at: clock.now(), what: Happening::TookBack { node, reason } }).await?;
            }
            Some(ended) = under_way.next(), if !under_way.is_empty() => {
                // An effect that was given up leaves nothing to record.
                if let Ok((effect, result)) = ended {
                    loops.begun.remove(&effect);
                    loops.record(Outcome { effect, at: clock.now(), result }).await?;
                }
            }
            () = clock.sleep_until(timer.unwrap_or(now)), if timer.is_some() => {
                reached = timer.unwrap_or(now);
            }
        }
    }
}

/// Gives up probes and prepares that nobody waits for any more: neither touches what runs, so there is nothing to wait
/// for.
fn give_up(begun: &mut BTreeMap<Effect, AbortHandle>, due: &[Effect]) {
    abort(begun, |effect| {
        let asks = matches!(essence(effect), Effect::Probe { .. } | Effect::ProbeBack { .. });
        (asks || prepares(effect)) && !due.contains(effect)
    });
}

fn abort(begun: &mut BTreeMap<Effect, AbortHandle>, which: impl Fn(&Effect) -> bool) {
    begun.retain(|effect, handle| {
        let over = which(effect);
        if over {
            handle.abort();
        }
        !over
    });
}

fn prepares(effect: &Effect) -> bool {
    matches!(essence(effect), Effect::Prepare { .. })
}

struct Loop<'a> {
    rollout: &'a mut Rollout,
    work: &'a Work,
    journal: &'a Journal,
    clock: &'a Clock,
    listen: &'a mut (dyn FnMut(&Event) + Send),
    /// What is under way.
    begun: BTreeMap<Effect, AbortHandle>,
}

/// What is to be begun now, and when to look again for what has to wait.
struct Due {
    now: Vec<Effect>,
    next: Option<Timestamp>,
}

impl<'a> Loop<'a> {
    fn due(&mut self, now: Timestamp) -> Due {
        let effects = self.rollout.effects();
        give_up(&mut self.begun, &effects);
        let waits = |effect: &Effect| until(effect).filter(|until| *until > now);
        let next = effects.iter().filter_map(waits).min();
        let ready = effects.into_iter().filter(|effect| waits(effect).is_none());
        Due { now: ready.filter(|effect| !self.begun.contains_key(effect)).collect(), next }
    }

    /// Journals that an effect is begun, then gives the work that does it.
    async fn start(
        &mut self,
        effect: Effect,
        now: Timestamp,
    ) -> Result<Abortable<impl Future<Output = (Effect, OutcomeResult)> + use<'a>>, DriveError>
    {
        let work = self.work;
        self.journal.issued(&work.rollout, &effect).await?;
        let (handle, registration) = AbortHandle::new_pair();
        self.begun.insert(effect.clone(), handle);
        let known = self.known(now);
        let done = async move {
            let result = work.execute(essence(&effect), &known).await;
            (effect, result)
        };
        Ok(Abortable::new(done, registration))
    }

    async fn record(&mut self, outcome: Outcome) -> Result<(), DriveError> {
        // Legal before it is durable, and durable before the state moves: what is on disk always replays into
        // this very state.
        let mut moved = self.rollout.clone();
        let events = moved.record(outcome.clone())?;
        self.journal.outcome(&self.work.rollout, &outcome).await?;
        *self.rollout = moved;
        for event in events {
            self.tell(event).await?;
        }
        Ok(())
    }

    async fn tell(&mut self, event: Event) -> Result<(), DriveError> {
        self.journal.event(&self.work.rollout, &event).await?;
        (self.listen)(&event);
        Ok(())
    }

    fn known(&self, at: Timestamp) -> Known {
        let ending = self.rollout.ending().map(|verdict| Ending {
            verdict,
            quarantine: self.rollout.quarantine().map(str::to_owned),
            at,
        });
        Known { at, ending, changed: self.rollout.changed_nodes().cloned().collect() }
    }

    async fn end(&mut self, asked: Stop) -> Result<Driven, DriveError> {
        let Some(verdict) = self.rollout.verdict() else {
            debug_assert!(asked == Stop::Pause, "a rollout without effects has a verdict");
            return Ok(Driven::Left);
        };
        let reason = self.rollout.reason().to_owned();
        self.journal.finish(&self.work.rollout, verdict, &reason, self.clock.now()).await?;
        Ok(Driven::Ended(verdict, reason))
    }
}

/// When an effect may begin, if not at once.
fn until(effect: &Effect) -> Option<Timestamp> {
    match effect {
        Effect::Wait { until } | Effect::Retry { until, .. } => Some(*until),
        _ => None,
    }
}

fn essence(effect: &Effect) -> &Effect {
    match effect {
        Effect::Retry { what, .. } => what,
        other => other,
    }
}

/// Rebuilds a rollout from the outcomes that its journal holds.
pub fn replay(mut rollout: Rollout, outcomes: Vec<Outcome>) -> Result<Rollout, IllegalMove> {
    for outcome in outcomes {
        rollout.record(outcome)?;
    }
    Ok(rollout)
}
