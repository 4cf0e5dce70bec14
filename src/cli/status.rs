//! `gitsync status`: what runs where since when, and who is behind.

use clap::Args;
use serde::Serialize;

use crate::engine::kept;
use crate::journal::Departed;
use crate::model::{
    ContainerReport, Digest, Fleet, Holder, Name, NodeReport, NodeState, Observed, ProcessState,
    Quarantined, Release, UnitId, UnitReport,
};
use crate::report::lines::{hanging, headline, one_line};
use crate::report::words::short;

use super::context::{self, Format, Global, Place};
use super::look::look;
use super::output::{self, table};
use super::problem::Problem;

/// What runs where since when, and who is behind.
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    place: Place,
    /// How it is told
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Also list units that nodes only remember
    #[arg(long)]
    orphans: bool,
}

/// The whole answer.
#[derive(Debug, Serialize)]
struct Answer {
    fleet: Name,
    suspended: Vec<String>,
    last_good: Option<LastGood>,
    quarantine: Vec<Quarantined>,
    nodes: Vec<NodeRow>,
    units: Vec<UnitRow>,
}

#[derive(Debug, Serialize)]
struct LastGood {
    release: Digest,
    commit: Option<String>,
    since: String,
}

#[derive(Debug, Serialize)]
struct NodeRow {
    node: Name,
    state: String,
    verdict: Option<String>,
    holder: Option<String>,
}

#[derive(Debug, Serialize)]
struct UnitRow {
    unit: UnitId,
    runs: Option<Digest>,
    wanted: Option<Digest>,
    since: Option<String>,
    state: String,
}

impl Status {
    /// Prints the table; exit code 0 whatever it says.
    pub async fn run(&self, global: &Global) -> Result<u8, Problem> {
        let look = look(global, &self.place).await?;
        let fleet = &look.wanted.fleet;
        let departed = global.reader(&look.settings).await?.departed(&fleet.name).await?;
        let mut answer = answer(&fleet.name, &look.observed, &look.wanted.release, self.orphans);
        answer.suspended = suspended(fleet, context::suspension(fleet, &look.settings));
        let open = departed.into_iter().filter(|one| one.forgotten.is_none());
        let left = open.filter(|one| !fleet.nodes.contains_key(&one.node));
        answer.nodes.extend(left.map(left_row));
        match self.format {
            Format::Json => output::json(&answer),
            Format::Text => {
                anstream::print!("{}", text(&answer));
                Ok(0)
            }
        }
    }
}

fn answer(fleet: &Name, observed: &Observed, release: &Release, orphans: bool) -> Answer {
    let last_good = kept(observed).into_iter().next().map(|kept| LastGood {
        release: kept.release,
        commit: kept.commit,
        since: output::when(kept.at),
    });
    let reports = observed.nodes.keys().filter_map(|node| observed.report(node));
    let mut quarantine: Vec<Quarantined> =
        reports.flat_map(|report| report.record.quarantine.clone()).collect();
    quarantine.sort_by(|a, b| (&a.release, a.at).cmp(&(&b.release, b.at)));
    quarantine.dedup_by(|a, b| a.release == b.release);
    Answer {
        fleet: fleet.clone(),
        suspended: Vec::new(),
        last_good,
        quarantine,
        nodes: observed.nodes.iter().map(node_row).collect(),
        units: unit_rows(observed, release, orphans),
    }
}

fn node_row((node, state): (&Name, &NodeState)) -> NodeRow {
    match state {
        NodeState::Reachable(report) => NodeRow {
            node: node.clone(),
            state: up(report),
            verdict: report.record.verdict.as_ref().map(|(word, _, _)| word.clone()),
            holder: report.record.holder.as_ref().map(|h| held(h, report.lapsed)),
        },
        NodeState::Unreachable(reason) => NodeRow {
            node: node.clone(),
            state: format!("unreachable: {reason}"),
            verdict: None,
            holder: None,
        },
    }
}

/// Why nothing is changed for now.
fn suspended(fleet: &Fleet, here: Option<String>) -> Vec<String> {
    let repository = fleet.suspend.as_ref().map(|reason| match reason.as_str() {
        "" => "suspended by its fleet.yaml".to_owned(),
        reason => format!("suspended by its fleet.yaml: {reason}"),
    });
    repository.into_iter().chain(here).collect()
}

/// A node that left the fleet and was not cleaned yet.
fn left_row(one: Departed) -> NodeRow {
    let state = format!("left the fleet, not cleaned since {}", output::when(one.since));
    NodeRow { node: one.node, state, verdict: None, holder: None }
}

/// Up, and what the node took back by itself since its last good release.
fn up(report: &NodeReport) -> String {
    let Some(restored) = &report.restored else { return "up".to_owned() };
    let what = if restored.stuck.is_empty() { "took back" } else { "could not take back all of" };
    format!("up, {what} rollout {}: {}", restored.rollout, restored.why)
}

fn held(holder: &Holder, lapsed: bool) -> String {
    let lapsed = if lapsed { " (not heard any more: free)" } else { "" };
    format!("{}, rollout {}{lapsed}", holder.who, holder.rollout)
}

fn unit_rows(observed: &Observed, release: &Release, orphans: bool) -> Vec<UnitRow> {
    let mut ids: Vec<UnitId> = release.units.keys().cloned().collect();
    for report in observed.nodes.keys().filter_map(|node| observed.report(node)) {
        let known = report.units.iter().filter(|(_, unit)| orphans || unit.current.is_some());
        ids.extend(known.map(|(id, _)| id.clone()));
    }
    ids.sort();
    ids.dedup();
    ids.into_iter().map(|id| unit_row(id, observed, release)).collect()
}

fn unit_row(unit: UnitId, observed: &Observed, release: &Release) -> UnitRow {
    let report = observed.report(&unit.node);
    let found = observed.unit(&unit);
    let runs = found.and_then(|found| found.current.clone());
    let wanted = release.units.get(&unit).map(crate::model::Unit::digest);
    let state = match (report, found) {
        (None, _) => "unknown".to_owned(),
        (Some(_), found) => state(found, runs.as_ref(), wanted.as_ref()),
    };
    let since = report.and_then(|report| since(report, &unit, runs.as_ref()?));
    UnitRow { unit, runs, wanted, since, state }
}

fn state(found: Option<&UnitReport>, runs: Option<&Digest>, wanted: Option<&Digest>) -> String {
    let Some(found) = found else { return "not there yet".to_owned() };
    if found.pending.is_some() {
        return "in between (a rollout is or was under way)".to_owned();
    }
    let running = running(found);
    match (runs, wanted) {
        (None, Some(_)) => "not there yet".to_owned(),
        (Some(_), None) => format!("{running}, no longer wanted"),
        (Some(runs), Some(wanted)) if runs == wanted => running,
        _ => format!("{running}, behind"),
    }
}

fn running(unit: &UnitReport) -> String {
    if let Some(process) = &unit.process {
        return match process.state {
            ProcessState::Running => "running",
            ProcessState::Dead => "dead",
            ProcessState::None => "in place",
        }
        .to_owned();
    }
    let down =
        |container: &&ContainerReport| container.status != "running" && container.exit_code != 0;
    match unit.containers.iter().find(down) {
        Some(container) => format!("{} {}", container.service, container.status),
        None if unit.containers.is_empty() => "in place".to_owned(),
        None => "running".to_owned(),
    }
}

/// When the unit's present version became part of a good release: the oldest good release that has it.
fn since(report: &NodeReport, unit: &UnitId, runs: &Digest) -> Option<String> {
    let has = |good: &&crate::model::Good| good.units.get(unit) == Some(runs);
    let unbroken = report.record.good.iter().take_while(has);
    unbroken.last().map(|good| output::when(good.at))
}

fn text(answer: &Answer) -> String {
    let mut text = match &answer.last_good {
        Some(good) => format!(
            "{}: last good {} (commit {}) since {}\n",
            answer.fleet,
            good.release.short(),
            good.commit.as_deref().map_or("none", short),
            good.since
        ),
        None if answer.nodes.is_empty() => {
            format!("{}: this fleet has no nodes: nobody was asked\n", answer.fleet)
        }
        None => format!("{}: nothing was rolled out yet\n", answer.fleet),
    };
    for why in &answer.suspended {
        text.push_str(&format!("{}\n", one_line(why)));
    }
    for entry in &answer.quarantine {
        text.push_str(&format!(
            "quarantined: {} ({})\n",
            entry.release.short(),
            one_line(&entry.reason)
        ));
    }
    let mut rows = vec![["NODE", "STATE", "LAST VERDICT", "HELD BY"].map(str::to_owned).to_vec()];
    let dash = || "-".to_owned();
    rows.extend(answer.nodes.iter().map(|row| {
        let verdict = row.verdict.clone().unwrap_or_else(dash);
        vec![
            row.node.to_string(),
            headline(&row.state),
            verdict,
            row.holder.clone().unwrap_or_else(dash),
        ]
    }));
    text.push_str(&format!("\n{}", table(&rows)));
    let mut rows = vec![["UNIT", "RUNS", "SINCE", "STATE"].map(str::to_owned).to_vec()];
    rows.extend(answer.units.iter().map(|row| {
        let runs = row.runs.as_ref().map_or_else(dash, |digest| digest.short().to_owned());
        vec![row.unit.to_string(), runs, row.since.clone().unwrap_or_else(dash), row.state.clone()]
    }));
    text.push_str(&format!("\n{}", table(&rows)));
    text.push_str(&explained(&answer.nodes));
    text
}

/// What the table has no place for: what to do about nodes whose state takes several lines.
fn explained(nodes: &[NodeRow]) -> String {
    let told = nodes.iter().map(|row| (row, hanging(&row.state, "  ")));
    let long = told.filter(|(_, lines)| lines.len() > 1);
    long.map(|(row, lines)| format!("\n{}: {}\n", row.node, lines.join("\n"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(node: &str, state: &str) -> NodeRow {
        let (verdict, holder) = (None, None);
        NodeRow { node: Name::new(node).unwrap(), state: state.to_owned(), verdict, holder }
    }

    #[test]
    fn what_takes_several_lines_stands_below_the_tables() {
        let nodes = vec![
            row("h1", "unreachable: another key\nIt offers this. Write\n  host_key: \"a\"\n"),
            row("h2", "up"),
        ];
        let reason = "h1/service.web: no\u{1b}[2J\nanswer".to_owned();
        let release = Digest::of(b"web");
        let at = crate::model::Timestamp(0);
        let answer = Answer {
            fleet: Name::new("stage").unwrap(),
            suspended: Vec::new(),
            last_good: None,
            quarantine: vec![Quarantined { release: release.clone(), at, reason, commit: None }],
            nodes,
            units: Vec::new(),
        };
        let told = format!(
            "stage: nothing was rolled out yet\n\
             quarantined: {} (h1/service.web: no\u{fffd}[2J answer)\n\n\
             NODE  STATE                     LAST VERDICT  HELD BY\n\
             h1    unreachable: another key  -             -\n\
             h2    up                        -             -\n\n\
             UNIT  RUNS  SINCE  STATE\n\n\
             h1: unreachable: another key\n  It offers this. Write\n    host_key: \"a\"\n",
            release.short()
        );
        assert_eq!(text(&answer), told);
    }
}
