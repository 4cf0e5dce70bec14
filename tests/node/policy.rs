//! The policy of a node's owner: what it forbids doesn't happen, and what is odd about it allows nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use gitsync::model::{Check, FailureKind, Moment, Runtime, Unit};

use crate::lab::{Lab, Shell, block_on, command, health, told};
use crate::missing;

/// Whether the tests may make files of root's; others can't have a policy.
fn root() -> bool {
    let root = std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0;
    missing::nothing_is_missing(if root { &[] } else { &["root"] })
}

/// A body for every shell of this machine, with a node and what its policy is about.
fn on_every_shell(body: impl AsyncFn(&Lab)) {
    for shell in Shell::all().into_iter().filter(|_| root()) {
        block_on(async { body(&Lab::new(shell)).await });
    }
}

async fn refused(lab: &Lab, number: u64, unit: &Unit, old: Option<&Unit>, words: &str) {
    let failure = told(lab.prepare(number, &[(unit, old)]).await);
    assert_eq!(failure.kind, FailureKind::Refused, "{failure:?}");
    assert!(failure.message.contains(words), "wanted {words}: {failure:?}");
    lab.abandon(number, None).await;
}

#[test]
fn files_outside_of_what_is_allowed_are_refused_before_anything_is_written() {
    on_every_shell(async |lab| {
        let [app, etc] = ["app", "etc"].map(|name| lab.host(name).to_string());
        lab.policy(Some(&format!("# the owner's\n\nallow {app}\n")));
        let inside = lab.unit("bundle.mcp", &[("app/a", "a")]);
        lab.roll(1, &inside, None).await;
        let was = lab.tree();
        let both = lab.unit("bundle.mcp", &[("app/a", "new"), ("etc/passwd", "root::0:0")]);
        refused(lab, 2, &both, Some(&inside), &format!("does not allow {etc}/passwd")).await;
        let beside = lab.unit("bundle.mcp", &[("app-b/a", "new")]);
        refused(lab, 3, &beside, Some(&inside), "does not allow").await;
        assert_eq!(lab.tree(), was);
    });
}

#[test]
fn a_policy_that_got_stricter_stops_the_change_and_not_the_way_back() {
    on_every_shell(async |lab| {
        let old = lab.unit("bundle.mcp", &[("etc/a", "old")]);
        let new = lab.unit("bundle.mcp", &[("etc/a", "new"), ("etc/b", "new")]);
        let elsewhere = format!("allow {}\nfleet other\ncommands none\n", lab.host("app"));
        lab.roll(1, &old, None).await;
        let was = lab.tree();
        // Between preparing and changing.
        lab.prepare(2, &[(&new, Some(&old))]).await.unwrap();
        lab.policy(Some(&elsewhere));
        let failure = told(lab.change(2, &new, Some(&old)).await);
        assert_eq!(failure.kind, FailureKind::Refused, "{failure:?}");
        assert_eq!(lab.tree(), was);
        lab.put_back(2, &new, Some(&old)).await.unwrap();
        lab.abandon(2, None).await;
        // Between changing and putting back.
        lab.policy(None);
        lab.prepare(3, &[(&new, Some(&old))]).await.unwrap();
        lab.change(3, &new, Some(&old)).await.unwrap();
        for policy in [elsewhere.as_str(), "no such thing\n"] {
            lab.policy(Some(policy));
            lab.put_back(3, &new, Some(&old)).await.unwrap();
            assert_eq!(lab.tree(), was, "{policy}");
        }
        lab.abandon(3, None).await;
        // A first version goes away whatever the policy says by then.
        lab.policy(None);
        let first = lab.unit("bundle.first", &[("etc/first", "x")]);
        lab.prepare(4, &[(&first, None)]).await.unwrap();
        lab.change(4, &first, None).await.unwrap();
        lab.policy(Some(&elsewhere));
        lab.put_back(4, &first, None).await.unwrap();
        assert_eq!(lab.tree(), was);
    });
}

#[test]
fn restoring_by_hand_is_not_barred_by_a_stricter_policy() {
    on_every_shell(async |lab| {
        let old = lab.unit("bundle.mcp", &[("etc/a", "old")]);
        let new = lab.unit("bundle.mcp", &[("etc/a", "new")]);
        lab.roll(1, &old, None).await;
        lab.roll(2, &new, Some(&old)).await;
        lab.policy(Some("allow /nowhere\n"));
        let script = lab.script();
        let mut run = std::process::Command::new(lab.shell());
        let output = run.arg(script).args(["restore", "bundle.mcp"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(lab.text_of("etc/a").as_deref(), Some("old"));
    });
}

#[test]
fn trust_that_is_taken_away_still_carries_the_way_back() {
    on_every_shell(async |lab| {
        let share = lab.host("share");
        fs::create_dir(share.as_str()).unwrap();
        fs::set_permissions(share.as_str(), fs::Permissions::from_mode(0o777)).unwrap();
        let old = lab.unit("bundle.mcp", &[("share/a", "old")]);
        let new = lab.unit("bundle.mcp", &[("share/a", "new"), ("share/b", "new")]);
        refused(lab, 1, &old, None, "writable by others").await;
        lab.policy(Some(&format!("trust {share}\n")));
        lab.roll(2, &old, None).await;
        lab.prepare(3, &[(&new, Some(&old))]).await.unwrap();
        lab.change(3, &new, Some(&old)).await.unwrap();
        lab.policy(None);
        lab.put_back(3, &new, Some(&old)).await.unwrap();
        assert_eq!(lab.text_of("share/a").as_deref(), Some("old"));
        assert_eq!(lab.text_of("share/b"), None);
        lab.abandon(3, None).await;
        refused(lab, 4, &new, Some(&old), "writable by others").await;
    });
}

#[test]
fn a_policy_that_says_something_odd_refuses_everything() {
    on_every_shell(async |lab| {
        let unit = lab.unit("bundle.mcp", &[("app/a", "a")]);
        for (number, odd) in (1..).zip([
            "alow /opt\n",
            "allow\n",
            "allow opt\n",
            "allow /opt/../etc\n",
            "allow /opt \n",
            "allow /opt\r\n",
            " allow /\n",
            "allow\t/\n",
            "commands no\n",
            "commands any none\n",
            "fleet A/b\n",
            "allow /\nALLOW /\n",
            "include /etc/other\n",
        ]) {
            lab.policy(Some(odd));
            refused(lab, number, &unit, None, "is not one of a policy").await;
        }
        assert!(lab.tree().is_empty());
        lab.policy(Some("# nothing\n\n  # more\nallow /\ncommands any\nallow /opt/x y\n"));
        lab.prepare(20, &[(&unit, None)]).await.unwrap();
    });
}

#[test]
fn a_policy_that_others_may_have_written_refuses_everything() {
    on_every_shell(async |lab| {
        let unit = lab.unit("bundle.mcp", &[("app/a", "a")]);
        let file = lab.policy_file();
        let directory = file.parent().unwrap();
        let mode = |path: &std::path::Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        lab.policy(Some("allow /\n"));
        mode(&file, 0o666);
        refused(lab, 1, &unit, None, "writable by others than root").await;
        mode(&file, 0o644);
        mode(directory, 0o777);
        refused(lab, 2, &unit, None, "writable by others than root").await;
        mode(directory, 0o755);
        chown(&file, Some(1000), None).unwrap();
        refused(lab, 3, &unit, None, "is not owned by root").await;
        chown(&file, Some(0), Some(1000)).unwrap();
        mode(&file, 0o664);
        refused(lab, 4, &unit, None, "writable by others than root").await;
        fs::remove_file(&file).unwrap();
        fs::write(directory.join("real"), "allow /\n").unwrap();
        symlink(directory.join("real"), &file).unwrap();
        refused(lab, 5, &unit, None, "is no regular file").await;
        fs::remove_file(&file).unwrap();
        symlink(directory.join("absent"), &file).unwrap();
        refused(lab, 6, &unit, None, "is no regular file").await;
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        refused(lab, 7, &unit, None, "is no regular file").await;
        fs::remove_dir(&file).unwrap();
        assert!(lab.tree().is_empty());
        lab.prepare(8, &[(&unit, None)]).await.unwrap();
    });
}

#[test]
fn only_the_named_fleets_may_use_the_node() {
    on_every_shell(async |lab| {
        let unit = lab.unit("bundle.mcp", &[("app/a", "a")]);
        lab.policy(Some("fleet home\nfleet homelab2\n"));
        refused(lab, 1, &unit, None, "does not let the fleet homelab use this node").await;
        assert!(lab.tree().is_empty());
        lab.policy(Some("fleet home\nfleet homelab\n"));
        lab.roll(2, &unit, None).await;
    });
}

#[test]
fn without_commands_nothing_that_an_author_wrote_is_run() {
    on_every_shell(async |lab| {
        lab.policy(Some("commands none\n"));
        let ran = lab.host("ran");
        let touch = format!("echo x >'{ran}'");
        let plain = || lab.unit("bundle.mcp", &[("app/a", "a")]);
        let mut activated = plain();
        activated.commands = vec![command(Moment::Activate, &touch)];
        let mut validated = plain();
        validated.commands = vec![command(Moment::Validate, &touch)];
        validated.validation = gitsync::model::Validation::Staged;
        let mut process = lab.unit("service.web", &[("app/b", "b")]);
        process.runtime = Runtime::Process;
        process.commands = vec![command(Moment::Start, &touch)];
        let mut gateway = lab.unit("gateway.edge", &[("app/c", "c")]);
        gateway.runtime = Runtime::Process;
        let exec = |container: Option<&str>| Check::Exec {
            command: format!("{touch} \\ \"quoted\" \\\""),
            container: container.map(str::to_owned),
        };
        let mut checked = plain();
        checked.health = health(vec![Check::Running, exec(None)]);
        for (number, unit) in (1..).zip([&activated, &validated, &process, &gateway, &checked]) {
            refused(lab, number, unit, None, "allows no commands").await;
        }
        let mut inside = lab.unit("bundle.inside", &[("app/d", "d")]);
        let quoting = r#"x","kind":"exec","command":"","container":null"#.to_owned();
        inside.health = health(vec![exec(Some("web"))]);
        inside.about = BTreeMap::from([("words".to_owned(), quoting)]);
        let mut own = lab.unit("gateway.own", &[("app/e", "e")]);
        own.runtime = Runtime::Host;
        own.commands = vec![command(Moment::Validate, "true")];
        own.health = health(vec![exec(None)]);
        lab.prepare(10, &[(&inside, None), (&own, None)]).await.unwrap();
        assert!(lab.tree().is_empty(), "{:?}", lab.tree());
    });
}

#[test]
fn only_files_of_the_named_directories_become_environment() {
    on_every_shell(async |lab| {
        let secrets = lab.host("secrets");
        fs::create_dir(secrets.as_str()).unwrap();
        fs::write(lab.host("secrets/token").as_str(), "t\n").unwrap();
        lab.policy(Some(&format!("env-from {secrets}\n")));
        let mut unit = lab.unit("service.web", &[("app/a", "a")]);
        unit.runtime = Runtime::Process;
        unit.commands = vec![command(Moment::Start, "exec sleep 60")];
        unit.node_env = [("SHADOW".to_owned(), lab.host("shadow"))].into();
        refused(lab, 1, &unit, None, "env-from").await;
        unit.node_env = [("TOKEN".to_owned(), lab.host("secrets/token"))].into();
        lab.prepare(2, &[(&unit, None)]).await.unwrap();
    });
}
