//! Holds the shape of the house: who may import whom, what pure rooms may not touch, how long a file may get.
//!
//! Sources are read as text: comments, strings and tests are blanked out, then every path is followed, in `use` trees
//! and in code. That is coarse, and enough: a rule that is broken is told with file, line and path.

use std::fs;
use std::path::Path;

/// Rooms from top to ground. A room imports rooms of lower floors only; none of its own floor.
const FLOORS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["engine"],
    &[
        "source",
        "secrets",
        "transport",
        "probe",
        "journal",
        "settings",
        "clock",
        "report",
        "notify",
    ],
    &["limits", "import"],
    &["check", "render", "plan", "rollout"],
    &["event", "diagnostic"],
    &["model"],
];

/// Rooms below the waterline: no I/O, no clock, no async, no order that changes from run to run.
const PURE: &[&str] =
    &["limits", "import", "check", "render", "plan", "rollout", "event", "diagnostic", "model"];

/// Imports inside one floor that are meant.
const NEIGHBOURS: &[(&str, &str, &str)] = &[
    ("notify", "settings", "messages go where the settings say"),
    ("source", "settings", "a remote is let in to as the settings say"),
    ("secrets", "settings", "identities are looked for where the settings say"),
    ("probe", "transport", "http and tcp checks go through the node's sshd"),
    ("transport", "clock", "deadlines of verbs"),
    ("probe", "clock", "budgets of probes"),
];

/// Imports of a lower floor that are not meant: listeners are built at the door, so that nothing below styles text.
const FORBIDDEN: &[(&str, &str)] = &[("engine", "report"), ("main", "model")];

/// What pure rooms may not mention.
const IMPURE: &[&str] = &[
    "async",
    "await",
    "tokio",
    "futures_util",
    "async_trait",
    "std::fs",
    "std::process",
    "std::env",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant",
    "SystemTime",
    "std::collections::HashMap",
    "std::collections::HashSet",
    "HashMap",
    "HashSet",
    "rand",
    "jiff",
    "git2",
    "sqlx",
    "reqwest",
    "openssh",
    "notify",
    "tempfile",
    "println",
    "eprintln",
    "print",
    "eprint",
    "dbg",
];

/// What a pure file mentions all the same, and why.
const EXCUSED: &[(&str, &str, &str)] = &[(
    "src/check/document/parse.rs",
    "HashMap",
    "keys seen in a mapping are looked up, and never walked",
)];

/// Lines that a file may have without its tests.
const MOST_LINES: usize = 400;

/// Longer files, and why.
const LONG: &[(&str, &str)] = &[];

/// One source file: its path below the repository, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The room that the file belongs to; none for the list of rooms and for what lies outside.
    fn room(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let room = inside.split('/').next()?;
        let room = room.strip_suffix(".rs").unwrap_or(room);
        (room != "lib").then_some(room)
    }

    /// How many modules lie between the crate's root and this file, itself included.
    fn depth(&self) -> usize {
        let inside = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let parts = inside.split('/').filter(|part| *part != "mod").count();
        if inside == "lib" || inside == "main" { 0 } else { parts }
    }

    fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        self.path.starts_with("tests/") || name == "tests.rs" || self.path.contains("/tests/")
    }
}

/// Everything that the sources do against the rules, sorted as they come.
fn problems(sources: &[Source]) -> Vec<String> {
    sources.iter().flat_map(problems_of).collect()
}

fn problems_of(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    if !source.text.starts_with("//! ") {
        found.push(format!("{}: begins without `//!` and its job", source.path));
    }
    if source.is_test() {
        return found;
    }
    let code = without_text(&source.text);
    let lines = lines_left(&code);
    let code = without_tests(&code);
    let excused = LONG.iter().any(|(path, reason)| *path == source.path && !reason.is_empty());
    if lines > MOST_LINES && !excused {
        found.push(format!("{}: {lines} lines, at most {MOST_LINES}", source.path));
    }
    let Some(room) = source.room() else { return found };
    let Some(floor) = floor(room) else {
        found.push(format!("{}: the room `{room}` has no floor", source.path));
        return found;
    };
    for (line, path) in paths(&code) {
        if let Some(other) = imported(&path, source.depth())
            && let Some(reason) = refusal(room, floor, other)
        {
            found.push(format!("{}:{line}: `{room}` imports `{other}`: {reason}", source.path));
        }
        let excused = EXCUSED
            .iter()
            .any(|(file, word, _)| *file == source.path && path.iter().any(|part| part == word));
        if PURE.contains(&room) && is_impure(&path) && !excused {
            let shown = path.join("::");
            found.push(format!("{}:{line}: `{room}` is pure and mentions `{shown}`", source.path));
        }
    }
    found
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The room that a path leads to from a file that lies so deep; none when it stays or leads to another crate.
fn imported(path: &[String], depth: usize) -> Option<&str> {
    let up = path.iter().take_while(|part| *part == "super").count();
    let at = match path.first()?.as_str() {
        "crate" | "gitsync" => 1,
        "super" if up >= depth => up,
        _ => return None,
    };
    let room = path.get(at)?.as_str();
    (room == "*" || floor(room).is_some()).then_some(room)
}

/// Why a room may not import another.
fn refusal(room: &str, own: usize, other: &str) -> Option<&'static str> {
    if other == room {
        return None;
    }
    let Some(theirs) = floor(other) else { return Some("name the rooms that are used") };
    if FORBIDDEN.contains(&(room, other)) {
        return Some("it is none of its business");
    }
    match own.cmp(&theirs) {
        std::cmp::Ordering::Less => None,
        std::cmp::Ordering::Greater => Some("it lies above"),
        std::cmp::Ordering::Equal => {
            let meant = NEIGHBOURS.iter().any(|(from, to, _)| (*from, *to) == (room, other));
            (!meant).then_some("they share a floor")
        }
    }
}

fn is_impure(path: &[String]) -> bool {
    IMPURE.iter().any(|word| {
        let parts: Vec<&str> = word.split("::").collect();
        path.len() >= parts.len() && path.iter().zip(&parts).all(|(a, b)| a == b)
    })
}

/// Blanks comments, strings and character literals, keeping lines.
fn without_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => string(rest),
            'r' | 'b' if !ends_in_word(&out) => raw_or_bytes(rest),
            '\'' => character(rest),
            _ => 0,
        };
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    out
}

fn ends_in_word(text: &str) -> bool {
    text.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `r"…"`, `r#"…"#`, `b"…"`, `br"…"`, `b'…'`; 0 for a word that merely begins so.
fn raw_or_bytes(text: &str) -> usize {
    let prefix = text.chars().take_while(|c| matches!(c, 'b' | 'r')).count().min(2);
    let after = &text[prefix..];
    let hashes = after.chars().take_while(|c| *c == '#').count();
    let raw = text[..prefix].contains('r');
    if raw && after[hashes..].starts_with('"') {
        let close = format!("\"{}", "#".repeat(hashes));
        let body = prefix + hashes + 1;
        return text[body..].find(&close).map_or(text.len(), |end| body + end + close.len());
    }
    match after.chars().next() {
        Some('"') if !raw => prefix + string(after),
        Some('\'') if text.starts_with("b'") => prefix + character(after),
        _ => 0,
    }
}

/// A character literal; 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            text[2..].char_indices().skip(1).find(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 3)
        }
        Some(_) => chars.next().filter(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1),
        None => 0,
    }
}

/// Blanks every item under `#[cfg(test)]`, keeping lines.
fn without_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        let item = &rest[at..];
        let end = item_end(item);
        out.extend(item[..end].chars().filter(|c| *c == '\n'));
        rest = &item[end..];
    }
    out + rest
}

/// Where an item ends: at its `;`, or at the brace that closes its first one.
fn item_end(item: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in item.char_indices() {
        match c {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    item.len()
}

/// Lines of a file less those that only tests have; `code` is the text without comments and strings.
fn lines_left(code: &str) -> usize {
    let mut tests = 0;
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        let item = &rest[at..];
        let end = item_end(item);
        tests += item[..end].lines().count();
        rest = &item[end..];
    }
    code.lines().count().saturating_sub(tests)
}

/// Every path in the code with its line; groups are taken apart, `*` stands for a glob.
fn paths(code: &str) -> Vec<(usize, Vec<String>)> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let begins = is_word(&tokens[at].1) && (at == 0 || tokens[at - 1].1 != "::");
        at = if begins { path_at(&tokens, at, &[], &mut found) } else { at + 1 };
    }
    found
}

type Token = (usize, String);

/// Reads the path that begins at a token, with `prefix` before it; gives the token after it.
fn path_at(
    tokens: &[Token],
    mut at: usize,
    prefix: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let mut path = prefix.to_vec();
    let Some((line, _)) = tokens.get(at) else { return at };
    let line = *line;
    while let Some((_, token)) = tokens.get(at) {
        if token == "{" && !path.is_empty() {
            return group_at(tokens, at + 1, &path, found);
        }
        if !is_word(token) && token != "*" {
            break;
        }
        path.push(token.clone());
        at += 1;
        if tokens.get(at).is_none_or(|(_, token)| token != "::") {
            break;
        }
        at += 1;
    }
    found.push((line, path));
    at
}

fn group_at(
    tokens: &[Token],
    mut at: usize,
    prefix: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    while let Some((_, token)) = tokens.get(at) {
        if token == "}" {
            return at + 1;
        }
        let starts = is_word(token) || token == "*" || token == "{";
        at = if starts { path_at(tokens, at, prefix, found) } else { at + 1 };
    }
    at
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn tokens(code: &str) -> Vec<Token> {
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            let length = if rest.starts_with("::") {
                2
            } else if word(first) {
                rest.find(|c| !word(c)).unwrap_or(rest.len())
            } else {
                first.len_utf8()
            };
            if !first.is_whitespace() {
                found.push((number + 1, rest[..length].to_owned()));
            }
            rest = &rest[length..];
        }
    }
    found
}

/// Every Rust file below a folder of the repository.
fn sources_below(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut left = vec![root.join(folder)];
    while let Some(folder) = left.pop() {
        let Ok(listing) = fs::read_dir(&folder) else { continue };
        for path in listing.map(|item| item.unwrap().path()) {
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let shown = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                found.push(Source { path: shown, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

#[test]
fn the_house_stands_as_drawn() {
    let sources: Vec<Source> =
        ["src", "tests", "benches", "lab"].into_iter().flat_map(sources_below).collect();
    assert!(sources.len() > 50, "the source tree was not found");
    let found = problems(&sources);
    assert!(found.is_empty(), "{} problems:\n{}", found.len(), found.join("\n"));
}

#[test]
fn every_invariant_names_a_test_that_exists() {
    let drawn =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    let rows = drawn.lines().filter(|line| line.starts_with("| ") && line.ends_with("` |"));
    let named: Vec<&str> = rows.filter_map(|row| row.rsplit('`').nth(1)).collect();
    assert!(named.len() >= 15, "the table of invariants was not found");
    let mut code = sources_below("tests");
    code.extend(sources_below("src"));
    let missing = named.iter().filter(|name| {
        let start = format!("fn {name}(");
        !code.iter().any(|source| source.text.contains(&start))
    });
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&&str>::new(), "no such tests");
}

#[test]
fn the_lab_knows_hosts_and_nothing_of_the_product() {
    let told = |source: &Source| {
        let code = without_text(&source.text);
        let mut found = paths(&code).into_iter().filter(|(_, path)| path[0] == "gitsync");
        found.next().map(|(line, _)| format!("{}:{line}", source.path))
    };
    let found: Vec<String> = sources_below("lab").iter().filter_map(told).collect();
    assert_eq!(found, Vec::<String>::new());
}

/// The values of a patch's `# key: value` lines.
fn header<'a>(key: &str, patch: &'a str) -> Vec<&'a str> {
    let lines = patch.lines().take_while(|line| !line.starts_with("diff --git"));
    lines
        .filter_map(|line| line.strip_prefix("# ")?.strip_prefix(key)?.strip_prefix(": "))
        .collect()
}

/// Whether a patch still fits the tree.
fn applies(patch: &Path) -> bool {
    let mut git = std::process::Command::new("git");
    git.current_dir(env!("CARGO_MANIFEST_DIR")).args(["apply", "--check"]).arg(patch);
    git.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Every test of a suite, as the test runner names it.
fn tests_of(suite: &str) -> Vec<String> {
    let mut found = Vec::new();
    let folder = format!("tests/{suite}/");
    for source in sources_below(folder.trim_end_matches('/')) {
        let path = source.path.trim_start_matches(&folder).trim_end_matches(".rs");
        let module = path.trim_end_matches("/mod").replace('/', "::");
        let tests = source.text.split("#[test]\n").skip(1);
        let names =
            tests.filter_map(|test| test.trim_start().strip_prefix("fn ")?.split('(').next());
        found.extend(names.map(|name| format!("{module}::{name}")));
    }
    found
}

/// Every promise of the simulation, as the test runner names it.
fn promises() -> Vec<String> {
    let sources = sources_below("tests/simulation");
    let promises = sources.iter().filter(|source| source.path.ends_with("promises.rs"));
    let names = promises.flat_map(|source| source.text.split("    holds(\"").skip(1));
    let names = names.filter_map(|rest| rest.split('"').next());
    names.map(|name| format!("promises::{name}")).collect()
}

/// What nothing was ever seen to break: each patch of the suite still fits, and names tests that notice it.
fn never_seen_to_fail(suite: &str, tests: &[String]) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{suite}/mutations"));
    let (all, mut caught) = (tests_of(suite), Vec::new());
    for path in fs::read_dir(folder).unwrap().map(|item| item.unwrap().path()) {
        let patch = fs::read_to_string(&path).unwrap();
        assert_eq!(header("breaks", &patch).len(), 1, "{}: what does it break?", path.display());
        assert!(applies(&path), "{}: it no longer applies", path.display());
        let named = header("caught by", &patch);
        assert!(!named.is_empty(), "{}: who catches it?", path.display());
        for name in named {
            let known = all.iter().any(|test| test == name);
            assert!(known, "{}: there is no test `{name}`", path.display());
            caught.push(name.to_owned());
        }
    }
    tests.iter().filter(|name| !caught.contains(name)).cloned().collect()
}

#[test]
fn every_scenario_has_a_mutation_that_it_catches() {
    let free = never_seen_to_fail("lab", &tests_of("lab"));
    assert_eq!(free, Vec::<String>::new(), "scenarios that nothing was ever seen to break");
}

#[test]
fn every_mutation_of_the_node_script_is_caught_by_a_test_that_there_is() {
    let tests = tests_of("node");
    assert!(never_seen_to_fail("node", &tests).len() < tests.len());
}

#[test]
fn every_promise_of_the_simulation_has_a_mutation_that_it_catches() {
    let promises = promises();
    assert!(promises.len() > 20, "the promises were not found");
    let free = never_seen_to_fail("simulation", &promises);
    assert_eq!(free, Vec::<String>::new(), "promises that nothing was ever seen to break");
}

#[test]
fn every_written_exception_is_still_needed() {
    let sources = sources_below("src");
    for (path, _) in LONG {
        let source = sources.iter().find(|source| source.path == *path);
        let long = source.is_some_and(|it| lines_left(&without_text(&it.text)) > MOST_LINES);
        assert!(long, "{path} is no longer too long: take it off the list");
    }
}

mod rules {
    //! The rules on made-up sources, so that they are seen to fail.

    use super::*;

    fn told(path: &str, code: &str) -> Vec<String> {
        problems(&[Source::new(path, &format!("//! Job.\n{code}"))])
    }

    #[track_caller]
    fn refused(path: &str, code: &str, words: &str) {
        let found = told(path, code);
        assert!(found.iter().any(|it| it.contains(words)), "{path}: {code}: {found:?}");
    }

    #[track_caller]
    fn allowed(path: &str, code: &str) {
        assert_eq!(told(path, code), Vec::<String>::new(), "{path}: {code}");
    }

    #[test]
    fn lower_floors_may_be_imported_and_higher_ones_not() {
        allowed("src/cli/plan.rs", "use crate::{engine, report::human, model::Name};");
        allowed("src/model/name.rs", "use super::Timestamp;");
        refused("src/model/name.rs", "use crate::check::Checked;", ":2: `model` imports `check`");
        refused("src/plan/mod.rs", "use crate::{model::Name, engine::run};", "imports `engine`");
        refused("src/engine/mod.rs", "fn f() { crate::cli::main() }", "imports `cli`");
    }

    #[test]
    fn stages_never_import_each_other() {
        for (path, code) in [
            ("src/plan/mod.rs", "use crate::render::render;"),
            ("src/plan/order.rs", "use super::super::rollout::Rollout;"),
            ("src/render/mod.rs", "use super::plan::Plan;"),
            ("src/rollout.rs", "use gitsync::check;"),
        ] {
            refused(path, code, "they share a floor");
        }
        allowed("src/plan/order.rs", "use super::render::not_a_room; use super::Plan;");
    }

    #[test]
    fn edges_keep_to_themselves_unless_it_is_written_down() {
        refused("src/journal/mod.rs", "use crate::transport::Transport;", "they share a floor");
        allowed("src/probe/http.rs", "use crate::transport::Dial;");
        refused("src/transport/mod.rs", "use crate::probe::Probe;", "they share a floor");
        refused("src/engine/mod.rs", "use crate::report::Human;", "none of its business");
    }

    #[test]
    fn globs_of_the_crate_are_refused() {
        refused("src/cli/mod.rs", "use crate::*;", "name the rooms");
        refused("src/cli/mod.rs", "use crate::{model::Name, *};", "name the rooms");
    }

    #[test]
    fn pure_rooms_touch_nothing() {
        for code in [
            "pub async fn f() {}",
            "use tokio::time;",
            "use std::{collections::BTreeMap, fs};",
            "use std::{time::{Duration, Instant}};",
            "fn f() { std::env::var(\"HOME\"); }",
            "fn f() -> std::time::SystemTime { todo() }",
            "use std::collections::HashMap;",
            "fn f() { println!(\"x\"); }",
        ] {
            refused("src/render/mod.rs", code, "is pure and mentions");
        }
        allowed("src/render/mod.rs", "use std::{time::Duration, fmt, net::IpAddr};");
        allowed("src/source/git.rs", "use std::fs;");
    }

    #[test]
    fn comments_strings_and_tests_don_t_count() {
        for code in [
            "// use tokio::time;",
            "/* a /* nested */ use std::fs; */",
            "/// Like std::fs::read.\nfn f() {}",
            "const A: &str = \"async \\\" std::fs\";",
            "const A: &str = r#\"async \" std::fs\"#;",
            "const A: &[u8] = b\"std::fs\";",
            "fn f<'a>(x: &'a str) -> char { '\"' }",
            "#[cfg(test)]\nmod tests { use std::fs; fn f() { {} } }",
            "#[cfg(test)]\nuse std::fs;",
        ] {
            allowed("src/plan/mod.rs", code);
        }
        let after = "#[cfg(test)]\nmod tests { use std::fs; }\nuse std::env;";
        refused("src/plan/mod.rs", after, ":4: `plan` is pure");
        refused("src/plan/mod.rs", "const A: char = '\\''; use std::fs;", "std::fs");
        refused("src/plan/mod.rs", "const A: char = '\"'; use std::fs;", "std::fs");
    }

    #[test]
    fn files_say_their_job_and_stay_short() {
        let silent = [Source::new("src/plan/mod.rs", "use std::fmt;\n")];
        assert!(problems(&silent)[0].contains("begins without"));
        let silent = [Source::new("tests/x.rs", "fn main() {}\n")];
        assert!(problems(&silent)[0].contains("begins without"));
        let tests = "#[cfg(test)]\nmod tests {\n".to_owned() + &"\n".repeat(500) + "}\n";
        allowed("src/plan/mod.rs", &("\n".repeat(MOST_LINES - 1) + &tests));
        refused("src/plan/mod.rs", &"fn f() {}\n".repeat(MOST_LINES), "401 lines");
    }

    #[test]
    fn a_room_without_a_floor_is_told() {
        refused("src/util.rs", "", "has no floor");
        allowed("src/lib.rs", "pub mod model;");
    }
}
