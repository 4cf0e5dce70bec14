//! Versions that fail in a rollout: everything is put back, nothing is tried again, the next good one goes through.

use std::time::Duration;

use gitsync_lab::image::Image;
use gitsync_lab::{Spec, Truth};
use serde_json::Value;

use crate::stage::{Daemon, Stage};

/// Three services that need each other, so that they change one after the other: host, name, port.
const SERVICES: [(&str, &str, u16); 3] = [("h1", "a", 8081), ("h2", "b", 8082), ("h3", "c", 8083)];
const APPLY: [&str; 2] = ["apply", "--yes"];
/// Long enough for a rollout on a machine that is busy with many labs; nothing waits longer than it must.
const SOON: Duration = Duration::from_secs(180);

/// Three hosts that hold these images next to `app:1` and `app:2`, and a fleet of version 1 that isn't rolled out.
fn stage(scenario: &'static str, images: &[(&str, &Image)]) -> Option<Stage> {
    let stage = Stage::new(scenario, &Spec::of(3, |host| host.docker()))?;
    let [one, two] = ["1", "2"].map(|version| stage.app.image(version));
    let mut all = vec![("app:1", &one), ("app:2", &two)];
    all.extend_from_slice(images);
    stage.load_images(&["h1", "h2", "h3"], &all);
    stage.write(
        "fleet.yaml",
        "version: 1\nname: stage\ndomain: test\n\
         health: { interval: 250ms, timeout: 1s, retries: 6, stable_for: 1s }\n",
    );
    for (place, (host, name, port)) in SERVICES.into_iter().enumerate() {
        let needs = match place.checked_sub(1) {
            Some(before) => format!("depends_on: [{}]\n", SERVICES[before].1),
            None => String::new(),
        };
        stage.write(
            &format!("services/{name}.yaml"),
            &format!(
                "image: app:1\nplacement: {{ on: [{host}] }}\nports: {{ web: \"{port}:80\" }}\n\
                 health: {{ http: /health, port: web }}\nrestart: always\nstop_grace: 1s\n{needs}"
            ),
        );
    }
    stage.write("files/notes/note", "1\n");
    stage.write(
        "bundles/notes.yaml",
        "files: files/notes/\nto: { on: all, path: /etc/notes, mode: \"0644\" }\n",
    );
    Some(stage)
}

impl Stage {
    /// What each service's image is to be; the bundle changes with every call.
    fn images(&self, images: [&str; 3]) {
        for ((_, name, _), image) in SERVICES.into_iter().zip(images) {
            let path = format!("services/{name}.yaml");
            let text = std::fs::read_to_string(self.repository().join(&path)).unwrap();
            let (_, rest) = text.split_once('\n').unwrap();
            self.write(&path, &format!("image: {image}\n{rest}"));
        }
        self.write("files/notes/note", &format!("{}\n", images.join(" ")));
    }

    /// The versions that answer on the three hosts.
    fn versions(&self) -> [String; 3] {
        SERVICES.map(|(host, _, port)| self.version(host, port))
    }

    fn truth(&self) -> Truth {
        Truth::of(&self.lab).unwrap()
    }

    /// All rollouts that the controller began, newest first.
    fn rollouts(&self) -> Vec<Value> {
        let Value::Array(all) = self.run(&["history", "--format", "json"]).exits(0).json() else {
            panic!("history is a list")
        };
        all
    }

    /// Insists that the second wave's failure left the fleet as it was, and that the daemon leaves it so.
    #[track_caller]
    fn second_wave_was_put_back(&self, daemon: &Daemon, before: &Truth) {
        assert_eq!(self.versions(), ["1"; 3]);
        self.is_put_back(before, "h2/service.b");
        self.rests(daemon, 3);
    }

    /// The good version after three that failed.
    #[track_caller]
    fn next_good_one_goes_through(&self, daemon: &Daemon) {
        self.images(["app:2", "app:2", "app:2"]);
        self.rolls(daemon, "version 2", "converged");
        assert_eq!(self.versions(), ["2"; 3]);
        assert_eq!(self.rollouts().len(), 4);
    }

    /// Insists that the fleet is as before, that history says so, and why.
    #[track_caller]
    fn is_put_back(&self, before: &Truth, why: &str) {
        before.same_content(&self.truth()).unwrap_or_else(|told| panic!("{told}"));
        let newest = self.rollouts().swap_remove(0);
        assert_eq!(newest["verdict"], "rolled_back", "{newest}");
        assert!(newest["reason"].as_str().unwrap().contains(why), "no `{why}`: {newest}");
        let status = self.run(&["status", "--format", "json"]).exits(0).json();
        for node in status["nodes"].as_array().unwrap() {
            assert_eq!([&node["state"], &node["verdict"]], ["up", "rolled_back"], "{node}");
            assert!(node["holder"].is_null(), "{node}");
        }
        for unit in status["units"].as_array().unwrap() {
            let state = unit["state"].as_str().unwrap();
            assert!(state.starts_with("running") || state.starts_with("in place"), "{unit}");
        }
        for (host, ..) in SERVICES {
            assert_eq!(self.truth().pending(host), [""; 0], "{host}");
        }
    }

    /// Insists that nothing is rolled out while the repository is looked at so many times more.
    #[track_caller]
    fn rests(&self, daemon: &Daemon, looks: usize) {
        let (mark, before) = (daemon.mark(), self.rollouts().len());
        self.until(SOON, "further looks at the repository", || {
            let said = daemon.log().split_off(mark);
            let seen = said.matches("looked at the repository").count();
            if seen >= looks { Ok(()) } else { Err(format!("{seen} looks")) }
        });
        assert_eq!(self.rollouts().len(), before, "{}", daemon.log());
    }

    /// Commits, and waits until the daemon has ended a rollout as told.
    #[track_caller]
    fn rolls(&self, daemon: &Daemon, message: &str, verdict: &str) -> String {
        let mark = daemon.mark();
        self.commit(message);
        let said = daemon.wait_for(mark, " begins: ", SOON);
        let begun = mark + said.find(" begins: ").unwrap();
        let said = self.until(SOON, "a verdict", || {
            let said = daemon.log().split_off(begun);
            let words = ["\nconverged", "\nrolled_back", "\nneeds_operator"];
            if words.iter().any(|word| said.contains(word)) { Ok(said) } else { Err(said) }
        });
        assert!(said.contains(&format!("\n{verdict}")), "not {verdict}: {said}");
        said
    }
}

#[test]
fn bad_image_in_the_second_of_three_waves_is_put_back() {
    let app = gitsync_lab::app().unwrap();
    let never = app.image("never").env("APP_HEALTH", "never");
    let crash = app.image("crash").env("APP_HEALTH", "crash");
    let images = [("app:never", &never), ("app:crash", &crash)];
    let Some(stage) = stage("failing-second-wave", &images) else { return };
    let daemon = stage.daemon();
    stage.rolls(&daemon, "version 1", "converged");
    assert_eq!(stage.versions(), ["1"; 3]);
    let before = stage.truth();

    stage.images(["app:2", "app:never", "app:2"]);
    let said = stage.rolls(&daemon, "never healthy", "rolled_back");
    assert!(!said.contains("h3/service.c: switching"), "the third wave was touched: {said}");
    stage.second_wave_was_put_back(&daemon, &before);
    let laptop = stage.finish(&APPLY, &mut stage.gitsync_of("laptop", &APPLY)).exits(1);
    laptop.says("quarantined").says("gitsync retry");

    let mark = daemon.mark();
    stage.write("README.md", "Unrelated.\n");
    stage.commit("unrelated");
    daemon.wait_for(mark, "unrelated", SOON);
    daemon.wait_for(mark, "not rolled out: this release", SOON);
    stage.rests(&daemon, 3);
    stage.is_put_back(&before, "h2/service.b");

    stage.images(["app:2", "app:crash", "app:2"]);
    stage.rolls(&daemon, "crash loop", "rolled_back");
    stage.second_wave_was_put_back(&daemon, &before);

    stage.next_good_one_goes_through(&daemon);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn image_that_dies_after_six_seconds_or_answers_on_loopback_only_is_put_back() {
    let app = gitsync_lab::app().unwrap();
    let dies = app.image("dies").env("APP_HEALTH", "dies:6s");
    let alone = app.image("alone").env("APP_BIND", "127.0.0.1");
    let Some(stage) = stage("failing-later", &[("app:dies", &dies), ("app:alone", &alone)]) else {
        return;
    };
    let daemon = stage.daemon();
    stage.rolls(&daemon, "version 1", "converged");
    let before = stage.truth();

    stage.images(["app:2", "app:dies", "app:2"]);
    stage.edit("services/b.yaml", "port: web }", "port: web, stable_for: 8s }");
    let said = stage.rolls(&daemon, "dies after six seconds", "rolled_back");
    assert!(said.contains("h2/service.b: switched, probing"), "{said}");
    stage.second_wave_was_put_back(&daemon, &before);

    stage.images(["app:2", "app:alone", "app:2"]);
    stage.edit("services/b.yaml", ", stable_for: 8s", "");
    stage.rolls(&daemon, "answers on loopback only", "rolled_back");
    stage.second_wave_was_put_back(&daemon, &before);

    stage.next_good_one_goes_through(&daemon);
}

#[test]
fn put_back_that_fails_is_named_and_everything_else_is_put_back() {
    let app = gitsync_lab::app().unwrap();
    let never = app.image("never").env("APP_HEALTH", "never");
    let Some(stage) = stage("failing-put-back", &[("app:never", &never)]) else { return };
    stage.commit("version 1");
    stage.apply();
    let before = stage.truth();

    // The third wave fails slowly enough to take the way back away from the two before it.
    stage.images(["app:2", "app:2", "app:never"]);
    stage.edit("services/b.yaml", "8082:80", "8092:80");
    stage.edit("services/c.yaml", "port: web }", "port: web, retries: 60 }");
    stage.commit("no way back");
    let mut apply = stage.begin(stage.gitsync(&APPLY), "apply.log");
    apply.wait_for(0, "h3/service.c: switched, probing", SOON);
    stage.host("h1").sh("docker rmi -f $(docker image inspect -f '{{.Id}}' app:1)").unwrap();
    stage.host("h2").sh("docker run -d -p 8082:80 app:2").unwrap();
    assert!(!apply.log().contains("putting back"), "too late: {}", apply.log());
    assert_eq!(apply.ends(SOON), Some(4));
    let said = apply.log();
    let ended = said.lines().find(|line| line.starts_with("needs_operator")).unwrap();
    for (unit, why) in [("h1/service.a", "is gone"), ("h2/service.b", "port 8082/tcp is taken")] {
        assert!(ended.contains(unit) && ended.contains(why), "{unit}: {why}: {ended}");
    }

    assert_eq!(stage.version("h3", 8083), "1");
    let after = stage.truth();
    before.only_host("h3").same_content(&after.only_host("h3")).unwrap();
    for host in ["h1", "h2"] {
        assert_eq!(stage.host(host).read("/etc/notes/note").unwrap(), "1\n");
        assert_eq!(after.pending(host).len(), 1, "{:?}", after.pending(host));
    }
    // What the node knows to have no way back keeps running as it is.
    assert_eq!([stage.version("h1", 8081), stage.version("h2", 8092)], ["2", "2"]);
    let status = stage.run(&["status"]).exits(0);
    status.says("needs_operator").says("in between");
    stage.run(&["history"]).exits(0).says("needs_operator").says("h1/service.a");

    // The next good commit needs nobody's hand.
    stage.images(["app:2", "app:2", "app:2"]);
    stage.edit("services/c.yaml", ", retries: 60", "");
    stage.commit("version 2");
    stage.apply();
    assert_eq!(
        ["h1", "h3"].map(|host| stage.version(host, if host == "h1" { 8081 } else { 8083 })),
        ["2"; 2]
    );
    assert_eq!(stage.version("h2", 8092), "2");
}

#[test]
fn operator_or_power_cut_in_the_second_wave_leaves_one_side_wholly() {
    let app = gitsync_lab::app().unwrap();
    let late = app.image("late").env("APP_HEALTH", "after:12s");
    let never = app.image("never").env("APP_HEALTH", "never");
    let Some(stage) = stage("failing-stopped", &[("app:late", &late), ("app:never", &never)])
    else {
        return;
    };
    stage.commit("version 1");
    stage.apply();
    let before = stage.truth();
    let in_wave_two = |log: &str| {
        let apply = stage.begin(stage.gitsync(&APPLY), log);
        apply.wait_for(0, "h2/service.b: switched, probing", SOON);
        assert_eq!([stage.version("h1", 8081), stage.version("h3", 8083)], ["2", "1"]);
        apply
    };

    stage.images(["app:2", "app:late", "app:2"]);
    stage.edit("services/b.yaml", "port: web }", "port: web, retries: 100 }");
    stage.commit("late");
    let mut apply = in_wave_two("interrupted.log");
    apply.signal("INT");
    assert_eq!(apply.ends(SOON), Some(3));
    assert_eq!(stage.versions(), ["1"; 3]);
    stage.is_put_back(&before, "the operator asked to stop");

    // What an operator stopped is not bad: the same commit is rolled out again, and its controller is killed.
    let mut apply = in_wave_two("killed.log");
    apply.signal("KILL");
    apply.ends(SOON);
    let daemon = stage.daemon();
    daemon.wait_for(0, "goes on", SOON);
    daemon.wait_for(0, "\nconverged", SOON);
    assert_eq!(stage.versions(), ["2", "late", "2"]);
    assert_eq!(daemon.stop(), Some(0));
    let before = stage.truth();

    stage.images(["app:1", "app:never", "app:1"]);
    stage.edit("services/b.yaml", "retries: 100", "retries: 40");
    stage.commit("never");
    let apply = stage.begin(stage.gitsync(&APPLY), "killed-again.log");
    apply.wait_for(0, "h2/service.b: switched, probing", SOON);
    apply.signal("KILL");
    drop(apply);
    let said = stage.run(&APPLY);
    assert_eq!(stage.versions(), ["2", "late", "2"], "{said:?}");
    stage.is_put_back(&before, "h2/service.b");
}

#[test]
fn two_failures_at_once_are_put_back_and_the_next_version_goes_through() {
    let Some(stage) = Stage::new("failing-both", &Spec::of(3, |host| host)) else { return };
    let program = std::fs::read(gitsync_lab::app_program().unwrap()).unwrap();
    stage.write(
        "fleet.yaml",
        "version: 1\nname: stage\ndomain: test\n\
         health: { interval: 200ms, timeout: 1s, retries: 5, stable_for: 600ms }\n",
    );
    for (host, name, port) in SERVICES {
        stage.host(host).write("/opt/app", &program).unwrap();
        stage.host(host).sh("chmod 755 /opt/app").unwrap();
        stage.write(
            &format!("services/{name}.yaml"),
            &format!(
                "run: command\nstart: exec /opt/app\nplacement: {{ on: [{host}] }}\nports: {{ web: {port} }}\n\
                 env: {{ APP_VERSION: \"1\", APP_PORTS: \"{port}\", APP_HEALTH: ok }}\n\
                 health: {{ http: /health, port: web }}\n"
            ),
        );
    }
    stage.commit("version 1");
    stage.apply();
    let before = stage.truth();

    for (_, name, _) in SERVICES {
        stage.edit(&format!("services/{name}.yaml"), "APP_VERSION: \"1\"", "APP_VERSION: \"2\"");
    }
    stage.edit("services/a.yaml", "APP_HEALTH: ok", "APP_HEALTH: never");
    stage.edit("services/c.yaml", "APP_HEALTH: ok", "APP_HEALTH: crash");
    stage.commit("two are bad");
    let said = stage.run(&APPLY).exits(3).says("rolled_back").says("h2/service.b: put back");
    assert!(said.has("h1/service.a: failed") || said.has("h3/service.c: failed"), "{said:?}");
    assert_eq!(stage.versions(), ["1"; 3]);
    stage.is_put_back(&before, "/service.");

    for (name, health) in [("a", "never"), ("c", "crash")] {
        stage.edit(&format!("services/{name}.yaml"), health, "ok");
    }
    stage.commit("all are good");
    stage.apply();
    assert_eq!(stage.versions(), ["2"; 3]);
}
