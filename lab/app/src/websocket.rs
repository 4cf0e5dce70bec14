//! A WebSocket (RFC 6455) that sends every message back.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::app::App;
use crate::http::{Request, Wire};
use crate::response::Response;

const LONGEST_MESSAGE: usize = 16 * 1024 * 1024;
/// Every server answers a key with the hash of it and this.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const CONTINUED: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;
const PROTOCOL: u16 = 1002;
const NOT_TEXT: u16 = 1007;
const TOO_BIG: u16 = 1009;

struct Frame {
    last: bool,
    kind: u8,
    payload: Vec<u8>,
}

/// Why a conversation ends.
enum End {
    /// The connection is gone, or the app hung up.
    Gone,
    /// With this close code.
    Close(u16),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        End::Gone
    }
}

/// The handshake's answer, if a WebSocket is asked for at `/ws`.
pub fn accepted(request: &Request) -> Option<Response> {
    let upgrade = request.has_word("upgrade", "websocket")
        && request.has_word("connection", "upgrade")
        && request.has_word("sec-websocket-version", "13");
    if request.method != "GET" || request.path != "/ws" || !upgrade {
        return None;
    }
    let key = request.field("sec-websocket-key")?;
    let hash = Sha1::new().chain_update(key).chain_update(MAGIC).finalize();
    let response = Response::new(101, Vec::new())
        .with("Upgrade", "websocket")
        .with("Connection", "Upgrade")
        .with("Sec-WebSocket-Accept", STANDARD.encode(hash));
    Some(response)
}

/// Sends every message back until one side ends it; says 1001 when the app stops.
pub fn echo(app: &App, wire: &mut Wire) {
    // A WebSocket may be silent as long as it likes.
    let _ = wire.stream.set_read_timeout(None);
    let code = match talk(app, wire) {
        End::Close(code) => Some(code),
        End::Gone => app.stop.draining().then_some(GOING_AWAY),
    };
    if let Some(code) = code.filter(|_| !app.frozen()) {
        let _ = send(wire, CLOSE, &code.to_be_bytes());
    }
}

fn talk(app: &App, wire: &mut Wire) -> End {
    let mut message = None;
    loop {
        let frame = match receive(wire) {
            Ok(frame) => frame,
            Err(end) => return end,
        };
        let sent = match frame.kind {
            CLOSE => return End::Close(reply_to_close(&frame.payload)),
            _ if app.frozen() => Ok(()),
            PING => send(wire, PONG, &frame.payload),
            PONG => Ok(()),
            _ => collect(&mut message, frame).and_then(|whole| match whole {
                Some((kind, payload)) => send(wire, kind, &payload),
                None => Ok(()),
            }),
        };
        if let Err(end) = sent {
            return end;
        }
    }
}

/// Puts fragments together; a message when its last one is there.
fn collect(
    message: &mut Option<(u8, Vec<u8>)>,
    frame: Frame,
) -> Result<Option<(u8, Vec<u8>)>, End> {
    let (kind, mut whole) = match (message.take(), frame.kind) {
        (Some(begun), CONTINUED) => begun,
        (None, TEXT | BINARY) => (frame.kind, Vec::new()),
        _ => return Err(End::Close(PROTOCOL)),
    };
    if whole.len() + frame.payload.len() > LONGEST_MESSAGE {
        return Err(End::Close(TOO_BIG));
    }
    whole.extend(frame.payload);
    if !frame.last {
        *message = Some((kind, whole));
        return Ok(None);
    }
    if kind == TEXT && str::from_utf8(&whole).is_err() {
        return Err(End::Close(NOT_TEXT));
    }
    Ok(Some((kind, whole)))
}

fn receive(wire: &mut Wire) -> Result<Frame, End> {
    let [first, second] = array(wire)?;
    let (last, kind) = (first & 0x80 != 0, first & 0x0f);
    let control = kind >= CLOSE;
    let known = matches!(kind, CONTINUED | TEXT | BINARY | CLOSE | PING | PONG);
    let short = second & 0x7f;
    if first & 0x70 != 0 || second & 0x80 == 0 || !known || control && (!last || short > 125) {
        return Err(End::Close(PROTOCOL));
    }
    let length = match short {
        126 => u64::from(u16::from_be_bytes(array(wire)?)),
        127 => u64::from_be_bytes(array(wire)?),
        length => u64::from(length),
    };
    let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST_MESSAGE);
    let length = length.ok_or(End::Close(TOO_BIG))?;
    let mask: [u8; 4] = array(wire)?;
    let mut payload = wire.exactly(length)?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    Ok(Frame { last, kind, payload })
}

fn array<const N: usize>(wire: &mut Wire) -> Result<[u8; N], End> {
    wire.exactly(N)?.try_into().map_err(|_| End::Gone)
}

/// The peer's own code back, if it is one that may be sent.
fn reply_to_close(payload: &[u8]) -> u16 {
    match payload {
        [] => NORMAL,
        [high, low, ..] => match u16::from_be_bytes([*high, *low]) {
            code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => code,
            _ => PROTOCOL,
        },
        _ => PROTOCOL,
    }
}

fn send(wire: &Wire, kind: u8, payload: &[u8]) -> Result<(), End> {
    let mut bytes = vec![0x80 | kind];
    match payload.len() {
        length @ 0..=125 => bytes.push(length as u8),
        length @ 126..=65535 => {
            bytes.push(126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    Ok((&*wire.stream).write_all(&bytes)?)
}
