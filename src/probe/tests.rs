//! Probes against a little server that changes its mind, and a node whose share is told by the test.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use crate::model::{Digest, NodeReport, StatusRange};
use crate::transport::{Abandon, ChangeUnit, Confirm, Dial, Fence, Prepare, Unlock};

const LOCALHOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// A server that gives one answer after another, and the last one for good. An empty answer closes the connection.
struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    heard: Arc<Mutex<String>>,
}

impl Server {
    fn start(answers: &[&str]) -> Self {
        let listener = TcpListener::bind((LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, heard) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(String::new())));
        let answers: Vec<String> = answers.iter().map(|&answer| answer.to_owned()).collect();
        let (count, words) = (Arc::clone(&asked), Arc::clone(&heard));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0)
                {
                    request.extend_from_slice(&byte);
                }
                if request.is_empty() {
                    continue;
                }
                let number = count.fetch_add(1, Ordering::SeqCst);
                *words.lock().unwrap() = String::from_utf8_lossy(&request).into_owned();
                let answer = answers.get(number).or(answers.last()).unwrap();
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { address, asked, heard }
    }

    fn check(&self) -> Check {
        Check::Http {
            scheme: "http".into(),
            address: self.address.ip(),
            port: self.address.port(),
            host: None,
            path: "/health".into(),
            status: Vec::new(),
            body: None,
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn answer(status: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn health(checks: Vec<Check>) -> Health {
    Health {
        checks,
        interval: Duration::from_millis(20),
        timeout: Duration::from_millis(500),
        retries: 3,
        start_period: Duration::ZERO,
        stable_for: Duration::ZERO,
        from: ProbeFrom::Node,
    }
}

type Share = Result<Vec<Attempt>, TransportError>;

/// A node with a share of the probe that the test gives.
#[derive(Default)]
struct TestNode {
    shares: Mutex<Vec<Share>>,
    asked: Mutex<Vec<NodeProbe>>,
    forbids: bool,
    away: bool,
    /// It was there and is no longer.
    gone: bool,
    /// How long its share takes.
    takes: Duration,
}

fn failed(kind: FailureKind, message: &str) -> TransportError {
    TransportError::Failed(Box::new(Failure {
        kind,
        unit: None,
        message: message.to_owned(),
        log: Vec::new(),
        attempts: Vec::new(),
    }))
}

/// Probes use one verb; a probe that calls another one fails its test.
fn no_probe_asks_this() -> ! {
    panic!("a probe called a verb that changes or reads the node")
}

#[async_trait]
impl Transport for TestNode {
    async fn observe(&self, _: &Name) -> Result<NodeReport, TransportError> {
        no_probe_asks_this()
    }
    async fn prepare(&self, _: &Prepare) -> Result<(), TransportError> {
        no_probe_asks_this()
    }
    async fn change(&self, _: &ChangeUnit) -> Result<(), TransportError> {
        no_probe_asks_this()
    }
    async fn stop(&self, _: &ChangeUnit) -> Result<(), TransportError> {
        no_probe_asks_this()
    }
    async fn put_back(&self, _: &ChangeUnit) -> Result<(), TransportError> {
        no_probe_asks_this()
    }
    async fn bring_up(&self, _: &Name, _: &UnitId, _: &Digest) -> Result<(), TransportError> {
        no_probe_asks_this()
    }
    async fn probe(&self, request: &NodeProbe) -> Share {
        self.asked.lock().unwrap().push(request.clone());
        tokio::time::sleep(self.takes).await;
        self.shares.lock().unwrap().pop().unwrap_or(Ok(Vec::new()))
    }
    async fn hold(&self, _: &Fence, _: bool) -> Result<(), TransportError> {
        no_probe_asks_this()
    }
    async fn confirm(&self, _: &Confirm) -> Result<(), TransportError> {
        no_probe_asks_this()
    }
    async fn abandon(&self, _: &Abandon) -> Result<(), TransportError> {
        no_probe_asks_this()
    }
    async fn unlock(&self, _: &Unlock) -> Result<(), TransportError> {
        no_probe_asks_this()
    }
    async fn unquarantine(&self, _: &Name, _: Option<&Digest>) -> Result<(), TransportError> {
        no_probe_asks_this()
    }
    async fn read(
        &self,
        _: &Name,
        _: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Vec<u8>>, TransportError> {
        no_probe_asks_this()
    }
    async fn read_files(
        &self,
        _: &Name,
        _: &UnitId,
    ) -> Result<BTreeMap<String, Vec<u8>>, TransportError> {
        no_probe_asks_this()
    }
    async fn logs(&self, _: &Name, _: &UnitId, lines: u32) -> Result<Vec<String>, TransportError> {
        if self.gone {
            return Err(TransportError::Unreachable("`vps1`: the connection broke off".into()));
        }
        Ok(vec![format!("{lines} last words")])
    }
    async fn dial(&self, target: SocketAddr) -> Result<Dial, TransportError> {
        if self.away {
            Err(TransportError::Unreachable("`vps1` is away".into()))
        } else if self.forbids {
            Err(failed(FailureKind::Node, "forwarding is forbidden"))
        } else {
            Ok(Dial::Direct(target))
        }
    }
}

async fn probe(node: &TestNode, health: &Health) -> Result<Vec<Attempt>, Failure> {
    let (fleet, unit) = (Name::new("home").unwrap(), "vps1/service.api".parse().unwrap());
    run(node, Probe { fleet: &fleet, unit: &unit, health, gateways: &[] }).await
}

fn passes(attempts: &[Attempt]) -> Vec<bool> {
    attempts.iter().map(|attempt| attempt.passed).collect()
}

#[tokio::test]
async fn a_service_that_comes_up_late_passes_within_its_retries() {
    let server = Server::start(&[&answer(503, ""), "", &answer(200, "ok")]);
    let attempts = probe(&TestNode::default(), &health(vec![server.check()])).await.unwrap();
    assert_eq!(passes(&attempts), [false, false, true]);
    assert!(attempts[0].detail.ends_with("status 503"), "{:?}", attempts[0]);
}

#[tokio::test]
async fn a_service_that_never_comes_up_fails_with_what_was_seen_and_its_log() {
    let server = Server::start(&[&answer(502, "")]);
    let failure = probe(&TestNode::default(), &health(vec![server.check()])).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Content);
    assert!(failure.message.contains("vps1/service.api: GET http://127.0.0.1"), "{failure:?}");
    assert!(failure.message.ends_with("status 502"));
    assert_eq!(passes(&failure.attempts), [false; 4]);
    assert_eq!(failure.log, ["20 last words"]);
}

#[tokio::test]
async fn a_service_that_dies_while_it_should_stay_good_fails() {
    let good = answer(200, "");
    let server = Server::start(&[&good, &good, &answer(500, "")]);
    let health =
        Health { stable_for: Duration::from_secs(30), retries: 0, ..health(vec![server.check()]) };
    let failure = probe(&TestNode::default(), &health).await.unwrap_err();
    assert_eq!(passes(&failure.attempts), [true, true, false]);
}

#[tokio::test]
async fn failures_in_the_start_period_cost_nothing() {
    let bad = answer(503, "");
    let server = Server::start(&[&bad, &bad, &bad, &answer(200, "")]);
    let health = Health {
        start_period: Duration::from_secs(30),
        retries: 0,
        ..health(vec![server.check()])
    };
    assert_eq!(probe(&TestNode::default(), &health).await.unwrap().len(), 4);
}

#[tokio::test]
async fn the_body_must_hold_the_text_within_its_first_64_kib() {
    let late = format!("{}needle", "x".repeat(64 * 1024));
    let server = Server::start(&[&answer(200, &late), &answer(200, "a needle")]);
    let mut check = server.check();
    if let Check::Http { body, .. } = &mut check {
        *body = Some("needle".into());
    }
    let attempts = probe(&TestNode::default(), &health(vec![check])).await.unwrap();
    assert_eq!(passes(&attempts), [false, true]);
    assert!(attempts[0].detail.contains("the body lacks \"needle\""), "{:?}", attempts[0]);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let moved = "HTTP/1.1 302 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    let server = Server::start(&[moved]);
    let attempts = probe(&TestNode::default(), &health(vec![server.check()])).await.unwrap();
    assert!(attempts[0].passed && attempts[0].detail.ends_with("status 302"));
    let mut only_200 = server.check();
    if let Check::Http { status, .. } = &mut only_200 {
        status.push(StatusRange { first: 200, last: 200 });
    }
    assert!(probe(&TestNode::default(), &health(vec![only_200])).await.is_err());
}

#[tokio::test]
async fn refused_and_silent_targets_are_told_apart() {
    let closed = TcpListener::bind((LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let refused = Check::Tcp { address: LOCALHOST, port: closed };
    let impatient = |check| Health { retries: 0, ..health(vec![check]) };
    let failure = probe(&TestNode::default(), &impatient(refused)).await.unwrap_err();
    assert!(failure.message.ends_with("connection refused"), "{}", failure.message);
    let silent = TcpListener::bind((LOCALHOST, 0)).unwrap();
    let mut check = Server::start(&[""]).check();
    if let Check::Http { port, .. } = &mut check {
        *port = silent.local_addr().unwrap().port();
    }
    let failure = probe(&TestNode::default(), &impatient(check)).await.unwrap_err();
    assert!(failure.message.ends_with("no answer within 500ms"), "{}", failure.message);
    let open = Check::Tcp { address: LOCALHOST, port: silent.local_addr().unwrap().port() };
    assert!(probe(&TestNode::default(), &impatient(open)).await.is_ok());
}

#[tokio::test]
async fn the_nodes_failure_ends_the_probe_early() {
    let server = Server::start(&[&answer(503, "")]);
    let node = TestNode::default();
    node.shares.lock().unwrap().push(Err(failed(FailureKind::Content, "web was restarted")));
    let health = Health { retries: 1_000_000, ..health(vec![Check::Running, server.check()]) };
    let failure = probe(&node, &health).await.unwrap_err();
    assert_eq!(failure.message, "web was restarted");
    assert_eq!(node.asked.lock().unwrap()[0].health.checks, [Check::Running]);
}

#[tokio::test]
async fn http_is_asked_until_the_nodes_share_is_done_too() {
    let server = Server::start(&[&answer(200, "")]);
    let node = TestNode { takes: Duration::from_millis(300), ..TestNode::default() };
    probe(&node, &health(vec![Check::Running, server.check()])).await.unwrap();
    assert!(server.asked() > 3, "{}", server.asked());
}

#[tokio::test]
async fn the_nodes_share_is_asked_again_when_http_was_good_much_later() {
    let bad = answer(503, "");
    let server = Server::start(&[&bad, &bad, &bad, &bad, &bad, &answer(200, "")]);
    let node = TestNode::default();
    // Taken from the end: good at first, restarted by the time that http is good.
    let restarted = failed(FailureKind::Content, "web was restarted");
    node.shares.lock().unwrap().extend([Err(restarted), Ok(Vec::new())]);
    let health = Health { retries: 100, ..health(vec![Check::Running, server.check()]) };
    assert_eq!(probe(&node, &health).await.unwrap_err().message, "web was restarted");
}

#[tokio::test]
async fn a_node_that_goes_while_it_is_probed_is_no_fault_of_the_content() {
    let server = Server::start(&[""]);
    let node = TestNode { gone: true, ..TestNode::default() };
    let failure = probe(&node, &health(vec![server.check()])).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transport);
    assert_eq!(failure.message, "`vps1`: the connection broke off");
    assert_eq!(passes(&failure.attempts), [false; 4]);
}

#[tokio::test]
async fn a_node_that_is_away_is_no_fault_of_the_content() {
    let server = Server::start(&[&answer(200, "")]);
    let node = TestNode { away: true, ..TestNode::default() };
    let failure = probe(&node, &health(vec![server.check()])).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transport);
    assert!(failure.log.is_empty());
}

#[tokio::test]
async fn a_node_that_forwards_nothing_and_has_nothing_to_ask_with_is_to_blame_itself() {
    let message = "service.api: sshd forwards nothing and there is neither curl nor wget";
    let shares = Mutex::new(vec![Err(failed(FailureKind::Content, message))]);
    let node = TestNode { forbids: true, shares, ..TestNode::default() };
    let server = Server::start(&[&answer(200, "")]);
    let failure = probe(&node, &health(vec![server.check()])).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Node);
}

#[tokio::test]
async fn a_single_look_is_the_nodes_own_where_nothing_is_forwarded() {
    let node = TestNode { forbids: true, ..TestNode::default() };
    let server = Server::start(&[&answer(200, "")]);
    let health = health(vec![server.check()]);
    let (fleet, unit) = (Name::new("home").unwrap(), "vps1/service.api".parse().unwrap());
    let probe = Probe { fleet: &fleet, unit: &unit, health: &health, gateways: &[] };
    let checked = check_once(&node, probe).await;
    assert!(checked[0].passed && checked[0].check == server.check(), "{checked:?}");
    assert_eq!((server.asked(), node.asked.lock().unwrap().len()), (0, 1));
}

#[tokio::test]
async fn a_node_that_forwards_nothing_is_asked_to_ask_itself() {
    let server = Server::start(&[&answer(200, "")]);
    let node = TestNode { forbids: true, ..TestNode::default() };
    let checks = vec![Check::Running, server.check()];
    probe(&node, &health(checks)).await.unwrap();
    let asked = node.asked.lock().unwrap();
    let last = &asked.last().unwrap().health.checks;
    assert_eq!(last.len(), 2);
    assert!(matches!(&last[1], Check::Exec { command, .. } if command.contains("/health")));
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn a_request_through_a_gateway_bears_its_host() {
    let server = Server::start(&[&answer(200, "")]);
    let mut check = server.check();
    if let Check::Http { port, .. } = &mut check {
        *port = 1;
    }
    let health = Health { from: ProbeFrom::Gateway, ..health(vec![check]) };
    let (fleet, unit) = (Name::new("home").unwrap(), "vps1/service.api".parse().unwrap());
    let gateways = [ThroughGateway {
        through: None,
        scheme: "http".into(),
        address: server.address,
        host: "api.example.net".into(),
    }];
    let asked = Probe { fleet: &fleet, unit: &unit, health: &health, gateways: &gateways };
    run(&TestNode::default(), asked).await.unwrap();
    let heard = server.heard.lock().unwrap().to_lowercase();
    assert!(
        heard.contains("host: api.example.net\r\n") && heard.starts_with("get /health"),
        "{heard}"
    );
}

#[tokio::test]
async fn asking_once_shows_every_check_without_patience() {
    let server = Server::start(&[&answer(503, ""), &answer(200, "")]);
    let node = TestNode::default();
    node.shares.lock().unwrap().push(Err(failed(FailureKind::Content, "it does not run")));
    let health = health(vec![server.check(), Check::Running]);
    let (fleet, unit) = (Name::new("home").unwrap(), "vps1/service.api".parse().unwrap());
    let asked = Probe { fleet: &fleet, unit: &unit, health: &health, gateways: &[] };
    let checked = check_once(&node, asked).await;
    assert_eq!(checked.len(), 2);
    assert!(!checked[0].passed && checked[0].detail.ends_with("status 503"));
    assert!(!checked[1].passed && checked[1].detail == "it does not run");
    assert_eq!(server.asked(), 1);
}
