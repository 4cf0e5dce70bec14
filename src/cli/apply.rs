//! `gitsync apply`: one rollout of HEAD.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::engine::{Asked, Conductor, Driven, Refusal, Survey, Verdict, gate, holders, survey};
use crate::journal::{Journal, Kind};
use crate::model::Snapshot;
use crate::report::plan as view;
use crate::settings::{Flags, Settings};
use crate::source;

use super::context::{self, Format, Global, Wanted};
use super::left;
use super::notices::Notices;
use super::output::{self, colour_out};
use super::problem::Problem;
use super::resume::LeftOver;
use super::reviewed::Reviewed;
use super::run::duration;
use super::signals;
use super::waiting::Waiting;

/// Roll out HEAD as one transaction.
#[derive(Debug, Args)]
pub struct Apply {
    /// The fleet's folder
    #[arg(default_value = ".", value_name = "PATH")]
    path: PathBuf,
    /// Apply without asking
    #[arg(long, short)]
    yes: bool,
    /// Roll out the files on disk although they differ from HEAD; never becomes last good
    #[arg(long)]
    dirty: bool,
    /// Go on although a changed unit could not be put back if it failed
    #[arg(long)]
    allow_no_rollback: bool,
    /// Go on although HEAD does not follow the last good commit: it is older, or history was rewritten
    #[arg(long)]
    any_history: bool,
    /// Take nodes over from another controller's rollout: only when that controller is dead for good
    #[arg(long)]
    take_over: bool,
    /// Apply exactly this plan, which `gitsync plan --out` saved, without asking; refuse it when anything differs
    #[arg(long, value_name = "FILE", conflicts_with = "dirty")]
    plan: Option<PathBuf>,
    /// Wait so long for another's rollout to end, such as 5m, instead of failing at once
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "take_over")]
    lock_wait: Option<Duration>,
    /// Send no notifications of this rollout
    #[arg(long)]
    no_notify: bool,
    /// How progress is told
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Apply {
    /// Rolls out and waits for the verdict.
    pub async fn run(&self, global: &Global) -> Result<u8, Problem> {
        let reviewed = self.reviewed()?;
        let snapshot = match &reviewed {
            Some(reviewed) => reviewed.snapshot(&self.path)?,
            None => self.snapshot()?,
        };
        let settings = global.settings(Flags::default())?;
        if let Some(distrust) = context::distrust(&self.path, &snapshot, &settings)? {
            return Err(Problem::from_refusal(&Refusal::distrusted(distrust)));
        }
        let wanted = global.wanted(&snapshot)?;
        if let Some(reviewed) = &reviewed {
            reviewed.is_of(&wanted)?;
        }
        context::limited(&wanted, &settings)?;
        let mut waiting = Waiting::new(self.lock_wait, global.quiet);
        let journal = waiting.journal(&settings).await?;
        let clock = context::clock();
        let (holder, vault) = (context::holder(), context::vault(&settings));
        let conductor =
            Conductor { journal: &journal, clock: &clock, holder, vault: vault.as_ref() };
        let mut notices = Notices::of_rollouts(&settings, self.no_notify);
        wanted.release.commit.iter().for_each(|commit| notices.knows(commit));
        let code = async {
            let left = LeftOver { settings: &settings, path: &self.path, wanted: &wanted };
            left.take_up(global, &conductor, self.format, &mut notices).await?;
            let mut survey = self.survey(&wanted, &settings, &journal).await?;
            while waiting.again(&survey, self.take_over).await? {
                survey = self.survey(&wanted, &settings, &journal).await?;
            }
            if let Some(reviewed) = &reviewed {
                reviewed.is_still(&survey, self.take_over)?;
            }
            self.roll_out(global, &conductor, survey, &mut notices).await
        };
        let code = code.await;
        notices.close().await;
        code
    }

    /// Asks the nodes and plans.
    async fn survey(
        &self,
        wanted: &Wanted,
        settings: &Settings,
        journal: &Journal,
    ) -> Result<Survey, Problem> {
        let nodes = context::nodes(&wanted.fleet, settings)?;
        let mut asked = Asked::ask(&wanted.fleet.name, nodes).await;
        let record = (journal, Some(context::clock().now()));
        left::ask(&self.path, wanted, settings, record, &mut asked).await?;
        context::recall(&self.path, wanted, settings, self.any_history, &mut asked)?;
        asked.let_go(journal).await?;
        asked.suspend(&wanted.fleet, context::suspension(&wanted.fleet, settings));
        asked.remember(&wanted.fleet, journal).await?;
        let release = wanted.release.clone();
        Ok(survey(&wanted.fleet, release, asked, self.allow_no_rollback).await)
    }

    fn reviewed(&self) -> Result<Option<Reviewed>, Problem> {
        self.plan.as_deref().map(Reviewed::read).transpose()
    }

    fn snapshot(&self) -> Result<Snapshot, Problem> {
        let snapshot = source::directory(&self.path)?;
        if self.dirty || (snapshot.commit.is_some() && !snapshot.dirty) {
            return Ok(snapshot);
        }
        let what = match snapshot.commit {
            Some(_) => "the files differ from HEAD",
            None => "the folder is not in a Git repository with a commit",
        };
        Err(Problem::new(format!("{what}, and `apply` takes HEAD"))
            .hint("commit the changes, or pass --dirty: it never becomes last good"))
    }

    async fn roll_out(
        &self,
        global: &Global,
        conductor: &Conductor<'_>,
        survey: Survey,
        notices: &mut Notices,
    ) -> Result<u8, Problem> {
        self.show(global, &survey);
        gate(&survey.plan, &survey.observed, self.take_over)
            .map_err(|refusal| Problem::from_refusal(&refusal))?;
        if survey.plan.is_empty() {
            return Ok(0);
        }
        if self.take_over {
            overruled(&survey);
        }
        if !self.yes && self.plan.is_none() && !output::confirmed("Apply this plan?") {
            return Err(Problem::new("not confirmed: nothing was changed")
                .hint("without a terminal, pass --yes"));
        }
        let mut stop = signals::for_rollout()?;
        let mut progress = output::progress(global, self.format);
        let (mut rollout, mut work) = conductor.begin(survey, Kind::Apply).await?;
        work.takeover = self.take_over;
        let mut listen = |event: &crate::event::Event| {
            progress.tell(event);
            notices.event(event);
        };
        let driven = conductor.conduct(&mut rollout, &work, false, &mut stop, &mut listen).await?;
        ended(&driven, &work.rollout)
    }

    /// Shows the plan to people; programs hear events, and of a fleet that is as it should be that it is.
    fn show(&self, global: &Global, survey: &Survey) {
        match self.format {
            Format::Json if survey.plan.is_empty() && survey.plan.refusals.is_empty() => {
                let release = &survey.plan.release;
                anstream::println!(
                    "{}",
                    serde_json::json!({ "event": "up_to_date", "release": release })
                );
            }
            Format::Text if !global.quiet => {
                let filter = view::Filter::default();
                anstream::print!("{}", view::human(&survey.plan, &filter, colour_out()));
            }
            Format::Json | Format::Text => {}
        }
    }
}

/// Tells whose rollouts are overruled, and what that means.
fn overruled(survey: &Survey) {
    for held in holders(&survey.plan, &survey.observed) {
        anstream::eprintln!(
            "warning: {held}; it is taken over: if that controller still runs, its rollout fails and \
             needs an operator"
        );
    }
}

/// The exit code of a rollout, or why it has none yet.
pub fn ended(driven: &Driven, rollout: &str) -> Result<u8, Problem> {
    if *driven == Driven::Left {
        return Err(Problem::new(format!("rollout {rollout} was left before its verdict")).hint(
            "the next `gitsync apply` or `gitsync run` with this state directory goes on with it",
        ));
    }
    Ok(code(driven))
}

/// The exit code of a rollout.
pub fn code(driven: &Driven) -> u8 {
    match driven {
        Driven::Ended(Verdict::Converged, _) => 0,
        Driven::Ended(Verdict::RolledBack, _) => 3,
        Driven::Ended(Verdict::NeedsOperator, _) => 4,
        Driven::Left => 1,
    }
}
