//! Answers, and how they are written to a connection.

use std::io::{self, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::app::App;

/// How often a paced download sends a piece.
const BEAT: Duration = Duration::from_millis(50);

/// What comes after the head.
pub enum Body {
    /// All at once.
    Whole(Vec<u8>),
    /// So many bytes, spread evenly over the time.
    Paced(u64, Duration),
}

/// An answer to a request.
pub struct Response {
    status: u16,
    fields: Vec<(&'static str, String)>,
    body: Body,
}

impl Response {
    /// An answer with these bytes.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Response { status, fields: Vec::new(), body: Body::Whole(body.into()) }
    }

    /// A download that takes its time.
    pub fn paced(bytes: u64, over: Duration) -> Self {
        Response { status: 200, fields: Vec::new(), body: Body::Paced(bytes, over) }
    }

    /// With one more header.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Writes the head, and the body unless only the head was asked for.
    pub fn write(&self, app: &App, mut stream: &TcpStream, head_only: bool) -> io::Result<()> {
        let mut bytes = self.head(app).into_bytes();
        match &self.body {
            Body::Whole(body) if !head_only => bytes.extend_from_slice(body),
            _ => {}
        }
        stream.write_all(&bytes)?;
        match self.body {
            Body::Paced(bytes, over) if !head_only => write_paced(stream, bytes, over),
            _ => Ok(()),
        }
    }

    fn head(&self, app: &App) -> String {
        let length = match &self.body {
            Body::Whole(body) => body.len() as u64,
            Body::Paced(bytes, _) => *bytes,
        };
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let mut add = |name: &str, value: &str| {
            head.extend([name, ": "]);
            head.extend(value.chars().map(|one| if one.is_control() { ' ' } else { one }));
            head.push_str("\r\n");
        };
        if self.status != 101 {
            add("Content-Length", &length.to_string());
            add("Content-Type", "text/plain; charset=utf-8");
        }
        add("X-App-Version", app.version());
        add("X-App-Host", &app.host);
        add("X-App-Boot", &app.boot);
        self.fields.iter().for_each(|(name, value)| add(name, value));
        head.push_str("\r\n");
        head
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        426 => "Upgrade Required",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

/// The alphabet over and over, so that a client can check what it got.
fn write_paced(mut stream: &TcpStream, bytes: u64, over: Duration) -> io::Result<()> {
    let start = Instant::now();
    let beats = over.as_millis().div_ceil(BEAT.as_millis()).max(1);
    let mut sent = 0;
    for beat in 1..=beats {
        let due = share(over.as_nanos(), beat, beats);
        std::thread::sleep(Duration::from_nanos(due).saturating_sub(start.elapsed()));
        let until = share(u128::from(bytes), beat, beats);
        let piece: Vec<u8> = (sent..until).map(|at| b'a' + (at % 26) as u8).collect();
        stream.write_all(&piece)?;
        sent = until;
    }
    Ok(())
}

fn share(whole: u128, part: u128, parts: u128) -> u64 {
    u64::try_from(whole.saturating_mul(part) / parts).unwrap_or(u64::MAX)
}
