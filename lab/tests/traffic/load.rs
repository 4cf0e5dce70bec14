//! Loads against servers that answer well, badly or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gitsync_lab::traffic::{Arrival, Awaited, Load, Outcome, Seen, Target, Traffic, plain_thread};

use crate::servers::{Server, answer, app, app_with_length, serve};

const SOON: Duration = Duration::from_secs(20);

fn load(server: &Server) -> Load {
    let target = Target::new(server.addr, "shop.example").at("/order?id=1");
    Load { per_second: 100.0, ..Load::on(target) }
}

/// Runs a load until so many requests were sent.
fn run(load: Load, requests: usize) -> Seen {
    let traffic = Traffic::start(load, plain_thread);
    gitsync_lab::traffic::wait_until(SOON, "requests", || {
        (traffic.so_far().sent >= requests).then_some(()).ok_or_else(String::new)
    })
    .unwrap();
    traffic.stop()
}

fn reasons(seen: &Seen) -> Vec<&str> {
    let reason = |answer: &&gitsync_lab::traffic::Answer| !answer.is_good();
    let failed = seen.answers.iter().filter(reason);
    failed
        .map(|answer| match &answer.outcome {
            Outcome::Failed { reason } => reason.as_str(),
            Outcome::Answered { .. } => "answered",
        })
        .collect()
}

#[test]
fn good_answers_are_flawless_and_say_who_answered() {
    let server = answer(|asked| {
        let right = asked.header("host") == "shop.example" && asked.path == "/order?id=1";
        app(if right { 200 } else { 421 }, "7", "vps2", asked)
    });
    let seen = run(load(&server), 40);
    seen.assert_flawless();
    assert_eq!(seen.versions(), ["7"]);
    assert_eq!(seen.hosts(), ["vps2"]);
    assert_eq!(server.connections(), seen.sent, "each request has its own connection");
    assert_eq!(server.requests(), seen.sent);
    for (number, answer) in seen.answers.iter().enumerate() {
        let (method, arrival) =
            [("GET", Arrival::NothingSent), ("POST", Arrival::Whole)][number % 2].clone();
        assert_eq!(answer.method, method);
        let (version, host) = (Some("7".to_owned()), Some("vps2".to_owned()));
        let wanted = Outcome::Answered { status: 200, version, host, bytes: 3, arrival };
        assert_eq!(answer.outcome, wanted);
    }
}

#[test]
fn the_rate_does_not_wait_for_answers() {
    let server = serve(|_, stream| {
        std::thread::sleep(Duration::from_secs(3));
        drop(stream);
    });
    let timeout = Duration::from_millis(400);
    let seen = run(Load { timeout, ..load(&server) }, 60);
    let last = seen.answers.last().unwrap().at;
    assert!(last >= Duration::from_millis(570), "60 requests at 100/s take 0.59 s: {last:?}");
    assert!(last < Duration::from_secs(5), "answers were waited for: {last:?}");
    let wanted = vec!["waiting for the answer: not done within 0.4 s"; seen.sent];
    assert_eq!(reasons(&seen), wanted);
    assert!(seen.slowest().unwrap().took >= timeout);
}

#[test]
fn kept_connections_are_used_again() {
    let server = answer(|asked| app(200, "1", "vps1", asked));
    let seen = run(Load { keep_alive: true, ..load(&server) }, 40);
    seen.assert_flawless();
    assert!(server.connections() < 20, "{} connections", server.connections());
}

#[test]
fn a_kept_connection_that_dies_under_a_request_fails_it_without_a_retry() {
    let server =
        answer(|asked| if asked.number % 5 == 4 { None } else { app(200, "1", "a", asked) });
    let seen = run(Load { keep_alive: true, ..load(&server) }, 40);
    assert_eq!(server.requests(), seen.sent, "nothing was sent twice");
    assert_eq!(seen.failures().len(), seen.sent / 5, "{}", seen.summary());
}

#[test]
fn a_kept_connection_that_was_closed_in_rest_is_replaced() {
    // The server closes each connection after its first answer, without saying so in the answer.
    let server = serve(|_, stream| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        let asked = crate::servers::read(&mut reader, &AtomicUsize::new(0)).unwrap();
        std::io::Write::write_all(&mut &stream, &app(200, "1", "a", &asked).unwrap()).unwrap();
    });
    let seen = run(Load { keep_alive: true, per_second: 20.0, ..load(&server) }, 10);
    seen.assert_flawless();
    assert_eq!(server.connections(), seen.sent);
}

#[test]
fn connections_closed_without_an_answer_are_told_one_by_one() {
    let server =
        answer(|asked| if asked.number % 3 == 2 { None } else { app(200, "1", "a", asked) });
    let seen = run(load(&server), 31);
    assert_eq!(server.requests(), seen.sent);
    let wanted =
        vec!["waiting for the answer: connection closed before message completed"; seen.sent / 3];
    assert_eq!(reasons(&seen), wanted);
}

#[test]
fn a_port_without_a_listener_is_told_as_refused() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let seen = run(Load { per_second: 100.0, ..Load::on(Target::new(addr, "x")) }, 3);
    assert_eq!(reasons(&seen), vec!["connecting: Connection refused (os error 111)"; seen.sent]);
    let said = std::panic::catch_unwind(|| seen.assert_flawless()).unwrap_err();
    let said = said.downcast_ref::<String>().unwrap();
    assert!(said.contains("failed connecting: Connection refused"), "{said}");
}

#[test]
fn statuses_beside_2xx_are_failures_and_redirects_are_not_followed() {
    let server = answer(|asked| {
        let status = [200, 503, 204, 302][asked.number % 4];
        app(status, "1", "a", asked).map(|bytes| match status {
            204 => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            _ => bytes,
        })
    });
    let seen = run(load(&server), 20);
    assert_eq!(server.requests(), seen.sent);
    let count = |wanted: u16| {
        let is = |outcome: &Outcome| matches!(outcome, Outcome::Answered { status, .. } if *status == wanted);
        seen.failures().iter().filter(|answer| is(&answer.outcome)).count()
    };
    assert_eq!(count(503) + count(302), seen.failures().len());
    assert!(count(503) >= 4 && count(302) >= 4, "{}", seen.summary());
    assert_eq!(count(503), (seen.sent + 2) / 4);
    assert!(seen.summary().contains("status 503, version 1 from a"), "{}", seen.summary());
}

#[test]
fn an_answer_that_breaks_off_is_a_failure() {
    let bytes =
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nshort".to_vec();
    let server = serve(move |_, stream| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        crate::servers::read(&mut reader, &AtomicUsize::new(0)).unwrap();
        std::io::Write::write_all(&mut &stream, &bytes).unwrap();
    });
    let seen = run(load(&server), 3);
    for reason in reasons(&seen) {
        assert!(reason.starts_with("reading the answer: "), "{reason}");
    }
    assert_eq!(seen.failures().len(), seen.sent);
}

#[test]
fn a_post_that_arrives_cut_is_a_failure_though_its_status_is_200() {
    let server = answer(|asked| app_with_length(200, "1", "a", asked.body.len() / 2));
    let seen = run(load(&server), 10);
    let methods: Vec<_> = seen.failures().iter().map(|answer| answer.method.clone()).collect();
    assert_eq!(methods, vec!["POST"; seen.sent / 2]);
    assert!(seen.summary().contains("6 of 13 bytes arrived"), "{}", seen.summary());
}

#[test]
fn a_new_version_is_waited_for_and_the_change_is_told_with_its_time() {
    let version = Arc::new(AtomicUsize::new(1));
    let said = Arc::clone(&version);
    let server = answer(move |asked| {
        let version = said.load(Ordering::SeqCst);
        app(200, &version.to_string(), &format!("vps{version}"), asked)
    });
    let traffic = Traffic::start(load(&server), plain_thread);
    let first = traffic.wait_for(&Awaited::any().version("1").host("vps1"), SOON).unwrap();
    let short = Duration::from_millis(100);
    let error = traffic.wait_for(&Awaited::any().version("2"), short).unwrap_err();
    assert!(error.contains("0 failed") && error.contains("version 1 from vps1"), "{error}");
    version.store(2, Ordering::SeqCst);
    let second = traffic.wait_for(&Awaited::any().version("2").host("vps2"), SOON).unwrap();
    assert!(second.at > first.at);
    traffic.wait_for(&Awaited::any().version("1"), short).expect("it was seen before");
    let since = traffic.elapsed();
    let late = traffic.wait_for(&Awaited::any().version("1").since(since), short);
    late.expect_err("version 1 answers no more");
    let seen = traffic.stop();
    seen.assert_flawless();
    assert_eq!(seen.versions(), ["1", "2"]);
    let whats: Vec<_> = seen.runs().into_iter().map(|run| run.what).collect();
    assert_eq!(whats, ["version 1 from vps1", "version 2 from vps2"]);
    assert!(seen.runs()[1].from <= second.at);
}

#[test]
fn requests_under_way_are_neither_answered_nor_lost() {
    let server = serve(|_, stream| {
        std::thread::sleep(Duration::from_secs(3));
        drop(stream);
    });
    let traffic = Traffic::start(load(&server), plain_thread);
    gitsync_lab::traffic::wait_until(SOON, "requests", || {
        (traffic.so_far().sent >= 5).then_some(()).ok_or_else(String::new)
    })
    .unwrap();
    let seen = traffic.so_far();
    assert_eq!((seen.in_flight, seen.lost(), seen.answers.len()), (seen.sent, 0, 0));
}

#[test]
fn a_load_whose_thread_breaks_is_not_flawless() {
    let server = answer(|asked| app(200, "1", "a", asked));
    let traffic = Traffic::start(load(&server), |_work| std::thread::spawn(|| {}));
    let seen = traffic.stop();
    std::panic::catch_unwind(|| seen.assert_flawless()).expect_err("nothing was sent");
}
