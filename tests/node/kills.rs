//! The script is killed before each of its commands; the next contact leaves everything old or everything new.

use std::collections::BTreeMap;
use std::time::Duration;

use gitsync::model::{Moment, Unit};
use gitsync::transport::{Channel, LocalChannel, Scripted, Transport, TransportError};

use crate::found::{hosted, service, theirs};
use crate::lab::{Lab, Shell, block_on, command, everything};

/// Builtins that only look or set variables: being killed before one is being killed before the next command.
const HARMLESS: [&str; 14] = [
    "[",
    "test",
    "return",
    "shift",
    "set",
    "local",
    "read",
    "is_word",
    "is_number",
    "break",
    "continue",
    "has",
    "is_digest",
    ":",
];

type Tree = BTreeMap<String, String>;

/// A node with an old version, and a rollout to a new one prepared.
struct Stage {
    lab: Lab,
    old: Unit,
    new: Unit,
    before: Tree,
    after: Tree,
}

/// Every command writes what it sees, so that a wrong order or a half state shows in the tree.
fn version(lab: &Lab, word: &str, files: &[(&str, &str)]) -> Unit {
    let mut unit = lab.unit("gateway.edge", files);
    let seen = lab.host("seen");
    let text = format!("cat conf.d/* >'{seen}.new' && mv '{seen}.new' '{seen}' # {word}");
    unit.commands =
        vec![command(Moment::Activate, &text), command(Moment::Remove, &format!("rm -f '{seen}'"))];
    unit
}

async fn stage(shell: Shell) -> Stage {
    let lab = Lab::new(shell);
    let old = [("app/conf.d/a", "a old\n"), ("app/conf.d/b", "b old\n"), ("app/same", "same")];
    let new = [("app/conf.d/a", "a new\n"), ("app/conf.d/c", "c new\n"), ("app/same", "same")];
    let (old, new) = (version(&lab, "old", &old), version(&lab, "new", &new));
    lab.roll(1, &old, None).await;
    let before = lab.tree();
    lab.prepare(2, &[(&new, Some(&old))]).await.unwrap();
    lab.change(2, &new, Some(&old)).await.unwrap();
    let after = lab.tree();
    lab.put_back(2, &new, Some(&old)).await.unwrap();
    assert_eq!(lab.tree(), before);
    lab.count_commands(shell);
    Stage { lab, old, new, before, after }
}

/// Runs a verb that is killed before its `at`th command; true when it came to its end instead.
pub async fn killed(channel: &LocalChannel, verb: &str, request: &[u8]) -> bool {
    let answer = channel.run(verb, request.to_vec(), Duration::from_secs(60)).await.unwrap();
    answer.stdout.ends_with(b"end ok\n")
}

fn step() -> usize {
    if everything() { 1 } else { 41 }
}

/// The numbers of the commands before which a kill can make a difference, found by a run to the end.
async fn moments(lab: &Lab, shell: Shell, verb: &str, request: &[u8]) -> Vec<usize> {
    let channel = lab.killed_at(0);
    let answer = channel.run(verb, request.to_vec(), Duration::from_secs(60)).await.unwrap();
    let trace = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(answer.stdout.ends_with(b"end ok\n"), "{trace}");
    let moments = commands_in(&trace);
    assert!(moments.len() > 50, "only {} commands: {trace}", moments.len());
    some_of(moments, shell)
}

/// The numbers of the commands in a trace before which a kill can make a difference.
pub fn commands_in(trace: &str) -> Vec<usize> {
    let mut moments = Vec::new();
    for line in trace.lines() {
        let Some((number, rest)) = line.trim_start().split_once(' ') else { continue };
        let Ok(number) = number.parse::<usize>() else { continue };
        let word = rest.split(' ').next().unwrap_or_default();
        let assignment = word.contains('=') && !word.contains('/');
        if !assignment && !HARMLESS.contains(&word) {
            moments.push(number);
        }
    }
    moments.dedup();
    moments
}

/// All of them when `GITSYNC_EVERY_KILL` is set (minutes); else about ten, other ones for each shell.
fn some_of(moments: Vec<usize>, shell: Shell) -> Vec<usize> {
    if everything() {
        return moments;
    }
    let stride = moments.len() / 10 + 1;
    let first = if shell == Shell::Dash { 0 } else { stride / 2 };
    moments.into_iter().skip(first).step_by(stride).collect()
}

/// Runs a test body for both shells at once, each on a node of its own.
fn in_both_shells(body: impl AsyncFn(Shell) + Sync) {
    std::thread::scope(|scope| {
        for shell in [Shell::Dash, Shell::Busybox] {
            let body = &body;
            scope.spawn(move || block_on(body(shell)));
        }
    });
}

fn request_bytes(lab: &Lab, to: &Unit, from: Option<&Unit>) -> Vec<u8> {
    let digest = |unit: Option<&Unit>| unit.map_or("-".to_owned(), |unit| unit.digest().0);
    format!(
        "fleet {}\nfence 2\nnonce nonce-2\nlimit 30\nunit {} {} {}\n\n",
        lab.fleet,
        to.id.local(),
        digest(Some(to)),
        digest(from)
    )
    .into_bytes()
}

#[test]
fn a_change_killed_anywhere_is_finished_by_the_same_verb() {
    in_both_shells(async |shell| {
        let Stage { lab, old, new, before, after } = stage(shell).await;
        let request = request_bytes(&lab, &new, Some(&old));
        let moments = moments(&lab, shell, "change", &request).await;
        lab.put_back(2, &new, Some(&old)).await.unwrap();
        for at in moments {
            killed(&lab.killed_at(at), "change", &request).await;
            lab.change(2, &new, Some(&old)).await.unwrap();
            assert_eq!(lab.tree(), after, "{shell:?}, killed before command {at}");
            lab.put_back(2, &new, Some(&old)).await.unwrap();
            assert_eq!(lab.tree(), before, "{shell:?}, killed before command {at}");
        }
    });
}

#[test]
fn a_change_killed_anywhere_is_undone_by_a_put_back() {
    in_both_shells(async |shell| {
        let Stage { lab, old, new, before, .. } = stage(shell).await;
        let request = request_bytes(&lab, &new, Some(&old));
        let moments = moments(&lab, shell, "change", &request).await;
        lab.put_back(2, &new, Some(&old)).await.unwrap();
        for at in moments {
            killed(&lab.killed_at(at), "change", &request).await;
            lab.put_back(2, &new, Some(&old)).await.unwrap();
            assert_eq!(lab.tree(), before, "{shell:?}, killed before command {at}");
            let seen = lab.unit_report(&old).await;
            assert_eq!(seen.current, Some(old.digest()));
            assert_eq!((seen.previous, seen.pending), (None, None));
        }
    });
}

#[test]
fn a_put_back_killed_anywhere_is_finished_by_the_same_verb() {
    in_both_shells(async |shell| {
        let Stage { lab, old, new, before, .. } = stage(shell).await;
        let request = request_bytes(&lab, &new, Some(&old));
        lab.change(2, &new, Some(&old)).await.unwrap();
        let moments = moments(&lab, shell, "put-back", &request).await;
        for at in moments {
            lab.change(2, &new, Some(&old)).await.unwrap();
            killed(&lab.killed_at(at), "put-back", &request).await;
            lab.put_back(2, &new, Some(&old)).await.unwrap();
            assert_eq!(lab.tree(), before, "{shell:?}, killed before command {at}");
            assert_eq!(lab.unit_report(&old).await.pending, None);
        }
    });
}

#[test]
fn a_first_change_killed_anywhere_leaves_nothing_after_a_put_back() {
    block_on(async {
        let lab = Lab::new(Shell::Dash);
        let new = version(&lab, "new", &[("app/conf.d/a", "a\n"), ("app/taken", "ours")]);
        let mut new = new;
        new.adopt = true;
        std::fs::create_dir(lab.host("app").as_str()).unwrap();
        std::fs::write(lab.host("app/taken").as_str(), "theirs").unwrap();
        let before = lab.tree();
        lab.prepare(2, &[(&new, None)]).await.unwrap();
        lab.count_commands(Shell::Dash);
        let request = request_bytes(&lab, &new, None);
        let moments = moments(&lab, Shell::Dash, "change", &request).await;
        lab.put_back(2, &new, None).await.unwrap();
        assert_eq!(lab.tree(), before);
        for at in moments {
            killed(&lab.killed_at(at), "change", &request).await;
            lab.put_back(2, &new, None).await.unwrap();
            assert_eq!(lab.tree(), before, "killed before command {at}");
        }
    });
}

#[test]
fn a_service_that_a_killed_change_touched_is_as_it_was_found_after_a_put_back() {
    in_both_shells(async |shell| {
        let lab = Lab::new(shell);
        service(&lab, "inactive", "disabled");
        theirs(&lab);
        let unit = hosted(&lab, "ours\n");
        let before = lab.tree();
        lab.prepare(2, &[(&unit, None)]).await.unwrap();
        lab.count_commands(shell);
        let request = request_bytes(&lab, &unit, None);
        for verb in ["change", "put-back"] {
            lab.change(2, &unit, None).await.unwrap();
            let moments = moments(&lab, shell, verb, &request).await;
            for at in moments {
                lab.put_back(2, &unit, None).await.unwrap();
                if verb == "put-back" {
                    lab.change(2, &unit, None).await.unwrap();
                }
                killed(&lab.killed_at(at), verb, &request).await;
                // A second attempt finds the service as the first one left it.
                lab.change(2, &unit, None).await.unwrap();
                lab.put_back(2, &unit, None).await.unwrap();
                assert_eq!(lab.tree(), before, "{shell:?}, {verb} killed before command {at}");
            }
        }
    });
}

#[test]
fn a_confirm_killed_anywhere_is_finished_by_the_same_verb() {
    block_on(async {
        let Stage { lab, old, new, after, .. } = stage(Shell::Dash).await;
        lab.change(2, &new, Some(&old)).await.unwrap();
        let confirm = lab.confirm_request(2, &[&new], &[]);
        let mut at = 1;
        // Killed ever later, until it comes to its end.
        loop {
            let node = Scripted::new(lab.node.clone(), lab.killed_at(at));
            match node.confirm(&confirm).await {
                Ok(()) => break,
                Err(TransportError::Unreachable(_)) => at += step(),
                Err(other) => panic!("killed before command {at}: {other}"),
            }
            assert!(at < 5000);
        }
        assert!(at > 100, "{at}");
        lab.confirm(2, &[&new], &[]).await;
        assert_eq!(lab.tree(), after);
        let report = lab.report().await;
        assert_eq!(report.record.holder, None);
        assert_eq!(report.record.last_good().unwrap().units[&new.id], new.digest());
        assert_eq!(report.units[&new.id].pending, None);
    });
}

#[test]
fn a_prepare_killed_anywhere_touches_nothing_and_can_be_repeated() {
    block_on(async {
        let Stage { lab, old, new, before, .. } = stage(Shell::Dash).await;
        let request = lab.prepare_request(2, &[(&new, Some(&old))]);
        let mut at = 1;
        loop {
            let node = Scripted::new(lab.node.clone(), lab.killed_at(at));
            let done = match node.prepare(&request).await {
                Ok(()) => true,
                Err(TransportError::Unreachable(_)) => false,
                Err(other) => panic!("killed before command {at}: {other}"),
            };
            assert_eq!(lab.tree(), before, "killed before command {at}");
            if done {
                break;
            }
            at += step();
            assert!(at < 5000);
        }
        assert!(at > 100, "{at}");
        lab.change(2, &new, Some(&old)).await.unwrap();
    });
}

#[test]
fn a_program_that_a_killed_change_had_started_never_begins_behind_a_put_back() {
    in_both_shells(async |shell| {
        let lab = Lab::new(shell);
        let unit = |word: &str| {
            let mut unit = lab.unit("gateway.edge", &[("app/conf", word)]);
            let seen = lab.host("seen");
            unit.commands = vec![command(Moment::Activate, &format!("echo {word} >'{seen}'"))];
            unit
        };
        let (old, new) = (unit("old"), unit("new"));
        lab.roll(1, &old, None).await;
        let before = lab.tree();
        lab.prepare(2, &[(&new, Some(&old))]).await.unwrap();
        let request = request_bytes(&lab, &new, Some(&old));
        assert!(!killed(&lab.killed_after_a_start(), "change", &request).await);
        lab.put_back(2, &new, Some(&old)).await.unwrap();
        assert_eq!(lab.tree(), before, "{shell:?}");
        assert!(!lab.processes().is_empty(), "no program was on its way");
        lab.let_programs_go_on();
        assert_eq!(lab.tree(), before, "{shell:?}: the killed change went on");
    });
}

#[test]
fn a_program_that_outlives_its_killed_script_ends_when_its_time_is_over() {
    in_both_shells(async |shell| {
        let lab = Lab::new(shell);
        let mut unit = lab.unit("gateway.edge", &[("app/conf", "x")]);
        unit.commands = vec![command(Moment::Activate, "while sleep 0.1; do :; done")];
        // Nothing but its own limit makes an end of it.
        let mut prepare = lab.prepare_request(2, &[(&unit, None)]);
        prepare.dead_man = None;
        lab.transport.prepare(&prepare).await.unwrap();
        let request = String::from_utf8(request_bytes(&lab, &unit, None)).unwrap();
        let request = request.replace("limit 30", "limit 1");
        assert!(!killed(&lab.killed_after_a_start(), "change", request.as_bytes()).await);
        lab.let_programs_go_on();
        lab.put_back(2, &unit, None).await.unwrap();
    });
}
