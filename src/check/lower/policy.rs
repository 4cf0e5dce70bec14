//! `fleet.yaml`: how rollouts go, with defaults.

use std::collections::BTreeSet;
use std::time::Duration;

use super::context::Cx;
use crate::check::document::codes;
use crate::check::document::kinds::{CountDoc, OnFailureDoc, PruneDoc};
use crate::model::{Count, OnFailure, Policy, Prune};

impl Cx<'_> {
    /// How rollouts go.
    pub fn policy(&mut self) -> Policy {
        self.environments_once();
        let doc = self.fleet.doc.as_ref().and_then(|doc| doc.rollout.clone()).unwrap_or_default();
        Policy {
            on_failure: match doc.on_failure {
                Some(OnFailureDoc::Halt) => OnFailure::Halt,
                _ => OnFailure::Rollback,
            },
            max_parallel: doc.max_parallel.unwrap_or(4),
            canary: doc.canary.unwrap_or(1),
            prune: prune(doc.prune.unwrap_or_default()),
            dead_man: doc.dead_man.map_or(Some(Duration::from_secs(60)), |time| time.0),
        }
    }

    fn environments_once(&mut self) {
        let mut seen = BTreeSet::new();
        for (at, name) in self.fleet.environments.clone().into_iter().enumerate() {
            if !seen.insert(name.clone()) {
                let place = self.places.place("fleet.yaml", &format!("/environments/{at}"));
                let message = format!("the environment `{name}` is listed twice");
                self.error(codes::LISTED_TWICE, message, place);
            }
        }
    }
}

fn prune(doc: PruneDoc) -> Prune {
    let max_removals = match doc.max_removals {
        Some(CountDoc::Number(number)) => Count::Number(number),
        Some(CountDoc::Share(share)) => Count::Percent(share.0),
        None => Count::Percent(30),
    };
    Prune { enabled: doc.enabled.unwrap_or(true), max_removals }
}
