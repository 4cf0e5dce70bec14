//! WebSockets that are kept, dropped and left without echo.

use std::time::Duration;

use gitsync_lab::traffic::{How, Talk, Talked, Target, WebSocket, plain_thread};
use tungstenite::Message;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::servers::{Server, answer, app, echo, websocket};

const SOON: Duration = Duration::from_secs(20);

fn talk(server: &Server) -> Talk {
    let every = Duration::from_millis(20);
    Talk { every, ..Talk::on(Target::new(server.addr, "shop.example").at("/ws")) }
}

/// Talks until the first end.
fn until_ended(talk: Talk) -> Talked {
    let socket = WebSocket::start(talk, plain_thread);
    socket.wait_for(SOON, |talked| (!talked.ends.is_empty()).then_some(())).unwrap();
    socket.stop()
}

#[test]
fn a_websocket_that_is_echoed_is_flawless() {
    let server = websocket(|_, socket| {
        socket.send(Message::text("a greeting")).unwrap();
        echo(socket, usize::MAX);
    });
    let socket = WebSocket::start(talk(&server), plain_thread);
    socket.wait_for_echoes(10, SOON).unwrap();
    let talked = socket.stop();
    talked.assert_flawless();
    assert!(talked.echoed >= 10 && talked.sent - talked.echoed <= 1, "{}", talked.summary());
}

#[test]
fn a_close_frame_is_told_with_its_code() {
    let server = websocket(|_, socket| {
        echo(socket, 3);
        let frame = CloseFrame { code: CloseCode::Away, reason: "going".into() };
        socket.close(Some(frame)).unwrap();
        while socket.read().is_ok() {}
    });
    let talked = until_ended(talk(&server));
    assert_eq!(talked.ends[0].how, How::Closed { code: 1001, reason: "going".to_owned() });
    assert_eq!((talked.connected, talked.ends.len(), talked.echoed), (1, 1, 3));
    std::panic::catch_unwind(|| talked.assert_flawless()).expect_err("it was closed");
}

#[test]
fn a_connection_that_ends_without_a_close_frame_is_a_reset() {
    let server = websocket(|_, socket| echo(socket, 2));
    let talked = until_ended(talk(&server));
    assert!(matches!(talked.ends[0].how, How::Reset { .. }), "{}", talked.summary());
    assert_eq!(talked.drops().len(), 1);
}

#[test]
fn a_message_without_an_echo_in_time_is_told_by_its_number() {
    let server = websocket(|_, socket| {
        echo(socket, 2);
        while socket.read().is_ok() {}
    });
    let echo_within = Duration::from_millis(200);
    let talked = until_ended(Talk { echo_within, ..talk(&server) });
    assert_eq!(talked.ends[0].how, How::Unanswered { message: 3 });
    assert!(talked.ends[0].at >= echo_within);
}

#[test]
fn a_refused_upgrade_is_no_drop() {
    let server = answer(|asked| app(404, "1", "a", asked));
    let talked = until_ended(talk(&server));
    let How::Refused { reason } = &talked.ends[0].how else { panic!("{}", talked.summary()) };
    assert!(reason.contains("404"), "{reason}");
    assert_eq!((talked.connected, talked.drops().len()), (0, 0));
}

#[test]
fn a_websocket_that_reconnects_counts_its_drops() {
    let server = websocket(|number, socket| echo(socket, if number < 2 { 2 } else { usize::MAX }));
    let socket = WebSocket::start(Talk { reconnect: true, ..talk(&server) }, plain_thread);
    socket.wait_for_echoes(10, SOON).unwrap();
    let talked = socket.stop();
    assert_eq!((talked.connected, talked.drops().len()), (3, 2), "{}", talked.summary());
}

#[test]
fn a_websocket_without_reconnect_stays_dropped() {
    let server = websocket(|_, socket| echo(socket, 1));
    let socket = WebSocket::start(talk(&server), plain_thread);
    socket.wait_for(SOON, |talked| (!talked.ends.is_empty()).then_some(())).unwrap();
    let again = |talked: &Talked| (talked.connected > 1).then_some(());
    socket.wait_for(Duration::from_millis(300), again).unwrap_err();
    assert_eq!((server.connections(), socket.stop().connected), (1, 1));
}
