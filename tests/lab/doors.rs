//! Ways into nodes: users and sudo, jump hosts, host keys, and what an sshd does not allow.

use std::time::Duration;

use gitsync_lab::{HostSpec, Spec, Truth, Way};

use crate::plain::{self, PORT, commit_version, process, run_within, write_web};
use crate::stage::Stage;

/// Writes a host's node file with these SSH settings after its own host name and address.
fn write_node(stage: &Stage, name: &str, ssh: &str, more: &str) {
    let address = stage.host(name).address();
    stage.write(
        &format!("nodes/{name}.yaml"),
        &format!("address: {address}\nssh: {{ host: {name}, {ssh} }}\nboot: none\n{more}"),
    );
}

/// The identity that hosts let in, and a host's pinned key.
fn trusted(stage: &Stage, name: &str) -> String {
    let key = stage.host(name).host_key().unwrap();
    format!("identity: {}, host_key: \"{key}\"", stage.lab.identity().display())
}

/// Adds lines to a host's sshd configuration and has them read.
fn configure(stage: &Stage, name: &str, lines: &str) {
    let path = "/etc/ssh/sshd_config";
    let text = stage.host(name).read(path).unwrap();
    stage.host(name).write(path, format!("{lines}\n{text}")).unwrap();
    let first = "/lab/busybox pidof sshd | /lab/busybox tr ' ' '\\n' | /lab/busybox sort -n | /lab/busybox head -n 1";
    stage.host(name).sh(&format!("kill -HUP $({first})")).unwrap();
    stage.host(name).wait_for("sshd", "127.0.0.1 22", Duration::from_secs(10)).unwrap();
}

#[test]
fn every_door_that_stays_shut_is_named_with_its_reason_and_nothing_changes() {
    let Some(stage) = plain::stage("doors-shut", &Spec::of(6, |host| host)) else { return };
    let all = ["h1", "h2", "h3", "h4", "h5", "h6"];
    write_web(&stage, &all);
    stage.commit("web");
    stage.apply();
    let before = Truth::of(&stage.lab).unwrap();
    commit_version(&stage, "web", "1", "2");
    let sudoers = "/etc/sudoers.d/deploy";
    stage.host("h2").write(sudoers, "Defaults use_pty\ndeploy ALL=(ALL) ALL\n").unwrap();
    let stranger = stage.controller().join("stranger");
    let mut keygen = std::process::Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&stranger);
    assert!(keygen.status().unwrap().success());
    let key = |name: &str| format!("host_key: \"{}\"", stage.host(name).host_key().unwrap());
    let missing = stage.controller().join("no-such-key");
    write_node(&stage, "h3", &format!("user: nobody-here, {}", trusted(&stage, "h3")), "");
    let with = |path: &std::path::Path, name| {
        format!("user: deploy, sudo: true, identity: {}, {}", path.display(), key(name))
    };
    write_node(&stage, "h4", &with(&stranger, "h4"), "");
    write_node(&stage, "h5", &with(&missing, "h5"), "");
    write_node(&stage, "h6", &format!("user: deploy, {}", trusted(&stage, "h6")), "");
    stage.commit("doors");
    let said = run_within(&stage, Duration::from_secs(30), &["apply", "--yes"]).exits(1);
    let said = said.says("h2 can't be reached: ").says("sudo wants a password from deploy");
    let said = said.says("deploy ALL=(root) NOPASSWD: ALL");
    let said = said.says("h3 can't be reached: nobody-here@h3: Permission denied");
    let said = said.says("h4 can't be reached: deploy@h4: Permission denied");
    let said = said.says("h5 can't be reached: ").says("no-such-key");
    let said = said.says("h6 can't be reached: ").says("/var/lib/gitsync");
    said.says("nothing was changed").never_says("h1 can't");
    stage.host("h2").write(sudoers, "Defaults use_pty\ndeploy ALL=(ALL) NOPASSWD: ALL\n").unwrap();
    let after = Truth::of(&stage.lab).unwrap();
    before.without(&[sudoers]).same(&after.without(&[sudoers])).unwrap();
    assert_eq!(all.map(|host| stage.version(host, PORT)), ["1"; 6]);
}

#[test]
fn root_without_sudo_and_a_user_with_sudo_end_with_the_same_files_and_processes() {
    let Some(stage) = plain::stage("doors-users", &Spec::of(2, |host| host)) else { return };
    write_node(&stage, "h2", &format!("user: root, {}", trusted(&stage, "h2")), "");
    write_web(&stage, &["h1", "h2"]);
    stage.write(
        "bundles/words.yaml",
        "files: files/words/\nto: { on: all, path: /etc/words, mode: \"0640\" }\n",
    );
    stage.write("files/words/word", "one\n");
    stage.commit("web");
    stage.apply();
    commit_version(&stage, "web", "1", "2");
    stage.apply().says("converged");
    let owner = |host: &str| stage.host(host).sh("stat -c '%U:%G %a' /etc/words/word").unwrap();
    let user = |host: &str| {
        let pid = process(&stage, host, "service.web");
        stage.host(host).sh(&format!("stat -c %U /proc/{pid}")).unwrap()
    };
    for host in ["h1", "h2"] {
        assert_eq!(stage.version(host, PORT), "2", "{host}");
        assert_eq!(owner(host), "root:root 640", "{host}");
        assert_eq!(user(host), "root", "{host}");
        assert!(stage.host(host).read("/etc/sudoers.d/deploy").unwrap().contains("use_pty"));
    }
}

#[test]
fn changed_and_unknown_host_keys_are_refused_until_the_line_that_is_told_is_written() {
    let Some(stage) = plain::stage("doors-keys", &Spec::of(3, |host| host)) else { return };
    write_web(&stage, &["h1", "h2", "h3"]);
    stage.commit("web");
    stage.apply();
    let before = Truth::of(&stage.lab).unwrap();
    commit_version(&stage, "web", "1", "2");
    stage.host("h2").change_host_key().unwrap();
    let identity = format!("identity: {}", stage.lab.identity().display());
    let unpinned = format!("user: deploy, sudo: true, {identity}");
    // A name that no file of this machine's user can know.
    let stranger = format!("stranger-{}", std::process::id());
    stage.lab.name(&stranger, stage.host("h3").address()).unwrap();
    write_node(&stage, "h3", &unpinned, "");
    stage.edit("nodes/h3.yaml", "host: h3", &format!("host: {stranger}"));
    stage.commit("h3 unpinned");
    let said = stage.run(&["apply", "--yes"]).exits(1);
    let said = said.says("the host key of `h2` (h2) is not the pinned one");
    let said = said.says("write below `ssh:` in nodes/h2.yaml").says("Someone may be in between");
    let said =
        said.says(&format!("the host key of `h3` ({stranger}) is not known")).says("known_hosts");
    let said = said.says("nothing was changed");
    told_in_lines_of_their_own(&stage);
    let keys = ["/etc/ssh"];
    let after = Truth::of(&stage.lab).unwrap();
    before.without(&keys).same(&after.without(&keys)).unwrap();
    let told = told_keys(&said.err);
    assert_eq!(told.len(), 2, "{}", said.err);
    for (name, key) in ["h2", "h3"].iter().zip(&told) {
        write_node(&stage, name, &format!("{unpinned}, host_key: \"{key}\""), "");
    }
    stage.commit("keys");
    stage.apply().says("converged");
    assert_eq!(["h1", "h2", "h3"].map(|host| stage.version(host, PORT)), ["2"; 3]);
}

/// Tables have a line for each node and what to do below them; the plan has it below the refusal.
#[track_caller]
fn told_in_lines_of_their_own(stage: &Stage) {
    let status = stage.run(&["status"]).exits(0).out;
    let row = |host: &str| {
        let mut lines = status.lines().skip_while(|line| !line.starts_with("NODE"));
        lines.find(|line| line.starts_with(&format!("{host}  "))).unwrap_or_default().to_owned()
    };
    assert!(row("h1").starts_with("h1    up "), "{status}");
    let state = "unreachable: the host key of `h2` (h2) is not the pinned one ";
    assert!(row("h2").contains(state) && row("h2").ends_with("-"), "{status}");
    assert!(!row("h2").contains("It offers"), "{status}");
    assert_eq!(told_keys(&status).len(), 2, "{status}");
    let plan = stage.run(&["plan"]).exits(1).out;
    let refused =
        "\n  h2 can't be reached: the host key of `h2` (h2) is not the pinned one [unreachable]\n";
    assert!(plan.contains(refused) && told_keys(&plan).len() == 2, "{plan}");
    assert!(
        plan.contains("  h2 takes no part (the host key of `h2` (h2) is not the pinned one)\n")
    );
    assert!(!plan.contains('\u{fffd}'), "{plan}");
    let plan = stage.run(&["plan", "--format", "markdown"]).exits(1).out;
    assert!(
        plan.contains("is not the pinned one It offers ") && !plan.contains('\u{fffd}'),
        "{plan}"
    );
}

/// The keys of lines `host_key: "…"`, in order.
fn told_keys(said: &str) -> Vec<String> {
    let lines = said.lines().filter_map(|line| line.trim().strip_prefix("host_key: \""));
    lines.filter_map(|line| line.split('"').next().map(str::to_owned)).collect()
}

#[test]
fn a_node_behind_a_jump_host_is_rolled_out_through_it() {
    let Some(stage) = plain::stage("doors-jump", &Spec::of(2, |host| host)) else { return };
    write_web(&stage, &["h1", "h2"]);
    stage.commit("web");
    for way in [Way::Deaf, Way::Mute] {
        stage.host("h2").one_way(way, stage.lab.controller()).unwrap();
    }
    run_within(&stage, Duration::from_secs(30), &["apply", "--yes"])
        .exits(1)
        .says("h2 can't be reached: ");
    let ssh = format!("user: deploy, sudo: true, jump: h1, {}", trusted(&stage, "h2"));
    write_node(&stage, "h2", &ssh, "");
    stage.commit("through h1, which does not know the name");
    let said = stage.run(&["apply", "--yes"]).exits(1);
    said.says("h2 can't be reached: the jump host says: ").never_says("UNKNOWN");
    stage.host("h1").sh(&format!("echo {} h2 >>/etc/hosts", stage.host("h2").address())).unwrap();
    stage.apply().says("h2/service.web: healthy").says("converged");
    assert_eq!(version_from(&stage, "h1", "h2"), "1");
    commit_version(&stage, "web", "1", "2");
    stage.apply();
    assert_eq!(version_from(&stage, "h1", "h2"), "2");
    // The jump host's own key is checked, too.
    let before = plain::truth(&stage, "h2");
    stage.host("h1").change_host_key().unwrap();
    commit_version(&stage, "web", "2", "3");
    let said = stage.run(&["apply", "--yes"]).exits(1);
    said.says("the host key of `h1` (h1) is not the pinned one").says("nothing was changed");
    plain::untouched(&stage, "h2", &before);
    assert_eq!(version_from(&stage, "h1", "h2"), "2");
}

/// The version that answers on a host, asked from another one.
fn version_from(stage: &Stage, from: &str, host: &str) -> String {
    let address = stage.host(host).address();
    let script = format!("/lab/busybox wget -q -O - http://{address}:{PORT}/");
    stage.host(from).sh(&script).unwrap().trim().to_owned()
}

#[test]
fn few_sessions_a_root_with_spaces_and_forbidden_forwarding_are_no_obstacle() {
    let shape = |host: HostSpec| match host.name.as_str() {
        "h1" => HostSpec { max_sessions: 1, ..host },
        "h2" => host.poor(),
        _ => host,
    };
    let Some(stage) = plain::stage("doors-narrow", &Spec::of(3, shape)) else { return };
    stage.write_node("h2", "root: /var/lib/my own/git sync\n");
    configure(&stage, "h3", "AllowTcpForwarding no");
    for (name, port) in [("web", PORT), ("api", 8081), ("cron", 8082)] {
        plain::write_service(&stage, name, &["h1", "h2", "h3"], port, "");
    }
    stage.commit("three services");
    stage.apply().says("converged");
    assert!(stage.host("h2").has("/var/lib/my own/git sync/fleets/stage/record"));
    assert!(!stage.host("h2").has("/var/lib/gitsync"));
    for host in ["h1", "h2", "h3"] {
        assert_eq!(stage.version(host, PORT), "1", "{host}");
    }
    stage.run(&["apply", "--yes"]).exits(0).says("0 to create, 0 to change, 0 to remove");
    stage.run(&["check"]).exits(0);
    commit_version(&stage, "web", "1", "2");
    stage.apply().says("converged");
    for host in ["h1", "h2", "h3"] {
        assert_eq!(stage.version(host, PORT), "2", "{host}");
    }
    // A probe that fails where nothing is forwarded is a failure like any other.
    let before =
        Truth::with_state(stage.lab.hosts(), &["/var/lib/gitsync", "/var/lib/my own/git sync"]);
    let before = before.unwrap();
    stage.edit("services/web.yaml", "APP_VERSION: \"2\"", "APP_VERSION: \"3\", APP_HEALTH: never");
    stage.commit("web never gets well");
    stage.run(&["apply", "--yes"]).exits(3).says("rolled_back");
    let after =
        Truth::with_state(stage.lab.hosts(), &["/var/lib/gitsync", "/var/lib/my own/git sync"]);
    before.same_content(&after.unwrap()).unwrap();
    assert_eq!(["h1", "h2", "h3"].map(|host| stage.version(host, PORT)), ["2"; 3]);
}

#[test]
fn where_nothing_is_forwarded_and_nothing_can_ask_the_reason_is_told_and_no_release_blamed() {
    let Some(stage) = plain::stage("doors-mute", &Spec::of(1, |host| host)) else { return };
    write_web(&stage, &["h1"]);
    stage.commit("web");
    configure(&stage, "h1", "AllowTcpForwarding no");
    stage.host("h1").sh("rm -f /usr/bin/curl /usr/bin/wget").unwrap();
    stage
        .run(&["apply", "--yes"])
        .exits(3)
        .says("sshd forwards nothing and there is neither curl nor wget");
    configure(&stage, "h1", "AllowTcpForwarding yes");
    stage.apply().says("converged");
    assert_eq!(stage.version("h1", PORT), "1");
}
