//! The whole simulation, run once for all promises: every fault at every call of every plan, then many at random.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::Instant;

use gitsync::transport::fake::Badness;

use crate::faults::{beginnings, digest, kills, random_scenario, single_faults};
use crate::fleets::{Case, cases};
use crate::generated;
use crate::run::{Run, Scenario};

/// So many faulted rollouts in an ordinary run.
const ENOUGH: usize = 100_000;
/// Random scenarios that one thread takes at once.
const BATCH: u64 = 500;

/// How often an invariant was broken, and the first story in the order of the scenarios.
#[derive(Clone, Debug)]
pub struct Broken {
    pub times: usize,
    pub story: String,
    place: (usize, usize),
}

/// What came out.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Rollouts in which something went wrong.
    pub faulted: usize,
    pub wanted: usize,
    pub verdicts: BTreeMap<&'static str, usize>,
    pub broken: BTreeMap<&'static str, Broken>,
}

/// The simulation's findings; the first who asks waits for them.
pub fn findings() -> &'static Findings {
    static FINDINGS: LazyLock<Findings> = LazyLock::new(simulate);
    &FINDINGS
}

/// `GITSYNC_SIMULATION_RUNS=10000000` for a night; fewer than usual leave scenarios out evenly.
fn wanted() -> usize {
    let asked = std::env::var("GITSYNC_SIMULATION_RUNS").ok();
    asked.and_then(|runs| runs.replace('_', "").parse().ok()).unwrap_or(ENOUGH)
}

enum Task {
    /// Every single fault in every call, or every so-manieth of them.
    Faults(&'static Case, Scenario, usize),
    /// A controller that is killed, or stands still, at every effect.
    Kills(&'static Case, Scenario),
    /// A killed controller around every single fault, every 61st of those.
    Around(&'static Case, Scenario),
    /// Seeds from here on.
    Random(u64),
}

fn simulate() -> Findings {
    let begun = Instant::now();
    let wanted = wanted();
    let every = (ENOUGH / wanted.max(1)).max(1);
    let mut findings = run_all(&systematic(), every);
    tell(&findings, begun);
    let mut seed = chosen_seed().unwrap_or(0);
    while findings.faulted < wanted && chosen_seed().is_none() {
        let missing = (wanted - findings.faulted).min(20_000) as u64;
        let batches = missing.div_ceil(BATCH);
        let tasks: Vec<Task> = (0..batches).map(|n| Task::Random(seed + n * BATCH)).collect();
        merge(&mut findings, run_all(&tasks, 1));
        seed += batches * BATCH;
        tell(&findings, begun);
    }
    findings.wanted = wanted;
    findings
}

fn tell(findings: &Findings, begun: Instant) {
    let (runs, seconds) = (findings.faulted, begun.elapsed().as_secs_f64());
    let rate = runs as f64 / seconds.max(0.001);
    eprintln!(
        "{runs} faulted rollouts in {seconds:.1} s, {rate:.0} a second: {:?}",
        findings.verdicts
    );
}

/// `GITSYNC_SIMULATION_SEED=N`: for a test of its own, which runs that scenario alone.
pub fn chosen_seed() -> Option<u64> {
    std::env::var("GITSYNC_SIMULATION_SEED").ok()?.parse().ok()
}

fn systematic() -> Vec<Task> {
    let mut tasks = Vec::new();
    for case in cases() {
        let plain = Scenario::of(&case.plan);
        for (number, beginning) in beginnings(case).into_iter().enumerate() {
            tasks.push(Task::Kills(case, beginning.clone()));
            // Where something else is wrong already, a part of them says as much.
            tasks.push(Task::Faults(case, beginning, if number == 0 { 1 } else { 3 }));
        }
        if case.large {
            continue;
        }
        let last = case.plan.steps().filter(|step| step.to.is_some()).last();
        let failing = last.map(|step| vec![(digest(step), Badness::Probe)]);
        let failing = Scenario { bad: failing.unwrap_or_default(), ..plain.clone() };
        tasks.extend([Task::Around(case, plain), Task::Around(case, failing)]);
    }
    tasks
}

/// Runs all tasks on all processors.
fn run_all(tasks: &[Task], every: usize) -> Findings {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Findings::default());
    let threads = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut mine = Findings::default();
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(task) = tasks.get(place) else { break };
                    Worker { findings: &mut mine, place, count: place, every }.work(task);
                }
                merge(&mut found.lock().unwrap(), mine);
            });
        }
    });
    found.into_inner().unwrap()
}

fn merge(all: &mut Findings, more: Findings) {
    all.faulted += more.faulted;
    for (verdict, times) in more.verdicts {
        *all.verdicts.entry(verdict).or_default() += times;
    }
    for (name, broken) in more.broken {
        let known = all.broken.entry(name).or_insert_with(|| Broken { times: 0, ..broken.clone() });
        known.times += broken.times;
        if broken.place < known.place {
            (known.place, known.story) = (broken.place, broken.story);
        }
    }
}

struct Worker<'a> {
    findings: &'a mut Findings,
    place: usize,
    count: usize,
    every: usize,
}

impl Worker<'_> {
    fn work(&mut self, task: &Task) {
        match task {
            Task::Faults(case, beginning, every) => {
                let first = self.place % every;
                for scenario in single_faults(beginning).iter().skip(first).step_by(*every) {
                    self.run(case.name, scenario);
                }
            }
            Task::Kills(case, beginning) => {
                let done = Run::of(beginning).done;
                for kill in kills(done) {
                    self.run(case.name, &Scenario { kills: vec![kill], ..beginning.clone() });
                }
                for effect in 1..=done {
                    let stall = Some(effect);
                    self.run(case.name, &Scenario { stall, ..beginning.clone() });
                    let silent = Some((effect, effect + 12));
                    self.run(case.name, &Scenario { silent, ..beginning.clone() });
                }
            }
            Task::Around(case, beginning) => {
                for (n, scenario) in single_faults(beginning).iter().enumerate() {
                    for kill in kills(Run::of(scenario).done).into_iter().skip(n % 61).step_by(61) {
                        self.run(case.name, &Scenario { kills: vec![kill], ..scenario.clone() });
                    }
                }
            }
            Task::Random(from) => {
                for seed in *from..from + BATCH {
                    let (case, scenario) = any_scenario(seed);
                    self.run(&format!("GITSYNC_SIMULATION_SEED={seed} {case}"), &scenario);
                }
            }
        }
    }

    fn run(&mut self, case: &str, scenario: &Scenario) {
        self.count += 1;
        if !self.count.is_multiple_of(self.every) {
            return;
        }
        let run = Run::of(scenario);
        self.findings.faulted += usize::from(scenario.is_faulted());
        let verdict = run.rollout.verdict().map_or("none", gitsync::model::Verdict::word);
        *self.findings.verdicts.entry(verdict).or_default() += 1;
        for (name, _) in &run.broken {
            let place = (self.place, self.count);
            let story = || format!("{case} {}", run.story());
            let first = || Broken { times: 0, story: story(), place };
            self.findings.broken.entry(name).or_insert_with(first).times += 1;
        }
    }
}

/// The scenario of a seed: on a plan by hand, or on a generated one.
pub fn any_scenario(seed: u64) -> (String, Scenario) {
    if seed.is_multiple_of(2) {
        let (case, scenario) = random_scenario(seed);
        return (case.to_owned(), scenario);
    }
    ("a generated plan".to_owned(), generated::of_seed(seed))
}
