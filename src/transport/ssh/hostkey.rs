//! A host key that is unknown or another one: finds out what is offered, and says what to compare and what to add.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::config::{Files, Hop};
use super::directory::ControlDirectory;

/// Whether a failed connection failed over the host key.
pub(super) fn is_host_key_trouble(said: &str) -> bool {
    ["Host key verification failed", "host key is known for", "HOST IDENTIFICATION HAS CHANGED"]
        .iter()
        .any(|part| said.contains(part))
}

/// What the user is told: whose key, what it is, and the line to add after comparing.
pub(super) async fn explain(
    directory: &ControlDirectory,
    files: &Files<'_>,
    way: &[Hop],
    said: &str,
) -> String {
    for (index, hop) in way.iter().enumerate() {
        // A machine behind a refused jump host can't be asked; then the jump host is the one.
        if let Some(line) =
            offered(directory, &files.config(index), hop, files.connect_timeout).await
        {
            let fingerprint = fingerprint(directory, &line).await;
            return message(hop, &line, fingerprint.as_deref(), said);
        }
    }
    let label = way.first().map(Hop::label).unwrap_or_default();
    format!("the host key of {label} is not the known one: {}", last_line(said))
}

/// Asks for the key without offering any credential.
async fn offered(
    directory: &ControlDirectory,
    config: &Path,
    hop: &Hop,
    within: Duration,
) -> Option<String> {
    let path = directory.name("offered");
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(config).arg("-o").arg(format!("UserKnownHostsFile={}", path.display()));
    ssh.args(["-o", "GlobalKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=accept-new"]);
    ssh.args(["-o", "PreferredAuthentications=none", "-o", "PubkeyAuthentication=no", "-N", "--"]);
    ssh.arg(&hop.ssh.host).process_group(0).kill_on_drop(true);
    ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // It ends with "permission denied", which is fine: the key was written down before.
    let _ = tokio::time::timeout(within, ssh.status()).await;
    let text = fs::read_to_string(&path).ok()?;
    let _ = fs::remove_file(&path);
    text.lines().next().map(str::to_owned)
}

async fn fingerprint(directory: &ControlDirectory, line: &str) -> Option<String> {
    let path = directory.name("key");
    let (_, key) = line.split_once(' ')?;
    fs::write(&path, format!("{key}\n")).ok()?;
    let mut keygen = Command::new("ssh-keygen");
    keygen.arg("-lf").arg(&path).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output: io::Result<_> =
        async { tokio::time::timeout(Duration::from_secs(5), keygen.output()).await? }.await;
    let _ = fs::remove_file(&path);
    let text = String::from_utf8(output.ok()?.stdout).ok()?;
    text.split_whitespace().nth(1).map(str::to_owned)
}

fn message(hop: &Hop, line: &str, fingerprint: Option<&str>, said: &str) -> String {
    let (_, key) = line.split_once(' ').unwrap_or(("", line));
    let kind = key.split(' ').next().unwrap_or_default();
    let algorithm = kind.trim_start_matches("ssh-").split('-').next().unwrap_or_default();
    let fingerprint = fingerprint.unwrap_or("its fingerprint");
    let what = if hop.ssh.host_key.is_some() {
        "is not the pinned one"
    } else if said.contains("CHANGED") {
        "is another one than known_hosts holds"
    } else {
        "is not known"
    };
    let mut text = format!(
        "the host key of {} {what}\nIt offers {kind} {fingerprint}. Someone may be in between: compare that with \
         `ssh-keygen -lf /etc/ssh/ssh_host_{algorithm}_key.pub` on the machine's own console. Only if they are equal, ",
        hop.label()
    );
    match &hop.node {
        Some(node) => text
            .push_str(&format!("write below `ssh:` in nodes/{node}.yaml\n  host_key: \"{key}\"")),
        None => text.push_str("go on"),
    }
    if hop.ssh.host_key.is_none() {
        let joint = if hop.node.is_some() { "\nor add" } else { ": add" };
        text.push_str(&format!("{joint} to ~/.ssh/known_hosts\n  {line}"));
    }
    text
}

/// The last line that says something.
pub(super) fn last_line(said: &str) -> &str {
    said.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no reason given")
}
