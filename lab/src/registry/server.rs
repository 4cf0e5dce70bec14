//! The registry's threads: one accepts, one serves each connection, and a change of fault reaches them all.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::http::{self, Answer, Head};
use super::shelf::Shelf;
use super::{Fault, Request, answer};

/// How often in a second a slow body goes on.
const STEPS_PER_SECOND: u64 = 20;

/// All that the registry's threads share.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// What is served, what is wrong, who is connected and what they asked.
#[derive(Default)]
pub(super) struct State {
    pub(super) shelf: Shelf,
    pub(super) fault: Fault,
    pub(super) login: Option<String>,
    pub(super) connections: u64,
    requests: Vec<Request>,
    forgotten: usize,
    streams: BTreeMap<u64, TcpStream>,
    stopped: bool,
}

impl State {
    /// The requests since the last time they were forgotten.
    pub(super) fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// Forgets the requests; one that is being answered stays forgotten.
    pub(super) fn forget(&mut self) {
        self.forgotten += self.requests.len();
        self.requests.clear();
    }

    fn record(&mut self, head: &Head) -> usize {
        let (method, path) = (head.method.clone(), head.target.clone());
        self.requests.push(Request { method, path, status: None });
        self.forgotten + self.requests.len() - 1
    }

    fn record_status(&mut self, number: usize, status: u16) {
        let place = number.checked_sub(self.forgotten);
        if let Some(request) = place.and_then(|place| self.requests.get_mut(place)) {
            request.status = Some(status);
        }
    }

    fn close_streams(&self) {
        for stream in self.streams.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    /// The state, even if a thread failed while it held it: every change of it is whole.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_fault(&self, fault: Fault) {
        let mut state = self.lock();
        state.fault = fault;
        if fault == Fault::Outage {
            state.close_streams();
        }
        self.changed.notify_all();
    }

    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        state.close_streams();
        self.changed.notify_all();
    }

    /// Counts a connection and says its number, unless nobody is to be served now.
    fn admit(&self, stream: &TcpStream) -> Option<u64> {
        let mut state = self.lock();
        state.connections += 1;
        let number = state.connections;
        if state.stopped || state.fault == Fault::Outage {
            return None;
        }
        state.streams.insert(number, stream.try_clone().ok()?);
        Some(number)
    }

    /// Waits while the registry hangs; says whether it did.
    fn hang(&self) -> bool {
        let hangs = |state: &mut State| state.fault == Fault::Hang && !state.stopped;
        let mut state = self.lock();
        let hung = hangs(&mut state);
        drop(self.changed.wait_while(state, hangs));
        hung
    }

    /// The bytes to send before the next pause; nothing when the connection is to end.
    fn allowance(&self) -> Option<usize> {
        if self.hang() {
            return None;
        }
        match self.lock().fault {
            Fault::Slow { bytes_per_second } => {
                let step = (bytes_per_second / STEPS_PER_SECOND).max(1);
                Some(usize::try_from(step).unwrap_or(usize::MAX))
            }
            _ => Some(usize::MAX),
        }
    }

    /// Waits as long as some bytes take on a slow line, or until it isn't slow any more.
    fn pace(&self, bytes: usize) {
        let state = self.lock();
        let Fault::Slow { bytes_per_second } = state.fault else { return };
        let rate = u32::try_from(bytes_per_second.max(1)).unwrap_or(u32::MAX);
        let pause = Duration::from_secs(bytes.try_into().unwrap_or(u64::MAX)) / rate;
        let same =
            |state: &mut State| state.fault == Fault::Slow { bytes_per_second } && !state.stopped;
        drop(self.changed.wait_timeout_while(state, pause, same));
    }

    /// Lets a moment pass, or less when the registry stops.
    fn rest(&self) {
        let state = self.lock();
        let moment = Duration::from_millis(10);
        drop(self.changed.wait_timeout_while(state, moment, |state| !state.stopped));
    }
}

/// Ends a wait for connections from outside, also from another network than the listener's.
pub(super) struct Waker(TcpStream);

impl Waker {
    pub(super) fn of(listener: &TcpListener) -> io::Result<Self> {
        // To shut a socket down is the same for a listener, but the library offers it for streams only.
        Ok(Self(TcpStream::from(OwnedFd::from(listener.try_clone()?))))
    }

    pub(super) fn wake(&self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Accepts connections until the registry stops, then waits for their threads.
pub(super) fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    while !shared.lock().stopped {
        match listener.accept() {
            Ok((stream, _)) => threads.extend(start(shared, stream)),
            // Too many open files, say; they may become fewer.
            Err(_) => shared.rest(),
        }
        threads.retain(|thread| !thread.is_finished());
    }
    for thread in threads {
        let _ = thread.join();
    }
}

/// Starts the thread of one connection; without one the connection is closed.
fn start(shared: &Arc<Shared>, stream: TcpStream) -> Option<JoinHandle<()>> {
    let number = shared.admit(&stream)?;
    let held = Arc::clone(shared);
    let thread = std::thread::Builder::new().name(format!("registry-{number}")).spawn(move || {
        // A client that goes away is no concern of the registry's.
        let _ = converse(&held, &stream);
        let _ = stream.shutdown(Shutdown::Both);
        held.lock().streams.remove(&number);
    });
    if thread.is_err() {
        shared.lock().streams.remove(&number);
    }
    thread.ok()
}

fn converse(shared: &Shared, stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    while let Some(tls) = http::speaks_tls(&mut reader)? {
        if tls {
            return if shared.hang() { Ok(()) } else { writer.write_all(http::NO_TLS) };
        }
        let head = match http::read_head(&mut reader) {
            Ok(head) => head,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return send(shared, stream, &answer::malformed(), true);
            }
            Err(error) => return Err(error),
        };
        if !respond(shared, stream, &head)? {
            break;
        }
    }
    Ok(())
}

/// Answers one request; says whether the connection can serve another.
fn respond(shared: &Shared, stream: &TcpStream, head: &Head) -> io::Result<bool> {
    let number = shared.lock().record(head);
    if shared.hang() {
        return Ok(false);
    }
    let mut state = shared.lock();
    let mut answer = answer::answer(&state, head);
    state.record_status(number, answer.status);
    drop(state);
    if !head.keeps_connection() {
        answer = answer.with("Connection", "close");
    }
    send(shared, stream, &answer, head.method != "HEAD")?;
    Ok(head.keeps_connection())
}

fn send(shared: &Shared, stream: &TcpStream, answer: &Answer, body: bool) -> io::Result<()> {
    let mut writer = stream;
    writer.write_all(&answer.head())?;
    let mut rest: &[u8] = if body { &answer.body } else { &[] };
    while !rest.is_empty() {
        let Some(allowance) = shared.allowance() else {
            return Err(io::ErrorKind::ConnectionAborted.into());
        };
        // A fault that comes while the body goes out is to be noticed.
        let (now, later) = rest.split_at(rest.len().min(allowance).min(256 * 1024));
        writer.write_all(now)?;
        shared.pace(now.len());
        rest = later;
    }
    Ok(())
}
