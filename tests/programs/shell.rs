//! Shells read every command, and environment values come out of them as they were written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::fleets::{self, path};
use super::model::*;
use super::tools;

/// The shells that nodes may have, as commands.
fn shells() -> Vec<(PathBuf, Vec<&'static str>)> {
    let plain = ["sh", "dash"].iter().filter_map(|shell| tools::first(&[shell]));
    let busybox = tools::first(&["busybox"]).map(|file| (file, vec!["sh"]));
    plain.map(|file| (file, Vec::new())).chain(busybox).collect()
}

fn program(unit: &Unit, moment: Moment, directory: &Path) -> PathBuf {
    let file = directory.join(moment.word());
    std::fs::write(&file, tools::bytes(&unit.command(moment).unwrap().content)).unwrap();
    file
}

#[test]
fn any_value_reaches_a_process_as_it_was_written() {
    let texts = prop::collection::vec(prop_oneof![tools::printable(), "[\\PC\n\t]{0,12}"], 40);
    let done = TestRunner::new(Config { cases: 8, failure_persistence: None, ..Config::default() })
        .run(&texts, |texts| {
            let keys = (0..).map(|n| format!("K{n}"));
            let env: BTreeMap<String, EnvValue> =
                keys.zip(texts.iter().cloned().map(EnvValue::Plain)).collect();
            let form =
                ProcessForm { start: "exec env -0".to_owned(), stop: None, reload: None, env };
            let mut fleet = fleets::fleet();
            fleet.instances.push(fleets::instance("api", "vps1", Form::Process(form)));
            let directory = tempfile::tempdir().unwrap();
            let unit = tools::unit(&fleet, "vps1/service.api");
            let file = program(&unit, Moment::Start, directory.path());
            for (shell, arguments) in shells() {
                let output = tools::command(&shell).args(arguments).arg(&file).output().unwrap();
                prop_assert!(output.status.success(), "{}", tools::said(&output));
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                for (index, text) in texts.iter().enumerate() {
                    let expected = format!("K{index}={text}");
                    prop_assert!(said.split('\0').any(|line| line == expected), "{expected:?}");
                }
            }
            Ok(())
        });
    done.unwrap();
}

#[test]
fn values_of_node_files_are_read_and_never_evaluated() {
    let env = [("TOKEN".to_owned(), EnvValue::NodeFile(path("/etc/token")))].into();
    let form = ProcessForm {
        start: "exec true".to_owned(),
        stop: None,
        reload: Some("printf %s \"$TOKEN\"".to_owned()),
        env,
    };
    let mut fleet = fleets::fleet();
    fleet.instances.push(fleets::instance("api", "vps1", Form::Process(form)));
    let directory = tempfile::tempdir().unwrap();
    let unit = tools::unit(&fleet, "vps1/service.api");
    let reload = program(&unit, Moment::Reload, directory.path());
    let node_env = directory.path().join("node.env");
    let token = r#"a$(touch /x)`id`"'\n b=c "#;
    std::fs::write(&node_env, format!("TOKEN={token}\n")).unwrap();
    for (shell, arguments) in shells() {
        let mut command = tools::command(&shell);
        let output =
            command.args(arguments).arg(&reload).env("GITSYNC_NODE_ENV", &node_env).output();
        assert_eq!(String::from_utf8_lossy(&output.unwrap().stdout), token);
    }
}

/// Units of a fleet that has every way of running something.
fn units() -> Vec<Unit> {
    let mut units = Vec::new();
    let command = GatewayRun::Command { start: None, stop: None, reload: None, validate: None };
    for run in [GatewayRun::Systemd, GatewayRun::Compose, command] {
        let mut fleet = fleets::everything();
        fleet.gateways.values_mut().for_each(|gateway| gateway.run = run.clone());
        units.extend(tools::render(&fleet).units.into_values());
    }
    units
}

#[test]
fn every_command_is_read_by_every_shell() {
    let directory = tempfile::tempdir().unwrap();
    for unit in units() {
        for command in &unit.commands {
            let file = program(&unit, command.moment, directory.path());
            for (shell, arguments) in shells() {
                let output =
                    tools::command(&shell).args(arguments).arg("-n").arg(&file).output().unwrap();
                assert!(output.status.success(), "{} {}", unit.id, tools::said(&output));
            }
        }
    }
}

#[test]
fn shellcheck_finds_nothing_in_the_commands() {
    let Some(shellcheck) = tools::first(&["shellcheck"]) else {
        return tools::missing("shellcheck");
    };
    let directory = tempfile::tempdir().unwrap();
    let mut command = tools::command(&shellcheck);
    // Variables that a program is given are not all used by each.
    command.args(["-s", "sh", "-S", "warning", "-e", "SC2034"]);
    for (number, unit) in units().into_iter().enumerate() {
        for moment in unit.commands.iter().map(|command| command.moment) {
            let below = directory.path().join(number.to_string());
            std::fs::create_dir_all(&below).unwrap();
            command.arg(program(&unit, moment, &below));
        }
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", tools::said(&output));
}

/// A directory of programs that stand for systemd and curl: one file is the service's state, one what it runs with.
fn fakes(directory: &Path) {
    let state = directory.display();
    let systemctl = format!(
        "#!/bin/sh\necho \"$1\" >>{state}/calls\ncase $1 in\n\
         is-active) [ -e {state}/active ] ;;\nstart) : >{state}/active; cp {state}/next {state}/config ;;\n\
         reload) cp {state}/next {state}/config ;;\nesac\n"
    );
    let curl = format!("#!/bin/sh\ncat {state}/config\n");
    for (name, text) in
        [("systemctl", systemctl), ("curl", curl), ("sleep", "#!/bin/sh\n".to_owned())]
    {
        let file = directory.join(name);
        std::fs::write(&file, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&file, mode).unwrap();
    }
}

#[test]
fn activating_a_gateway_starts_it_reloads_it_and_believes_only_the_running_program() {
    let unit = tools::unit(&fleets::everything(), "vps1/gateway.edge");
    let directory = tempfile::tempdir().unwrap();
    fakes(directory.path());
    let file = program(&unit, Moment::Activate, directory.path());
    let activate = |next: &str| {
        std::fs::write(directory.path().join("next"), next).unwrap();
        std::fs::write(directory.path().join("calls"), "").unwrap();
        let mut command = tools::command(&tools::first(&["sh"]).unwrap());
        let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap());
        let output = command.env("PATH", path).arg(&file).output().unwrap();
        let calls = std::fs::read_to_string(directory.path().join("calls")).unwrap();
        (output.status.success(), calls.lines().last().unwrap().to_owned())
    };
    let config = tools::text(&unit, "Caddyfile");
    assert_eq!(activate(&config), (true, "start".to_owned()));
    // It runs with this file already: a reload could only drop connections.
    assert_eq!(activate(&config), (true, "is-active".to_owned()));
    std::fs::write(directory.path().join("config"), "an older one").unwrap();
    assert_eq!(activate(&config), (true, "reload".to_owned()));
    std::fs::write(directory.path().join("config"), "an older one").unwrap();
    assert_eq!(activate("another one"), (false, "reload".to_owned()));
}
