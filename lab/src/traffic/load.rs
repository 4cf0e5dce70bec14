//! An open-loop load: requests at even distances, whatever became of the earlier ones.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Response};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::client::{Limit, Line, connect, header, request, runtime, send};
use super::content::Content;
use super::seen::{Answer, Arrival, Outcome, Seen};
use super::{Notes, PATIENCE, Target, Work, seconds};

/// How often, and what, users ask.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where requests go.
    pub target: Target,
    /// The path of POSTs, when it is another one.
    pub post_path: Option<String>,
    /// Requests per second, more than zero, GET and POST in turns.
    pub per_second: f64,
    /// What a POST sends.
    pub body: Vec<u8>,
    /// How long a request may take, from connecting to the end of its answer.
    pub timeout: Duration,
    /// Whether connections are used again; each request has its own otherwise.
    pub keep_alive: bool,
}

impl Load {
    /// 50 requests a second, 10 s for each, on fresh connections.
    pub fn on(target: Target) -> Self {
        let body = b"a small order".to_vec();
        let timeout = PATIENCE;
        Self { target, post_path: None, per_second: 50.0, body, timeout, keep_alive: false }
    }

    fn post_target(&self) -> Target {
        let path = self.post_path.as_ref().unwrap_or(&self.target.path);
        self.target.clone().at(path)
    }
}

/// An answer that is waited for; what is not said may be anything.
#[derive(Clone, Debug, Default)]
pub struct Awaited {
    version: Option<String>,
    host: Option<String>,
    since: Duration,
}

impl Awaited {
    /// Any answer with a status of 2xx.
    pub fn any() -> Self {
        Self::default()
    }

    /// Answered by an app of this version.
    pub fn version(mut self, version: &str) -> Self {
        self.version = Some(version.to_owned());
        self
    }

    /// Answered from this host.
    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// To a request sent at or after this time, as `Traffic::elapsed` tells it.
    pub fn since(mut self, since: Duration) -> Self {
        self.since = since;
        self
    }

    fn is(&self, answer: &Answer) -> bool {
        let same = |wanted: &Option<String>, said: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| said == Some(wanted))
        };
        answer.is_good()
            && answer.at >= self.since
            && same(&self.version, answer.version())
            && same(&self.host, answer.host())
    }
}

/// A load that is under way; dropping it ends the load too.
pub struct Traffic {
    notes: Arc<Notes<Seen>>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Traffic {
    /// Starts sending, from the network of the thread that `spawn` starts.
    pub fn start(load: Load, spawn: impl FnOnce(Work) -> JoinHandle<()>) -> Self {
        let notes = Notes::new(Seen::default());
        let (stop, stopped) = oneshot::channel();
        let writer = Arc::clone(&notes);
        let thread = spawn(Box::new(move || match runtime() {
            Ok(runtime) => runtime.block_on(run(load, writer, stopped)),
            Err(reason) => writer.note(|seen| {
                seen.sent = 1;
                seen.answers.push(Answer::failed(Duration::ZERO, Method::GET.as_str(), reason));
            }),
        }));
        Self { notes, stop, thread }
    }

    /// The time since the start, as answers tell theirs.
    pub fn elapsed(&self) -> Duration {
        self.notes.elapsed()
    }

    /// What was seen until now; requests under way are counted apart.
    pub fn so_far(&self) -> Seen {
        let mut seen = self.notes.look().clone();
        seen.in_flight = seen.sent - seen.answers.len();
        seen.sort();
        seen
    }

    /// Waits for a good answer, which may have come before; an error tells what was seen instead.
    pub fn wait_for(&self, awaited: &Awaited, within: Duration) -> Result<Answer, String> {
        let look = |seen: &Seen| seen.answers.iter().find(|answer| awaited.is(answer)).cloned();
        self.notes.wait(within, look).ok_or_else(|| {
            let summary = self.so_far().summary();
            format!("no answer like {awaited:?} within {}\n{summary}", seconds(within))
        })
    }

    /// Sends no more, waits for the answers under way, each within its timeout, and tells what was seen.
    pub fn stop(self) -> Seen {
        let Self { notes, stop, thread } = self;
        drop(stop);
        // A panic shows as requests without an outcome, or as none at all.
        let _ = thread.join();
        let mut seen = notes.look().clone();
        seen.sort();
        seen
    }
}

async fn run(load: Load, notes: Arc<Notes<Seen>>, mut stopped: oneshot::Receiver<()>) {
    let (timeout, keep_alive) = (load.timeout, load.keep_alive);
    let user = Arc::new(User { notes, timeout, keep_alive, idle: Mutex::default() });
    let calls = [
        (Method::GET, load.target.clone(), Bytes::new()),
        (Method::POST, load.post_target(), Bytes::from(load.body)),
    ];
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / load.per_second));
    let mut going = JoinSet::new();
    for (method, target, body) in calls.into_iter().cycle() {
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            _ = ticks.tick() => {}
        }
        user.notes.note(|seen| seen.sent += 1);
        let user = Arc::clone(&user);
        going.spawn(async move { user.call(method, target, body).await });
        while going.try_join_next().is_some() {}
    }
    while going.join_next().await.is_some() {}
}

/// What all requests of one load share.
struct User {
    notes: Arc<Notes<Seen>>,
    timeout: Duration,
    keep_alive: bool,
    idle: Mutex<Vec<Line>>,
}

impl User {
    async fn call(&self, method: Method, target: Target, body: Bytes) {
        let at = self.notes.elapsed();
        let name = method.to_string();
        let outcome = self.try_once(method, &target, body).await;
        let took = self.notes.elapsed().saturating_sub(at);
        let outcome = outcome.unwrap_or_else(|reason| Outcome::Failed { reason });
        self.notes.note(|seen| seen.answers.push(Answer { at, method: name, took, outcome }));
    }

    async fn try_once(
        &self,
        method: Method,
        target: &Target,
        body: Bytes,
    ) -> Result<Outcome, String> {
        let limit = Limit::of(self.timeout);
        let posted = (method == Method::POST).then_some(body.len());
        let request = request(target, method, Content::whole(body), !self.keep_alive)?;
        let mut line = self.line(target, limit).await?;
        let answer = send(&mut line, request, limit).await?;
        let mut outcome = outcome(&answer, posted);
        let read = limit.hold("reading the answer", answer.into_body().collect()).await?;
        if let Outcome::Answered { bytes, .. } = &mut outcome {
            *bytes = read.to_bytes().len();
        }
        if self.keep_alive && !line.is_closed() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
        Ok(outcome)
    }

    /// An idle connection that isn't known to be closed, or a new one.
    ///
    /// A closed one is found before anything is sent over it, so this retries nothing.
    async fn line(&self, target: &Target, limit: Limit) -> Result<Line, String> {
        while let Some(mut line) = self.take_idle() {
            if limit.hold("connecting", line.ready()).await.is_ok() {
                return Ok(line);
            }
        }
        connect(target, limit).await
    }

    fn take_idle(&self) -> Option<Line> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// What the head of an answer says; `posted` is the length of what was sent.
fn outcome(answer: &Response<Incoming>, posted: Option<usize>) -> Outcome {
    let arrival = match (posted, header(answer, "x-app-body-length")) {
        (None, _) => Arrival::NothingSent,
        (Some(_), None) => Arrival::Unsaid,
        (Some(sent), Some(said)) if said == sent.to_string() => Arrival::Whole,
        (Some(sent), Some(arrived)) => Arrival::Changed { sent, arrived },
    };
    Outcome::Answered {
        status: answer.status().as_u16(),
        version: header(answer, "x-app-version"),
        host: header(answer, "x-app-host"),
        bytes: 0,
        arrival,
    }
}
