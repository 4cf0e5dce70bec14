//! The whole tool on three real sshds with a user who has sudo, a real engine, real Caddy and a real Git repository.

#[path = "../support/commit.rs"]
mod commit;
#[path = "../support/sshd.rs"]
#[allow(dead_code)]
mod sshd;

mod docker;
mod lab;
mod user;

use lab::Lab;

/// One story, because each step stands on the one before it: what a fleet lives through.
#[test]
fn a_fleet_lives_through_good_and_bad_commits() {
    let Some(mut lab) = Lab::start() else { return };
    first_apply_brings_everything_up(&mut lab);
    second_apply_moves_nothing(&mut lab);
    one_change_touches_only_what_must_follow(&mut lab);
    failing_probe_puts_everything_back(&mut lab);
    crash_after_six_seconds_puts_everything_back(&mut lab);
    hand_made_changes_are_told_as_drift(&mut lab);
    removed_service_goes_after_its_route(&mut lab);
    rollback_needs_neither_git_nor_the_old_tag(&mut lab);
}

fn first_apply_brings_everything_up(lab: &mut Lab) {
    lab.commit("first");
    let said = lab.gitsync(&["apply", "--yes"], 0);
    assert!(said.contains("converged"), "{said}");
    assert_eq!(lab.get("web.test"), "web 1", "through the gateway");
    assert_eq!(lab.get("pair.test"), "pair 1", "through the gateway");
    assert_eq!(lab.direct(lab.ports.db), "db 1");
    assert_eq!(std::fs::read_to_string(lab.bundle_file()).unwrap(), "hello\n");
}

fn second_apply_moves_nothing(lab: &mut Lab) {
    let before = lab.truth();
    let commands = lab.commands();
    let said = lab.gitsync(&["apply", "--yes"], 0);
    assert!(said.contains("0 to create, 0 to change, 0 to remove"), "{said}");
    assert_eq!(lab.truth(), before, "no inode, mtime or container moved");
    for (node, (after, before)) in lab.commands().iter().zip(commands).enumerate() {
        assert_eq!(after - before, 1, "node {node} was asked once");
    }
}

fn one_change_touches_only_what_must_follow(lab: &mut Lab) {
    let before = lab.truth();
    lab.edit("services/web.yaml", "app:1", "app:2");
    lab.commit("web 2");
    let said = lab.gitsync(&["apply", "--yes"], 0);
    let switched = said.lines().filter(|line| line.ends_with(": switching"));
    assert_eq!(switched.collect::<Vec<_>>(), ["n1/service.web: switching"]);
    assert_eq!(lab.get("web.test"), "web 2");
    let moved: Vec<String> = lab.truth().difference(&before).cloned().collect();
    assert!(moved.iter().all(|line| line.contains("web")), "{moved:?}");
}

fn failing_probe_puts_everything_back(lab: &mut Lab) {
    let before = lab.content();
    lab.edit("services/web.yaml", "http: /", "http: /never");
    lab.edit("files/conf/greeting", "hello", "good bye");
    lab.commit("web that is never healthy");
    let said = lab.gitsync(&["apply", "--yes"], 3);
    assert!(said.contains("rolled_back") && said.contains("404"), "{said}");
    assert_eq!(lab.content(), before, "files and images are what they were");
    assert_eq!(lab.get("web.test"), "web 2");
    let said = lab.gitsync(&["apply", "--yes"], 1);
    assert!(said.contains("quarantined"), "{said}");
    lab.write("README.md", "nothing that anything is made from\n");
    lab.commit("unrelated");
    let said = lab.gitsync(&["apply", "--yes"], 1);
    assert!(said.contains("quarantined"), "the content is what failed, not the commit: {said}");
    assert!(lab.gitsync(&["status"], 0).contains("quarantined"));
    lab.edit("services/web.yaml", "http: /never", "http: /");
    lab.edit("files/conf/greeting", "good bye", "hello");
}

fn crash_after_six_seconds_puts_everything_back(lab: &mut Lab) {
    let before = lab.content();
    lab.edit("services/web.yaml", "app:2", "app:crash");
    lab.commit("web that dies after six seconds");
    let said = lab.gitsync(&["apply", "--yes"], 3);
    assert!(said.contains("rolled_back"), "{said}");
    assert_eq!(lab.content(), before);
    assert_eq!(lab.get("web.test"), "web 2");
    lab.edit("services/web.yaml", "app:crash", "app:2");
    lab.commit("web 2 again");
    lab.gitsync(&["apply", "--yes"], 0);
}

fn hand_made_changes_are_told_as_drift(lab: &mut Lab) {
    assert!(lab.gitsync(&["drift"], 0).contains("no drift"));
    std::fs::write(lab.bundle_file(), "changed by hand\n").unwrap();
    docker::run(&["stop", "-t", "1", &docker::container("db")]);
    let said = lab.gitsync(&["drift"], 1);
    assert!(said.contains("-hello") && said.contains("+changed by hand"), "{said}");
    assert!(said.contains("n2/service.db") && said.contains("does not run"), "{said}");
    std::fs::write(lab.bundle_file(), "hello\n").unwrap();
    docker::run(&["start", &docker::container("db")]);
}

fn removed_service_goes_after_its_route(lab: &mut Lab) {
    lab.remove("services/media/service.yaml");
    lab.remove("services/media/compose.yaml");
    lab.commit("no media");
    let said = lab.gitsync(&["apply", "--yes"], 0);
    let gateway = said.find("n1/gateway.edge: switching").expect("the route goes");
    let stopped = said.find("n3/service.media: stopped").expect("the service stops");
    assert!(gateway < stopped, "route first, then service: {said}");
    assert!(docker::container("media").is_empty(), "its container is gone");
    assert!(docker::volumes().contains("media_library"), "its volume stays");
}

fn rollback_needs_neither_git_nor_the_old_tag(lab: &mut Lab) {
    lab.edit("services/web.yaml", "app:2", "app:3");
    lab.commit("web 3");
    lab.gitsync(&["apply", "--yes"], 0);
    assert_eq!(lab.get("web.test"), "web 3");
    let old = docker::image_id("gitsync-test/app:2");
    docker::run(&["tag", "gitsync-test/app:crash", "gitsync-test/app:2"]);
    lab.lose_git();
    let said = lab.gitsync(&["rollback", "--yes"], 0);
    assert!(said.contains("converged"), "{said}");
    assert_eq!(lab.get("web.test"), "web 2");
    assert_eq!(docker::running_image("web"), old, "exactly the image that ran before");
    docker::run(&["tag", &old, "gitsync-test/app:2"]);
}
