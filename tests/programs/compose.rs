//! Docker Compose takes every compose file, and texts come out as they were written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use super::fleets::{self, container, image, mount, name, path, repo_file};
use super::model::*;
use super::tools;

/// `docker compose`, or the plugin by itself.
pub fn program() -> Option<(PathBuf, Vec<&'static str>)> {
    let plugin = [
        "/usr/libexec/docker/cli-plugins/docker-compose",
        "/usr/lib/docker/cli-plugins/docker-compose",
        "/usr/local/lib/docker/cli-plugins/docker-compose",
    ];
    let there = plugin.iter().map(PathBuf::from).find(|file| file.is_file());
    if let Some(plugin) = there.or_else(|| tools::first(&["docker-compose"])) {
        return Some((plugin, Vec::new()));
    }
    let docker = tools::first(&["docker"])?;
    let answers = tools::command(&docker).args(["compose", "version"]).output().ok()?;
    if answers.status.success() {
        return Some((docker, vec!["compose"]));
    }
    None
}

fn compose(program: &(PathBuf, Vec<&str>), unit: &Unit, directory: &Path) -> Command {
    let Runtime::Compose { project, files, .. } = &unit.runtime else { panic!("no project") };
    let mut command = tools::command(&program.0);
    command.env("HOME", directory).args(&program.1).args(["-p", project]);
    command.arg("--project-directory").arg(directory);
    for file in files {
        command.arg("-f").arg(directory.join(file));
    }
    command
}

/// What compose makes of a unit's files. It doubles dollars in what it prints.
pub fn configured(program: &(PathBuf, Vec<&str>), unit: &Unit, node_env: &str) -> Value {
    let base = tempfile::tempdir().unwrap();
    let directory = tools::lay_out(unit, base.path());
    let env = base.path().join("node.env");
    std::fs::write(&env, node_env).unwrap();
    let mut command = compose(program, unit, &directory);
    command.arg("--env-file").arg(&env).args(["config", "--format", "json"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", tools::said(&output));
    assert!(!tools::said(&output).contains("variable is not set"), "{}", tools::said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn once(value: &Value) -> String {
    value.as_str().unwrap().replace("$$", "$")
}

#[test]
fn any_text_comes_out_of_compose_as_it_was_written() {
    let Some(program) = program() else { return tools::missing("docker compose") };
    let texts = prop::collection::vec(prop_oneof![tools::printable(), "[\\PC\n\t]{0,12}"], 40);
    let config = Config { cases: 12, failure_persistence: None, ..Config::default() };
    let done = TestRunner::new(config).run(&texts, |texts| {
        let keys = || (0..).map(|n| format!("K{n}"));
        let mut from = container("busybox:1.36");
        let plain = texts.iter().cloned().map(EnvValue::Plain);
        from.env = keys().zip(plain).collect();
        from.labels = keys().zip(texts.iter().cloned()).collect();
        from.command = Some(CommandLine::Words(texts.clone()));
        from.entrypoint = Some(CommandLine::Words(texts.clone()));
        let mut fleet = fleets::fleet();
        fleet.instances.push(image("api", "vps1", from));
        let back = configured(&program, &tools::unit(&fleet, "vps1/service.api"), "");
        let service = &back["services"]["api"];
        for (index, text) in texts.iter().enumerate() {
            let key = format!("K{index}");
            prop_assert_eq!(&once(&service["environment"][&key]), text);
            prop_assert_eq!(&once(&service["labels"][&key]), text);
            prop_assert_eq!(&once(&service["command"][index]), text);
            prop_assert_eq!(&once(&service["entrypoint"][index]), text);
        }
        Ok(())
    });
    done.unwrap();
}

#[test]
fn everything_that_an_author_can_write_is_understood() {
    let Some(program) = program() else { return tools::missing("docker compose") };
    let mut from = container("ghcr.io/acme/api:1.4.2");
    from.command = Some(CommandLine::Shell("serve --name 'a b' $HOME".to_owned()));
    from.volumes = vec![
        mount(MountSource::External("shared".to_owned()), "/shared", false),
        mount(MountSource::Volume("shared".to_owned()), "/own", false),
        mount(MountSource::Path(path("/srv/$media")), "/media", true),
        mount(MountSource::Directory(String::new()), "/here", false),
        mount(MountSource::Directory("da ta".to_owned()), "/data", false),
        mount(MountSource::Tmpfs, "/tmp", false),
    ];
    from.network = Network::Join(vec!["proxy".to_owned()]);
    from.gpus = Some("2".to_owned());
    from.devices = vec!["/dev/dri:/dev/dri".to_owned()];
    from.resources.cpus = Some("0.5".to_owned());
    from.resources.memory = Some("512m".to_owned());
    from.replicas = 2;
    from.restart = Restart::No;
    from.stop_grace = Some(std::time::Duration::from_secs(90));
    from.env.insert("TOKEN".to_owned(), EnvValue::NodeFile(path("/etc/token")));
    let mut fleet = fleets::fleet();
    let mut api = image("api", "vps1", from);
    let v6 = BindAddress::One("fd7a::1".parse().unwrap());
    api.ports.insert("dns".to_owned(), fleets::port(53, 5353, v6));
    fleet.instances.push(api);
    let unit = tools::unit(&fleet, "vps1/service.api");
    let back = configured(&program, &unit, "TOKEN='it$x \"y\"'\n");
    let service = &back["services"]["api"];
    assert_eq!(service["command"], serde_json::json!(["serve", "--name", "a b", "$$HOME"]));
    assert_eq!(once(&service["environment"]["TOKEN"]), "it$x \"y\"");
    assert_eq!(service["ports"][0]["host_ip"], "fd7a::1");
    assert_eq!(service["scale"], 2);
    assert_eq!(service["restart"], "no");
    assert_eq!(once(&service["volumes"][2]["source"]), "/srv/$media");
    assert!(service["volumes"][4]["source"].as_str().unwrap().ends_with("/opt/stacks/api/da ta"));
    assert_eq!(service["deploy"]["resources"]["reservations"]["devices"][0]["count"], 2);
    assert_eq!(back["volumes"]["shared"]["name"], "api_shared");
    assert_eq!(back["volumes"]["shared-external"]["name"], "shared");
    assert_eq!(back["networks"]["proxy"]["name"], "proxy");
}

#[test]
fn what_compose_publishes_is_what_the_unit_claims() {
    let Some(program) = program() else { return tools::missing("docker compose") };
    let unit = tools::unit(&fleets::everything(), "vps2/service.organizr");
    let back = configured(&program, &unit, "TOKEN='x'\n");
    let port = &back["services"]["organizr"]["ports"][0];
    assert_eq!((&port["published"], &port["host_ip"]), (&"8081".into(), &"100.102.55.88".into()));
    let claim = unit.claims.ports.iter().next().unwrap();
    assert_eq!(
        (claim.port, claim.bind),
        (8081, BindAddress::One("100.102.55.88".parse().unwrap()))
    );
    assert!(unit.claims.volumes.contains(back["volumes"]["config"]["name"].as_str().unwrap()));
}

#[test]
fn labels_are_added_to_a_brought_file_whatever_its_own_look_like() {
    let Some(program) = program() else { return tools::missing("docker compose") };
    let brought = "services:\n  a:\n    image: x:1\n    labels: [\"own=1\"]\n  b:\n    image: x:1\n    \
                   labels: { own: '2' }\n  c:\n    image: x:1\n    profiles: [never]\n";
    let mut fleet = fleets::fleet();
    fleet.files.insert("services/m/compose.yaml".to_owned(), repo_file(brought));
    let service = |profiled| BroughtService { profiled, ..BroughtService::default() };
    let services = [("a", false), ("b", false), ("c", true)];
    let form = Brought {
        file: "compose.yaml".to_owned(),
        env: Default::default(),
        path: "services/m/compose.yaml".to_owned(),
        services: services.map(|(name, profiled)| (name.to_owned(), service(profiled))).into(),
        volumes: Vec::new(),
    };
    fleet.instances.push(fleets::instance("m", "vps1", Form::Compose(form)));
    let back = configured(&program, &tools::unit(&fleet, "vps1/service.m"), "");
    for (service, own) in [("a", "1"), ("b", "2")] {
        let labels: BTreeMap<String, String> =
            serde_json::from_value(back["services"][service]["labels"].clone()).unwrap();
        assert_eq!(labels["own"], own);
        assert_eq!(labels["gitsync.fleet"], "homelab");
        assert_eq!(labels["gitsync.unit"], "service.m");
    }
}

#[test]
fn a_gateway_in_a_container_is_understood() {
    let Some(program) = program() else { return tools::missing("docker compose") };
    let mut fleet = fleets::everything();
    fleet.gateways.get_mut(&name("edge")).unwrap().run = GatewayRun::Compose;
    let back = configured(&program, &tools::unit(&fleet, "vps1/gateway.edge"), "");
    let service = &back["services"]["caddy"];
    assert_eq!(service["network_mode"], "host");
    assert!(service["volumes"][0]["source"].as_str().unwrap().ends_with("/etc/caddy"));
    assert_eq!(back["volumes"]["data"]["name"], "gateway-edge_data");
}
