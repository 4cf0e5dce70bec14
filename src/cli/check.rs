//! `gitsync check`: all probes once, now.

use clap::Args;
use serde::Serialize;

use crate::engine::Masked;
use crate::model::Unit;
use crate::probe::{self, Probe};

use super::context::{self, Format, Global, Place};
use super::look::{Look, look};
use super::output::{self, table};
use super::problem::Problem;

/// Ask every probe once, now: of containers, services and nodes, and of public routes.
#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    place: Place,
    /// How it is told
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Serialize)]
struct Row {
    level: &'static str,
    what: String,
    good: bool,
    detail: String,
}

impl Check {
    /// Prints a line per probe; exit code 1 when one fails.
    pub async fn run(&self, global: &Global) -> Result<u8, Problem> {
        let look = look(global, &self.place).await?;
        let rows = rows(&look).await;
        let bad = rows.iter().filter(|row| !row.good).count();
        match self.format {
            Format::Json => drop(output::json(&rows)?),
            Format::Text => anstream::print!("{}", text(&rows, global.quiet)),
        }
        Ok(u8::from(bad > 0))
    }
}

async fn rows(look: &Look) -> Vec<Row> {
    let mut rows = Vec::new();
    for node in look.observed.nodes.keys() {
        let reached = look.observed.report(node).is_some();
        let detail = match (reached, look.may_sleep(node)) {
            (true, _) => "answers",
            (false, true) => "asleep: it is optional, and nothing on it is asked",
            (false, false) => "unreachable",
        };
        rows.push(row(
            "node",
            node.to_string(),
            reached || look.may_sleep(node),
            detail.to_owned(),
        ));
    }
    let asked = look.wanted.release.units.values().map(|unit| unit_rows(look, unit));
    rows.extend(futures_util::future::join_all(asked).await.into_iter().flatten());
    rows.extend(public_rows(look).await);
    rows
}

fn row(level: &'static str, what: String, good: bool, detail: String) -> Row {
    Row { level, what, good, detail }
}

/// A unit's checks, each on its own, at the level of what it asks.
async fn unit_rows(look: &Look, unit: &Unit) -> Vec<Row> {
    let Some(transport) = look.nodes.get(&unit.id.node) else { return Vec::new() };
    let bad = |detail: &str| vec![row("service", unit.id.to_string(), false, detail.to_owned())];
    if look.observed.report(&unit.id.node).is_none() {
        let asleep = look.may_sleep(&unit.id.node);
        return if asleep { Vec::new() } else { bad("its node does not answer") };
    }
    if look.observed.unit(&unit.id).is_none_or(|found| found.current.is_none()) {
        return bad("not there yet");
    }
    let fleet = &look.wanted.fleet.name;
    let probe = Probe { fleet, unit: &unit.id, health: &unit.health, gateways: &[] };
    let seen = probe::check_once(transport.as_ref(), probe).await;
    let level = |check: &probe::Checked| match check.check {
        crate::model::Check::Running => "container",
        _ => "service",
    };
    let told = teller(look, unit);
    let rows = seen.into_iter();
    rows.map(|one| row(level(&one), unit.id.to_string(), one.passed, told(&one.detail))).collect()
}

/// What may be told of what a unit's checks saw.
fn teller(look: &Look, unit: &Unit) -> impl Fn(&str) -> String {
    let report = look.observed.report(&unit.id.node);
    let running = report.and_then(|report| {
        let current = report.units.get(&unit.id)?.current.as_ref()?;
        report.manifests.get(current)
    });
    let vault = context::vault(&look.settings);
    let masked = Masked::of(running.unwrap_or(unit), &look.wanted.release, vault.as_ref());
    move |detail| match &masked {
        Ok(redactor) => redactor.text(detail),
        Err(why) => format!("what was seen may hold secrets and is not told: {why}"),
    }
}

/// A request for every public host through every gateway, as a visitor would make it.
async fn public_rows(look: &Look) -> Vec<Row> {
    let mut rows = Vec::new();
    for target in probe::routes(&look.wanted.fleet) {
        let Some(transport) = look.nodes.get(&target.node) else { continue };
        let what = format!("{}{} through {}", target.host, target.path, target.node);
        let (good, detail) = match probe::visit(transport.as_ref(), &target).await {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        rows.push(row("public", what, good, detail));
    }
    rows
}

fn text(rows: &[Row], quiet: bool) -> String {
    let shown = rows.iter().filter(|row| !quiet || !row.good);
    let cells = shown.map(|row| {
        let word = if row.good { "ok" } else { "FAILED" };
        vec![word.to_owned(), row.level.to_owned(), row.what.clone(), row.detail.clone()]
    });
    let bad = rows.iter().filter(|row| !row.good).count();
    let good = rows.len() - bad;
    format!("{}{good} good, {bad} failed\n", table(&cells.collect::<Vec<_>>()))
}
