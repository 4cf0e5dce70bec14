//! What a person is told to do about what a rollout could not bring to its end: sentences with the command.

use crate::model::{Failure, FailureKind, Name, UnitId};

/// How often something was tried, and the last error.
pub(super) fn tried(times: u32, failure: &Failure) -> String {
    match times {
        0 | 1 => failure.message.clone(),
        times => format!("tried {times} times, at last: {}", failure.message),
    }
}

/// A required node was lost with something of this rollout on it.
pub(super) fn of_lost(node: &Name, unit: Option<&UnitId>) -> String {
    let by_hand = unit.map(by_hand).unwrap_or_default();
    format!(
        "when {node} is back, the next rollout puts it right: `gitsync apply`; if it is gone for good, take its file \
         out of nodes/{by_hand}"
    )
}

/// A unit could not be put back, or its old version is not good.
pub(super) fn of_stuck(unit: &UnitId) -> String {
    format!("see what keeps it down, then `gitsync apply`{}", by_hand(unit))
}

/// A unit is left on its new version.
pub(super) fn of_kept(unit: &UnitId, quarantined: bool) -> String {
    let on = if quarantined { "`gitsync retry`, then `gitsync apply`" } else { "`gitsync apply`" };
    format!(
        "to go on, commit what mends it or {on}; to go back{}",
        by_hand(unit).replace("; by hand", "")
    )
}

/// A node did not take the decision.
pub(super) fn of_decision(node: &Name, kind: FailureKind) -> String {
    match kind {
        FailureKind::Transport => of_lost(node, None),
        FailureKind::Busy | FailureKind::Refused => {
            format!("see who changes {node} with `gitsync status`, then `gitsync apply`")
        }
        _ => format!("see what keeps {node} from it, then `gitsync apply`"),
    }
}

/// A node took its changes back after the decision, and they could not be made again.
pub(super) fn of_undone(node: &Name, kind: FailureKind) -> String {
    match kind {
        FailureKind::Content => {
            format!("commit what mends it, or `gitsync apply` once {node} can run it")
        }
        kind => of_decision(node, kind),
    }
}

/// The way that needs no controller. `<root>` is the node's directory, as its file says.
fn by_hand(unit: &UnitId) -> String {
    format!(
        "; by hand on {}: `sh <root>/bin/gitsync-node-*.sh restore {}`",
        unit.node,
        unit.local()
    )
}
