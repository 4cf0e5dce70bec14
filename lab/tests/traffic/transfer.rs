//! Downloads and uploads that are whole, cut, short, stalled and refused.

use std::io::{BufReader, Read, Write};
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use gitsync_lab::traffic::{Download, End, Target, Transfer, Transferred, Upload, plain_thread};

use crate::servers::{Server, answer, app, app_with_length, drip, read, serve};

const BEAT: Duration = Duration::from_millis(50);
const SOON: Duration = Duration::from_secs(20);

fn download(server: &Server, bytes: Option<u64>) -> Download {
    let target = Target::new(server.addr, "shop.example");
    Download { target, bytes, within: SOON, stall: SOON }
}

fn downloaded(server: &Server, bytes: Option<u64>) -> Transferred {
    Transfer::download(download(server, bytes), plain_thread).finish()
}

fn broken(met: &Transferred) -> &str {
    let Some(End::Broken(reason)) = &met.end else { panic!("{}", met.summary()) };
    reason
}

#[test]
fn a_whole_download_is_told_with_its_bytes_over_time() {
    let server = drip("Content-Length: 1000\r\n", 10, 100, BEAT);
    let met = downloaded(&server, Some(1000));
    met.assert_whole();
    assert_eq!((met.status, met.announced, met.bytes()), (Some(200), Some(1000), 1000));
    assert_eq!(met.version.as_deref(), Some("1"));
    assert!(met.took >= 9 * BEAT && met.progress.len() > 3, "{}", met.summary());
    assert!(met.progress.is_sorted_by_key(|moved| (moved.at, moved.bytes)));
}

#[test]
fn the_slow_path_of_the_app_is_asked_for() {
    let server = answer(|asked| {
        let right = asked.path == "/slow?seconds=60&bytes=3" && asked.method == "GET";
        app(if right { 200 } else { 404 }, "1", "vps1", asked)
    });
    let slow = Download::slow(server.addr, "shop.example", Duration::from_secs(60), 3);
    Transfer::download(slow, plain_thread).finish().assert_whole();
}

#[test]
fn a_download_cut_in_the_middle_is_not_whole() {
    let server = drip("Content-Length: 1000\r\n", 5, 100, BEAT);
    let met = downloaded(&server, Some(1000));
    assert_eq!((met.bytes(), met.announced), (500, Some(1000)));
    assert!(broken(&met).starts_with("reading the answer: "), "{}", met.summary());
    std::panic::catch_unwind(|| met.assert_whole()).expect_err("it was cut");
}

#[test]
fn a_download_without_a_length_that_ends_early_is_not_whole() {
    let server = drip("", 5, 100, BEAT);
    let met = downloaded(&server, Some(1000));
    assert_eq!(broken(&met), "reading the answer: ended well after 500 of 1000 bytes");
    assert_eq!(met.announced, None);
}

#[test]
fn a_stalled_download_ends_with_its_patience() {
    let server = serve(|_, stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        read(&mut reader, &AtomicUsize::new(0)).unwrap();
        (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").unwrap();
        let _ = (&stream).read_to_end(&mut Vec::new());
    });
    let stall = Duration::from_millis(300);
    let stalled = Download { stall, ..download(&server, None) };
    let met = Transfer::download(stalled, plain_thread).finish();
    assert_eq!(broken(&met), "reading the answer: no byte for 0.3 s");
    assert_eq!(met.bytes(), 3);
    assert!(met.longest_pause() >= stall && met.took < SOON / 2, "{}", met.summary());
}

#[test]
fn a_download_that_never_ends_does() {
    let server = drip("Content-Length: 1000000\r\n", 1000, 1, BEAT);
    let within = Duration::from_millis(400);
    let endless = Download { within, ..download(&server, None) };
    let met = Transfer::download(endless, plain_thread).finish();
    assert_eq!(broken(&met), "reading the answer: not done within 0.4 s");
}

#[test]
fn a_refused_download_is_told_with_its_status() {
    let server = answer(|asked| app(503, "1", "vps1", asked));
    let met = downloaded(&server, None);
    assert_eq!((met.end, met.status), (Some(End::Refused), Some(503)));
}

#[test]
fn a_download_can_be_watched_and_given_up() {
    let server = drip("Content-Length: 100000\r\n", 1000, 100, BEAT);
    let transfer = Transfer::download(download(&server, None), plain_thread);
    transfer.wait_for_bytes(300, SOON).unwrap();
    assert_eq!(transfer.so_far().end, None);
    let met = transfer.stop();
    assert_eq!(met.end, Some(End::Stopped));
    assert!((300..100_000).contains(&met.bytes()), "{}", met.summary());
}

#[test]
fn a_slow_upload_is_whole_when_the_app_says_so() {
    let server = answer(|asked| {
        let right = asked.method == "POST" && asked.path == "/echo";
        app(if right { 200 } else { 404 }, "1", "vps1", asked)
    });
    let over = Duration::from_millis(500);
    let upload = Upload::slow(server.addr, "shop.example", over, 1234);
    let met = Transfer::upload(upload, plain_thread).finish();
    met.assert_whole();
    assert_eq!(met.bytes(), 1234);
    assert!(met.took >= Duration::from_millis(390), "it was sent slowly: {}", met.summary());
}

#[test]
fn an_upload_that_arrives_cut_is_not_whole() {
    let server = answer(|_| app_with_length(200, "1", "vps1", 7));
    let upload = Upload::slow(server.addr, "x", BEAT, 10);
    let met = Transfer::upload(upload, plain_thread).finish();
    assert_eq!(broken(&met), "sending: 7 of 10 bytes arrived");
}

#[test]
fn an_upload_whose_connection_is_closed_in_the_middle_is_broken() {
    let server = serve(|_, stream| {
        let mut head = [0; 200];
        BufReader::new(&stream).read_exact(&mut head).unwrap();
    });
    let upload = Upload::slow(server.addr, "x", Duration::from_secs(10), 100_000);
    let met = Transfer::upload(upload, plain_thread).finish();
    assert!(broken(&met).starts_with("waiting for the answer: "), "{}", met.summary());
    assert!(met.bytes() < 100_000);
}
