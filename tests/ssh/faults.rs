//! Nodes that die, hang or come back: every wait ends, and a new connection is made when it helps.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gitsync::model::Ssh;
use gitsync::transport::{Channel as _, ControlDirectory, SshOptions, TransportError};

use crate::sshd::{Sshd, SshdOptions, signal, sshd_is_there};
use crate::{PATIENCE, channel, channel_with, message, options, shell, shell_with, ssh_to, text};

#[tokio::test(flavor = "multi_thread")]
async fn an_sshd_that_dies_under_a_command_is_unreachable_and_welcome_back() {
    if !sshd_is_there() {
        return;
    }
    let mut sshd = Sshd::start(&SshdOptions::default());
    let channel = Arc::new(channel(ssh_to(&sshd)));
    let mark = sshd.directory().join("begun");
    let running = {
        let (channel, program) =
            (Arc::clone(&channel), format!("touch {}; sleep 60", mark.display()));
        tokio::spawn(async move { shell(&channel, &program).await })
    };
    let deadline = Instant::now() + PATIENCE;
    while !mark.exists() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let killed = Instant::now();
    sshd.kill();
    let result = running.await.unwrap();
    assert!(matches!(result, Err(TransportError::Unreachable(_))), "{result:?}");
    assert!(killed.elapsed() < Duration::from_secs(10));
    let gone = shell(&channel, "echo").await;
    assert!(message(gone).contains("refused"));
    sshd.run();
    assert_eq!(text(&shell(&channel, "echo back").await.unwrap()), "back\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_died_between_two_commands_is_opened_again_unseen() {
    if !sshd_is_there() {
        return;
    }
    let mut sshd = Sshd::start(&SshdOptions::default());
    let channel = channel(ssh_to(&sshd));
    shell(&channel, "true").await.unwrap();
    sshd.kill();
    sshd.run();
    assert_eq!(text(&shell(&channel, "echo again").await.unwrap()), "again\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn reconnecting_means_another_connection() {
    if !sshd_is_there() {
        return;
    }
    let sshd = Sshd::start(&SshdOptions::default());
    let channel = channel(ssh_to(&sshd));
    let peer = async || text(&shell(&channel, "echo $SSH_CONNECTION").await.unwrap());
    let first = peer().await;
    assert_eq!(first, peer().await);
    channel.reconnect().await.unwrap();
    assert_ne!(first, peer().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_accepts_and_says_nothing_costs_the_connect_timeout() {
    if !sshd_is_there() {
        return;
    }
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let ssh = Ssh {
        host: "127.0.0.1".into(),
        user: None,
        port: Some(silent.local_addr().unwrap().port()),
        host_key: None,
        jump: None,
        identity: None,
        sudo: false,
    };
    let quick = SshOptions { connect_timeout: Duration::from_secs(1), ..options() };
    let begun = Instant::now();
    let result = shell(&channel_with(ssh, quick), "echo never").await;
    assert!(
        matches!(&result, Err(TransportError::Unreachable(text)) if text.contains("vps1")),
        "{result:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_takes_too_long_ends_with_its_deadline_and_harms_no_other() {
    if !sshd_is_there() {
        return;
    }
    let sshd = Sshd::start(&SshdOptions::default());
    let channel = channel(ssh_to(&sshd));
    let result = shell_with(&channel, "exec sleep 30", b"", Duration::from_secs(1)).await;
    assert!(message(result).contains("within 1 s"));
    assert_eq!(text(&shell(&channel, "echo fine").await.unwrap()), "fine\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_machine_is_given_up_after_three_unanswered_signs_of_life() {
    if !sshd_is_there() {
        return;
    }
    let sshd = Sshd::start(&SshdOptions::default());
    let options = SshOptions { keepalive: Duration::from_secs(1), ..options() };
    let channel = channel_with(ssh_to(&sshd), options);
    shell(&channel, "true").await.unwrap();
    let frozen = sshd.session_processes();
    signal("STOP", &frozen);
    let begun = Instant::now();
    let result = shell(&channel, "echo never").await;
    signal("KILL", &frozen);
    // The command was never begun, so it may have been given to the next connection, which works.
    assert_eq!(text(&result.unwrap()), "never\n");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_let_in_is_told_as_such() {
    if !sshd_is_there() {
        return;
    }
    let (sshd, other) =
        (Sshd::start(&SshdOptions::default()), Sshd::start(&SshdOptions::default()));
    let stranger = Ssh { identity: Some(other.identity.display().to_string()), ..ssh_to(&sshd) };
    let result = shell(&channel(stranger), "echo never").await;
    assert!(message(result).contains("Permission denied"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_ends_and_leaves_nothing_behind_with_its_channel() {
    if !sshd_is_there() {
        return;
    }
    let sshd = Sshd::start(&SshdOptions::default());
    let directory = Arc::new(ControlDirectory::create().unwrap());
    let path = directory.path().to_owned();
    let options =
        SshOptions { user_config: "/nonexistent/config".into(), ..SshOptions::new(directory) };
    let channel = channel_with(ssh_to(&sshd), options);
    shell(&channel, "true").await.unwrap();
    assert_eq!(sshd.connections(), 1);
    drop(channel);
    let deadline = Instant::now() + PATIENCE;
    while sshd.connections() > 0 {
        assert!(Instant::now() < deadline, "the connection stays open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn masters_that_a_killed_controller_left_are_ended_by_the_next_one() {
    if !sshd_is_there() {
        return;
    }
    let sshd = Sshd::start(&SshdOptions::default());
    let base = tempfile::Builder::new().prefix("gs").tempdir_in("/tmp").unwrap();
    let left = base.path().join("gitsync-ssh-left");
    std::fs::create_dir(&left).unwrap();
    std::fs::set_permissions(&left, std::fs::Permissions::from_mode(0o700)).unwrap();
    let lock = std::fs::File::create(left.join("lock")).unwrap();
    lock.set_modified(std::time::UNIX_EPOCH).unwrap();
    let status = std::process::Command::new("ssh")
        .args([
            "-F",
            "none",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
        ])
        .args(["-M", "-N", "-f", "-l", &sshd.user, "-p", &sshd.port.to_string(), "-i"])
        .arg(&sshd.identity)
        .arg("-S")
        .arg(left.join("m0"))
        .arg("127.0.0.1")
        .stderr(std::process::Stdio::null())
        .status();
    assert!(status.unwrap().success());
    assert_eq!(sshd.connections(), 1);
    let _next = ControlDirectory::create_in(base.path()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while sshd.connections() > 0 {
        assert!(Instant::now() < deadline, "the master goes on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!left.exists());
}
