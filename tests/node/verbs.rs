//! The verbs one by one, on units that are files and commands.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use gitsync::model::{AbsPath, FailureKind, FileState, Moment, Validation};
use gitsync::transport::{LocalChannel, Scripted, Transport};

use crate::lab::{Lab, Shell, block_on, command, mode_of, told};

#[test]
fn a_first_rollout_installs_and_is_recorded() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let mut unit = lab.unit("bundle.mcp", &[("etc/a.conf", "one\n"), ("etc/b/c", "two\n")]);
            unit.artifacts[1].mode = 0o600;
            lab.roll(1, &unit, None).await;
            assert_eq!(lab.text_of("etc/a.conf").as_deref(), Some("one\n"), "{shell:?}");
            assert_eq!(mode_of(&lab.host("etc/b/c")), 0o600);
            assert_eq!(mode_of(&lab.host("etc/b")), 0o755);
            let report = lab.report().await;
            assert_eq!(report.record.holder, None);
            assert_eq!(report.record.fence, 1);
            let good = report.record.last_good().unwrap();
            assert_eq!(good.units[&unit.id], unit.digest());
            assert_eq!(good.commit.as_ref().map(String::len), Some(40));
            let seen = &report.units[&unit.id];
            assert_eq!(seen.current, Some(unit.digest()));
            assert_eq!((&seen.previous, &seen.pending), (&None, &None));
            assert_eq!(report.manifests[&unit.digest()].id, unit.id);
            let FileState::Present { hash, mode, .. } = &seen.files[1].state else { panic!() };
            assert_eq!((hash, *mode), (&unit.artifacts[1].blob(), 0o600));
            assert!(report.blobs.contains(&unit.artifacts[0].blob()));
            assert_eq!(report.node_id.len(), 32);
        });
    }
}

#[test]
fn the_same_change_again_touches_no_file() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let unit = lab.unit("bundle.mcp", &[("etc/a.conf", "one\n"), ("etc/b", "")]);
            lab.roll(1, &unit, None).await;
            let place = lab.host("etc/a.conf");
            let before = fs::metadata(place.as_str()).unwrap();
            lab.roll(2, &unit, Some(&unit)).await;
            let after = fs::metadata(place.as_str()).unwrap();
            assert_eq!((before.ino(), before.ctime_nsec()), (after.ino(), after.ctime_nsec()));
        });
    }
}

#[test]
fn an_update_removes_what_it_lacks_and_a_put_back_brings_it_again() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let old = lab.unit("bundle.mcp", &[("etc/a", "old a"), ("etc/gone", "old gone")]);
            let new = lab.unit("bundle.mcp", &[("etc/a", "new a"), ("etc/fresh/x", "new x")]);
            lab.roll(1, &old, None).await;
            let was = lab.tree();
            lab.prepare(2, &[(&new, Some(&old))]).await.unwrap();
            assert_eq!(lab.tree(), was, "prepare touched something");
            lab.change(2, &new, Some(&old)).await.unwrap();
            assert_eq!(lab.text_of("etc/gone"), None);
            assert_eq!(lab.text_of("etc/fresh/x").as_deref(), Some("new x"));
            let seen = lab.unit_report(&new).await;
            assert_eq!(seen.previous, Some(old.digest()));
            assert_eq!(seen.pending.unwrap().rollout, "r2");
            for _ in 0..2 {
                lab.put_back(2, &new, Some(&old)).await.unwrap();
                assert_eq!(lab.tree(), was);
            }
            let seen = lab.unit_report(&new).await;
            assert_eq!(
                (seen.current, seen.previous, seen.pending),
                (Some(old.digest()), None, None)
            );
            lab.abandon(2, Some("probe failed")).await;
            let record = lab.report().await.record;
            assert_eq!(record.quarantine[0].reason, "probe failed");
            assert_eq!(record.verdict.unwrap().0, "rolled_back");
        });
    }
}

#[test]
fn a_first_rollout_is_put_back_to_nothing() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let unit = lab.unit("bundle.mcp", &[("etc/a", "a"), ("etc/b/c", "c")]);
            lab.prepare(1, &[(&unit, None)]).await.unwrap();
            lab.change(1, &unit, None).await.unwrap();
            lab.put_back(1, &unit, None).await.unwrap();
            assert_eq!(lab.tree().len(), 0);
            assert!(!fs::exists(lab.host("etc").as_str()).unwrap(), "made directories stay");
            lab.abandon(1, None).await;
            assert_eq!(lab.unit_report(&unit).await.current, None);
            assert!(lab.report().await.blobs.is_empty(), "blobs of nothing stay");
        });
    }
}

#[test]
fn a_failed_activation_goes_back_at_once() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let file = lab.host("app/state");
            let mut old = lab.unit("gateway.edge", &[("app/conf", "old\n")]);
            old.commands = vec![command(Moment::Activate, &format!("cat conf >'{file}'"))];
            let mut new = lab.unit("gateway.edge", &[("app/conf", "new\n")]);
            new.commands =
                vec![command(Moment::Activate, "echo first; echo 'no such module' >&2; exit 3")];
            lab.roll(1, &old, None).await;
            assert_eq!(lab.text_of("app/state").as_deref(), Some("old\n"));
            lab.prepare(2, &[(&new, Some(&old))]).await.unwrap();
            let failure = told(lab.change(2, &new, Some(&old)).await);
            assert_eq!(failure.kind, FailureKind::Content);
            assert_eq!(failure.log, ["first", "no such module"]);
            assert!(failure.message.contains("status 3: no such module"), "{}", failure.message);
            assert_eq!(lab.text_of("app/conf").as_deref(), Some("old\n"));
            assert!(lab.unit_report(&old).await.pending.is_some());
            lab.put_back(2, &new, Some(&old)).await.unwrap();
            assert!(lab.unit_report(&old).await.pending.is_none());
        });
    }
}

#[test]
fn staged_validation_sees_the_tree_before_anything_is_installed() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let mut unit = lab.unit("gateway.edge", &[("app/conf", "bad\n"), ("etc/x", "x")]);
            unit.validation = Validation::Staged;
            let beside = format!("test -f \"$GITSYNC_STAGE{}\"", lab.host("etc/x"));
            let check =
                format!("{beside} && ! grep -q bad conf || {{ echo line 1: bad; exit 1; }}");
            unit.commands = vec![command(Moment::Validate, &check)];
            let failure = told(lab.prepare(1, &[(&unit, None)]).await);
            assert_eq!(failure.kind, FailureKind::Content);
            assert_eq!(failure.unit.as_ref(), Some(&unit.id));
            assert_eq!(failure.log, ["line 1: bad"]);
            assert_eq!(lab.tree().len(), 0);
            lab.abandon(1, Some("bad")).await;
            unit.artifacts[0].content = gitsync::model::Content::Bytes(b"good\n".to_vec());
            lab.roll(2, &unit, None).await;
        });
    }
}

#[test]
fn switched_validation_that_fails_leaves_the_old_files() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let old = lab.unit("gateway.edge", &[("app/conf", "old\n")]);
            let mut new = lab.unit("gateway.edge", &[("app/conf", "new\n"), ("app/more", "m")]);
            new.validation = Validation::Switched;
            new.commands = vec![
                command(Moment::Validate, "grep -q old conf"),
                command(Moment::Activate, "echo ran >activated"),
            ];
            lab.roll(1, &old, None).await;
            lab.prepare(2, &[(&new, Some(&old))]).await.unwrap();
            assert_eq!(told(lab.change(2, &new, Some(&old)).await).kind, FailureKind::Content);
            let tree = lab.tree();
            assert_eq!(tree["app/conf"], "old\n");
            assert_eq!(tree.len(), 1, "{tree:?}");
        });
    }
}

#[test]
fn a_removed_unit_is_stopped_first_and_removed_with_the_decision() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let state = lab.host("state");
            let mut unit = lab.unit("gateway.edge", &[("app/conf", "x")]);
            unit.commands = vec![
                command(Moment::Activate, &format!("echo up >'{state}'")),
                command(Moment::Stop, &format!("echo down >'{state}'")),
                command(Moment::Start, &format!("echo again >'{state}'")),
                command(Moment::Remove, &format!("rm -f '{state}'")),
            ];
            lab.roll(1, &unit, None).await;
            let mut stop = lab.change_request(2, &unit, Some(&unit));
            stop.to = None;
            let mut prepare = lab.prepare_request(2, &[(&unit, Some(&unit))]);
            prepare.units[0].to = None;
            lab.transport.prepare(&prepare).await.unwrap();
            lab.transport.stop(&stop).await.unwrap();
            assert_eq!(lab.text_of("state").as_deref(), Some("down\n"));
            lab.transport.put_back(&stop).await.unwrap();
            assert_eq!(lab.text_of("state").as_deref(), Some("again\n"));
            lab.transport.stop(&stop).await.unwrap();
            lab.confirm(2, &[], &[&unit]).await;
            assert_eq!(lab.tree().len(), 0);
            let seen = lab.unit_report(&unit).await;
            assert_eq!((seen.current, seen.previous), (None, Some(unit.digest())));
            // And again from what the node kept.
            lab.roll(3, &unit, None).await;
            assert_eq!(lab.text_of("state").as_deref(), Some("up\n"));
        });
    }
}

#[test]
fn contents_logs_and_present_files_can_be_read() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let mut unit = lab.unit("bundle.mcp", &[("a", "one"), ("b c", "two"), ("s", "secret")]);
            unit.artifacts[2].sensitive = true;
            unit.commands =
                vec![command(Moment::Logs, "seq 3 2>/dev/null || printf '1\\n2\\n3\\n'")];
            lab.roll(1, &unit, None).await;
            fs::write(lab.host("b c").as_str(), "edited").unwrap();
            let files = lab.transport.read_files(&lab.fleet, &unit.id).await.unwrap();
            assert_eq!(files.len(), 2);
            assert_eq!(files[lab.host("b c").as_str()], b"edited");
            let blob = unit.artifacts[0].blob();
            let blobs = lab.transport.read(&lab.fleet, &[blob.clone()].into()).await.unwrap();
            assert_eq!(blobs[&blob], b"one");
            let lines = lab.transport.logs(&lab.fleet, &unit.id, 2).await.unwrap();
            assert_eq!(lines, ["2", "3"]);
        });
    }
}

#[test]
fn restore_by_hand_goes_back_without_a_controller() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let old = lab.unit("bundle.mcp", &[("a", "old")]);
            let new = lab.unit("bundle.mcp", &[("a", "new"), ("b", "new")]);
            lab.roll(1, &old, None).await;
            lab.roll(2, &new, Some(&old)).await;
            let run = |arguments: &[&str]| {
                std::process::Command::new("sh").arg(lab.script()).args(arguments).output().unwrap()
            };
            let output = run(&["restore", "bundle.mcp"]);
            assert!(output.status.success(), "{output:?}");
            assert_eq!(lab.tree(), [("a".to_owned(), "old".to_owned())].into());
            assert_eq!(run(&["restore", "bundle.none"]).status.code(), Some(1));
            assert_eq!(run(&["restore"]).status.code(), Some(2));
            let seen = lab.unit_report(&old).await;
            assert_eq!(seen.current, Some(old.digest()));
        });
    }
}

#[test]
fn a_root_that_a_reboot_empties_is_told() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (shell, place) in Shell::all()
        .into_iter()
        .flat_map(|shell| [Path::new("/dev/shm"), target].map(|place| (shell, place)))
    {
        let asked = std::process::Command::new("stat").args(["-f", "-c", "%T"]).arg(place).output();
        let kind = String::from_utf8(asked.unwrap().stdout).unwrap().trim().to_owned();
        let forgets = ["tmpfs", "ramfs"].contains(&kind.as_str()).then_some(kind);
        block_on(async {
            let lab = Lab::below(place, shell);
            assert_eq!(lab.report().await.volatile, forgets, "{shell:?} in {}", place.display());
        });
    }
}

#[test]
fn a_root_with_spaces_keeps_everything_below_itself() {
    block_on(async {
        let lab = Lab::ordinary(&[]);
        // What stands before the first space is somebody else's.
        fs::create_dir(lab.base.join("my")).unwrap();
        let root = lab.base.join("my own root");
        let root = AbsPath::new(root.display().to_string()).unwrap();
        let channel = LocalChannel::new(root, &lab.base.display().to_string());
        let transport = Scripted::new(lab.node.clone(), channel);
        transport.observe(&lab.fleet).await.unwrap();
        assert!(lab.base.join("my").is_dir(), "a neighbour was removed");
        assert!(lab.base.join("my own root/tmp").is_dir());
    });
}
