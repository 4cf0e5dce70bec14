//! A graph as Mermaid draws it: a flowchart with a subgraph per node.

use std::fmt::Write as _;

use crate::model::{Name, UnitId, UnitKind};

use super::{Edge, EdgeKind, Graph, several_environments};

/// The graph as a Mermaid flowchart.
pub fn mermaid(graph: &Graph) -> String {
    let several = several_environments(graph);
    let mut text = String::from("flowchart LR\n");
    for node in &graph.nodes {
        let _ = writeln!(text, "  subgraph {}[{}]", node_id(&node.name), label(&[node.title()]));
        for item in &node.units {
            let (open, close) = shape(item.unit.kind);
            let label = label(&item.lines(several));
            let _ = writeln!(text, "    {}{open}{label}{close}", unit_id(&item.unit));
        }
        text.push_str("  end\n");
    }
    for edge in &graph.edges {
        let (from, to) = (unit_id(&edge.from), unit_id(&edge.to));
        let _ = writeln!(text, "  {from} {} {to}", arrow(edge));
    }
    text
}

fn shape(kind: UnitKind) -> (&'static str, &'static str) {
    match kind {
        UnitKind::Service => ("[", "]"),
        UnitKind::Gateway => ("{{", "}}"),
        UnitKind::Sync => ("[(", ")]"),
        UnitKind::Bundle => ("[/", "/]"),
    }
}

fn arrow(edge: &Edge) -> String {
    let line = match (edge.kind, edge.both) {
        (EdgeKind::Route, _) => "-->",
        (EdgeKind::Needs, _) => "-.->",
        (EdgeKind::Sync, false) => "==>",
        (EdgeKind::Sync, true) => "<==>",
    };
    match edge.labels.is_empty() {
        true => line.to_owned(),
        false => format!("{line}|{}|", label(&edge.labels)),
    }
}

/// Capitals keep the parts apart: names have none. The first letter keeps them from being words of Mermaid's own.
fn unit_id(unit: &UnitId) -> String {
    let mut id = format!("U_{}_{}", word(&unit.node), unit.kind.word().to_uppercase());
    for (sign, name) in [("", &unit.name), ("_ENV", &unit.environment)] {
        if let Some(name) = name {
            let _ = write!(id, "{sign}_{}", word(name));
        }
    }
    id
}

fn node_id(name: &Name) -> String {
    format!("N_{}", word(name))
}

fn word(name: &Name) -> String {
    name.as_str().replace('-', "_")
}

/// Lines as a quoted label.
pub(super) fn label(lines: &[String]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| escaped(line)).collect();
    format!("\"{}\"", lines.join("<br/>"))
}

/// What means something to Mermaid, Markdown or HTML goes by its number.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let plain = c.is_alphanumeric() || " .,:/@()-".contains(c);
        if plain {
            out.push(c);
        } else {
            let _ = write!(out, "#{};", u32::from(c));
        }
    }
    out
}
