//! Two instances change one after the other at the shipped settings: users see no request fail.
//!
//! These take longest, and tests begin in the order of their names: hence this one, or all would wait for them at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use gitsync_lab::traffic::{Awaited, Seen, Talked, Transferred};

use crate::pair::{self, SITE};
use crate::stage::Stage;

/// A program that takes its time: 12 s until it listens; when it is to stop it fails its check at once and goes on
/// answering for longer than a gateway takes between two looks.
const START: &str = "12s";
const DRAIN: &str = "12s";

/// What users met while a service changed, and who answered from where.
struct Met {
    places: BTreeMap<String, &'static str>,
    seen: Seen,
    talked: Talked,
    moved: Transferred,
}

impl Met {
    /// Versions and hosts in the order in which they were met, runs of equal answers as one.
    fn turns(&self) -> Vec<(String, &'static str)> {
        let mut turns: Vec<(String, &'static str)> = Vec::new();
        for answer in &self.seen.answers {
            let place = self.places.get(answer.host().unwrap_or_default());
            let turn = (answer.version().unwrap_or_default().to_owned(), *place.unwrap_or(&"?"));
            if turns.last() != Some(&turn) {
                turns.push(turn);
            }
        }
        turns
    }

    /// No request failed; what stayed open dropped once at most, as the plan had said.
    fn assert_kept(&self) {
        self.seen.assert_flawless();
        assert_eq!(self.talked.ends.len(), 1, "{}", self.talked.summary());
        assert_eq!(self.talked.drops().len(), 1, "{}", self.talked.summary());
        assert!(self.moved.is_whole() || self.moved.version.as_deref() == Some("1"));
    }
}

/// Rolls version 1 out, then version 2 under load, with a placement and otherwise what is shipped.
/// Ends when these hosts have answered with what they run then.
fn change_under_load(scenario: &'static str, placement: &str, hosts: &[&str]) -> Option<Met> {
    let stage = Stage::new(scenario, &pair::hosts())?;
    let image = |version| stage.app.image(version).env("APP_DRAIN", DRAIN);
    let (one, two) = (image("1"), image("2").env("APP_START_DELAY", START));
    stage.load_images(&["h1", "h2"], &[("app:1", &one), ("app:2", &two)]);
    stage.write_gateway("");
    stage.write(
        "services/web.yaml",
        &format!(
            "image: app:1\nplacement: {placement}\nports: {{ web: \"8080:80\" }}\n\
             expose: [{{ host: {SITE}, port: web }}]\nhealth: {{ http: /health, port: web }}\nstop_grace: 15s\n"
        ),
    );
    stage.commit("version 1");
    stage.apply();
    // From here on only what is shipped: the stage's own settings are hasty.
    stage.write("fleet.yaml", "version: 1\nname: stage\ndomain: test\n");
    stage.edit("services/web.yaml", "app:1", "app:2");
    stage.commit("version 2");
    let mut plan = stage.run(&["plan"]).exits(0).never_says("gateway.edge");
    for host in ["h1", "h2"] {
        plan = plan.says(&format!("WebSockets and long downloads on {host} drop once"));
    }
    let mut places = stage.containers();
    let socket = stage.websocket(stage.site().at("/ws"));
    socket.wait_for_echoes(1, Duration::from_secs(5)).unwrap();
    let download = stage.download(Duration::from_secs(60));
    download.wait_for_bytes(1, Duration::from_secs(5)).unwrap();
    let users = stage.users_of_site();
    stage.apply();
    let changed = stage.containers();
    for (name, _) in changed.iter().filter(|(_, host)| hosts.contains(*host)) {
        // The gateway looks every ten seconds, so within eleven it knows that the last one is back.
        let back = Awaited::any().host(name);
        users.wait_for(&back, Duration::from_secs(20)).unwrap();
    }
    places.extend(changed);
    let moved = download.finish();
    Some(Met { places, seen: users.stop(), talked: socket.stop(), moved })
}

#[test]
fn a_primary_and_its_fallback_change_and_no_request_fails() {
    let placement = "{ primary: h1, fallback: [h2] }";
    let Some(met) = change_under_load("rolling-pair", placement, &["h1"]) else { return };
    met.assert_kept();
    // The fallback changes first, while the primary serves; then it serves alone until the primary is back.
    let turns = [("1", "h1"), ("2", "h2"), ("2", "h1")];
    assert_eq!(met.turns(), turns.map(|(version, host)| (version.to_owned(), host)));
    // It was over before the primary was stopped.
    met.moved.assert_whole();
}

#[test]
fn two_equals_change_and_no_request_fails() {
    let Some(met) = change_under_load("rolling-equals", "{ on: [h1, h2] }", &["h1", "h2"]) else {
        return;
    };
    met.assert_kept();
    assert_eq!(met.seen.versions(), ["1", "2"]);
    assert_eq!(met.places.len(), met.seen.hosts().len(), "all served: {}", met.seen.summary());
}

#[test]
fn a_primary_is_not_stopped_before_the_gateway_has_seen_its_fallback_again() {
    let Some(stage) = Stage::new("rolling-gate", &pair::hosts()) else { return };
    let image = |version| stage.app.image(version).env("APP_START_DELAY", START);
    let images = [("app:1", &stage.app.image("1")), ("app:2", &image("2"))];
    stage.load_images(&["h1", "h2"], &images);
    let interval = Duration::from_secs(30);
    stage.write_gateway("health_interval: 30s\nhealth_timeout: 1s\n");
    stage.write(
        "services/web.yaml",
        &format!(
            "image: app:1\nplacement: {{ primary: h1, fallback: [h2] }}\nports: {{ web: \"8080:80\" }}\n\
             expose: [{{ host: {SITE}, port: web }}]\nhealth: {{ http: /health, port: web, retries: 60, stable_for: 1s }}\n"
        ),
    );
    stage.commit("version 1");
    stage.apply();
    stage.edit("services/web.yaml", "app:1", "app:2");
    stage.commit("version 2");
    // The fallback is away when the gateway looks, and back long before it looks again.
    stage.after_a_look(interval, Duration::from_secs(20));
    let users = stage.users_of_site();
    stage.apply();
    let seen = users.stop();
    // The app ends at once when it is told to: a POST that it had taken may be lost, and nothing else.
    let failures = seen.failures();
    let gets = failures.iter().filter(|answer| answer.method == "GET").count();
    assert!(gets == 0 && failures.len() <= 2, "{}", seen.summary());
}
