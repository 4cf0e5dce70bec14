//! The primary goes away in every way that it can: users are answered by the fallback, then by the primary again.

use std::time::Duration;

use gitsync_lab::traffic::{Answer, Awaited, Load, Seen, Traffic};

use crate::pair::{self, SITE};
use crate::stage::Stage;

/// How long requests may yet be sent to a host that says nothing: the time between two looks of the gateway, 500 ms,
/// the time that one may take, 2 s, and a second for a busy machine.
const UNNOTICED: Duration = Duration::from_millis(3500);
/// Longer than a dial that nobody answers, 3 s, and the request to the fallback after it.
const PATIENCE: Duration = Duration::from_secs(6);

/// A primary on `h1` and a fallback on `h2`, rolled out.
struct Pair {
    stage: Stage,
    primary: String,
    fallback: String,
}

/// What users met around one fault.
struct Met {
    /// When the fault began and when it was complete.
    fault: (Duration, Duration),
    /// When it began to be repaired.
    repaired: Duration,
    seen: Seen,
}

impl Pair {
    fn new(scenario: &'static str, gateway: &str) -> Option<Self> {
        let stage = Stage::new(scenario, &pair::hosts())?;
        stage.load_images(&["h1", "h2"], &[("app:1", &stage.app.image("1"))]);
        stage.write_gateway(gateway);
        stage.write(
            "services/web.yaml",
            &format!(
                "image: app:1\nplacement: {{ primary: h1, fallback: [h2] }}\nports: {{ web: \"8080:80\" }}\n\
                 expose: [{{ host: {SITE}, port: web }}]\nhealth: {{ http: /health, port: web }}\n"
            ),
        );
        stage.commit("a pair");
        stage.apply();
        let containers = stage.containers();
        let on = |host| containers.iter().find(|(_, place)| **place == host).unwrap().0.clone();
        let (primary, fallback) = (on("h1"), on("h2"));
        Some(Self { stage, primary, fallback })
    }

    /// Users before, during and after a fault: the primary answers, then the fallback, then the primary again.
    fn through(&self, fault: impl FnOnce(&Stage), repair: impl FnOnce(&Stage)) -> Met {
        let users = self.users();
        users.wait_for(&Awaited::any().since(Duration::from_secs(1)), PATIENCE).unwrap();
        let before = users.so_far();
        assert_eq!(before.hosts(), [self.primary.as_str()], "{}", before.summary());
        let began = users.elapsed();
        fault(&self.stage);
        let fault = (began, users.elapsed());
        let other = Awaited::any().host(&self.fallback).since(began);
        users.wait_for(&other, PATIENCE).unwrap();
        // Whoever was sent to the primary has given up by then.
        users.wait_for(&Awaited::any().since(fault.1 + PATIENCE), 2 * PATIENCE).unwrap();
        let repaired = users.elapsed();
        repair(&self.stage);
        let back = Awaited::any().host(&self.primary).since(repaired);
        users.wait_for(&back, Duration::from_secs(30)).unwrap();
        Met { fault, repaired, seen: users.stop() }
    }

    fn users(&self) -> Traffic {
        let mut load = Load::on(self.stage.site());
        load.timeout = PATIENCE;
        Traffic::start(load, |work| self.stage.lab.spawn(work))
    }
}

impl Met {
    /// Requests fail only if they were under way when the fault began or sent until so long after it; later ones are
    /// answered, and soon.
    fn assert_only_lost_within(&self, grace: Duration) {
        let (began, ended) = self.fault;
        let excused = |answer: &Answer| answer.ended() >= began && answer.at <= ended + grace;
        let failures = self.seen.failures();
        let strange = failures.iter().filter(|answer| !excused(answer)).count();
        let meanwhile = self.seen.answers.iter().filter(|answer| answer.at > ended + grace);
        let slow = |answer: &&Answer| answer.at < self.repaired && answer.took > PATIENCE / 2;
        let (slow, told) = (meanwhile.filter(slow).count(), self.seen.summary());
        let fine = self.seen.lost() == 0 && strange == 0 && slow == 0;
        assert!(
            fine,
            "{strange} lost, {slow} slow without need, fault {began:?}–{ended:?}: {told}"
        );
    }

    /// At most so many requests failed.
    fn assert_at_most(&self, count: usize) {
        assert!(self.seen.failures().len() <= count, "{}", self.seen.summary());
    }
}

#[test]
fn a_dead_primary_loses_no_get_and_serves_again_when_it_is_back() {
    // The gateway's shipped settings: it would notice by itself only nine seconds after this.
    let Some(pair) = Pair::new("failover-app", "") else { return };
    let primary = &pair.primary;
    let docker = |verb| {
        move |stage: &Stage| drop(stage.host("h1").sh(&format!("docker {verb} {primary}")).unwrap())
    };
    pair.stage.after_a_look(Duration::from_secs(10), Duration::from_millis(0));
    let met = pair.through(docker("kill"), docker("start"));
    // A POST that was under way may be lost, for nobody knows whether it was carried out. Nothing else is.
    let get = met.seen.failures().iter().any(|answer| answer.method == "GET");
    assert!(!get, "{}", met.seen.summary());
    met.assert_only_lost_within(Duration::ZERO);
    met.assert_at_most(3);
    // Even the one request that finds the port closed is answered.
    docker("kill")(&pair.stage);
    let site = pair.stage.site();
    let reply = pair.stage.get(site.addr, &site.host, "/");
    assert_eq!(reply.map(|reply| reply.status), Ok(200));
}

#[test]
fn a_silent_host_is_left_as_soon_as_the_gateway_knows_and_found_again() {
    let gateway = "health_interval: 500ms\nhealth_timeout: 2s\n";
    let Some(pair) = Pair::new("failover-host", gateway) else { return };
    let met = pair.through(
        |stage| stage.host("h1").freeze().unwrap(),
        |stage| stage.host("h1").thaw().unwrap(),
    );
    // Its kernel takes connections and requests as ever: only the gateway's own look tells.
    met.assert_only_lost_within(UNNOTICED);
    let met = pair
        .through(|stage| stage.host("h1").cut().unwrap(), |stage| stage.host("h1").mend().unwrap());
    // Dials fail and are made again elsewhere; what is lost went over connections that had been kept, 32 at most.
    met.assert_only_lost_within(UNNOTICED);
    met.assert_at_most(32);
    let met = pair.through(
        |stage| stage.host("h1").power_off(),
        |stage| stage.host("h1").power_on().unwrap(),
    );
    met.assert_only_lost_within(UNNOTICED);
    met.assert_at_most(32);
}
