//! Caddy, every version that is there, takes every Caddyfile; texts, hosts and paths mean in it what they say.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::fleets::{self, gateway, header, name, route};
use super::model::*;
use super::served::{Echo, Running, answer};
use super::tools;

pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub fn caddies() -> Vec<PathBuf> {
    let found = tools::all("caddy");
    if found.is_empty() {
        tools::missing("caddy");
    }
    found
}

pub fn free_port() -> u16 {
    TcpListener::bind((LOOPBACK, 0)).unwrap().local_addr().unwrap().port()
}

pub fn caddyfile(mut gateway: Gateway) -> String {
    gateway.on = vec![name("vps1")];
    let mut fleet = fleets::fleet();
    fleet.gateways.insert(name("edge"), gateway);
    tools::text(&tools::unit(&fleet, "vps1/gateway.edge"), "Caddyfile")
}

fn to(echo: &Echo) -> Upstream {
    let node = fleets::node("vps1", "127.0.0.1");
    Upstream {
        unit: UnitId::new(&node.name, UnitKind::Service, &name(echo.name)),
        ..fleets::upstream(echo.name, &node, echo.address.port())
    }
}

fn site(host: &str, routes: Vec<Route>) -> Site {
    Site { host: host.to_owned(), routes }
}

fn runner() -> TestRunner {
    TestRunner::new(Config { cases: 8, failure_persistence: None, ..Config::default() })
}

#[test]
fn any_header_comes_out_as_it_was_written() {
    let echo = Echo::start("echo");
    for caddy in caddies() {
        let texts = prop::collection::vec(tools::printable(), 60);
        let done = runner().run(&texts, |texts| {
            let sites = texts.iter().enumerate().map(|(index, text)| {
                let mut all = route("echo", "", vec![to(&echo)]);
                all.headers.push(header("X-Out", text));
                all.request_headers.push(header("X-In", text));
                site(&format!("h{index}.example.net"), vec![all])
            });
            let running = Running::start(&caddy, gateway(sites.collect()));
            for (index, text) in texts.iter().enumerate() {
                // What HTTP itself does to a value: space around it is not part of it.
                let text = text.trim_matches([' ', '\t']);
                let answer = running.ask(&format!("h{index}.example.net"), "/");
                prop_assert_eq!(answer.status(), 200, "{:?}", text);
                prop_assert_eq!(answer.header("X-Out"), Some(text.to_owned()));
                let body = answer.body();
                prop_assert_eq!(body[1].trim_matches([' ', '\t']), text);
            }
            Ok(())
        });
        done.unwrap();
    }
}

/// Every byte but letters and digits as `%XX`.
fn encoded(path: &str) -> String {
    let byte = |b: u8| match b {
        b'/' => "/".to_owned(),
        b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    path.bytes().map(byte).collect()
}

#[test]
fn any_path_routes_what_is_below_it_and_nothing_beside_it() {
    let echo = Echo::start("echo");
    for caddy in caddies() {
        let texts = prop::collection::vec(
            tools::printable().prop_filter("a path", |text| {
                !text.is_empty() && !text.contains('/') && !matches!(text.as_str(), "." | "..")
            }),
            40,
        );
        let done = runner().run(&texts, |texts| {
            let sites = texts.iter().enumerate().map(|(index, text)| {
                let mut below = route("echo", &format!("/{text}"), vec![to(&echo)]);
                below.strip_path = true;
                below.headers.push(header("X-Route", "below"));
                let mut all = route("echo", "", vec![to(&echo)]);
                all.headers.push(header("X-Route", "all"));
                site(&format!("h{index}.example.net"), vec![below, all])
            });
            let running = Running::start(&caddy, gateway(sites.collect()));
            for (index, text) in texts.iter().enumerate() {
                let host = format!("h{index}.example.net");
                for (end, route, seen) in
                    [("", "below", "/"), ("/x", "below", "/x"), ("x", "all", "")]
                {
                    let path = encoded(&format!("/{text}{end}"));
                    let answer = running.ask(&host, &path);
                    prop_assert_eq!(
                        answer.header("X-Route"),
                        Some(route.to_owned()),
                        "{:?} {}",
                        text,
                        path
                    );
                    if !seen.is_empty() {
                        prop_assert_eq!(&answer.body()[0], seen, "{:?}", text);
                    }
                }
            }
            Ok(())
        });
        done.unwrap();
    }
}

#[test]
fn any_host_reaches_its_own_site() {
    let echo = Echo::start("echo");
    let hosts =
        prop::collection::btree_set("[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\\.[a-z]{2,5}){0,3}", 40);
    for caddy in caddies() {
        let done =
            TestRunner::new(Config { cases: 2, failure_persistence: None, ..Config::default() })
                .run(&hosts, |hosts| {
                    let sites = hosts.iter().map(|host| {
                        let mut all = route("echo", "", vec![to(&echo)]);
                        all.headers.push(header("X-Host", host));
                        site(host, vec![all])
                    });
                    let running = Running::start(&caddy, gateway(sites.collect()));
                    for host in &hosts {
                        let answer = running.ask(host, "/");
                        prop_assert_eq!(answer.header("X-Host"), Some(host.clone()));
                    }
                    Ok(())
                });
        done.unwrap();
    }
}

#[test]
fn mesh_routes_are_closed_to_others() {
    let echo = Echo::start("echo");
    for caddy in caddies() {
        for (mesh, status) in [("127.0.0.0/8", 200), ("100.64.0.0/10", 403)] {
            let mut all = route("echo", "", vec![to(&echo)]);
            all.access = Access::Mesh;
            let mut edge = gateway(vec![site("a.example.net", vec![all])]);
            edge.mesh = vec![mesh.to_owned(), "fd7a:115c:a1e0::/48".to_owned()];
            let running = Running::start(&caddy, edge);
            assert_eq!(running.ask("a.example.net", "/").status(), status, "{mesh}");
        }
    }
}

#[test]
fn the_fallback_answers_while_the_primary_is_away() {
    for caddy in caddies() {
        let (primary, fallback) = (Echo::start("primary"), Echo::start("fallback"));
        let mut pair = route("echo", "", vec![to(&primary), to(&fallback)]);
        pair.balance = Balance::First;
        let mut edge = gateway(vec![site("a.example.net", vec![pair])]);
        edge.health_interval = Duration::from_millis(500);
        let running = Running::start(&caddy, edge);
        assert_eq!(running.ask("a.example.net", "/").body()[2], "primary");
        drop(primary);
        for _ in 0..20 {
            let answer = running.ask("a.example.net", "/");
            assert_eq!((answer.status(), answer.body()[2].as_str()), (200, "fallback"));
        }
    }
}

#[test]
fn a_request_waits_for_an_upstream_that_starts() {
    for caddy in caddies() {
        let port = free_port();
        let node = fleets::node("vps1", "127.0.0.1");
        let all = route("late", "", vec![fleets::upstream("late", &node, port)]);
        let running = Running::start(&caddy, gateway(vec![site("a.example.net", vec![all])]));
        let late = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(700));
            let listener = TcpListener::bind((LOOPBACK, port)).unwrap();
            answer(listener.accept().unwrap().0, "late");
        });
        assert_eq!(running.ask("a.example.net", "/").body()[2], "late");
        late.join().unwrap();
    }
}

fn validated(caddy: &Path, verb: &str, gateway: Gateway) {
    taken(caddy, verb, &caddyfile(gateway));
}

/// Fails with Caddy's words when it does not take the text.
pub fn taken(caddy: &Path, verb: &str, text: &str) {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("Caddyfile");
    std::fs::write(&file, text).unwrap();
    let mut command = tools::command(caddy);
    command.env("HOME", home.path()).arg(verb).arg("--config").arg(&file);
    let output = command.args(["--adapter", "caddyfile"]).output().unwrap();
    assert!(output.status.success(), "{}\n{text}", tools::said(&output));
}

#[test]
fn every_way_to_certificates_is_taken() {
    let files =
        Tls::Files { cert: fleets::path("/etc/ssl/a b.pem"), key: fleets::path("/etc/ssl/a.key") };
    for caddy in caddies() {
        // Certificates of files would have to be there: only their form can be looked at.
        let ways = [
            (Tls::Off, "validate"),
            (Tls::Auto, "validate"),
            (Tls::Internal, "validate"),
            (files.clone(), "adapt"),
        ];
        for (tls, verb) in ways {
            let mut edge = fleets::everything().gateways[&name("edge")].clone();
            edge.tls = tls;
            edge.listen.bind = vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
            validated(&caddy, verb, edge);
        }
    }
}

#[test]
fn every_kind_of_route_is_taken() {
    for caddy in caddies() {
        let node = fleets::node("vps1", "fd7a::1");
        for balance in [Balance::First, Balance::LeastConn, Balance::RoundRobin] {
            let mut tls = route(
                "a",
                "",
                vec![fleets::upstream("a", &node, 1), fleets::upstream("b", &node, 2)],
            );
            tls.balance = balance;
            tls.upstream_tls = true;
            let none = route("c", "/none", Vec::new());
            let mut mesh = route("d", "/m", vec![fleets::upstream("a", &node, 3)]);
            mesh.access = Access::Mesh;
            let mut edge = gateway(vec![site("*.example.net", vec![none, mesh, tls])]);
            edge.mesh.clear();
            validated(&caddy, "validate", edge);
        }
        validated(&caddy, "validate", gateway(Vec::new()));
    }
}

#[test]
fn a_running_caddy_tells_that_it_took_the_file() {
    for caddy in caddies() {
        let home = tempfile::tempdir().unwrap();
        let (admin, port) = (free_port(), free_port());
        let made = |text: &str| {
            let mut edge = gateway(vec![site("a.example.net", vec![route("c", "", Vec::new())])]);
            edge.sites[0].routes[0].headers.push(header("X-Version", text));
            edge.listen = Listen {
                http: port,
                https: 8443,
                bind: vec![LOOPBACK],
                admin: Some(format!("127.0.0.1:{admin}")),
            };
            edge.on = vec![name("vps1")];
            let mut fleet = fleets::fleet();
            fleet.gateways.insert(name("edge"), edge);
            tools::unit(&fleet, "vps1/gateway.edge")
        };
        let file = home.path().join("Caddyfile");
        let write = |unit: &Unit| std::fs::write(&file, tools::text(unit, "Caddyfile")).unwrap();
        let asked = |unit: &Unit| {
            let check = unit.health.checks.iter().find_map(|check| match check {
                Check::Exec { command, .. } if command.contains("/config/") => {
                    Some(command.clone())
                }
                _ => None,
            });
            let sh = tools::first(&["sh"]).unwrap();
            tools::command(&sh).arg("-c").arg(check.unwrap()).output().unwrap().status.success()
        };
        if tools::first(&["curl", "wget"]).is_none() {
            return tools::missing("curl or wget");
        }
        let (old, new) = (made("1"), made("2"));
        write(&old);
        let run = |verb: &str| {
            let mut command = tools::command(&caddy);
            command.env("HOME", home.path()).arg(verb).arg("--config").arg(&file);
            command.args(["--adapter", "caddyfile"]).stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let child = run("run").spawn().unwrap();
        let _running = Running { child, port, _home: tempfile::tempdir().unwrap() };
        tools::wait_for("the old file", Duration::from_secs(20), || asked(&old));
        write(&new);
        assert!(!asked(&new), "it has not been told of the new file yet");
        assert!(run("reload").status().unwrap().success());
        tools::wait_for("the new file", Duration::from_secs(20), || asked(&new));
        assert!(!asked(&old));
    }
}
