//! `--lock-wait`: another's rollout is waited for instead of being an error at once.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock::jitter;
use crate::engine::{Survey, gate};
use crate::journal::{Journal, JournalError};
use crate::report::lines::headline;
use crate::settings::Settings;

use super::problem::Problem;

/// Between two looks at who holds the fleet; one look asks each node once.
const INTERVAL: Duration = Duration::from_secs(2);

/// How long others are waited for, and what was told of them.
pub struct Waiting {
    time: Option<Duration>,
    /// Known once there is somebody to wait for.
    until: Option<Instant>,
    quiet: bool,
    told: String,
}

impl Waiting {
    /// Waits for so long at most, from when there is somebody to wait for; not at all without a time.
    pub fn new(time: Option<Duration>, quiet: bool) -> Self {
        Self { time, until: None, quiet, told: String::new() }
    }

    /// The controller's journal, once another process of this machine lets go of it.
    pub async fn journal(&mut self, settings: &Settings) -> Result<Journal, Problem> {
        loop {
            match Journal::open(&settings.state).await {
                Err(JournalError::InUse { directory, who }) => {
                    let holder = format!("another gitsync ({who}) uses `{}`", directory.display());
                    if !self.nap(&holder).await? {
                        return Err(JournalError::InUse { directory, who }.into());
                    }
                }
                other => return Ok(other?),
            }
        }
    }

    /// Whether another rollout holds the fleet and may end in time: then it is time to look again.
    pub async fn again(&mut self, survey: &Survey, takeover: bool) -> Result<bool, Problem> {
        match gate(&survey.plan, &survey.observed, takeover) {
            Err(refusal) if refusal.code == "busy" => self.nap(&refusal.message).await,
            _ => Ok(false),
        }
    }

    /// Tells who is waited for and waits a while; false when there is no time left.
    async fn nap(&mut self, who: &str) -> Result<bool, Problem> {
        let now = Instant::now();
        if self.until.is_none() {
            self.until = self.time.and_then(|time| now.checked_add(time));
        }
        let left = self.until.map(|until| until.saturating_duration_since(now));
        let Some(left) = left.filter(|left| !left.is_zero()) else { return Ok(false) };
        self.tell(who);
        // A rollout that was taken up before may have left its hand on Ctrl-C.
        tokio::select! {
            () = tokio::time::sleep(jitter(INTERVAL).min(left)) => Ok(true),
            _ = tokio::signal::ctrl_c() => {
                Err(Problem::new("interrupted while waiting: nothing was changed"))
            }
        }
    }

    /// Once per holder: how long it has been holding changes with every look.
    fn tell(&mut self, who: &str) {
        let holder = who.split_once(", for ").map_or(who, |(holder, _)| holder);
        if self.told != holder {
            self.told = holder.to_owned();
            if !self.quiet {
                anstream::eprintln!("waiting: {}", headline(who));
            }
        }
    }
}
