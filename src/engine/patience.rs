//! How often a commit is tried whose rollouts fail for reasons that aren't its own: a registry, a disk, a line.

use super::daemon::Next;

/// What is remembered of tries of one commit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    /// Tries that failed, one after the other.
    failed: u32,
    /// Looks that the commit is left alone for.
    rest: u32,
}

impl Patience {
    /// Whether a commit that was looked at before is to be looked at again now; counts the look.
    pub fn asks(&mut self, next: Next) -> bool {
        if next != Next::Later {
            return next == Next::Again;
        }
        let due = self.rest == 0;
        self.rest = self.rest.saturating_sub(1);
        due
    }

    /// Takes in what came of a try. After 1, 2, 3… failures the next one waits for 1, 2, 4… looks, at most `longest`;
    /// another commit, or another end, is a fresh start.
    pub fn after(&mut self, next: Next, new: bool, longest: u32) {
        let failed = if new { 0 } else { self.failed };
        *self = match next {
            Next::Later => {
                let looks = 2u32.saturating_pow(failed).min(longest.max(1));
                Self { failed: failed.saturating_add(1), rest: looks - 1 }
            }
            _ => Self::default(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The looks, of so many, at which a commit is tried that fails every time.
    fn tries(looks: u32, longest: u32) -> Vec<u32> {
        let mut patience = Patience::default();
        patience.after(Next::Later, true, longest);
        let mut tried = Vec::new();
        for look in 1..=looks {
            if patience.asks(Next::Later) {
                tried.push(look);
                patience.after(Next::Later, false, longest);
            }
        }
        tried
    }

    #[test]
    fn a_rollout_that_keeps_failing_on_the_way_is_tried_ever_more_rarely() {
        assert_eq!(tries(40, 1000), [1, 3, 7, 15, 31]);
        assert_eq!(tries(20, 5), [1, 3, 7, 12, 17]);
        assert_eq!(tries(4, 0), [1, 2, 3, 4]);
    }

    #[test]
    fn another_commit_and_another_end_are_fresh_starts() {
        let mut patience = Patience::default();
        for new in [true, false, false, false] {
            patience.after(Next::Later, new, 100);
        }
        assert!(!patience.asks(Next::Later), "the fourth failure waits");
        patience.after(Next::Later, true, 100);
        assert!(patience.asks(Next::Later), "another commit is tried at the next look");
        assert!(patience.asks(Next::Again) && !patience.asks(Next::Rest));
    }
}
