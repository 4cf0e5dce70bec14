//! A graph as Graphviz draws it: a cluster per node.

use std::fmt::Write as _;

use crate::model::UnitKind;

use super::{Edge, EdgeKind, Graph, several_environments};

/// The graph in the DOT language.
pub fn dot(graph: &Graph) -> String {
    let several = several_environments(graph);
    let mut text = format!("digraph {} {{\n", quoted(graph.fleet.as_str()));
    text.push_str("  rankdir=LR; compound=true; node [shape=box];\n");
    for node in &graph.nodes {
        let _ = writeln!(text, "  subgraph {} {{", quoted(&format!("cluster_{}", node.name)));
        let _ = writeln!(text, "    label={};", label(&[node.title()]));
        if node.units.is_empty() {
            // A cluster without anything in it is not drawn.
            let _ =
                writeln!(text, "    {} [shape=point, style=invis];", quoted(node.name.as_str()));
        }
        for item in &node.units {
            let (id, label) = (quoted(&item.unit.to_string()), label(&item.lines(several)));
            let _ = writeln!(text, "    {id} [label={label}, shape={}];", shape(item.unit.kind));
        }
        text.push_str("  }\n");
    }
    for edge in &graph.edges {
        let (from, to) = (quoted(&edge.from.to_string()), quoted(&edge.to.to_string()));
        let _ = writeln!(text, "  {from} -> {to}{};", attributes(edge));
    }
    text + "}\n"
}

fn shape(kind: UnitKind) -> &'static str {
    match kind {
        UnitKind::Service => "box",
        UnitKind::Gateway => "hexagon",
        UnitKind::Sync => "cylinder",
        UnitKind::Bundle => "folder",
    }
}

fn attributes(edge: &Edge) -> String {
    let mut all = Vec::new();
    if !edge.labels.is_empty() {
        all.push(format!("label={}", label(&edge.labels)));
    }
    match edge.kind {
        EdgeKind::Route => {}
        EdgeKind::Needs => all.push("style=dashed".to_owned()),
        EdgeKind::Sync => all.push("style=bold".to_owned()),
    }
    if edge.both {
        all.push("dir=both".to_owned());
    }
    if all.is_empty() { String::new() } else { format!(" [{}]", all.join(", ")) }
}

/// An id: of what is quoted only the quote itself has a meaning, and names have none.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\\\""))
}

/// Lines as a label, in which backslashes and entities have meanings.
pub(super) fn label(lines: &[String]) -> String {
    let escape =
        |line: &String| line.replace('&', "&amp;").replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", lines.iter().map(escape).collect::<Vec<_>>().join("\\n"))
}
