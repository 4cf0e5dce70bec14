//! What became of every request of a load, and how a failing test tells it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::{as_millis, seconds};

/// How many runs a summary tells one by one; more are told by slices of time.
const MOST_RUNS: usize = 12;

/// How many slices the time is cut into then.
const SLICES: u32 = 20;

/// Whether what a POST sent has arrived, as the app's X-App-Body-Length says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrival {
    /// It was a GET.
    NothingSent,
    /// The answer has no such header.
    Unsaid,
    /// As many bytes as were sent.
    Whole,
    /// Another number of bytes.
    Changed {
        /// Bytes sent.
        sent: usize,
        /// What the header says instead.
        arrived: String,
    },
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// An answer that was read to its end.
    Answered {
        /// The status, of whatever class.
        status: u16,
        /// The app's X-App-Version.
        version: Option<String>,
        /// The app's X-App-Host.
        host: Option<String>,
        /// The length of the answer's content.
        bytes: usize,
        /// Whether a POST's content has arrived.
        arrival: Arrival,
    },
    /// No answer, or one that broke off.
    Failed {
        /// What was being done, and what went wrong.
        reason: String,
    },
}

/// One request and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// When it was sent, since the start of the load.
    #[serde(rename = "at_ms", serialize_with = "as_millis")]
    pub at: Duration,
    /// GET or POST.
    pub method: String,
    /// How long it took to the end of the answer, or to the failure.
    #[serde(rename = "took_ms", serialize_with = "as_millis")]
    pub took: Duration,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Answer {
    pub(super) fn failed(at: Duration, method: &str, reason: String) -> Self {
        let outcome = Outcome::Failed { reason };
        Self { at, method: method.to_owned(), took: Duration::ZERO, outcome }
    }

    /// Whether the status is 2xx and what was posted has arrived, as far as the answer says.
    pub fn is_good(&self) -> bool {
        match &self.outcome {
            Outcome::Answered { status, arrival, .. } => {
                (200..300).contains(status) && !matches!(arrival, Arrival::Changed { .. })
            }
            Outcome::Failed { .. } => false,
        }
    }

    /// The version of the app that answered.
    pub fn version(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Answered { version, .. } => version.as_deref(),
            Outcome::Failed { .. } => None,
        }
    }

    /// The host of the app that answered.
    pub fn host(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Answered { host, .. } => host.as_deref(),
            Outcome::Failed { .. } => None,
        }
    }

    /// When the answer was there, or the failure known, since the start of the load.
    pub fn ended(&self) -> Duration {
        self.at + self.took
    }

    /// Whether its connection was taken and then dropped at once, before any word of an answer.
    fn was_dropped(&self) -> bool {
        let words = ["Connection reset by peer", "connection closed before message completed"];
        let dropped = |reason: &String| words.iter().any(|word| reason.contains(word));
        let soon = self.took < Duration::from_secs(1);
        soon && matches!(&self.outcome, Outcome::Failed { reason } if dropped(reason))
    }

    /// What came of it in words: who answered, or what went wrong.
    fn words(&self) -> String {
        let Outcome::Answered { status, version, host, arrival, .. } = &self.outcome else {
            return self.reason();
        };
        let mut said = match version {
            Some(version) => format!("version {version}"),
            None => "no version".to_owned(),
        };
        if let Some(host) = host {
            said = format!("{said} from {host}");
        }
        match arrival {
            _ if !(200..300).contains(status) => format!("status {status}, {said}"),
            Arrival::Changed { sent, arrived } => {
                format!("{arrived} of {sent} bytes arrived, {said}")
            }
            _ => said,
        }
    }

    fn reason(&self) -> String {
        match &self.outcome {
            Outcome::Failed { reason } => format!("failed {reason}"),
            Outcome::Answered { .. } => self.words(),
        }
    }
}

/// A time in which every request met the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// When the first of them was sent.
    pub from: Duration,
    /// When the last of them was sent.
    pub to: Duration,
    /// How many requests these are.
    pub count: usize,
    /// Who answered, or what went wrong.
    pub what: String,
}

/// Everything that a load has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Requests sent.
    pub sent: usize,
    /// Requests that may yet be answered; none once the load has stopped.
    pub in_flight: usize,
    /// What came of the others, in the order of sending.
    pub answers: Vec<Answer>,
}

impl Seen {
    pub(super) fn sort(&mut self) {
        self.answers.sort_by_key(|answer| answer.at);
    }

    /// Whatever isn't a whole answer with a status of 2xx.
    pub fn failures(&self) -> Vec<&Answer> {
        self.answers.iter().filter(|answer| !answer.is_good()).collect()
    }

    /// Requests of which nothing is known, because the load itself broke.
    pub fn lost(&self) -> usize {
        self.sent.saturating_sub(self.answers.len() + self.in_flight)
    }

    /// Versions that answered well, in the order of their first answer.
    pub fn versions(&self) -> Vec<String> {
        self.firsts(Answer::version)
    }

    /// Hosts that answered well, in the order of their first answer.
    pub fn hosts(&self) -> Vec<String> {
        self.firsts(Answer::host)
    }

    fn firsts(&self, of: impl Fn(&Answer) -> Option<&str>) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for said in self.answers.iter().filter(|answer| answer.is_good()).filter_map(of) {
            if !found.iter().any(|known| known == said) {
                found.push(said.to_owned());
            }
        }
        found
    }

    /// The longest time in which no good answer arrived, the load's beginning and end included.
    pub fn longest_gap(&self) -> Duration {
        let good = self.answers.iter().filter(|answer| answer.is_good());
        let mut times: Vec<Duration> = good.map(Answer::ended).collect();
        times.push(Duration::ZERO);
        times.extend(self.answers.iter().map(Answer::ended).max());
        times.sort();
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.max().unwrap_or_default()
    }

    /// The request that took longest, failed ones included.
    pub fn slowest(&self) -> Option<&Answer> {
        self.answers.iter().max_by_key(|answer| answer.took)
    }

    /// Times in which every request met the same, in order.
    pub fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for answer in &self.answers {
            let (at, what) = (answer.at, answer.words());
            match runs.last_mut() {
                Some(run) if run.what == what => {
                    run.to = at;
                    run.count += 1;
                }
                _ => runs.push(Run { from: at, to: at, count: 1, what }),
            }
        }
        runs
    }

    /// Slices of time and what was met in each, slices with the same joined; for answers that take turns.
    fn slices(&self) -> Vec<Run> {
        let whole = self.answers.last().map_or(Duration::ZERO, |answer| answer.at);
        let slice = (whole / SLICES).max(Duration::from_millis(1));
        let mut met: Vec<(Run, BTreeMap<String, usize>)> = Vec::new();
        let number = |answer: &Answer| answer.at.as_nanos() / slice.as_nanos();
        for answers in self.answers.chunk_by(|one, other| number(one) == number(other)) {
            let mut whats = BTreeMap::new();
            for answer in answers {
                *whats.entry(answer.words()).or_insert(0) += 1;
            }
            let to = answers.last().map_or(Duration::ZERO, |answer| answer.at);
            match met.last_mut() {
                Some((run, known)) if known.keys().eq(whats.keys()) => {
                    run.to = to;
                    run.count += answers.len();
                    whats
                        .into_iter()
                        .for_each(|(what, count)| *known.entry(what).or_insert(0) += count);
                }
                _ => {
                    let from = answers.first().map_or(to, |answer| answer.at);
                    let run = Run { from, to, count: answers.len(), what: String::new() };
                    met.push((run, whats));
                }
            }
        }
        met.into_iter().map(|(run, whats)| Run { what: list(&whats), ..run }).collect()
    }

    /// What was seen, in the words of a failing test's message.
    pub fn summary(&self) -> String {
        let mut lines = vec![self.headline()];
        lines.extend(self.failing());
        let runs = self.runs();
        let runs = if runs.len() > MOST_RUNS { self.slices() } else { runs };
        for Run { from, to, count, what } in runs {
            let (from, to) = (from.as_secs_f64(), to.as_secs_f64());
            lines.push(format!("  {from:.1}–{to:.1} s: {what} ({count})"));
        }
        lines.join("\n")
    }

    fn headline(&self) -> String {
        let mut line = format!("{} requests, {} failed", self.sent, self.failures().len());
        if self.in_flight > 0 {
            line = format!("{line}, {} under way", self.in_flight);
        }
        if self.lost() > 0 {
            line = format!("{line}, {} without an outcome: the load itself broke", self.lost());
        }
        let slowest = self.slowest().map(|answer| answer.took).unwrap_or_default();
        let gap = self.longest_gap();
        format!(
            "{line}; slowest {:.3} s, longest time without an answer {:.3} s",
            slowest.as_secs_f64(),
            gap.as_secs_f64()
        )
    }

    /// The first and the last failure, and how often each reason was met.
    fn failing(&self) -> Vec<String> {
        let failures = self.failures();
        let (Some(first), Some(last)) = (failures.first(), failures.last()) else {
            return Vec::new();
        };
        let mut reasons = BTreeMap::new();
        for failure in &failures {
            *reasons.entry(failure.words()).or_insert(0) += 1;
        }
        let told = |name: &str, answer: &Answer| {
            let (at, took) = (seconds(answer.at), answer.took.as_secs_f64());
            format!("  {name}: {} at {at} after {took:.3} s: {}", answer.method, answer.words())
        };
        let mut lines = vec![told("first failure", first), told("last failure", last)];
        lines.push(format!("  failures: {}", list(&reasons)));
        lines
    }

    /// Holds that requests were sent and each was answered well.
    ///
    /// # Panics
    /// With the summary, when a request failed, was lost, or none was sent.
    pub fn assert_flawless(&self) {
        let flawless = self.sent > 0 && self.lost() == 0 && self.failures().is_empty();
        assert!(flawless, "users saw failures: {}", self.summary());
    }

    /// Holds the same over so many reloads of a proxy, tried in vain or not: whoever connects in the very moment in which
    /// one closes a listener may be dropped without an answer, by Caddy as it is shipped, whatever is configured.
    ///
    /// # Panics
    /// With the summary, when more went wrong than that.
    pub fn assert_flawless_over_reloads(&self, reloads: usize) {
        let failures = self.failures();
        let excused =
            failures.len() <= reloads && failures.iter().all(|answer| answer.was_dropped());
        let kept = self.sent > failures.len() && self.lost() == 0 && excused;
        assert!(kept, "users saw failures: {}", self.summary());
    }

    /// Writes one JSON object per request, after making the folder.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = io::BufWriter::new(fs::File::create(path)?);
        for answer in &self.answers {
            serde_json::to_writer(&mut file, answer)?;
            file.write_all(b"\n")?;
        }
        file.flush()
    }
}

fn list(whats: &BTreeMap<String, usize>) -> String {
    if whats.len() == 1 {
        return whats.keys().cloned().collect();
    }
    let parts = whats.iter().map(|(what, count)| format!("{what} × {count}"));
    parts.collect::<Vec<_>>().join("; ")
}
