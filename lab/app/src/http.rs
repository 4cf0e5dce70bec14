//! Reads HTTP/1.1 requests from a connection, whatever bytes come in.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

const LONGEST_HEAD: usize = 32 * 1024;
const LONGEST_BODY: usize = 64 * 1024 * 1024;
const MOST_FIELDS: usize = 96;

/// Longer than gateways keep idle connections, so that they close first.
const IDLE: Duration = Duration::from_secs(300);
/// How long the next bytes of a request, and the room for bytes of an answer, are waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The other side left, or takes too long.
    #[error("the connection is gone: {0}")]
    Gone(#[from] io::Error),
    /// What came in isn't a request that can be served.
    #[error("{1}")]
    Bad(u16, &'static str),
}

/// A connection with the bytes that were read and not used yet.
pub struct Wire {
    /// The connection itself, for writing.
    pub stream: Arc<TcpStream>,
    unread: Vec<u8>,
}

impl Wire {
    /// Starts with nothing read.
    pub fn new(stream: &Arc<TcpStream>) -> Self {
        Wire { stream: Arc::clone(stream), unread: Vec::new() }
    }

    /// Waits for the first byte of something; false if the other side left or stays silent.
    pub fn wait_for_some(&mut self) -> bool {
        if !self.unread.is_empty() {
            return true;
        }
        let _ = self.stream.set_read_timeout(Some(IDLE));
        let some = self.more().is_ok();
        let _ = self.stream.set_read_timeout(Some(PATIENCE));
        some
    }

    /// Exactly so many bytes.
    pub fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = self.up_to(length);
        while bytes.len() < length {
            self.more()?;
            let rest = self.up_to(length - bytes.len());
            bytes.extend_from_slice(&rest);
        }
        Ok(bytes)
    }

    fn up_to(&mut self, length: usize) -> Vec<u8> {
        let length = length.min(self.unread.len());
        self.unread.drain(..length).collect()
    }

    /// Reads at least one more byte.
    fn more(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 * 1024];
        let mut stream = &*self.stream;
        loop {
            match stream.read(&mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    self.unread.extend(bytes.iter().take(length));
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads until `parse` understands the beginning of what is unread, and takes that away.
    fn parsed<T>(
        &mut self,
        parse: impl Fn(&[u8]) -> httparse::Result<(usize, T)>,
    ) -> Result<T, Problem> {
        loop {
            match parse(&self.unread) {
                Ok(httparse::Status::Complete((length, value))) => {
                    self.up_to(length);
                    return Ok(value);
                }
                Ok(httparse::Status::Partial) if self.unread.len() < LONGEST_HEAD => self.more()?,
                Ok(httparse::Status::Partial) => return Err(Problem::Bad(431, "head too long")),
                Err(httparse::Error::TooManyHeaders) => {
                    return Err(Problem::Bad(431, "too many headers"));
                }
                Err(_) => return Err(Problem::Bad(400, "not an HTTP request")),
            }
        }
    }
}

/// One request, body and all.
#[derive(Debug, Default)]
pub struct Request {
    /// As it was sent: `GET`.
    pub method: String,
    /// The target without its query.
    pub path: String,
    /// What came with it.
    pub body: Vec<u8>,
    query: String,
    fields: Vec<(String, String)>,
    minor: u8,
}

impl Request {
    /// A header's value; the name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a header's comma list has this word.
    pub fn has_word(&self, name: &str, word: &str) -> bool {
        let fields = self.fields.iter().filter(|(key, _)| key == name);
        fields
            .flat_map(|(_, value)| value.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(word))
    }

    /// A parameter of the query, decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then(|| percent_decoded(value))
        })
    }

    /// Whether the client wants to send another request on this connection.
    pub fn keeps_alive(&self) -> bool {
        match self.minor {
            0 => self.has_word("connection", "keep-alive"),
            _ => !self.has_word("connection", "close"),
        }
    }
}

/// Reads the next request with its body.
pub fn read(wire: &mut Wire) -> Result<Request, Problem> {
    let mut request = wire.parsed(parse_head)?;
    let length = body_length(&request)?;
    if request.minor > 0 && request.has_word("expect", "100-continue") && wire.unread.is_empty() {
        (&*wire.stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    request.body = match length {
        Some(length) => wire.exactly(length)?,
        None => read_chunks(wire)?,
    };
    Ok(request)
}

fn parse_head(bytes: &[u8]) -> httparse::Result<(usize, Request)> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(bytes)? else {
        return Ok(httparse::Status::Partial);
    };
    let (path, query) = split_target(head.path.unwrap_or_default());
    let fields = head.headers.iter().map(|field| {
        let value = String::from_utf8_lossy(field.value).into_owned();
        (field.name.to_ascii_lowercase(), value)
    });
    let request = Request {
        method: head.method.unwrap_or_default().to_string(),
        path,
        query,
        fields: fields.collect(),
        minor: head.version.unwrap_or_default(),
        body: Vec::new(),
    };
    Ok(httparse::Status::Complete((length, request)))
}

/// Path and query of `/path?query` or `http://host/path?query`.
fn split_target(target: &str) -> (String, String) {
    let target = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => target,
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (path.to_string(), query.to_string())
}

/// The body's length; none if it comes in chunks. Anything ambiguous is refused.
fn body_length(request: &Request) -> Result<Option<usize>, Problem> {
    let mut lengths = request.fields.iter().filter(|(name, _)| name == "content-length");
    let first = lengths.next();
    if let Some(coding) = request.field("transfer-encoding") {
        return match coding.eq_ignore_ascii_case("chunked") {
            true if first.is_none() && request.minor > 0 => Ok(None),
            true => Err(Problem::Bad(400, "two ways to find the body's end")),
            false => Err(Problem::Bad(501, "unknown transfer encoding")),
        };
    }
    let Some((_, value)) = first else { return Ok(Some(0)) };
    if lengths.any(|(_, other)| other != value) || !value.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err(Problem::Bad(400, "bad Content-Length"));
    }
    match value.parse() {
        Ok(length) if length <= LONGEST_BODY => Ok(Some(length)),
        Ok(_) => Err(Problem::Bad(413, "body too long")),
        Err(_) => Err(Problem::Bad(400, "bad Content-Length")),
    }
}

fn read_chunks(wire: &mut Wire) -> Result<Vec<u8>, Problem> {
    let mut body = Vec::new();
    loop {
        let size = wire.parsed(parse_chunk_size)?;
        if size == 0 {
            break;
        }
        let room = LONGEST_BODY.saturating_sub(body.len());
        match usize::try_from(size) {
            Ok(size) if size <= room => body.extend(wire.exactly(size)?),
            _ => return Err(Problem::Bad(413, "body too long")),
        }
        if wire.exactly(2)? != b"\r\n" {
            return Err(Problem::Bad(400, "a chunk without its end"));
        }
    }
    wire.parsed(parse_trailer)?;
    Ok(body)
}

fn parse_chunk_size(bytes: &[u8]) -> httparse::Result<(usize, u64)> {
    httparse::parse_chunk_size(bytes).map_err(|_| httparse::Error::Token)
}

fn parse_trailer(bytes: &[u8]) -> httparse::Result<(usize, ())> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    Ok(match httparse::parse_headers(bytes, &mut fields)? {
        httparse::Status::Complete((length, _)) => httparse::Status::Complete((length, ())),
        httparse::Status::Partial => httparse::Status::Partial,
    })
}

/// `%2F` becomes `/`; what isn't an escape stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escape = after.get(..2).filter(|_| first == b'%').and_then(hex_byte);
        bytes.push(escape.unwrap_or(first));
        rest = if escape.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let [high, low] = *digits else { return None };
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_and_broken_ones_kept() {
        assert_eq!(percent_decoded("%2Fdata%20x+y"), "/data x+y");
        assert_eq!(percent_decoded("100%"), "100%");
        assert_eq!(percent_decoded("%zz%4"), "%zz%4");
    }

    #[test]
    fn targets_split_at_the_query() {
        let split = |target| split_target(target);
        assert_eq!(split("/a?b=c?d"), ("/a".to_string(), "b=c?d".to_string()));
        assert_eq!(split("http://host:80/a"), ("/a".to_string(), String::new()));
        assert_eq!(split("http://host"), ("/".to_string(), String::new()));
    }
}
