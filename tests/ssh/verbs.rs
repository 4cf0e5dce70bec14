//! The verbs of a node over SSH: the contract of all transports, and probes through the node's sshd.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use gitsync::model::{Check, Health, Name, ProbeFrom, Ssh};
use gitsync::probe::{Probe, run};
use gitsync::transport::{LocalChannel, Scripted, SshChannel};

use crate::contract;
use crate::sshd::{Sshd, SshdOptions, sshd_is_there};
use crate::{node, options, ssh_to};

/// A place where a node's files may go: nobody else may write there.
fn place() -> tempfile::TempDir {
    let private = std::fs::Permissions::from_mode(0o755);
    tempfile::Builder::new().prefix("gitsync-verbs").permissions(private).tempdir().unwrap()
}

fn over_ssh(ssh: Ssh, base: &std::path::Path) -> Scripted<SshChannel> {
    let node = node("vps1", ssh, &format!("{}/root", base.display()));
    let channel = SshChannel::new(&node, &|_| None, options()).unwrap();
    Scripted::new(node.name, channel)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_over_ssh_keeps_the_contract_of_transports() {
    if !sshd_is_there() {
        return;
    }
    let (sshd, base) = (Sshd::start(&SshdOptions::default()), place());
    let transport = over_ssh(ssh_to(&sshd), base.path());
    let name = Name::new("vps1").unwrap();
    contract::holds(&transport, &name, &format!("{}/host", base.path().display())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_node_keeps_the_contract_of_transports() {
    let base = place();
    let home = base.path().display().to_string();
    let root = gitsync::model::AbsPath::new(format!("{home}/root")).unwrap();
    let name = Name::new("vps1").unwrap();
    let transport = Scripted::new(name.clone(), LocalChannel::new(root, &home));
    contract::holds(&transport, &name, &format!("{home}/host")).await;
}

/// A web server for one kind of question: its port, while it lives.
fn server() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // A connection that says nothing, as the TCP check's, keeps no other from its answer.
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nup";
                let _ = stream.write_all(answer.as_bytes());
            });
        }
    });
    port
}

fn http(port: u16) -> Check {
    Check::Http {
        scheme: "http".into(),
        address: "127.0.0.1".parse().unwrap(),
        port,
        host: Some("api.example.net".into()),
        path: "/".into(),
        status: Vec::new(),
        body: Some("up".into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_and_tcp_are_asked_through_the_nodes_sshd() {
    if !sshd_is_there() {
        return;
    }
    let (sshd, base) = (Sshd::start(&SshdOptions::default()), place());
    let transport = over_ssh(ssh_to(&sshd), base.path());
    let port = server();
    let health = |checks| Health {
        checks,
        interval: Duration::from_millis(50),
        timeout: Duration::from_secs(30),
        retries: 0,
        start_period: Duration::ZERO,
        stable_for: Duration::from_millis(200),
        from: ProbeFrom::Node,
    };
    let (fleet, unit) = (Name::new("homelab").unwrap(), "vps1/service.api".parse().unwrap());
    let good = health(vec![http(port), Check::Tcp { address: "127.0.0.1".parse().unwrap(), port }]);
    let probe = Probe { fleet: &fleet, unit: &unit, health: &good, gateways: &[] };
    let attempts = run(&transport, probe).await.unwrap();
    assert!(attempts.len() > 1 && attempts.iter().all(|attempt| attempt.passed), "{attempts:?}");
    let bad = health(vec![http(crate::sshd::free_port())]);
    let failure = run(&transport, Probe { health: &bad, ..probe }).await.unwrap_err();
    assert!(failure.message.ends_with("connection refused"), "{}", failure.message);
}
