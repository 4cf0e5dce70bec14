//! A value that somebody hands over: from a prompt that shows nothing, from standard input, or from a file.

use std::fs::File;
use std::io::{self, BufRead as _, IsTerminal as _, Read};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use crate::cli::problem::Problem;

/// No value may be longer: the whole file is at most 1 MiB, encrypted.
const MOST: u64 = 512 * 1024;

/// The value that was handed over.
pub(super) async fn handed_over(
    from: Option<&Path>,
    key: &str,
) -> Result<Zeroizing<String>, Problem> {
    let value = match from {
        Some(path) => {
            let wrong = |error: io::Error| Problem::new(format!("{}: {error}", path.display()));
            text(File::open(path).map_err(wrong)?)?
        }
        None if io::stdin().is_terminal() => prompted(key).await?,
        None => text(io::stdin().lock())?,
    };
    if value.is_empty() {
        return Err(Problem::new("the value is empty: nothing was changed")
            .hint("pipe it in, as `pass show db | gitsync secret add db.password`, or type it at the prompt"));
    }
    Ok(value)
}

fn text(from: impl Read) -> Result<Zeroizing<String>, Problem> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    from.take(MOST + 1).read_to_end(&mut bytes).map_err(Problem::from_io)?;
    if bytes.len() as u64 > MOST {
        return Err(Problem::new("the value is longer than 512 KiB: nothing was changed")
            .hint("a file of that size is better kept on its node: `node:/path`"));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.strip_suffix('\n').unwrap_or(text).to_owned())),
        Err(_) => Err(Problem::new("the value is not UTF-8 text: nothing was changed")
            .hint("encode it, as with `base64`, and decode it where it is used")),
    }
}

/// A terminal that is put back as it was, whatever happens.
struct Silent {
    before: Termios,
}

impl Silent {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin().as_fd())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin().as_fd(), OptionalActions::Flush, &silent)?;
        Ok(Self { before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // A terminal that went away needs nothing any more.
        let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Now, &self.before);
        anstream::eprintln!();
    }
}

async fn prompted(key: &str) -> Result<Zeroizing<String>, Problem> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Problem::from_io)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Problem::from_io)?;
    let silent = Silent::begin().map_err(Problem::from_io)?;
    anstream::eprint!("{key} (not shown): ");
    let left = Arc::new(AtomicBool::new(false));
    let leave = Arc::clone(&left);
    let line = tokio::task::spawn_blocking(move || typed(&leave));
    let line = tokio::select! {
        line = line => line?.map_err(Problem::from_io)?,
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    left.store(true, Ordering::Relaxed);
    drop(silent);
    line.ok_or_else(|| Problem::new("interrupted: nothing was changed"))
}

/// The line that somebody types; nothing once `left` is said.
fn typed(left: &AtomicBool) -> io::Result<Option<Zeroizing<String>>> {
    let stdin = io::stdin();
    let moment = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    while !left.load(Ordering::Relaxed) {
        let mut asked = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut asked, Some(&moment)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => {
                let mut line = Zeroizing::new(String::with_capacity(1024));
                stdin.lock().read_line(&mut line)?;
                let text = line.trim_end_matches(['\n', '\r']);
                return Ok(Some(Zeroizing::new(text.to_owned())));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}
