//! `gitsync graph`: the example fleet as it was reviewed, views of it, and fleets that can't be drawn.

use crate::lab::{Lab, Running};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/example-repo");

#[track_caller]
fn drawn(lab: &Lab, more: &[&str]) -> String {
    let arguments = [&["graph", EXAMPLE, "--quiet"], more].concat();
    let said = Running::start(lab.command(&arguments)).end().exits(0);
    assert_eq!(said.err, "");
    said.out
}

#[test]
fn the_example_is_drawn_as_it_was_reviewed() {
    let lab = Lab::new();
    insta::assert_snapshot!("graph_mermaid", drawn(&lab, &[]));
    insta::assert_snapshot!("graph_dot", drawn(&lab, &["--format", "dot"]));
    let json = drawn(&lab, &["--format", "json"]);
    let graph: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(graph["version"], 1);
    let lines = drawn(&lab, &[]).lines().count();
    let units = graph["nodes"].as_array().unwrap().iter();
    let units: usize = units.map(|node| 2 + node["units"].as_array().unwrap().len()).sum();
    assert_eq!(lines, 1 + units + graph["edges"].as_array().unwrap().len());
}

#[test]
fn a_view_shows_what_was_asked_for_and_what_it_is_tied_to() {
    let lab = Lab::new();
    insta::assert_snapshot!("graph_of_a_service", drawn(&lab, &["--service", "organizr"]));
    let node = drawn(&lab, &["--node", "unraid"]);
    assert!(node.contains("service.plex") && node.contains("bundle.mcp-nas"), "{node}");
    assert!(!node.contains("service.organizr"), "{node}");
    let one = drawn(&lab, &["--node", "vps1", "--service", "gateway.edge"]);
    assert!(!one.contains("U_vps2_GATEWAY_edge"), "{one}");
}

#[test]
fn the_documentation_shows_what_is_drawn() {
    let page = include_str!("../../docs/graph.md");
    let shown = page.split("```mermaid\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(drawn(&Lab::new(), &["--service", "organizr"]), shown);
}

#[test]
fn environments_are_told_apart_once_there_are_several() {
    let lab = Lab::new();
    assert!(!lab.gitsync(&["graph"]).exits(0).out.contains("environment"));
    let fleet = std::fs::read_to_string(lab.repository().join("fleet.yaml")).unwrap();
    lab.write("fleet.yaml", &format!("{fleet}environments: [prod, dev]\n"));
    let api = std::fs::read_to_string(lab.repository().join("services/api.yaml")).unwrap();
    let port = lab.web + 1;
    lab.write(
        "services/api.yaml",
        &format!("{api}environments:\n  prod: {{}}\n  dev: {{ ports: {{ http: {port} }} }}\n"),
    );
    let said = lab.gitsync(&["graph"]).exits(0).out;
    for text in ["service.api<br/>environment prod", "service.api@dev<br/>environment dev"] {
        assert!(said.contains(text), "no {text} in {said}");
    }
}

#[test]
fn a_fleet_that_is_not_valid_is_not_drawn() {
    let lab = Lab::new();
    lab.gitsync(&["graph", "--node", "n9"]).exits(1).says("nodes are n1, n2");
    lab.gitsync(&["graph", "--service", "nothing"]).exits(1).says("there is no `nothing`");
    lab.write("services/web.yaml", "image: [");
    let said = lab.gitsync(&["graph"]).exits(2).says("services/web.yaml:1");
    assert_eq!(said.out, "");
    lab.gitsync(&["graph", "--rev", "HEAD"])
        .exits(0)
        .says("U_n1_SERVICE_web -.-> U_n2_SERVICE_api");
}
