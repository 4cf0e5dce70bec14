//! The example fleet: its rendered files are reviewed snapshots, and the real programs take every one of them.

use std::fmt::Write as _;
use std::path::Path;

use gitsync::{check, source};

use super::model::*;
use super::{caddy, compose, tools};

fn release() -> Release {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("example-repo");
    let checked = check::check(&source::directory(&path).unwrap());
    let fleet = checked.fleet.unwrap_or_else(|| panic!("{:?}", checked.diagnostics));
    tools::render(&fleet)
}

#[test]
fn the_example_renders_to_the_files_that_were_reviewed() {
    for unit in release().units.values() {
        let mut text = String::new();
        for artifact in &unit.artifacts {
            let owner = artifact.owner.as_deref().unwrap_or("-");
            let _ = writeln!(text, "--- {} {:04o} {owner}", artifact.destination, artifact.mode);
            text.push_str(&String::from_utf8_lossy(tools::bytes(&artifact.content)));
        }
        for command in &unit.commands {
            let _ = writeln!(text, "--- {}", command.moment.word());
            text.push_str(&String::from_utf8_lossy(tools::bytes(&command.content)));
        }
        insta::assert_snapshot!(unit.id.to_string().replace('/', "."), text);
    }
}

#[test]
fn compose_takes_every_project_of_the_example() {
    let Some(program) = compose::program() else { return tools::missing("docker compose") };
    let mut seen = 0;
    for unit in release().units.values() {
        if let Runtime::Compose { services, .. } = &unit.runtime {
            let back = compose::configured(&program, unit, "");
            for service in services {
                let labels = &back["services"][&service.name]["labels"];
                assert_eq!(labels["gitsync.unit"], unit.id.local(), "{} {}", unit.id, service.name);
            }
            seen += 1;
        }
    }
    assert!(seen > 5, "{seen}");
}

#[test]
fn caddy_takes_every_gateway_of_the_example() {
    for program in caddy::caddies() {
        let mut seen = 0;
        for unit in release().units.values().filter(|unit| unit.id.kind == UnitKind::Gateway) {
            caddy::taken(&program, "validate", &tools::text(unit, "Caddyfile"));
            seen += 1;
        }
        assert!(seen > 1, "{seen}");
    }
}

#[test]
fn lua_compiles_every_sync_of_the_example() {
    let Some(luac) = tools::first(&["luac", "luac5.4", "luac5.3", "luac5.1"]) else {
        return tools::missing("luac");
    };
    let mut seen = 0;
    for unit in release().units.values().filter(|unit| unit.id.kind == UnitKind::Sync) {
        let directory = tempfile::tempdir().unwrap();
        let below = tools::lay_out(unit, directory.path());
        let file = below.join("lsyncd.conf.lua");
        let output = tools::command(&luac).arg("-p").arg(file).output().unwrap();
        assert!(output.status.success(), "{}", tools::said(&output));
        seen += 1;
    }
    assert!(seen > 1, "{seen}");
}
