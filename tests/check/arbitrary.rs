//! Whatever lies in a repository, the check ends soon and tells, and never panics.

use std::time::{Duration, Instant};

use gitsync::check::check;
use gitsync::model::Entry;
use proptest::prelude::*;

use super::support::with;

/// Paths whose content is read as YAML.
const PATHS: [&str; 8] = [
    "fleet.yaml",
    "nodes/vps1.yaml",
    "services/a.yaml",
    "services/b/service.yaml",
    "services/b/compose.yaml",
    "gateways/e.yaml",
    "syncs/s.yaml",
    "bundles/b.yaml",
];

/// Text made of the words of the formats, so that it often gets past the schemas.
fn wordy() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "image",
        "compose",
        "run",
        "command",
        "start",
        "placement",
        "on",
        "all",
        "primary",
        "fallback",
        "vps1",
        "ports",
        "web",
        "80",
        "8081:80",
        "expose",
        "host",
        "a",
        "@",
        "port",
        "health",
        "http",
        "/",
        "tcp",
        "exec",
        "environments",
        "prod",
        "nodes",
        "env",
        "address",
        "1.2.3.4",
        "files",
        "to",
        "path",
        "/x",
        "proxy",
        "caddy",
        "between",
        "version",
        "1",
        "name",
        "10s",
        "secret:x",
        "tls",
        "dns",
        "off",
        "services",
        ": ",
        ":\n  ",
        "\n",
        ", ",
        "{ ",
        " }",
        "[",
        "]",
        "- ",
        "&a ",
        "*a ",
        "<<: ",
        "\"",
        " ",
    ]);
    prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

fn ends_soon(path: &str, content: Vec<u8>) {
    let compose = "compose: compose.yaml\nplacement: { on: all }\n";
    let mut snapshot = with(&[
        ("services/b/service.yaml", compose),
        ("services/b/compose.yaml", "services: {}\n"),
    ]);
    snapshot
        .entries
        .insert(path.to_owned(), Entry::File { content: content.clone(), executable: false });
    let began = Instant::now();
    let checked = check(&snapshot);
    let took = began.elapsed();
    let head: String = String::from_utf8_lossy(&content).chars().take(60).collect();
    assert!(took < Duration::from_secs(5), "{path} {took:?}: {head}");
    assert_eq!(checked.fleet.is_none(), checked.has_errors(), "{path}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(at in 0..PATHS.len(), content in prop::collection::vec(any::<u8>(), 0..500)) {
        ends_soon(PATHS[at], content);
    }

    #[test]
    fn arbitrary_words_never_panic(at in 0..PATHS.len(), text in wordy()) {
        ends_soon(PATHS[at], text.into_bytes());
    }
}

#[test]
fn large_and_nasty_documents_are_answered_soon() {
    let many = |one: &str, times: usize| one.repeat(times);
    let keys: String = (0..40_000).map(|at| format!("k{at}: 1\n")).collect();
    let env: String = (0..30_000).map(|at| format!("  K{at}: \"{at}\"\n")).collect();
    let cases = [
        keys,
        format!("image: a\nplacement: {{ on: all }}\nenv:\n{env}"),
        format!("image: a\nplacement: {{ on: [{}] }}\n", many("vps1, ", 30_000)),
        format!("image: a\nplacement: {{ on: [{}] }}\n", many("no, ", 30_000)),
        format!("image: {}\nplacement: {{ on: all }}\n", many("a", 1_000_000)),
        format!("image: a\nplacement: {{ on: all }}\ndirectory: {}\n", many("/a", 400_000)),
        format!("image: a\nplacement: {{ on: all }}\nvolumes: [{}]\n", many("'./x:/y', ", 30_000)),
        format!("image: a\nplacement: {{ on: all }}\ndepends_on: [{}]\n", many("q, ", 30_000)),
        format!("image: a\nplacement: {{ on: all }}\nstop_grace: {}\n", many("1s", 400_000)),
    ];
    for case in cases {
        ends_soon("services/a.yaml", case.into_bytes());
    }
}
