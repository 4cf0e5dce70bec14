//! What an SSH master says, kept for messages and for reasons that its answers lack.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// How many of its lines are kept.
const LINES: usize = 64;

/// The last lines that a master said.
#[derive(Debug, Default)]
pub(super) struct Said {
    lines: Mutex<Lines>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<String>,
    dropped: usize,
}

impl Said {
    pub(super) fn add(&self, line: String) {
        let mut lines = self.lines();
        if lines.kept.len() == LINES {
            lines.kept.pop_front();
            lines.dropped += 1;
        }
        lines.kept.push_back(line);
        self.more.notify_waiters();
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them as one text.
    pub(super) fn text(&self) -> String {
        self.lines().kept.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// The newest line that says something.
    pub(super) fn newest(&self) -> Option<String> {
        self.lines().kept.back().filter(|line| !line.is_empty()).cloned()
    }

    /// How much it has said so far: where to listen from.
    pub(super) fn mark(&self) -> usize {
        let lines = self.lines();
        lines.dropped + lines.kept.len()
    }

    /// The newest line since a mark that holds `part`, from behind it on; waits for one, since a master may answer
    /// before it says why.
    pub(super) async fn since(&self, mark: usize, part: &str, within: Duration) -> Option<String> {
        let heard = async {
            loop {
                let more = self.more.notified();
                if let Some(rest) = self.find(mark, part) {
                    return rest;
                }
                more.await;
            }
        };
        tokio::time::timeout(within, heard).await.ok()
    }

    fn find(&self, mark: usize, part: &str) -> Option<String> {
        let lines = self.lines();
        let fresh = lines.kept.iter().skip(mark.saturating_sub(lines.dropped));
        fresh.rev().find_map(|line| line.split_once(part).map(|(_, rest)| rest.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_reason_that_comes_after_the_answer_is_waited_for() {
        let said = Said::default();
        said.add("open failed: of an earlier one".to_owned());
        let mark = said.mark();
        let later = async {
            tokio::task::yield_now().await;
            said.add("something else".to_owned());
            said.add("channel 1: open failed: prohibited".to_owned());
        };
        let (reason, ()) = tokio::join!(said.since(mark, "open failed: ", SOON), later);
        assert_eq!(reason.as_deref(), Some("prohibited"));
    }

    #[tokio::test]
    async fn no_reason_is_waited_for_for_ever() {
        let said = Said::default();
        said.add("open failed: of an earlier one".to_owned());
        let waited = said.since(said.mark(), "open failed: ", Duration::from_millis(20)).await;
        assert_eq!(waited, None);
    }

    #[test]
    fn only_the_last_lines_are_kept_and_marks_stay_true() {
        let said = Said::default();
        (0..LINES).for_each(|number| said.add(format!("open failed: {number}")));
        let mark = said.mark();
        assert_eq!(said.find(mark, "open failed: "), None);
        said.add("open failed: new".to_owned());
        assert_eq!(said.find(mark, "open failed: ").as_deref(), Some("new"));
        assert_eq!(said.text().lines().count(), LINES);
        assert_eq!(said.newest().as_deref(), Some("open failed: new"));
    }
}
