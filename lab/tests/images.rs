//! A real engine loads and pulls the lab's images, and says of each fault what it says of real registries.

#[path = "support/dockerd.rs"]
mod dockerd;

use std::collections::BTreeMap;
use std::path::Path;

use dockerd::Dockerd;
use gitsync_lab::image::{App, ExtraFile, HealthCheck, archive};
use gitsync_lab::registry::{Fault, Registry, Request};
use serde_json::json;

/// Any small static program will do: nothing here runs it.
fn app() -> App {
    App::from_file(Path::new("/bin/busybox")).unwrap()
}

fn serve(docker: &Dockerd) -> Registry {
    Registry::serve(docker.listener()).unwrap()
}

/// How requests for manifests were answered; an engine asks for the head first.
fn answers(registry: &Registry) -> Vec<(String, Option<u16>)> {
    let pulls = registry.requests().into_iter().filter(Request::is_pull);
    pulls.map(|request| (request.method, request.status)).collect()
}

/// Modes and owners of all files in a container that an image would make.
fn tree(docker: &Dockerd, reference: &str) -> BTreeMap<String, (u32, u64)> {
    let container = docker.run(&["create", reference]);
    let exported = docker.output(&["export", &container]);
    docker.run(&["rm", &container]);
    let mut tar = tar::Archive::new(exported.as_slice());
    let entries = tar.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().trim_end_matches('/').to_owned();
        let header = entry.header();
        (path, (header.mode().unwrap() & 0o7777, header.uid().unwrap()))
    });
    entries.collect()
}

#[test]
fn an_engine_loads_an_archive_and_knows_its_images_by_our_ids() {
    let Some(docker) = Dockerd::start() else { return };
    let app = app();
    let files = [ExtraFile { mode: 0o600, ..ExtraFile::new("/opt/deep/app.conf", "x") }];
    let one = app.image("1").port(8080).user("1000").stop_signal("SIGQUIT");
    let two = app
        .image("2")
        .env("APP_HEALTH", "never")
        .cmd(["serve"])
        .label("team", "web")
        .health_check(HealthCheck::new(["/app", "check"]))
        .files(&files)
        .unwrap();
    let bytes = archive(&[("app:1", &one), ("app:stable", &one), ("team/app:2", &two)]).unwrap();
    docker.load(&bytes);

    for (reference, image) in [("app:1", &one), ("app:stable", &one), ("team/app:2", &two)] {
        assert_eq!(docker.id(reference).unwrap(), image.id(), "{reference}");
    }
    let first = docker.inspect("app:1");
    assert_eq!(first["Config"]["User"], "1000");
    assert_eq!(first["Config"]["StopSignal"], "SIGQUIT");
    assert_eq!(first["Config"]["ExposedPorts"], json!({ "8080/tcp": {} }));
    assert_eq!(first["RootFS"]["Layers"][0], app.layer().digest());
    let second = docker.inspect("team/app:2");
    assert_eq!(second["Config"]["Entrypoint"], json!(["/app"]));
    assert_eq!(second["Config"]["Cmd"], json!(["serve"]));
    assert_eq!(second["Config"]["Env"], json!(["APP_HEALTH=never", "APP_VERSION=2"]));
    assert_eq!(second["Config"]["Labels"]["team"], "web");
    assert_eq!(second["Config"]["Healthcheck"]["Test"][2], "check");

    let tree = tree(&docker, "team/app:2");
    for (path, mode) in [
        ("app", 0o755),
        ("tmp", 0o1777),
        ("etc", 0o755),
        ("data", 0o755),
        ("opt", 0o755),
        ("opt/deep", 0o755),
        ("opt/deep/app.conf", 0o600),
    ] {
        assert_eq!(tree.get(path), Some(&(mode, 0)), "{path}");
    }
}

#[test]
fn an_engine_pulls_by_tag_and_digest_and_sees_a_tag_move() {
    let Some(docker) = Dockerd::start() else { return };
    let registry = serve(&docker);
    let app = app();
    let (old, new) = (app.image("1"), app.image("2"));
    registry.push("team/app", "latest", &old);
    let reference = registry.reference("team/app", "latest");
    docker.run(&["pull", &reference]);
    assert_eq!(docker.id(&reference).unwrap(), old.id());
    let digests = &docker.inspect(&reference)["RepoDigests"];
    assert_eq!(digests, &json!([registry.pinned("team/app", &old)]));

    registry.push("team/app", "latest", &new);
    registry.clear_requests();
    assert_eq!(docker.id(&reference).unwrap(), old.id());
    assert!(registry.requests().is_empty());
    docker.run(&["pull", &reference]);
    assert_eq!(docker.id(&reference).unwrap(), new.id());
    // The layer that both share was there.
    let blobs = registry.requests().into_iter().filter(|request| request.path.contains("/blobs/"));
    assert_eq!(
        blobs.map(|request| request.path).collect::<Vec<_>>(),
        [format!("/v2/team/app/blobs/{}", new.id())]
    );

    docker.run(&["rmi", "--force", &old.id()]);
    let pinned = registry.pinned("team/app", &old);
    docker.run(&["pull", &pinned]);
    assert_eq!(docker.id(&pinned).unwrap(), old.id());
    assert_eq!(docker.id(&reference).unwrap(), new.id());
}

#[test]
fn an_engine_says_what_is_wrong_with_a_registry_and_recovers() {
    let Some(docker) = Dockerd::start() else { return };
    let registry = serve(&docker);
    let image = app().image("1").files(&[ExtraFile::new("/etc/app.conf", "x".repeat(9000))]);
    let image = image.unwrap();
    registry.push("app", "1", &image);
    let reference = registry.reference("app", "1");

    let missing = docker.refusal(&["pull", &registry.reference("app", "2")]);
    assert!(missing.contains("manifest unknown"), "{missing}");
    let expected: [(Fault, &[&str]); 4] = [
        (Fault::RateLimited, &["toomanyrequests: You have reached your pull rate limit"]),
        (Fault::Unauthorized, &["no basic auth credentials"]),
        // Which one depends on where the engine's kept connection was when it broke.
        (
            Fault::Outage,
            &["EOF", "connection reset", "broken pipe", "connection refused", "closed"],
        ),
        (Fault::Corrupt, &["verification failed"]),
    ];
    for (fault, texts) in expected {
        registry.set_fault(fault);
        let said = docker.refusal(&["pull", &reference]);
        assert!(texts.iter().any(|text| said.contains(text)), "{fault:?}: {said}");
        assert_eq!(docker.id(&reference), None, "{fault:?}");
    }
    let statuses = [404, 429, 200].into_iter();
    let expected: Vec<(String, Option<u16>)> = statuses
        .flat_map(|status| ["HEAD", "GET"].map(|method| (method.to_owned(), Some(status))))
        .collect();
    assert_eq!(answers(&registry), expected);

    registry.set_fault(Fault::None);
    docker.run(&["pull", &reference]);
    assert_eq!(docker.id(&reference).unwrap(), image.id());
    // An image that is there outlives the registry it came from.
    registry.set_fault(Fault::Outage);
    docker.refusal(&["pull", &reference]);
    assert_eq!(docker.id(&reference).unwrap(), image.id());
}

#[test]
fn an_engine_logs_in_where_a_login_is_required() {
    let Some(docker) = Dockerd::start() else { return };
    let registry = serve(&docker);
    let image = app().image("1");
    registry.push("app", "1", &image);
    registry.require_login("deploy", "s3cret");
    let reference = registry.reference("app", "1");
    let said = docker.refusal(&["pull", &reference]);
    assert!(said.contains("no basic auth credentials"), "{said}");
    let server = registry.address().to_string();
    docker.refusal(&["login", "--username", "deploy", "--password", "wrong", &server]);
    docker.run(&["login", "--username", "deploy", "--password", "s3cret", &server]);
    docker.run(&["pull", &reference]);
    assert_eq!(docker.id(&reference).unwrap(), image.id());
}

#[test]
fn a_slow_pull_takes_its_time_and_a_hanging_one_ends_with_the_fault() {
    let Some(docker) = Dockerd::start() else { return };
    let registry = serve(&docker);
    let image = app().image("1");
    registry.push("app", "1", &image);
    let reference = registry.reference("app", "1");
    registry.set_fault(Fault::Slow { bytes_per_second: 2000 });
    let pull = docker.spawn(&["pull", &reference]);
    docker.until("the layer is asked for", || {
        registry.requests().iter().any(|request| request.path.contains("/blobs/"))
    });
    assert_eq!(docker.id(&reference), None);
    registry.set_fault(Fault::None);
    let output = pull.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(docker.id(&reference).unwrap(), image.id());

    let before = registry.connections();
    registry.set_fault(Fault::Hang);
    let mut pull = docker.spawn(&["pull", &reference]);
    docker.until("the registry is asked", || registry.connections() > before);
    assert!(pull.try_wait().unwrap().is_none());
    registry.set_fault(Fault::Outage);
    let output = pull.wait_with_output().unwrap();
    assert!(!output.status.success());
}
