//! Follows a rollout's events and says what is to be told of its end.

use crate::event::{Event, Happening};
use crate::model::{Commit, FailureKind, Name, UnitId, Verdict};

use super::message::{CommitRef, Failed, Kind, Message};

/// How many things that failed a text names.
const NAMED: usize = 5;

/// What is known of a rollout while it goes.
#[derive(Clone, Debug, Default)]
pub struct Story {
    commit: Option<Commit>,
    rollout: String,
    of: Option<CommitRef>,
    failed: Vec<Failed>,
}

impl Story {
    /// A commit that the next rollouts may be of; what it says is told with them.
    pub fn knows(&mut self, commit: &Commit) {
        self.commit = Some(commit.clone());
    }

    /// Takes an event in; the end of a rollout is told.
    pub fn hear(&mut self, event: &Event) -> Option<Message> {
        match &event.what {
            Happening::RolloutStarted { rollout, commit, .. } => {
                let known = self.commit.as_ref().filter(|known| Some(&known.id) == commit.as_ref());
                let bare = || commit.as_deref().map(CommitRef::bare);
                self.of = known.map(CommitRef::from).or_else(bare);
                self.rollout.clone_from(rollout);
                self.failed.clear();
            }
            Happening::Failed { unit, node, kind, .. } => {
                let node = unit.as_ref().map(|unit| &unit.node).or(node.as_ref());
                if let Some(node) = node.filter(|_| *kind != FailureKind::Cancelled) {
                    self.note(node, unit.as_ref(), words(*kind));
                }
            }
            Happening::PutBackFailed { unit, .. } => {
                self.note(&unit.node, Some(unit), "could not be put back");
            }
            Happening::TookBack { node, .. } => self.note(node, None, "took its changes back"),
            Happening::Ended { verdict, quarantined, .. } => {
                return Some(self.end(event, *verdict, *quarantined));
            }
            _ => {}
        }
        None
    }

    fn note(&mut self, node: &Name, unit: Option<&UnitId>, what: &str) {
        let failed = Failed { node: node.clone(), unit: unit.cloned(), what: what.to_owned() };
        if !self.failed.contains(&failed) {
            self.failed.push(failed);
        }
    }

    fn end(&mut self, event: &Event, verdict: Verdict, quarantined: bool) -> Message {
        let (kind, title, after) = match verdict {
            Verdict::Converged => (Kind::Converged, "converged", "Every node runs it."),
            Verdict::RolledBack => {
                (Kind::RolledBack, "rolled back", "Everything runs as it did before.")
            }
            Verdict::NeedsOperator => {
                (Kind::NeedsOperator, "needs an operator", "The fleet may be in between.")
            }
        };
        let failed = std::mem::take(&mut self.failed);
        // A failure that a try again mended is no reason.
        let failed = if verdict == Verdict::Converged { Vec::new() } else { failed };
        let reason = reason(verdict, &failed);
        let of =
            self.of.as_ref().map(|commit| format!(" of {}", commit.told())).unwrap_or_default();
        let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let held =
            if quarantined { " It is not tried again until its content changes." } else { "" };
        let text = format!(
            "Rollout {}{of}: {}{why}. {after}{held} `gitsync show {0}` tells every step.",
            self.rollout, title
        );
        // `lab-42` is a rollout of `lab`.
        let fleet = self.rollout.rsplit_once('-').and_then(|(name, _)| Name::new(name).ok());
        Message {
            rollout: Some(self.rollout.clone()),
            commit: self.of.clone(),
            verdict: Some(verdict),
            reason,
            quarantined: Some(quarantined),
            failed,
            ..Message::new(kind, fleet.as_ref(), event.at, title, text)
        }
    }
}

/// Words of our own: what programs and nodes said can be anything.
fn words(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Content => "failed",
        FailureKind::Transport => "was not reached",
        FailureKind::Refused => "refused",
        FailureKind::Busy => "is held by another rollout",
        FailureKind::Restored => "restored itself",
        FailureKind::Node => "lacks something that it needs",
        FailureKind::Cancelled => "was cancelled",
    }
}

fn reason(verdict: Verdict, failed: &[Failed]) -> Option<String> {
    let name = |failed: &Failed| {
        let unit = failed.unit.as_ref().map(ToString::to_string);
        format!("{} {}", unit.unwrap_or_else(|| failed.node.to_string()), failed.what)
    };
    let mut names: Vec<String> = failed.iter().take(NAMED).map(name).collect();
    match failed.len().saturating_sub(NAMED) {
        0 => {}
        more => names.push(format!("{more} more")),
    }
    match (verdict, names.is_empty()) {
        (Verdict::Converged, _) => None,
        (_, true) => Some("it was asked to stop".to_owned()),
        (_, false) => Some(names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, Timestamp};

    fn hear(story: &mut Story, what: Happening) -> Option<Message> {
        story.hear(&Event { at: Timestamp(1_700_000_000_000), what })
    }

    fn begun(story: &mut Story) {
        let started = Happening::RolloutStarted {
            rollout: "home-lab-42".to_owned(),
            release: Digest("r".to_owned()),
            commit: Some("1a2b3c4d5e6f7081".to_owned()),
            changes: 2,
            resumed: false,
        };
        assert_eq!(hear(story, started), None);
    }

    fn failed(unit: &str, kind: FailureKind) -> Happening {
        Happening::Failed {
            unit: Some(unit.parse().unwrap()),
            node: None,
            kind,
            message: "the process ended: PASSWORD".to_owned(),
            log: vec!["PASSWORD".to_owned()],
            attempts: Vec::new(),
        }
    }

    fn ended(verdict: Verdict, quarantined: bool) -> Happening {
        Happening::Ended { verdict, reason: "PASSWORD".to_owned(), quarantined }
    }

    fn known() -> Story {
        let mut story = Story::default();
        story.knows(&Commit {
            id: "1a2b3c4d5e6f7081".to_owned(),
            summary: format!("web 2\u{202e} {}", "x".repeat(200)),
            author: String::new(),
            at: Timestamp(0),
        });
        story
    }

    fn shown(message: &Message) -> String {
        let fixed = Message { id: "0".to_owned(), ..message.clone() };
        serde_json::to_string_pretty(&fixed).unwrap()
    }

    #[test]
    fn the_end_of_a_rollout_is_told_with_what_failed_and_nothing_that_anybody_else_said() {
        let mut story = known();
        begun(&mut story);
        for unit in ["n1/service.web", "n1/service.web", "n2/service.api"] {
            assert_eq!(hear(&mut story, failed(unit, FailureKind::Content)), None);
        }
        let told = hear(&mut story, ended(Verdict::RolledBack, true)).unwrap();
        insta::assert_snapshot!("rolled_back", shown(&told));
        begun(&mut story);
        let lost = Happening::PutBackFailed {
            unit: "n2/service.api".parse().unwrap(),
            message: "PASSWORD".to_owned(),
        };
        hear(&mut story, lost);
        let told = hear(&mut story, ended(Verdict::NeedsOperator, false)).unwrap();
        insta::assert_snapshot!("needs_operator", shown(&told));
        assert!(!shown(&told).contains("PASSWORD"));
    }

    #[test]
    fn a_good_end_tells_nothing_of_what_went_wrong_on_the_way() {
        let mut story = Story::default();
        begun(&mut story);
        hear(&mut story, failed("n1/service.web", FailureKind::Transport));
        let told = hear(&mut story, ended(Verdict::Converged, false)).unwrap();
        insta::assert_snapshot!("converged", shown(&told));
        begun(&mut story);
        hear(&mut story, failed("n1/service.web", FailureKind::Cancelled));
        let told = hear(&mut story, ended(Verdict::RolledBack, false)).unwrap();
        assert_eq!(told.reason.as_deref(), Some("it was asked to stop"));
    }
}
