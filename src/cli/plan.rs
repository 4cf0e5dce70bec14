//! `gitsync plan`: what would change where, why, and what people would notice.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::engine::{Asked, Survey, survey};
use crate::model::{Observed, Plan};
use crate::plan::{self, Saved};
use crate::report::plan as view;
use crate::settings::Flags;

use super::context::{self, Global, Place};
use super::left;
use super::output::{self, colour_out};
use super::problem::Problem;
use super::saved;

/// Show what would change.
#[derive(Debug, Args)]
pub struct PlanCommand {
    #[command(flatten)]
    place: Place,
    /// Save the plan for review, too: `gitsync apply --plan FILE` applies exactly this, or refuses it as stale
    #[arg(long, value_name = "FILE", conflicts_with = "base")]
    out: Option<PathBuf>,
    /// Compare with this commit instead of the live nodes: no node is asked
    #[arg(long, value_name = "REV")]
    base: Option<String>,
    /// How the plan is told
    #[arg(long, value_enum, default_value_t)]
    format: View,
    /// Exit with 0 for no changes, 1 for an error, 2 for changes
    #[arg(long)]
    detailed_exitcode: bool,
    /// Show only this node's part
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// Show only this service's part
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// Plan changes of units that can't be put back, too
    #[arg(long)]
    allow_no_rollback: bool,
    /// Plan a commit that does not follow the last good one, too
    #[arg(long)]
    any_history: bool,
}

/// How a plan is told.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum View {
    /// For people
    #[default]
    Text,
    /// For programs: the whole plan, unfiltered
    Json,
    /// For a pull request
    Markdown,
}

impl PlanCommand {
    /// Plans and shows it.
    pub async fn run(&self, global: &Global) -> Result<u8, Problem> {
        // With --detailed-exitcode 2 means changes, so an invalid repository is a plain error.
        let code = if self.detailed_exitcode { 1 } else { 2 };
        let saved = self.plan(global).await.map_err(|problem| problem.invalid_as(code))?;
        let plan = &saved.plan;
        let filter = view::Filter { node: self.node.clone(), service: self.service.clone() };
        self.format.print(plan, &filter)?;
        if let Some(path) = &self.out {
            saved::write(path, &saved)?;
            self.format.saved(path);
        }
        Ok(match (plan.refusals.is_empty(), self.detailed_exitcode) {
            (false, _) => 1,
            (true, true) if !plan.is_empty() => 2,
            (true, _) => 0,
        })
    }

    async fn plan(&self, global: &Global) -> Result<Saved, Problem> {
        let snapshot = match &self.out {
            Some(out) => saved::committed(&self.place, out)?,
            None => self.place.snapshot()?,
        };
        let wanted = global.wanted(&snapshot)?;
        if let Some(node) = &self.node {
            super::render::known(node, &wanted.fleet.nodes)?;
        }
        let settings = global.settings(Flags::default())?;
        if let Some(rev) = &self.base {
            let base = global.wanted(&context::at_revision(&self.place.path, rev)?)?;
            let mut plan = plan::compare(&base.release, &wanted.release, &wanted.fleet);
            plan.refusals.extend(context::beyond(&wanted, &settings));
            return Ok(Saved::new(plan, &Observed::default()));
        }
        context::limited(&wanted, &settings)?;
        let nodes = context::nodes(&wanted.fleet, &settings)?;
        let allow = self.allow_no_rollback;
        let mut asked = Asked::ask(&wanted.fleet.name, nodes).await;
        let journal = global.reader(&settings).await?;
        let record = (&journal, None);
        left::ask(&self.place.path, &wanted, &settings, record, &mut asked).await?;
        if let Some(distrust) = context::distrust(&self.place.path, &snapshot, &settings)? {
            asked.refuse(distrust);
        }
        context::recall(&self.place.path, &wanted, &settings, self.any_history, &mut asked)?;
        asked.suspend(&wanted.fleet, context::suspension(&wanted.fleet, &settings));
        asked.remember(&wanted.fleet, &journal).await?;
        let Survey { plan, observed, .. } =
            survey(&wanted.fleet, wanted.release, asked, allow).await;
        Ok(Saved::new(plan, &observed))
    }
}

impl View {
    /// Tells people what is next; what programs read is the plan alone.
    fn saved(self, path: &Path) {
        if matches!(self, Self::Text) {
            let path = path.display();
            anstream::println!("Saved: `gitsync apply --plan {path}` applies exactly this.");
        }
    }

    /// Prints a plan; JSON is the whole plan, whatever the filter.
    pub fn print(self, plan: &Plan, filter: &view::Filter) -> Result<(), Problem> {
        match self {
            Self::Json => output::json(plan).map(drop)?,
            Self::Text => anstream::print!("{}", view::human(plan, filter, colour_out())),
            Self::Markdown => anstream::print!("{}", view::markdown(plan, filter)),
        }
        Ok(())
    }
}
