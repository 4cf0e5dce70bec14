//! Users of a fleet, seen from outside: requests, WebSockets and long transfers that note what they met.
//!
//! Nothing here retries, follows redirects, asks DNS or uses a proxy: a request that a user would see fail is told as
//! failed. Every socket is made on the thread that the caller starts (or by one that descends from it), so a thread
//! that has stepped into another network namespace carries the traffic there.

mod client;
mod content;
mod load;
mod seen;
mod transfer;
mod websocket;

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use client::{Reply, get, post, wait_until};
pub use load::{Awaited, Load, Traffic};
pub use seen::{Answer, Arrival, Outcome, Run, Seen};
pub use transfer::{Download, End, Moved, Transfer, Transferred, Upload};
pub use websocket::{Dropped, How, Talk, Talked, WebSocket};

/// What a thread is to do.
pub type Work = Box<dyn FnOnce() + Send>;

/// How long a request may take unless told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Starts a thread in the network of the one that calls.
pub fn plain_thread(work: Work) -> JoinHandle<()> {
    std::thread::spawn(work)
}

/// Where requests go: an address without DNS, the name in their Host header, and a path with its query.
#[derive(Clone, Debug)]
pub struct Target {
    /// The gateway or app that is connected to.
    pub addr: SocketAddr,
    /// The Host header.
    pub host: String,
    /// The path and query, beginning with a slash.
    pub path: String,
}

impl Target {
    /// The root path of a host at an address.
    pub fn new(addr: SocketAddr, host: &str) -> Self {
        Self { addr, host: host.to_owned(), path: "/".to_owned() }
    }

    /// The same host with another path.
    pub fn at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }
}

/// What a thread notes while others look on.
struct Notes<T> {
    start: Instant,
    inner: Mutex<T>,
    changed: Condvar,
}

impl<T> Notes<T> {
    fn new(value: T) -> Arc<Self> {
        let inner = Mutex::new(value);
        Arc::new(Self { start: Instant::now(), inner, changed: Condvar::new() })
    }

    /// A note stays readable when the thread that wrote it has panicked.
    fn look(&self) -> MutexGuard<'_, T> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the notes and wakes those who wait for a change.
    fn note<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.look());
        self.changed.notify_all();
        result
    }

    /// Waits until a look at the notes gives something; none when the time is over.
    fn wait<R>(&self, within: Duration, look: impl Fn(&T) -> Option<R>) -> Option<R> {
        let end = Instant::now() + within;
        let mut notes = self.look();
        loop {
            if let Some(found) = look(&notes) {
                return Some(found);
            }
            let left = end.checked_duration_since(Instant::now())?;
            let waited = self.changed.wait_timeout(notes, left);
            notes = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A time in seconds, as messages say it.
fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Durations in files are milliseconds.
fn as_millis<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((time.as_secs_f64() * 1e6).round() / 1e3)
}
