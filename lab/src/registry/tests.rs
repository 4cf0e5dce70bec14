//! The registry's answers and faults, asked by a client of plain sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::*;
use crate::image::{App, LAYER_TYPE, MANIFEST_TYPE, digest};

struct Reply {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Reply {
    fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    fn error(&self) -> (u16, String) {
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        (self.status, body["errors"][0]["code"].as_str().unwrap().to_owned())
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn of(registry: &Registry) -> Self {
        let stream = TcpStream::connect(registry.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, method: &str, path: &str, fields: &str) {
        let text = format!("{method} {path} HTTP/1.1\r\nHost: lab\r\n{fields}\r\n");
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// The head of the next answer; nothing at the end of the connection.
    fn head(&mut self) -> Option<Reply> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => return None,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
            other => other.unwrap(),
        };
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut fields = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            fields.push((name.to_owned(), value.to_owned()));
        }
        Some(Reply { status, fields, body: Vec::new() })
    }

    fn ask(&mut self, method: &str, path: &str, fields: &str) -> Reply {
        self.send(method, path, fields);
        let mut reply = self.head().unwrap();
        if method != "HEAD" {
            reply.body = vec![0; reply.field("Content-Length").parse().unwrap()];
            self.0.read_exact(&mut reply.body).unwrap();
        }
        reply
    }

    fn get(&mut self, path: &str) -> Reply {
        self.ask("GET", path, "")
    }
}

fn serve() -> Registry {
    Registry::serve(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap()
}

/// An app of some size: a header that says amd64, and nothing of a program.
fn app(size: usize) -> App {
    let mut bytes = vec![0; size];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[0x12] = 0x3e;
    App::from_bytes(&bytes).unwrap()
}

fn get(registry: &Registry, path: &str) -> Reply {
    Client::of(registry).get(path)
}

fn layer_path(image: &Image) -> String {
    format!("/v2/app/blobs/{}", image.layers()[0].digest())
}

#[test]
fn an_image_is_served_by_tag_and_digest_over_one_connection() {
    let registry = serve();
    let image = app(4000).image("1");
    registry.push("app", "1", &image);
    let mut client = Client::of(&registry);
    assert_eq!(client.get("/v2/").status, 200);
    for reference in ["1", &image.digest()] {
        let reply = client.get(&format!("/v2/app/manifests/{reference}"));
        assert_eq!((reply.status, reply.field("Content-Type")), (200, MANIFEST_TYPE));
        assert_eq!(reply.field("Docker-Content-Digest"), image.digest());
        assert_eq!(digest(&reply.body), image.digest());
    }
    let layer = client.get(&layer_path(&image));
    assert_eq!(layer.field("Content-Type"), LAYER_TYPE);
    assert_eq!(layer.body, image.layers()[0].bytes().to_vec());
    let config = client.get(&format!("/v2/app/blobs/{}", image.id()));
    assert_eq!(config.body, image.config());
    assert_eq!(registry.connections(), 1);
}

#[test]
fn a_head_request_gets_the_head_alone() {
    let registry = serve();
    let image = app(4000).image("1");
    registry.push("app", "1", &image);
    let mut client = Client::of(&registry);
    let head = client.ask("HEAD", "/v2/app/manifests/1", "");
    assert_eq!(head.field("Content-Length"), image.manifest().len().to_string());
    assert_eq!(head.field("Docker-Content-Digest"), image.digest());
    let head = client.ask("HEAD", &layer_path(&image), "");
    assert_eq!(head.field("Content-Length"), image.layers()[0].bytes().len().to_string());
    // Had a body come, this would not be the head of an answer.
    assert_eq!(client.get("/v2/").status, 200);
}

#[test]
fn a_moved_tag_leaves_its_old_image_by_digest() {
    let registry = serve();
    let (old, new) = (app(4000).image("1"), app(4000).image("2"));
    registry.push("app", "latest", &old);
    registry.push("app", "latest", &new);
    let moved = get(&registry, "/v2/app/manifests/latest");
    assert_eq!(moved.field("Docker-Content-Digest"), new.digest());
    let kept = get(&registry, &format!("/v2/app/manifests/{}", old.digest()));
    assert_eq!(digest(&kept.body), old.digest());
}

#[test]
fn a_removed_tag_is_unknown_and_its_image_is_still_there() {
    let registry = serve();
    let image = app(4000).image("1");
    registry.push("app", "1", &image);
    registry.push("app", "2", &image);
    assert!(registry.remove_tag("app", "1"));
    assert!(!registry.remove_tag("app", "1"));
    let missing = get(&registry, "/v2/app/manifests/1");
    assert_eq!(missing.error(), (404, "MANIFEST_UNKNOWN".to_owned()));
    assert_eq!(get(&registry, &format!("/v2/app/manifests/{}", image.digest())).status, 200);
    let tags: Value =
        serde_json::from_slice(&get(&registry, "/v2/app/tags/list?n=9").body).unwrap();
    assert_eq!(tags, serde_json::json!({ "name": "app", "tags": ["2"] }));
}

#[test]
fn what_is_not_there_is_named_by_its_error() {
    let registry = serve();
    registry.push("team/app", "1", &app(4000).image("1"));
    let mut client = Client::of(&registry);
    assert_eq!(client.get("/v2/team/app/manifests/1").status, 200);
    for (path, code) in [
        ("/v2/team/app/manifests/2", "MANIFEST_UNKNOWN"),
        ("/v2/app/manifests/1", "MANIFEST_UNKNOWN"),
        ("/v2/team/app/blobs/sha256:00", "BLOB_UNKNOWN"),
        ("/v2/app/tags/list", "NAME_UNKNOWN"),
        ("/v1/", "NOT_FOUND"),
    ] {
        assert_eq!(client.get(path).error(), (404, code.to_owned()), "{path}");
    }
    let refused = client.ask("DELETE", "/v2/team/app/manifests/1", "");
    assert_eq!(refused.error(), (405, "UNSUPPORTED".to_owned()));
}

#[test]
fn a_rate_limit_refuses_manifests_and_says_when_to_come_back() {
    let registry = serve();
    let image = app(4000).image("1");
    registry.push("app", "1", &image);
    registry.set_fault(Fault::RateLimited);
    let refused = get(&registry, "/v2/app/manifests/1");
    assert_eq!(refused.error(), (429, "TOOMANYREQUESTS".to_owned()));
    assert!(refused.field("Retry-After").parse::<u32>().unwrap() > 0);
    assert_eq!(get(&registry, &layer_path(&image)).status, 200);
    registry.set_fault(Fault::None);
    assert_eq!(get(&registry, "/v2/app/manifests/1").status, 200);
}

#[test]
fn a_login_is_asked_for_and_the_right_one_lets_in() {
    let registry = serve();
    registry.push("app", "1", &app(4000).image("1"));
    registry.require_login("deploy", "s3cret");
    let mut client = Client::of(&registry);
    // "deploy:s3cret" and "deploy:wrong", by the coreutils' base64.
    let right = "Authorization: Basic ZGVwbG95OnMzY3JldA==\r\n";
    let wrong = "Authorization: Basic ZGVwbG95Ondyb25n\r\n";
    for fields in ["", wrong] {
        let refused = client.ask("GET", "/v2/", fields);
        assert_eq!(refused.error(), (401, "UNAUTHORIZED".to_owned()));
        assert!(refused.field("WWW-Authenticate").starts_with("Basic realm="));
    }
    assert_eq!(client.ask("GET", "/v2/app/manifests/1", right).status, 200);
    registry.set_fault(Fault::Unauthorized);
    assert_eq!(client.ask("GET", "/v2/", right).status, 401);
    registry.set_fault(Fault::None);
    registry.open_to_all();
    assert_eq!(client.get("/v2/").status, 200);
}

#[test]
fn an_outage_closes_open_and_new_connections() {
    let registry = serve();
    let mut open = Client::of(&registry);
    assert_eq!(open.get("/v2/").status, 200);
    registry.set_fault(Fault::Outage);
    assert!(open.head().is_none());
    assert!(Client::of(&registry).head().is_none());
    registry.set_fault(Fault::None);
    assert_eq!(get(&registry, "/v2/").status, 200);
    assert_eq!((registry.connections(), registry.requests().len()), (3, 2));
}

#[test]
fn a_hanging_registry_takes_requests_and_answers_none() {
    let registry = serve();
    registry.set_fault(Fault::Hang);
    let mut client = Client::of(&registry);
    client.send("GET", "/v2/", "");
    client.0.get_ref().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let silence = client.0.fill_buf().unwrap_err();
    assert_eq!(silence.kind(), io::ErrorKind::WouldBlock);
    let seen = registry.requests();
    assert_eq!((seen.len(), seen[0].status), (1, None));
    client.0.get_ref().set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    registry.set_fault(Fault::None);
    assert!(client.head().is_none());
    assert_eq!(get(&registry, "/v2/").status, 200);
}

#[test]
fn a_slow_registry_keeps_its_rate_until_it_is_mended() {
    let registry = serve();
    let image = app(40_000).image("1");
    registry.push("app", "1", &image);
    registry.set_fault(Fault::Slow { bytes_per_second: 100_000 });
    let start = Instant::now();
    let reply = get(&registry, &layer_path(&image));
    assert_eq!(digest(&reply.body), image.layers()[0].digest());
    assert!(start.elapsed() >= Duration::from_millis(350), "{:?}", start.elapsed());
    // At this rate it would take hours.
    registry.set_fault(Fault::Slow { bytes_per_second: 1 });
    let mut client = Client::of(&registry);
    client.send("GET", &layer_path(&image), "");
    let head = client.head().unwrap();
    let mut body = vec![0; head.field("Content-Length").parse().unwrap()];
    client.0.read_exact(&mut body[..1]).unwrap();
    registry.set_fault(Fault::None);
    client.0.read_exact(&mut body[1..]).unwrap();
    assert_eq!(digest(&body), image.layers()[0].digest());
}

/// A client that has got a little of a slow body.
fn within_a_body(registry: &Registry) -> (Client, usize) {
    let image = app(40_000).image("1");
    registry.push("app", "1", &image);
    registry.set_fault(Fault::Slow { bytes_per_second: 200 });
    let mut client = Client::of(registry);
    client.send("GET", &layer_path(&image), "");
    let length = client.head().unwrap().field("Content-Length").parse().unwrap();
    client.0.read_exact(&mut [0]).unwrap();
    (client, length)
}

#[test]
fn an_outage_within_a_body_breaks_it_off() {
    let registry = serve();
    let (mut client, length) = within_a_body(&registry);
    registry.set_fault(Fault::Outage);
    let mut rest = Vec::new();
    client.0.read_to_end(&mut rest).unwrap();
    assert!(rest.len() < length / 2);
}

#[test]
fn a_hang_within_a_body_is_silence_and_then_the_end() {
    let registry = serve();
    let (mut client, length) = within_a_body(&registry);
    registry.set_fault(Fault::Hang);
    client.0.get_ref().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut rest = Vec::new();
    let silence = client.0.read_to_end(&mut rest).unwrap_err();
    assert_eq!(silence.kind(), io::ErrorKind::WouldBlock);
    registry.set_fault(Fault::None);
    client.0.get_ref().set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.0.read_to_end(&mut rest).unwrap();
    assert!(rest.len() < length / 2);
}

#[test]
fn a_corrupt_blob_has_the_right_length_and_the_wrong_digest() {
    let registry = serve();
    let image = app(4000).image("1");
    registry.push("app", "1", &image);
    registry.set_fault(Fault::Corrupt);
    let body = get(&registry, &layer_path(&image)).body;
    assert_eq!(body.len(), image.layers()[0].bytes().len());
    assert_ne!(digest(&body), image.layers()[0].digest());
    assert_eq!(digest(&get(&registry, "/v2/app/manifests/1").body), image.digest());
}

#[test]
fn a_broken_download_goes_on_where_it_was() {
    let registry = serve();
    let image = app(4000).image("1");
    registry.push("app", "1", &image);
    let mut client = Client::of(&registry);
    let rest = client.ask("GET", &layer_path(&image), "Range: bytes=1000-\r\n");
    let whole = image.layers()[0].bytes();
    assert_eq!((rest.status, rest.body.as_slice()), (206, &whole[1000..]));
    let said = format!("bytes 1000-{}/{}", whole.len() - 1, whole.len());
    assert_eq!(rest.field("Content-Range"), said);
    let beyond = client.ask("GET", &layer_path(&image), "Range: bytes=999999-\r\n");
    assert_eq!(beyond.error(), (416, "RANGE_INVALID".to_owned()));
}

#[test]
fn requests_are_kept_with_their_answers_until_they_are_forgotten() {
    let registry = serve();
    registry.push("app", "1", &app(4000).image("1"));
    let mut client = Client::of(&registry);
    client.get("/v2/");
    client.ask("HEAD", "/v2/app/manifests/2", "");
    let seen = registry.requests();
    let expected = Request {
        method: "HEAD".to_owned(),
        path: "/v2/app/manifests/2".to_owned(),
        status: Some(404),
    };
    assert_eq!(seen[1], expected);
    assert_eq!(seen.iter().map(Request::is_pull).collect::<Vec<_>>(), [false, true]);
    registry.clear_requests();
    client.get("/v2/app/manifests/1");
    let seen = registry.requests();
    assert_eq!((seen.len(), seen[0].status), (1, Some(200)));
}

#[test]
fn a_request_with_a_body_or_in_old_http_ends_its_connection() {
    let registry = serve();
    for request in [
        "POST /v2/app/blobs/uploads/ HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        "GET /v2/ HTTP/1.0\r\n\r\n",
        "GET /v2/ HTTP/1.1\r\nConnection: close\r\n\r\n",
    ] {
        let mut client = Client::of(&registry);
        client.0.get_mut().write_all(request.as_bytes()).unwrap();
        assert_eq!(client.head().unwrap().field("Connection"), "close", "{request}");
        client.0.read_to_end(&mut Vec::new()).unwrap();
    }
}

#[test]
fn tls_and_garbage_are_refused_and_not_recorded() {
    let registry = serve();
    for bytes in [b"\x16\x03\x01\x00\x05hello".as_slice(), b"what\r\n\r\n"] {
        let mut client = Client::of(&registry);
        client.0.get_mut().write_all(bytes).unwrap();
        assert_eq!(client.head().unwrap().status, 400);
    }
    assert_eq!((registry.connections(), registry.requests().len()), (2, 0));
}

#[test]
fn many_clients_are_served_at_once() {
    let registry = serve();
    let image = app(100_000).image("1");
    registry.push("app", "1", &image);
    let path = layer_path(&image);
    let mut clients: Vec<Client> = (0..50).map(|_| Client::of(&registry)).collect();
    for client in &mut clients {
        client.send("GET", &path, "");
    }
    // Asked first, read last: nobody waits for another.
    for client in clients.iter_mut().rev() {
        let mut body = vec![0; client.head().unwrap().field("Content-Length").parse().unwrap()];
        client.0.read_exact(&mut body).unwrap();
        assert_eq!(digest(&body), image.layers()[0].digest());
    }
}

#[test]
fn a_dropped_registry_ends_its_connections_and_frees_its_port() {
    let registry = serve();
    let image = app(40_000).image("1");
    registry.push("app", "1", &image);
    let address = registry.address();
    let mut idle = Client::of(&registry);
    assert_eq!(idle.get("/v2/").status, 200);
    registry.set_fault(Fault::Slow { bytes_per_second: 1 });
    let mut slow = Client::of(&registry);
    slow.send("GET", &layer_path(&image), "");
    slow.head().unwrap();
    registry.set_fault(Fault::Hang);
    let mut hanging = Client::of(&registry);
    hanging.send("GET", "/v2/", "");
    let start = Instant::now();
    drop(registry);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(idle.head().is_none());
    assert!(hanging.head().is_none());
    assert!(TcpStream::connect(address).is_err());
    // Whoever held it has let go.
    TcpListener::bind(address).unwrap();
}
