//! A node with something on it, what may befall it, and what it must look like afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use gitsync::model::{AbsPath, Boot, Moment, Unit};
use gitsync::transport::{ChangeUnit, LocalChannel, Prepare, PrepareUnit, Scripted, Transport};

use crate::lab::{Lab, Shell, block_on, command, everything};

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
    let down = format!("rm -f '{seen}' '{seen}.now' # {word}");
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
    pub number: u64,
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

    pub fn units(&self) -> [(&Unit, Option<&Unit>); 2] {
        [(&self.new, Some(&self.old)), (&self.added, None)]
    }

    /// The next rollout, prepared on a node with a boot hook; without a watcher, so that only what is meant is killed.
    pub async fn prepare(&mut self) -> u64 {
        self.number += 1;
        let request = self.lab.prepare_request(self.number, &self.units());
        self.prepared(request).await;
        self.number
    }

    pub async fn prepared(&self, request: Prepare) {
        // Nothing was changed, so nothing was taken back, and the last round's rollout may hold the node.
        let request = Prepare { dead_man: None, takeover: true, ..request };
        self.booting(self.lab.killed_at(0)).prepare(&request).await.unwrap();
    }

    /// The node over a channel, with a file as its boot script.
    pub fn booting(&self, channel: LocalChannel) -> Scripted<LocalChannel> {
        let hook = self.lab.base.join("rc.local").display().to_string();
        let boot = Boot::File(AbsPath::new(hook).unwrap());
        Scripted::new(self.lab.node.clone(), channel).with_boot(boot)
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
    pub async fn next_rollout(&mut self) {
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
