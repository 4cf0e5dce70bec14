//! Limits of the controller: what goes beyond them is told with its key, and no node is asked.

use crate::lab::{Lab, wait};

/// The controller's settings: its limits, in YAML below `limits:`.
fn limits(lab: &Lab, text: &str) -> String {
    let file = lab.home().join("config.yaml");
    std::fs::write(&file, format!("limits: {text}\n")).unwrap();
    file.display().to_string()
}

/// Both nodes pinned as directories of this machine, whose files may go below them.
fn pins(lab: &Lab) -> String {
    let [n1, n2] = ["n1", "n2"].map(|name| lab.node_directory(name).display().to_string());
    format!(
        "nodes_only: true, nodes: {{ n1: {{ local: true }}, n2: {{ local: true }} }}, destinations: [{n1}, {n2}]"
    )
}

#[test]
fn a_fleet_within_the_limits_is_rolled_out_and_one_beyond_them_is_not_even_asked() {
    let lab = Lab::new();
    let within = limits(&lab, &format!("{{ {} }}", pins(&lab)));
    lab.gitsync(&["--config", &within, "apply", "--yes"]).exits(0).says("converged");
    lab.runs("web 1", "api 1", "welcome");
    // Whoever looks at a node leaves a trace there; a node that is gone could not be asked at all.
    let away = lab.home().join("away");
    std::fs::rename(lab.node_directory("n2"), &away).unwrap();
    std::fs::write(lab.node_directory("n2"), "").unwrap();
    lab.write("bundles/cron.yaml", "files: files/motd/\nto: { on: [n1], path: /etc/cron.d }\n");
    lab.write("nodes/evil.yaml", "address: 203.0.113.9\n");
    lab.commit("beyond");
    for command in [&["plan"][..], &["apply", "--yes"], &["plan", "--detailed-exitcode"]] {
        let said = lab.gitsync(&[&["--config", &within], command].concat()).exits(1);
        let said = said
            .says("this fleet goes beyond the limits of this controller")
            .says("n1/bundle.cron (bundles/cron.yaml): /etc/cron.d is no allowed destination (limits.destinations)")
            .says("nodes/evil.yaml: this node is not pinned (limits.nodes_only)")
            .says("config.yaml");
        assert!(!said.err.contains("reached"), "{}", said.err);
    }
    for command in ["status", "drift"] {
        lab.gitsync(&["--config", &within, command]).exits(1).says("nodes/evil.yaml");
    }
    lab.gitsync(&["--config", &within, "plan", "--base", "HEAD~1"])
        .exits(1)
        .says("n1/bundle.cron")
        .says("(limits.nodes_only)");
    assert!(!std::path::Path::new("/etc/cron.d/motd").exists());
    std::fs::remove_file(lab.node_directory("n2")).unwrap();
    std::fs::rename(&away, lab.node_directory("n2")).unwrap();
    lab.runs("web 1", "api 1", "welcome");
}

#[test]
fn settings_without_limits_and_nodes_of_this_machine_go_together_and_others_must_say_so() {
    let lab = Lab::new();
    let unpinned = limits(&lab, "{ destinations: [/] }");
    lab.gitsync(&["--config", &unpinned, "apply", "--yes"])
        .exits(1)
        .says("a directory of the controller's own machine");
    assert!(!lab.node_directory("n1").join("gitsync").exists());
    let typo = limits(&lab, "{ destination: [/] }");
    lab.gitsync(&["--config", &typo, "plan"]).exits(1).says("destination");
    let none = limits(&lab, "");
    lab.gitsync(&["--config", &none, "apply", "--yes"]).exits(0);
}

#[test]
fn the_daemon_tells_a_commit_beyond_the_limits_and_goes_on_with_its_fix() {
    let lab = Lab::new();
    let config = limits(&lab, &format!("{{ {}, commands: [ '*/service.*' ] }}", pins(&lab)));
    let url = lab.bare().display().to_string();
    let mut daemon = lab.start(&["--config", &config, "run", &url, "--interval", "1h"]);
    daemon.hears("converged");
    let ran = lab.home().join("ran");
    let bundle = std::fs::read_to_string(lab.repository().join("bundles/motd.yaml")).unwrap();
    lab.write("bundles/motd.yaml", &format!("{bundle}activate: touch {}\n", ran.display()));
    lab.write("files/motd/motd", "evil\n");
    lab.commit("a command");
    lab.push();
    daemon.hears("not rolled out: this fleet goes beyond the limits");
    daemon.hears("n1/bundle.motd (bundles/motd.yaml): it has commands");
    lab.runs("web 1", "api 1", "welcome");
    lab.write("bundles/motd.yaml", &bundle);
    lab.write("files/motd/motd", "fixed\n");
    lab.commit("without it");
    lab.push();
    daemon.hears("converged");
    lab.runs("web 1", "api 1", "fixed");
    assert!(!ran.exists());
    daemon.signal("TERM");
    daemon.end().exits(0);
}

#[test]
fn a_rollout_that_was_left_is_put_back_when_limits_became_stricter() {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    let bundle = std::fs::read_to_string(lab.repository().join("bundles/motd.yaml")).unwrap();
    let ran = lab.home().join("ran");
    lab.write("bundles/motd.yaml", &format!("{bundle}activate: touch {}\n", ran.display()));
    lab.write("files/motd/motd", "second\n");
    lab.slow_web("web 2", "1s");
    lab.commit("a command");
    let mut dying = lab.start(&["apply", "--yes"]);
    dying.hears("n1/bundle.motd: switched");
    dying.kill();
    lab.write("bundles/motd.yaml", &bundle);
    lab.commit("without it");
    let config = limits(&lab, &format!("{{ {}, commands: [ '*/service.*' ] }}", pins(&lab)));
    let said = lab.gitsync(&["--config", &config, "apply", "--yes"]).exits(0);
    let why = "rolled_back: its commit is beyond the limits of this controller";
    let left = said.out.split_once(why).unwrap().0;
    assert!(left.contains("n1/bundle.motd: put back"), "{left}");
    lab.runs("web 2", "api 1", "second");
}

#[test]
fn a_kept_release_beyond_limits_that_came_later_is_not_gone_back_to() {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.remove("bundles/motd.yaml");
    lab.commit("no bundle");
    lab.gitsync(&["apply", "--yes"]).exits(0);
    assert!(!lab.motd().exists());
    // The services' directories, and not the bundle's.
    let [n1, n2] = ["n1", "n2"].map(|name| lab.node_directory(name).display().to_string());
    let pins =
        pins(&lab).replace(&format!("[{n1}, {n2}]"), &format!("[{n1}/stacks, {n1}/gitsync, {n2}]"));
    let config = limits(&lab, &format!("{{ {pins} }}"));
    lab.gitsync(&["--config", &config, "apply", "--yes"]).exits(0);
    lab.gitsync(&["--config", &config, "rollback", "--yes"])
        .exits(1)
        .says("n1/bundle.motd")
        .says("(limits.destinations)");
    assert!(!lab.motd().exists());
    lab.gitsync(&["rollback", "--yes"]).exits(0);
    wait("the bundle to come back", || lab.motd().exists());
}
