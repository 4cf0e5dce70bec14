//! Tells at once when a local repository gets a commit, so that nobody waits for the next look.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc::Sender;

use super::{SourceError, git};

/// A push touches several files within this time of each other.
const QUIET: Duration = Duration::from_millis(50);
/// A repository that never falls quiet is told of all the same.
const LONGEST: Duration = Duration::from_millis(500);

/// Watches a local repository until it is dropped.
#[derive(Debug)]
pub struct Watch {
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Sends one `()` for every burst of changes to the references of the repository at (or above) `path`.
    ///
    /// A receiver that is behind gets one message for several bursts. Changes of the working tree alone are not
    /// told: only commits count.
    pub fn new(path: &Path, tell: Sender<()>) -> Result<Self, SourceError> {
        let repository = git::discover(path)?;
        let home = repository.commondir().to_owned();
        let (seen, bursts) = channel();
        let root = home.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| matters(&event, &root)) {
                // The other end goes when nobody listens any more; there is no one left to tell.
                let _ = seen.send(());
            }
        })?;
        watcher.watch(&home, RecursiveMode::NonRecursive)?;
        watcher.watch(&home.join("refs"), RecursiveMode::Recursive)?;
        std::thread::spawn(move || debounce(&bursts, &tell));
        Ok(Self { _watcher: watcher })
    }
}

/// Whether an event is about a reference: HEAD, packed references, or anything below `refs`, but no lock file.
fn matters(event: &Event, root: &Path) -> bool {
    if matches!(event.kind, EventKind::Access(_)) {
        return false;
    }
    let counts = |path: &PathBuf| {
        let Ok(inside) = path.strip_prefix(root) else { return false };
        let lock = inside.extension().is_some_and(|extension| extension == "lock");
        let named = inside == Path::new("HEAD") || inside == Path::new("packed-refs");
        !lock && (named || inside.starts_with("refs"))
    };
    event.paths.iter().any(counts)
}

fn debounce(bursts: &Receiver<()>, tell: &Sender<()>) {
    while bursts.recv().is_ok() {
        let began = Instant::now();
        while began.elapsed() < LONGEST {
            match bursts.recv_timeout(QUIET) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        if tell.is_closed() {
            return;
        }
        // A full channel means that the listener has yet to look: it will see this change too.
        let _ = tell.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, ModifyKind};

    use super::*;

    fn event(kind: EventKind, path: &str) -> Event {
        Event::new(kind).add_path(PathBuf::from(path))
    }

    #[test]
    fn only_references_matter() {
        let root = Path::new("/r/.git");
        let made = EventKind::Create(CreateKind::File);
        assert!(matters(&event(made, "/r/.git/refs/heads/main"), root));
        assert!(matters(&event(EventKind::Modify(ModifyKind::Any), "/r/.git/packed-refs"), root));
        assert!(!matters(&event(made, "/r/.git/refs/heads/main.lock"), root));
        assert!(!matters(&event(made, "/r/.git/index"), root));
        let read = EventKind::Access(notify::event::AccessKind::Any);
        assert!(!matters(&event(read, "/r/.git/HEAD"), root));
    }
}
