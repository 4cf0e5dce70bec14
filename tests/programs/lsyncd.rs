//! lsyncd and Lua take every configuration, and texts in it mean what they say.

use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::fleets::{self, name, sync};
use super::model::*;
use super::tools;

const FILE: &str = "lsyncd.conf.lua";

/// lsyncd's globals, as far as a configuration uses them; prints all texts of the syncs in hex.
const STUB: &str = r#"
default = { rsyncssh = "rsyncssh", rsync = "rsync" }
local known = { "source", "host", "targetdir", "target", "delay", "delete", "exclude", "rsync", "ssh" }
local keys = {}
for _, key in ipairs(known) do keys[key] = true end
local function hex(text) return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end
function settings(all)
    for key in pairs(all) do assert(key == "insist" or key == "inotifyMode", key) end
end
function sync(all)
    assert(all[1] == "rsyncssh" or all[1] == "rsync", "unknown default")
    for key in pairs(all) do assert(key == 1 or keys[key], key) end
    print(hex(all.source))
    for _, pattern in ipairs(all.exclude or {}) do print(hex(pattern)) end
end
"#;

fn between() -> Direction {
    Direction::Between(vec![name("vps1"), name("vps2")])
}

fn configuration(fleet: &Fleet, node: &str) -> String {
    tools::text(&tools::unit(fleet, &format!("{node}/sync")), FILE)
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn any_text_comes_out_of_lua_as_it_was_written() {
    let Some(lua) = tools::first(&["lua", "lua5.4", "lua5.3", "lua5.1"]) else {
        return tools::missing("lua");
    };
    let texts = prop::collection::vec(prop_oneof![tools::printable(), "[\\PC\n\t\r\0]{0,9}"], 60);
    let done =
        TestRunner::new(Config { cases: 16, failure_persistence: None, ..Config::default() }).run(
            &texts,
            |texts| {
                let mut fleet = fleets::fleet();
                let mut all = sync("all", between());
                all.exclude.clone_from(&texts);
                fleet.syncs.insert(name("all"), all);
                let directory = tempfile::tempdir().unwrap();
                let file = directory.path().join(FILE);
                std::fs::write(&file, format!("{STUB}\n{}", configuration(&fleet, "vps1")))
                    .unwrap();
                let output = tools::command(&lua).arg(&file).output().unwrap();
                prop_assert!(output.status.success(), "{}", tools::said(&output));
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                let expected =
                    std::iter::once("/srv/dns-resolver").chain(texts.iter().map(String::as_str));
                prop_assert_eq!(
                    said.lines().collect::<Vec<_>>(),
                    expected.map(hex).collect::<Vec<_>>()
                );
                Ok(())
            },
        );
    done.unwrap();
}

/// Starts lsyncd on a configuration and waits until it has taken it; it then asks a peer that is not there.
fn taken(lsyncd: &Path, text: &str) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(FILE);
    std::fs::write(&file, text).unwrap();
    let mut command = tools::command(lsyncd);
    command.args(["-nodaemon", "-log", "all"]).arg(&file).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = output.read(&mut chunk) {
            let _ = tell.send(String::from_utf8_lossy(&chunk[..length]).into_owned());
        }
    });
    let mut said = String::new();
    while !said.contains("recursive startup rsync") {
        match told.recv_timeout(Duration::from_secs(20)) {
            Ok(chunk) => said.push_str(&chunk),
            Err(error) => panic!("{error}: {said}\n{text}"),
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[test]
fn lsyncd_takes_one_way_both_ways_and_both_kinds_of_addresses() {
    let Some(lsyncd) = tools::first(&["lsyncd"]) else { return tools::missing("lsyncd") };
    let source = tempfile::tempdir().unwrap();
    for (address, direction) in [
        ("127.0.0.1", between()),
        ("::1", Direction::OneWay { from: name("vps1"), to: vec![name("vps2")] }),
    ] {
        let mut fleet = fleets::fleet();
        let peer = fleet.nodes.get_mut(&name("vps2")).unwrap();
        peer.address = address.parse().unwrap();
        if let Reach::Ssh(ssh) = &mut peer.reach {
            ssh.host_key = Some("ssh-ed25519 AAAA".to_owned());
        }
        let mut all = sync("all", direction);
        all.path = fleets::path(source.path().to_str().unwrap());
        all.delete = DeleteMode::Running;
        // Nobody listens there: what is sent is refused at once.
        all.port = Some(1);
        fleet.syncs.insert(name("all"), all);
        taken(&lsyncd, &configuration(&fleet, "vps1"));
    }
}

#[test]
fn lua_compiles_every_configuration() {
    let Some(luac) = tools::first(&["luac", "luac5.4", "luac5.3", "luac5.1"]) else {
        return tools::missing("luac");
    };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(FILE);
    for node in ["vps1", "vps2"] {
        std::fs::write(&file, configuration(&fleets::everything(), node)).unwrap();
        let output = tools::command(&luac).arg("-p").arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", tools::said(&output));
    }
}
