//! `gitsync run`: the daemon.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::mpsc;

use crate::engine::{Daemon, News, Wakes};
use crate::model::{Fleet, Node, parse_duration};
use crate::report::lines::hanging;
use crate::report::{plan as view, words};
use crate::settings::{Flags, History, Settings};
use crate::source::{Mirror, Watch};
use crate::transport::connect;

use super::context::{self, Format, Global};
use super::notices::Notices;
use super::output::colour_out;
use super::problem::Problem;
use super::signals;

/// Watch a Git repository and roll out every commit.
#[derive(Debug, Args)]
pub struct Run {
    /// The repository: a local path, file://, https:// or SSH; what the settings say when absent
    #[arg(value_name = "URL")]
    repository: Option<String>,
    /// The branch that is wanted; `main` unless the settings say another
    #[arg(long)]
    branch: Option<String>,
    /// The fleet's folder in the repository; its root unless the settings say another
    #[arg(long, value_name = "FOLDER")]
    path: Option<String>,
    /// The time between two looks at the repository, such as 30s; 60s unless the settings say another
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    interval: Option<Duration>,
    /// How news is told
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// A duration among the flags.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

impl Run {
    /// Runs until SIGTERM or Ctrl-C.
    pub async fn run(&self, global: &Global) -> Result<u8, Problem> {
        let settings = global.settings(self.flags())?;
        let mut wakes = Wakes { stop: signals::for_daemon()?, look: signals::hangups()? };
        let daemon = daemon(&settings, global).await?;
        let _watch = watch(&settings, &mut wakes)?;
        let mut notices = Notices::of_daemon(&settings);
        let mut tell = |news: News| {
            self.tell(global, &news);
            notices.hear(&news);
        };
        let ended = daemon.run(wakes, &mut tell).await;
        notices.close().await;
        ended?;
        Ok(0)
    }

    fn flags(&self) -> Flags {
        Flags {
            repository: self.repository.clone(),
            branch: self.branch.clone(),
            path: self.path.clone(),
            interval: self.interval,
            ..Flags::default()
        }
    }

    fn tell(&self, global: &Global, news: &News) {
        match self.format {
            Format::Json => {
                if let Some(value) = json(news) {
                    anstream::println!("{value}");
                }
            }
            Format::Text if global.quiet && !urgent(news) => {}
            Format::Text => anstream::print!("{}", text(news)),
        }
    }
}

/// The daemon that the settings describe.
pub async fn daemon(settings: &Settings, global: &Global) -> Result<Daemon, Problem> {
    let Some(url) = settings.repository.clone() else {
        return Err(Problem::new("no repository is configured").hint(
            "pass its URL, set GITSYNC_REPOSITORY, or write `repository:` in the settings file",
        ));
    };
    let options = context::ssh_options(settings)?;
    let connect = move |node: &Node, fleet: &Fleet| connect(node, &fleet.nodes, &options);
    Ok(Daemon {
        mirror: Mirror::open(&url, &settings.mirror_directory(), settings.git.clone()).await?,
        branch: settings.branch.clone(),
        path: settings.path.clone(),
        interval: settings.interval,
        parallel: settings.parallel,
        connect: Arc::new(connect),
        journal: global.journal(settings).await?,
        clock: context::clock(),
        holder: context::holder(),
        any_history: settings.history == History::Any,
        controller: settings.controller.clone(),
        signatures: settings.signatures.clone(),
        limits: settings.limits.clone(),
        vault: context::vault(settings),
    })
}

/// For a repository on this machine: look at once when it changes.
fn watch(settings: &Settings, wakes: &mut Wakes) -> Result<Option<Watch>, Problem> {
    let Some(local) = settings.local_repository() else { return Ok(None) };
    let (tell, look) = mpsc::channel(1);
    let watch = Watch::new(&local, tell.clone())?;
    let mut hangups = std::mem::replace(&mut wakes.look, look);
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            let _ = tell.try_send(());
        }
    });
    Ok(Some(watch))
}

fn urgent(news: &News) -> bool {
    !matches!(news, News::Commit(_) | News::UpToDate | News::Planned(_) | News::Warnings(..))
}

/// News as people read it.
pub fn text(news: &News) -> String {
    match news {
        // For listeners that compare with what was before.
        News::Looking(_) | News::Seen(_) => String::new(),
        News::Commit(commit) => {
            format!(
                "commit {} by {}: {}\n",
                words::short(&commit.id),
                commit.author,
                commit.summary
            )
        }
        News::Invalid(found, snapshot) => {
            let problems = context::problems(found, snapshot, colour_out());
            format!("{problems}not rolled out: nothing was changed\n")
        }
        News::Warnings(found, snapshot) => context::problems(found, snapshot, colour_out()),
        News::Planned(plan) => view::human(plan, &view::Filter::default(), colour_out()),
        News::Refused(refusal) => {
            let message = spread(&refusal.message);
            format!("not rolled out: {message}\n  hint: {}\n", refusal.hint)
        }
        News::UpToDate => "up to date\n".to_owned(),
        News::NoNodes => "this fleet has no nodes: nobody was asked\n".to_owned(),
        News::Rollout(event) => words::lines(event).join("\n") + "\n",
        News::Started(unit) => format!("{unit} did not run: started again\n"),
        News::NotStarted(unit, message) => {
            format!("{unit} does not run and can't be started: {}\n", spread(message))
        }
        News::Unavailable(message) => {
            format!("the repository can't be looked at: {}\n", spread(message))
        }
        News::Broken(message) => format!("error: {}\n", spread(message)),
    }
}

fn spread(message: &str) -> String {
    hanging(message, "  ").join("\n")
}

fn json(news: &News) -> Option<serde_json::Value> {
    use serde_json::json;
    Some(match news {
        News::Looking(_) | News::Seen(_) => return None,
        News::Commit(commit) => json!({ "news": "commit", "commit": commit }),
        News::Invalid(found, _) => json!({ "news": "invalid", "diagnostics": found }),
        News::Warnings(found, _) => json!({ "news": "warnings", "diagnostics": found }),
        News::Planned(plan) => json!({ "news": "planned", "plan": plan }),
        News::Refused(refusal) => {
            json!({
                "news": "refused",
                "code": refusal.code,
                "message": refusal.message,
                "hint": refusal.hint,
            })
        }
        News::UpToDate | News::NoNodes => json!({ "news": "up_to_date" }),
        News::Rollout(event) => serde_json::to_value(event).ok()?,
        News::Started(unit) => json!({ "news": "started", "unit": unit }),
        News::NotStarted(unit, message) => {
            json!({ "news": "not_started", "unit": unit, "message": message })
        }
        News::Unavailable(message) => json!({ "news": "unavailable", "message": message }),
        News::Broken(message) => json!({ "news": "broken", "message": message }),
    })
}
