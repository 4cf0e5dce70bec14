//! Ways through a node's sshd to addresses as the node sees them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use gitsync::model::FailureKind;
use gitsync::transport::{Channel as _, Dial, TransportError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::sshd::{Sshd, SshdOptions, free_port, sshd_is_there};
use crate::{channel, ssh_to};

const WITHIN: Duration = Duration::from_secs(5);

/// Answers every connection with what it was sent, doubled.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buffer = [0; 1024];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    let _ = stream.write_all(&buffer[..count].repeat(2));
                }
            });
        }
    });
    address
}

fn kind(result: Result<(), TransportError>) -> (FailureKind, String) {
    match result {
        Err(TransportError::Failed(failure)) => (failure.kind, failure.message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_reach_an_address_through_the_node() {
    if !sshd_is_there() {
        return;
    }
    let sshd = Sshd::start(&SshdOptions::default());
    let channel = channel(ssh_to(&sshd));
    let target = echo();
    let Dial::Unix(path) = channel.dial(target).await.unwrap() else { panic!() };
    for round in 0..20 {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(format!("{round:02}").as_bytes()).await.unwrap();
        let mut answer = [0; 4];
        tokio::time::timeout(WITHIN, stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), format!("{round:02}{round:02}"));
    }
    assert_eq!(channel.dial(target).await.unwrap(), Dial::Unix(path.clone()), "one way per target");
    channel.reconnect().await.unwrap();
    assert_ne!(channel.dial(target).await.unwrap(), Dial::Unix(path.clone()));
    assert!(!path.exists(), "a way goes with its connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn knocking_tells_an_open_port_from_a_closed_one() {
    if !sshd_is_there() {
        return;
    }
    let sshd = Sshd::start(&SshdOptions::default());
    let channel = channel(ssh_to(&sshd));
    channel.knock(echo(), WITHIN).await.unwrap();
    let closed = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let (kind, message) = kind(channel.knock(closed, WITHIN).await);
    assert_eq!((kind, message), (FailureKind::Content, format!("{closed}: connection refused")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sshd_that_forwards_nothing_is_told_from_a_closed_port() {
    if !sshd_is_there() {
        return;
    }
    let sshd = Sshd::start(&SshdOptions { forwarding: false, ..SshdOptions::default() });
    let channel = channel(ssh_to(&sshd));
    let (kind, message) = kind(channel.knock(echo(), WITHIN).await);
    assert_eq!(kind, FailureKind::Node);
    assert!(message.contains("AllowTcpForwarding"), "{message}");
}
