//! SIGTERM and SIGINT, with and without drain.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{App, PATIENCE, command};

#[test]
fn an_idle_app_without_drain_stops_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut app = App::start(&[]);
        let mut idle = app.connect();
        assert_eq!(idle.get("/").status, 200);
        let start = Instant::now();
        app.signal(signal);
        assert_eq!(app.code(), Some(0));
        assert!(start.elapsed() < Duration::from_millis(800), "{:?}", start.elapsed());
        assert_eq!(idle.rest(PATIENCE), Some(Vec::new()));
    }
}

#[test]
fn a_short_request_is_finished_without_drain() {
    let mut app = App::start(&[]);
    let mut client = app.connect();
    client.send("GET /slow?seconds=400ms&bytes=1000 HTTP/1.1\r\n\r\n");
    client.head();
    app.signal(Signal::TERM);
    let mut body = vec![0; 1000];
    client.stream.read_exact(&mut body).unwrap();
    assert_eq!(app.code(), Some(0));
}

#[test]
fn a_long_download_does_not_hold_up_an_app_without_drain() {
    let mut app = App::start(&[]);
    let mut client = app.connect();
    client.send("GET /slow?seconds=60&bytes=600000 HTTP/1.1\r\n\r\n");
    client.head();
    let start = Instant::now();
    app.signal(Signal::TERM);
    assert_eq!(app.code(), Some(0));
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn a_draining_app_says_so_and_finishes_what_runs() {
    let mut app = App::start(&[("APP_DRAIN", "500ms")]);
    let mut download = app.connect();
    download.send("GET /slow?seconds=1&bytes=50000 HTTP/1.1\r\n\r\n");
    download.head();
    let mut idle = app.connect();
    assert_eq!(idle.get("/").field("connection"), None);
    let mut upload = app.connect();
    upload.send("POST /echo HTTP/1.1\r\nContent-Length: 10\r\n\r\nhello");
    assert_eq!(app.get("/health").status, 200);

    let start = Instant::now();
    app.signal(Signal::TERM);
    app.line("SIGTERM");
    let health = crate::support::until("/health turns", || {
        let answer = app.get("/health");
        (answer.status == 503).then_some(answer)
    });
    assert_eq!((health.text(), health.field("connection")), ("draining", Some("close")));
    let kept = idle.get("/");
    assert_eq!((kept.status, kept.field("connection")), (200, Some("close")));
    assert_eq!(idle.rest(PATIENCE), Some(Vec::new()));
    assert_eq!(app.get("/").status, 200, "listeners stay open");
    upload.send("world");
    assert_eq!(upload.answer().text(), "helloworld");

    let address = app.tcp[0];
    crate::support::until("the listener closes", || TcpStream::connect(address).err());
    assert!(start.elapsed() >= Duration::from_millis(500), "{:?}", start.elapsed());
    let mut body = vec![0; 50_000];
    download.stream.read_exact(&mut body).unwrap();
    assert_eq!(app.code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_request_under_way_when_the_listeners_close_is_answered() {
    let mut app = App::start(&[("APP_DRAIN", "50ms")]);
    let mut upload = app.connect();
    upload.send("POST /echo HTTP/1.1\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(upload.head().status, 100);
    app.signal(Signal::TERM);
    let address = app.tcp[0];
    crate::support::until("the listener closes", || TcpStream::connect(address).err());
    upload.send("helloworld");
    let answer = upload.answer();
    assert_eq!((answer.text(), answer.field("connection")), ("helloworld", Some("close")));
    assert_eq!(app.code(), Some(0));
}

#[test]
fn a_slow_health_check_turns_at_once_when_the_app_drains() {
    let app = App::start(&[("APP_DRAIN", "1s"), ("APP_HEALTH", "slow:60s")]);
    let mut client = app.connect();
    client.send("GET /health HTTP/1.1\r\n\r\n");
    app.signal(Signal::TERM);
    assert_eq!(client.answer().status, 503);
}

#[test]
fn an_app_that_has_not_started_yet_stops_at_once() {
    let mut app = App::launch({
        let mut app = command(&[("APP_START_DELAY", "60s"), ("APP_DRAIN", "60s")]);
        app.arg("--ignored");
        app
    });
    app.line("starts");
    app.signal(Signal::TERM);
    assert_eq!(app.code(), Some(0));
}

#[test]
fn a_stubborn_app_ignores_sigterm_and_not_sigint() {
    let mut app = App::start(&[("APP_IGNORE_TERM", "1")]);
    app.signal(Signal::TERM);
    app.line("SIGTERM: ignored");
    assert_eq!(app.get("/health").status, 200);
    app.signal(Signal::INT);
    assert_eq!(app.code(), Some(0));
}

#[test]
fn a_silent_app_stops_without_waiting_for_those_it_does_not_answer() {
    let mut app = App::start(&[("APP_DRAIN", "10ms")]);
    assert_eq!(app.post("/stop-answering", b"").status, 200);
    let mut waiting = app.connect();
    waiting.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(waiting.rest(Duration::from_millis(100)), None);
    app.signal(Signal::TERM);
    assert_eq!(app.code(), Some(0));
}
