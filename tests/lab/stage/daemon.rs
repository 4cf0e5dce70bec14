//! The daemon as a user runs it, watching the bare repository.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use gitsync_lab::{Lab, signal};

use super::Stage;

/// A running daemon; killed when it goes.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Stage {
    /// Starts the daemon with a poll every second; its output goes to `daemon.log` of the controller.
    pub fn daemon(&self) -> Daemon {
        self.daemon_of("home", "daemon.log")
    }

    /// Another daemon with a state of its own.
    pub fn daemon_of(&self, home: &str, log: &str) -> Daemon {
        let bare = self.bare();
        let arguments = ["run", bare.to_str().unwrap(), "--interval", "1s"];
        self.begin(self.gitsync_of(home, &arguments), log)
    }

    /// Starts a command that runs beside the scenario; its output goes to a file of the controller.
    pub fn begin(&self, mut command: Command, log: &str) -> Daemon {
        let log = self.controller().join(log);
        let file = fs::File::options().create(true).append(true).open(&log).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Daemon { child: command.spawn().unwrap(), log }
    }
}

impl Daemon {
    /// All that it said.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How much it said so far: where to wait from.
    pub fn mark(&self) -> usize {
        self.log().len()
    }

    /// Waits until it says something after a mark; the rest of what it said then.
    #[track_caller]
    pub fn wait_for(&self, mark: usize, text: &str, within: Duration) -> String {
        let deadline = Instant::now() + within;
        loop {
            let said = self.log().split_off(mark);
            if said.contains(text) {
                return said;
            }
            assert!(Instant::now() < deadline, "the daemon never said `{text}`:\n{said}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends the daemon itself a signal.
    pub fn signal(&self, name: &str) {
        signal(name, Lab::inner(&self.child).unwrap().pid);
        // What took it into the lab stops with it, and would not see its end.
        if name == "CONT" {
            signal(name, self.child.id());
        }
    }

    /// Waits for its end; its exit code.
    #[track_caller]
    pub fn wait(&mut self) -> Option<i32> {
        self.ends(Duration::from_secs(180))
    }

    /// Waits for its end, but not longer than this; its exit code.
    #[track_caller]
    pub fn ends(&mut self, within: Duration) -> Option<i32> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "still there after {within:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it to stop and waits for its end; its exit code.
    pub fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.wait()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            if let Ok(inner) = Lab::inner(&self.child) {
                inner.kill();
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
