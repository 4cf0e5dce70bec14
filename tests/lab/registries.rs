//! Registries that fail, and ways back without them: pulls, missing and moved tags, rate limits, outages.

use std::time::Duration;

use gitsync_lab::registry::Fault;
use gitsync_lab::{Spec, Truth};

use crate::stage::{Said, Stage};

const APPLY: [&str; 2] = ["apply", "--yes"];
const HOSTS: [&str; 2] = ["h1", "h2"];
/// Long enough for a rollout on a machine that is busy with many labs; nothing waits longer than it must.
const SOON: Duration = Duration::from_secs(180);

/// Two hosts without images, and a service on both whose image comes from the registry.
fn stage(scenario: &'static str) -> Option<Stage> {
    let stage = Stage::new(scenario, &Spec::of(2, |host| host.docker()))?;
    stage.write(
        "fleet.yaml",
        "version: 1\nname: stage\ndomain: test\n\
         health: { interval: 250ms, timeout: 1s, retries: 8, stable_for: 1s }\n",
    );
    for version in ["1", "2"] {
        stage.push("app", version, &stage.app.image(version));
    }
    stage.image("app:1");
    Some(stage)
}

impl Stage {
    /// Writes the service with an image of the registry.
    fn image(&self, image: &str) {
        let registry = self.registry().address();
        self.write(
            "services/web.yaml",
            &format!(
                "image: {registry}/{image}\nplacement: {{ on: all }}\nports: {{ web: \"8080:80\" }}\n\
                 health: {{ http: /health, port: web }}\nstop_grace: 1s\n"
            ),
        );
    }

    /// The versions that answer on the hosts.
    fn answers(&self) -> [String; 2] {
        HOSTS.map(|host| self.version(host, 8080))
    }

    /// The IDs of the images that run on the hosts.
    fn runs(&self) -> [String; 2] {
        let inspect = "docker inspect -f '{{.Image}}' $(docker ps -q)";
        HOSTS.map(|host| self.host(host).sh(inspect).unwrap())
    }

    fn pulls(&self) -> usize {
        self.registry().requests().iter().filter(|request| request.is_pull()).count()
    }

    /// Rolls out and insists that it failed before anything was touched; what it said.
    #[track_caller]
    fn fails_in_prepare(&self) -> Said {
        let before = Truth::of(&self.lab).unwrap();
        let said = self.run(&APPLY).exits(3).never_says("wave 1").says("rolled_back");
        before.same(&Truth::of(&self.lab).unwrap()).unwrap_or_else(|told| panic!("{told}"));
        said
    }
}

#[test]
fn failing_registry_stops_a_rollout_before_anything_is_touched_and_condemns_nothing() {
    let Some(stage) = stage("registry-fails") else { return };
    stage.commit("version 1");
    stage.apply();
    assert_eq!(stage.answers(), ["1"; 2]);
    assert!(stage.pulls() >= 2, "{:?}", stage.registry().requests());
    stage.registry().clear_requests();
    stage.apply().says("0 to create, 0 to change");
    assert_eq!(stage.pulls(), 0);

    stage.image("app:2");
    stage.commit("version 2");
    for (fault, words) in [
        (Fault::RateLimited, "toomanyrequests"),
        (Fault::Unauthorized, "no basic auth credentials"),
        (Fault::Corrupt, "verification failed"),
        (Fault::Outage, "Get \"http://10.77.0.254:5000/v2/\""),
    ] {
        stage.registry().set_fault(fault);
        let said = stage.fails_in_prepare();
        assert!(said.has(words), "{fault:?}: {said:?}");
        said.says("cannot pull the image").says("/service.web").never_says("quarantine");
    }
    stage.run(&["status"]).exits(0).never_says("quarantine");

    let daemon = stage.daemon();
    let said = daemon.wait_for(0, "\nrolled_back", SOON);
    assert!(said.contains("cannot pull the image"), "{said}");
    assert_eq!(stage.answers(), ["1"; 2]);
    let mark = daemon.mark();
    stage.registry().set_fault(Fault::None);
    daemon.wait_for(mark, "\nconverged", SOON);
    assert_eq!(stage.answers(), ["2"; 2]);
}

#[test]
fn registry_that_never_answers_is_given_up_and_said() {
    let Some(stage) = stage("registry-hangs") else { return };
    stage.commit("version 1");
    stage.apply();
    stage.image("app:2");
    stage.commit("version 2");
    stage.registry().set_fault(Fault::Hang);
    let before = Truth::of(&stage.lab).unwrap();
    let mut apply = stage.begin(stage.gitsync(&APPLY), "apply.log");
    assert_eq!(apply.ends(SOON), Some(3));
    before.same(&Truth::of(&stage.lab).unwrap()).unwrap_or_else(|told| panic!("{told}"));
    let said = apply.log();
    // The engine words its patience in two ways.
    let told = ["Client.Timeout exceeded", "context deadline exceeded"];
    let told = told.iter().any(|words| said.contains(words));
    assert!(told && !said.contains("quarantine"), "{said}");
    stage.registry().set_fault(Fault::None);
    stage.apply();
    assert_eq!(stage.answers(), ["2"; 2]);
}

#[test]
fn missing_tag_touches_nothing_and_waits_for_another_commit() {
    let Some(stage) = stage("registry-missing") else { return };
    stage.commit("version 1");
    stage.apply();
    let daemon = stage.daemon();
    daemon.wait_for(0, "up to date", SOON);
    let before = Truth::of(&stage.lab).unwrap();
    stage.image("app:nowhere");
    stage.commit("no such tag");
    let said = daemon.wait_for(0, "\nrolled_back", SOON);
    assert!(said.contains("manifest unknown") && said.contains("quarantined"), "{said}");
    assert!(!said.contains("wave 1"), "{said}");
    before.same(&Truth::of(&stage.lab).unwrap()).unwrap_or_else(|told| panic!("{told}"));
    let mark = daemon.mark();
    stage.until(SOON, "further looks", || {
        let looks = daemon.log().split_off(mark).matches("looked at the repository").count();
        if looks >= 3 { Ok(()) } else { Err(format!("{looks} looks")) }
    });
    assert!(!daemon.log().split_off(mark).contains("begins"), "{}", daemon.log());

    // A slow registry costs time and nothing else.
    stage.registry().set_fault(Fault::Slow { bytes_per_second: 1000 });
    let mark = daemon.mark();
    stage.image("app:2");
    stage.commit("version 2");
    daemon.wait_for(mark, "\nconverged", SOON);
    assert_eq!(stage.answers(), ["2"; 2]);
}

#[test]
fn rollback_needs_no_repository_no_registry_and_no_tag() {
    let Some(stage) = stage("registry-rollback") else { return };
    stage.commit("version 1");
    stage.apply();
    let old = stage.runs();
    assert_eq!(old, [stage.app.image("1").id(), stage.app.image("1").id()]);
    stage.image("app:2");
    stage.commit("version 2");
    stage.apply();
    assert_eq!(stage.answers(), ["2"; 2]);

    // The tag moves in the registry; one engine follows it, the other forgets it.
    let tag = stage.push("app", "1", &stage.app.image("3"));
    stage.host("h1").sh(&format!("docker pull -q {tag}")).unwrap();
    stage.host("h2").sh(&format!("docker rmi {tag}")).unwrap();
    stage.registry().set_fault(Fault::Outage);
    let away = stage.bare().with_extension("away");
    std::fs::rename(stage.bare(), &away).unwrap();
    let daemon = stage.daemon();
    daemon.wait_for(0, "the repository can't be looked at", SOON);
    assert_eq!(daemon.stop(), Some(0));

    stage.run(&["rollback", "--yes"]).exits(0).says("converged");
    assert_eq!(stage.answers(), ["1"; 2]);
    assert_eq!(stage.runs(), old);

    // When the repository is back, what was rolled back from stays away.
    std::fs::rename(&away, stage.bare()).unwrap();
    let daemon = stage.daemon();
    daemon.wait_for(0, "rolled back from", SOON);
    assert_eq!(stage.runs(), old);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn moved_tag_changes_nothing_that_runs_and_its_image_comes_with_the_next_reference() {
    let Some(stage) = stage("registry-moved") else { return };
    stage.commit("version 1");
    stage.apply();
    let old = stage.runs();
    stage.push("app", "1", &stage.app.image("moved"));
    stage.registry().clear_requests();

    // The same reference stays the image that was pulled for it, also when the container is made anew.
    stage.apply().says("0 to create, 0 to change");
    stage.edit("services/web.yaml", "stop_grace: 1s", "stop_grace: 2s");
    stage.commit("grace");
    stage.apply();
    assert_eq!(stage.pulls(), 0);
    assert_eq!(stage.runs(), old);

    // A reference by digest means its image wherever the tag went.
    let pinned = stage.registry().pinned("app", &stage.app.image("2"));
    stage.push("app", "2", &stage.app.image("moved"));
    let registry = format!("{}/", stage.registry().address());
    stage.image(pinned.strip_prefix(&registry).unwrap());
    stage.commit("by digest");
    stage.apply();
    assert_eq!(stage.answers(), ["2"; 2]);
}

#[test]
fn pull_that_takes_long_is_not_waited_for_when_the_operator_stops() {
    let Some(stage) = stage("registry-stopped") else { return };
    stage.commit("version 1");
    stage.apply();
    stage.push("app", "3", &stage.app.image("3"));
    let before = Truth::of(&stage.lab).unwrap();
    let pulls = |host: &str| {
        let look =
            "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c 'docker pul[l]'; :";
        stage.host(host).sh(look).unwrap().trim() != "0"
    };
    let wait_for_pulls = |wanted: bool| {
        for host in HOSTS {
            let look = || (pulls(host) == wanted).then_some(()).ok_or(host.to_owned());
            stage.until(SOON, "pulls", look);
        }
    };
    let pulling = |version: &str| {
        stage.image(&format!("app:{version}"));
        stage.commit(&format!("version {version}"));
        stage.registry().set_fault(Fault::Slow { bytes_per_second: 1 });
        let apply = stage.begin(stage.gitsync(&APPLY), &format!("{version}.log"));
        wait_for_pulls(true);
        apply
    };
    let soon = Duration::from_secs(30);
    let holders = "grep -c ^holder /var/lib/gitsync/fleets/*/record; :";

    // Ctrl-C: the nodes are free at once, whatever still runs on them.
    let mut apply = pulling("2");
    apply.signal("INT");
    assert_eq!(apply.ends(soon), Some(3), "{}", apply.log());
    for host in HOSTS {
        let words = format!("{host}: not waited for any more, nothing there was touched");
        assert!(apply.log().contains(&words), "{}", apply.log());
        assert_eq!(stage.host(host).sh(holders).unwrap().trim(), "0");
    }
    assert!(!apply.log().contains("quarantine"), "{}", apply.log());
    before.same(&Truth::of(&stage.lab).unwrap()).unwrap_or_else(|told| panic!("{told}"));

    assert!(pulls("h1") && pulls("h2"), "what was begun may go on");
    stage.registry().set_fault(Fault::None);
    wait_for_pulls(false);

    // SIGTERM: left as it is, and the next one goes on, while the pull that was begun goes on as well.
    let mut apply = pulling("3");
    apply.signal("TERM");
    assert_eq!(apply.ends(soon), Some(1), "{}", apply.log());
    assert!(apply.log().contains("was left before its verdict"), "{}", apply.log());
    before.same(&Truth::of(&stage.lab).unwrap()).unwrap_or_else(|told| panic!("{told}"));
    assert_eq!(stage.answers(), ["1"; 2]);
    stage.registry().set_fault(Fault::None);
    stage.apply().says("goes on").says("converged");
    assert_eq!(stage.answers(), ["3"; 2]);
}
