//! `gitsync rollback`: back to an earlier good release, from the nodes' own copies.

use clap::Args;

use crate::engine::{Asked, Conductor, Kept, contents, gate, kept, rebuild, survey, within};
use crate::journal::Kind;
use crate::model::{Digest, Observed, Release};
use crate::report::plan as view;
use crate::report::words::short;

use super::apply::ended;
use super::context::{self, Format, Global, Place};
use super::look::look;
use super::notices::Notices;
use super::output::{self, colour_out, when};
use super::problem::Problem;
use super::signals;

/// Go back to an earlier good release. Contents come from the nodes: neither the commit nor the
/// registry has to be there any more. The release that is left is quarantined.
#[derive(Debug, Args)]
pub struct Rollback {
    #[command(flatten)]
    place: Place,
    /// The good release, by the first digits of its commit or digest; the one before when absent
    #[arg(long, value_name = "REV")]
    to: Option<String>,
    /// List the good releases that the nodes keep
    #[arg(long)]
    list: bool,
    /// Roll back without asking
    #[arg(long, short)]
    yes: bool,
    /// Send no notifications of this rollout
    #[arg(long)]
    no_notify: bool,
    /// How progress is told
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Rollback {
    /// Rolls back and waits for the verdict.
    pub async fn run(&self, global: &Global) -> Result<u8, Problem> {
        let look = look(global, &self.place).await?;
        let goods = kept(&look.observed);
        if self.list {
            if self.format == Format::Json {
                return output::json(&goods);
            }
            goods.iter().for_each(|good| anstream::println!("{}", line(good)));
            return Ok(0);
        }
        let target = target(&goods, self.to.as_deref())?;
        let mut release: Release = rebuild(&look.observed, &target.release)?;
        release.commit = target.commit.clone().map(|id| crate::model::Commit {
            id,
            summary: "rolled back to".to_owned(),
            author: context::holder(),
            at: target.at,
        });
        let contents = contents(&look.nodes, &look.wanted.fleet, &release).await;
        within(&look.wanted.fleet, &release, look.settings.limits.as_ref(), &contents)
            .map_err(|refusal| Problem::from_refusal(&refusal))?;
        let journal = global.journal(&look.settings).await?;
        let clock = context::clock();
        let (holder, vault) = (context::holder(), context::vault(&look.settings));
        let conductor =
            Conductor { journal: &journal, clock: &clock, holder, vault: vault.as_ref() };
        let left = left(&goods, &look.observed, &target.release);
        let mut asked = Asked::ask(&look.wanted.fleet.name, look.nodes).await;
        asked.let_go(&journal).await?;
        asked.spare(look.settings.controller.clone());
        let survey = survey(&look.wanted.fleet, release, asked, false).await;
        if self.format == Format::Text && !global.quiet {
            let shown = view::human(&survey.plan, &view::Filter::default(), colour_out());
            anstream::print!("{shown}");
        }
        let mut unquarantined = survey.observed.clone();
        forgive(&mut unquarantined, &target.release);
        gate(&survey.plan, &unquarantined, false)
            .map_err(|refusal| Problem::from_refusal(&refusal))?;
        if survey.plan.is_empty() {
            return Ok(0);
        }
        if !self.yes && !output::confirmed("Roll back?") {
            return Err(Problem::new("not confirmed: nothing was changed")
                .hint("without a terminal, pass --yes"));
        }
        let mut stop = signals::for_rollout()?;
        let mut progress = output::progress(global, self.format);
        let mut notices = Notices::of_rollouts(&look.settings, self.no_notify);
        let (mut rollout, mut work) = conductor.begin(survey, Kind::Rollback).await?;
        work.left = left;
        let mut listen = |event: &crate::event::Event| {
            progress.tell(event);
            notices.event(event);
        };
        let driven = conductor.conduct(&mut rollout, &work, false, &mut stop, &mut listen).await;
        notices.close().await;
        ended(&driven?, &work.rollout)
    }
}

fn line(good: &Kept) -> String {
    let commit = good.commit.as_deref().map_or("no commit", short);
    format!("{}  {commit}  {}", good.release.short(), when(good.at))
}

/// The release to go back to: the one named, or the one before the last good.
fn target<'a>(goods: &'a [Kept], to: Option<&str>) -> Result<&'a Kept, Problem> {
    let found = match to {
        None => goods.get(1),
        Some(rev) => goods.iter().find(|good| {
            let commit = good.commit.as_deref().unwrap_or_default();
            commit.starts_with(rev) || good.release.0.starts_with(rev)
        }),
    };
    found.ok_or_else(|| {
        let known = goods.iter().map(line).collect::<Vec<_>>().join("; ");
        let problem = match to {
            None => Problem::new("the nodes keep no earlier good release"),
            Some(rev) => Problem::new(format!("the nodes keep no good release `{rev}`")),
        };
        problem.hint(format!("kept are: {known}"))
    })
}

/// The release that is left behind, to be quarantined so that no daemon rolls it out again at once.
fn left(goods: &[Kept], observed: &Observed, target: &Digest) -> Option<(Digest, String)> {
    let now = goods.first().filter(|good| good.release != *target)?;
    let newest = observed.nodes.keys().filter_map(|node| observed.report(node)).count();
    let reason = format!("rolled back from by {} on {newest} nodes", context::holder());
    Some((now.release.clone(), reason))
}

/// An operator who asks for a release lifts its quarantine by asking.
fn forgive(observed: &mut Observed, release: &Digest) {
    for state in observed.nodes.values_mut() {
        if let crate::model::NodeState::Reachable(report) = state {
            report.record.quarantine.retain(|entry| entry.release != *release);
        }
    }
}
