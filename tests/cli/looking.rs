//! Commands that change nothing: validate, render, plan, schema, completions.

use std::os::unix::fs::PermissionsExt;

use crate::lab::Lab;

#[test]
fn good_fleet_is_valid_in_every_format() {
    let lab = Lab::new();
    let said = lab.gitsync(&["validate"]).exits(0);
    assert!(said.out.contains("no problems"), "{}", said.out);
    assert_eq!(
        lab.gitsync(&["validate", "--format", "json"]).exits(0).json(),
        serde_json::json!([])
    );
    assert_eq!(lab.gitsync(&["validate", "--format", "github"]).exits(0).out, "");
    assert_eq!(lab.gitsync(&["validate", "--quiet"]).exits(0).out, "");
}

#[test]
fn broken_fleet_tells_every_problem_with_its_place_and_exits_with_2() {
    let lab = Lab::new();
    let text = std::fs::read_to_string(lab.repository().join("services/web.yaml")).unwrap();
    lab.write("services/web.yaml", &text.replace("on: [n1]", "on: [n9]"));
    let text = std::fs::read_to_string(lab.repository().join("services/api.yaml")).unwrap();
    lab.write("services/api.yaml", &text.replace("publish:", "pubish:"));
    let said = lab.gitsync(&["validate"]).exits(2);
    for text in ["services/web.yaml:3:19", "services/api.yaml:5:1", "did you mean `publish`", "^"] {
        assert!(said.out.contains(text), "no `{text}` in {}", said.out);
    }
    let found = lab.gitsync(&["validate", "--format", "json"]).exits(2).json();
    assert_eq!(found.as_array().unwrap().len(), 2, "{found}");
    let said = lab.gitsync(&["validate", "--format", "github"]).exits(2);
    assert_eq!(said.out.matches("::error file=services/").count(), 2, "{}", said.out);
    assert!(said.out.contains("line=5"), "{}", said.out);
    lab.gitsync(&["validate", "--rev", "HEAD"]).exits(0);
    lab.gitsync(&["plan"]).exits(2).says("services/web.yaml:3:19");
    lab.gitsync(&["plan", "--detailed-exitcode"]).exits(1);
    lab.gitsync(&["apply", "--yes", "--dirty"]).exits(2);
}

#[test]
fn render_writes_files_as_they_would_land() {
    let lab = Lab::new();
    let out = lab.home().join("rendered");
    let place = out.display().to_string();
    lab.gitsync(&["render", "--out", &place]).exits(0).says(&format!("in {place}"));
    let below = lab.motd().strip_prefix("/").unwrap().to_path_buf();
    let file = out.join("n1").join(below);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "welcome\n");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o644);
    let said = lab.gitsync(&["render", "--node", "n1"]).exits(0);
    assert!(said.out.contains("# n1:") && said.out.contains("welcome"), "{}", said.out);
    assert!(!said.out.contains("# n2:"), "{}", said.out);
    lab.gitsync(&["render", "--node", "n9"]).exits(1).says("no node `n9`").says("nodes are n1, n2");
}

#[test]
fn plan_shows_the_same_changes_in_every_format() {
    let lab = Lab::new();
    let said = lab.gitsync(&["plan"]).exits(0).says("3 to create");
    assert!(said.out.contains("n1/service.web") && said.out.contains("n1/bundle.motd"));
    let plan = lab.gitsync(&["plan", "--format", "json"]).exits(0).json();
    assert_eq!(plan["fleet"], "lab");
    assert_eq!(plan["nodes"], serde_json::json!(["n1", "n2"]));
    let said = lab.gitsync(&["plan", "--format", "markdown"]).exits(0);
    assert!(said.out.contains("service.web") && said.out.contains("3 to create"), "{}", said.out);
    let said = lab.gitsync(&["plan", "--node", "n2"]).exits(0);
    assert!(said.out.contains("n2/service.api") && !said.out.contains("n1/bundle.motd"));
    let said = lab.gitsync(&["plan", "--service", "web"]).exits(0);
    assert!(said.out.contains("n1/service.web") && !said.out.contains("n2/service.api:"));
    lab.gitsync(&["plan", "--node", "n9"]).exits(1).says("nodes are n1, n2");
    assert_eq!(lab.web_says(), None, "nothing was begun");
}

#[test]
fn plan_says_with_its_exit_code_whether_there_are_changes() {
    let lab = Lab::new();
    lab.gitsync(&["plan", "--detailed-exitcode"]).exits(2);
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.gitsync(&["plan", "--detailed-exitcode"]).exits(0);
    lab.api("api 2");
    lab.commit("api 2");
    let said = lab.gitsync(&["plan", "--detailed-exitcode"]).exits(2);
    assert!(said.out.contains("1 to change"), "{}", said.out);
    std::fs::remove_dir_all(lab.node_directory("n2")).unwrap();
    std::fs::write(lab.node_directory("n2"), "").unwrap();
    lab.gitsync(&["plan", "--detailed-exitcode"]).exits(1).says("n2");
}

#[test]
fn plan_against_a_commit_touches_no_node() {
    let lab = Lab::new();
    let base = lab.commit("base");
    lab.web("web 2");
    lab.write("files/motd/motd", "second\n");
    lab.commit("changes");
    let said = lab.gitsync(&["plan", "--base", &base, "--detailed-exitcode"]).exits(2);
    assert!(said.out.contains("2 to change") && said.out.contains("+second"), "{}", said.out);
    assert!(!lab.node_directory("n1").exists() && !lab.node_directory("n2").exists());
    assert!(!lab.state().exists(), "no journal is needed");
    lab.gitsync(&["plan", "--base", "HEAD", "--detailed-exitcode"]).exits(0);
}

#[test]
fn schemas_are_printed_each_and_together_and_written() {
    let lab = Lab::new();
    let all = lab.gitsync(&["schema"]).exits(0).json();
    assert!(all["service"].is_object() && all["fleet"].is_object());
    let node = lab.gitsync(&["schema", "node"]).exits(0).json();
    assert_eq!(node, all["node"]);
    lab.gitsync(&["schema", "nod"]).exits(1).says("kinds are");
    let out = lab.home().join("schema");
    lab.gitsync(&["schema", "--out", &out.display().to_string()]).exits(0);
    assert!(out.join("gateway.json").is_file());
}

#[test]
fn completions_know_every_shell_and_subcommand() {
    let lab = Lab::new();
    for shell in ["bash", "zsh", "fish"] {
        let said = lab.gitsync(&["completions", shell]).exits(0);
        for word in ["validate", "rollback", "--take-over", "--detailed-exitcode"] {
            let word = if shell == "fish" { word.trim_start_matches("--") } else { word };
            assert!(said.out.contains(word), "{shell}: no {word}");
        }
    }
    lab.gitsync(&["completions", "tcl"]).exits(2);
}
