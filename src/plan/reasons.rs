//! Why a unit changes, in words: which of its inputs differ between the old version and the new.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    Action, BindAddress, Command, Content, FileChange, FileChangeKind, Health, Moment, PortClaim,
    Reason, Runtime, Unit, duration_text, is_sealed,
};

use super::changes::Change;
use super::place::protocol_word;

/// More files than this are counted rather than listed.
const LISTED: usize = 4;

/// Which inputs changed, the most telling first.
pub fn reasons(change: &Change, files: &[FileChange]) -> Vec<Reason> {
    let words = match (change.action, change.old, change.new) {
        (Action::Remove, _, _) => vec!["no longer wanted".to_owned()],
        (Action::Repair, _, _) => vec![leftover(change)],
        (_, Some(old), Some(new)) => differences(old, new, files),
        (_, None, Some(_)) if change.from.is_some() => {
            vec!["its old manifest can't be read: everything is written again".to_owned()]
        }
        (_, _, Some(new)) if new.adopt => {
            vec![format!("adopted for the first time on {}", change.unit.node)]
        }
        _ => vec![format!("new on {}", change.unit.node)],
    };
    words.into_iter().map(Reason).collect()
}

fn leftover(change: &Change) -> String {
    match change.leftover {
        Some(rollout) => format!("rollout {rollout} left it half changed"),
        None => "it is not as it was rolled out".to_owned(),
    }
}

fn differences(old: &Unit, new: &Unit, files: &[FileChange]) -> Vec<String> {
    let mut words = images(old, new);
    words.extend(file_words(new, files));
    words.extend(command_words(&old.commands, &new.commands));
    words.extend(health_words(&old.health, &new.health));
    words.extend(env_words(old, new));
    words.extend(port_words(old, new));
    words.extend(set_words("container name", &old.claims.names, &new.claims.names));
    words.extend(set_words("volume", &old.claims.volumes, &new.claims.volumes));
    words.extend(set_words("dependency", &old.depends_on, &new.depends_on));
    words.extend(setting_words(old, new));
    words.extend(about_words(old, new));
    if words.is_empty() {
        words.push("written by another version of gitsync".to_owned());
    }
    words
}

/// `image organizr/organizr:2.1.1 → 2.1.2`; with several services each is named.
fn images(old: &Unit, new: &Unit) -> Vec<String> {
    let (before, after) = (images_of(old), images_of(new));
    let several = before.len().max(after.len()) > 1;
    let mut words = Vec::new();
    for (service, image) in &after {
        let name = if several { format!("image of {service}") } else { "image".to_owned() };
        match before.get(service) {
            Some(old) if old != image => words.push(format!("{name} {}", arrow(old, image))),
            None if !before.is_empty() => words.push(format!("{name} {image} is new")),
            _ => {}
        }
    }
    for service in before.keys().filter(|service| !after.contains_key(*service)) {
        words.push(format!("{service} is gone"));
    }
    words
}

/// Images by service: what the unit says about itself, else its compose services.
fn images_of(unit: &Unit) -> BTreeMap<&str, &str> {
    let said = unit.about.iter().filter_map(|(key, image)| {
        let service = key.strip_prefix("image")?;
        Some((service.strip_prefix('.').unwrap_or(service), image.as_str()))
    });
    let said: BTreeMap<&str, &str> = said.collect();
    match &unit.runtime {
        Runtime::Compose { services, .. } if said.is_empty() => services
            .iter()
            .filter_map(|service| Some((service.name.as_str(), service.image.as_deref()?)))
            .collect(),
        _ => said,
    }
}

/// `repo:1 → 2` when only the tag differs, else both in full.
fn arrow(old: &str, new: &str) -> String {
    match (old.rsplit_once(':'), new.rsplit_once(':')) {
        (Some((repo, _)), Some((same, tag))) if repo == same && !tag.contains('/') => {
            format!("{old} → {tag}")
        }
        _ => format!("{old} → {new}"),
    }
}

fn file_words(unit: &Unit, files: &[FileChange]) -> Vec<String> {
    let kinds = [
        (FileChangeKind::Changed, "changed"),
        (FileChangeKind::Added, "added"),
        (FileChangeKind::Removed, "removed"),
        (FileChangeKind::Mode, "has another mode or owner"),
    ];
    let below = format!("{}/", unit.directory.as_str().trim_end_matches('/'));
    let mut words = Vec::new();
    for (kind, word) in kinds {
        let names = files
            .iter()
            .filter(|file| file.kind == kind)
            .map(|file| file.destination.strip_prefix(&below).unwrap_or(&file.destination));
        let names: Vec<&str> = names.collect();
        match names.split_at_checked(LISTED) {
            Some((first, rest)) if !rest.is_empty() => {
                words.push(format!("{} and {} more files: {word}", first.join(", "), rest.len()));
            }
            _ => words.extend(names.iter().map(|name| format!("{name} {word}"))),
        }
    }
    words
}

fn command_words(old: &[Command], new: &[Command]) -> Vec<String> {
    let by_moment = |commands: &[Command]| -> BTreeMap<Moment, String> {
        commands.iter().map(|command| (command.moment, command.content.blob())).collect()
    };
    let (old, new) = (by_moment(old), by_moment(new));
    let moments: BTreeSet<Moment> = old.keys().chain(new.keys()).copied().collect();
    let differ = moments.into_iter().filter_map(|moment| {
        let word = match (old.get(&moment), new.get(&moment)) {
            (Some(a), Some(b)) if a == b => return None,
            (Some(_), Some(_)) => "changed",
            (None, _) => "added",
            (_, None) => "removed",
        };
        Some(format!("{} command {word}", moment.word()))
    });
    differ.collect()
}

fn health_words(old: &Health, new: &Health) -> Vec<String> {
    let mut words = Vec::new();
    if old.checks != new.checks || old.from != new.from {
        words.push("health check changed".to_owned());
    }
    let times = |health: &Health| {
        let retries = health.retries;
        (health.interval, health.timeout, retries, health.start_period, health.stable_for)
    };
    if times(old) != times(new) {
        words.push("health timing changed".to_owned());
    }
    words
}

fn env_words(old: &Unit, new: &Unit) -> Vec<String> {
    let keys: BTreeSet<&String> = old.node_env.keys().chain(new.node_env.keys()).collect();
    let mut words: Vec<String> = keys
        .into_iter()
        .filter_map(|key| {
            let (old, new) = (old.node_env.get(key), new.node_env.get(key));
            match (old, new) {
                (Some(old), Some(new)) if old != new => {
                    Some(format!("env {key} reads {new} instead of {old}"))
                }
                (None, Some(new)) => Some(format!("env {key} reads {new}")),
                (Some(old), None) => Some(format!("env {key} no longer reads {old}")),
                _ => None,
            }
        })
        .collect();
    words.extend(secret_words(old, new));
    words
}

/// Which values changed that no file shows; never what they are.
fn secret_words(old: &Unit, new: &Unit) -> Vec<String> {
    let keys: BTreeSet<&String> = old.sealed_env.keys().chain(new.sealed_env.keys()).collect();
    let differ = keys.into_iter().filter_map(|key| {
        let blob = |unit: &Unit| unit.sealed_env.get(key).map(Content::blob);
        match (blob(old), blob(new)) {
            (Some(old), Some(new)) if is_sealed(&old) && is_sealed(&new) && old != new => {
                Some(format!("env {key}: its secret changed"))
            }
            (Some(old), Some(new)) if old != new => Some(format!("env {key} changed")),
            (None, Some(new)) if is_sealed(&new) => Some(format!("env {key} is a secret")),
            (None, Some(_)) => Some(format!("env {key} is new")),
            (Some(_), None) => Some(format!("env {key} is gone")),
            _ => None,
        }
    });
    differ.collect()
}

fn port_words(old: &Unit, new: &Unit) -> Vec<String> {
    let old: BTreeSet<String> = old.claims.ports.iter().map(port_word).collect();
    let new: BTreeSet<String> = new.claims.ports.iter().map(port_word).collect();
    let gone: Vec<&String> = old.difference(&new).collect();
    let come: Vec<&String> = new.difference(&old).collect();
    match (gone.as_slice(), come.as_slice()) {
        ([gone], [come]) => vec![format!("port {gone} → {come}")],
        _ => set_words("port", &old, &new),
    }
}

fn port_word(claim: &PortClaim) -> String {
    let port = format!("{}/{}", claim.port, protocol_word(claim.protocol));
    match claim.bind {
        BindAddress::Any => port,
        BindAddress::One(address) => format!("{port} on {address}"),
    }
}

fn set_words<T: Ord + std::fmt::Display>(
    what: &str,
    old: &BTreeSet<T>,
    new: &BTreeSet<T>,
) -> Vec<String> {
    let gone = old.difference(new).map(|item| format!("{what} {item} removed"));
    let come = new.difference(old).map(|item| format!("{what} {item} added"));
    gone.chain(come).collect()
}

fn setting_words(old: &Unit, new: &Unit) -> Vec<String> {
    let mut words = Vec::new();
    if old.directory != new.directory {
        words.push(format!("directory {} → {}", old.directory, new.directory));
    }
    let (a, b) = (old.runtime.word(), new.runtime.word());
    if a != b {
        words.push(format!("run as {a} → {b}"));
    }
    if let (Runtime::Compose { project: a, .. }, Runtime::Compose { project: b, .. }) =
        (&old.runtime, &new.runtime)
        && a != b
    {
        words.push(format!("compose project {a} → {b}"));
    }
    if old.membership != new.membership {
        words.push("place in its group changed".to_owned());
    }
    if old.witness != new.witness {
        let (a, b) = (duration_text(old.witness), duration_text(new.witness));
        words.push(format!("gateways see it again after {b} (before: {a})"));
    }
    if old.rollback != new.rollback {
        words.push("rollback changed".to_owned());
    }
    if old.validation != new.validation {
        words.push("validation changed".to_owned());
    }
    words
}

/// Other things that a unit says about itself: `hosts a.example.net → b.example.net`.
fn about_words(old: &Unit, new: &Unit) -> Vec<String> {
    let keys: BTreeSet<&String> = old.about.keys().chain(new.about.keys()).collect();
    // Images and times are told by what they are made into.
    let plain = |key: &&String| !key.starts_with("image") && key.as_str() != "start_period";
    let differ = keys.into_iter().filter(plain).filter_map(|key| {
        let name = key.replace('_', " ");
        match (old.about.get(key), new.about.get(key)) {
            (Some(old), Some(new)) if old != new => Some(format!("{name} {old} → {new}")),
            (None, Some(new)) => Some(format!("{name} {new}")),
            (Some(old), None) => Some(format!("{name} no longer {old}")),
            _ => None,
        }
    });
    differ.collect()
}
