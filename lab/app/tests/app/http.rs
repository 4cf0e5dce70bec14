//! Plain requests, bodies, files, datagrams and garbage.

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::support::{App, Client, PATIENCE, command, until};

#[test]
fn the_root_says_version_host_and_boot() {
    let app = App::start(&[("APP_VERSION", "7.2")]);
    let answer = app.get("/");
    assert_eq!((answer.status, answer.text()), (200, "7.2"));
    assert_eq!(answer.field("x-app-version"), Some("7.2"));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(answer.field("x-app-host"), Some(host.trim()));
    assert_eq!(app.get("/any/other").text(), "7.2");

    let again = App::start(&[("APP_VERSION", "7.2")]).get("/");
    assert!(answer.field("x-app-boot").is_some());
    assert_ne!(answer.field("x-app-boot"), again.field("x-app-boot"));
}

#[test]
fn arguments_configure_a_plain_process() {
    let mut started = command(&[("APP_VERSION", "1")]);
    started.args(["-conf", "/etc/coredns/Corefile", "--version=2"]);
    let app = App::launch(started);
    assert!(app.line("listening").starts_with("lab-app 2: listening tcp=127.0.0.1:"));
}

#[test]
fn a_connection_serves_many_requests_also_pipelined() {
    let app = App::start(&[]);
    let mut client = app.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/").status, 200);
    }
    client.send(
        "GET /a HTTP/1.1\r\n\r\nPOST /echo HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET /missing",
    );
    client.send(" HTTP/1.1\r\n\r\n");
    assert_eq!(client.answer().text(), "1");
    assert_eq!(client.answer().text(), "hi");
    assert_eq!(client.answer().status, 404);

    client.send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_eq!(client.answer().field("connection"), Some("close"));
    assert_eq!(client.rest(PATIENCE), Some(Vec::new()));
    let mut old = app.connect();
    old.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(old.answer().text(), "1");
    assert_eq!(old.rest(PATIENCE), Some(Vec::new()));
}

#[test]
fn head_has_a_length_and_no_body() {
    let app = App::start(&[("APP_VERSION", "long version")]);
    let mut client = app.connect();
    client.send("HEAD / HTTP/1.1\r\n\r\nHEAD /slow?seconds=60&bytes=5 HTTP/1.1\r\n\r\n");
    assert_eq!(client.head().field("content-length"), Some("12"));
    assert_eq!(client.head().field("content-length"), Some("5"));
    assert_eq!(client.get("/").text(), "long version");
}

#[test]
fn posted_bodies_come_back_however_they_are_sent() {
    let app = App::start(&[]);
    let mut client = app.connect();
    let body: Vec<u8> = (0..300_000).map(|at| (at % 251) as u8).collect();
    assert_eq!(client.post("/echo", &body).body, body);

    client.send("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: x\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.text(), answer.field("x-app-body-length")), ("hello world", Some("11")));

    let answer = client.post("/orders", b"12345");
    assert_eq!((answer.text(), answer.field("x-app-body-length")), ("1", Some("5")));

    client.send("POST /echo HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.head().status, 100);
    client.send("ok");
    assert_eq!(client.answer().text(), "ok");
}

#[test]
fn ambiguous_and_oversized_requests_are_refused() {
    let app = App::start(&[]);
    let refused = |head: &str| {
        let mut client = app.connect();
        client.send(format!("POST /echo HTTP/1.1\r\n{head}\r\n\r\n"));
        let status = client.answer().status;
        assert_eq!(client.rest(PATIENCE), Some(Vec::new()), "{head}");
        status
    };
    assert_eq!(refused("Content-Length: 1\r\nContent-Length: 2"), 400);
    assert_eq!(refused("Content-Length: 1\r\nTransfer-Encoding: chunked"), 400);
    assert_eq!(refused("Content-Length: -1"), 400);
    assert_eq!(refused("Content-Length: 99999999999999999999999"), 400);
    assert_eq!(refused("Content-Length: 9999999999"), 413);
    assert_eq!(refused("Transfer-Encoding: gzip"), 501);
    assert_eq!(refused("Transfer-Encoding: chunked\r\n\r\nfffffffffff\r\n"), 413);
    assert_eq!(refused(&format!("X: {}", "x".repeat(40_000))), 431);
    assert_eq!(refused(&"X: 1\r\n".repeat(200)), 431);
    assert_eq!(app.get("/").status, 200);
}

#[test]
fn a_refused_upload_may_end_what_it_is_sending() {
    let app = App::start(&[]);
    let mut client = app.connect();
    client.send("POST /echo HTTP/1.1\r\nContent-Length: 9999999999\r\n\r\n");
    assert_eq!(client.answer().status, 413);
    assert_eq!(client.rest(PATIENCE), Some(Vec::new()));
    for _ in 0..10 {
        client.send([b'x'; 10_000]);
    }
}

#[test]
fn methods_have_their_paths() {
    let app = App::start(&[]);
    for path in ["/missing", "/missing/below"] {
        assert_eq!(app.get(path).status, 404);
        assert_eq!(app.post(path, b"x").status, 404);
    }
    assert_eq!(app.get("/missing-not").status, 200);
    for path in ["/echo", "/write?path=/x", "/die", "/stop-answering"] {
        assert_eq!(app.get(path).status, 405, "{path}");
    }
    let mut client = app.connect();
    client.send("DELETE / HTTP/1.1\r\n\r\n");
    assert_eq!(client.answer().status, 405);
    assert_eq!(client.get("/ws").status, 426);
}

#[test]
fn a_slow_download_is_spread_evenly_over_its_time() {
    let app = App::start(&[]);
    let mut client = app.connect();
    let start = Instant::now();
    client.send("GET /slow?seconds=400ms&bytes=26000 HTTP/1.1\r\n\r\n");
    assert_eq!(client.head().field("content-length"), Some("26000"));
    let mut half = vec![0; 13_000];
    std::io::Read::read_exact(&mut client.stream, &mut half).unwrap();
    let halfway = start.elapsed();
    std::io::Read::read_exact(&mut client.stream, &mut half).unwrap();
    let whole = start.elapsed();
    assert!(halfway >= Duration::from_millis(190), "{halfway:?}");
    assert!(whole >= Duration::from_millis(400), "{whole:?}");
    assert!(half.windows(2).all(|two| two[1] == two[0] + 1 || two == b"za"));
    assert_eq!(client.get("/slow?seconds=0&bytes=0").body, b"");
    assert_eq!(client.get("/slow?seconds=x").status, 400);
}

#[test]
fn a_file_is_read_now_and_as_it_was_at_the_start() {
    let directory = std::env::temp_dir().join(format!("lab-app-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("a file").to_str().unwrap().to_string();
    let escaped = path.replace(' ', "%20");
    std::fs::write(&path, "first").unwrap();
    let app = App::start(&[("APP_FILES", &format!("/no/such,{path}"))]);

    assert_eq!(app.post(&format!("/write?path={escaped}"), b"second").status, 200);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "second");
    assert_eq!(app.get(&format!("/read?path={escaped}")).text(), "second");
    assert_eq!(app.get(&format!("/read-at-start?path={escaped}")).text(), "first");
    std::fs::remove_dir_all(&directory).unwrap();

    assert_eq!(app.get(&format!("/read?path={escaped}")).status, 404);
    assert_eq!(app.get("/read-at-start?path=/no/such").status, 404);
    assert_eq!(app.get("/read-at-start?path=/proc/version").status, 404);
    assert_eq!(app.get("/read").status, 404);
    assert_eq!(app.get("/read?path=/").status, 404);
    assert_eq!(app.post(&format!("/write?path={escaped}"), b"").status, 500);
}

#[test]
fn an_environment_variable_can_be_asked_for() {
    let app = App::start(&[("TOKEN", "from the env file")]);
    assert_eq!(app.get("/env?name=TOKEN").text(), "from the env file");
    assert_eq!(app.get("/env?name=OTHER").status, 404);
    assert_eq!(app.get("/env").status, 404);
}

#[test]
fn every_port_serves_and_every_udp_port_echoes() {
    let app = App::start(&[("APP_PORTS", "0,127.0.0.1:0,0"), ("APP_UDP", "0,127.0.0.1:0")]);
    assert_eq!((app.tcp.len(), app.udp.len()), (3, 2));
    for &address in &app.tcp {
        assert_eq!(Client::to(address).get("/").status, 200);
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for (address, datagram) in app.udp.iter().zip([&b"question"[..], b""]) {
        socket.send_to(datagram, address).unwrap();
        let mut bytes = [0; 64];
        let (length, from) = socket.recv_from(&mut bytes).unwrap();
        assert_eq!((&bytes[..length], from), (datagram, *address));
    }
}

#[test]
fn an_address_of_all_families_answers_on_both() {
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        eprintln!("no IPv6 on this machine: skipped");
        return;
    }
    let app = App::start(&[("APP_BIND", "[::]")]);
    let port = app.tcp[0].port();
    for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        let address: SocketAddr = address.parse().unwrap();
        assert_eq!(Client::to(address).get("/").status, 200, "{address}");
    }
}

#[test]
fn an_app_that_stopped_answering_accepts_and_stays_silent() {
    let app = App::start(&[("APP_UDP", "0")]);
    let mut before = app.connect();
    assert_eq!(before.get("/").status, 200);
    assert_eq!(app.post("/stop-answering", b"").status, 200);
    let mut after = app.connect();
    for client in [&mut before, &mut after] {
        client.send("GET /health HTTP/1.1\r\n\r\n");
        assert_eq!(client.rest(Duration::from_millis(200)), None);
    }
    let mut garbage = app.connect();
    garbage.send("\0\r\n\r\n");
    assert_eq!(garbage.rest(Duration::from_millis(200)), None);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket.send_to(b"question", app.udp[0]).unwrap();
    assert!(socket.recv_from(&mut [0; 64]).is_err());
}

#[test]
fn garbage_never_ends_the_app() {
    let app = App::start(&[]);
    let words = [
        "GET ",
        "POST ",
        "/",
        "/echo",
        "/ws",
        "/slow?bytes=1&seconds=0",
        "%",
        " HTTP/1.1",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "Content-Length: ",
        "5",
        "-",
        "Transfer-Encoding: chunked",
        "ffffffff",
        "0\r\n\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: x",
        ":",
        "\0",
        "é",
        "Expect: 100-continue",
        "Connection: close",
    ];
    let word = prop::sample::select(words.map(|word| word.as_bytes().to_vec()).to_vec());
    let noise = prop::collection::vec(any::<u8>(), 0..600);
    let piece = prop_oneof![6 => word, 1 => noise];
    let garbage = prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat());
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() };
    let run = TestRunner::new(config).run(&garbage, |bytes| {
        let mut client = app.connect();
        // The app may have hung up before all of it was sent.
        let _ = std::io::Write::write_all(client.stream.get_mut(), &bytes);
        let _ = client.stream.get_ref().shutdown(std::net::Shutdown::Write);
        prop_assert!(client.rest(PATIENCE).is_some(), "the connection ends");
        prop_assert_eq!(app.get("/").status, 200);
        Ok(())
    });
    run.unwrap();
}

#[test]
fn a_hundred_clients_at_once_are_served() {
    let app = App::start(&[]);
    let mut clients: Vec<Client> = (0..100).map(|_| app.connect()).collect();
    for client in &mut clients {
        client.send("POST /echo HTTP/1.1\r\nContent-Length: 5\r\n\r\nhel");
    }
    for client in &mut clients {
        client.send("lo");
    }
    for client in &mut clients {
        assert_eq!(client.answer().text(), "hello");
    }
}

#[test]
fn nothing_listens_before_the_start_delay_is_over() {
    let start = Instant::now();
    let app = App::start(&[("APP_START_DELAY", "300ms")]);
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(until("an answer", || Some(app.get("/"))).status, 200);
}

#[test]
fn a_taken_port_is_an_error() {
    let taken = App::start(&[]);
    let mut app = App::launch(command(&[("APP_PORTS", &taken.tcp[0].to_string())]));
    assert_eq!(app.code(), Some(1));
    let expected = format!("lab-app: cannot listen on tcp {}: ", taken.tcp[0]);
    let complaints = app.complaints();
    assert!(complaints.starts_with(&expected), "{complaints}");

    let mut wrong = App::launch(command(&[("APP_PORTS", "http")]));
    assert_eq!(wrong.code(), Some(1));
    assert!(wrong.complaints().contains("APP_PORTS"));
}
