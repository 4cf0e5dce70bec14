//! Every verb that changes a node is killed before its commands, on each shell, with hostile names; then the node is
//! contacted again, or it boots. Each unit is wholly old or wholly new, as its record says, and nothing of ours is left.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use gitsync::model::{AbsPath, Boot, Digest, FailureKind, Moment, Replaced, Timestamp, Unit};
use gitsync::transport::{
    ChangeUnit, Channel, Prepare, PrepareUnit, Transport, TransportError, Unlock,
};

use crate::kills::{commands_in, killed};
use crate::lab::{Lab, Shell, block_on, command, everything, release};

pub type Tree = BTreeMap<String, String>;

/// Names as people give them, and worse.
const HOSTILE: [&str; 8] = [
    "two words",
    " blanks around ",
    "it's \"quoted\"",
    "$HOME `id` $(id)",
    "-rf",
    "back\\slash\\",
    "ünïcödé ☃ \u{a0}",
    "* [a] ? #;&|<> -> b",
];

/// A unit whose commands leave on the node which of its files they saw, so that a wrong order shows.
pub fn version(lab: &Lab, name: &str, word: &str, files: &[&str]) -> Unit {
    let text = format!("{word}\n\\n %s $HOME 'x' \"\n--\n");
    let paths: Vec<String> = files.iter().map(|file| format!("{name}/conf/{file}")).collect();
    let files: Vec<(&str, &str)> =
        paths.iter().map(|path| (path.as_str(), text.as_str())).collect();
    let mut unit = lab.unit(&format!("bundle.{name}"), &files);
    unit.directory = lab.host(name);
    let seen = lab.host(&format!("runs-{name}"));
    let up = format!(
        "for f in conf/*; do test -d \"$f\" || cat \"$f\"; done >'{seen}.now' && mv '{seen}.now' '{seen}' # {word}"
    );
    let down = format!("rm -f '{seen}' # {word}");
    unit.commands = vec![
        command(Moment::Activate, &up),
        command(Moment::Stop, &down),
        command(Moment::Start, &up),
        command(Moment::Remove, &down),
    ];
    unit
}

/// A node with a unit that runs, a newer version of it, and a unit that is not there yet.
pub struct Case {
    pub lab: Lab,
    pub old: Unit,
    pub new: Unit,
    pub added: Unit,
    pub before: Tree,
    pub after: Tree,
    number: u64,
}

impl Case {
    pub async fn start(shell: Shell) -> Self {
        let lab = Lab::new(shell);
        let long = "l".repeat(255);
        let mut names = HOSTILE.to_vec();
        names.push(&long);
        let old = version(&lab, "edge", "old", &names);
        let new = version(&lab, "edge", "new", &[names[0], names[3], names[4], "-n", &long]);
        let added = version(&lab, "added", "added", &["deep/er/x", "--"]);
        lab.roll(1, &old, None).await;
        let before = lab.tree();
        let mut case = Self { lab, old, new, added, before, after: Tree::new(), number: 1 };
        let number = case.prepare().await;
        case.change(number).await;
        case.after = case.lab.tree();
        assert_ne!(case.before, case.after);
        case.put_back(number).await;
        assert_eq!(case.lab.tree(), case.before, "{shell:?}");
        case.lab.abandon(number, None).await;
        case
    }

    fn units(&self) -> [(&Unit, Option<&Unit>); 2] {
        [(&self.new, Some(&self.old)), (&self.added, None)]
    }

    /// The next rollout, prepared on a node with a boot hook; without a watcher, so that only what is meant is killed.
    pub async fn prepare(&mut self) -> u64 {
        self.number += 1;
        let request = self.lab.prepare_request(self.number, &self.units());
        self.prepared(request).await;
        self.number
    }

    async fn prepared(&self, request: Prepare) {
        // Nothing was changed, so nothing was taken back, and the last round's rollout may hold the node.
        let request = Prepare { dead_man: None, takeover: true, ..request };
        let hook = self.lab.base.join("rc.local").display().to_string();
        let node = self.lab.booting(Boot::File(AbsPath::new(hook).unwrap()));
        node.prepare(&request).await.unwrap();
    }

    pub async fn change(&self, number: u64) {
        for (to, from) in self.units() {
            self.lab.change(number, to, from).await.unwrap();
        }
    }

    pub async fn put_back(&self, number: u64) {
        for (to, from) in self.units().into_iter().rev() {
            self.lab.put_back(number, to, from).await.unwrap();
        }
    }

    /// Whatever version runs by now is taken for what it says it is, and a whole rollout goes over it.
    async fn next_rollout(&mut self) {
        self.number += 1;
        let report = self.lab.report().await;
        let current =
            |unit: &Unit| report.units.get(&unit.id).and_then(|unit| unit.current.clone());
        let mut request = self.lab.prepare_request(self.number, &self.units());
        for unit in &mut request.units {
            unit.from = report.units.get(&unit.id).and_then(|unit| unit.current.clone());
        }
        self.prepared(request).await;
        for to in [&self.new, &self.added] {
            let request =
                ChangeUnit { from: current(to), ..self.lab.change_request(self.number, to, None) };
            self.lab.transport.change(&request).await.unwrap();
        }
        self.lab.confirm(self.number, &[&self.new, &self.added], &[]).await;
    }

    /// Back to where every round begins.
    pub async fn reset(&mut self) {
        self.number += 1;
        let (lab, number) = (&self.lab, self.number);
        let gone = PrepareUnit {
            id: self.added.id.clone(),
            to: None,
            from: Some(self.added.digest()),
            adopt: false,
        };
        let mut request = lab.prepare_request(number, &[(&self.old, Some(&self.new))]);
        request.units.push(gone);
        self.prepared(request).await;
        lab.change(number, &self.old, Some(&self.new)).await.unwrap();
        lab.transport.stop(&stopped(lab, number, &self.added)).await.unwrap();
        lab.confirm(number, &[&self.old], &[&self.added]).await;
    }

    /// The tree is this one, what the node tells agrees with it, and nothing else of ours is there.
    pub async fn stands(&self, tree: &Tree, context: &str) {
        let report = self.lab.report().await;
        assert_eq!(&self.lab.tree(), tree, "{context}");
        let current =
            |unit: &Unit| report.units.get(&unit.id).and_then(|unit| unit.current.clone());
        let (edge, added) = if *tree == self.after {
            (self.new.digest(), Some(self.added.digest()))
        } else {
            (self.old.digest(), None)
        };
        assert_eq!((current(&self.old), current(&self.added)), (Some(edge), added), "{context}");
        let pending: Vec<_> = report.units.values().filter(|unit| unit.pending.is_some()).collect();
        assert!(pending.is_empty(), "{context}: {pending:?}");
        assert_eq!(leftovers(&self.lab), Vec::<PathBuf>::new(), "{context}");
    }
}

pub fn stopped(lab: &Lab, number: u64, unit: &Unit) -> ChangeUnit {
    ChangeUnit { to: None, ..lab.change_request(number, unit, Some(unit)) }
}

/// What no contact should leave behind: half-written files, private directories.
pub fn leftovers(lab: &Lab) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![lab.base.join("git sync"), lab.base.join("host")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            let half = name.contains(".new")
                || name.starts_with(".gitsync-")
                || name.ends_with(".breaker");
            if half || directory.ends_with("git sync/tmp") {
                found.push(entry.path());
            } else if entry.file_type().unwrap().is_dir() {
                directories.push(entry.path());
            }
        }
    }
    found
}

pub fn fleet_file(lab: &Lab, name: &str) -> PathBuf {
    lab.base.join("git sync/fleets/homelab").join(name)
}

/// What a boot does to a node: no process is left, and whatever names the boot names another one.
pub fn boots(lab: &Lab) {
    let begin = Instant::now();
    while let Some(id) = lab.processes().first() {
        assert!(begin.elapsed() < Duration::from_secs(10));
        let _ = std::process::Command::new("kill").args(["-KILL", &id.to_string()]).output();
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let mut files: Vec<PathBuf> =
        ["rollout", "lease", "watcher"].map(|name| fleet_file(lab, name)).into();
    let units = fs::read_dir(fleet_file(lab, "units")).into_iter().flatten();
    for unit in units.map(|unit| unit.unwrap().path()) {
        files.extend(["process", "job"].map(|name| unit.join(name)));
    }
    for path in files {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let other = "11111111-2222-3333-4444-555555555555";
        fs::write(path, text.replace(boot.trim(), other)).unwrap();
    }
}

/// Runs the node's boot hook, with the shell that the node has.
pub fn hook(lab: &Lab) {
    let script = lab.base.join("git sync/bin/gitsync-boot.sh");
    let mut command = lab.by_hand_command(&["boot"], None);
    let shell = command.get_program().to_owned();
    command = std::process::Command::new(shell);
    let done = command.arg(&script).env_clear().env("HOME", &lab.base).output().unwrap();
    assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
}

/// As if a controller with a lease of a minute had last been heard more than a minute ago.
pub fn lapse(lab: &Lab) {
    lapse_in(lab, 0);
}

/// The same, with so many hundredths of a second left.
pub fn lapse_in(lab: &Lab, left: u64) {
    let marker = fleet_file(lab, "rollout");
    let text = fs::read_to_string(&marker).unwrap();
    fs::write(&marker, text.replace("dead-man off", "dead-man 60")).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let now: u64 = uptime.split(' ').next().unwrap().replace('.', "").parse().unwrap();
    // A machine that was up for less than the lease could not show it.
    let heard = now.checked_sub(6000).unwrap() + left;
    fs::write(fleet_file(lab, "lease"), format!("{heard} {boot}")).unwrap();
}

/// Runs a test body for each shell at once, on a node of its own; without much time for one shell, which depends on the
/// test's name.
pub fn in_all_shells(body: impl AsyncFn(Shell) + Sync) {
    let mut shells = Shell::programs();
    if !everything() {
        let name = std::thread::current().name().unwrap_or_default().len();
        shells = shells.get(name % shells.len().max(1)).copied().into_iter().collect();
    }
    std::thread::scope(|scope| {
        for shell in shells {
            let body = &body;
            scope.spawn(move || block_on(body(shell)));
        }
    });
}

/// A few of the moments, other ones for each shell; all of them when there is time.
pub fn some(trace: &[u8], shell: Shell) -> Vec<usize> {
    let trace = String::from_utf8_lossy(trace);
    let moments = commands_in(&trace);
    assert!(moments.len() > 30, "{shell:?}: only {} commands: {trace}", moments.len());
    if everything() {
        println!("{shell:?}: {} commands", moments.len());
        return moments;
    }
    let stride = moments.len() / 3 + 1;
    let first = match shell {
        Shell::Dash | Shell::Bare => 0,
        Shell::Busybox => stride / 3,
        Shell::Bash => stride * 2 / 3,
    };
    moments.into_iter().skip(first).step_by(stride).collect()
}

/// The commands of a verb with a request, found by a run to the end.
async fn traced(lab: &Lab, verb: &str, request: &[u8], shell: Shell) -> Vec<usize> {
    let answer =
        lab.killed_at(0).run(verb, request.to_vec(), Duration::from_secs(60)).await.unwrap();
    let trace = String::from_utf8_lossy(&answer.stderr);
    assert!(
        answer.stdout.ends_with(b"end ok\n"),
        "{:?} {trace}",
        String::from_utf8_lossy(&answer.stdout)
    );
    some(&answer.stderr, shell)
}

fn asks(number: u64, to: Option<&Unit>, from: Option<&Unit>, replaced: Option<&Unit>) -> Vec<u8> {
    let digest = |unit: Option<&Unit>| unit.map_or("-".to_owned(), |unit| unit.digest().0);
    let unit = to.or(from).unwrap().id.local();
    let mut text = format!("fleet homelab\nfence {number}\nnonce nonce-{number}\nlimit 30\n");
    text += &format!("unit {unit} {} {}\n", digest(to), digest(from));
    if let Some(unit) = replaced {
        text += &format!("replaces {} {}\n", unit.id.local(), unit.digest());
    }
    (text + "\n").into_bytes()
}

#[test]
fn a_change_killed_anywhere_is_undone_by_a_boot() {
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        let number = case.prepare().await;
        case.lab.count_commands(shell);
        let moments = traced(
            &case.lab,
            "change",
            &asks(number, Some(&case.new), Some(&case.old), None),
            shell,
        )
        .await;
        for at in moments {
            boots(&case.lab);
            hook(&case.lab);
            let number = case.prepare().await;
            let request = asks(number, Some(&case.new), Some(&case.old), None);
            killed(&case.lab.killed_at(at), "change", &request).await;
            boots(&case.lab);
            hook(&case.lab);
            case.stands(&case.before, &format!("{shell:?}, killed before command {at}")).await;
        }
    });
}

#[test]
fn a_take_back_killed_anywhere_is_finished_by_whoever_comes_next() {
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        case.lab.count_commands(shell);
        for verb in ["watch", "boot"] {
            let mut moments = vec![0];
            let mut turn = 0;
            while turn < moments.len() {
                let at = moments[turn];
                let number = case.prepare().await;
                case.change(number).await;
                let nonce = format!("nonce-{number}");
                let mut arguments = vec![verb, "homelab"];
                if verb == "watch" {
                    lapse(&case.lab);
                    arguments.push(&nonce);
                } else {
                    boots(&case.lab);
                }
                let done = case.lab.by_hand(&arguments, Some(at));
                let context = format!("{shell:?}, {verb} killed before command {at}");
                if at == 0 {
                    assert!(done.status.success(), "{context}");
                    moments.extend(some(&done.stderr, shell));
                    case.stands(&case.before, &context).await;
                    let restored = case.lab.report().await.restored.unwrap();
                    assert_eq!((restored.rollout, restored.stuck.len()), (format!("r{number}"), 0));
                } else {
                    match turn % 3 {
                        0 => case.put_back(number).await,
                        1 => {
                            boots(&case.lab);
                            hook(&case.lab);
                        }
                        _ => {
                            case.next_rollout().await;
                            case.stands(&case.after, &context).await;
                            case.reset().await;
                        }
                    }
                    case.stands(&case.before, &context).await;
                }
                turn += 1;
            }
        }
    });
}

#[test]
fn a_confirm_killed_anywhere_is_told_again_or_was_never_heard() {
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        case.lab.count_commands(shell);
        let mut moments = vec![0];
        let mut turn = 0;
        while turn < moments.len() {
            let at = moments[turn];
            let number = case.prepare().await;
            case.change(number).await;
            let request = format!(
                "fleet homelab\nfence {number}\nnonce nonce-{number}\nat 5\nrelease {} -\nunit {} {}\n\n",
                release(number),
                case.new.id.local(),
                case.new.digest(),
            );
            if at == 0 {
                moments.extend(traced(&case.lab, "confirm", request.as_bytes(), shell).await);
            } else {
                killed(&case.lab.killed_at(at), "confirm", request.as_bytes()).await;
            }
            if turn % 2 == 1 {
                boots(&case.lab);
                hook(&case.lab);
            }
            let again = case.lab.confirm_request(number, &[&case.new, &case.added], &[]);
            let context = format!("{shell:?}, killed before command {at}");
            match case.lab.transport.confirm(&again).await {
                Ok(()) => {
                    case.stands(&case.after, &context).await;
                    assert_eq!(case.lab.report().await.restored, None, "{context}");
                    case.reset().await;
                }
                Err(TransportError::Failed(failure)) => {
                    assert_eq!(failure.kind, FailureKind::Restored, "{context}: {failure:?}");
                    assert!(turn % 2 == 1, "{context}: nothing took it back");
                    case.stands(&case.before, &context).await;
                    case.lab.abandon(number, None).await;
                }
                Err(other) => panic!("{context}: {other}"),
            }
            turn += 1;
        }
    });
}

#[test]
fn an_unlock_killed_anywhere_is_finished_by_the_same_verb_or_by_a_boot() {
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        case.lab.count_commands(shell);
        let mut moments = vec![0];
        let mut turn = 0;
        while turn < moments.len() {
            let at = moments[turn];
            // Whoever held it is behind: the next fence is one further.
            case.number += 1;
            let number = case.prepare().await;
            case.change(number).await;
            let request =
                format!("fleet homelab\nnonce nonce-{number}\nholder bob\nwhy it's gone\nat 5\n\n");
            if at == 0 {
                moments.extend(traced(&case.lab, "unlock", request.as_bytes(), shell).await);
            } else {
                killed(&case.lab.killed_at(at), "unlock", request.as_bytes()).await;
            }
            let context = format!("{shell:?}, killed before command {at}");
            if turn % 2 == 1 {
                boots(&case.lab);
                hook(&case.lab);
                case.stands(&case.before, &context).await;
            }
            let again = Unlock {
                fleet: case.lab.fleet.clone(),
                nonce: format!("nonce-{number}"),
                by: "bob".to_owned(),
                reason: "it's gone".to_owned(),
                at: Timestamp(5),
            };
            case.lab.transport.unlock(&again).await.unwrap();
            case.stands(&case.before, &context).await;
            let record = case.lab.report().await.record;
            assert_eq!((record.holder, record.fence), (None, number + 1), "{context}");
            turn += 1;
        }
    });
}

#[test]
fn an_abandon_killed_anywhere_is_finished_by_the_same_verb() {
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        case.lab.count_commands(shell);
        let mut moments = vec![0];
        let mut turn = 0;
        while turn < moments.len() {
            let at = moments[turn];
            let number = case.prepare().await;
            let request = format!(
                "fleet homelab\nfence {number}\nnonce nonce-{number}\nverdict rolled_back\nrelease {} -\nat 5\nquarantine yes it's bad\n\n",
                release(number)
            );
            if at == 0 {
                moments.extend(traced(&case.lab, "abandon", request.as_bytes(), shell).await);
            } else {
                killed(&case.lab.killed_at(at), "abandon", request.as_bytes()).await;
            }
            case.lab.abandon(number, Some("it's bad")).await;
            let context = format!("{shell:?}, killed before command {at}");
            case.stands(&case.before, &context).await;
            let record = case.lab.report().await.record;
            assert_eq!((record.holder.is_none(), record.fence), (true, number), "{context}");
            let told: Vec<&Digest> = record.quarantine.iter().map(|one| &one.release).collect();
            assert!(told.contains(&&release(number)), "{context}: {told:?}");
            turn += 1;
        }
    });
}

#[test]
fn a_stop_killed_anywhere_is_finished_or_undone() {
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        case.lab.count_commands(shell);
        let mut moments = vec![0];
        let mut turn = 0;
        while turn < moments.len() {
            let at = moments[turn];
            case.number += 1;
            let (lab, old, number) = (&case.lab, &case.old, case.number);
            let mut prepare = lab.prepare_request(number, &[(old, Some(old))]);
            prepare.units[0].to = None;
            case.prepared(prepare).await;
            let request = asks(number, None, Some(old), None);
            if at == 0 {
                moments.extend(traced(lab, "stop", &request, shell).await);
            } else {
                killed(&lab.killed_at(at), "stop", &request).await;
            }
            let context = format!("{shell:?}, killed before command {at}");
            match turn % 3 {
                0 => lab.transport.put_back(&stopped(lab, number, old)).await.unwrap(),
                1 => {
                    boots(lab);
                    hook(lab);
                }
                _ => {
                    lab.transport.stop(&stopped(lab, number, old)).await.unwrap();
                    assert_eq!(lab.text_of("runs-edge"), None, "{context}");
                    lab.confirm(number, &[], &[old]).await;
                    assert_eq!(lab.tree(), Tree::new(), "{context}");
                    assert_eq!(leftovers(lab), Vec::<PathBuf>::new(), "{context}");
                    case.number += 1;
                    lab.roll(case.number, old, None).await;
                }
            }
            case.stands(&case.before, &context).await;
            turn += 1;
        }
    });
}

#[test]
fn a_change_that_replaces_a_unit_killed_anywhere_is_finished_or_undone() {
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        // The successor wants one of its predecessor's destinations.
        let mut heir = version(&case.lab, "heir", "heir", &["own"]);
        let mut taken = case.old.artifacts[0].clone();
        taken.content = gitsync::model::Content::Bytes(b"of the heir\n".to_vec());
        heir.artifacts.push(taken);
        heir.artifacts.sort_by(|a, b| a.destination.cmp(&b.destination));
        case.lab.count_commands(shell);
        let mut moments = vec![0];
        let mut turn = 0;
        let mut after = None;
        while turn < moments.len() {
            let at = moments[turn];
            case.number += 1;
            let (lab, old, number) = (&case.lab, &case.old, case.number);
            let mut prepare = lab.prepare_request(number, &[(&heir, None), (old, Some(old))]);
            prepare.units[1].to = None;
            case.prepared(prepare).await;
            let request = asks(number, Some(&heir), None, Some(old));
            let mut change = lab.change_request(number, &heir, None);
            change.replaces = vec![Replaced { unit: old.id.clone(), from: old.digest() }];
            let context = format!("{shell:?}, killed before command {at}");
            if at == 0 {
                moments.extend(traced(lab, "change", &request, shell).await);
                after = Some(lab.tree());
            } else {
                killed(&lab.killed_at(at), "change", &request).await;
            }
            match turn % 3 {
                0 => lab.transport.put_back(&change).await.unwrap(),
                1 => {
                    boots(lab);
                    hook(lab);
                }
                _ => {
                    lab.transport.change(&change).await.unwrap();
                    assert_eq!(Some(lab.tree()), after, "{context}");
                    lab.transport.put_back(&change).await.unwrap();
                }
            }
            case.stands(&case.before, &context).await;
            turn += 1;
        }
    });
}

#[test]
fn what_a_killed_contact_had_half_written_goes_with_the_next_one() {
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        let number = case.prepare().await;
        case.change(number).await;
        let unit = fleet_file(&case.lab, "units/bundle.edge");
        let shared = PathBuf::from(case.lab.host("edge/conf").as_str());
        fs::create_dir(unit.join("kept")).unwrap();
        let halves = [
            unit.join("current.new"),
            unit.join("previous.new"),
            unit.join("kept/index.new"),
            fleet_file(&case.lab, "record.new"),
            fleet_file(&case.lab, "rollout.new"),
            // Of a process that is no more.
            shared.join(".gitsync-half.4194305.1"),
        ];
        for half in &halves {
            fs::write(half, "half").unwrap();
        }
        // Of one that lives: it may be at work in the same directory for another unit.
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let began = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap();
        let living = shared.join(format!(".gitsync-half.{}.{began}", std::process::id()));
        fs::write(&living, "half").unwrap();
        case.put_back(number).await;
        let left: Vec<_> = halves.iter().filter(|half| half.exists()).collect();
        assert!(left.is_empty(), "{shell:?} {left:?}");
        assert!(living.exists(), "{shell:?}");
        fs::remove_file(living).unwrap();
        case.stands(&case.before, &format!("{shell:?}")).await;
    });
}

#[test]
fn a_name_with_a_line_break_or_another_control_character_is_refused() {
    for name in ["a\nb", "a\n", "\n", "a\tb", "a\u{7f}", "a\rb", "a\0b"] {
        assert!(AbsPath::new(format!("/srv/{name}")).is_err(), "{name:?}");
    }
}
