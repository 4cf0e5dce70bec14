//! The wall clock, waiting, and jitter.
//!
//! `GITSYNC_FIXED_TIME` (milliseconds since 1970) stops the wall clock for tests that compare output; waiting goes
//! on as always, so that nothing but what is printed and recorded differs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::model::Timestamp;

/// The variable that stops the wall clock.
pub const FIXED_TIME: &str = "GITSYNC_FIXED_TIME";
/// The wall clock may jump while we wait: it is asked again at least this often.
const LONGEST_NAP: Duration = Duration::from_secs(5);

/// Tells the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    fixed: Option<Timestamp>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self { fixed: None }
    }

    /// A clock that always tells the same time.
    pub fn fixed(at: Timestamp) -> Self {
        Self { fixed: Some(at) }
    }

    /// The machine's clock, or a fixed one when [`FIXED_TIME`] holds a number.
    pub fn from_environment() -> Self {
        let fixed = std::env::var(FIXED_TIME).ok().and_then(|text| text.trim().parse().ok());
        Self { fixed: fixed.map(Timestamp) }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.fixed.unwrap_or_else(wall)
    }

    /// Waits until the wall clock shows `until`; a clock that is set meanwhile is noticed within seconds.
    ///
    /// A fixed clock never gets there by itself: the remaining time is waited out once.
    pub async fn sleep_until(&self, until: Timestamp) {
        if self.fixed.is_some() {
            return tokio::time::sleep(until.since(self.now())).await;
        }
        while let left @ 1.. = u64::try_from(until.since(wall()).as_millis()).unwrap_or(u64::MAX) {
            tokio::time::sleep(Duration::from_millis(left).min(LONGEST_NAP)).await;
        }
    }
}

fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The interval made up to a tenth longer or shorter, so that many controllers don't ask at the same moment.
pub fn jitter(interval: Duration) -> Duration {
    interval.mul_f64(rand::random_range(0.9..=1.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_goes_on_and_a_fixed_one_stands() {
        assert!(Clock::system().now() > Timestamp(1_700_000_000_000));
        let clock = Clock::fixed(Timestamp(7));
        assert_eq!((clock.now(), clock.now()), (Timestamp(7), Timestamp(7)));
    }

    #[test]
    fn jitter_stays_within_a_tenth() {
        for _ in 0..1000 {
            let jittered = jitter(Duration::from_secs(10));
            assert!((Duration::from_secs(9)..=Duration::from_secs(11)).contains(&jittered));
        }
    }

    #[tokio::test]
    async fn a_wait_ends_when_its_time_has_come() {
        let clock = Clock::system();
        let until = clock.now().after(Duration::from_millis(30));
        clock.sleep_until(until).await;
        assert!(clock.now() >= until);
        clock.sleep_until(Timestamp(0)).await;
    }
}
