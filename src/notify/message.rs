//! A message: the same value becomes a webhook's body and the text on a phone. No log line and no secret gets into one.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;

use crate::model::{Commit, Name, Timestamp, UnitId, Verdict};
use crate::settings::Topic;

/// The version of the body.
pub const VERSION: u32 = 1;

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A rollout converged.
    Converged,
    /// A rollout was put back.
    RolledBack,
    /// A rollout needs an operator.
    NeedsOperator,
    /// Something is no longer as it was rolled out, or something else than before.
    Drift,
    /// Everything is as it was rolled out again.
    DriftGone,
    /// A node no longer answers.
    NodeLost,
    /// A node answers again.
    NodeBack,
    /// A commit is not rolled out.
    Refused,
    /// `gitsync notify test`.
    Test,
}

/// What a webhook gets.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Message {
    /// The version of this form.
    #[schemars(extend("const" = 1))]
    pub version: u32,
    /// The same for every try to deliver it.
    pub id: String,
    /// What is told.
    pub event: Kind,
    /// When it happened, as RFC 3339 has it, in UTC.
    pub at: String,
    /// The fleet; absent while no valid commit of it was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fleet: Option<Name>,
    /// One line.
    pub title: String,
    /// A few sentences.
    pub text: String,
    /// The rollout, for `gitsync show`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// The commit that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitRef>,
    /// How the rollout ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub verdict: Option<Verdict>,
    /// Why, in words of gitsync's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the release is not tried again until its content changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<bool>,
    /// What failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Failed>,
    /// The node that was lost, or is back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    /// Whether that node may sleep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
    /// All that is not as it was rolled out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Moved>,
    /// Why a commit is refused, as a stable word: `invalid`, `limits`, `unsigned`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Problems of an invalid commit: code and place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CommitRef {
    /// The first twelve digits of its id.
    pub id: String,
    /// The first line of what it says, shortened; absent when it is not trusted or was not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// Something that failed in a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Failed {
    /// The node.
    pub node: Name,
    /// The unit, if one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitId>,
    /// What about it, in a few words.
    pub what: String,
}

/// Something that is not as it was rolled out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Moved {
    /// The unit; it names the node.
    pub unit: UnitId,
    /// What about it, in a few words.
    pub what: String,
}

impl Kind {
    /// What has to be asked for to be told of it; a test is told to everybody.
    pub fn topic(self) -> Option<Topic> {
        Some(match self {
            Self::Converged => Topic::Converged,
            Self::RolledBack => Topic::RolledBack,
            Self::NeedsOperator => Topic::NeedsOperator,
            Self::Drift | Self::DriftGone => Topic::Drift,
            Self::NodeLost | Self::NodeBack => Topic::NodeLost,
            Self::Refused => Topic::Refused,
            Self::Test => return None,
        })
    }

    /// Its word in the body.
    pub fn word(self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::RolledBack => "rolled_back",
            Self::NeedsOperator => "needs_operator",
            Self::Drift => "drift",
            Self::DriftGone => "drift_gone",
            Self::NodeLost => "node_lost",
            Self::NodeBack => "node_back",
            Self::Refused => "refused",
            Self::Test => "test",
        }
    }
}

impl From<&Commit> for CommitRef {
    fn from(commit: &Commit) -> Self {
        Self { subject: Some(line(&commit.summary, 120)), ..Self::bare(&commit.id) }
    }
}

impl CommitRef {
    /// One of which only the id is known, or told.
    pub fn bare(id: &str) -> Self {
        Self { id: id.get(..12).unwrap_or(id).to_owned(), subject: None }
    }

    /// `1a2b3c4d5e6f “subject”`.
    pub(super) fn told(&self) -> String {
        match &self.subject {
            Some(subject) => format!("{} “{subject}”", self.id),
            None => self.id.clone(),
        }
    }
}

impl Message {
    /// A message with everything empty that is not about every event.
    pub fn new(
        event: Kind,
        fleet: Option<&Name>,
        at: Timestamp,
        title: &str,
        text: String,
    ) -> Self {
        let title = match fleet {
            Some(fleet) => format!("{fleet}: {title}"),
            None => title.to_owned(),
        };
        Self {
            version: VERSION,
            id: format!("{:032x}", rand::random::<u128>()),
            event,
            at: rfc3339(at),
            fleet: fleet.cloned(),
            title,
            text,
            rollout: None,
            commit: None,
            verdict: None,
            reason: None,
            quarantined: None,
            failed: Vec::new(),
            node: None,
            optional: None,
            drift: Vec::new(),
            code: None,
            problems: Vec::new(),
        }
    }

    /// What `gitsync notify test` sends.
    pub fn test(at: Timestamp) -> Self {
        let text = "This is a test of gitsync's notifications: nothing happened.".to_owned();
        Self::new(Kind::Test, None, at, "gitsync can reach you", text)
    }
}

/// A text on one line, shortened, without what a terminal or phone might obey.
pub(super) fn line(text: &str, most: usize) -> String {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    let plain = |c: char| if c.is_control() || is_turn(c) { '\u{fffd}' } else { c };
    let mut line: String = first.chars().take(most).map(plain).collect();
    if first.chars().count() > most {
        line.push('…');
    }
    line
}

/// Whether it turns the direction of what follows.
fn is_turn(c: char) -> bool {
    matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn rfc3339(at: Timestamp) -> String {
    let seconds = i64::try_from(at.seconds()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

/// The JSON Schema of a webhook's body.
pub fn schema() -> serde_json::Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<Message>();
    schema.insert("title".to_owned(), serde_json::Value::from("gitsync notification"));
    serde_json::Value::from(schema)
}
