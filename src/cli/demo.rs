//! `gitsync demo`: the main job on this machine, with real processes, and nothing left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::engine::{News, Stop, Wakes};
use crate::event::Happening;
use crate::model::Verdict;
use crate::settings::Flags;

use super::context::Global;
use super::demo_fleet::{Place, Story, commit};
use super::problem::Problem;
use super::run::{daemon, text};

/// See it work on this machine.
#[derive(Debug, Args)]
pub struct Demo {}

/// No step of the demo may take longer than this.
const PATIENCE: Duration = Duration::from_secs(30);

impl Demo {
    /// Plays the demo in a temporary directory; an error when anything is not as it should be.
    pub async fn run(&self) -> Result<u8, Problem> {
        let home = tempfile::Builder::new().prefix("gitsync-demo-").tempdir()?;
        let place = Place::new(home.path())?;
        let began = Instant::now();
        let mut stage = Stage::open(place).await?;
        let played = stage.play().await;
        let closed = stage.close().await;
        played?;
        closed?;
        say(&format!("\nDone in {:.1} s; everything was removed.", began.elapsed().as_secs_f32()));
        say("Try next: `gitsync validate example-repo`, `gitsync plan --help`, and the README's");
        say("five-minute start with a machine of your own.");
        Ok(0)
    }
}

/// Global flags that keep the demo's journal in its own directory.
fn quiet(place: &Place) -> Global {
    Global { quiet: true, config: None, state: Some(place.home.join("controller")) }
}

fn say(line: &str) {
    anstream::println!("{line}");
}

fn title(line: &str) {
    anstream::println!("\n== {line}");
}

/// The running daemon and what is heard from it.
struct Stage {
    place: Place,
    stop: watch::Sender<Stop>,
    look: mpsc::Sender<()>,
    news: mpsc::UnboundedReceiver<News>,
    daemon: JoinHandle<Result<(), String>>,
    /// The commit that the fleet runs.
    good: String,
}

impl Stage {
    async fn open(place: Place) -> Result<Self, Problem> {
        let first = Story { app: "app 1.0", sick: false, store: "store 1.0", message: "welcome" };
        title("A Git repository and three machines (directories here), one daemon watching");
        let good = commit(&place.repository(), &place.files(&first), "app 1.0 with its store")?;
        let global = quiet(&place);
        let settings = global.settings(Flags {
            repository: Some(place.repository().display().to_string()),
            interval: Some(Duration::from_secs(60)),
            ..Flags::default()
        })?;
        let daemon = daemon(&settings, &global).await?;
        let (stop, stopped) = watch::channel(Stop::No);
        let (look, looks) = mpsc::channel(1);
        let (tell, news) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let wakes = Wakes { stop: stopped, look: looks };
            let mut tell = move |item: News| drop(tell.send(item));
            daemon.run(wakes, &mut tell).await.map_err(|error| error.to_string())
        });
        Ok(Self { place, stop, look, news, daemon: task, good })
    }

    fn global(&self) -> Global {
        quiet(&self.place)
    }

    async fn play(&mut self) -> Result<(), Problem> {
        title("1. The first rollout: the store, then the app that depends on it");
        self.verdict(Verdict::Converged).await?;
        self.answers("app 1.0").await?;
        self.change().await?;
        self.failure().await?;
        self.drift().await
    }

    async fn change(&mut self) -> Result<(), Problem> {
        title("2. A push changes both: dependencies first, the fallback before the primary");
        let story = Story { app: "app 1.1", sick: false, store: "store 1.1", message: "welcome" };
        self.push(&story, "app 1.1 and store 1.1").await?;
        self.verdict(Verdict::Converged).await?;
        self.answers("app 1.1").await
    }

    async fn failure(&mut self) -> Result<(), Problem> {
        title("3. A push whose app never gets healthy: put back by itself");
        let poll = Poll::start(self.place.app.to_vec(), "app 1.1");
        let story = Story { app: "app 2.0", sick: true, store: "store 1.1", message: "welcome" };
        self.push(&story, "app 2.0, which is broken").await?;
        self.verdict(Verdict::RolledBack).await?;
        let (asked, served) = poll.end().await;
        say(&format!("Polled all along: {served} of {asked} rounds were answered by app 1.1."));
        if asked == 0 || served != asked {
            return Err(Problem::new("the old version did not keep answering"));
        }
        self.answers("app 1.1").await
    }

    async fn drift(&mut self) -> Result<(), Problem> {
        title("4. Somebody edits a managed file by hand");
        let motd = self.place.node("nas").join("etc/motd/motd");
        std::fs::write(&motd, "changed at three in the morning\n")?;
        let global = self.global();
        let place =
            super::context::Place { path: self.place.repository(), rev: Some(self.good.clone()) };
        let look = super::look::look(&global, &place).await?;
        let found = crate::plan::drift(&look.wanted.release, &look.observed);
        anstream::print!("{}", super::drift::text(&look, &found).await);
        if found.is_empty() {
            return Err(Problem::new("the drift was not found"));
        }
        Ok(())
    }

    async fn push(&mut self, story: &Story, message: &str) -> Result<(), Problem> {
        let id = commit(&self.place.repository(), &self.place.files(story), message)?;
        if !story.sick {
            self.good = id;
        }
        // What a local repository's watcher does; the demo does not depend on its kind of file system.
        let _ = self.look.try_send(());
        Ok(())
    }

    /// Prints news until a rollout ends, and insists on its verdict.
    async fn verdict(&mut self, wanted: Verdict) -> Result<(), Problem> {
        let heard = tokio::time::timeout(PATIENCE, self.hear()).await;
        let verdict = heard.map_err(|_| Problem::new("no verdict came in time"))??;
        if verdict == wanted {
            return Ok(());
        }
        Err(Problem::new(format!("the verdict was {verdict}, not {wanted}")))
    }

    async fn hear(&mut self) -> Result<Verdict, Problem> {
        while let Some(news) = self.news.recv().await {
            anstream::print!("{}", text(&news));
            match &news {
                News::Rollout(event) => {
                    if let Happening::Ended { verdict, .. } = event.what {
                        return Ok(verdict);
                    }
                }
                News::Invalid(..) | News::Refused(_) | News::Broken(_) | News::Unavailable(_) => {
                    return Err(Problem::new("the demo's own repository was not taken"));
                }
                _ => {}
            }
        }
        Err(Problem::new("the daemon ended"))
    }

    async fn answers(&self, says: &str) -> Result<(), Problem> {
        for (node, port) in ["vps1", "vps2"].iter().zip(self.place.app) {
            let body = get(port).await.unwrap_or_else(|| "nothing".to_owned());
            say(&format!("GET http://127.0.0.1:{port}/ on {node}: {}", body.trim()));
            if body.trim() != says {
                return Err(Problem::new(format!("{node} does not answer `{says}`")));
            }
        }
        Ok(())
    }

    /// Ends the daemon and every process that the nodes keep.
    async fn close(self) -> Result<(), Problem> {
        let _ = self.stop.send(Stop::Pause);
        let ended = tokio::time::timeout(PATIENCE, self.daemon).await;
        super::demo_fleet::end_processes(&self.place);
        match ended {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(message))) => Err(Problem::new(message)),
            Ok(Err(join)) => Err(Problem::new(join)),
            Err(_) => Err(Problem::new("the daemon did not end in time")),
        }
    }
}

/// Asks the app on both nodes again and again; a round is served when one of them answers as the old version.
struct Poll {
    stop: Arc<AtomicBool>,
    task: JoinHandle<(u32, u32)>,
}

impl Poll {
    fn start(ports: Vec<u16>, says: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        let task = tokio::spawn(async move {
            let (mut asked, mut served) = (0, 0);
            while !seen.load(Ordering::Relaxed) {
                asked += 1;
                for port in ports.iter().rev() {
                    if get(*port).await.is_some_and(|body| body.trim() == says) {
                        served += 1;
                        break;
                    }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            (asked, served)
        });
        Self { stop, task }
    }

    async fn end(self) -> (u32, u32) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap_or((0, 0))
    }
}

async fn get(port: u16) -> Option<String> {
    let request =
        reqwest::Client::builder().timeout(Duration::from_secs(1)).no_proxy().build().ok()?;
    let response = request.get(format!("http://127.0.0.1:{port}/")).send().await.ok()?;
    response.text().await.ok()
}
