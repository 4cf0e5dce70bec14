//! One question to one address: an HTTP request or a TCP connection, and what was seen in words.

use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reqwest::header::HOST;
use reqwest::redirect::Policy;
use reqwest::{Client, Response};

use crate::model::{Check, FailureKind, StatusRange, duration_text};
use crate::transport::{Dial, Transport, TransportError};

/// How much of a body is looked at.
const MOST_BODY: usize = 64 * 1024;

/// What came of a question.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    /// It is as it should be.
    Good(String),
    /// It isn't.
    Bad(String),
    /// The question did not get there: the node is away, or its sshd forbids it.
    Unasked(TransportError),
}

/// A check and the way to its address: through a node, or straight from this machine.
pub(super) struct Question<'a> {
    pub(super) check: Check,
    pub(super) through: Option<&'a dyn Transport>,
}

impl Question<'_> {
    /// Asks once; takes `within` at most (and a moment).
    pub(super) async fn ask(&self, within: Duration) -> Seen {
        match &self.check {
            Check::Http { address, port, .. } => {
                self.http(SocketAddr::new(*address, *port), within).await
            }
            Check::Tcp { address, port } => {
                self.tcp(SocketAddr::new(*address, *port), within).await
            }
            Check::Exec { .. } | Check::Running => Seen::Good(String::new()),
        }
    }

    async fn tcp(&self, target: SocketAddr, within: Duration) -> Seen {
        match self.knock(target, within).await {
            Ok(()) => Seen::Good(format!("tcp {target}: open")),
            Err(error) => unreached(&format!("tcp {target}"), target, error),
        }
    }

    async fn knock(&self, target: SocketAddr, within: Duration) -> Result<(), TransportError> {
        match self.through {
            Some(node) => node.knock(target, within).await,
            None => crate::transport::knock(Dial::Direct(target), within).await,
        }
    }

    async fn http(&self, target: SocketAddr, within: Duration) -> Seen {
        let Some(request) = Request::of(&self.check) else { return Seen::Good(String::new()) };
        let label = request.label();
        let asked = async {
            let dial = match self.through {
                Some(node) => node.dial(target).await.map_err(Trouble::Way)?,
                None => Dial::Direct(target),
            };
            request.send(dial, target).await
        };
        let late = || format!("{label}: no answer within {}", duration_text(within));
        match tokio::time::timeout(within, asked).await {
            Ok(Ok(text)) => Seen::Good(format!("{label}: {text}")),
            Ok(Err(Trouble::Answer(text))) => Seen::Bad(format!("{label}: {text}")),
            Ok(Err(Trouble::Way(error))) => unreached(&label, target, error),
            // A forwarded connection that is refused looks closed; the node can tell why.
            Ok(Err(Trouble::Connection(text))) => match self.knock(target, within).await {
                Ok(()) => Seen::Bad(format!("{label}: {text}")),
                Err(error) => unreached(&label, target, error),
            },
            Err(_) => Seen::Bad(late()),
        }
    }
}

/// A target that doesn't accept is a bad answer; anything else says nothing about the target.
fn unreached(label: &str, target: SocketAddr, error: TransportError) -> Seen {
    match error {
        TransportError::Failed(failure) if failure.kind == FailureKind::Content => {
            let reason = failure.message.trim_start_matches(&format!("{target}: ")).to_owned();
            Seen::Bad(format!("{label}: {reason}"))
        }
        error => Seen::Unasked(error),
    }
}

enum Trouble {
    /// The way to the address could not be laid.
    Way(TransportError),
    /// Nothing was answered.
    Connection(String),
    /// Something else than expected was answered.
    Answer(String),
}

struct Request<'a> {
    scheme: &'a str,
    host: String,
    path: &'a str,
    port: u16,
    status: &'a [StatusRange],
    body: Option<&'a str>,
}

impl<'a> Request<'a> {
    fn of(check: &'a Check) -> Option<Self> {
        let Check::Http { scheme, address, port, host, path, status, body } = check else {
            return None;
        };
        let plain = match address {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("[{v6}]"),
        };
        let host = host.clone().unwrap_or_else(|| format!("{plain}:{port}"));
        Some(Self { scheme, host, path, port: *port, status, body: body.as_deref() })
    }

    fn label(&self) -> String {
        format!("GET {}://{}{}", self.scheme, self.host, self.path)
    }

    /// The host without its port, for TLS and for the address book.
    fn name(&self) -> &str {
        match self.host.rsplit_once(':') {
            Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
            _ => &self.host,
        }
    }

    fn client(&self, dial: Dial, target: SocketAddr) -> reqwest::Result<Client> {
        // Answers are addresses' own, whatever proxies this machine uses; a kept connection would hide a restart.
        let builder = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .pool_max_idle_per_host(0)
            .http1_only()
            .user_agent("gitsync-probe")
            .tls_danger_accept_invalid_certs(true);
        match dial {
            Dial::Direct(address) => builder.resolve(self.name(), address),
            Dial::Unix(path) => builder.resolve(self.name(), target).unix_socket(path),
        }
        .build()
    }

    async fn send(&self, dial: Dial, target: SocketAddr) -> Result<String, Trouble> {
        let client = self.client(dial, target).map_err(|error| Trouble::Answer(words(&error)))?;
        let url = format!("{}://{}:{}{}", self.scheme, self.name(), self.port, self.path);
        let request = client.get(url).header(HOST, &self.host);
        let response = request.send().await.map_err(|error| {
            if error.is_builder() {
                Trouble::Answer(words(&error))
            } else {
                Trouble::Connection(words(&error))
            }
        })?;
        let status = response.status().as_u16();
        if !is_good(self.status, status) {
            return Err(Trouble::Answer(format!("status {status}")));
        }
        match self.body {
            Some(text) if !holds(response, text).await? => {
                Err(Trouble::Answer(format!("status {status}, but the body lacks \"{text}\"")))
            }
            _ => Ok(format!("status {status}")),
        }
    }
}

fn is_good(ranges: &[StatusRange], status: u16) -> bool {
    let inside = |range: &StatusRange| (range.first..=range.last).contains(&status);
    if ranges.is_empty() { (200..400).contains(&status) } else { ranges.iter().any(inside) }
}

/// Whether the first 64 KiB of the body hold the text; the rest is never read.
async fn holds(mut response: Response, text: &str) -> Result<bool, Trouble> {
    let mut body = Vec::new();
    let found = |body: &[u8]| {
        text.is_empty() || body.windows(text.len()).any(|window| window == text.as_bytes())
    };
    while body.len() < MOST_BODY {
        let chunk = response.chunk().await;
        match chunk.map_err(|error| Trouble::Answer(words(&error)))? {
            Some(bytes) => body.extend_from_slice(&bytes),
            None => break,
        }
        // A stream may go on for ever after what was looked for.
        if found(body.get(..MOST_BODY).unwrap_or(&body)) {
            return Ok(true);
        }
    }
    body.truncate(MOST_BODY);
    Ok(found(&body))
}

/// The innermost reason, without the address that the label has already.
fn words(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    match text.split_once(" (os error") {
        Some((reason, _)) => reason.to_lowercase(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_a_port_is_split_for_tls_only() {
        let check = |host: Option<&str>, address: &str| Check::Http {
            scheme: "https".into(),
            address: address.parse().unwrap(),
            port: 8443,
            host: host.map(str::to_owned),
            path: "/x".into(),
            status: Vec::new(),
            body: None,
        };
        let name = |check: &Check| Request::of(check).unwrap().name().to_owned();
        assert_eq!(name(&check(Some("a.example:8443"), "127.0.0.1")), "a.example");
        assert_eq!(name(&check(Some("a.example"), "127.0.0.1")), "a.example");
        assert_eq!(name(&check(None, "::1")), "[::1]");
        let labelled = check(None, "::1");
        assert_eq!(Request::of(&labelled).unwrap().label(), "GET https://[::1]:8443/x");
    }

    #[test]
    fn without_ranges_everything_below_400_is_good() {
        assert!(is_good(&[], 200) && is_good(&[], 302) && !is_good(&[], 404) && !is_good(&[], 199));
        let only = [StatusRange { first: 401, last: 403 }];
        assert!(is_good(&only, 401) && !is_good(&only, 200));
    }
}
