//! A saved plan against the plan that would be made now: every difference, in words.
//!
//! Whatever a plan holds counts, so keys that are added to it later count too: those without words of their own are
//! named by their path. Only why a node takes no part doesn't: a sleeping node is told in other words each time.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::model::{Digest, Name, Plan, Release, Step, UnitId, Warning, Wave, duration_text};

use super::saved::Saved;

/// Longer values are cut in words.
const LONGEST: usize = 80;
/// A key that isn't there.
static NONE: Value = Value::Null;

/// Everything in which a saved plan differs from the one that would be made now; nothing when they are the same.
pub fn differences(saved: &Saved, now: &Saved) -> Vec<String> {
    let (then, today) = (settled(saved), settled(now));
    let mut words = identities(&saved.node_ids, &now.node_ids);
    let (written, made) = (value(&then), value(&today));
    let keys = |value: &Value| value.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>());
    let known = keys(&made).unwrap_or_default();
    let more = keys(&written).unwrap_or_default();
    let more = more.into_iter().filter(|key| !known.contains(key)).collect::<Vec<_>>();
    for key in known.into_iter().chain(more) {
        if written.get(&key) != made.get(&key) {
            words.extend(told(&key, &then, &today, &written, &made));
        }
    }
    if words.is_empty() && (then != today || saved.node_ids != now.node_ids) {
        words.push("the plans differ".to_owned());
    }
    let mut seen = BTreeSet::new();
    words.retain(|word| seen.insert(word.clone()));
    words
}

/// In what a saved plan differs from what the repository says, before any node is asked.
pub fn unlike(saved: &Saved, fleet: &Name, release: &Release) -> Vec<String> {
    let mut words = fleets(&saved.plan.fleet, fleet);
    let wanted = release.units.iter().map(|(id, unit)| (id.clone(), unit.digest())).collect();
    words.extend(renderings(&saved.plan.wanted, &wanted));
    let digest = release.digest();
    if words.is_empty() && saved.plan.release != digest {
        words.push(releases(&saved.plan.release, &digest));
    }
    words
}

/// In what commit a saved plan differs from the one that would be applied.
pub fn other_commit(saved: &Saved, head: Option<&str>) -> Option<String> {
    let planned = saved.plan.commit.as_ref().map(|commit| commit.id.as_str());
    let name = |commit: Option<&str>| match commit {
        Some(id) => format!("commit {}", id.get(..12).unwrap_or(id)),
        None => "no commit".to_owned(),
    };
    let differs = planned != head;
    differs.then(|| format!("HEAD is {}; the plan is of {}", name(head), name(planned)))
}

/// The plan without what tells nothing about what is done.
fn settled(saved: &Saved) -> Plan {
    let mut plan = saved.plan.clone();
    plan.skipped.iter_mut().for_each(|skipped| skipped.reason.clear());
    plan
}

/// The differences under one key of the plan.
fn told(key: &str, then: &Plan, now: &Plan, written: &Value, made: &Value) -> Vec<String> {
    let words = match key {
        "fleet" => fleets(&then.fleet, &now.fleet),
        "release" => vec![releases(&then.release, &now.release)],
        "wanted" => renderings(&then.wanted, &now.wanted),
        "observed" => observations(&then.observed, &now.observed),
        "nodes" => attendance(&then.nodes, &now.nodes),
        "waves" => waves(&then.waves, &now.waves),
        "warnings" => warnings("warning", &then.warnings, &now.warnings),
        "refusals" => warnings("refusal", &then.refusals, &now.refusals),
        _ => Vec::new(),
    };
    if !words.is_empty() {
        return words;
    }
    let mut words = Vec::new();
    let (a, b) = (written.get(key).unwrap_or(&NONE), made.get(key).unwrap_or(&NONE));
    walk(key, a, b, &mut words);
    words
}

fn fleets(then: &Name, now: &Name) -> Vec<String> {
    let differs = then != now;
    differs
        .then(|| format!("this is the fleet {now}; the plan is for {then}"))
        .into_iter()
        .collect()
}

fn releases(then: &Digest, now: &Digest) -> String {
    format!("the release is {} now; in the plan {}", now.short(), then.short())
}

fn identities(then: &BTreeMap<Name, String>, now: &BTreeMap<Name, String>) -> Vec<String> {
    let words = both(then, now).into_iter().filter(|(_, a, b)| a != b);
    let words = words.map(|(node, then, now)| match (then, now) {
        (Some(then), Some(now)) => format!(
            "{node} is another machine: its node-id is {} now; in the plan {}",
            clip(now, 0),
            clip(then, 0)
        ),
        (None, _) => joined(node),
        (_, None) => left(node),
    });
    words.collect()
}

fn attendance(then: &[Name], now: &[Name]) -> Vec<String> {
    let come = now.iter().filter(|node| !then.contains(node)).map(joined);
    let gone = then.iter().filter(|node| !now.contains(node)).map(left);
    come.chain(gone).collect()
}

fn joined(node: &Name) -> String {
    format!("{node} takes part now; in the plan it doesn't")
}

fn left(node: &Name) -> String {
    format!("{node} takes no part now; in the plan it does")
}

fn renderings(then: &BTreeMap<UnitId, Digest>, now: &BTreeMap<UnitId, Digest>) -> Vec<String> {
    let words = both(then, now).into_iter().filter(|(_, a, b)| a != b);
    let words = words.map(|(unit, then, now)| match (then, now) {
        (Some(then), Some(now)) => {
            format!("{unit} is rendered as {} now; in the plan as {}", now.short(), then.short())
        }
        (None, _) => format!("{unit} is wanted now; in the plan it isn't"),
        (_, None) => format!("{unit} is not wanted now; in the plan it is"),
    });
    words.collect()
}

fn observations(then: &BTreeMap<UnitId, Digest>, now: &BTreeMap<UnitId, Digest>) -> Vec<String> {
    let name = |digest: Option<&Digest>| digest.map_or("nothing", Digest::short).to_owned();
    let words = both(then, now).into_iter().filter(|(_, a, b)| a != b);
    let words = words.map(|(unit, then, now)| {
        format!("{unit} runs {} now; the plan is from {}", name(now), name(then))
    });
    words.collect()
}

fn warnings(kind: &str, then: &[Warning], now: &[Warning]) -> Vec<String> {
    let come = now.iter().filter(|one| !then.contains(one));
    let come = come.map(|one| format!("a {kind} more now: {} [{}]", one.message, one.code));
    let gone = then.iter().filter(|one| !now.contains(one));
    let gone =
        gone.map(|one| format!("a {kind} of the plan is gone: {} [{}]", one.message, one.code));
    come.chain(gone).collect()
}

/// Steps by unit, with the number of their wave.
fn steps(waves: &[Wave]) -> BTreeMap<&UnitId, (usize, &Step)> {
    let numbered = waves.iter().enumerate();
    numbered.flat_map(|(n, wave)| wave.steps.iter().map(move |s| (&s.unit, (n + 1, s)))).collect()
}

fn waves(then: &[Wave], now: &[Wave]) -> Vec<String> {
    let mut words = Vec::new();
    for (unit, then, now) in both(&steps(then), &steps(now)) {
        match (then, now) {
            (Some((before, then)), Some((after, now))) => {
                if before != after {
                    let now = format!("{unit} changes in wave {after} now");
                    words.push(format!("{now}; in the plan in wave {before}"));
                }
                step(then, now, &mut words);
            }
            (None, Some((wave, now))) => words
                .push(format!("a step more now: {} {unit} in wave {wave}", now.action.symbol())),
            (Some((wave, then)), None) => words.push(format!(
                "a step of the plan is gone: {} {unit} in wave {wave}",
                then.action.symbol()
            )),
            (None, None) => {}
        }
    }
    for (number, (then, now)) in then.iter().zip(now).enumerate() {
        words.extend(wave(number + 1, then, now));
    }
    if then.len() != now.len() {
        words.push(format!("there are {} waves now; in the plan {}", now.len(), then.len()));
    }
    words
}

/// What differs about a wave besides its steps themselves.
fn wave(number: usize, then: &Wave, now: &Wave) -> Vec<String> {
    let units = |wave: &Wave| wave.steps.iter().map(|s| s.unit.clone()).collect::<Vec<_>>();
    let (mut old, mut new) = (units(then), units(now));
    let mut words = Vec::new();
    if old != new {
        old.sort_unstable();
        new.sort_unstable();
        if old == new {
            words.push(format!("wave {number} has its steps in another order now"));
        } else if old.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            words.push(format!("wave {number} of the plan has a step twice"));
        }
    }
    if then.gate != now.gate {
        let wait = |wave: &Wave| match &wave.gate {
            None => "for nothing".to_owned(),
            Some(gate) => {
                let seen: Vec<String> = gate.seen.iter().map(ToString::to_string).collect();
                format!("{} for {}", duration_text(gate.after), seen.join(", "))
            }
        };
        let (then, now) = (wait(then), wait(now));
        words.push(format!("wave {number} waits {now} now; in the plan {then}"));
    }
    words
}

/// What differs about the step of one unit.
fn step(then: &Step, now: &Step, words: &mut Vec<String>) {
    let (a, b) = (value(then), value(now));
    walk(&now.unit.to_string(), &a, &b, words);
}

/// Names every place where two values differ.
fn walk(path: &str, then: &Value, now: &Value, words: &mut Vec<String>) {
    match (then, now) {
        _ if then == now => {}
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let (a, b) = (a.get(key).unwrap_or(&NONE), b.get(key).unwrap_or(&NONE));
                walk(&format!("{path}: {}", key.replace('_', " ")), a, b, words);
            }
        }
        (Value::Array(a), Value::Array(b)) => lists(path, a, b, words),
        _ => words.push(scalar(path, then, now)),
    }
}

/// Items that say what they are about are told one by one, others as they come and go.
fn lists(path: &str, then: &[Value], now: &[Value], words: &mut Vec<String>) {
    let before = words.len();
    match (labelled(then), labelled(now)) {
        (Some(a), Some(b)) if a.len() == then.len() && b.len() == now.len() => {
            for (label, then, now) in both(&a, &b) {
                match (then, now) {
                    (Some(then), Some(now)) => walk(&format!("{path}: {label}"), then, now, words),
                    (None, _) => words.push(format!("{path}: {label} is new now")),
                    (_, None) => words.push(format!("{path}: {label} of the plan is gone")),
                }
            }
        }
        _ => {
            let come: Vec<&Value> = now.iter().filter(|item| !then.contains(item)).collect();
            let gone: Vec<&Value> = then.iter().filter(|item| !now.contains(item)).collect();
            if let ([then], [now]) = (gone.as_slice(), come.as_slice()) {
                return words.push(scalar(path, then, now));
            }
            words.extend(come.iter().map(|item| format!("{path}: {} is new now", short(item, 0))));
            let gone =
                gone.iter().map(|item| format!("{path}: {} of the plan is gone", short(item, 0)));
            words.extend(gone);
        }
    }
    if words.len() == before {
        words.push(format!("{path} are in another order now, or not as many"));
    }
}

/// Items by what they are about, when all of them say it.
fn labelled(items: &[Value]) -> Option<BTreeMap<&str, &Value>> {
    let about =
        |item: &Value| ["destination", "unit", "node"].iter().find(|key| item[**key].is_string());
    let label = |item| item[*about(item)?].as_str();
    items.iter().map(|item| Some((label(item)?, item))).collect()
}

fn scalar(path: &str, then: &Value, now: &Value) -> String {
    let from = match (then, now) {
        (Value::String(a), Value::String(b)) => {
            a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count()
        }
        _ => 0,
    };
    format!("{path} is {} now; in the plan {}", short(now, from), short(then, from))
}

/// A value in one short line, of a long text the part around where it differs.
fn short(value: &Value, differs: usize) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => clip(text, differs),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        other => clip(&other.to_string(), 0),
    }
}

/// Text in quotes and on one line, from shortly before where it differs.
fn clip(text: &str, differs: usize) -> String {
    let skipped = if differs < LONGEST { 0 } else { differs - LONGEST / 4 };
    let shown: String = text.chars().skip(skipped).take(LONGEST).collect();
    let head = if skipped > 0 { "…" } else { "" };
    let tail = if text.chars().count() > skipped + LONGEST { "…" } else { "" };
    format!("“{head}{}{tail}”", shown.escape_debug())
}

/// Every key of two maps, with what each has.
fn both<'a, K: Ord + Clone, V>(
    then: &'a BTreeMap<K, V>,
    now: &'a BTreeMap<K, V>,
) -> Vec<(&'a K, Option<&'a V>, Option<&'a V>)> {
    let keys: BTreeSet<&K> = then.keys().chain(now.keys()).collect();
    keys.into_iter().map(|key| (key, then.get(key), now.get(key))).collect()
}

/// A noun as plain values; nouns of plans can always be written so.
fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}
