//! One WebSocket that talks all the time and notes when, and how, it was dropped.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;
use tungstenite::{ClientRequestBuilder, Error, HandshakeError, Message, client};

use super::client::words;
use super::{Notes, PATIENCE, Target, Work, as_millis, seconds};

/// How long a closing handshake may take.
const FAREWELL: Duration = Duration::from_secs(1);

type Socket = tungstenite::WebSocket<TcpStream>;

/// How one WebSocket talks.
#[derive(Clone, Debug)]
pub struct Talk {
    /// Where it connects.
    pub target: Target,
    /// The distance between two messages.
    pub every: Duration,
    /// How long an echo may take.
    pub echo_within: Duration,
    /// Whether it connects again, after `every`, when it was dropped or refused.
    pub reconnect: bool,
}

impl Talk {
    /// A numbered message every 200 ms, echoed within 5 s, on one connection that isn't renewed.
    pub fn on(target: Target) -> Self {
        let every = Duration::from_millis(200);
        Self { target, every, echo_within: Duration::from_secs(5), reconnect: false }
    }
}

/// How a WebSocket ended that wasn't ended here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "how")]
pub enum How {
    /// It never came to be: no connection, or no upgrade.
    Refused {
        /// What went wrong.
        reason: String,
    },
    /// A close frame came.
    Closed {
        /// Its code, 1005 when it has none.
        code: u16,
        /// Its reason.
        reason: String,
    },
    /// The connection ended without a close frame.
    Reset {
        /// What went wrong.
        reason: String,
    },
    /// A message wasn't echoed in time.
    Unanswered {
        /// The number of the message.
        message: u64,
    },
}

/// One end of a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// When it was noticed, since the start.
    #[serde(rename = "at_ms", serialize_with = "as_millis")]
    pub at: Duration,
    /// How it ended.
    #[serde(flatten)]
    pub how: How,
}

/// What one WebSocket has met.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Talked {
    /// Connections that came to be.
    pub connected: usize,
    /// Messages sent.
    pub sent: u64,
    /// Messages that came back.
    pub echoed: u64,
    /// The longest time that an echo took.
    #[serde(rename = "slowest_ms", serialize_with = "as_millis")]
    pub slowest: Duration,
    /// Ends that weren't ours, refusals included, in order.
    pub ends: Vec<Dropped>,
}

impl Talked {
    /// Ends of connections that had come to be.
    pub fn drops(&self) -> Vec<&Dropped> {
        self.ends.iter().filter(|end| !matches!(end.how, How::Refused { .. })).collect()
    }

    /// What was met, in the words of a failing test's message.
    pub fn summary(&self) -> String {
        let Self { connected, sent, echoed, .. } = self;
        let slowest = self.slowest.as_secs_f64();
        let mut lines = vec![format!(
            "{connected} connections, {echoed} of {sent} messages echoed, slowest {slowest:.3} s"
        )];
        lines.extend(self.ends.iter().map(|end| format!("  {}: {:?}", seconds(end.at), end.how)));
        lines.join("\n")
    }

    /// Holds that one connection came to be, had echoes, and was never dropped.
    ///
    /// # Panics
    /// With the summary, when it was dropped or refused, or had no echo.
    pub fn assert_flawless(&self) {
        let flawless = self.connected == 1 && self.echoed > 0 && self.ends.is_empty();
        assert!(flawless, "a WebSocket was not kept: {}", self.summary());
    }
}

/// A WebSocket that is talking; dropping it ends the talk too.
pub struct WebSocket {
    notes: Arc<Notes<Talked>>,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl WebSocket {
    /// Connects and talks, from the network of the thread that `spawn` starts.
    pub fn start(talk: Talk, spawn: impl FnOnce(Work) -> JoinHandle<()>) -> Self {
        let notes = Notes::new(Talked::default());
        let (stop, stopped) = channel();
        let talker = Talker { talk, notes: Arc::clone(&notes), stopped };
        let thread = spawn(Box::new(move || talker.run()));
        Self { notes, stop, thread }
    }

    /// The time since the start, as ends tell theirs.
    pub fn elapsed(&self) -> Duration {
        self.notes.elapsed()
    }

    /// What was met until now.
    pub fn so_far(&self) -> Talked {
        self.notes.look().clone()
    }

    /// Waits until a look at what was met gives something, such as a first echo or a drop.
    pub fn wait_for<R>(
        &self,
        within: Duration,
        look: impl Fn(&Talked) -> Option<R>,
    ) -> Result<R, String> {
        let said = || format!("not within {}: {}", seconds(within), self.so_far().summary());
        self.notes.wait(within, look).ok_or_else(said)
    }

    /// Waits until so many messages have come back.
    pub fn wait_for_echoes(&self, count: u64, within: Duration) -> Result<(), String> {
        self.wait_for(within, |talked| (talked.echoed >= count).then_some(()))
    }

    /// Closes the connection and tells what was met.
    pub fn stop(self) -> Talked {
        let Self { notes, stop, thread } = self;
        drop(stop);
        // A panic leaves what was noted before it; the connection that it ended has no echo for its last messages.
        if thread.join().is_err() {
            let how = How::Reset { reason: "the thread that talked has panicked".to_owned() };
            let at = notes.elapsed();
            notes.note(|talked| talked.ends.push(Dropped { at, how }));
        }
        notes.look().clone()
    }
}

/// The thread's side.
struct Talker {
    talk: Talk,
    notes: Arc<Notes<Talked>>,
    stopped: Receiver<()>,
}

impl Talker {
    fn run(&self) {
        loop {
            let Some(how) = self.one_connection() else { return };
            let at = self.notes.elapsed();
            self.notes.note(|talked| talked.ends.push(Dropped { at, how }));
            let rest = self.stopped.recv_timeout(self.talk.every);
            if !self.talk.reconnect || rest != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.try_recv() != Err(TryRecvError::Empty)
    }

    /// Talks until it is stopped or the connection has ended, and says how then.
    fn one_connection(&self) -> Option<How> {
        let mut socket = match open(&self.talk.target) {
            Ok(socket) => socket,
            Err(reason) => return Some(How::Refused { reason }),
        };
        let connection = self.notes.note(|talked| {
            talked.connected += 1;
            talked.connected
        });
        let mut waiting = VecDeque::new();
        let mut next = Instant::now();
        let mut number = 0;
        while !self.is_stopped() {
            let turn = if Instant::now() >= next {
                next += self.talk.every;
                number += 1;
                let text = format!("connection {connection} message {number}");
                waiting.push_back((number, text.clone(), Instant::now()));
                self.say(&mut socket, text)
            } else {
                self.listen(&mut socket, &mut waiting, next)
            };
            if let Err(how) = turn.and_then(|()| self.overdue(&waiting)) {
                return Some(how);
            }
        }
        part(socket);
        None
    }

    fn say(&self, socket: &mut Socket, text: String) -> Result<(), How> {
        self.notes.note(|talked| talked.sent += 1);
        socket.send(Message::text(text)).map_err(|error| how(&error))
    }

    /// Reads one message, or nothing until the next is to be sent.
    fn listen(
        &self,
        socket: &mut Socket,
        waiting: &mut VecDeque<(u64, String, Instant)>,
        until: Instant,
    ) -> Result<(), How> {
        let rest = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let set = socket.get_ref().set_read_timeout(Some(rest));
        set.map_err(|error| How::Reset { reason: error.to_string() })?;
        match socket.read() {
            Ok(Message::Text(text)) => self.heard(&text, waiting),
            Ok(Message::Close(frame)) => {
                let code = frame.as_ref().map_or(1005, |frame| frame.code.into());
                let reason = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                // The answer to the close frame has its chance to go out.
                let _ = socket.flush();
                return Err(How::Closed { code, reason });
            }
            Ok(_) => {}
            Err(Error::Io(error)) if is_timeout(error.kind()) => {}
            Err(error) => return Err(how(&error)),
        }
        Ok(())
    }

    /// An echo counts when it is the oldest that is waited for; other messages, like a greeting, don't matter.
    fn heard(&self, text: &str, waiting: &mut VecDeque<(u64, String, Instant)>) {
        if waiting.front().is_none_or(|(_, sent, _)| sent != text) {
            return;
        }
        if let Some((_, _, since)) = waiting.pop_front() {
            self.notes.note(|talked| {
                talked.echoed += 1;
                talked.slowest = talked.slowest.max(since.elapsed());
            });
        }
    }

    fn overdue(&self, waiting: &VecDeque<(u64, String, Instant)>) -> Result<(), How> {
        match waiting.front() {
            Some((message, _, since)) if since.elapsed() > self.talk.echo_within => {
                Err(How::Unanswered { message: *message })
            }
            _ => Ok(()),
        }
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn how(error: &Error) -> How {
    let reason = match error {
        Error::Io(error) if is_timeout(error.kind()) => {
            format!("a message could not be sent within {}", seconds(PATIENCE))
        }
        error => words(error),
    };
    How::Reset { reason }
}

/// Connects and asks for the upgrade; each step has its time.
fn open(target: &Target) -> Result<Socket, String> {
    let told = |doing: &str, error: &std::io::Error| format!("{doing}: {error}");
    let stream = TcpStream::connect_timeout(&target.addr, PATIENCE)
        .map_err(|error| told("connecting", &error))?;
    stream
        .set_nodelay(true)
        .and_then(|()| stream.set_read_timeout(Some(PATIENCE)))
        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
        .map_err(|error| told("connecting", &error))?;
    let uri = format!("ws://{}{}", target.host, target.path);
    let uri = uri.parse().map_err(|error| format!("making the request: {error}"))?;
    match client(ClientRequestBuilder::new(uri), stream) {
        Ok((socket, _)) => Ok(socket),
        Err(HandshakeError::Failure(error)) => Err(format!("upgrading: {}", words(&error))),
        Err(HandshakeError::Interrupted(_)) => {
            Err(format!("upgrading: no answer within {}", seconds(PATIENCE)))
        }
    }
}

/// Closes as the protocol wants, without waiting long for the other side.
fn part(mut socket: Socket) {
    let end = Instant::now() + FAREWELL;
    let bounded = socket.get_ref().set_read_timeout(Some(FAREWELL)).is_ok();
    if bounded && socket.close(None).is_ok() {
        while Instant::now() < end && socket.read().is_ok() {}
    }
}
