//! The way to the end: which connections are in hand, and what they are told when the app stops.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a connection is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// It waits for a request.
    Waiting,
    /// It reads or answers one.
    Working,
    /// It is a WebSocket.
    Talking,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    #[default]
    Running,
    Draining,
    Closed,
}

struct Connection {
    stream: Arc<TcpStream>,
    doing: Doing,
}

impl Connection {
    /// Its thread reads what has arrived, then sees the end. What it writes still goes out.
    fn hang_up(&self) {
        let _ = self.stream.shutdown(Shutdown::Read);
    }

    fn is_over(&self, phase: Phase) -> bool {
        match self.doing {
            Doing::Waiting => phase == Phase::Closed,
            Doing::Working => false,
            Doing::Talking => phase >= Phase::Draining,
        }
    }
}

#[derive(Default)]
struct State {
    phase: Phase,
    listeners: Vec<Arc<TcpListener>>,
    connections: BTreeMap<u64, Connection>,
    next: u64,
}

impl State {
    fn hang_up(&self) {
        self.connections
            .values()
            .filter(|one| one.is_over(self.phase))
            .for_each(Connection::hang_up);
    }
}

/// Running, then draining, then closed; and the connections in hand.
#[derive(Default)]
pub struct Stop {
    state: Mutex<State>,
    changed: Condvar,
}

impl Stop {
    /// Remembers listeners for the end; false if the app stops already.
    pub fn add_listeners(&self, listeners: &[Arc<TcpListener>]) -> bool {
        let mut state = self.lock();
        if state.phase != Phase::Running {
            return false;
        }
        state.listeners.extend_from_slice(listeners);
        true
    }

    /// Whether anything listens.
    pub fn listens(&self) -> bool {
        !self.lock().listeners.is_empty()
    }

    /// Whether the app is on its way to the end.
    pub fn draining(&self) -> bool {
        self.lock().phase != Phase::Running
    }

    /// Whether no more connections are taken.
    pub fn closed(&self) -> bool {
        self.lock().phase == Phase::Closed
    }

    /// Counts a connection until the visit is dropped.
    pub fn enter(&self, stream: &Arc<TcpStream>) -> Visit<'_> {
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        let connection = Connection { stream: Arc::clone(stream), doing: Doing::Waiting };
        state.connections.insert(id, connection);
        Visit { stop: self, id }
    }

    /// From now on WebSockets end, and connections end after the request in hand.
    pub fn drain(&self) {
        let mut state = self.lock();
        state.phase = state.phase.max(Phase::Draining);
        state.hang_up();
        self.changed.notify_all();
    }

    /// Closes the listeners and the connections that wait for a request.
    pub fn close(&self) {
        let mut state = self.lock();
        state.phase = Phase::Closed;
        for listener in std::mem::take(&mut state.listeners) {
            // Closing the descriptor would leave its thread in `accept`.
            let _ = rustix::net::shutdown(&*listener, rustix::net::Shutdown::Read);
        }
        state.hang_up();
        self.changed.notify_all();
    }

    /// Waits, at most so long; true as soon as the app drains.
    pub fn wait_for_drain(&self, patience: Duration) -> bool {
        self.wait(patience, |state| state.phase != Phase::Running)
    }

    /// Waits, at most so long; true as soon as no connection is in hand.
    pub fn wait_until_empty(&self, patience: Duration) -> bool {
        self.wait(patience, |state| state.connections.is_empty())
    }

    fn wait(&self, patience: Duration, done: impl Fn(&State) -> bool) -> bool {
        let guard = self.lock();
        let waited = self.changed.wait_timeout_while(guard, patience, |state| !done(state));
        let (guard, _) = waited.unwrap_or_else(PoisonError::into_inner);
        done(&guard)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in hand.
pub struct Visit<'a> {
    stop: &'a Stop,
    id: u64,
}

impl Visit<'_> {
    /// Says what the connection does now; one that the end has no time for is hung up.
    pub fn now(&self, doing: Doing) {
        let mut state = self.stop.lock();
        let phase = state.phase;
        if let Some(connection) = state.connections.get_mut(&self.id) {
            connection.doing = doing;
            if connection.is_over(phase) {
                connection.hang_up();
            }
        }
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.stop.lock().connections.remove(&self.id);
        self.stop.changed.notify_all();
    }
}
