//! Two controllers at once: one holds the fence, the other is refused and changes nothing.

use gitsync::clock::Clock;
use gitsync::engine::{Conductor, Driven, Known, NoVault, Stop, Verdict, gate};
use gitsync::event::{Event, Happening};
use gitsync::journal::Kind;
use gitsync::model::{Effect, OutcomeResult};
use tokio::sync::watch;

use crate::lab::{Imagined, Kill, deaf, verdict};

#[tokio::test]
async fn a_controller_that_planned_at_the_same_time_is_refused_as_busy() {
    let there = Imagined::new();
    let other = there.other();
    let late = other.survey(&there.two, &Kill::Never).await;
    assert!(gate(&late.plan, &late.observed, false).is_ok(), "nobody holds the fence yet");
    let mut pause = |event: &Event, stop: &watch::Sender<Stop>| {
        if matches!(event.what, Happening::Healthy { .. }) {
            stop.send(Stop::Pause).unwrap();
        }
    };
    let first = there.lab.roll(&there.two, &Kill::Never, &mut pause).await;
    assert_eq!(first, Some(Driven::Left));
    let refused = other.begin(late, &Kill::Never, &mut deaf).await.unwrap();
    let Driven::Ended(Verdict::RolledBack, reason) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("me holds"), "{reason}");
    let look = other.survey(&there.two, &Kill::Never).await;
    assert_eq!(gate(&look.plan, &look.observed, false).unwrap_err().code, "busy");
    let ended = there.lab.resume(&there.two, true, &Kill::Never).await;
    assert_eq!(verdict(ended.as_ref().unwrap()), Verdict::Converged);
    there.lab.is_whole(&there.one, &there.two, &ended, "after the other gave up").await;
}

#[tokio::test]
async fn what_an_own_rollout_that_is_over_still_holds_is_let_go_of_and_nothing_else() {
    let there = Imagined::new();
    let other = there.other();
    let look = there.lab.survey(&there.two, &Kill::Never).await;
    let (journal, clock) = (there.lab.journal().await, Clock::system());
    let conductor =
        Conductor { journal: &journal, clock: &clock, holder: "me".to_owned(), vault: &NoVault };
    let (_, work) = conductor.begin(look, Kind::Apply).await.unwrap();
    let begun = Known { at: clock.now(), ending: None, changed: Vec::new() };
    for node in &work.plan.nodes {
        let prepare = Effect::Prepare { node: node.clone() };
        assert_eq!(work.execute(&prepare, &begun).await, OutcomeResult::Done);
    }
    drop(journal);
    let look = there.lab.survey(&there.two, &Kill::Never).await;
    assert_eq!(gate(&look.plan, &look.observed, false).unwrap_err().code, "busy", "it is open");
    // It ends, and no node hears of it.
    let journal = there.lab.journal().await;
    journal.finish(&work.rollout, Verdict::NeedsOperator, "lost", clock.now()).await.unwrap();
    drop(journal);
    let look = other.survey(&there.two, &Kill::Never).await;
    assert_eq!(gate(&look.plan, &look.observed, false).unwrap_err().code, "busy", "not its own");
    let look = there.lab.survey(&there.two, &Kill::Never).await;
    assert!(gate(&look.plan, &look.observed, false).is_ok());
    let ended = there.lab.begin(look, &Kill::Never, &mut deaf).await;
    assert_eq!(verdict(ended.as_ref().unwrap()), Verdict::Converged, "{ended:?}");
    there.lab.is_whole(&there.one, &there.two, &ended, "after it was let go of").await;
}

#[tokio::test]
async fn of_two_controllers_side_by_side_the_fleet_is_still_whole() {
    let there = Imagined::new();
    let other = there.other();
    let (mut hear, mut hear_too) = (deaf, deaf);
    let never = Kill::Never;
    let (first, second) = tokio::join!(
        there.lab.roll(&there.two, &never, &mut hear),
        other.roll(&there.two, &never, &mut hear_too),
    );
    let verdicts = [verdict(&first.clone().unwrap()), verdict(&second.clone().unwrap())];
    let converged = verdicts.contains(&Verdict::Converged);
    let ended =
        if converged { Driven::Ended(Verdict::Converged, String::new()) } else { first.unwrap() };
    assert!(!verdicts.contains(&Verdict::NeedsOperator), "{ended:?} {second:?}");
    there.lab.is_whole(&there.one, &there.two, &Some(ended), "side by side").await;
}
