//! The SSH channel against real sshds on loopback: what it carries, what it refuses, and what it does when they die.

#[path = "../support/contract.rs"]
mod contract;
#[path = "../support/sshd.rs"]
mod sshd;

mod faults;
mod hostkeys;
mod sudo;
mod verbs;
mod ways;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gitsync::model::{AbsPath, Boot, Name, Node, NodePaths, Reach, Ssh};
use gitsync::transport::{Answer, ControlDirectory, SshChannel, SshOptions, TransportError};

use sshd::{Sshd, SshdOptions, sshd_is_there};

const PATIENCE: Duration = Duration::from_secs(60);

fn options() -> SshOptions {
    let directory = Arc::new(ControlDirectory::create().unwrap());
    SshOptions { user_config: "/nonexistent/config".into(), ..SshOptions::new(directory) }
}

fn ssh_to(sshd: &Sshd) -> Ssh {
    Ssh {
        host: "127.0.0.1".into(),
        user: Some(sshd.user.clone()),
        port: Some(sshd.port),
        host_key: Some(sshd.host_key.clone()),
        jump: None,
        identity: Some(sshd.identity.display().to_string()),
        sudo: false,
    }
}

fn node(name: &str, ssh: Ssh, root: &str) -> Node {
    let path = |text: &str| AbsPath::new(text).unwrap();
    Node {
        name: Name::new(name).unwrap(),
        address: "127.0.0.1".parse().unwrap(),
        reach: Reach::Ssh(ssh),
        labels: BTreeMap::new(),
        arch: None,
        root: path(root),
        paths: NodePaths { services: path("/opt"), gateways: path("/etc"), syncs: path("/etc") },
        boot: Boot::None,
        optional: false,
    }
}

fn channel(ssh: Ssh) -> SshChannel {
    channel_with(ssh, options())
}

fn channel_with(ssh: Ssh, options: SshOptions) -> SshChannel {
    SshChannel::new(&node("vps1", ssh, "/var/lib/gitsync"), &|_| None, options).unwrap()
}

async fn shell(channel: &SshChannel, program: &str) -> Result<Answer, TransportError> {
    shell_with(channel, program, b"", PATIENCE).await
}

async fn shell_with(
    channel: &SshChannel,
    program: &str,
    input: &[u8],
    deadline: Duration,
) -> Result<Answer, TransportError> {
    let arguments = ["sh", "-c", program].map(str::to_owned);
    channel.execute(&arguments, input, deadline).await
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.stdout.clone()).unwrap()
}

fn message(result: Result<Answer, TransportError>) -> String {
    result.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_gets_its_input_and_tells_output_complaints_and_status() {
    if !sshd_is_there() {
        return;
    }
    let sshd = Sshd::start(&SshdOptions::default());
    let channel = channel(ssh_to(&sshd));
    let answer =
        shell_with(&channel, "cat; echo oh >&2; exit 7", b"a\0b\xff", PATIENCE).await.unwrap();
    assert_eq!(answer.stdout, b"a\0b\xff");
    assert_eq!((answer.stderr.as_slice(), answer.status), (b"oh\n".as_slice(), Some(7)));
    assert_eq!(shell(&channel, "exit 127").await.unwrap().status, Some(127));
    assert_eq!(shell(&channel, "kill -9 $$").await.unwrap().status, None);
    let odd = "it's $HOME `x` \\ \"fine\" *";
    let arguments = ["printf", "%s", odd].map(str::to_owned);
    assert_eq!(text(&channel.execute(&arguments, b"", PATIENCE).await.unwrap()), odd);
    assert_eq!(sshd.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_megabytes_go_in_and_come_out_unchanged() {
    if !sshd_is_there() {
        return;
    }
    let sshd = Sshd::start(&SshdOptions::default());
    let channel = channel(ssh_to(&sshd));
    let input: Vec<u8> =
        (0..20_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let answer = shell_with(&channel, "cat", &input, PATIENCE).await.unwrap();
    assert!(answer.stdout == input, "{} bytes came back", answer.stdout.len());
    // A program that doesn't read its input doesn't stop anyone.
    let answer = shell_with(&channel, "echo early", &input, PATIENCE).await.unwrap();
    assert_eq!(text(&answer), "early\n");
}

async fn ten_at_once(max_sessions: u32) {
    let sshd = Sshd::start(&SshdOptions { max_sessions, ..SshdOptions::default() });
    let channel = Arc::new(channel(ssh_to(&sshd)));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..10 {
        let channel = Arc::clone(&channel);
        tasks.spawn(async move {
            let answer = shell(&channel, &format!("sleep 0.2; echo {number}")).await.unwrap();
            text(&answer).trim().parse::<u32>().unwrap()
        });
    }
    let mut numbers = tasks.join_all().await;
    numbers.sort_unstable();
    assert_eq!(numbers, (0..10).collect::<Vec<_>>());
    assert_eq!(sshd.connections(), 1, "all of them over one connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_commands_at_once_share_one_connection() {
    if sshd_is_there() {
        ten_at_once(10).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_commands_at_once_bear_an_sshd_that_allows_two_sessions() {
    if sshd_is_there() {
        ten_at_once(2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_fleet_does_not_say_comes_from_the_users_own_configuration() {
    if !sshd_is_there() {
        return;
    }
    let sshd = Sshd::start(&SshdOptions::default());
    let known = sshd.directory().join("known");
    std::fs::write(&known, format!("[127.0.0.1]:{} {}\n", sshd.port, sshd.host_key)).unwrap();
    let config = sshd.directory().join("user_config");
    let text_of = format!(
        "Host my-vps\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  IdentityFile {}\n  UserKnownHostsFile {}\n",
        sshd.port,
        sshd.user,
        sshd.identity.display(),
        known.display()
    );
    std::fs::write(&config, text_of).unwrap();
    let bare = Ssh {
        host: "my-vps".into(),
        user: None,
        port: None,
        host_key: None,
        identity: None,
        ..ssh_to(&sshd)
    };
    let channel = channel_with(bare, SshOptions { user_config: config, ..options() });
    assert_eq!(text(&shell(&channel, "echo hello").await.unwrap()), "hello\n");
}
