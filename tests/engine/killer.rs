//! What kills a controller at a chosen point: around a verb on a node, or after so many polls of its work.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use async_trait::async_trait;
use gitsync::model::{Attempt, Digest, Name, NodeReport, UnitId};
use gitsync::transport::{
    Abandon, ChangeUnit, Confirm, Dial, Fence, NodeProbe, Prepare, Transport, TransportError,
    Unlock,
};
use tokio::sync::Notify;

/// Kills at one call of a verb that is part of a rollout, counted over all nodes from 1.
#[derive(Default)]
pub struct Switch {
    at: usize,
    before: bool,
    calls: AtomicUsize,
    tripped: Notify,
    held: Option<Notify>,
}

impl Switch {
    /// Before the verb is begun, or after it is done with its answer lost. 0 is never.
    pub fn new(at: usize, before: bool) -> Arc<Self> {
        Arc::new(Self { at, before, ..Self::default() })
    }

    /// Kills nobody: holds the verb up until it is released.
    pub fn holding(at: usize) -> Arc<Self> {
        Arc::new(Self { at, before: true, held: Some(Notify::new()), ..Self::default() })
    }

    /// Lets go of what is held up.
    pub fn release(&self) {
        self.held.iter().for_each(Notify::notify_one);
    }

    /// Calls so far.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Ends when the point is reached.
    pub async fn tripped(&self) {
        self.tripped.notified().await;
    }

    async fn around<T>(&self, verb: impl Future<Output = T>) -> T {
        let here = self.calls.fetch_add(1, Ordering::SeqCst) + 1 == self.at;
        if here && self.before {
            self.trip().await;
        }
        let answer = verb.await;
        if here && self.held.is_none() {
            self.trip().await;
        }
        answer
    }

    async fn trip(&self) {
        self.tripped.notify_one();
        match &self.held {
            Some(held) => held.notified().await,
            None => std::future::pending().await,
        }
    }
}

/// A way to a node whose controller can be killed.
pub struct Watched {
    pub way: Arc<dyn Transport>,
    pub switch: Arc<Switch>,
}

type Answer<T> = Result<T, TransportError>;

#[async_trait]
impl Transport for Watched {
    async fn observe(&self, fleet: &Name) -> Answer<NodeReport> {
        self.way.observe(fleet).await
    }
    async fn prepare(&self, request: &Prepare) -> Answer<()> {
        self.switch.around(self.way.prepare(request)).await
    }
    async fn change(&self, request: &ChangeUnit) -> Answer<()> {
        self.switch.around(self.way.change(request)).await
    }
    async fn stop(&self, request: &ChangeUnit) -> Answer<()> {
        self.switch.around(self.way.stop(request)).await
    }
    async fn put_back(&self, request: &ChangeUnit) -> Answer<()> {
        self.switch.around(self.way.put_back(request)).await
    }
    async fn bring_up(&self, fleet: &Name, id: &UnitId, digest: &Digest) -> Answer<()> {
        self.way.bring_up(fleet, id, digest).await
    }
    async fn probe(&self, request: &NodeProbe) -> Answer<Vec<Attempt>> {
        self.switch.around(self.way.probe(request)).await
    }
    async fn hold(&self, fence: &Fence, anew: bool) -> Answer<()> {
        self.way.hold(fence, anew).await
    }
    async fn confirm(&self, request: &Confirm) -> Answer<()> {
        self.switch.around(self.way.confirm(request)).await
    }
    async fn abandon(&self, request: &Abandon) -> Answer<()> {
        self.switch.around(self.way.abandon(request)).await
    }
    async fn unlock(&self, request: &Unlock) -> Answer<()> {
        self.way.unlock(request).await
    }
    async fn unquarantine(&self, fleet: &Name, release: Option<&Digest>) -> Answer<()> {
        self.way.unquarantine(fleet, release).await
    }
    async fn read(
        &self,
        fleet: &Name,
        blobs: &BTreeSet<String>,
    ) -> Answer<BTreeMap<String, Vec<u8>>> {
        self.way.read(fleet, blobs).await
    }
    async fn read_files(&self, fleet: &Name, id: &UnitId) -> Answer<BTreeMap<String, Vec<u8>>> {
        self.way.read_files(fleet, id).await
    }
    async fn logs(&self, fleet: &Name, id: &UnitId, lines: u32) -> Answer<Vec<String>> {
        self.way.logs(fleet, id, lines).await
    }
    async fn dial(&self, target: SocketAddr) -> Answer<Dial> {
        self.way.dial(target).await
    }
}

/// Polls its work so many times, then gives it up: none when it was not done by then.
pub struct Polls<'a, T> {
    pub work: Pin<Box<dyn Future<Output = T> + 'a>>,
    pub left: usize,
}

impl<T> Future for Polls<'_, T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.left = self.left.saturating_sub(1);
        match self.work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if self.left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}
