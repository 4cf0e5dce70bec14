//! Disks that are full at the worst moment, and a root directory that a reboot would empty.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gitsync_lab::{Mount, Spec, Truth};

use crate::stage::Stage;

const ROOT: &str = "/var/lib/gitsync";
const SOON: Duration = Duration::from_secs(30);

/// Two hosts, the first with a small disk at `path`; services `a` on h1 and `b` on h2 after it.
fn stage(scenario: &'static str, path: &str, size: u32) -> Option<Stage> {
    let mount = Mount::Disk(path.to_owned(), size);
    let spec = Spec::of(2, |host| if host.name == "h2" { host.mount(mount.clone()) } else { host });
    let stage = Stage::new(scenario, &spec)?;
    stage.install_app(&["h1", "h2"]);
    stage.write_fleet("500ms");
    services(&stage, "1");
    Some(stage)
}

fn services(stage: &Stage, version: &str) {
    let settings = format!("APP_VERSION={version}");
    stage.write_process("a", "h1", 8081, &settings, "");
    stage.write_process("b", "h2", 8082, &settings, "depends_on: [a]\n");
}

#[track_caller]
fn serve(stage: &Stage, version: &str) {
    assert_eq!([stage.version("h1", 8081), stage.version("h2", 8082)], [version, version]);
}

#[test]
fn disk_too_full_for_what_is_brought_refuses_the_rollout_on_all_nodes() {
    let Some(stage) = stage("disk-prepare", ROOT, 24) else { return };
    stage.commit("first");
    stage.apply();
    let before = Truth::of(&stage.lab).unwrap();
    let blobs = ["h1", "h2"].map(|host| stage.listing(host, &format!("{ROOT}/blobs")));
    stage.host("h2").fill(ROOT, 2048).unwrap();
    services(&stage, "2");
    for number in 1..=4 {
        stage.write_big(&format!("files/big/{number}"), 1024, number);
    }
    stage.write("bundles/big.yaml", "files: files/big/\nto: { on: all, path: /srv/big }\n");
    stage.commit("second");
    let said = stage.run(&["apply", "--yes"]).exits(3);
    let said = said.says("h2: ").says(&format!(" KiB are needed below {ROOT}, ")).says(" are free");
    said.never_says("switching").never_says("quarantined");
    before.same(&Truth::of(&stage.lab).unwrap()).unwrap();
    assert!(stage.listing("h2", &format!("{ROOT}/tmp")).len() <= 1, "nothing half-brought is left");
    let now = ["h1", "h2"].map(|host| stage.listing(host, &format!("{ROOT}/blobs")));
    assert_eq!(now, blobs, "what was brought for nothing takes no room");
    serve(&stage, "1");
    stage.host("h2").drain(ROOT).unwrap();
    stage.apply();
    serve(&stage, "2");
    let brought = stage.host("h2").sh("/lab/busybox cat /srv/big/* | /lab/busybox wc -c").unwrap();
    assert_eq!(brought.trim(), "4194304");
}

#[test]
fn disk_full_at_the_switch_puts_everything_back_and_leaves_nothing_half_written() {
    let Some(stage) = stage("disk-switch", "/srv/data", 16) else { return };
    stage.write_node("h2", "paths: { services: /srv/data }\n");
    stage.write_big("files/big/one", 64, 1);
    stage.write_big("files/big/two", 64, 1);
    stage.write(
        "bundles/big.yaml",
        "files: files/big/\nto: { on: [h2], path: /srv/data/big }\ndepends_on: [a]\n",
    );
    stage.commit("first");
    stage.apply();
    serve(&stage, "1");
    let before = Truth::of(&stage.lab).unwrap();
    services(&stage, "2");
    stage.write_fleet("3s");
    stage.write_big("files/big/two", 1024, 3);
    // Found while it is prepared: neither is begun.
    stage.write_big("files/big/one", 1024, 2);
    stage.host("h2").fill("/srv/data", 1536).unwrap();
    stage.commit("too big from the beginning");
    let said = stage.run(&["apply", "--yes"]).exits(3).never_says("switching");
    said.says("h2: ").says(" KiB are needed below /srv/data, ").says(" are free");
    stage.host("h2").drain("/srv/data").unwrap();
    before.same_content(&Truth::of(&stage.lab).unwrap()).unwrap();
    // Room for the new `one` and not for the new `two` as well any more; then for neither.
    for (one, seed, left) in [(1024, 2, 1536), (64, 1, 512)] {
        stage.write_big("files/big/one", one, seed);
        stage.write("files/seed", &left.to_string());
        stage.commit("too big");
        let mut apply = stage.begin(stage.gitsync(&["apply", "--yes"]), &format!("{left}.log"));
        apply.wait_for(0, "h1/service.a: switched", SOON);
        stage.host("h2").fill("/srv/data", left).unwrap();
        assert_eq!(apply.ends(Duration::from_secs(60)), Some(3), "{}", apply.log());
        assert!(apply.log().contains("h2/bundle.big: "), "{}", apply.log());
        let words = "cannot write /srv/data/big/two: is the disk full?";
        assert!(apply.log().contains(words), "{}", apply.log());
        stage.host("h2").drain("/srv/data").unwrap();
        before.same_content(&Truth::of(&stage.lab).unwrap()).unwrap();
        let left = stage.listing("h2", "/srv/data");
        assert!(!left.iter().any(|path| path.contains(".gitsync-")), "{left:?}");
        serve(&stage, "1");
    }
    stage.apply().never_says("quarantined");
    serve(&stage, "2");
}

#[test]
fn disk_full_while_the_decision_is_recorded_is_told_and_ends_when_there_is_room() {
    let Some(stage) = stage("disk-record", ROOT, 24) else { return };
    stage.commit("first");
    stage.apply();
    services(&stage, "2");
    stage.write_fleet("4s");
    stage.commit("second");
    let mut apply = stage.begin(stage.gitsync(&["apply", "--yes"]), "apply.log");
    apply.wait_for(0, "h2/service.b: switched", SOON);
    let code = kept_full(&stage, || apply.ends(Duration::from_secs(60)));
    assert_eq!(code, Some(4), "{}", apply.log());
    assert!(apply.log().contains("h2"), "{}", apply.log());
    assert!(apply.log().contains("is the disk full?"), "{}", apply.log());
    // The decision was made: what is new stays and serves.
    serve(&stage, "2");
    stage.host("h2").drain(ROOT).unwrap();
    let mut again = stage.gitsync(&["apply", "--yes", "--take-over"]);
    stage.finish(&["apply", "--yes", "--take-over"], &mut again).exits(0);
    serve(&stage, "2");
    assert!(Truth::of(&stage.lab).unwrap().pending("h2").is_empty());
    stage.apply().says("0 to create, 0 to change, 0 to remove");
}

/// Keeps the root of `h2` full while something is done: whoever gives room back gives it to nobody.
fn kept_full<T>(stage: &Stage, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    let zeros = "/lab/busybox dd if=/dev/zero bs=1024 count=512 2>/dev/null";
    let more = format!("{zeros} >>'{ROOT}/.filler'; /lab/busybox usleep 20000");
    stage.host("h2").fill(ROOT, 0).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let _ = stage.host("h2").try_sh(&more);
            }
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        result
    })
}

#[test]
fn root_that_a_reboot_empties_is_refused_and_nothing_is_written() {
    let spec = Spec::of(2, |host| host.mount(Mount::Memory("/mnt/ram disk".to_owned())));
    let Some(stage) = Stage::new("disk-volatile", &spec) else { return };
    stage.install_app(&["h1", "h2"]);
    stage.write_fleet("500ms");
    services(&stage, "1");
    stage.write_node("h2", "root: \"/mnt/ram disk/gitsync\"\n");
    stage.commit("in memory");
    let state = [ROOT, "/mnt/ram disk/gitsync"];
    let before = Truth::with_state(stage.lab.hosts(), &state).unwrap();
    let words = "the root directory of h2 is on tmpfs, which forgets everything at a reboot";
    stage.run(&["apply", "--yes"]).exits(1).says(words).says("set `root:` in the node's file");
    stage.run(&["plan"]).says(words);
    let daemon = stage.daemon();
    daemon.wait_for(0, words, SOON);
    assert_eq!(daemon.stop(), Some(0));
    before.same_content(&Truth::with_state(stage.lab.hosts(), &state).unwrap()).unwrap();
    assert!(stage.listing("h2", "/mnt/ram disk/gitsync/fleets").is_empty());
    stage.write_node("h2", "root: /var/lib/gitsync\n");
    stage.commit("on disk");
    stage.apply();
    serve(&stage, "1");
}
