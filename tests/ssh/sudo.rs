//! `sudo: true` on nodes where sudo needs a password, is missing, or works. The `sudo` is mostly a stand-in at the front
//! of the remote shell's path; one test makes a user of its own, with the real one, where all programs are required.

use gitsync::model::{FailureKind, Ssh};
use gitsync::transport::TransportError;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::sshd::{Sshd, SshdOptions, program, sshd_is_there};
use crate::{channel, shell, ssh_to, text};

/// An sshd whose sessions find this program as `sudo`.
fn sshd_with_sudo(program: &str) -> Sshd {
    let mut sshd = Sshd::start(&SshdOptions::default());
    let path = sshd.directory().join("bin");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("sudo"), format!("#!/bin/sh\n{program}\n")).unwrap();
    let status = std::process::Command::new("chmod").args(["-R", "755"]).arg(&path).status();
    assert!(status.unwrap().success());
    sshd.kill();
    sshd.add(&format!("SetEnv PATH={}:/usr/bin:/bin", path.display()));
    sshd.run();
    sshd
}

async fn refusal(program: &str) -> String {
    let sshd = sshd_with_sudo(program);
    let channel = channel(Ssh { sudo: true, ..ssh_to(&sshd) });
    match shell(&channel, "echo never").await {
        Err(TransportError::Failed(failure)) => {
            assert_eq!(failure.kind, FailureKind::Node);
            failure.message
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_through_sudo_without_asking() {
    if !sshd_is_there() {
        return;
    }
    let sshd = sshd_with_sudo("[ \"$1\" = -n ] || exit 9; shift; echo as root; exec \"$@\"");
    let channel = channel(Ssh { sudo: true, ..ssh_to(&sshd) });
    assert_eq!(text(&shell(&channel, "echo hello").await.unwrap()), "as root\nhello\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sudo_that_wants_a_password_is_told_with_the_remedy() {
    if !sshd_is_there() {
        return;
    }
    let message = refusal("echo 'sudo: a password is required' >&2; exit 1").await;
    assert!(message.contains("wants a password") && message.contains("NOPASSWD"), "{message}");
    assert!(message.contains("`vps1`"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_use_sudo_is_told_as_such() {
    if !sshd_is_there() {
        return;
    }
    let message = refusal("echo 'x is not in the sudoers file.' >&2; exit 1").await;
    assert!(message.contains("may not use sudo"), "{message}");
}

const USER: &str = "gitsync-test";

/// A user of this machine, gone with the value.
struct User {
    sudoers: PathBuf,
}

impl User {
    /// Makes the user, where tests may: as root, and asked to require all programs.
    fn make() -> Option<Self> {
        let asked =
            ["CI", "GITSYNC_REQUIRE_PROGRAMS"].iter().any(|key| std::env::var_os(key).is_some());
        let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        let missing = ["useradd", "userdel", "sudo"].iter().any(|name| program(name).is_none());
        if !asked || !root || missing {
            eprintln!(
                "skipped: making a user needs root, useradd, sudo and CI or GITSYNC_REQUIRE_PROGRAMS"
            );
            return None;
        }
        let user = Self { sudoers: format!("/etc/sudoers.d/{USER}").into() };
        user.remove();
        let made = Command::new(program("useradd").unwrap())
            .args([
                "--no-create-home",
                "--home-dir",
                "/tmp",
                "--shell",
                "/bin/sh",
                "--password",
                "*",
                USER,
            ])
            .status();
        assert!(made.unwrap().success());
        Some(user)
    }

    fn allow(&self) {
        std::fs::write(&self.sudoers, format!("{USER} ALL=(root) NOPASSWD: ALL\n")).unwrap();
    }

    fn remove(&self) {
        let _ = std::fs::remove_file(&self.sudoers);
        let mut userdel = Command::new(program("userdel").unwrap());
        let _ = userdel.arg(USER).stderr(Stdio::null()).status();
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.remove();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_user_becomes_root_by_the_real_sudo_once_it_asks_for_no_password() {
    if !sshd_is_there() {
        return;
    }
    let Some(user) = User::make() else { return };
    let mut sshd = Sshd::start(&SshdOptions::default());
    sshd.user = USER.to_owned();
    let channel = channel(Ssh { sudo: true, ..ssh_to(&sshd) });
    let refused = shell(&channel, "id -un").await.unwrap_err().to_string();
    assert!(refused.contains("wants a password from gitsync-test"), "{refused}");
    user.allow();
    assert_eq!(text(&shell(&channel, "id -un").await.unwrap()), "root\n");
}
