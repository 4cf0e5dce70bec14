//! Whether a plan may be rolled out at all: refusals, quarantine, and who holds the fence.

use std::collections::BTreeMap;

use crate::limits::{self, Breach};
use crate::model::{Fleet, Limits, Observed, Plan, Release, Timestamp, Warning, duration_text};
use crate::plan;
use crate::source::Distrust;

/// Why a plan is not rolled out. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A stable word: `unreachable`, `quarantined`, `busy`, `no-way-back`, …
    pub code: String,
    /// In words.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Refusal {
    /// A commit whose signature the controller does not trust.
    pub fn distrusted(distrust: Distrust) -> Self {
        let hint = hint(distrust.code).to_owned();
        Self { code: distrust.code.to_owned(), message: distrust.message, hint }
    }

    /// Whether nothing but another commit, or an operator, changes it: then it is told once.
    pub fn stays(&self) -> bool {
        const STAY: [&str; 5] =
            ["quarantined", "no-nodes", "older-than-last-good", "history-rewritten", "suspended"];
        STAY.contains(&self.code.as_str())
    }
}

/// Says whether a plan may be rolled out; the first reason against it otherwise.
///
/// With `takeover` a node that another rollout holds is no reason.
pub fn gate(plan: &Plan, observed: &Observed, takeover: bool) -> Result<(), Refusal> {
    if let Some(refusal) = plan.refusals.first() {
        return Err(Refusal {
            code: refusal.code.clone(),
            message: joined(&plan.refusals),
            hint: hint(&refusal.code).to_owned(),
        });
    }
    if plan.is_empty() {
        return Ok(());
    }
    if let Some(entry) = plan::quarantined(observed, &plan.release) {
        return Err(Refusal {
            code: "quarantined".to_owned(),
            message: format!(
                "this release ({}) failed before and is quarantined: {}",
                plan.release.short(),
                entry.reason
            ),
            hint: "change what failed, or lift the quarantine with `gitsync retry`".to_owned(),
        });
    }
    if takeover { Ok(()) } else { held(plan, observed) }
}

fn held(plan: &Plan, observed: &Observed) -> Result<(), Refusal> {
    match holders(plan, observed).into_iter().next() {
        None => Ok(()),
        Some(message) => Err(Refusal {
            code: "busy".to_owned(),
            message,
            hint: "wait for its verdict, with `gitsync apply --lock-wait 5m` if it should begin by itself then; a dead \
                   controller takes its rollout up when it starts again, and the hold of one that never will ends \
                   with its lease, with `gitsync unlock --reason TEXT`, or with `gitsync apply --take-over`"
                .to_owned(),
        }),
    }
}

/// Who holds nodes of the plan, in words: one line per node.
pub fn holders(plan: &Plan, observed: &Observed) -> Vec<String> {
    let held = plan.nodes.iter().filter_map(|node| {
        let report = observed.report(node)?;
        let holder = report.record.holder.as_ref()?;
        let now = Timestamp(report.now.saturating_mul(1000));
        let seconds = std::time::Duration::from_secs(now.since(holder.since).as_secs());
        let ago = duration_text(seconds);
        Some(format!("{node} is held by {} (rollout {}, for {ago})", holder.who, holder.rollout))
    });
    held.collect()
}

/// Says whether a fleet and what it would do are within the controller's limits, before any node is asked.
///
/// `contents` has what nodes keep, for a release that was put together from there.
pub fn within(
    fleet: &Fleet,
    release: &Release,
    limits: Option<&Limits>,
    contents: &BTreeMap<String, Vec<u8>>,
) -> Result<(), Refusal> {
    limits.map_or(Ok(()), |limits| {
        allowed(&limits::breaches(fleet, release, limits, contents), limits)
    })
}

/// Says whether a fleet's nodes are the pinned ones, before any of them is asked.
pub fn pinned(fleet: &Fleet, limits: Option<&Limits>) -> Result<(), Refusal> {
    limits.map_or(Ok(()), |limits| allowed(&limits::of_nodes(fleet, limits), limits))
}

fn allowed(breaches: &[Breach], limits: &Limits) -> Result<(), Refusal> {
    if breaches.is_empty() {
        return Ok(());
    }
    let mut message = "this fleet goes beyond the limits of this controller".to_owned();
    for breach in breaches {
        message.push_str(&format!("\n{breach}"));
    }
    Err(Refusal {
        code: "limits".to_owned(),
        message,
        hint: format!("no commit can change the limits: they are in {}", limits.file),
    })
}

/// Messages one after the other, on lines of their own when one of them has several.
fn joined(refusals: &[Warning]) -> String {
    let messages: Vec<&str> = refusals.iter().map(|refusal| refusal.message.as_str()).collect();
    let long = messages.iter().any(|message| message.contains('\n'));
    messages.join(if long { "\n" } else { "; " })
}

fn hint(code: &str) -> &'static str {
    match code {
        "unreachable" => {
            "bring the node back, mark it `optional: true` when it may sleep, or take its file out of nodes/ when \
             it is gone for good; nothing was changed"
        }
        "suspended" => "take `suspend` out of fleet.yaml when it is over; nothing was changed",
        "on-hold" => "end it with `gitsync resume` when it is over; nothing was changed",
        "halted" => {
            "see what `gitsync history` says of it; `gitsync apply` by hand goes on, `gitsync rollback` goes back"
        }
        "no-way-back" => "pass --allow-no-rollback to change it all the same",
        "too-many-removals" => "raise rollout.prune.max_removals in fleet.yaml if this is meant",
        "volatile-root" => {
            "set `root:` in the node's file to a directory on a disk; nothing was changed"
        }
        "empty-release" => "a fleet without units is never rolled out; remove services one by one",
        "no-nodes" => {
            "bring the files in nodes/ back, or go back to a commit that has them; what runs on nodes stays as \
             it is until a commit that still has them removes it, service by service"
        }
        "volumes-left-behind" => {
            "say `moves: empty` in the service to begin with empty volumes there, or `moves: synced` \
             when a sync carries the data; the old volumes stay where they are"
        }
        "older-than-last-good" => {
            "`gitsync rollback` goes back to an earlier good release, and so does a new commit by `git revert`; a copy \
             that is behind needs `git pull`; `gitsync apply --any-history` rolls this commit out all the same"
        }
        "history-rewritten" => {
            "bring the branch back to where the last good commit is in its past; `gitsync apply --any-history` rolls \
             this commit out all the same, and `history: any` in the controller's settings allows it always"
        }
        "unsigned" | "unknown-signer" | "bad-signature" => {
            "sign the commit (`git commit -S --amend`) with a key that the controller's settings allow \
             (`require_signatures`), or let somebody commit on top who may; nothing was changed"
        }
        "cuts-controller" => {
            "move the controller first, and name its new place in its settings (`controller:`); nothing was changed"
        }
        "gateway-without-upstream" => {
            "take the route away, or bring an instance of the service back; nothing was changed"
        }
        _ => "nothing was changed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_several_lines_begin_on_lines_of_their_own() {
        let told = |messages: &[&str]| {
            let told = messages.iter().map(|message| Warning {
                code: "unreachable".to_owned(),
                message: (*message).to_owned(),
                unit: None,
            });
            joined(&told.collect::<Vec<_>>())
        };
        assert_eq!(told(&["a is away", "b is away"]), "a is away; b is away");
        assert_eq!(told(&["a\n  key", "b is away"]), "a\n  key\nb is away");
    }
}
