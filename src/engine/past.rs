//! What the fleet's past says against a commit: it is older than the last good one, or of another history.

use crate::model::{Commit, Plan, UnitId, Warning};
use crate::plan;
use crate::source::Ancestry;

use super::asked::Asked;

impl Asked {
    /// The commit of the last good release, as the nodes recorded it.
    pub fn last_good(&self) -> Option<String> {
        plan::last_good(&self.observed)?.commit
    }

    /// Remembers how the wanted commit lies to the last good one: one that does not follow it is refused if it
    /// would change anything, or warned about when history may go `any` way.
    pub fn recall(&mut self, wanted: &Commit, good: &str, ancestry: Ancestry, any: bool) {
        self.past = against(wanted, good, ancestry).map(|warning| (warning, any));
    }

    /// Names the unit that the controller itself runs in.
    pub fn spare(&mut self, controller: Option<UnitId>) {
        self.controller = controller;
    }
}

/// Tells of the past in a plan that changes something: nothing else asks for a decision.
pub(super) fn tell(past: Option<(Warning, bool)>, plan: &mut Plan) {
    match past.filter(|_| !plan.is_empty()) {
        Some((warning, true)) => plan.warnings.push(warning),
        Some((warning, false)) => plan.refusals.push(warning),
        None => {}
    }
}

fn against(wanted: &Commit, good: &str, ancestry: Ancestry) -> Option<Warning> {
    let short = |id: &str| id.get(..12).unwrap_or(id).to_owned();
    let (wanted, good) = (short(&wanted.id), short(good));
    let (code, message) = match ancestry {
        Ancestry::Follows => return None,
        Ancestry::Older => (
            "older-than-last-good",
            format!("commit {wanted} is older than {good}, the last good one"),
        ),
        Ancestry::Diverged => (
            "history-rewritten",
            format!(
                "commit {wanted} does not come from {good}, the last good one: history was rewritten"
            ),
        ),
        Ancestry::Gone => (
            "history-rewritten",
            format!(
                "the last good commit {good} is not in this repository: history was rewritten, or this is \
                 another repository than the one that the fleet was rolled out from"
            ),
        ),
        Ancestry::Shallow => (
            "history-rewritten",
            format!(
                "this clone is shallow and does not reach back to {good}, the last good commit: \
                 `git fetch --unshallow` brings what is missing"
            ),
        ),
    };
    Some(Warning { code: code.to_owned(), message, unit: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_off_the_last_good_commit_has_its_own_words() {
        let wanted = Commit {
            id: "a".repeat(40),
            summary: String::new(),
            author: String::new(),
            at: crate::model::Timestamp(0),
        };
        let told = |ancestry| against(&wanted, &"b".repeat(40), ancestry);
        assert_eq!(told(Ancestry::Follows), None);
        let ways = [Ancestry::Older, Ancestry::Diverged, Ancestry::Gone, Ancestry::Shallow];
        let told = ways.map(|way| told(way).unwrap());
        let codes = told.each_ref().map(|warning| warning.code.as_str());
        let rewritten = "history-rewritten";
        assert_eq!(codes, ["older-than-last-good", rewritten, rewritten, rewritten]);
        let words =
            ["is older than bbbbbbbbbbbb", "does not come from", "is not in this", "shallow"];
        for (warning, words) in told.iter().zip(words) {
            assert!(warning.message.contains(words), "{}", warning.message);
        }
    }
}
