//! The journal: what is written is there after a crash, in order, and one controller writes at a time.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use gitsync::event::{Event, Happening};
use gitsync::journal::{Journal, JournalError, Kind, NewRollout};
use gitsync::model::{
    Commit, Count, Digest, Effect, Failure, FailureKind, Name, OnFailure, Outcome, OutcomeResult,
    Plan, Policy, Prune, Timestamp, Verdict,
};
use tempfile::tempdir;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn policy() -> Policy {
    Policy {
        on_failure: OnFailure::Rollback,
        max_parallel: 4,
        canary: 1,
        prune: Prune { enabled: true, max_removals: Count::Percent(30) },
        dead_man: Some(Duration::from_secs(60)),
    }
}

fn plan(fleet: &str) -> Plan {
    let commit = Commit {
        id: "c0ffee".repeat(6) + "c0ff",
        summary: "a 'quoted' \"summary\" ✓".to_owned(),
        author: "Ada".to_owned(),
        at: Timestamp(1_700_000_000_000),
    };
    Plan {
        version: 1,
        fleet: name(fleet),
        commit: Some(commit),
        dirty: false,
        release: Digest::of(b"release"),
        wanted: BTreeMap::new(),
        observed: BTreeMap::new(),
        policy: policy(),
        nodes: vec![name("a"), name("b")],
        optional: Default::default(),
        skipped: Vec::new(),
        waves: Vec::new(),
        warnings: Vec::new(),
        unchanged: 3,
        refusals: Vec::new(),
    }
}

fn outcome(node: &str, at: u64) -> Outcome {
    let effect = Effect::Prepare { node: name(node) };
    Outcome { effect, at: Timestamp(at), result: OutcomeResult::Done }
}

async fn begin(journal: &Journal, fleet: &str, started: u64) -> String {
    let id = journal.next_id(&name(fleet), 0).await.unwrap();
    let fences = BTreeMap::from([(name("a"), 7), (name("b"), 9)]);
    let rollout = NewRollout {
        id: &id,
        fleet: &name(fleet),
        plan: &plan(fleet),
        fences: &fences,
        nonce: "5eed",
        holder: "ada@laptop",
        started: Timestamp(started),
        kind: Kind::Daemon,
    };
    journal.begin(&rollout).await.unwrap();
    id
}

#[tokio::test]
async fn a_rollout_is_read_back_whole_and_in_order() {
    let state = tempdir().unwrap();
    let journal = Journal::open(state.path()).await.unwrap();
    let id = begin(&journal, "home", 10).await;
    let failed = Outcome {
        effect: Effect::Retry { until: Timestamp(5), what: Box::new(Effect::Decide) },
        at: Timestamp(12),
        result: OutcomeResult::Failed(Failure {
            kind: FailureKind::Transport,
            unit: Some("a/service.x".parse().unwrap()),
            message: "gone".to_owned(),
            log: vec!["line".to_owned()],
            attempts: Vec::new(),
        }),
    };
    let outcomes = [outcome("b", 11), failed, outcome("a", 13)];
    for outcome in &outcomes {
        journal.issued(&id, &outcome.effect).await.unwrap();
        journal.outcome(&id, outcome).await.unwrap();
    }
    let record = journal.load(&id).await.unwrap().unwrap();
    assert_eq!(record.outcomes, outcomes);
    assert_eq!(record.issued.len(), 3);
    assert_eq!(record.plan, plan("home"));
    assert_eq!(record.fences, BTreeMap::from([(name("a"), 7), (name("b"), 9)]));
    assert_eq!((record.nonce.as_str(), record.holder.as_str()), ("5eed", "ada@laptop"));
    assert_eq!((record.started, record.kind), (Timestamp(10), Kind::Daemon));
    assert_eq!((record.verdict, record.ended), (None, None));
}

#[tokio::test]
async fn ids_grow_per_fleet() {
    let state = tempdir().unwrap();
    let journal = Journal::open(state.path()).await.unwrap();
    for number in 1..=11 {
        assert_eq!(begin(&journal, "home", number).await, format!("home-{number}"));
    }
    assert_eq!(begin(&journal, "home-2", 20).await, "home-2-1");
    assert_eq!(journal.next_id(&name("home"), 12).await.unwrap(), "home-12");
    // Nodes that heard of more: the journal is not the first one.
    assert_eq!(journal.next_id(&name("home"), 40).await.unwrap(), "home-40");
}

#[tokio::test]
async fn the_newest_rollout_is_the_fleet_s_own_however_it_ended() {
    let state = tempdir().unwrap();
    let journal = Journal::open(state.path()).await.unwrap();
    for number in 1..=10 {
        begin(&journal, "home", number).await;
    }
    begin(&journal, "other", 20).await;
    let end = journal.finish("home-10", Verdict::NeedsOperator, "lost", Timestamp(9)).await;
    end.unwrap();
    let newest = journal.newest(&name("home")).await.unwrap().unwrap();
    assert_eq!((newest.id.as_str(), newest.verdict), ("home-10", Some(Verdict::NeedsOperator)));
    assert_eq!(journal.newest(&name("none")).await.unwrap(), None);
}

#[tokio::test]
async fn only_rollouts_without_a_verdict_are_open() {
    let state = tempdir().unwrap();
    let journal = Journal::open(state.path()).await.unwrap();
    let first = begin(&journal, "home", 1).await;
    let second = begin(&journal, "home", 2).await;
    let third = begin(&journal, "other", 3).await;
    let end = journal.finish(&second, Verdict::RolledBack, "probe failed", Timestamp(9)).await;
    end.unwrap();
    let open = journal.open_rollouts().await.unwrap();
    assert_eq!(open.iter().map(|it| it.id.clone()).collect::<Vec<_>>(), [first, third]);
}

#[tokio::test]
async fn the_first_verdict_stays() {
    let state = tempdir().unwrap();
    let journal = Journal::open(state.path()).await.unwrap();
    let id = begin(&journal, "home", 1).await;
    journal.finish(&id, Verdict::Converged, "", Timestamp(2)).await.unwrap();
    journal.finish(&id, Verdict::NeedsOperator, "late", Timestamp(3)).await.unwrap();
    let record = journal.load(&id).await.unwrap().unwrap();
    assert_eq!(record.verdict, Some(Verdict::Converged));
    assert_eq!((record.reason.as_deref(), record.ended), (Some(""), Some(Timestamp(2))));
}

#[tokio::test]
async fn entries_of_a_rollout_that_never_began_are_refused() {
    let state = tempdir().unwrap();
    let journal = Journal::open(state.path()).await.unwrap();
    let refused = journal.outcome("home-1", &outcome("a", 1)).await;
    assert!(matches!(refused, Err(JournalError::OutOfOrder(id)) if id == "home-1"));
    let refused = journal.finish("home-1", Verdict::Converged, "", Timestamp(1)).await;
    assert!(matches!(refused, Err(JournalError::OutOfOrder(_))));
    begin(&journal, "home", 1).await;
    let fences = BTreeMap::new();
    let again = NewRollout {
        id: "home-1",
        fleet: &name("home"),
        plan: &plan("home"),
        fences: &fences,
        nonce: "",
        holder: "",
        started: Timestamp(1),
        kind: Kind::Apply,
    };
    assert!(matches!(journal.begin(&again).await, Err(JournalError::OutOfOrder(_))));
}

#[tokio::test]
async fn history_is_newest_first_and_show_tells_everything() {
    let state = tempdir().unwrap();
    let journal = Journal::open(state.path()).await.unwrap();
    let first = begin(&journal, "home", 1).await;
    let second = begin(&journal, "home", 2).await;
    let event = Event { at: Timestamp(5), what: Happening::Decided };
    journal.event(&first, &event).await.unwrap();
    journal.outcome(&first, &outcome("a", 4)).await.unwrap();
    journal.finish(&first, Verdict::Converged, "", Timestamp(6)).await.unwrap();
    let past = journal.history(10).await.unwrap();
    let ids: Vec<_> = past.iter().map(|it| it.id.clone()).collect();
    assert_eq!(ids, [second.clone(), first.clone()]);
    assert_eq!(journal.history(1).await.unwrap().len(), 1);
    let shown = journal.show("1").await.unwrap().unwrap();
    assert_eq!((&shown.past, shown.events.as_slice()), (&past[1], &[event][..]));
    assert_eq!((shown.plan, shown.outcomes.len()), (plan("home"), 1));
    assert!(journal.show("home-9").await.unwrap().is_none());
    begin(&journal, "other", 3).await;
    assert!(journal.show("1").await.unwrap().is_none(), "two fleets have a rollout 1");
    assert!(journal.show("other-1").await.unwrap().is_some());
}

#[tokio::test]
async fn a_second_controller_is_told_who_is_there() {
    let state = tempdir().unwrap();
    let first = Journal::open(state.path()).await.unwrap();
    let error = Journal::open(state.path()).await.unwrap_err();
    assert!(matches!(error, JournalError::InUse { .. }));
    assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");
    let clone = first.clone();
    drop(first);
    assert!(Journal::open(state.path()).await.is_err(), "a clone still holds the directory");
    clone.close().await;
    assert!(Journal::open(state.path()).await.is_ok());
}

#[tokio::test]
async fn readers_look_on_beside_a_writer() {
    let state = tempdir().unwrap();
    let journal = Journal::open(state.path()).await.unwrap();
    let reader = Journal::read(state.path()).await.unwrap();
    let id = begin(&journal, "home", 1).await;
    assert_eq!(reader.history(5).await.unwrap().len(), 1);
    assert!(reader.outcome(&id, &outcome("a", 1)).await.is_err(), "readers don't write");
    journal.outcome(&id, &outcome("a", 1)).await.unwrap();
    assert_eq!(reader.load(&id).await.unwrap().unwrap().outcomes.len(), 1);
}

#[tokio::test]
async fn reading_where_nothing_was_recorded_makes_nothing() {
    let state = tempdir().unwrap();
    let reader = Journal::read(state.path()).await.unwrap();
    assert!(reader.history(5).await.unwrap().is_empty());
    assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
}

/// Copies the files as a power cut would leave them: without closing the database.
fn power_cut(from: &Path, to: &Path) {
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        // The shared index is memory of live processes; after a power cut it is rebuilt from the log.
        if item.file_name().to_string_lossy().ends_with("-shm") {
            continue;
        }
        fs::copy(item.path(), to.join(item.file_name())).unwrap();
    }
}

#[tokio::test]
async fn every_call_that_returned_is_there_after_a_power_cut() {
    let (state, after) = (tempdir().unwrap(), tempdir().unwrap());
    let journal = Journal::open(state.path()).await.unwrap();
    let id = begin(&journal, "home", 1).await;
    for at in 0..50 {
        journal.outcome(&id, &outcome("a", at)).await.unwrap();
    }
    power_cut(state.path(), after.path());
    let again = Journal::open(after.path()).await.unwrap();
    let open = again.open_rollouts().await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].outcomes.len(), 50);
}

#[tokio::test]
async fn a_log_torn_in_its_last_write_loses_only_that() {
    let (state, after) = (tempdir().unwrap(), tempdir().unwrap());
    let journal = Journal::open(state.path()).await.unwrap();
    let id = begin(&journal, "home", 1).await;
    journal.outcome(&id, &outcome("a", 1)).await.unwrap();
    journal.outcome(&id, &outcome("b", 2)).await.unwrap();
    power_cut(state.path(), after.path());
    let log = after.path().join("journal.db-wal");
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, &bytes[..bytes.len() - 100]).unwrap();
    let record = Journal::open(after.path()).await.unwrap().load(&id).await.unwrap().unwrap();
    assert_eq!(record.outcomes, [outcome("a", 1)]);
}

#[tokio::test]
async fn a_damaged_file_is_told_with_what_to_do() {
    let state = tempdir().unwrap();
    fs::write(state.path().join("journal.db"), vec![b'#'; 8192]).unwrap();
    let error = Journal::open(state.path()).await.unwrap_err();
    assert!(matches!(error, JournalError::Damaged(_)), "{error:?}");
    assert!(error.to_string().contains("move journal.db away"));
}

#[tokio::test]
async fn a_state_directory_that_can_not_be_is_told() {
    let state = tempdir().unwrap();
    fs::write(state.path().join("file"), "").unwrap();
    let error = Journal::open(&state.path().join("file/state")).await.unwrap_err();
    assert!(matches!(error, JournalError::Unusable { .. }), "{error:?}");
    assert!(error.to_string().contains("--state"), "{error}");
}
