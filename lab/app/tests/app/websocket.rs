//! The WebSocket echo, asked by another implementation and by hand.

use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

use crate::support::{App, Client, PATIENCE};

fn open(app: &App) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect_timeout(&app.tcp[0], PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let url = format!("ws://{}/ws", app.tcp[0]);
    let (socket, response) = tungstenite::client(url, stream).unwrap();
    assert!(response.headers().contains_key("x-app-boot"));
    socket
}

fn closing_code(socket: &mut WebSocket<TcpStream>) -> CloseCode {
    match socket.read().unwrap() {
        Message::Close(Some(frame)) => frame.code,
        other => panic!("a close with a code, not {other:?}"),
    }
}

/// A connection past the handshake, for frames that a good client doesn't send.
fn raw(app: &App) -> Client {
    let mut client = app.connect();
    client.send("GET /ws HTTP/1.1\r\nHost: lab\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
    client.send("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    let answer = client.head();
    assert_eq!(answer.status, 101);
    // The example of RFC 6455, section 1.3.
    assert_eq!(answer.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    client
}

/// A masked frame whose mask is zero.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    bytes.extend_from_slice(payload);
    bytes
}

#[test]
fn messages_of_every_size_come_back() {
    let app = App::start(&[]);
    let mut socket = open(&app);
    for length in [0, 1, 125, 126, 65_535, 65_536, 300_000] {
        let binary = Message::binary((0..length).map(|at| at as u8).collect::<Vec<_>>());
        let text = Message::text("é".repeat(length));
        for message in [binary, text] {
            socket.send(message.clone()).unwrap();
            assert!(socket.read().unwrap() == message, "{length}");
        }
    }
    socket.send(Message::Ping("are you there".into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong("are you there".into()));
    socket.send(Message::Pong("nobody asked".into())).unwrap();
    socket.close(None).unwrap();
    assert!(matches!(socket.read().unwrap(), Message::Close(_)));
    assert!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)));
}

#[test]
fn fragments_come_back_as_one_message_with_pings_between() {
    let app = App::start(&[]);
    let mut client = raw(&app);
    client.send([frame(0x01, b"hel"), frame(0x89, b"?"), frame(0x80, b"lo")].concat());
    client.send(frame(0x88, &4001_u16.to_be_bytes()));
    let bytes = client.rest(PATIENCE).unwrap();
    assert_eq!(bytes, b"\x8a\x01?\x81\x05hello\x88\x02\x0f\xa1");
}

#[test]
fn broken_frames_end_the_conversation_with_a_reason() {
    let app = App::start(&[]);
    let answer = |bytes: &[u8]| {
        let mut client = raw(&app);
        client.send(bytes);
        let rest = client.rest(PATIENCE).unwrap();
        assert_eq!(rest.get(..2), Some(&[0x88, 2][..]), "{bytes:?}");
        u16::from_be_bytes([rest[2], rest[3]])
    };
    assert_eq!(answer(&frame(0x80, b"continues nothing")), 1002);
    assert_eq!(answer(&frame(0x83, b"unknown kind")), 1002);
    assert_eq!(answer(&frame(0xc1, b"reserved bit")), 1002);
    assert_eq!(answer(&frame(0x09, b"ping in pieces")), 1002);
    assert_eq!(answer(b"\x81\x01x"), 1002, "not masked");
    assert_eq!(answer(&frame(0x81, b"\xff\xfe")), 1007);
    assert_eq!(answer(b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0"), 1009);
    assert_eq!(answer(&frame(0x88, &1005_u16.to_be_bytes())), 1002);
    assert_eq!(app.get("/").status, 200);
}

#[test]
fn a_stopping_app_says_that_it_goes_away() {
    for drain in ["0s", "300ms"] {
        let mut app = App::start(&[("APP_DRAIN", drain)]);
        let mut socket = open(&app);
        socket.send(Message::text("hello")).unwrap();
        assert_eq!(socket.read().unwrap(), Message::text("hello"));
        app.signal(Signal::TERM);
        assert_eq!(closing_code(&mut socket), CloseCode::Away);
        assert_eq!(app.code(), Some(0));
    }
}

#[test]
fn a_silent_app_keeps_the_socket_and_says_nothing() {
    let app = App::start(&[]);
    let mut client = raw(&app);
    assert_eq!(app.post("/stop-answering", b"").status, 200);
    client.send(frame(0x81, b"hello"));
    assert_eq!(client.rest(Duration::from_millis(200)), None);
}
