//! Rollouts that are asked to stop: put back, paused, left, and taken up again without their release.

use gitsync::engine::{Driven, Stop, Verdict};
use gitsync::event::{Event, Happening};
use gitsync::model::{NodeState, Timestamp};
use gitsync::transport::fake::Verb;
use tokio::sync::watch;

use crate::killer::Switch;
use crate::lab::{Imagined, Kill, deaf, name, verdict};

/// Asks once, when the first unit is healthy.
fn asking(wish: Stop) -> impl FnMut(&Event, &watch::Sender<Stop>) + Send {
    let mut asked = false;
    move |event, stop| {
        if !asked && matches!(event.what, Happening::Healthy { .. }) {
            asked = true;
            stop.send(wish).unwrap();
        }
    }
}

#[tokio::test]
async fn an_operator_who_asks_gets_the_old_fleet_back() {
    let there = Imagined::new();
    let ended = there.lab.roll(&there.two, &Kill::Never, &mut asking(Stop::PutBack)).await;
    assert_eq!(verdict(ended.as_ref().unwrap()), Verdict::RolledBack);
    there.lab.is_whole(&there.one, &there.two, &ended, "cancelled").await;
    let again = there.lab.survey(&there.two, &Kill::Never).await;
    assert!(gitsync::engine::gate(&again.plan, &again.observed, false).is_ok(), "not quarantined");
}

#[tokio::test]
async fn a_paused_rollout_goes_on_where_it_was() {
    let there = Imagined::new();
    let left = there.lab.roll(&there.two, &Kill::Never, &mut asking(Stop::Pause)).await;
    assert_eq!(left, Some(Driven::Left));
    let prepared = there.world().calls(&name("a"), Verb::Prepare);
    let ended = there.lab.resume(&there.two, true, &Kill::Never).await;
    assert_eq!(verdict(ended.as_ref().unwrap()), Verdict::Converged);
    assert_eq!(there.world().calls(&name("a"), Verb::Prepare), prepared, "prepared twice");
    there.lab.is_whole(&there.one, &there.two, &ended, "paused").await;
}

#[tokio::test]
async fn a_rollout_that_is_left_at_once_is_taken_up_later() {
    let there = Imagined::new();
    let left = there.lab.roll(&there.two, &Kill::Never, &mut asking(Stop::Leave)).await;
    assert_eq!(left, Some(Driven::Left));
    let ended = there.lab.resume(&there.two, true, &Kill::Never).await;
    assert_eq!(verdict(ended.as_ref().unwrap()), Verdict::Converged);
    there.lab.is_whole(&there.one, &there.two, &ended, "left").await;
}

#[tokio::test]
async fn a_put_back_that_is_left_to_later_happens_on_return() {
    let there = Imagined::new();
    let left = there.lab.roll(&there.two, &Kill::Never, &mut asking(Stop::PutBackLater)).await;
    assert_eq!(left, Some(Driven::Left));
    let ended = there.lab.resume(&there.two, true, &Kill::Never).await;
    assert_eq!(verdict(ended.as_ref().unwrap()), Verdict::RolledBack);
    there.lab.is_whole(&there.one, &there.two, &ended, "left to later").await;
}

/// A rollout whose first change is held up, and what is asked of it meanwhile.
async fn held_up(there: &Imagined, wishes: &[Stop]) -> Option<Driven> {
    let survey = there.lab.survey(&there.two, &Kill::Never).await;
    let prepares = survey.plan.nodes.len();
    let held = Switch::holding(prepares + 1);
    let survey = there.lab.survey(&there.two, &Kill::Verb(held.clone())).await;
    let (sender, stop) = watch::channel(Stop::No);
    let asks = async {
        held.tripped().await;
        for wish in wishes {
            sender.send(*wish).unwrap();
            // Both sides are one task: the rollout sees each wish before the next.
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
        }
        drop(sender);
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        held.release();
    };
    let rollout = there.lab.begin_with(survey, &Kill::Never, stop);
    tokio::join!(rollout, asks).0
}

#[tokio::test]
async fn putting_back_can_be_asked_while_a_pause_is_waited_for() {
    let there = Imagined::new();
    let ended = held_up(&there, &[Stop::Pause, Stop::PutBack, Stop::PutBack]).await;
    let paused = ended == Some(Driven::Left);
    let ended = if paused { there.lab.resume(&there.two, true, &Kill::Never).await } else { ended };
    assert_eq!(verdict(ended.as_ref().unwrap()), Verdict::RolledBack);
    there.lab.is_whole(&there.one, &there.two, &ended, "paused, then cancelled").await;
}

#[tokio::test]
async fn a_rollout_that_nobody_can_stop_any_more_pauses() {
    let there = Imagined::new();
    let left = held_up(&there, &[]).await;
    assert_eq!(left, Some(Driven::Left), "it leaves after what is under way");
}

#[tokio::test]
async fn a_rollout_whose_release_is_lost_is_put_back() {
    for at in [Stop::Pause, Stop::Leave] {
        let there = Imagined::new();
        there.lab.roll(&there.two, &Kill::Never, &mut asking(at)).await;
        let ended = there.lab.resume(&there.two, false, &Kill::Never).await;
        assert_eq!(verdict(ended.as_ref().unwrap()), Verdict::RolledBack, "{at:?}");
        there.lab.is_whole(&there.one, &there.two, &ended, "without its release").await;
    }
}

#[tokio::test]
async fn nodes_that_restored_themselves_meanwhile_are_the_old_fleet() {
    let there = Imagined::new();
    there.lab.roll(&there.two, &Kill::Never, &mut asking(Stop::Leave)).await;
    let much_later = Timestamp(there.world().now().0 + 3_600_000);
    there.world().advance(much_later);
    let observed = there.lab.observe(&there.one).await;
    assert!(observed.nodes.values().all(|state| matches!(state, NodeState::Reachable(_))));
    let ended = there.lab.resume(&there.two, true, &Kill::Never).await;
    assert_eq!(verdict(ended.as_ref().unwrap()), Verdict::RolledBack);
    there.lab.is_whole(&there.one, &there.two, &ended, "restored").await;
    let fresh = there.lab.roll(&there.two, &Kill::Never, &mut deaf).await;
    assert_eq!(verdict(fresh.as_ref().unwrap()), Verdict::Converged);
}

/// A rollout that is asked to stop while a node is being prepared, which never ends: a registry that hangs.
async fn hangs_in_prepare(there: &Imagined, wish: Stop) -> Option<Driven> {
    let held = Switch::holding(1);
    let survey = there.lab.survey(&there.two, &Kill::Verb(held.clone())).await;
    let (sender, stop) = watch::channel(Stop::No);
    let asks = async {
        held.tripped().await;
        sender.send(wish).unwrap();
    };
    let rollout = there.lab.begin_with(survey, &Kill::Never, stop);
    let both = async { tokio::join!(rollout, asks).0 };
    tokio::time::timeout(std::time::Duration::from_secs(20), both).await.expect("it stops")
}

#[tokio::test]
async fn a_prepare_that_hangs_is_not_waited_for_when_everything_is_to_be_put_back() {
    let there = Imagined::new();
    let ended = hangs_in_prepare(&there, Stop::PutBack).await;
    assert_eq!(verdict(ended.as_ref().unwrap()), Verdict::RolledBack);
    there.lab.is_whole(&there.one, &there.two, &ended, "cancelled in prepare").await;
    let observed = there.lab.observe(&there.one).await;
    for name in ["a", "b"].map(name) {
        assert_eq!(observed.report(&name).unwrap().record.holder, None, "{name}");
    }
    let fresh = there.lab.roll(&there.two, &Kill::Never, &mut deaf).await;
    assert_eq!(verdict(fresh.as_ref().unwrap()), Verdict::Converged);
}

#[tokio::test]
async fn a_prepare_that_hangs_is_left_by_a_pause_and_begun_again() {
    let there = Imagined::new();
    let left = hangs_in_prepare(&there, Stop::Pause).await;
    assert_eq!(left, Some(Driven::Left));
    let ended = there.lab.resume(&there.two, true, &Kill::Never).await;
    assert_eq!(verdict(ended.as_ref().unwrap()), Verdict::Converged);
    there.lab.is_whole(&there.one, &there.two, &ended, "paused in prepare").await;
}
