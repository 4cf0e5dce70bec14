//! The rules on small fleets, beside the broken repositories in `tests/diagnostics`.

use crate::check::check;
use crate::diagnostic::Diagnostic;
use crate::model::{Entry, Snapshot};

const NODES: [(&str, &str); 6] = [
    ("fleet.yaml", "version: 1\nname: home\ndomain: example.net\nenvironments: [prod, dev]\n"),
    ("nodes/n1.yaml", "address: 100.64.0.1\n"),
    ("nodes/n2.yaml", "address: fd7a::2\n"),
    ("nodes/n3.yaml", "address: 100.64.0.3\noptional: true\n"),
    ("nodes/l1.yaml", "local: /tmp/l1\n"),
    ("nodes/l2.yaml", "local: /tmp/l2\n"),
];

/// The diagnostics of a fleet with these files besides its nodes.
fn found(files: &[(&str, &str)]) -> Vec<Diagnostic> {
    let entry = |(path, text): &(&str, &str)| {
        let content = text.as_bytes().to_vec();
        ((*path).to_owned(), Entry::File { content, executable: false })
    };
    let entries = NODES.iter().chain(files).map(entry).collect();
    check(&Snapshot { entries, ..Snapshot::default() }).diagnostics
}

/// `GS0301 services/b.yaml:3`, sorted.
fn codes(files: &[(&str, &str)]) -> Vec<String> {
    let short = |it: &Diagnostic| {
        let place = it.place().unwrap();
        format!("{} {}:{}", it.code.0, place.file, place.line)
    };
    found(files).iter().map(short).collect()
}

/// A service with an image and a check, on one line each, and whatever more.
fn service(placement: &str, more: &str) -> String {
    format!("image: app:1.0\nplacement: {placement}\nhealth: {{ container: true }}\n{more}\n")
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_wildcard_takes_a_port_from_every_address_of_its_family() {
    let brought = |ports: &str| {
        format!("services:\n  app:\n    image: app:1.0\n    ports:\n      - \"{ports}\"\n")
    };
    let stack = "compose: compose.yaml\nplacement: { on: [n1] }\nhealth: { container: true }\n";
    for (one, two, clash) in [
        ("127.0.0.1:80:80", "127.0.0.1:80:81", true),
        ("127.0.0.1:80:80", "127.0.0.2:80:80", false),
        ("127.0.0.1:80:80", "127.0.0.1:80:80/udp", false),
        ("127.0.0.1:80:80", "80:80", true),
        ("80:80", "[::1]:80:80", true),
        ("0.0.0.0:80:80", "[::1]:80:80", false),
        ("0.0.0.0:80:80", "[::]:80:80", false),
        ("0.0.0.0:80:80", "10.0.0.1:80:80", true),
        ("[::]:80:80", "[fd7a::1]:80:80", true),
        ("10.0.0.1:80-90:80-90", "10.0.0.1:88:88", true),
        ("10.0.0.1:80-90:80-90", "10.0.0.1:91:91", false),
        ("[::ffff:10.0.0.1]:80:80", "10.0.0.1:80:80", true),
    ] {
        let files = [
            ("services/a/service.yaml", stack),
            ("services/a/compose.yaml", &brought(one)),
            ("services/b/service.yaml", stack),
            ("services/b/compose.yaml", &brought(two)),
        ];
        let found: Vec<String> =
            codes(&files).into_iter().filter(|code| code.starts_with("GS0301")).collect();
        let expected = if clash { vec!["GS0301 services/b/compose.yaml:5"] } else { vec![] };
        assert_eq!(found, expected, "{one} and {two}");
    }
}

#[test]
fn a_port_that_no_other_unit_of_the_machine_has_is_fine() {
    let web = |on: &str| service(on, "ports: { web: \"8080:80\" }");
    let other = "ports: { dns: { container: 53, host: 8080, protocol: udp } }";
    let files = [
        ("services/a.yaml", web("{ on: [n1] }")),
        ("services/b.yaml", web("{ on: [n2] }")),
        ("services/c.yaml", service("{ on: [n1] }", other)),
    ];
    assert_eq!(codes(&files.each_ref().map(|(path, text)| (*path, text.as_str()))), NOTHING);
}

#[test]
fn local_nodes_are_one_machine() {
    let a = service("{ on: [l1] }", "ports: { web: \"8080:80\" }");
    let b = service("{ on: [l2] }", "ports: { web: \"8080:80\" }");
    let files = [("services/a.yaml", a.as_str()), ("services/b.yaml", b.as_str())];
    assert_eq!(codes(&files), ["GS0301 services/b.yaml:4"]);
}

#[test]
fn a_port_that_a_node_overrides_is_told_where_it_is_overridden() {
    let a = service("{ on: [n1] }", "ports: { web: \"8080:80\" }");
    let b = service(
        "{ on: [n1, n2] }",
        "ports: { web: \"9090:80\" }\nnodes:\n  n1: { ports: { web: \"8080:80\" } }",
    );
    let files = [("services/a.yaml", a.as_str()), ("services/b.yaml", b.as_str())];
    assert_eq!(codes(&files), ["GS0301 services/b.yaml:6"]);
}

#[test]
fn gateways_listen_on_what_they_were_told_and_on_their_admin_port() {
    let admin = service("{ on: [n1] }", "ports: { web: \"2019:80\" }\npublish: loopback");
    let https =
        service("{ on: [n1] }", "ports: { vpn: { container: 1, host: 443, protocol: udp } }");
    let plain = "proxy: caddy\non: [n1]\n";
    let tls = "proxy: caddy\non: [n1]\ntls: internal\nlisten: { admin: \"off\" }\n";
    let loopback = "proxy: caddy\non: [n1]\ntls: internal\nlisten: { bind: [127.0.0.1] }\n";
    for (gateway, service, clash) in [
        (plain, &admin, true),
        (tls, &admin, false),
        (plain, &https, false),
        (tls, &https, true),
        (loopback, &https, false),
    ] {
        let found = codes(&[("gateways/g.yaml", gateway), ("services/a.yaml", service)]);
        let clashes = found.iter().filter(|code| code.starts_with("GS0301")).count();
        assert_eq!(clashes == 1, clash, "{gateway}{service}{found:?}");
    }
}

#[test]
fn a_conflict_on_many_nodes_is_told_once_with_its_nodes() {
    let text = service("{ on: [n1, n2, n3] }", "directory: /srv/app\nproject: p");
    let files = [("services/a.yaml", text.as_str()), ("services/b.yaml", text.as_str())];
    let found = found(&files);
    let directory = found.iter().find(|it| it.code.0 == "GS0302").unwrap();
    assert_eq!(
        directory.message,
        "`service.a` and `service.b` both have the directory `/srv/app` on `n1`, `n2` and `n3`"
    );
    let codes: Vec<&str> = found.iter().map(|it| it.code.0).collect();
    assert_eq!(codes, ["GS0302", "GS0303"]);
}

#[test]
fn other_environments_have_directories_and_projects_of_their_own() {
    let text = service("{ on: [n1] }", "environments: { prod: {}, dev: {} }");
    assert_eq!(codes(&[("services/a.yaml", &text)]), NOTHING);
}

#[test]
fn a_volume_made_outside_may_be_shared() {
    let text = service("{ on: [n1] }", "volumes: [ { external: media, target: /media } ]");
    let files = [("services/a.yaml", text.as_str()), ("services/b.yaml", text.as_str())];
    assert_eq!(codes(&files), NOTHING);
}

#[test]
fn what_depends_in_a_diamond_is_no_circle() {
    let need = |on: &str| service("{ on: [n1, n2] }", &format!("depends_on: [{on}]"));
    let (a, b, c, d) = (need("b, c"), need("d"), need("d"), service("{ on: [n1] }", ""));
    let files = [
        ("services/a.yaml", &a),
        ("services/b.yaml", &b),
        ("services/c.yaml", &c),
        ("services/d.yaml", &d),
    ];
    assert_eq!(codes(&files.map(|(path, text)| (path, text.as_str()))), NOTHING);
}

#[test]
fn what_sleeps_may_need_what_sleeps() {
    let a = service("{ on: [n3] }", "depends_on: [b]");
    let b = service("{ on: [n3] }", "");
    let files = [("services/a.yaml", a.as_str()), ("services/b.yaml", b.as_str())];
    assert_eq!(codes(&files), NOTHING);
}

#[test]
fn syncs_that_pass_files_on_are_no_circle() {
    let sync =
        |path: &str, from: &str, to: &str| format!("path: {path}\nfrom: {from}\nto: [{to}]\n");
    let chain =
        [("syncs/a.yaml", sync("/srv", "n1", "n2")), ("syncs/b.yaml", sync("/srv", "n2", "n3"))];
    let ring = [
        ("syncs/a.yaml", sync("/srv", "n1", "n2")),
        ("syncs/b.yaml", sync("/srv/x", "n2", "n3")),
        ("syncs/c.yaml", sync("/srv/x/y", "n3", "n1")),
    ];
    let files = |syncs: &[(&'static str, String)]| {
        codes(&syncs.iter().map(|(path, text)| (*path, text.as_str())).collect::<Vec<_>>())
    };
    assert_eq!(files(&chain), NOTHING);
    assert_eq!(files(&ring), ["GS0315 syncs/c.yaml:1"]);
}

#[test]
fn a_sync_may_not_carry_the_directory_that_puts_a_node_back() {
    let text = "path: /var/lib\nfrom: n1\nto: [n2]\n";
    assert_eq!(codes(&[("syncs/a.yaml", text)]), ["GS0309 syncs/a.yaml:1"]);
}

#[test]
fn digests_and_tags_are_versions() {
    for (image, expected) in [
        ("app:1.0", 0),
        ("registry.example.net:5000/app:1.0", 0),
        ("app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", 0),
        ("registry.example.net:5000/app", 1),
        ("app:latest", 1),
        ("app", 1),
    ] {
        let text =
            format!("image: {image}\nplacement: {{ on: [n1] }}\nhealth: {{ container: true }}\n");
        let found = codes(&[("services/a.yaml", &text)]);
        assert_eq!(found.len(), expected, "{image}: {found:?}");
    }
}

#[test]
fn a_fleet_of_many_units_is_checked_in_no_time() {
    let many = 60;
    let mut files = Vec::new();
    for number in 0..many {
        let node = format!("nodes/m{number}.yaml");
        files.push((node, format!("address: 10.0.0.{number}\nlabels: {{ all: many }}\n")));
        let more =
            format!("ports: {{ web: \"{}:80\" }}\nvolumes: [ \"data:/data\" ]", 9000 + number);
        let text = service("{ on: { all: many } }", &more);
        files.push((format!("services/s{number}.yaml"), text));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let start = std::time::Instant::now();
    assert_eq!(codes(&files), NOTHING);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}
