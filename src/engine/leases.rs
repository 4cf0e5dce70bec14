//! Words to nodes that hold a lease, often enough that none of them takes a change back while its controller lives.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use futures_util::{FutureExt as _, future};
use tokio::time::{Interval, MissedTickBehavior};

use crate::model::{Failure, FailureKind, Name};

use super::execute::Work;

/// Words in the time that a node bears to hear nothing: two may get lost.
const WORDS: u32 = 3;

type Word<'a> = BoxFuture<'a, (Name, Result<(), Failure>)>;

/// The words of one rollout.
pub(super) struct Leases<'a> {
    work: &'a Work,
    tick: Option<Interval>,
    under_way: FuturesUnordered<Word<'a>>,
    busy: BTreeSet<Name>,
    told: BTreeSet<Name>,
}

impl<'a> Leases<'a> {
    /// None is sent when the nodes hold no lease. The first go out at once: a controller may have been away.
    pub(super) fn new(work: &'a Work) -> Self {
        let tick = work.plan.policy.dead_man.map(|silence| {
            let mut tick = tokio::time::interval((silence / WORDS).max(Duration::from_millis(100)));
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            tick
        });
        let (busy, told) = (BTreeSet::new(), BTreeSet::new());
        Self { work, tick, under_way: FuturesUnordered::new(), busy, told }
    }

    /// Sends words to `holding` whenever they are due; ends with the first answer that a node took its changes back,
    /// each node's once. Dropping the future loses nothing.
    pub(super) async fn keep(&mut self, holding: &[Name]) -> (Name, String) {
        loop {
            tokio::select! {
                () = ticked(self.tick.as_mut()) => self.send(holding),
                Some((node, said)) = self.under_way.next(), if !self.under_way.is_empty() => {
                    self.busy.remove(&node);
                    if let Some(why) = self.news(&node, said) {
                        return (node, why);
                    }
                }
            }
        }
    }

    fn send(&mut self, holding: &[Name]) {
        let work = self.work;
        for node in holding {
            if self.busy.insert(node.clone()) {
                let node = node.clone();
                let word = async move {
                    let said = work.hold(&node, false).await;
                    (node, said)
                };
                self.under_way.push(word.boxed());
            }
        }
    }

    /// Whoever is not reached is asked again; what follows from that is for the effects to find out.
    fn news(&mut self, node: &Name, said: Result<(), Failure>) -> Option<String> {
        let failure = said.err()?;
        let back = failure.kind == FailureKind::Restored;
        (back && self.told.insert(node.clone())).then_some(failure.message)
    }
}

async fn ticked(tick: Option<&mut Interval>) {
    match tick {
        Some(tick) => drop(tick.tick().await),
        None => future::pending().await,
    }
}
