//! `gitsync plan`: what would change where, why, and what people would notice.

use clap::{Args, ValueEnum};

use crate::engine::{Asked, Survey, survey};
use crate::model::Plan;
use crate::plan;
use crate::report::plan as view;
use crate::settings::Flags;

use super::context::{self, Global, Place};
use super::output::{self, colour_out};
use super::problem::Problem;

/// Show what would change.
#[derive(Debug, Args)]
pub struct PlanCommand {
    #[command(flatten)]
    place: Place,
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
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum View {
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
        let plan = self.plan(global).await.map_err(|problem| problem.invalid_as(code))?;
        self.show(&plan)?;
        Ok(match (plan.refusals.is_empty(), self.detailed_exitcode) {
            (false, _) => 1,
            (true, true) if !plan.is_empty() => 2,
            (true, _) => 0,
        })
    }

    async fn plan(&self, global: &Global) -> Result<Plan, Problem> {
        let wanted = global.wanted(&self.place.snapshot()?)?;
        if let Some(node) = &self.node {
            super::render::known(node, &wanted.fleet.nodes)?;
        }
        if let Some(rev) = &self.base {
            let base = global.wanted(&context::at_revision(&self.place.path, rev)?)?;
            return Ok(plan::compare(&base.release, &wanted.release, &wanted.fleet));
        }
        let settings = global.settings(Flags::default())?;
        let nodes = context::nodes(&wanted.fleet, &settings)?;
        let allow = self.allow_no_rollback;
        let mut asked = Asked::ask(&wanted.fleet.name, nodes).await;
        context::ask_gone(&self.place.path, &wanted, &settings, &mut asked).await?;
        asked.remember(&wanted.fleet, &global.reader(&settings).await?).await?;
        let Survey { plan, .. } = survey(&wanted.fleet, wanted.release, asked, allow).await;
        Ok(plan)
    }

    fn show(&self, plan: &Plan) -> Result<(), Problem> {
        let filter = view::Filter { node: self.node.clone(), service: self.service.clone() };
        match self.format {
            View::Json => output::json(plan).map(drop)?,
            View::Text => anstream::print!("{}", view::human(plan, &filter, colour_out())),
            View::Markdown => anstream::print!("{}", view::markdown(plan, &filter)),
        }
        Ok(())
    }
}
