//! Two truths side by side: each difference in a line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::disk::Entry;
use super::engine::{Container, Engine};
use super::{HostTruth, Truth};

/// How many lines a person reads.
const LINES: usize = 40;

/// No difference, or their text.
pub(super) fn told(mut lines: Vec<String>) -> Result<(), String> {
    if lines.is_empty() {
        return Ok(());
    }
    if lines.len() > LINES {
        let more = lines.len() - LINES + 1;
        lines.truncate(LINES - 1);
        lines.push(format!("and {more} more"));
    }
    Err(lines.join("\n"))
}

/// What differs, host by host. `touched` asks for identities too.
pub(super) fn differences(before: &Truth, after: &Truth, touched: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, before, after) in pairs(&before.hosts, &after.hosts) {
        let (Some(before), Some(after)) = (before, after) else {
            let when = if before.is_none() { "before" } else { "after" };
            lines.push(format!("{name}: not looked at {when}"));
            continue;
        };
        let host = host(before, after, touched);
        lines.extend(host.into_iter().map(|line| format!("{name}: {line}")));
    }
    lines
}

/// All keys of both, in order.
fn pairs<'a, T>(
    before: &'a BTreeMap<String, T>,
    after: &'a BTreeMap<String, T>,
) -> impl Iterator<Item = (&'a String, Option<&'a T>, Option<&'a T>)> {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    keys.into_iter().map(|key| (key, before.get(key), after.get(key)))
}

fn host(before: &HostTruth, after: &HostTruth, touched: bool) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(moved("power", before.power, after.power));
    for (path, before, after) in pairs(&before.entries, &after.entries) {
        let change = entry(before, after, touched);
        lines.extend(change.map(|change| format!("{path}: {change}")));
    }
    for (path, before, after) in pairs(&before.units, &after.units) {
        let say =
            |unit: Option<&super::Unit>| unit.map_or("nothing".to_owned(), ToString::to_string);
        lines.extend(moved(&format!("unit {path}:"), say(before), say(after)));
    }
    lines.extend(engine(&before.engine, &after.engine, touched));
    lines
}

/// A value that is another one now.
fn moved(what: &str, before: impl Display, after: impl Display) -> Option<String> {
    let (before, after) = (before.to_string(), after.to_string());
    (before != after).then(|| format!("{what} {before} → {after}"))
}

/// What became of a path. A copy of what the host was built with has the same content, but somebody made it.
fn entry(before: Option<&Entry>, after: Option<&Entry>, touched: bool) -> Option<String> {
    let either = before.or(after)?;
    let say = |entry: Option<&Entry>| match entry {
        None => either.untouched().to_owned(),
        Some(entry) if entry.is_as_built() => "as built".to_owned(),
        Some(entry) => entry.content(),
    };
    let (was, is) = (say(before), say(after));
    if was != is {
        return Some(format!("{was} → {is}"));
    }
    if !touched {
        return None;
    }
    match (before, after) {
        (Some(before), Some(after)) => identity(before, after),
        _ => either.identity.map(|_| format!("{was}, but was written to")),
    }
}

fn identity(before: &Entry, after: &Entry) -> Option<String> {
    let ((inode, written), (new_inode, new_written)) = before.identity.zip(after.identity)?;
    let lines = [moved("inode", inode, new_inode), moved("last written at", written, new_written)];
    let lines: Vec<String> = lines.into_iter().flatten().collect();
    (!lines.is_empty()).then(|| format!("same content, {}", lines.join(", ")))
}

fn engine(before: &Engine, after: &Engine, touched: bool) -> Vec<String> {
    let mut lines: Vec<String> = moved("engine", before, after).into_iter().collect();
    let [before, after] = [before, after].map(|engine| {
        engine
            .containers()
            .map(|(name, holds)| (name.clone(), holds.clone()))
            .collect::<BTreeMap<_, _>>()
    });
    for (name, before, after) in pairs(&before, &after) {
        let what = format!("container {name}:");
        let say = |one: Option<&Container>| one.map_or("absent".to_owned(), Container::content);
        let content = moved(&what, say(before), say(after));
        if let (None, Some(before), Some(after), true) = (&content, before, after, touched) {
            let moves = [
                moved("id", &before.id, &after.id),
                moved("restarts", &before.restarts, &after.restarts),
                moved("started", &before.started, &after.started),
            ];
            lines.extend(moves.into_iter().flatten().map(|change| format!("{what} {change}")));
        }
        lines.extend(content);
    }
    lines
}
