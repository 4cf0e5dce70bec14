//! Images' bytes, digests and archives, without an engine.

use std::io::Read as _;

use super::*;

/// The smallest program that images accept: a header with one program header of a given type.
fn program(machine: u8, header_type: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 0x40 + 0x38];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[0x12] = machine;
    bytes[0x20] = 0x40;
    bytes[0x36] = 0x38;
    bytes[0x38] = 1;
    bytes[0x40] = header_type;
    bytes.extend_from_slice(body);
    bytes
}

fn app() -> App {
    App::from_bytes(&program(0x3e, 1, b"body")).unwrap()
}

/// Path, mode, owner, time and content of everything in an archive.
fn entries(archive: &[u8]) -> Vec<(String, u32, u64, u64, Vec<u8>)> {
    let mut tar = tar::Archive::new(archive);
    let entries = tar.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let header = entry.header();
        let owner = header.uid().unwrap() + header.gid().unwrap();
        (path, header.mode().unwrap(), owner, header.mtime().unwrap(), content)
    });
    entries.collect()
}

fn config(image: &Image) -> Value {
    serde_json::from_slice(&image.config()).unwrap()
}

#[test]
fn a_digest_is_the_known_sha256() {
    let known = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(digest(b"abc"), known);
}

#[test]
fn an_app_layer_holds_the_program_and_the_directories_with_fixed_owner_and_time() {
    let body = program(0x3e, 1, b"body");
    let found = entries(app().layer().bytes());
    let expected = [
        ("tmp/", 0o1777, Vec::new()),
        ("etc/", 0o755, Vec::new()),
        ("data/", 0o755, Vec::new()),
        ("app", 0o755, body),
    ]
    .map(|(path, mode, content)| (path.to_owned(), mode, 0, 1_704_067_200, content));
    assert_eq!(found, expected);
}

#[test]
fn the_same_image_twice_has_the_same_bytes_and_ids() {
    let make = || {
        let files = [ExtraFile::new("/etc/app.conf", "x=1\n")];
        app().image("2").env("B", "2").env("A", "1").port(8080).files(&files).unwrap()
    };
    let (one, two) = (make(), make());
    assert_eq!(one.id(), two.id());
    assert_eq!(one.digest(), two.digest());
    assert_eq!(archive(&[("app:2", &one)]).unwrap(), archive(&[("app:2", &two)]).unwrap());
}

#[test]
fn the_order_of_settings_changes_nothing() {
    let one = app().image("1").env("A", "1").env("B", "2").port(1).port(2);
    let two = app().image("1").port(2).env("B", "2").port(1).env("A", "1");
    assert_eq!(one.id(), two.id());
}

#[test]
fn every_setting_changes_the_id() {
    let base = || app().image("1");
    let check = HealthCheck::new(["/app", "check"]);
    let slower = HealthCheck { interval: Duration::from_secs(2), ..check.clone() };
    let images = [
        base(),
        app().image("2"),
        base().env("A", "1"),
        base().label("A", "1"),
        base().port(80),
        base().entrypoint(["/app", "x"]),
        base().cmd(["x"]),
        base().health_check(check),
        base().health_check(slower),
        base().user("1000"),
        base().stop_signal("SIGINT"),
        base().architecture("arm64"),
        base().files(&[ExtraFile::new("/x", "1")]).unwrap(),
        base().files(&[ExtraFile::new("/x", "2")]).unwrap(),
        App::from_bytes(&program(0x3e, 1, b"other")).unwrap().image("1"),
    ];
    let ids: BTreeSet<String> = images.iter().map(Image::id).collect();
    let digests: BTreeSet<String> = images.iter().map(Image::digest).collect();
    assert_eq!((ids.len(), digests.len()), (images.len(), images.len()));
}

#[test]
fn a_digest_is_the_sha256_of_the_manifests_bytes_and_the_manifest_describes_its_blobs() {
    let image = app().image("1").files(&[ExtraFile::new("/x", "1")]).unwrap();
    assert_eq!(image.digest(), digest(&image.manifest()));
    let manifest: Value = serde_json::from_slice(&image.manifest()).unwrap();
    assert_eq!(manifest["mediaType"], MANIFEST_TYPE);
    assert_eq!(manifest["config"]["digest"], image.id());
    assert_eq!(manifest["config"]["size"], image.config().len());
    for (number, layer) in image.layers().iter().enumerate() {
        let described = &manifest["layers"][number];
        assert_eq!(described["digest"], digest(layer.bytes()));
        assert_eq!(described["size"], layer.bytes().len());
        assert_eq!(described["digest"], config(&image)["rootfs"]["diff_ids"][number]);
    }
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 2);
}

#[test]
fn a_configuration_says_all_that_was_set() {
    let check = HealthCheck { retries: 5, ..HealthCheck::new(["/app", "check"]) };
    let image = app()
        .image("7")
        .env("APP_HEALTH", "never")
        .cmd(["serve"])
        .port(8080)
        .user("1000:1000")
        .stop_signal("SIGQUIT")
        .health_check(check);
    let config = config(&image);
    assert_eq!(config["architecture"], "amd64");
    let settings = &config["config"];
    assert_eq!(settings["Env"], json!(["APP_HEALTH=never", "APP_VERSION=7"]));
    assert_eq!(settings["Entrypoint"], json!(["/app"]));
    assert_eq!(settings["Cmd"], json!(["serve"]));
    assert_eq!(settings["ExposedPorts"], json!({ "8080/tcp": {} }));
    assert_eq!(settings["User"], "1000:1000");
    assert_eq!(settings["StopSignal"], "SIGQUIT");
    assert_eq!(settings["Healthcheck"]["Test"], json!(["CMD", "/app", "check"]));
    assert_eq!(settings["Healthcheck"]["Interval"], 1_000_000_000);
    assert_eq!(settings["Healthcheck"]["Retries"], 5);
}

#[test]
fn extra_files_bring_their_directories_once_and_leave_those_of_the_app_alone() {
    let files = [
        ExtraFile::new("/opt/a/one", "1"),
        ExtraFile { mode: 0o600, ..ExtraFile::new("/opt/a/two", "2") },
        ExtraFile::new("/tmp/three", "3"),
    ];
    let image = app().image("1").files(&files).unwrap();
    let found: Vec<(String, u32)> = entries(image.layers()[1].bytes())
        .into_iter()
        .map(|(path, mode, ..)| (path, mode))
        .collect();
    let expected = [
        ("opt/", 0o755),
        ("opt/a/", 0o755),
        ("opt/a/one", 0o644),
        ("opt/a/two", 0o600),
        ("tmp/three", 0o644),
    ];
    assert_eq!(found, expected.map(|(path, mode)| (path.to_owned(), mode)));
}

#[test]
fn a_file_outside_the_root_is_refused() {
    for path in ["etc/x", "/../x", "/a/../x", "//x", "/a/", "/", ""] {
        let outcome = app().image("1").files(&[ExtraFile::new(path, "")]);
        assert!(matches!(outcome, Err(ImageError::Path(_))), "{path:?}");
    }
}

#[test]
fn an_archive_holds_shared_layers_and_configurations_once() {
    let (one, two) = (app().image("1"), app().image("2"));
    let bytes = archive(&[("app:1", &one), ("app:latest", &one), ("app:2", &two)]).unwrap();
    let found = entries(&bytes);
    let count = |end: &str| found.iter().filter(|entry| entry.0.ends_with(end)).count();
    assert_eq!((count(".tar"), count(".json"), found.len()), (1, 3, 4));
    let listing: Value = serde_json::from_slice(&found.last().unwrap().4).unwrap();
    let tags: BTreeSet<String> =
        listing.as_array().unwrap().iter().map(|image| image["RepoTags"].to_string()).collect();
    let expected = [r#"["app:1","app:latest"]"#, r#"["app:2"]"#];
    assert_eq!(tags, expected.map(str::to_owned).into());
    for image in listing.as_array().unwrap() {
        let content = |name: &Value| {
            let named = found.iter().find(|entry| *name == entry.0);
            digest(&named.unwrap().4)
        };
        let id = content(&image["Config"]);
        assert_eq!(image["Config"], format!("{}.json", &id["sha256:".len()..]));
        assert_eq!(content(&image["Layers"][0]), app().layer().digest());
    }
}

#[test]
fn images_of_one_app_share_its_bytes() {
    let app = app();
    let (one, two) = (app.image("1"), app.clone().image("2"));
    assert!(std::sync::Arc::ptr_eq(one.layers()[0].bytes(), two.layers()[0].bytes()));
}

#[test]
fn the_architecture_is_the_programs_own() {
    let image = App::from_bytes(&program(0xb7, 1, b"")).unwrap().image("1");
    assert_eq!(config(&image)["architecture"], "arm64");
}

#[test]
fn what_cannot_run_in_an_image_is_refused() {
    let outcome = |bytes: &[u8]| App::from_bytes(bytes).map(|_| ()).unwrap_err();
    assert!(matches!(outcome(b"#!/bin/sh\n"), ImageError::NotAProgram));
    assert!(matches!(outcome(&program(0x28, 1, b"")), ImageError::NotAProgram));
    assert!(matches!(outcome(&program(0x3e, 1, b"")[..0x30]), ImageError::NotAProgram));
    assert!(matches!(outcome(&program(0x3e, 3, b"")), ImageError::Dynamic));
    let missing = App::from_file(Path::new("/nowhere/app")).map(|_| ()).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/app"));
}
