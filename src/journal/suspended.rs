//! Fleets whose rollouts are suspended on this controller: a small file each, beside the journal and without its lock,
//! so that a command can say so while the daemon runs.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Name, Timestamp, duration_text};

/// Why nothing of a fleet is changed for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// Who said so, in words.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself, if it does.
    pub until: Option<Timestamp>,
}

impl Suspension {
    /// In words, as of now.
    pub fn words(&self, now: Timestamp) -> String {
        let seconds = |from: Timestamp, to: Timestamp| {
            duration_text(Duration::from_secs(to.since(from).as_secs()))
        };
        let ends = match self.until {
            Some(until) => format!(", for {} more", seconds(now, until)),
            None => String::new(),
        };
        let ago = seconds(self.since, now);
        format!("suspended by {} {ago} ago{ends}: {}", self.by, self.reason)
    }
}

fn file(state: &Path, fleet: &Name) -> PathBuf {
    state.join("suspended").join(format!("{fleet}.json"))
}

/// Suspends a fleet, atomically; what was said before is replaced.
pub fn suspend(state: &Path, fleet: &Name, suspension: &Suspension) -> io::Result<()> {
    let path = file(state, fleet);
    let directory = path.parent().unwrap_or(state);
    std::fs::create_dir_all(directory)?;
    let mut new = tempfile::NamedTempFile::new_in(directory)?;
    new.write_all(serde_json::to_string(suspension)?.as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(&path).map(drop).map_err(|error| error.error)
}

/// Ends a suspension; whether there was one.
pub fn resume(state: &Path, fleet: &Name) -> io::Result<bool> {
    match std::fs::remove_file(file(state, fleet)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The suspension of a fleet that counts now. A file that can't be read counts: somebody wanted nothing to change.
pub fn suspension(state: &Path, fleet: &Name, now: Timestamp) -> Option<Suspension> {
    let path = file(state, fleet);
    let unreadable = |why: String| Suspension {
        by: "somebody".to_owned(),
        reason: format!("{} can't be read: {why}", path.display()),
        since: now,
        until: None,
    };
    let found = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => unreadable(error.to_string()),
        Ok(text) => {
            serde_json::from_str(&text).unwrap_or_else(|error| unreadable(error.to_string()))
        }
    };
    let over = found.until.is_some_and(|until| until <= now);
    (!over).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspension_counts_until_it_is_over_or_ended() {
        let state = tempfile::tempdir().unwrap();
        let [lab, other] = ["lab", "other"].map(|text| Name::new(text).unwrap());
        let at = |seconds: u64| Timestamp(seconds * 1000);
        let one = Suspension {
            by: "ada@desk".to_owned(),
            reason: "moving house".to_owned(),
            since: at(100),
            until: Some(at(200)),
        };
        assert_eq!(suspension(state.path(), &lab, at(100)), None);
        suspend(state.path(), &lab, &one).unwrap();
        assert_eq!(suspension(state.path(), &lab, at(199)), Some(one.clone()));
        assert_eq!(suspension(state.path(), &other, at(199)), None);
        assert_eq!(suspension(state.path(), &lab, at(200)), None);
        assert_eq!(one.words(at(160)), "suspended by ada@desk 1m ago, for 40s more: moving house");
        assert!(resume(state.path(), &lab).unwrap());
        assert!(!resume(state.path(), &lab).unwrap());
        assert_eq!(suspension(state.path(), &lab, at(150)), None);
    }

    #[test]
    fn a_file_that_can_t_be_read_suspends() {
        let state = tempfile::tempdir().unwrap();
        let lab = Name::new("lab").unwrap();
        std::fs::create_dir_all(state.path().join("suspended")).unwrap();
        std::fs::write(file(state.path(), &lab), "{").unwrap();
        assert!(suspension(state.path(), &lab, Timestamp(1)).is_some());
    }
}
