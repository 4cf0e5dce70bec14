//! One long download or upload that notes how its bytes moved and whether it was whole.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Incoming};
use hyper::{Method, Response};
use serde::Serialize;
use tokio::sync::oneshot;

use super::client::{Limit, connect, header, request, runtime, send};
use super::content::Content;
use super::{Notes, PATIENCE, Target, Work, as_millis, seconds};

/// A GET whose content comes slowly.
#[derive(Clone, Debug)]
pub struct Download {
    /// Where it is asked for.
    pub target: Target,
    /// How many bytes must come, whatever the answer announces.
    pub bytes: Option<u64>,
    /// How long it may take in all.
    pub within: Duration,
    /// How long no byte may come.
    pub stall: Duration,
}

impl Download {
    /// The test app's `/slow`: so many bytes over a time, which may take 30 s more, with no pause over 10 s.
    pub fn slow(addr: SocketAddr, host: &str, over: Duration, bytes: u64) -> Self {
        let path = format!("/slow?seconds={}&bytes={bytes}", over.as_secs());
        let target = Target::new(addr, host).at(&path);
        Self { target, bytes: Some(bytes), within: over + 3 * PATIENCE, stall: PATIENCE }
    }
}

/// A POST whose content goes slowly; the app must say that all of it has arrived.
#[derive(Clone, Debug)]
pub struct Upload {
    /// Where it is sent.
    pub target: Target,
    /// How many bytes are sent.
    pub bytes: usize,
    /// The time over which they are sent.
    pub over: Duration,
    /// How long it may take in all.
    pub within: Duration,
}

impl Upload {
    /// To the test app's `/echo`: so many bytes over a time, which may take 30 s more.
    pub fn slow(addr: SocketAddr, host: &str, over: Duration, bytes: usize) -> Self {
        let target = Target::new(addr, host).at("/echo");
        Self { target, bytes, over, within: over + 3 * PATIENCE }
    }
}

/// How a transfer ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Everything arrived.
    Whole,
    /// The answer's status isn't 2xx.
    Refused,
    /// No answer, a connection that ended too early, too few bytes, or no time left: what went wrong.
    Broken(String),
    /// It was given up here.
    Stopped,
}

/// How many bytes had moved at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Since the start.
    #[serde(rename = "at_ms", serialize_with = "as_millis")]
    pub at: Duration,
    /// All bytes until then.
    pub bytes: u64,
}

/// What a transfer has met.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Transferred {
    /// The answer's status, once there is an answer.
    pub status: Option<u16>,
    /// The app's X-App-Version.
    pub version: Option<String>,
    /// The app's X-App-Host.
    pub host: Option<String>,
    /// The length that the answer announced.
    pub announced: Option<u64>,
    /// Bytes over time: received by a download, handed to the connection by an upload.
    pub progress: Vec<Moved>,
    /// How it ended and when; none while it goes on.
    pub end: Option<End>,
    /// How long it took to its end.
    #[serde(rename = "took_ms", serialize_with = "as_millis")]
    pub took: Duration,
}

impl Transferred {
    /// All bytes that have moved.
    pub fn bytes(&self) -> u64 {
        self.progress.last().map_or(0, |moved| moved.bytes)
    }

    /// Whether everything arrived.
    pub fn is_whole(&self) -> bool {
        self.end == Some(End::Whole)
    }

    /// The longest time in which no byte moved, between the start and the end.
    pub fn longest_pause(&self) -> Duration {
        let mut last = Duration::ZERO;
        let mut longest = Duration::ZERO;
        for at in self.progress.iter().map(|moved| moved.at).chain([self.took]) {
            longest = longest.max(at.saturating_sub(last));
            last = at;
        }
        longest
    }

    /// What was met, in the words of a failing test's message.
    pub fn summary(&self) -> String {
        let announced = match self.announced {
            Some(bytes) => format!("{bytes} announced"),
            None => "no length announced".to_owned(),
        };
        let (bytes, took, pause) = (self.bytes(), seconds(self.took), self.longest_pause());
        format!(
            "{:?} after {took}: {bytes} bytes moved, {announced}, status {:?}, version {:?} from {:?}, \
             longest pause {}",
            self.end,
            self.status,
            self.version,
            self.host,
            seconds(pause)
        )
    }

    /// Holds that everything arrived.
    ///
    /// # Panics
    /// With the summary, when it didn't.
    pub fn assert_whole(&self) {
        assert!(self.is_whole(), "a transfer is not whole: {}", self.summary());
    }

    fn add(&mut self, at: Duration, bytes: usize) {
        let bytes = self.bytes() + bytes as u64;
        self.progress.push(Moved { at, bytes });
    }

    fn read_head(&mut self, answer: &Response<Incoming>) {
        self.status = Some(answer.status().as_u16());
        self.version = header(answer, "x-app-version");
        self.host = header(answer, "x-app-host");
        self.announced = answer.body().size_hint().exact();
    }
}

/// A transfer that is under way; dropping it gives it up.
pub struct Transfer {
    notes: Arc<Notes<Transferred>>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Transfer {
    /// Starts a download, from the network of the thread that `spawn` starts.
    pub fn download(download: Download, spawn: impl FnOnce(Work) -> JoinHandle<()>) -> Self {
        Self::start(spawn, async move |notes| download.run(&notes).await)
    }

    /// Starts an upload, from the network of the thread that `spawn` starts.
    pub fn upload(upload: Upload, spawn: impl FnOnce(Work) -> JoinHandle<()>) -> Self {
        Self::start(spawn, async move |notes| upload.run(&notes).await)
    }

    fn start<F>(spawn: impl FnOnce(Work) -> JoinHandle<()>, work: F) -> Self
    where
        F: AsyncFnOnce(Arc<Notes<Transferred>>) -> Result<End, String> + Send + 'static,
    {
        let notes = Notes::new(Transferred::default());
        let (stop, stopped) = oneshot::channel();
        let writer = Arc::clone(&notes);
        let work = move || {
            let ended = runtime().and_then(|runtime| {
                runtime.block_on(async {
                    tokio::select! {
                        ended = work(Arc::clone(&writer)) => ended,
                        _ = stopped => Ok(End::Stopped),
                    }
                })
            });
            finish(&writer, ended.unwrap_or_else(End::Broken));
        };
        Self { notes, stop, thread: spawn(Box::new(work)) }
    }

    /// What was met until now.
    pub fn so_far(&self) -> Transferred {
        self.notes.look().clone()
    }

    /// Waits until so many bytes have moved.
    pub fn wait_for_bytes(&self, bytes: u64, within: Duration) -> Result<(), String> {
        let said =
            || format!("not {bytes} bytes within {}: {}", seconds(within), self.so_far().summary());
        let look = |met: &Transferred| (met.bytes() >= bytes).then_some(());
        self.notes.wait(within, look).ok_or_else(said)
    }

    /// Waits for the end, which comes within the transfer's own time, and tells what was met.
    pub fn finish(self) -> Transferred {
        let Self { notes, stop, thread } = self;
        let panicked = thread.join().is_err();
        drop(stop);
        if panicked {
            finish(&notes, End::Broken("the thread that moved it has panicked".to_owned()));
        }
        notes.look().clone()
    }

    /// Gives up, and tells what was met.
    pub fn stop(self) -> Transferred {
        let Self { notes, stop, thread } = self;
        drop(stop);
        Self { notes, stop: oneshot::channel().0, thread }.finish()
    }
}

fn finish(notes: &Notes<Transferred>, end: End) {
    let took = notes.elapsed();
    notes.note(|met| {
        met.took = took;
        met.end = Some(end);
    });
}

impl Download {
    async fn run(self, notes: &Notes<Transferred>) -> Result<End, String> {
        let limit = Limit::of(self.within);
        let head = Limit::of(self.stall.min(self.within));
        let ask = request(&self.target, Method::GET, Content::whole(Bytes::new()), true)?;
        let mut line = connect(&self.target, head).await?;
        let answer = send(&mut line, ask, head).await?;
        notes.note(|met| met.read_head(&answer));
        let status = answer.status();
        let mut body = answer.into_body();
        let read = async {
            while let Some(piece) = self.piece(&mut body).await? {
                let at = notes.elapsed();
                notes.note(|met| met.add(at, piece.len()));
            }
            Ok::<(), Stalled>(())
        };
        limit.hold("reading the answer", read).await?;
        if !status.is_success() {
            return Ok(End::Refused);
        }
        let bytes = notes.look().bytes();
        match self.bytes {
            Some(wanted) if wanted != bytes => {
                Err(format!("reading the answer: ended well after {bytes} of {wanted} bytes"))
            }
            _ => Ok(End::Whole),
        }
    }

    /// The next bytes; none at the end of the content.
    async fn piece(&self, body: &mut Incoming) -> Result<Option<Bytes>, Stalled> {
        loop {
            let frame = tokio::time::timeout(self.stall, body.frame()).await;
            match frame.map_err(|_| Stalled::Nothing(seconds(self.stall)))? {
                None => return Ok(None),
                // Trailers are no content.
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

/// Why no more bytes came.
#[derive(Debug, thiserror::Error)]
enum Stalled {
    #[error("no byte for {0}")]
    Nothing(String),
    #[error(transparent)]
    Failed(#[from] hyper::Error),
}

impl Upload {
    async fn run(self, notes: &Arc<Notes<Transferred>>) -> Result<End, String> {
        let limit = Limit::of(self.within);
        let mut line = connect(&self.target, limit).await?;
        let ask = request(&self.target, Method::POST, self.content(notes), true)?;
        let answer = send(&mut line, ask, limit).await?;
        notes.note(|met| met.read_head(&answer));
        let status = answer.status();
        let said = header(&answer, "x-app-body-length");
        let body = limit.hold("reading the answer", answer.into_body().collect()).await?;
        if !status.is_success() {
            return Ok(End::Refused);
        }
        let arrived = said.unwrap_or_else(|| body.to_bytes().len().to_string());
        if arrived == self.bytes.to_string() {
            return Ok(End::Whole);
        }
        Err(format!("sending: {arrived} of {} bytes arrived", self.bytes))
    }

    fn content(&self, notes: &Arc<Notes<Transferred>>) -> Content {
        let data: Vec<u8> = (0..self.bytes).map(|place| b"0123456789"[place % 10]).collect();
        let notes = Arc::clone(notes);
        let heard = move |bytes| {
            let at = notes.elapsed();
            notes.note(|met| met.add(at, bytes));
        };
        Content::paced(Bytes::from(data), self.over, heard)
    }
}
