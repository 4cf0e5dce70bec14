//! Words that the human and the Markdown view share.

use crate::model::{Action, FileChange, FileChangeKind, Gate, Plan, Step, duration_text};

use super::super::lines::plain;
use super::Filter;

/// How many units a plan creates, changes and removes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    create: usize,
    change: usize,
    remove: usize,
}

/// Counts units; a replace step creates or changes one and removes those it replaces.
pub fn count<'a>(steps: impl Iterator<Item = &'a Step>) -> Counts {
    let mut counts = Counts::default();
    for step in steps {
        counts.remove += step.replaces.len();
        match step.action {
            Action::Remove => counts.remove += 1,
            _ if step.from.is_none() => counts.create += 1,
            _ => counts.change += 1,
        }
    }
    counts
}

/// `Plan: 1 to create, 2 to change, 0 to remove; 41 unchanged.`
pub fn summary(plan: &Plan, filter: &Filter) -> String {
    let Counts { create, change, remove } =
        count(plan.steps().filter(|step| filter.shows_step(step)));
    let changes = format!("{create} to create, {change} to change, {remove} to remove");
    if filter.is_open() {
        return format!("Plan: {changes}; {} unchanged.", plan.unchanged);
    }
    let all = plan.steps().count();
    format!("Plan, filtered: {changes}; the whole plan has {all} steps.")
}

/// `homelab at 1a2b3c4d5e6f “Subject” (with changes that are not committed)`
pub fn title(plan: &Plan) -> String {
    let mut text = plan.fleet.to_string();
    if let Some(commit) = &plan.commit {
        let id = commit.id.get(..12).unwrap_or(&commit.id);
        text.push_str(&format!(" at {} “{}”", plain(id), plain(&commit.summary)));
    }
    if plan.dirty {
        text.push_str(" with changes that are not committed");
    }
    text
}

/// What a wave waits for.
pub fn gate(gate: &Gate) -> String {
    let seen: Vec<String> = gate.seen.iter().map(ToString::to_string).collect();
    let names = match seen.split_at_checked(3) {
        Some((first, rest)) if !rest.is_empty() => {
            format!("{} and {} more", first.join(", "), rest.len())
        }
        _ => seen.join(", "),
    };
    let after = duration_text(gate.after);
    let word = if seen.len() == 1 { "is" } else { "are" };
    format!("waits {after} after {names} {word} healthy, until gateways have seen it")
}

/// The symbol of a file's change.
pub fn file_symbol(kind: FileChangeKind) -> &'static str {
    match kind {
        FileChangeKind::Added => "+",
        FileChangeKind::Changed | FileChangeKind::Mode => "~",
        FileChangeKind::Removed => "-",
    }
}

/// What can be said about a file's change besides its diff; may be empty.
pub fn file_note(file: &FileChange) -> String {
    match (file.sensitive, file.kind, &file.diff) {
        (true, FileChangeKind::Changed, _) => "changed, not shown".to_owned(),
        (true, ..) => "not shown".to_owned(),
        (_, FileChangeKind::Mode, _) => "mode or owner".to_owned(),
        (_, FileChangeKind::Changed, Some(_)) => String::new(),
        (_, FileChangeKind::Added | FileChangeKind::Removed, Some(diff)) => {
            let lines = diff.lines().filter(|l| l.starts_with(['+', '-'])).count();
            if lines == 1 { "1 line".to_owned() } else { format!("{lines} lines") }
        }
        (_, FileChangeKind::Changed, None) => "no diff: not known or not text".to_owned(),
        (_, _, None) => String::new(),
    }
}
