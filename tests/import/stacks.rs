//! Each folder of `stacks/` is a stack as people have them, and in `expected` what becomes of it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::fleet::{Fleet, compose_is_here, copy, files, text};

/// What an import writes besides copies.
const OWN: [&str; 2] = ["service.yaml", "gitsync.compose.yaml"];

fn stacks() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/stacks");
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|item| item.unwrap().path()).collect();
    found.sort();
    found
}

fn name(stack: &Path) -> String {
    stack.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Words of `import.args`; paths are the stack's own.
fn arguments(stack: &Path, fleet: &Fleet) -> Vec<String> {
    let text = fs::read_to_string(stack.join("import.args")).unwrap_or_default();
    let here = |word: &str| {
        if word.ends_with(".yaml") {
            fleet.stack().join(word).to_str().unwrap().to_owned()
        } else {
            word.to_owned()
        }
    };
    text.split_whitespace().map(here).collect()
}

/// One stack imported; tells what was said, and what does not hold.
fn imported(stack: &Path) -> (String, Vec<String>) {
    let fleet = Fleet::new(stack, &name(stack));
    let arguments = arguments(stack, &fleet);
    let flags: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let before = files(&fleet.stack());
    let said = fleet.import(&flags);
    let code = said.status.code().unwrap_or(-1);
    let home = fleet.home().display().to_string();
    let mut told = format!("exit code {code}\n{}", text(&said.stdout)).replace(&home, "…");
    let mut wrong = Vec::new();
    if before != files(&fleet.stack()) {
        wrong.push("the stack itself was changed".to_owned());
    }
    let left = fs::read_dir(fleet.repository()).unwrap().flatten();
    if left.map(|item| item.file_name()).any(|name| name.to_str().unwrap().contains("import")) {
        wrong.push("something half-written was left behind".to_owned());
    }
    let written = fleet.services();
    if code == 0 {
        wrong.extend(equal(&fleet, &flags, &written, &told));
    } else {
        told.push_str(&text(&said.stderr).replace(&home, "…"));
        if !written.is_empty() {
            wrong.push(format!("it was refused, and wrote {written:?}"));
        }
    }
    (told, wrong)
}

/// Whether what was written is valid, a copy, and the same to compose as what was there.
fn equal(fleet: &Fleet, flags: &[&str], written: &[String], told: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let [service] = written else { return vec![format!("services: {written:?}")] };
    let valid = fleet.gitsync(&["validate"]);
    if valid.status.code() != Some(0) {
        wrong.push(format!("it is not valid:\n{}", text(&valid.stdout)));
    }
    let copied = files(&fleet.repository().join("services").join(service));
    let original = files(&fleet.stack());
    for (path, content) in copied.iter().filter(|(path, _)| !OWN.contains(&path.as_str())) {
        if original.get(path) != Some(content) {
            wrong.push(format!("{path} is no copy"));
        }
    }
    let was = fleet.config(&fleet.stack(), &as_it_was(flags)).map(meant);
    let hashes = fleet.hashes(&fleet.stack(), &as_it_was(flags));
    // What lands on the node takes the place of the stack: whatever was forgotten is not there.
    let out = fleet.home().join("rendered");
    let rendered = fleet.gitsync(&["render", "--out", out.to_str().unwrap()]);
    assert!(rendered.status.success(), "{}", text(&rendered.stderr));
    let landed = files(&out.join("vps1/opt/stacks").join(service));
    for (path, content) in copied.iter().filter(|(path, _)| *path != "service.yaml") {
        if landed.get(path) != Some(content) {
            wrong.push(format!("{path} does not land on the node as it is"));
        }
    }
    fs::remove_dir_all(fleet.stack()).unwrap();
    copy(&out.join("vps1/opt/stacks").join(service), &fleet.stack());
    // What is told to stay lies there too.
    for path in told.lines().filter_map(|line| line.strip_prefix("  left   ./")) {
        let path = path.split(':').next().unwrap();
        if let Some(content) = original.get(path) {
            let target = fleet.stack().join(path);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::write(target, content).unwrap();
        }
    }
    let own =
        fs::read_to_string(fleet.repository().join("services").join(service).join("service.yaml"));
    let own = own.unwrap();
    let value = |key: &str| {
        let line = own.lines().find_map(|line| line.strip_prefix(key));
        line.map(|line| line.split(" #").next().unwrap().trim().trim_matches('"').to_owned())
    };
    let project = value("project:").unwrap_or_else(|| service.clone());
    let directory = fleet.stack().display().to_string();
    let file = fleet.stack().join(value("compose:").unwrap()).display().to_string();
    let labels = fleet.stack().join("gitsync.override.yaml").display().to_string();
    let own = ["-p", &project, "--project-directory", &directory, "-f", &file];
    let none = ["--env-file", "/dev/null"];
    let without = [&own[..], &none].concat();
    let node = [&own[..], &["-f", &labels], &none].concat();
    if fleet.hashes(Path::new("/"), &without) != hashes {
        wrong.push("its containers would be made anew".to_owned());
    }
    let is = fleet.config(Path::new("/"), &node).map(meant).map(without_labels);
    if was.is_err() || was != is {
        wrong.push(format!("compose makes something else of it: was\n{was:#?}\nis\n{is:#?}"));
    }
    wrong
}

/// How the stack is run by hand.
fn as_it_was<'f>(flags: &[&'f str]) -> Vec<&'f str> {
    let more = flags.iter().position(|flag| *flag == "--file");
    more.map_or(Vec::new(), |at| vec!["-f", "compose.yaml", "-f", flags[at + 1]])
}

/// The same without people's own top-level keys, which mean nothing to compose.
fn meant(mut config: Value) -> Value {
    config.as_object_mut().unwrap().retain(|key, _| !key.starts_with("x-"));
    config
}

/// The same without the labels that gitsync adds to every container.
fn without_labels(mut config: Value) -> Value {
    for service in config["services"].as_object_mut().unwrap().values_mut() {
        let labels = service["labels"].as_object_mut().unwrap();
        assert!(labels.contains_key("gitsync.unit"));
        labels.retain(|key, _| !key.starts_with("gitsync."));
        if labels.is_empty() {
            service.as_object_mut().unwrap().remove("labels");
        }
    }
    config
}

/// With `UPDATE_EXPECTED=1` what is told is written down instead, to be read before it is committed.
#[test]
fn forty_stacks_and_more_stay_equal_and_the_rest_is_refused_with_what_to_do() {
    compose_is_here();
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let mut problems = Vec::new();
    let mut equal = 0;
    for stack in stacks() {
        let (told, wrong) = imported(&stack);
        let path = stack.join("expected");
        if update {
            fs::write(&path, &told).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        let refused = name(&stack).starts_with('r');
        equal += usize::from(told.starts_with("exit code 0"));
        if told.starts_with("exit code 0") == refused {
            problems.push(format!("{}: {told}", name(&stack)));
        }
        if told != expected {
            problems.push(format!("{}: told\n{told}expected\n{expected}", name(&stack)));
        }
        problems.extend(wrong.into_iter().map(|wrong| format!("{}: {wrong}", name(&stack))));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(equal >= 40, "only {equal} stacks are imported");
}
