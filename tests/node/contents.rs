//! What must not go wrong whatever lies on the node or stands in a name: links, foreign files, odd names, full disks.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::time::{Duration, Instant};

use gitsync::model::{FailureKind, FileState};

use crate::lab::{Lab, Shell, block_on, told};

const NAMES: [&str; 10] = [
    "two words",
    " leading and trailing ",
    "it's \"quoted\"",
    "$HOME `id` $(id)",
    "-rf",
    "back\\slash",
    "ünïcödé ☃",
    "star * [a] ?",
    "#hash;semi&amp|pipe>",
    "a -> b",
];

#[test]
fn any_printable_name_is_installed_observed_and_removed() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let paths: Vec<String> =
                NAMES.iter().map(|name| format!("app/{name}/{name}")).collect();
            let files: Vec<(&str, &str)> =
                paths.iter().map(|path| (path.as_str(), "content\n")).collect();
            let unit = lab.unit("bundle.mcp", &files);
            lab.roll(1, &unit, None).await;
            for path in &paths {
                assert_eq!(lab.text_of(path).as_deref(), Some("content\n"), "{shell:?} {path}");
            }
            let seen = lab.unit_report(&unit).await;
            assert_eq!(seen.files.len(), NAMES.len());
            for file in &seen.files {
                let present = matches!(&file.state, FileState::Present { hash, .. }
                    if *hash == unit.artifacts[0].blob());
                assert!(present, "{shell:?} {file:?}");
            }
            let other = lab.unit("bundle.mcp", &[("app/plain", "x")]);
            lab.roll(2, &other, Some(&unit)).await;
            assert_eq!(lab.tree().len(), 1, "{shell:?} {:?}", lab.tree());
        });
    }
}

#[test]
fn a_link_or_directory_in_the_way_is_refused_and_left() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let elsewhere = lab.base.join("elsewhere");
            fs::create_dir(&elsewhere).unwrap();
            fs::create_dir(lab.host("app").as_str()).unwrap();
            let mut number = 0;
            for (way, path) in [("file", "app/x"), ("directory", "app/x"), ("parent", "app/x/y")] {
                number += 1;
                let place = lab.host("app/x");
                match way {
                    "directory" => fs::create_dir(place.as_str()).unwrap(),
                    _ => symlink(&elsewhere, place.as_str()).unwrap(),
                }
                let unit = lab.unit("bundle.mcp", &[(path, "x")]);
                let failure = told(lab.prepare(number, &[(&unit, None)]).await);
                assert_eq!(failure.kind, FailureKind::Refused, "{shell:?} {way}");
                // Even when it comes between prepare and change.
                assert_eq!(
                    told(lab.change(number, &unit, None).await).kind,
                    FailureKind::Refused,
                    "{shell:?} {way}"
                );
                lab.put_back(number, &unit, None).await.unwrap();
                lab.abandon(number, None).await;
                assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
                let _ = fs::remove_file(place.as_str());
                let _ = fs::remove_dir(place.as_str());
            }
        });
    }
}

#[test]
fn a_parent_that_others_can_write_is_refused() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            fs::create_dir(lab.host("app").as_str()).unwrap();
            let open = fs::Permissions::from_mode(0o777);
            fs::set_permissions(lab.host("app").as_str(), open).unwrap();
            let unit = lab.unit("bundle.mcp", &[("app/x/y", "x")]);
            let failure = told(lab.prepare(1, &[(&unit, None)]).await);
            assert_eq!(failure.kind, FailureKind::Refused);
            assert!(failure.message.contains("writable by others"), "{}", failure.message);
        });
    }
}

#[test]
fn foreign_files_stop_a_rollout_unless_they_are_taken_over_and_then_return() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            fs::create_dir(lab.host("app").as_str()).unwrap();
            fs::write(lab.host("app/same").as_str(), "same").unwrap();
            fs::write(lab.host("app/other").as_str(), "theirs").unwrap();
            let place = fs::Permissions::from_mode(0o640);
            fs::set_permissions(lab.host("app/other").as_str(), place).unwrap();
            let before = lab.tree();
            let mut unit = lab.unit("bundle.mcp", &[("app/same", "same"), ("app/other", "ours")]);
            let failure = told(lab.prepare(1, &[(&unit, None)]).await);
            assert_eq!(failure.kind, FailureKind::Refused);
            assert!(failure.message.contains("app/other exists"), "{}", failure.message);
            lab.abandon(1, None).await;
            unit.adopt = true;
            lab.prepare(2, &[(&unit, None)]).await.unwrap();
            lab.change(2, &unit, None).await.unwrap();
            assert_eq!(lab.text_of("app/other").as_deref(), Some("ours"));
            lab.put_back(2, &unit, None).await.unwrap();
            assert_eq!(lab.tree(), before, "{shell:?}");
            assert_eq!(crate::lab::mode_of(&lab.host("app/other")), 0o640);
        });
    }
}

#[test]
fn another_unit_s_file_is_not_taken() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let one = lab.unit("bundle.one", &[("app/x", "x")]);
            let two = lab.unit("bundle.two", &[("app/x", "x")]);
            lab.roll(1, &one, None).await;
            let failure = told(lab.prepare(2, &[(&two, None)]).await);
            assert_eq!(failure.kind, FailureKind::Refused);
            assert!(failure.message.contains("belongs to bundle.one"), "{}", failure.message);
        });
    }
}

#[test]
fn a_file_changed_by_hand_is_seen_and_healed() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let unit = lab.unit("bundle.mcp", &[("app/x", "x"), ("app/y", "y")]);
            lab.roll(1, &unit, None).await;
            fs::write(lab.host("app/x").as_str(), "edited").unwrap();
            fs::remove_file(lab.host("app/y").as_str()).unwrap();
            let files = lab.unit_report(&unit).await.files;
            let hash = gitsync::model::sha256_hex(b"edited");
            assert!(matches!(&files[0].state, FileState::Present { hash: h, .. } if *h == hash));
            assert_eq!(files[1].state, FileState::Missing);
            lab.roll(2, &unit, Some(&unit)).await;
            assert_eq!(lab.text_of("app/x").as_deref(), Some("x"));
            assert_eq!(lab.text_of("app/y").as_deref(), Some("y"));
        });
    }
}

/// A small file system over a directory, while it lives.
struct Small(String);

impl Small {
    /// Makes the directory, a file system of its own, and its mode that of any other directory.
    fn over(directory: &str) -> Option<Self> {
        fs::create_dir(directory).unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=128k,mode=755", "small", directory];
        let mounted = Command::new("mount").args(mount).status().is_ok_and(|s| s.success());
        if !mounted {
            eprintln!("skipped: only root can mount a small file system here");
        }
        mounted.then(|| Self(directory.to_owned()))
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

#[test]
fn a_full_disk_fails_the_change_and_keeps_the_old_version() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let Some(_small) = Small::over(lab.host("app").as_str()) else { return };
            let old = lab.unit("bundle.mcp", &[("app/a", "old"), ("app/b", "old")]);
            let large = "x".repeat(50_000);
            let new = lab.unit("bundle.mcp", &[("app/a", &large), ("app/b", &large)]);
            lab.roll(1, &old, None).await;
            // There is room while it is prepared, and not for both any more when it is switched.
            lab.prepare(2, &[(&new, Some(&old))]).await.unwrap();
            fs::write(lab.host("app/filler").as_str(), "y".repeat(60_000)).unwrap();
            let before = lab.tree();
            let failure = told(lab.change(2, &new, Some(&old)).await);
            assert_eq!(failure.kind, FailureKind::Node, "{shell:?} {failure:?}");
            assert!(failure.message.contains("disk full"), "{}", failure.message);
            assert_eq!(lab.tree(), before, "{shell:?}");
            lab.put_back(2, &new, Some(&old)).await.unwrap();
            assert_eq!(lab.tree(), before);
        });
    }
}

#[test]
fn a_file_system_that_is_too_small_for_what_goes_there_is_told_before_anything_changes() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let Some(_small) = Small::over(lab.host("app").as_str()) else { return };
            let unit = |kib: usize, letter: &str| {
                let text = letter.repeat(kib * 1024);
                let names = ["app/a", "app/new/deep/b ü", "elsewhere/large"];
                lab.unit("bundle.mcp", &names.map(|name| (name, text.as_str())))
            };
            let old = unit(40, "x");
            lab.roll(1, &old, None).await;
            // 48 KiB are free: enough for one beside its old content, and again for the next.
            let same_size = unit(40, "y");
            lab.roll(2, &same_size, Some(&old)).await;
            let before = lab.tree();
            let large = unit(60, "z");
            let failure = told(lab.prepare(3, &[(&large, Some(&same_size))]).await);
            assert_eq!(failure.kind, FailureKind::Node, "{shell:?} {failure:?}");
            let place = lab.host("app");
            let words = format!("KiB are needed below {place}, 48 are free");
            assert!(failure.message.contains(&words), "{shell:?} {}", failure.message);
            assert_eq!(lab.tree(), before, "{shell:?}");
            lab.abandon(3, None).await;
            // What is there already takes no room.
            fs::write(lab.host("app/filler").as_str(), "f".repeat(40_000)).unwrap();
            lab.roll(4, &same_size, Some(&same_size)).await;
        });
    }
}
