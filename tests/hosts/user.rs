//! A user of this machine's own for the tests, with sudo and without a password.

use std::process::{Command, Stdio};

/// The user's name.
pub const NAME: &str = "gitsync-test";
const SUDOERS: &str = "/etc/sudoers.d/gitsync-test";

/// The user, removed again when this goes.
pub struct User;

impl User {
    /// Makes the user; none when this machine doesn't let us.
    pub fn create() -> Option<Self> {
        let root = String::from_utf8(Command::new("id").arg("-u").output().ok()?.stdout).ok()?;
        if root.trim() != "0" || crate::sshd::program("sudo").is_none() {
            return None;
        }
        let known = quiet("id", &[NAME]);
        let shell = ["--create-home", "--shell", "/bin/sh", "--password", "*", NAME];
        if !known && !quiet("useradd", &shell) {
            return None;
        }
        std::fs::write(SUDOERS, format!("{NAME} ALL=(ALL) NOPASSWD: ALL\n")).ok()?;
        quiet("chmod", &["440", SUDOERS]).then_some(Self)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(SUDOERS);
        quiet("userdel", &["--remove", NAME]);
    }
}

fn quiet(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
