//! `gitsync import caddyfile` on a file as people have it, with the real Caddy.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::fleet::{Fleet, text};

const CADDYFILE: &str = r#"{
	email me@example.net
}

app.example.net, www.example.org {
	encode zstd gzip
	header X-Frame-Options DENY
	reverse_proxy localhost:8080
}

example.net {
	handle_path /v1/* {
		reverse_proxy 192.0.2.10:9000 {
			lb_policy round_robin
			header_up X-Api 1
		}
	}
	handle {
		reverse_proxy 127.0.0.1:8080
	}
}

# kept from here on
files.example.net {
	root * /srv/files
	file_server browse
}

auth.example.net {
	basicauth {
		ann $2a$14$abcdefghijklmnopqrstuuOGJxg1Tn0cKQyJc5UTnVbN0WYbUQUVi
	}
	reverse_proxy localhost:8080
}

old.example.net {
	redir https://app.example.net{uri}
}

nobody.example.net {
	reverse_proxy 192.0.2.10:4711
}

http://plain.example.net:8081 {
	reverse_proxy localhost:8080
}

tls.example.net {
	reverse_proxy https://localhost:8080 {
		transport http {
			tls_insecure_skip_verify
		}
	}
}
"#;

fn fleet() -> Fleet {
    let nothing = tempfile::tempdir().unwrap();
    fs::write(nothing.path().join("Caddyfile"), CADDYFILE).unwrap();
    let fleet = Fleet::new(nothing.path(), "caddy");
    fleet.write("fleet.yaml", "version: 1\nname: home\ndomain: example.net\n");
    fleet.write(
        "services/app.yaml",
        "image: ghcr.io/example/app:1.0.0\nplacement: { on: [vps1] }\nports: { web: \"8080:80\" }\n\
         health: { container: true }\n",
    );
    fleet.write(
        "services/api/service.yaml",
        "compose: compose.yaml\nplacement: { on: [vps1] }\nhealth: { container: true }\n",
    );
    fleet.write(
        "services/api/compose.yaml",
        "services: { web: { image: \"a:1\", ports: [ \"192.0.2.10:9000:90\" ] }, db: { image: \"b:1\" } }\n",
    );
    fleet
}

fn caddy_is_here() {
    let said = Command::new("caddy").arg("version").output();
    assert!(said.is_ok_and(|said| said.status.success()), "`caddy` is not here");
}

fn import(fleet: &Fleet, flags: &[&str]) -> std::process::Output {
    let file = fleet.stack().join("Caddyfile").display().to_string();
    fleet.gitsync(&[&["import", "caddyfile", &file, "--node", "vps1"], flags].concat())
}

/// Where requests for a host go on to, as Caddy reads a file.
fn dials(file: &Path, host: &str) -> Vec<String> {
    let said = Command::new("caddy")
        .args(["adapt", "--adapter", "caddyfile", "--config"])
        .arg(file)
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", text(&said.stderr));
    let adapted: Value = serde_json::from_slice(&said.stdout).unwrap();
    let mut found = Vec::new();
    for server in adapted["apps"]["http"]["servers"].as_object().unwrap().values() {
        for route in server["routes"].as_array().unwrap() {
            let hosts = route["match"][0]["host"].as_array();
            if hosts.is_some_and(|hosts| hosts.iter().any(|it| it == host)) {
                collect(route, &mut found);
            }
        }
    }
    found
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("dial").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|inner| collect(inner, found));
        }
        Value::Array(all) => all.iter().for_each(|inner| collect(inner, found)),
        _ => {}
    }
}

#[test]
fn what_gateways_can_say_becomes_routes_that_lead_to_the_same_and_the_rest_is_kept() {
    caddy_is_here();
    let fleet = fleet();
    let said = import(&fleet, &["--format", "json"]);
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    let told: Value = serde_json::from_slice(&said.stdout).unwrap();
    let written = fs::read_to_string(fleet.repository().join("gateways/edge.yaml")).unwrap();
    assert_eq!(told["text"], written.as_str());
    let mut kept: Vec<&str> = told["kept"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["hosts"][0].as_str().unwrap_or("options"))
        .collect();
    kept.sort_unstable();
    let expected = [
        "auth.example.net",
        "files.example.net",
        "nobody.example.net",
        "old.example.net",
        "options",
        "plain.example.net",
        "tls.example.net",
    ];
    assert_eq!(kept, expected);
    for line in [
        "#   \temail me@example.net",
        "#   \tfile_server browse",
        "#   \tredir https://app.example.net{uri}",
    ] {
        assert!(written.lines().any(|it| it == line), "no `{line}` in {written}");
    }
    assert!(!written.contains("round_robin"), "{written}");
    // The lines are put where they are told to belong.
    for (service, file) in [("app", "services/app.yaml"), ("api", "services/api/service.yaml")] {
        let all = told["expose"].as_array().unwrap().iter();
        let own = all.filter(|it| it["service"] == service);
        let lines: Vec<String> = own
            .map(|it| {
                assert_eq!(it["file"], file);
                format!("  {}\n", it["line"].as_str().unwrap())
            })
            .collect();
        let before = fs::read_to_string(fleet.repository().join(file)).unwrap();
        fleet.write(file, &format!("{before}expose:\n{}", lines.concat()));
    }
    let valid = fleet.gitsync(&["validate"]);
    assert_eq!(valid.status.code(), Some(0), "{}", text(&valid.stdout));
    let out = fleet.home().join("rendered");
    assert!(fleet.gitsync(&["render", "--out", out.to_str().unwrap()]).status.success());
    let rendered = out.join("vps1/etc/caddy/Caddyfile");
    assert_eq!(dials(&rendered, "app.example.net"), ["192.0.2.10:8080"]);
    assert_eq!(dials(&rendered, "www.example.org"), ["192.0.2.10:8080"]);
    assert_eq!(dials(&rendered, "example.net"), ["192.0.2.10:9000", "192.0.2.10:8080"]);
    assert_eq!(dials(&rendered, "old.example.net"), Vec::<String>::new());
    let text = fs::read_to_string(rendered).unwrap();
    for words in ["X-Frame-Options", "X-Api", "uri strip_prefix /v1"] {
        assert!(text.contains(words), "no `{words}` in {text}");
    }
}

#[test]
fn what_is_kept_and_what_is_to_be_added_is_told_to_people() {
    caddy_is_here();
    let fleet = fleet();
    let said = import(&fleet, &["--dry-run"]);
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    insta::assert_snapshot!(text(&said.stdout));
    assert!(!fleet.repository().join("gateways").exists());
}

#[test]
fn a_caddyfile_that_can_t_be_read_and_a_gateway_that_is_there_are_refused() {
    caddy_is_here();
    let fleet = fleet();
    let file = fleet.stack().join("Caddyfile");
    let refused = |words: &str| {
        let said = import(&fleet, &[]);
        assert_eq!(said.status.code(), Some(1));
        assert!(text(&said.stderr).contains(words), "{}", text(&said.stderr));
    };
    fs::write(&file, "a.example.net {\n\tno_such_directive\n}\n").unwrap();
    refused("caddy refuses");
    fs::write(&file, "a.example.net {\n\treverse_proxy {$UPSTREAM}\n}\n").unwrap();
    refused("from Caddy's environment");
    fleet.write("gateways/edge.yaml", "proxy: caddy\non: [vps1]\n");
    refused("there is gateways/edge.yaml already");
    let path = Path::new("/nowhere");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gitsync"));
    fs::write(&file, "a.example.net\n").unwrap();
    command.args(["import", "caddyfile"]).arg(&file).args(["--node", "vps1", "--name", "other"]);
    let said =
        command.current_dir(fleet.repository()).env_clear().env("PATH", path).output().unwrap();
    assert!(text(&said.stderr).contains("`caddy` is not on this machine"));
}
