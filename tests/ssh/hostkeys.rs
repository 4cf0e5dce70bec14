//! Host keys: pinned ones hold, others are refused with the line that would accept them.

use gitsync::model::{Name, Ssh};
use gitsync::transport::{SshChannel, SshOptions, TransportError};

use crate::sshd::{Sshd, SshdOptions, sshd_is_there};
use crate::{channel, channel_with, node, options, shell, ssh_to, text};

fn host_key_message(result: Result<gitsync::transport::Answer, TransportError>) -> String {
    match result {
        Err(TransportError::HostKey(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_than_the_pinned_one_is_refused_with_the_line_to_pin() {
    if !sshd_is_there() {
        return;
    }
    let (sshd, other) =
        (Sshd::start(&SshdOptions::default()), Sshd::start(&SshdOptions::default()));
    let pinned = Ssh { host_key: Some(other.host_key.clone()), ..ssh_to(&sshd) };
    let message = host_key_message(shell(&channel(pinned), "echo never").await);
    let headline = message.lines().next().unwrap();
    assert!(headline.starts_with("the host key of `vps1` (127.0.0.1:"), "{message}");
    assert!(headline.ends_with(") is not the pinned one"), "{message}");
    assert!(message.contains(&format!("host_key: \"{}\"", sshd.host_key)), "{message}");
    assert!(message.contains("SHA256:") && message.contains("console"), "{message}");
    assert!(!message.contains("known_hosts"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_refused_and_the_line_that_is_told_makes_it_known() {
    if !sshd_is_there() {
        return;
    }
    let sshd = Sshd::start(&SshdOptions::default());
    let known = sshd.directory().join("known");
    let config = sshd.directory().join("user_config");
    std::fs::write(&config, format!("UserKnownHostsFile {}\n", known.display())).unwrap();
    let unpinned = Ssh { host_key: None, ..ssh_to(&sshd) };
    let with_config = || SshOptions { user_config: config.clone(), ..options() };
    let message =
        host_key_message(shell(&channel_with(unpinned.clone(), with_config()), "echo never").await);
    assert!(message.lines().next().unwrap().ends_with("is not known"), "{message}");
    assert!(!known.exists(), "nothing is learned on first sight");
    let line = message.lines().last().unwrap().trim();
    assert_eq!(line, format!("[127.0.0.1]:{} {}", sshd.port, sshd.host_key));
    std::fs::write(&known, format!("{line}\n")).unwrap();
    let answer = shell(&channel_with(unpinned, with_config()), "echo hello").await.unwrap();
    assert_eq!(text(&answer), "hello\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_changed_since_it_became_known_is_refused() {
    if !sshd_is_there() {
        return;
    }
    let (sshd, other) =
        (Sshd::start(&SshdOptions::default()), Sshd::start(&SshdOptions::default()));
    let known = sshd.directory().join("known");
    std::fs::write(&known, format!("[127.0.0.1]:{} {}\n", sshd.port, other.host_key)).unwrap();
    let config = sshd.directory().join("user_config");
    std::fs::write(&config, format!("UserKnownHostsFile {}\n", known.display())).unwrap();
    let unpinned = Ssh { host_key: None, ..ssh_to(&sshd) };
    let channel = channel_with(unpinned, SshOptions { user_config: config, ..options() });
    let message = host_key_message(shell(&channel, "echo never").await);
    let headline = message.lines().next().unwrap();
    assert!(headline.ends_with("is another one than known_hosts holds"), "{message}");
}

fn behind(sshd: &Sshd, jump: Ssh) -> SshChannel {
    let target = Ssh { jump: Some("gate".into()), ..ssh_to(sshd) };
    let known =
        move |name: &str| (name == "gate").then(|| (Name::new("gate").unwrap(), jump.clone()));
    SshChannel::new(&node("vps1", target, "/var/lib/gitsync"), &known, options()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_behind_another_node_is_reached_through_it() {
    if !sshd_is_there() {
        return;
    }
    let (gate, sshd) = (Sshd::start(&SshdOptions::default()), Sshd::start(&SshdOptions::default()));
    let channel = behind(&sshd, ssh_to(&gate));
    assert_eq!(text(&shell(&channel, "echo hello").await.unwrap()), "hello\n");
    assert_eq!((gate.connections(), sshd.connections()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_host_with_another_key_is_the_one_that_is_named() {
    if !sshd_is_there() {
        return;
    }
    let (gate, sshd) = (Sshd::start(&SshdOptions::default()), Sshd::start(&SshdOptions::default()));
    let channel = behind(&sshd, Ssh { host_key: Some(sshd.host_key.clone()), ..ssh_to(&gate) });
    let message = host_key_message(shell(&channel, "echo never").await);
    assert!(message.contains("`gate`") && message.contains("nodes/gate.yaml"), "{message}");
    assert!(message.contains(&gate.host_key), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_another_key_behind_a_jump_host_is_the_one_that_is_named() {
    if !sshd_is_there() {
        return;
    }
    let (gate, sshd) = (Sshd::start(&SshdOptions::default()), Sshd::start(&SshdOptions::default()));
    let target =
        Ssh { host_key: Some(gate.host_key.clone()), jump: Some("gate".into()), ..ssh_to(&sshd) };
    let jump = ssh_to(&gate);
    let known =
        move |name: &str| (name == "gate").then(|| (Name::new("gate").unwrap(), jump.clone()));
    let node = node("vps1", target, "/var/lib/gitsync");
    let channel = SshChannel::new(&node, &known, options()).unwrap();
    let message = host_key_message(shell(&channel, "echo never").await);
    assert!(message.contains("`vps1`") && message.contains(&sshd.host_key), "{message}");
}
