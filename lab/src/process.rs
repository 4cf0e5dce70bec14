//! Processes of this machine: who is whose child, who still lives, signals.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// A process that can't be mistaken for a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Process {
    /// Its number on this machine.
    pub pid: u32,
    /// When it began, in ticks since the machine's start.
    pub since: u64,
}

impl Process {
    /// No process at all: it never lives.
    pub(crate) const NONE: Self = Self { pid: 0, since: 0 };

    /// The process that has this number now.
    pub fn find(pid: u32) -> Option<Self> {
        Some(Self { pid, since: stat(pid)?.1 })
    }

    /// Whether it still runs.
    pub fn lives(self) -> bool {
        Self::find(self.pid) == Some(self)
    }

    /// Ends it at once and waits until it is gone; nothing when it is gone already.
    pub fn kill(self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.lives() && Instant::now() < deadline {
            signal("KILL", self.pid);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Sends a signal; a process that is gone is none of our business.
pub fn signal(name: &str, pid: u32) {
    let mut command = Command::new("kill");
    let _ = crate::error::output(command.arg(format!("-{name}")).arg(pid.to_string()));
}

/// Parent and beginning of a process; none for one that is gone or only waits to be collected.
fn stat(pid: u32) -> Option<(u32, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    if fields.first() == Some(&"Z") {
        return None;
    }
    Some((fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?))
}

/// Whether it is the first process of a namespace of its own.
pub fn is_first(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mut lines = status.lines().filter_map(|line| line.strip_prefix("NSpid:"));
    lines.next().is_some_and(|numbers| numbers.split_whitespace().next_back() == Some("1"))
}

/// The direct children of a process.
pub fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(found, _)| found == parent)).collect()
}

/// Waits for something that may fail for a while; says what it waited for when it never comes.
pub fn wait<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(Error::Late(format!("no {what}"), within.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
