//! `gitsync drift`: what is no longer as it was rolled out, with a diff.

use std::collections::BTreeMap;

use clap::Args;
use similar::TextDiff;

use crate::model::{Name, NodeState, UnitId};
use crate::plan::{self, Drift, DriftKind};
use crate::report::lines::hanging;

use super::context::{Format, Global, Place};
use super::look::{Look, look};
use super::output;
use super::problem::Problem;

/// Files, containers and processes that are no longer as they were rolled out.
#[derive(Debug, Args)]
pub struct DriftCommand {
    #[command(flatten)]
    pub place: Place,
    /// How it is told
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

impl DriftCommand {
    /// Prints what moved; exit code 0 when nothing did, 1 when something did or a node that may not
    /// sleep can't be asked.
    pub async fn run(&self, global: &Global) -> Result<u8, Problem> {
        let look = look(global, &self.place).await?;
        let found = plan::drift(&look.wanted.release, &look.observed);
        match self.format {
            Format::Json => drop(output::json(&found)?),
            Format::Text => anstream::print!("{}", text(&look, &found).await),
        }
        let missing = unreachable(&look);
        for (node, reason) in &missing {
            let lines = hanging(reason, "  ");
            anstream::eprintln!("{node}: not asked: {}", lines.join("\n"));
        }
        let silent = missing.iter().any(|(node, _)| !look.may_sleep(node));
        Ok(u8::from(!found.is_empty() || silent))
    }
}

/// Nodes that did not answer, and why.
fn unreachable(look: &Look) -> Vec<(&Name, &str)> {
    let nodes = look.observed.nodes.iter();
    let silent = nodes.filter_map(|(node, state)| match state {
        NodeState::Unreachable(reason) => {
            let own = format!("{node}: ");
            Some((node, reason.strip_prefix(&own).unwrap_or(reason)))
        }
        NodeState::Reachable(_) => None,
    });
    silent.collect()
}

/// The drift in words, with a diff where both texts can be had.
pub async fn text(look: &Look, found: &[Drift]) -> String {
    if found.is_empty() {
        let words = match (look.observed.nodes.is_empty(), unreachable(look).is_empty()) {
            (true, _) => "this fleet has no nodes: nobody was asked\n",
            (false, true) => "no drift: every node runs what was rolled out to it\n",
            (false, false) => "no drift on the nodes that answer\n",
        };
        return words.to_owned();
    }
    let mut text = String::new();
    for drift in found {
        text.push_str(&format!("{}: {}\n", drift.unit, drift.kind));
        if let DriftKind::FileChanged { destination, sensitive: false, .. } = &drift.kind {
            text.push_str(&diff(look, &drift.unit, destination).await);
        }
    }
    let units: std::collections::BTreeSet<&UnitId> = found.iter().map(|d| &d.unit).collect();
    let many =
        |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let (things, units) = (many(found.len(), "difference"), many(units.len(), "unit"));
    text.push_str(&format!("Drift: {things} in {units}.\n"));
    text
}

/// A unified diff from what was rolled out to what is there; empty when either can't be shown.
async fn diff(look: &Look, unit: &UnitId, destination: &str) -> String {
    let texts = async {
        let fleet = &look.wanted.fleet.name;
        let report = look.observed.report(&unit.node)?;
        let current = report.units.get(unit)?.current.as_ref()?;
        let manifest = report.manifests.get(current)?;
        let file = manifest.artifacts.iter().find(|a| a.destination.as_str() == destination)?;
        if file.sensitive {
            return None;
        }
        let transport = look.nodes.get(&unit.node)?;
        let blob = file.blob();
        let old = transport.read(fleet, &[blob.clone()].into()).await.ok()?.remove(&blob)?;
        let mut files: BTreeMap<String, Vec<u8>> = transport.read_files(fleet, unit).await.ok()?;
        let new = files.remove(destination)?;
        Some((String::from_utf8(old).ok()?, String::from_utf8(new).ok()?))
    };
    let Some((old, new)) = texts.await else { return String::new() };
    let diff = TextDiff::from_lines(&old, &new);
    let unified = diff.unified_diff().context_radius(3).to_string();
    unified.lines().map(|line| format!("    {line}\n")).collect()
}
