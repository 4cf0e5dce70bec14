//! Events in words: the lines that people read, the same in a terminal, a log and the demo.

use std::time::Duration;

use crate::event::{Event, Happening};
use crate::model::{Attempt, FailureKind, UnitId, Verdict, duration_text};

use super::lines::{hanging, headline, one_line};

/// The lines for an event; the first is the news, further ones are its details.
pub fn lines(event: &Event) -> Vec<String> {
    told(event).iter().flat_map(|text| hanging(text, "    ")).collect()
}

fn told(event: &Event) -> Vec<String> {
    match &event.what {
        Happening::RolloutStarted { rollout, release, commit, changes, resumed } => {
            let verb = if *resumed { "goes on" } else { "begins" };
            let commit =
                commit.as_deref().map(short).map(|c| format!(" of {c}")).unwrap_or_default();
            let release = release.short();
            vec![format!(
                "rollout {rollout}{commit} {verb}: {} (release {release})",
                changed(*changes)
            )]
        }
        Happening::Preparing { node } => vec![format!("{node}: preparing")],
        Happening::Prepared { node } => vec![format!("{node}: ready, nothing touched yet")],
        Happening::GivenUp { node } => {
            vec![format!("{node}: not waited for any more, nothing there was touched")]
        }
        Happening::WaveStarted { wave, of, units } => {
            vec![format!("wave {wave} of {of}: {}", names(units))]
        }
        Happening::Waiting { until, reason } => {
            let left = until.since(event.at);
            vec![format!("waiting {}: {reason}", whole(left))]
        }
        Happening::Changing { unit } => vec![format!("{unit}: switching")],
        Happening::Changed { unit } => vec![format!("{unit}: switched, probing")],
        Happening::Stopped { unit } => vec![format!("{unit}: stopped")],
        Happening::Healthy { unit, attempts } => {
            vec![format!("{unit}: healthy{}", tries(attempts))]
        }
        Happening::Retrying { node, message, until } => {
            let left = whole(until.since(event.at));
            vec![format!("{node}: {}; trying again in {left}", one_line(message))]
        }
        Happening::Failed { .. } => failed(&event.what),
        Happening::NodeLeft { node, reason } => {
            vec![format!(
                "{node}: left this rollout ({}); it catches up on its return",
                headline(reason)
            )]
        }
        Happening::TookBack { node, reason } => vec![format!("{node}: {reason}")],
        Happening::PuttingBack { units } => vec![format!("putting back: {}", names(units))],
        Happening::PutBack { unit } => vec![format!("{unit}: put back")],
        Happening::PutBackFailed { unit, message } => {
            vec![format!("{unit}: {message}")]
        }
        Happening::Decided => vec!["decided: every change is good".to_owned()],
        Happening::RollingForward { node } => {
            vec![format!(
                "{node}: the decision stands, so what it took back is changed there again"
            )]
        }
        Happening::Confirmed { node } => vec![format!("{node}: confirmed")],
        Happening::Abandoned { node } => {
            vec![format!("{node}: recorded how it ended")]
        }
        Happening::Ended { verdict, reason, quarantined } => {
            vec![ending(*verdict, reason, *quarantined)]
        }
    }
}

fn failed(what: &Happening) -> Vec<String> {
    let Happening::Failed { unit, node, kind, message, log, attempts } = what else {
        return Vec::new();
    };
    let place = unit.as_ref().map(ToString::to_string);
    let place = place.or_else(|| node.as_ref().map(ToString::to_string)).unwrap_or_default();
    let word = match kind {
        FailureKind::Content => "failed",
        FailureKind::Transport => "not reached",
        FailureKind::Refused => "refused",
        FailureKind::Busy => "busy",
        FailureKind::Restored => "restored itself",
        FailureKind::Node => "can't",
        FailureKind::Cancelled => "cancelled",
    };
    let message = message.strip_prefix(&format!("{place}: ")).unwrap_or(message);
    let mut lines = vec![format!("{place}: {word}: {message}").trim_start_matches(": ").to_owned()];
    if let Some(last) = attempts.last().filter(|last| !message.contains(&last.detail)) {
        lines.push(format!("    after {}: {}", whole(last.after), last.detail));
    }
    lines.extend(log.iter().map(|line| format!("    | {line}")));
    lines
}

fn ending(verdict: Verdict, reason: &str, quarantined: bool) -> String {
    let reason = one_line(reason);
    let tail = match (verdict, quarantined) {
        (Verdict::Converged, _) => String::new(),
        (_, true) => {
            format!(": {reason}; quarantined until its content changes or `gitsync retry`")
        }
        (_, false) => format!(": {reason}"),
    };
    format!("{verdict}{tail}")
}

fn names(units: &[UnitId]) -> String {
    units.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn changed(changes: usize) -> String {
    match changes {
        1 => "1 change".to_owned(),
        n => format!("{n} changes"),
    }
}

fn tries(attempts: &[Attempt]) -> String {
    match attempts.iter().position(|attempt| attempt.passed) {
        None | Some(0) => String::new(),
        Some(failed) => format!(" after {} tries", failed + 1),
    }
}

fn whole(duration: Duration) -> String {
    let tenths = duration.as_millis().div_ceil(100);
    let rounded = u64::try_from(tenths).unwrap_or(u64::MAX).saturating_mul(100);
    duration_text(Duration::from_millis(rounded))
}

/// The first twelve digits of a commit id.
pub fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn told(what: Happening) -> Vec<String> {
        lines(&Event { at: Timestamp(0), what })
    }

    #[test]
    fn what_a_node_says_in_several_lines_hangs_below_the_news_or_is_one_line() {
        let node = crate::model::Name::new("h1").unwrap();
        let (message, reason) = ("no\u{1b}[2J\nWrite this".to_owned(), "no\nWrite this".to_owned());
        let failed = Happening::Failed {
            unit: None,
            node: Some(node.clone()),
            kind: FailureKind::Refused,
            message: message.clone(),
            log: vec!["a\rb".to_owned()],
            attempts: Vec::new(),
        };
        let lines = ["h1: refused: no\u{fffd}[2J", "    Write this", "    | a", "    b"];
        assert_eq!(told(failed), lines);
        let retrying = Happening::Retrying { node: node.clone(), message, until: Timestamp(1000) };
        assert_eq!(told(retrying), ["h1: no\u{fffd}[2J Write this; trying again in 1s"]);
        let left = Happening::NodeLeft { node, reason: reason.clone() };
        assert_eq!(told(left), ["h1: left this rollout (no); it catches up on its return"]);
        let node = crate::model::Name::new("h2").unwrap();
        let again = ["h2: the decision stands, so what it took back is changed there again"];
        assert_eq!(told(Happening::RollingForward { node }), again);
        let verdict = Verdict::NeedsOperator;
        let ended = Happening::Ended { verdict, reason, quarantined: false };
        assert_eq!(told(ended), ["needs_operator: no Write this"]);
    }
}
