//! The lease: a node that hears nothing takes back what was changed, also after a boot, and says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::{Duration, Instant};

use gitsync::model::{FailureKind, Moment, Replaced, Unit};
use gitsync::transport::{Prepare, Transport};

use crate::lab::{Lab, Shell, block_on, command, told};

/// The silence that nodes of these tests bear.
const SILENCE: Duration = Duration::from_secs(2);

/// A unit whose activation writes down its name, and is heard when it is undone.
fn unit(lab: &Lab, name: &str, word: &str) -> Unit {
    let mut unit = lab.unit(&format!("bundle.{name}"), &[(&format!("{name}/file"), word)]);
    let log = lab.host("log");
    unit.commands = vec![
        command(Moment::Activate, &format!("echo '{name} {word}' >>'{log}'")),
        command(Moment::Remove, &format!("echo '{name} gone' >>'{log}'")),
    ];
    unit
}

fn leased(lab: &Lab, number: u64, units: &[(&Unit, Option<&Unit>)]) -> Prepare {
    Prepare { dead_man: Some(SILENCE), ..lab.prepare_request(number, units) }
}

/// Waits for the node's own record to say that it took everything back.
async fn taken_back(lab: &Lab) -> gitsync::model::Restored {
    let begin = Instant::now();
    loop {
        if let Some(restored) = lab.report().await.restored {
            return restored;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "nothing was taken back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn log(lab: &Lab) -> Vec<String> {
    lab.text_of("log").unwrap_or_default().lines().map(str::to_owned).collect()
}

/// What a boot does to a node: no process is left, and marker and lease are of another boot.
fn boots(lab: &Lab) {
    let begin = Instant::now();
    while let Some(id) = lab.processes().first() {
        assert!(begin.elapsed() < Duration::from_secs(10));
        let _ = Process::new("kill").args(["-KILL", &id.to_string()]).output();
    }
    for file in ["rollout", "lease"] {
        let path = fleet_file(lab, file);
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(boot.trim()), "{text}");
        fs::write(path, text.replace(boot.trim(), "11111111-2222-3333-4444-555555555555")).unwrap();
    }
}

fn fleet_file(lab: &Lab, name: &str) -> PathBuf {
    lab.base.join("git sync/fleets/homelab").join(name)
}

/// Runs the node's boot hook, with the shell that the node has.
fn hook(lab: &Lab) {
    let path = fs::read_to_string(lab.script()).unwrap();
    let path = path.lines().find_map(|line| line.strip_prefix("PATH=")).unwrap().to_owned();
    let script = lab.base.join("git sync/bin/gitsync-boot.sh");
    let shell = path.split(':').map(|part| Path::new(part).join("sh")).find(|sh| sh.exists());
    let done =
        Process::new(shell.unwrap()).arg(&script).env_clear().env("HOME", &lab.base).output();
    let done = done.unwrap();
    assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
}

#[test]
fn a_node_that_hears_nothing_takes_everything_back_in_reverse_and_says_so() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let (a, b) = (unit(&lab, "a", "old"), unit(&lab, "b", "old"));
            let (new_a, new_b, c) =
                (unit(&lab, "a", "new"), unit(&lab, "b", "new"), unit(&lab, "c", "new"));
            lab.roll(1, &a, None).await;
            lab.roll(2, &b, None).await;
            let before = lab.tree();
            let all = [(&new_b, Some(&b)), (&new_a, Some(&a)), (&c, None)];
            lab.transport.prepare(&leased(&lab, 3, &all)).await.unwrap();
            for (to, from) in all {
                lab.change(3, to, from).await.unwrap();
            }
            let restored = taken_back(&lab).await;
            assert_eq!((restored.rollout.as_str(), restored.stuck.len()), ("r3", 0));
            assert_eq!(restored.why, "it heard nothing from its controller for 2 s");
            let seen = log(&lab);
            assert_eq!(seen[2..], ["b new", "a new", "c new", "c gone", "a old", "b old"]);
            let mut after = lab.tree();
            after.insert("log".to_owned(), before["log"].clone());
            assert_eq!(after, before, "{shell:?}");
            let report = lab.report().await;
            assert!(report.lapsed, "the node is free again");
            assert!(report.units.values().all(|unit| unit.pending.is_none()));
            lab.wait_for_no_process();
        });
    }
}

#[test]
fn a_rollout_that_a_node_took_back_is_refused_there_until_it_is_prepared_anew() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let (old, new) = (unit(&lab, "a", "old"), unit(&lab, "a", "new"));
            lab.roll(1, &old, None).await;
            let request = leased(&lab, 2, &[(&new, Some(&old))]);
            lab.transport.prepare(&request).await.unwrap();
            lab.change(2, &new, Some(&old)).await.unwrap();
            taken_back(&lab).await;
            let confirm = lab.confirm_request(2, &[&new], &[]);
            let refused = [
                told(lab.change(2, &new, Some(&old)).await),
                told(lab.transport.stop(&lab.change_request(2, &new, Some(&old))).await),
                told(lab.transport.hold(&lab.fence(2), false).await),
                told(lab.transport.confirm(&confirm).await),
            ];
            for failure in refused {
                assert_eq!(failure.kind, FailureKind::Restored, "{failure:?}");
                assert!(failure.message.contains("took back what rollout r2"), "{failure:?}");
            }
            assert_eq!(lab.text_of("a/file").as_deref(), Some("old"));
            lab.put_back(2, &new, Some(&old)).await.unwrap();
            // Rolled forward after all: the decision was made while it could not hear it.
            lab.transport.prepare(&request).await.unwrap();
            lab.change(2, &new, Some(&old)).await.unwrap();
            lab.transport.confirm(&confirm).await.unwrap();
            assert_eq!(lab.text_of("a/file").as_deref(), Some("new"));
            let report = lab.report().await;
            assert_eq!((report.restored, report.record.holder, report.lapsed), (None, None, false));
            lab.wait_for_no_process();
        });
    }
}

#[test]
fn a_word_in_good_time_keeps_the_changes_and_a_decision_ends_the_watch() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let new = unit(&lab, "a", "new");
            lab.transport.prepare(&leased(&lab, 1, &[(&new, None)])).await.unwrap();
            lab.change(1, &new, None).await.unwrap();
            let begin = Instant::now();
            while begin.elapsed() < SILENCE * 3 {
                lab.transport.hold(&lab.fence(1), false).await.unwrap();
                tokio::time::sleep(SILENCE / 5).await;
            }
            assert_eq!(lab.text_of("a/file").as_deref(), Some("new"));
            assert_eq!(lab.processes().len(), 2, "the watcher and its pause");
            lab.confirm(1, &[&new], &[]).await;
            lab.wait_for_no_process();
            assert_eq!(log(&lab), ["a new"]);
        });
    }
}

#[test]
fn a_watcher_that_was_killed_is_there_again_after_the_next_word() {
    block_on(async {
        let lab = Lab::new(Shell::Dash);
        let new = unit(&lab, "a", "new");
        lab.transport.prepare(&leased(&lab, 1, &[(&new, None)])).await.unwrap();
        lab.change(1, &new, None).await.unwrap();
        let watcher = fs::read_to_string(fleet_file(&lab, "watcher")).unwrap();
        let watcher = watcher.split(' ').next().unwrap().to_owned();
        assert!(Process::new("kill").args(["-KILL", &watcher]).status().unwrap().success());
        lab.transport.hold(&lab.fence(1), false).await.unwrap();
        taken_back(&lab).await;
        assert_eq!(log(&lab), ["a new", "a gone"]);
    });
}

#[test]
fn a_change_that_still_hangs_when_the_lease_lapses_is_ended_and_taken_back() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let (old, mut new) = (unit(&lab, "a", "old"), unit(&lab, "a", "new"));
            let log_file = lab.host("log");
            let hangs = format!("echo hangs >>'{log_file}'; sleep 60; echo late >>'{log_file}'");
            new.commands[0] = command(Moment::Activate, &hangs);
            lab.roll(1, &old, None).await;
            lab.transport.prepare(&leased(&lab, 2, &[(&new, Some(&old))])).await.unwrap();
            let request = lab.change_request(2, &new, Some(&old));
            let begin = Instant::now();
            // The controller is gone, what it asked for goes on.
            let _ = tokio::time::timeout(SILENCE / 4, lab.transport.change(&request)).await;
            taken_back(&lab).await;
            assert!(begin.elapsed() < SILENCE + Duration::from_secs(8), "{:?}", begin.elapsed());
            assert_eq!(log(&lab), ["a old", "hangs", "a old"]);
            assert_eq!(lab.text_of("a/file").as_deref(), Some("old"));
            lab.wait_for_no_process();
        });
    }
}

#[test]
fn a_node_that_booted_takes_back_what_was_not_confirmed_whatever_its_clock_says() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let (old, new) = (unit(&lab, "a", "old"), unit(&lab, "a", "new"));
            lab.roll(1, &old, None).await;
            // Without a lease, too.
            lab.prepare(2, &[(&new, Some(&old))]).await.unwrap();
            lab.change(2, &new, Some(&old)).await.unwrap();
            boots(&lab);
            let failure = told(lab.transport.hold(&lab.fence(2), false).await);
            assert_eq!(failure.kind, FailureKind::Restored, "{failure:?}");
            assert_eq!(lab.text_of("a/file").as_deref(), Some("new"), "nobody took it back yet");
            hooked(&lab).await;
            hook(&lab);
            assert_eq!(lab.text_of("a/file").as_deref(), Some("old"));
            let restored = lab.report().await.restored.unwrap();
            assert_eq!(restored.why, "it booted in the middle of the rollout");
            hook(&lab);
            assert_eq!(log(&lab), ["a old", "a new", "a old"], "once is enough");
        });
    }
}

/// Has the hook written, as a prepare on a node with a `boot:` does.
async fn hooked(lab: &Lab) {
    let boot = gitsync::model::Boot::File(lab.host("rc.local"));
    let other = unit(lab, "other", "x");
    // Another fleet on the same root: the marker of the first one stays as it is.
    let mut request = lab.prepare_request(9, &[]);
    request.fence.fleet = gitsync::model::Name::new("second").unwrap();
    drop(other);
    lab.booting(boot).prepare(&request).await.unwrap();
}

#[test]
fn a_rollout_in_which_nothing_changed_yet_goes_on_after_a_boot() {
    block_on(async {
        let lab = Lab::new(Shell::Dash);
        let new = unit(&lab, "a", "new");
        lab.transport.prepare(&leased(&lab, 1, &[(&new, None)])).await.unwrap();
        boots(&lab);
        lab.change(1, &new, None).await.unwrap();
        lab.confirm(1, &[&new], &[]).await;
        assert_eq!(log(&lab), ["a new"]);
    });
}

#[test]
fn who_was_not_heard_for_too_long_holds_a_node_no_more() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let (old, new) = (unit(&lab, "a", "old"), unit(&lab, "a", "new"));
            lab.roll(1, &old, None).await;
            lab.transport.prepare(&leased(&lab, 2, &[(&new, Some(&old))])).await.unwrap();
            lab.change(2, &new, Some(&old)).await.unwrap();
            let other = lab.prepare_request(3, &[(&new, Some(&old))]);
            let busy = told(lab.transport.prepare(&other).await);
            assert_eq!(busy.kind, FailureKind::Busy, "{busy:?}");
            taken_back(&lab).await;
            lab.transport.prepare(&other).await.unwrap();
            assert_eq!(told(lab.change(2, &new, Some(&old)).await).kind, FailureKind::Busy);
            lab.change(3, &new, Some(&old)).await.unwrap();
            lab.confirm(3, &[&new], &[]).await;
            // Held without a change, and without a lease at all.
            lab.transport.prepare(&leased(&lab, 4, &[])).await.unwrap();
            let begin = Instant::now();
            while !lab.report().await.lapsed {
                assert!(begin.elapsed() < SILENCE * 5);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let forever = Prepare { dead_man: None, ..lab.prepare_request(5, &[]) };
            lab.transport.prepare(&forever).await.unwrap();
            assert!(!lab.report().await.lapsed);
            let busy = told(lab.transport.prepare(&lab.prepare_request(6, &[])).await);
            assert_eq!(busy.kind, FailureKind::Busy, "{busy:?}");
        });
    }
}

#[test]
fn what_a_unit_replaced_comes_back_after_it() {
    block_on(async {
        let lab = Lab::new(Shell::Dash);
        let mut old = unit(&lab, "old", "here");
        let log_file = lab.host("log");
        old.commands.push(command(Moment::Stop, &format!("echo 'old stopped' >>'{log_file}'")));
        let new = unit(&lab, "new", "here");
        lab.roll(1, &old, None).await;
        let mut request = leased(&lab, 2, &[(&new, None)]);
        let gone = gitsync::transport::PrepareUnit {
            id: old.id.clone(),
            to: None,
            from: Some(old.digest()),
            adopt: false,
        };
        request.units.push(gone);
        lab.transport.prepare(&request).await.unwrap();
        let mut change = lab.change_request(2, &new, None);
        change.replaces = vec![Replaced { unit: old.id.clone(), from: old.digest() }];
        lab.transport.change(&change).await.unwrap();
        taken_back(&lab).await;
        let seen = log(&lab);
        assert_eq!(seen, ["old here", "old stopped", "new here", "new gone", "old here"]);
    });
}

#[test]
fn a_boot_script_of_others_gets_one_line_and_keeps_everything_else() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let script = lab.host("rc.local");
            fs::write(script.as_str(), "#!/bin/bash\n/usr/local/sbin/emhttp &\nexit 0\n").unwrap();
            let boot = gitsync::model::Boot::File(script.clone());
            for number in [1, 2] {
                let request = Prepare { takeover: true, ..lab.prepare_request(number, &[]) };
                lab.booting(boot.clone()).prepare(&request).await.unwrap();
            }
            let text = lab.text_of("rc.local").unwrap();
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines.len(), 4, "{text}");
            assert!(lines[0] == "#!/bin/bash" && lines[1].contains("gitsync-boot.sh"), "{text}");
            assert_eq!(lines[2..], ["/usr/local/sbin/emhttp &", "exit 0"]);
            let done = Process::new("sh").arg("-n").arg(script.as_str()).status().unwrap();
            assert!(done.success());
            let nowhere = gitsync::model::Boot::File(lab.host("no/such/go"));
            let refused = Prepare { takeover: true, ..lab.prepare_request(3, &[]) };
            let refused = told(lab.booting(nowhere).prepare(&refused).await);
            assert_eq!(refused.kind, FailureKind::Refused);
            assert!(refused.message.contains("is `boot: file:"), "{refused:?}");
        });
    }
}

#[test]
fn a_word_comes_through_on_a_full_disk_and_what_lapses_there_is_taken_back_when_there_is_room() {
    block_on(async {
        let Some(disk) = SmallDisk::new() else { return };
        for shell in [Shell::Dash, Shell::Busybox] {
            let lab = Lab::below(&disk.place, shell);
            let (old, new) = (unit(&lab, "a", "old"), unit(&lab, "a", "new"));
            lab.roll(1, &old, None).await;
            lab.transport.prepare(&leased(&lab, 2, &[(&new, Some(&old))])).await.unwrap();
            lab.change(2, &new, Some(&old)).await.unwrap();
            disk.fill();
            let begin = Instant::now();
            while begin.elapsed() < SILENCE * 2 {
                lab.transport.hold(&lab.fence(2), false).await.unwrap();
                tokio::time::sleep(SILENCE / 5).await;
            }
            let full = told(lab.transport.confirm(&lab.confirm_request(2, &[&new], &[])).await);
            assert!(full.message.contains("is the disk full?"), "{full:?}");
            // Nothing was decided: the word that did not come counts.
            tokio::time::sleep(SILENCE * 2).await;
            assert_eq!(lab.text_of("a/file").as_deref(), Some("new"), "{shell:?}");
            disk.drain();
            taken_back(&lab).await;
            assert_eq!(lab.text_of("a/file").as_deref(), Some("old"), "{shell:?}");
        }
    });
}

/// A file system of four mebibytes in memory; unmounted when it goes.
struct SmallDisk {
    _above: tempfile::TempDir,
    place: PathBuf,
}

impl SmallDisk {
    /// None, with a word that says so, where this user can't mount one.
    fn new() -> Option<Self> {
        let above = tempfile::tempdir().unwrap();
        let place = above.path().join("disk");
        fs::create_dir(&place).unwrap();
        let mut mount = Process::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m,mode=0755", "gitsync-test"]).arg(&place);
        if !mount.output().is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: no file system can be mounted here");
            return None;
        }
        Some(Self { _above: above, place })
    }

    fn fill(&self) {
        let path = self.place.join("filler");
        let _ = fs::write(path, vec![1; 8 << 20]);
    }

    fn drain(&self) {
        fs::remove_file(self.place.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Process::new("umount").arg("-l").arg(&self.place).status();
    }
}
