//! Broken repositories: each problem with its code and its exact place.

use std::time::{Duration, Instant};

use gitsync::check::check;
use gitsync::model::{Entry, Snapshot};

use super::support::{told, with};

/// What the check says of the base with one file more or other.
fn says(files: &[(&str, &str)]) -> Vec<String> {
    let checked = check(&with(files));
    assert!(checked.fleet.is_none(), "taken: {files:?}");
    told(&checked).into_iter().filter(|line| !line.starts_with("GS09")).collect()
}

/// One file, and the one problem that must be told of it: how it begins.
fn one(file: &str, text: &str, wanted: &str) {
    let told = says(&[(file, text)]);
    assert_eq!(told.len(), 1, "{text}\n{told:#?}");
    assert!(told[0].starts_with(wanted), "{text}\n wanted {wanted}\n told   {}", told[0]);
}

/// A service with these lines after an image and a placement.
fn service(lines: &str, wanted: &str) {
    let text = format!("image: acme/x:1\nplacement: {{ on: [vps1] }}\n{lines}");
    one("services/x.yaml", &text, wanted);
}

#[test]
fn values_are_told_in_words_at_their_places() {
    service("port: 80\n", "GS0101 services/x.yaml:3:1 there is no key `port` here");
    service("ports: 80\n", "GS0102 services/x.yaml:3:8 expected a mapping, found a number");
    service(
        "ports: { web: 70000 }\n",
        "GS0104 services/x.yaml:3:15 70000 is too large: at most 65535",
    );
    service("ports: { web: 80:90000 }\n", "GS0114 services/x.yaml:3:15 `80:90000` is not a port");
    service("ports: { web: http }\n", "GS0114 services/x.yaml:3:15 `http` is not a port");
    service("ports: { web: { host: 1 } }\n", "GS0105 services/x.yaml:3:15 `container` is missing");
    service(
        "publish: everywhere\n",
        "GS0103 services/x.yaml:3:10 expected `mesh`, `host`, `loopback` or `none`, found `everywhere`",
    );
    service(
        "privileged: yes\n",
        "GS0102 services/x.yaml:3:13 expected `true` or `false`, found a text",
    );
    service(
        "replicas: \"2\"\n",
        "GS0102 services/x.yaml:3:11 expected a whole number, found a text",
    );
    service("replicas: 0\n", "GS0104 services/x.yaml:3:11 0 is too small: at least 1");
    service("stop_grace: 10\n", "GS0107 services/x.yaml:3:13 `10` is not a duration");
    service("volumes: [config]\n", "GS0112 services/x.yaml:3:11 `config` is not a volume");
    service("volumes: [./../x:/x]\n", "GS0111 services/x.yaml:3:11 `./../x` must stay");
    service("env: { A: }\n", "GS0102 services/x.yaml:3:8 expected a text, found nothing");
    service("env: { 1A: x }\n", "GS0112 services/x.yaml:3:8 `1A` can't be a variable's name");
    service(
        "health: { http: health }\n",
        "GS0112 services/x.yaml:3:17 `health` is not a path of requests",
    );
    service("health: { interval: soon }\n", "GS0107 services/x.yaml:3:21 `soon` is not a duration");
    service("directory: srv\n", "GS0111 services/x.yaml:3:12 `srv` is not an absolute path");
    service(
        "directory: /a/../b\n",
        "GS0111 services/x.yaml:3:12 `/a/../b` is not an absolute path",
    );
    service("depends_on: x y\n", "GS0102 services/x.yaml:3:13 expected a list, found a text");
    service("expose: [ { host: A_B } ]\n", "GS0110 services/x.yaml:3:19 `A_B` is not a host");
    one(
        "nodes/vps1.yaml",
        "address: vps1.example\n",
        "GS0109 nodes/vps1.yaml:1:10 `vps1.example` is not an IP address",
    );
    one("nodes/vps1.yaml", "address: 0.0.0.0\n", "GS0109 nodes/vps1.yaml:1:10");
    one(
        "nodes/vps1.yaml",
        "address: 1.2.3.4\nssh: { host: -oProxyCommand=x }\n",
        "GS0110 nodes/vps1.yaml:2:14",
    );
    one(
        "nodes/vps1.yaml",
        "address: 1.2.3.4\nssh: { user: 'a b' }\n",
        "GS0110 nodes/vps1.yaml:2:14",
    );
    one("nodes/vps1.yaml", "optional: true\n", "GS0105 nodes/vps1.yaml:1:1 `address` is missing");
    one("nodes/vps1.yaml", "", "GS0102 nodes/vps1.yaml:1:1 expected a mapping, found nothing");
    one(
        "nodes/vps1.yaml",
        "address: 1.2.3.4\nboot: initd\n",
        "GS0103 nodes/vps1.yaml:2:7 `initd` is not a way to survive",
    );
    one("nodes/vps1.yaml", "address: 1.2.3.4\nlocal: /x\nssh: {}\n", "GS0113 nodes/vps1.yaml:3:1");
    one("fleet.yaml", "version: 2\nname: x\n", "GS0104 fleet.yaml:1:10 2 is too large");
    one("fleet.yaml", "version: 1\n", "GS0105 fleet.yaml:1:1 `name` is missing");
    one("fleet.yaml", "version: 1\nname: x\nmesh: [10.0.0.0/33]\n", "GS0109 fleet.yaml:3:8");
    one(
        "fleet.yaml",
        "version: 1\nname: x\nrollout: { dead_man: never }\n",
        "GS0107 fleet.yaml:3:22",
    );
    one("fleet.yaml", "version: 1\nname: x\nenvironments: [a, a]\n", "GS0207 fleet.yaml:3:19");
    one(
        "bundles/b.yaml",
        "files: nodes/\nto: { on: all, path: /x, mode: 999 }\n",
        "GS0108 bundles/b.yaml:2:32 `999` is not a file mode",
    );
    one("bundles/b.yaml", "files: ../x\nto: { on: all, path: /x }\n", "GS0111 bundles/b.yaml:1:8");
    one(
        "bundles/b.yaml",
        "files: nodes/\nto: { on: vps1, path: /x }\n",
        "GS0103 bundles/b.yaml:2:11 expected `all`, found `vps1`",
    );
}

#[test]
fn files_are_told_with_their_reason() {
    one("nodes/Vps3.yaml", "address: 1.2.3.4\n", "GS0106 nodes/Vps3.yaml:1:1");
    one("nodes/x.yml", "", "GS0009 nodes/x.yml:1:1");
    one("nodes/eu/x.yaml", "", "GS0009 nodes/eu/x.yaml:1:1");
    one("node/x.yaml", "", "GS0009 node/x.yaml:1:1");
    one("fleet.yml", "", "GS0009 fleet.yml:1:1");
    one("services/x/compose.yaml", "", "GS0009 services/x/compose.yaml:1:1");
    one("nodes/x.yaml", "a: [1\n", "GS0005 nodes/x.yaml:");
    one("nodes/x.yaml", "address: 1.2.3.4\naddress: 1.2.3.5\n", "GS0007 nodes/x.yaml:2:1");
    one("nodes/x.yaml", "address: 1.2.3.4\n---\naddress: 1.2.3.5\n", "GS0008 nodes/x.yaml:2:1");
    one("zones/internal.yaml", "a: b\n", "GS0501 zones/internal.yaml:1:1");
    one("secrets/a.yaml", "a: b\n", "GS0012 secrets/a.yaml:1:1");
    one("secrets/a.json", "{}", "GS0009 secrets/a.json:1:1");
    one("secrets/b/a.yaml", "a: b\n", "GS0009 secrets/b/a.yaml:1:1");
    let text = "image: a\nplacement: { on: all }\n";
    let told = says(&[("services/x.yaml", text), ("services/x/service.yaml", text)]);
    assert!(told[0].starts_with("GS0011 services/x/service.yaml:1:1"), "{told:?}");
}

#[test]
fn entries_that_are_no_files_are_told() {
    let with_entry = |path: &str, entry: Entry| {
        let mut snapshot =
            with(&[("bundles/b.yaml", "files: files/\nto: { on: all, path: /x }\n")]);
        snapshot
            .entries
            .insert("files/a".to_owned(), Entry::File { content: vec![255], executable: false });
        snapshot.entries.insert(path.to_owned(), entry);
        told(&check(&snapshot))
    };
    let cases = [
        ("nodes/x.yaml", Entry::TooLarge(2_000_000), "GS0002 nodes/x.yaml:1:1"),
        ("files/big", Entry::TooLarge(2_000_000), "GS0002 files/big:1:1"),
        ("files/out", Entry::Link("../../etc/passwd".to_owned()), "GS0003 files/out:1:1"),
        ("files/abs", Entry::Link("/etc/passwd".to_owned()), "GS0003 files/abs:1:1"),
        ("files/gone", Entry::Link("nothing".to_owned()), "GS0003 files/gone:1:1"),
        ("files/sub", Entry::Submodule, "GS0004 files/sub:1:1"),
        (
            "nodes/x.yaml",
            Entry::File { content: vec![255], executable: false },
            "GS0001 nodes/x.yaml:1:1",
        ),
    ];
    for (path, entry, wanted) in cases {
        let told = with_entry(path, entry);
        assert!(told.len() == 1 && told[0].starts_with(wanted), "{path}: {told:?}");
    }
}

#[test]
fn references_must_lead_somewhere() {
    service("depends_on: [y]\n", "GS0204 services/x.yaml:3:14 there is no service `y`");
    service("depends_on: [sync/y]\n", "GS0204 services/x.yaml:3:14 there is no sync `y`");
    service(
        "nodes: { vps2: {} }\n",
        "GS0206 services/x.yaml:3:10 the service is not placed on `vps2`",
    );
    service("nodes: { vps3: {} }\n", "GS0201 services/x.yaml:3:10 there is no node `vps3`");
    service(
        "environments: { dev: {} }\n",
        "GS0205 services/x.yaml:3:17 there is no environment `dev`",
    );
    service(
        "ports: { web: 80 }\nhealth: { http: /, port: wep }\n",
        "GS0203 services/x.yaml:4:26 `x` has no port `wep`",
    );
    service("health: { http: / }\n", "GS0210 services/x.yaml:3:17 `x` publishes no port");
    service(
        "ports: { a: 1, b: 2 }\nhealth: { http: / }\n",
        "GS0105 services/x.yaml:4:17 `port` is missing",
    );
    service(
        "ports: { a: 1 }\npublish: none\nhealth: { tcp: a }\n",
        "GS0210 services/x.yaml:5:16 the port `a` is not published",
    );
    service("ports: { a: 1 }\nexpose: [ { host: a } ]\n", "GS0209 services/x.yaml:4:");
    service(
        "ports: { a: 1 }\npublish: loopback\nhealth: { tcp: a, from: controller }\n",
        "GS0210 services/x.yaml:5:16",
    );
    one("services/x.yaml", "image: a\n", "GS0105 services/x.yaml:1:1 `placement` is missing");
    one("services/x.yaml", "image: a\nplacement: { on: [vps3] }\n", "GS0201 services/x.yaml:2:19");
    one("services/x.yaml", "image: a\nplacement: { on: { a: b } }\n", "GS0206 services/x.yaml:2:");
    one(
        "services/x.yaml",
        "image: a\nplacement: { on: [vps1, vps1] }\n",
        "GS0207 services/x.yaml:2:25",
    );
    one(
        "services/x.yaml",
        "image: a\nplacement: { primary: vps1, fallback: [vps1] }\n",
        "GS0207 services/x.yaml:2:40",
    );
    one("services/x.yaml", "image: a\nplacement: { primary: vps1 }\n", "GS0105 services/x.yaml:2:");
    one(
        "bundles/b.yaml",
        "files: files/\nto: { on: all, path: /x }\n",
        "GS0208 bundles/b.yaml:1:8",
    );
    one(
        "bundles/b.yaml",
        "files: { a: b }\nto: { on: all, path: /x }\n",
        "GS0208 bundles/b.yaml:1:13",
    );
    one("syncs/s.yaml", "path: /x\nbetween: [vps1, vps9]\n", "GS0201 syncs/s.yaml:2:17");
    one("syncs/s.yaml", "path: /x\nfrom: vps1\nto: [vps1]\n", "GS0207 syncs/s.yaml:3:6");
    one("syncs/s.yaml", "path: /x\nfrom: vps1\n", "GS0113 syncs/s.yaml:1:1");
    one(
        "services/x/service.yaml",
        "compose: compose.yaml\nplacement: { on: all }\n",
        "GS0208 services/x/service.yaml:1:10",
    );
    one(
        "services/x.yaml",
        "compose: compose.yaml\nplacement: { on: all }\n",
        "GS0208 services/x.yaml:1:10",
    );
}

#[test]
fn routes_must_lead_somewhere() {
    let gateway = ("gateways/edge.yaml", "proxy: caddy\non: [vps1]\n");
    let route = |lines: &str, wanted: &str| {
        let text = format!("image: a\nplacement: {{ on: [vps2] }}\nports: {{ web: 80 }}\n{lines}");
        let told = says(&[gateway, ("services/x.yaml", &text)]);
        assert!(told.len() == 1 && told[0].starts_with(wanted), "{lines}: {told:?}");
    };
    route("expose: [ { host: a, port: wep } ]\n", "GS0203 services/x.yaml:4:28");
    route("expose: [ { host: a, port: 81 } ]\n", "GS0203 services/x.yaml:4:28");
    route("expose: [ { host: a, gateway: edg } ]\n", "GS0209 services/x.yaml:4:31");
    route("publish: loopback\nexpose: [ { host: a } ]\n", "GS0307 services/x.yaml:5:19");
    let bare = ("fleet.yaml", "version: 1\nname: x\n");
    let text = "image: a\nplacement: { on: [vps2] }\nports: { web: 80 }\nexpose: [ { host: a } ]\n";
    let told = says(&[gateway, bare, ("services/x.yaml", text)]);
    assert!(told[0].starts_with("GS0211 services/x.yaml:4:19"), "{told:?}");
}

#[test]
fn what_is_not_done_yet_says_so() {
    service("schedule: daily\n", "GS0501 services/x.yaml:3:1 not supported yet: `schedule`");
    service("hooks: { before: x }\n", "GS0501 services/x.yaml:3:1 not supported yet: `hooks`");
    service("update: blue_green\n", "GS0501 services/x.yaml:3:9 not supported yet");
    service(
        "labels: { A: secret:x.y }\n",
        "GS0501 services/x.yaml:3:14 not supported yet: `secret:` here",
    );
    service("environments: { prod: { schedule: x } }\n", "GS0501 services/x.yaml:3:25");
    service(
        "ports: { w: 1 }\nexpose: [ { host: a, access: login } ]\n",
        "GS0501 services/x.yaml:4:30",
    );
    one("gateways/e.yaml", "proxy: traefik\non: all\n", "GS0501 gateways/e.yaml:1:8");
    one(
        "gateways/e.yaml",
        "proxy: caddy\non: all\ntls: { dns: { provider: x, token: secret:y } }\n",
        "GS0501 gateways/e.yaml:3:6",
    );
    one(
        "gateways/e.yaml",
        "proxy: caddy\non: all\ntunnel: { cloudflare: { id: x, credentials: secret:y } }\n",
        "GS0501 gateways/e.yaml:3:1",
    );
}

#[test]
fn keys_of_another_form_are_told() {
    service("start: x\n", "GS0113 services/x.yaml:3:1 `start` has no meaning here");
    service("compose: c.yaml\n", "GS0113 services/x.yaml:3:1");
    service("replicas: 2\nports: { a: 1 }\n", "GS0113 services/x.yaml:3:1");
    service("network: host\nports: { a: \"1:2\" }\n", "GS0113 services/x.yaml:4:13");
    service("health: { port: 80 }\n", "GS0113 services/x.yaml:3:11");
    service("volumes: [ { volume: a, path: /b, target: /c } ]\n", "GS0113 services/x.yaml:3:12");
    one("services/x.yaml", "placement: { on: all }\n", "GS0105 services/x.yaml:1:1 say what runs");
    one("services/x.yaml", "run: command\nplacement: { on: all }\n", "GS0105 services/x.yaml:1:1");
    one(
        "services/x.yaml",
        "run: command\nstart: a\nvolumes: []\nplacement: { on: all }\n",
        "GS0113 services/x.yaml:3:1",
    );
    one("gateways/e.yaml", "proxy: caddy\non: all\nstart: x\n", "GS0113 gateways/e.yaml:3:1");
    one(
        "bundles/b.yaml",
        "files: nodes/\nto: { on: all, path: /x }\nhealth: { http: / }\n",
        "GS0113 bundles/b.yaml:3:11",
    );
}

#[test]
fn hints_name_what_was_meant() {
    let hint = |file: &str, text: &str| {
        let checked = check(&with(&[(file, text)]));
        checked.diagnostics.iter().flat_map(|d| d.hints.clone()).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(
        hint("nodes/a.yaml", "adress: 1.2.3.4\naddress: 1.2.3.4\n"),
        "did you mean `address`?"
    );
    assert_eq!(
        hint("services/x.yaml", "image: a\nplacement: { on: [vsp1] }\n"),
        "did you mean `vps1`?"
    );
    assert_eq!(
        hint("services/x.yaml", "image: a\npublish: lopback\nplacement: { on: all }\n"),
        "did you mean `loopback`?"
    );
    let text = "image: a\nplacement: { on: all }\ndepends_on: [files]\n";
    let sync = ("syncs/files.yaml", "path: /x\nfrom: vps1\nto: [vps2]\n");
    let checked = check(&with(&[("services/x.yaml", text), sync]));
    let hints: Vec<&String> = checked.diagnostics.iter().flat_map(|d| &d.hints).collect();
    assert!(hints.iter().any(|hint| *hint == "did you mean `sync/files`?"), "{hints:?}");
}

#[test]
fn all_problems_of_all_files_are_told_in_one_run() {
    let told = says(&[
        ("nodes/vps1.yaml", "address: x\nlabel: {}\n"),
        ("services/a.yaml", "image: a\nplacement: { on: [vps1, vps7] }\ndepends_on: [b]\n"),
        ("gateways/e.yaml", "a: [\n"),
        ("bundles/b.yaml", "files: none/\nto: { on: all, path: x }\n"),
    ]);
    let codes: Vec<&str> = told.iter().map(|line| &line[..6]).collect();
    assert_eq!(codes, ["GS0111", "GS0005", "GS0109", "GS0101", "GS0201", "GS0204"], "{told:#?}");
}

#[test]
fn ten_thousand_small_files_are_checked_in_linear_time() {
    let mut snapshot = Snapshot::default();
    let mut add = |path: String, text: String| {
        snapshot
            .entries
            .insert(path, Entry::File { content: text.into_bytes(), executable: false });
    };
    add("fleet.yaml".to_owned(), "version: 1\nname: x\ndomain: x.net\n".to_owned());
    let nodes = if cfg!(debug_assertions) { 100 } else { 1_000 };
    for node in 0..nodes {
        let (high, low) = (node / 250, node % 250);
        add(
            format!("nodes/n{node}.yaml"),
            format!("address: 10.0.{high}.{low}\nlabels: {{ rank: {node} }}\n"),
        );
        for at in 0..9 {
            let port = 8000 + at;
            let text = format!(
                "image: acme/s:1\nplacement: {{ on: [n{node}] }}\nports: {{ web: \"{port}:80\" }}\nhealth: {{ http: /, port: web }}\nenv: {{ A: b }}\n"
            );
            add(format!("services/s{node}-{at}.yaml"), text);
        }
    }
    let began = Instant::now();
    let checked = check(&snapshot);
    let took = began.elapsed();
    assert!(checked.fleet.is_some(), "{:?}", told(&checked).first());
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn secrets_of_services_must_be_there_and_in_nobody_s_way() {
    let sealed = "key: ENC[a]\nsops:\n    age: [{ recipient: age1, enc: x }]\n";
    let compose = "services:\n  web:\n    image: \"nginx:${TAG}\"\n    env_file: app.env\n";
    let of = |service: &str, more: &[(&str, &str)]| {
        let service = format!(
            "compose: compose.yaml\nplacement: {{ on: all }}\nhealth: {{ container: true }}\n{service}"
        );
        let files = [
            ("secrets/db.yaml", sealed),
            ("services/x/service.yaml", service.as_str()),
            ("services/x/compose.yaml", compose),
        ];
        told(&check(&with(&[&files[..], more].concat())))
    };
    let good = "env: { TAG: secret:db.key }\nsecret_files: { app.env: secret:db.key }\n";
    assert_eq!(of(good, &[]), Vec::<String>::new());
    let known = "env: { TAG: 1.27.3 }\nsecret_files: { app.env: { secret: secret:db.key, mode: \"0640\" } }\n";
    assert_eq!(of(known, &[]), Vec::<String>::new());
    // Without them compose would find neither the variable nor the file.
    let without = of("", &[]);
    assert!(without.iter().any(|line| line.contains("TAG")), "{without:?}");
    assert!(without.iter().any(|line| line.contains("app.env")), "{without:?}");
    let one = |service: &str, more: &[(&str, &str)], wanted: &str| {
        let all = of(&format!("env: {{ TAG: a }}\n{service}"), more);
        assert!(all.iter().any(|line| line.starts_with(wanted)), "{service}: {all:?}");
    };
    one("secret_files: { app.env: db.key }\n", &[], "GS0112 services/x/service.yaml:5:26");
    one("secret_files: { app.env: secret:db.kez }\n", &[], "GS0212 services/x/service.yaml:5:26");
    one(
        "secret_files: { ../app.env: secret:db.key }\n",
        &[],
        "GS0111 services/x/service.yaml:5:17",
    );
    let plain = ("services/x/app.env", "A=1\n");
    one(
        "secret_files: { app.env: secret:db.key }\n",
        &[plain],
        "GS0113 services/x/service.yaml:5:17",
    );
}
