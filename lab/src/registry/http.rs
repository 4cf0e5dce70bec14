//! As much of HTTP/1.1 as pulls need: heads of requests in, heads of answers out.

use std::fmt::Write as _;
use std::io::{self, BufRead, Read as _};
use std::sync::Arc;

/// How long a request's head may be, in bytes.
const LONGEST_HEAD: u64 = 32 * 1024;

/// The first byte of a TLS handshake, which no HTTP method starts with.
const TLS_HANDSHAKE: u8 = 0x16;

/// What a client that speaks TLS gets: it then knows that there is none here.
pub(super) const NO_TLS: &[u8] = b"HTTP/1.0 400 Bad Request\r\n\r\nno TLS here\n";

/// A request's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) target: String,
    fields: Vec<(String, String)>,
    modern: bool,
}

impl Head {
    /// The value of a field, by its name in lower case.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The target without its query.
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Whether the connection can serve another request; after a body, which nobody reads here, it can't.
    pub(super) fn keeps_connection(&self) -> bool {
        let body = self.field("transfer-encoding").is_some()
            || self.field("content-length").is_some_and(|length| length != "0");
        let asked_to_close =
            self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        self.modern && !body && !asked_to_close
    }
}

/// Waits for the first byte and says whether it opens a TLS handshake; nothing when the connection ended.
pub(super) fn speaks_tls(reader: &mut impl BufRead) -> io::Result<Option<bool>> {
    Ok(reader.fill_buf()?.first().map(|byte| *byte == TLS_HANDSHAKE))
}

/// Reads one head.
pub(super) fn read_head(reader: &mut impl BufRead) -> io::Result<Head> {
    let mut bounded = reader.take(LONGEST_HEAD);
    let line = read_line(&mut bounded)?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next())
    else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let mut fields = Vec::new();
    loop {
        let line = read_line(&mut bounded)?;
        let Some((name, value)) = line.split_once(':') else { break };
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let modern = version == "HTTP/1.1";
    Ok(Head { method: method.to_owned(), target: target.to_owned(), fields, modern })
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    match line.strip_suffix('\n') {
        Some(whole) => Ok(whole.trim_end_matches('\r').to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// An answer with all of its body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) body: Arc<[u8]>,
}

impl Answer {
    pub(super) fn new(status: u16, media_type: &str, body: Arc<[u8]>) -> Self {
        let fields = vec![
            ("Content-Type", media_type.to_owned()),
            ("Docker-Distribution-Api-Version", "registry/2.0".to_owned()),
        ];
        Self { status, fields, body }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// What goes before the body.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.fields {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let _ = write!(text, "Content-Length: {}\r\n\r\n", self.body.len());
        text.into_bytes()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        _ => "Unknown",
    }
}
