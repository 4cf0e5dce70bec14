//! Fleets of plain programs: the test app on hosts without an engine, kept by the node script.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use gitsync_lab::{Spec, Truth};

use crate::stage::{Said, Stage};

/// Where a program answers.
pub const PORT: u16 = 8080;

/// What most waits of these scenarios may take at most.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Hosts with the app's program, a fleet with quick checks, nothing rolled out.
pub fn stage(scenario: &'static str, spec: &Spec) -> Option<Stage> {
    static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();
    let stage = Stage::new(scenario, spec)?;
    let program =
        PROGRAM.get_or_init(|| std::fs::read(gitsync_lab::app_program().unwrap()).unwrap());
    for host in stage.lab.hosts() {
        host.write("/opt/app", program).unwrap();
        host.sh("chmod 755 /opt/app").unwrap();
    }
    stage.write(
        "fleet.yaml",
        "version: 1\nname: stage\ndomain: test\n\
         rollout: { prune: { enabled: true, max_removals: 10 } }\n\
         health: { interval: 200ms, timeout: 1s, retries: 5, stable_for: 600ms }\n",
    );
    Some(stage)
}

/// Has hosts bear less silence, so that scenarios need not wait as long for those that are gone.
pub fn short_lease(stage: &Stage) {
    stage.edit("fleet.yaml", "rollout: { prune", "rollout: { dead_man: 12s, prune");
}

/// Writes the service `web` in version 1 on these hosts.
pub fn write_web(stage: &Stage, hosts: &[&str]) {
    write_service(stage, "web", hosts, PORT, "");
}

/// Writes a service in version 1; `more` is added as it is.
pub fn write_service(stage: &Stage, name: &str, hosts: &[&str], port: u16, more: &str) {
    let hosts = hosts.join(", ");
    stage.write(
        &format!("services/{name}.yaml"),
        &format!(
            "run: command\nstart: exec /opt/app\nplacement: {{ on: [{hosts}] }}\nports: {{ web: {port} }}\n\
             env: {{ APP_VERSION: \"1\", APP_PORTS: \"{port}\" }}\nhealth: {{ http: /health, port: web }}\n{more}"
        ),
    );
}

/// Gives a service another version, and commits it.
pub fn commit_version(stage: &Stage, name: &str, from: &str, to: &str) -> String {
    let version = |number: &str| format!("APP_VERSION: \"{number}\"");
    stage.edit(&format!("services/{name}.yaml"), &version(from), &version(to));
    stage.commit(&format!("{name} {to}"))
}

/// What is on one host.
#[track_caller]
pub fn truth(stage: &Stage, host: &str) -> Truth {
    Truth::of_host(stage.host(host)).unwrap()
}

/// Insists that nothing on a host was touched since.
#[track_caller]
pub fn untouched(stage: &Stage, host: &str, before: &Truth) {
    before.same(&truth(stage, host)).unwrap_or_else(|found| panic!("{host} was touched:\n{found}"));
}

/// The number of the process that keeps a unit, as the host's script wrote it down.
#[track_caller]
pub fn process(stage: &Stage, host: &str, unit: &str) -> String {
    let path = format!("/var/lib/gitsync/fleets/stage/units/{unit}/process");
    let text = stage.host(host).read(&path).unwrap();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Who holds the fleet's fence on a host, in the host's own words; none when nobody does.
pub fn holder(stage: &Stage, host: &str) -> Option<String> {
    let record = stage.host(host).read("/var/lib/gitsync/fleets/stage/record").unwrap_or_default();
    record.lines().find_map(|line| line.strip_prefix("holder ").map(str::to_owned))
}

/// Runs a command and insists that it ends within a time.
#[track_caller]
pub fn run_within(stage: &Stage, within: Duration, arguments: &[&str]) -> Said {
    let began = Instant::now();
    let said = stage.run(arguments);
    let took = began.elapsed();
    assert!(took < within, "it took {took:?}, not {within:?}:\n{}{}", said.out, said.err);
    said
}
