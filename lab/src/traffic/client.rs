//! One request over one connection, with a deadline and without a second try.

use std::error::Error;
use std::future::Future;
use std::time::{Duration, Instant as Clock};

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::content::Content;
use super::{PATIENCE, Target, seconds};

/// How long `wait_until` rests between two looks.
const REST: Duration = Duration::from_millis(50);

/// A connection that a request can be sent over.
pub(super) type Line = SendRequest<Content>;

/// The end of a request's time.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    end: Instant,
    whole: Duration,
}

impl Limit {
    /// So long from now.
    pub(super) fn of(whole: Duration) -> Self {
        Self { end: Instant::now() + whole, whole }
    }

    /// Does one stage of the work, whose failure is told with what was being done.
    pub(super) async fn hold<T, E: Error + 'static>(
        self,
        doing: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, String> {
        match timeout_at(self.end, work).await {
            Ok(result) => result.map_err(|error| format!("{doing}: {}", words(&error))),
            Err(_) => Err(format!("{doing}: not done within {}", seconds(self.whole))),
        }
    }
}

/// An error and its causes, each said once.
pub(super) fn words(error: &(dyn Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !said.contains(&more) {
            said = format!("{said}: {more}");
        }
        cause = error.source();
    }
    said
}

/// Connects; the connection lives on the runtime until it is closed or the line is dropped.
pub(super) async fn connect(target: &Target, limit: Limit) -> Result<Line, String> {
    let stream = limit.hold("connecting", TcpStream::connect(target.addr)).await?;
    limit.hold("connecting", async { stream.set_nodelay(true) }).await?;
    let (line, connection) =
        limit.hold("connecting", http1::handshake(TokioIo::new(stream))).await?;
    // Its errors reach the one who waits for the answer.
    tokio::spawn(connection);
    Ok(line)
}

/// Sends a request and waits for the head of its answer.
pub(super) async fn send(
    line: &mut Line,
    request: Request<Content>,
    limit: Limit,
) -> Result<Response<Incoming>, String> {
    limit.hold("waiting for the answer", line.send_request(request)).await
}

/// A request to a target; `last` asks the server to close the connection after it.
pub(super) fn request(
    target: &Target,
    method: Method,
    content: Content,
    last: bool,
) -> Result<Request<Content>, String> {
    let mut request =
        Request::builder().method(method).uri(&target.path).header("host", &target.host);
    if last {
        request = request.header("connection", "close");
    }
    request.body(content).map_err(|error| format!("making the request: {error}"))
}

/// A header of an answer, when it is there and readable.
pub(super) fn header(answer: &Response<Incoming>, name: &str) -> Option<String> {
    Some(answer.headers().get(name)?.to_str().ok()?.to_owned())
}

/// A runtime for the calling thread alone: its sockets are made there.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("starting a runtime: {error}"))
}

/// An answer that was read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status, of whatever class.
    pub status: u16,
    /// Headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole content.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first header of a name, which is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The content as text; what isn't UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The app's version, as it says.
    pub fn version(&self) -> Option<&str> {
        self.header("x-app-version")
    }

    /// The host that the app runs on, as it says.
    pub fn host(&self) -> Option<&str> {
        self.header("x-app-host")
    }
}

/// Asks once for a path on a fresh connection from the caller's network; an error says what failed within 10 s.
pub fn get(addr: std::net::SocketAddr, host: &str, path: &str) -> Result<Reply, String> {
    ask_apart(Target::new(addr, host).at(path), Method::GET, Bytes::new())
}

/// Posts once as `get` asks.
pub fn post(
    addr: std::net::SocketAddr,
    host: &str,
    path: &str,
    body: &[u8],
) -> Result<Reply, String> {
    ask_apart(Target::new(addr, host).at(path), Method::POST, Bytes::copy_from_slice(body))
}

/// Asks on a thread of its own, so that callers may be async; the thread inherits the caller's network.
fn ask_apart(target: Target, method: Method, body: Bytes) -> Result<Reply, String> {
    let asked = std::thread::spawn(move || runtime()?.block_on(ask(&target, method, body)));
    asked.join().unwrap_or_else(|_| Err("the thread that asked has panicked".to_owned()))
}

async fn ask(target: &Target, method: Method, body: Bytes) -> Result<Reply, String> {
    let limit = Limit::of(PATIENCE);
    let request = request(target, method, Content::whole(body), true)?;
    let mut line = connect(target, limit).await?;
    let answer = send(&mut line, request, limit).await?;
    let (head, body) = answer.into_parts();
    let body = limit.hold("reading the answer", body.collect()).await?;
    let text =
        |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    let body = body.to_bytes().to_vec();
    Ok(Reply { status: head.status.as_u16(), headers: headers.collect(), body })
}

/// Looks again and again until a look succeeds; when the time is over, says `what` was awaited and how the last failed.
pub fn wait_until<T>(
    within: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<T, String>,
) -> Result<T, String> {
    let end = Clock::now() + within;
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(why) if Clock::now() >= end => {
                return Err(format!("{what}: not within {}: {why}", seconds(within)));
            }
            Err(_) => std::thread::sleep(REST),
        }
    }
}
