//! What people will notice: what restarts where, for how long, and who serves meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{
    AbsPath, Action, Content, FileChange, Moment, Notice, Runtime, Unit, UnitId, UnitKind,
    parse_duration,
};

use super::changes::Change;
use super::serving::Serving;

/// How long a program may take to stop when nobody says otherwise; only an upper bound.
const DEFAULT_STOP: Duration = Duration::from_secs(10);

/// What people will notice of a change.
pub fn notices(
    change: &Change,
    replaced: &[&Change],
    files: &[FileChange],
    serving: &Serving,
) -> Vec<Notice> {
    let mut words = Vec::new();
    for gone in replaced {
        words.push(removal(gone, serving));
    }
    match (change.action, change.old, change.new) {
        (Action::Remove, _, _) => words.push(removal(change, serving)),
        (Action::Repair, _, Some(new)) => words.extend(restart(new, new, serving)),
        (_, Some(old), Some(new)) => words.extend(update(old, new, files, serving)),
        (_, None, Some(new)) if change.from.is_some() => words.extend(restart(new, new, serving)),
        (_, _, Some(new)) => words.push(arrival(new)),
        _ => {}
    }
    words.into_iter().map(Notice).collect()
}

/// What people call a unit: the service's, gateway's or bundle's name, with its environment.
pub fn called(id: &UnitId) -> String {
    let name = id.name.as_ref().map_or("file sync", |name| name.as_str());
    match &id.environment {
        Some(environment) => format!("{name}@{environment}"),
        None => name.to_owned(),
    }
}

fn hosts(unit: &Unit) -> Vec<&str> {
    let text = unit.about.get("hosts").map_or("", String::as_str);
    text.split([',', ' ']).filter(|host| !host.is_empty()).collect()
}

fn arrival(unit: &Unit) -> String {
    let (name, node) = (called(&unit.id), &unit.id.node);
    if unit.runtime == Runtime::Files {
        return match activation(unit) {
            Some(command) => format!("{name}: files arrive on {node}, then `{command}` runs"),
            None => format!("{name}: files arrive on {node}; nothing restarts"),
        };
    }
    match hosts(unit).as_slice() {
        [] => format!("{name} starts on {node}"),
        hosts => format!("{name} starts on {node} ({})", hosts.join(", ")),
    }
}

fn removal(change: &Change, serving: &Serving) -> String {
    let (name, node) = (called(change.unit), &change.unit.node);
    let Some(old) = change.old else { return format!("{name} stops on {node}") };
    if old.runtime == Runtime::Files {
        return format!("{name}: its files are removed from {node}");
    }
    let mut text = format!("{name} stops on {node}");
    if !old.claims.volumes.is_empty() || matches!(old.runtime, Runtime::Compose { .. }) {
        text.push_str("; its volumes stay");
    }
    match serving.besides(old).as_slice() {
        [] => {}
        others => text.push_str(&format!("; {} {} on", nodes(others), go(others))),
    }
    text
}

fn update(old: &Unit, new: &Unit, files: &[FileChange], serving: &Serving) -> Vec<String> {
    let (name, node) = (called(&new.id), &new.id.node);
    if !is_felt(old, new, files) {
        return vec![format!("{name}: nothing restarts on {node}")];
    }
    if new.runtime == Runtime::Files {
        return vec![match activation(new) {
            Some(command) => format!("{name}: files change on {node}, then `{command}` runs"),
            None => format!("{name}: files change on {node}; nothing restarts"),
        }];
    }
    if reloads(old, new, files) {
        let mut words = vec![format!("{name} reloads on {node}, no restart")];
        if new.id.kind == UnitKind::Gateway && !files.is_empty() {
            words.push(format!("WebSockets through {node} drop once"));
        }
        return words;
    }
    restart(old, new, serving)
}

/// Whether anything that runs could tell the two versions apart.
fn is_felt(old: &Unit, new: &Unit, files: &[FileChange]) -> bool {
    let moments = [Moment::Activate, Moment::Start, Moment::Stop, Moment::Reload];
    let command = |unit: &Unit, moment| unit.command(moment).map(|command| command.content.blob());
    let commands = moments.iter().any(|moment| command(old, *moment) != command(new, *moment));
    !files.is_empty()
        || commands
        || old.runtime != new.runtime
        || env(old) != env(new)
        || old.directory != new.directory
}

/// Whether the new version is loaded without a restart.
fn reloads(old: &Unit, new: &Unit, files: &[FileChange]) -> bool {
    let same = |moment| {
        let blob = |unit: &Unit| unit.command(moment).map(|command| command.content.blob());
        blob(old) == blob(new)
    };
    let says = |unit: &Unit| unit.about.get("reload").is_some_and(|text| text != "no");
    let process = new.runtime == Runtime::Process && new.command(Moment::Reload).is_some();
    let steady = old.runtime == new.runtime && env(old) == env(new);
    let plain = !files.iter().any(|file| is_compose_file(new, file));
    !files.is_empty() && plain && steady && same(Moment::Start) && (process || says(new))
}

/// What a unit's environment holds that none of its files says, by what identifies it.
fn env(unit: &Unit) -> (&BTreeMap<String, AbsPath>, BTreeMap<&String, String>) {
    let sealed = unit.sealed_env.iter().map(|(key, content)| (key, content.blob()));
    (&unit.node_env, sealed.collect())
}

/// Whether a changed file says how containers are made: they are made anew.
fn is_compose_file(unit: &Unit, file: &FileChange) -> bool {
    let Runtime::Compose { files, .. } = &unit.runtime else { return false };
    files
        .iter()
        .any(|name| unit.directory.join(name).is_ok_and(|path| path.as_str() == file.destination))
}

/// The command that makes a bundle's files felt, when it is known and short enough to show.
fn activation(unit: &Unit) -> Option<String> {
    let Content::Bytes(bytes) = &unit.command(Moment::Activate)?.content else {
        return Some("its activation command".to_owned());
    };
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim();
    let short = !text.contains('\n') && text.chars().count() <= 60;
    Some(if short { text.to_owned() } else { "its activation command".to_owned() })
}

fn restart(old: &Unit, new: &Unit, serving: &Serving) -> Vec<String> {
    let (name, node) = (called(&new.id), &new.id.node);
    let gap = gap(old, new);
    match (new.id.kind, new.runtime == Runtime::Files) {
        (_, true) => return vec![format!("{name}: files are written again on {node}")],
        (UnitKind::Sync, _) => {
            return vec![format!("{name} restarts on {node}: changes made meanwhile wait")];
        }
        (UnitKind::Gateway, _) => {
            let others = serving.besides(new);
            let meanwhile = match others.as_slice() {
                [] => String::new(),
                others => format!("; {} {} on", nodes(others), go(others)),
            };
            return vec![format!(
                "{name} restarts on {node}: connections through {node} break, {gap}{meanwhile}"
            )];
        }
        _ => {}
    }
    let others = serving.besides(new);
    let routed = !new.witness.is_zero() || !hosts(new).is_empty();
    match others.as_slice() {
        [] => vec![format!("{name} restarts on {node}, {gap}: {}", why_alone(new))],
        others if routed => vec![
            format!("{name}: no downtime, {} {} meanwhile", nodes(others), serve(others)),
            format!("WebSockets and long downloads on {node} drop once"),
        ],
        others => {
            vec![format!("{name} restarts on {node}, {gap}; {} {} on", nodes(others), go(others))]
        }
    }
}

fn why_alone(unit: &Unit) -> &'static str {
    if unit.membership.is_some() {
        "no other instance is well now"
    } else {
        "it has no second instance"
    }
}

/// `about 10 s down`; only an upper bound where nobody said how long stopping takes.
fn gap(old: &Unit, new: &Unit) -> String {
    let said = |unit: &Unit, key: &str| parse_duration(unit.about.get(key)?).ok();
    let stop = said(old, "stop_grace");
    let start = said(new, "start_period").unwrap_or(new.health.start_period);
    let total = stop.unwrap_or(DEFAULT_STOP).saturating_add(start);
    let seconds = total.as_millis().div_ceil(1000);
    match stop {
        Some(_) => format!("about {seconds} s down"),
        None => format!("up to about {seconds} s down"),
    }
}

fn nodes(units: &[&UnitId]) -> String {
    let names: Vec<&str> = units.iter().map(|id| id.node.as_str()).collect();
    match names.as_slice() {
        [.., _] if names.len() > 4 => format!("{} other nodes", names.len()),
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        names => names.join(""),
    }
}

fn serve(units: &[&UnitId]) -> &'static str {
    if units.len() == 1 { "serves" } else { "serve" }
}

fn go(units: &[&UnitId]) -> &'static str {
    if units.len() == 1 { "goes" } else { "go" }
}
