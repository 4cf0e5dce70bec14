//! Controllers with a journal each, and the nodes that they drive.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use gitsync::clock::Clock;
use gitsync::engine::{
    Asked, Conductor, Driven, NoVault, Nodes, Resumable, Stop, Survey, Verdict, survey,
};
use gitsync::event::Event;
use gitsync::journal::{Journal, JournalError, Kind};
use gitsync::model::{FileState, Name, Observed, ProcessState, Release, UnitId};
use gitsync::transport::Transport;
use gitsync::transport::fake::{FakeTransport, World};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::fleets::{Place, Wanted};
use crate::killer::{Polls, Switch, Watched};

const PATIENCE: Duration = Duration::from_secs(30);
const BRIEFLY: Duration = Duration::from_millis(2);

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A state directory; in memory where the machine has such a place, because every entry is synced.
pub fn state() -> TempDir {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("gitsync-engine").tempdir_in(parent).unwrap()
}

/// Where a controller is killed.
#[derive(Clone)]
pub enum Kill {
    /// At a verb.
    Verb(Arc<Switch>),
    /// After so many polls.
    Poll(usize),
    /// Nowhere.
    Never,
}

/// One controller on one set of nodes.
pub struct Lab {
    pub state: TempDir,
    pub ways: BTreeMap<Name, Arc<dyn Transport>>,
}

/// What hears events, and can ask the rollout to stop.
pub type Listen<'a> = &'a mut (dyn FnMut(&Event, &watch::Sender<Stop>) + Send);

/// Nothing is done with events.
pub fn deaf(_: &Event, _: &watch::Sender<Stop>) {}

/// The driven end, or none when the controller was killed.
pub type Ended = Option<Driven>;

impl Lab {
    pub fn new(ways: BTreeMap<Name, Arc<dyn Transport>>) -> Self {
        Self { state: state(), ways }
    }

    /// The journal, once the killed controller's lock is gone: a process that another test is just starting holds
    /// a copy of it for a moment, between its fork and its exec.
    pub async fn journal(&self) -> Journal {
        let open = async {
            loop {
                match Journal::open(self.state.path()).await {
                    Err(JournalError::InUse { .. }) => tokio::time::sleep(BRIEFLY).await,
                    other => return other.unwrap(),
                }
            }
        };
        tokio::time::timeout(PATIENCE, open).await.expect("the lock is let go of")
    }

    fn nodes(&self, wanted: &Wanted, kill: &Kill) -> Nodes {
        let connect = |node: &gitsync::model::Node| {
            let way = Arc::clone(&self.ways[&node.name]);
            Ok(match kill {
                Kill::Verb(switch) => {
                    Arc::new(Watched { way, switch: Arc::clone(switch) }) as Arc<dyn Transport>
                }
                _ => way,
            })
        };
        Nodes::new(wanted.fleet.nodes.values(), 4, connect).unwrap()
    }

    pub async fn survey(&self, wanted: &Wanted, kill: &Kill) -> Survey {
        let mut asked = Asked::ask(&wanted.fleet.name, self.nodes(wanted, kill)).await;
        asked.let_go(&self.journal().await).await.unwrap();
        survey(&wanted.fleet, wanted.release.clone(), asked, false).await
    }

    pub async fn observe(&self, wanted: &Wanted) -> Observed {
        self.nodes(wanted, &Kill::Never).observe(&wanted.fleet.name).await
    }

    /// A rollout from its survey to its end, or to where its controller is killed.
    pub async fn roll(&self, wanted: &Wanted, kill: &Kill, listen: Listen<'_>) -> Ended {
        let survey = self.survey(wanted, kill).await;
        self.begin(survey, kill, listen).await
    }

    pub async fn begin(&self, survey: Survey, kill: &Kill, listen: Listen<'_>) -> Ended {
        let journal = self.journal().await;
        let clock = Clock::system();
        let conductor = Conductor {
            journal: &journal,
            clock: &clock,
            holder: "me".to_owned(),
            vault: &NoVault,
        };
        let (sender, mut stop) = watch::channel(Stop::No);
        let work = async {
            let (mut rollout, work) = conductor.begin(survey, Kind::Apply).await.unwrap();
            let mut hear = |event: &Event| listen(event, &sender);
            conductor.conduct(&mut rollout, &work, false, &mut stop, &mut hear).await.unwrap()
        };
        until_killed(work, kill).await
    }

    /// The same, asked to stop from elsewhere.
    pub async fn begin_with(
        &self,
        survey: Survey,
        kill: &Kill,
        mut stop: watch::Receiver<Stop>,
    ) -> Ended {
        let journal = self.journal().await;
        let clock = Clock::system();
        let conductor = Conductor {
            journal: &journal,
            clock: &clock,
            holder: "me".to_owned(),
            vault: &NoVault,
        };
        let work = async {
            let (mut rollout, work) = conductor.begin(survey, Kind::Apply).await.unwrap();
            let hear = &mut |_: &Event| {};
            conductor.conduct(&mut rollout, &work, false, &mut stop, hear).await.unwrap()
        };
        until_killed(work, kill).await
    }

    /// Takes up what is open, with the release or without; none when nothing is open or it is killed again.
    pub async fn resume(&self, wanted: &Wanted, whole: bool, kill: &Kill) -> Ended {
        let journal = self.journal().await;
        let clock = Clock::system();
        let conductor = Conductor {
            journal: &journal,
            clock: &clock,
            holder: "me".to_owned(),
            vault: &NoVault,
        };
        let (_sender, mut stop) = watch::channel(Stop::No);
        let mut open = journal.open_rollouts().await.unwrap();
        assert!(open.len() < 2, "one rollout at a time");
        let record = open.pop()?;
        let release = match whole {
            true => Ok(&wanted.release),
            false => Err("its commit can't be read any more".to_owned()),
        };
        let found = Resumable { fleet: Some(&wanted.fleet), release };
        let nodes = self.nodes(wanted, kill);
        let work = async {
            let (mut rollout, work) = conductor.resume(record, found, nodes).await.unwrap();
            let listen = &mut |_: &Event| {};
            conductor.conduct(&mut rollout, &work, true, &mut stop, listen).await.unwrap()
        };
        until_killed(work, kill).await
    }

    /// Whether the nodes run exactly this: versions, files and programs, with nothing under way.
    pub async fn differences(&self, wanted: &Wanted) -> Vec<String> {
        differences(&self.observe(wanted).await, &wanted.release)
    }

    /// How the newest rollout of a release ended, by the journal.
    async fn newest(&self, release: &Release) -> Option<Verdict> {
        let journal = self.journal().await;
        let past = journal.history(1).await.unwrap().pop()?;
        let record = journal.load(&past.id).await.unwrap()?;
        record.verdict.filter(|_| record.plan.release == release.digest())
    }

    /// Holds a killed controller's fleet to the promise, once its successor is done.
    pub async fn is_whole(&self, old: &Wanted, new: &Wanted, ended: &Ended, point: &str) {
        let (of_old, of_new) = (self.differences(old).await, self.differences(new).await);
        let verdict = match ended {
            Some(driven) => Some(verdict(driven)),
            // Killed after its end was written down, or before anything was begun.
            None => self.newest(&new.release).await,
        };
        match verdict {
            Some(Verdict::Converged) => assert_eq!(of_new, [""; 0], "{point}"),
            Some(Verdict::RolledBack) | None => assert_eq!(of_old, [""; 0], "{point}"),
            Some(Verdict::NeedsOperator) => panic!("{point}: {ended:?}\n{of_old:?}\n{of_new:?}"),
        }
        let journal = self.journal().await;
        assert!(journal.open_rollouts().await.unwrap().is_empty(), "{point}: left open");
    }
}

pub fn verdict(driven: &Driven) -> Verdict {
    match driven {
        Driven::Ended(verdict, _) => *verdict,
        Driven::Left => panic!("it was left"),
    }
}

async fn until_killed(work: impl Future<Output = Driven>, kill: &Kill) -> Ended {
    match kill {
        Kill::Never => Some(work.await),
        Kill::Poll(left) => Polls { work: Box::pin(work), left: *left }.await,
        Kill::Verb(switch) => tokio::select! {
            biased;
            () = switch.tripped() => None,
            driven = work => Some(driven),
        },
    }
}

/// What is otherwise on the nodes than a release says.
pub fn differences(observed: &Observed, release: &Release) -> Vec<String> {
    let mut found = Vec::new();
    for node in observed.nodes.keys() {
        let Some(report) = observed.report(node) else {
            found.push(format!("{node} is not there"));
            continue;
        };
        if let Some(holder) = &report.record.holder {
            found.push(format!("{node} is held by {holder:?}"));
        }
        let known = report.units.iter().filter(|(_, unit)| unit.current.is_some());
        let more = known.filter(|(id, _)| !release.units.contains_key(id));
        found.extend(more.map(|(id, _)| format!("{id} is still there")));
    }
    found.extend(release.units.keys().filter_map(|id| different(observed, release, id)));
    found
}

fn different(observed: &Observed, release: &Release, id: &UnitId) -> Option<String> {
    let wanted = &release.units[id];
    let Some(unit) = observed.unit(id) else { return Some(format!("{id} is missing")) };
    if unit.current != Some(wanted.digest()) || unit.pending.is_some() {
        return Some(format!("{id}: {:?}, under way {:?}", unit.current, unit.pending));
    }
    for artifact in &wanted.artifacts {
        let file = unit.files.iter().find(|file| file.destination == artifact.destination);
        let here = |state: &FileState| match state {
            FileState::Present { hash, .. } => *hash == artifact.blob(),
            _ => false,
        };
        if !file.is_some_and(|file| here(&file.state)) {
            return Some(format!("{}: {file:?}", artifact.destination));
        }
    }
    let process = matches!(wanted.runtime, gitsync::model::Runtime::Process);
    let runs = unit.process.as_ref().is_some_and(|p| p.state == ProcessState::Running);
    (process && !runs).then(|| format!("{id} does not run: {:?}", unit.process))
}

/// A lab on an imagined world that runs version one.
pub struct Imagined {
    pub lab: Lab,
    pub world: Arc<Mutex<World>>,
    pub one: Wanted,
    pub two: Wanted,
}

impl Imagined {
    pub fn new() -> Self {
        let place = Place::imagined();
        let (one, two) = (place.version("one"), place.version("two"));
        let mut world = World::new(one.fleet.nodes.keys(), Clock::system().now());
        for unit in one.release.units.values() {
            world.seed_unit(unit);
        }
        let world = Arc::new(Mutex::new(world));
        Self { lab: Lab::new(ways(&world, &one)), world, one, two }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// A second controller of the same nodes.
    pub fn other(&self) -> Lab {
        Lab::new(ways(&self.world, &self.one))
    }
}

fn ways(world: &Arc<Mutex<World>>, wanted: &Wanted) -> BTreeMap<Name, Arc<dyn Transport>> {
    let way = |name: &Name| FakeTransport::new(Arc::clone(world), name.clone());
    let names = wanted.fleet.nodes.keys();
    names.map(|name| (name.clone(), Arc::new(way(name)) as Arc<dyn Transport>)).collect()
}
