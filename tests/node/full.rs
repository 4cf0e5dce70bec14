//! A disk that fills up, at every page: an answer is never better than what lies on the node.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use gitsync::transport::TransportError;

use crate::case::{Case, Tree, fleet_file, in_all_shells, lapse_in, leftovers};
use crate::lab::{Lab, everything};

/// The node's root on a file system of its own, while this lives.
struct Small(PathBuf);

const PAGES: u64 = 400;

impl Small {
    fn over_the_root(lab: &Lab) -> Option<Self> {
        let root = lab.base.join("git sync");
        let aside = lab.base.join("aside");
        fs::rename(&root, &aside).unwrap();
        fs::create_dir(&root).unwrap();
        let size = format!("size={}k,mode=700", PAGES * 4);
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "small"]).arg(&root).status();
        let done = mounted.is_ok_and(|status| status.success());
        let from =
            if done { format!("{}/.", aside.display()) } else { aside.display().to_string() };
        if !done {
            eprintln!("skipped: only root can mount a small file system here");
            fs::remove_dir(&root).unwrap();
            fs::rename(&aside, &root).unwrap();
            return None;
        }
        assert!(Command::new("cp").args(["-a", &from]).arg(&root).status().unwrap().success());
        Some(Self(root))
    }

    /// Leaves so many pages free.
    fn leave(&self, pages: u64) {
        self.empty();
        let mut filler = fs::File::create(self.filler()).unwrap();
        let page = [0_u8; 4096];
        while filler.write_all(&page).is_ok() {}
        drop(filler);
        let length = fs::metadata(self.filler()).unwrap().len() / 4096 * 4096;
        let file = fs::OpenOptions::new().write(true).open(self.filler()).unwrap();
        file.set_len(length.saturating_sub(pages * 4096)).unwrap();
    }

    fn empty(&self) {
        let _ = fs::remove_file(self.filler());
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let begin = Instant::now();
        while !Command::new("umount").arg(&self.0).status().is_ok_and(|s| s.success()) {
            if begin.elapsed() > Duration::from_secs(5) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn pages() -> Vec<u64> {
    if everything() { (0..60).collect() } else { vec![0, 14, 22] }
}

/// Files of the two units alone: what a unit's commands wrote says which files they saw.
fn some_of(tree: &Tree) -> Tree {
    tree.iter()
        .filter(|(name, _)| !name.ends_with(".now"))
        .map(|(a, b)| (a.clone(), b.clone()))
        .collect()
}

#[test]
fn a_disk_that_is_full_at_any_page_makes_no_answer_a_lie() {
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        let Some(small) = Small::over_the_root(&case.lab) else { return };
        for pages in pages() {
            let number = case.prepare().await;
            let (to, from) = (case.new.clone(), case.old.clone());
            let context = format!("{shell:?}, {pages} pages free");
            small.leave(pages);
            let changed = case.lab.change(number, &to, Some(&from)).await;
            small.empty();
            if changed.is_ok() {
                let current = case.lab.unit_report(&to).await.current;
                assert_eq!(
                    current,
                    Some(to.digest()),
                    "{context}: the change was answered with ok"
                );
                for (name, text) in &case.after {
                    if name.contains("edge") {
                        assert_eq!(case.lab.tree().get(name), Some(text), "{context}: {name}");
                    }
                }
            }
            assert!(
                matches!(changed, Ok(()) | Err(TransportError::Failed(_))),
                "{context}: {changed:?}"
            );
            case.lab.change(number, &to, Some(&from)).await.unwrap();
            small.leave(pages);
            let returned = case.lab.put_back(number, &to, Some(&from)).await;
            small.empty();
            let pending = case.lab.unit_report(&to).await.pending;
            if returned.is_ok() || pending.is_none() {
                assert_eq!(some_of(&case.lab.tree()), case.before, "{context}: {returned:?}");
            }
            case.lab.put_back(number, &to, Some(&from)).await.unwrap();
            case.stands(&case.before, &context).await;
            case.lab.abandon(number, None).await;
        }
    });
}

#[test]
fn a_take_back_on_a_full_disk_is_made_up_for_once_there_is_room() {
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        let Some(small) = Small::over_the_root(&case.lab) else { return };
        let pages = if everything() { (0..60).collect() } else { vec![1, 5] };
        for pages in pages {
            let number = case.prepare().await;
            case.change(number).await;
            let nonce = format!("nonce-{number}");
            lapse_in(&case.lab, 100);
            let _ = fs::remove_file(fleet_file(&case.lab, "watcher"));
            let mut watcher =
                case.lab.by_hand_command(&["watch", "homelab", &nonce], None).spawn().unwrap();
            let context = format!("{shell:?}, {pages} pages free");
            let begin = Instant::now();
            while !fleet_file(&case.lab, "watcher").exists() {
                assert!(begin.elapsed() < Duration::from_secs(10), "{context}: nobody watches");
                std::thread::sleep(Duration::from_millis(5));
            }
            // It fills up while the lease runs.
            small.leave(pages);
            std::thread::sleep(Duration::from_millis(1800));
            small.empty();
            while watcher.try_wait().unwrap().is_none() {
                assert!(begin.elapsed() < Duration::from_secs(30), "{context}: it never ends");
                std::thread::sleep(Duration::from_millis(20));
            }
            let restored = case.lab.report().await.restored;
            let restored = restored.unwrap_or_else(|| panic!("{context}: nothing was taken back"));
            assert_eq!(
                (restored.rollout, restored.stuck.len()),
                (format!("r{number}"), 0),
                "{context}"
            );
            case.stands(&case.before, &context).await;
        }
        assert!(Path::new(&fleet_file(&case.lab, "record")).exists());
        assert_eq!(leftovers(&case.lab), Vec::<PathBuf>::new());
    });
}
