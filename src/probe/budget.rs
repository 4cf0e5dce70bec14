//! When a probe is over: which attempts count, and for how long it must stay good. No clock in here.

use std::time::Duration;

use crate::model::Health;

/// What follows an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask again after this long.
    Again(Duration),
    /// It was good for long enough.
    Good,
    /// It is not going to be.
    Bad,
}

/// The state of a probe between attempts.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    interval: Duration,
    retries: u32,
    start_period: Duration,
    stable_for: Duration,
    whole: Duration,
    failures: u32,
    good_since: Option<Duration>,
}

impl Budget {
    pub(super) fn new(health: &Health) -> Self {
        Self {
            interval: health.interval,
            retries: health.retries,
            start_period: health.start_period,
            stable_for: health.stable_for,
            whole: health.budget(),
            failures: 0,
            good_since: None,
        }
    }

    /// Takes an attempt that began `began` and ended `ended` after the probe's begin. `held` keeps a good probe
    /// going: someone else's share isn't done yet.
    pub(super) fn record(
        &mut self,
        began: Duration,
        ended: Duration,
        passed: bool,
        held: bool,
    ) -> Next {
        if passed { self.passed(ended, held) } else { self.failed(began, ended) }
    }

    fn passed(&mut self, ended: Duration, held: bool) -> Next {
        let since = *self.good_since.get_or_insert(ended);
        let left = since.saturating_add(self.stable_for).saturating_sub(ended);
        if !left.is_zero() {
            // The last attempt is asked for when the time is full, not an interval later.
            return if ended > self.whole {
                Next::Bad
            } else {
                Next::Again(left.min(self.interval))
            };
        }
        if held { Next::Again(self.interval) } else { Next::Good }
    }

    fn failed(&mut self, began: Duration, ended: Duration) -> Next {
        self.good_since = None;
        if began >= self.start_period {
            self.failures = self.failures.saturating_add(1);
        }
        if self.failures > self.retries || ended > self.whole {
            Next::Bad
        } else {
            Next::Again(self.interval)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ProbeFrom;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn budget(retries: u32, start: u64, stable: u64) -> Budget {
        Budget::new(&Health {
            checks: Vec::new(),
            interval: S(2),
            timeout: S(5),
            retries,
            start_period: S(start),
            stable_for: S(stable),
            from: ProbeFrom::Node,
        })
    }

    #[test]
    fn one_good_answer_is_enough_when_nothing_must_stay() {
        assert_eq!(budget(0, 0, 0).record(S(0), S(0), true, false), Next::Good);
    }

    #[test]
    fn it_must_stay_good_and_is_asked_when_the_time_is_full() {
        let mut budget = budget(3, 0, 5);
        assert_eq!(budget.record(S(0), S(0), true, false), Next::Again(S(2)));
        assert_eq!(budget.record(S(2), S(2), true, false), Next::Again(S(2)));
        assert_eq!(budget.record(S(4), S(4), true, false), Next::Again(S(1)));
        assert_eq!(budget.record(S(5), S(5), true, false), Next::Good);
    }

    #[test]
    fn the_time_counts_from_the_answer_and_not_from_the_question() {
        let mut budget = budget(0, 0, 4);
        assert_eq!(budget.record(S(0), S(5), true, false), Next::Again(S(2)));
        assert_eq!(budget.record(S(7), S(7), true, false), Next::Again(S(2)));
        assert_eq!(budget.record(S(9), S(9), true, false), Next::Good);
    }

    #[test]
    fn a_failure_in_between_begins_the_time_anew_and_counts() {
        let mut budget = budget(1, 0, 4);
        assert_eq!(budget.record(S(0), S(0), true, false), Next::Again(S(2)));
        assert_eq!(budget.record(S(2), S(2), false, false), Next::Again(S(2)));
        assert_eq!(budget.record(S(4), S(4), true, false), Next::Again(S(2)));
        assert_eq!(budget.record(S(6), S(6), false, false), Next::Bad);
    }

    #[test]
    fn failures_of_the_start_period_do_not_count() {
        let mut budget = budget(0, 10, 0);
        assert_eq!(budget.record(S(0), S(0), false, false), Next::Again(S(2)));
        assert_eq!(budget.record(S(9), S(9), false, false), Next::Again(S(2)));
        assert_eq!(budget.record(S(11), S(11), false, false), Next::Bad);
    }

    #[test]
    fn a_share_that_is_done_waits_for_the_other() {
        let mut budget = budget(1, 0, 0);
        assert_eq!(budget.record(S(0), S(0), true, true), Next::Again(S(2)));
        assert_eq!(budget.record(S(100), S(100), true, false), Next::Good);
    }

    #[test]
    fn nothing_goes_on_beyond_the_whole_budget() {
        let mut budget = budget(9, 0, 60);
        assert_eq!(budget.record(S(500), S(500), true, false), Next::Bad);
    }
}
