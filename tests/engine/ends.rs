//! Rollouts that nobody disturbs: they converge, turn round on bad content, and bear a node that is away.

use gitsync::engine::{Driven, Verdict, gate};
use gitsync::event::Happening;
use gitsync::model::FailureKind;
use gitsync::transport::fake::{Badness, Fault, FaultKind, Verb};

use crate::lab::{Imagined, Kill, deaf, name, verdict};

#[tokio::test]
async fn a_rollout_converges_and_the_next_has_nothing_to_do() {
    let there = Imagined::new();
    let mut told = Vec::new();
    let mut listen = |event: &gitsync::event::Event, _: &_| told.push(event.clone());
    let ended = there.lab.roll(&there.two, &Kill::Never, &mut listen).await.unwrap();
    assert_eq!(ended, Driven::Ended(Verdict::Converged, String::new()));
    assert_eq!(there.lab.differences(&there.two).await, [""; 0]);
    let again = there.lab.survey(&there.two, &Kill::Never).await;
    assert!(again.plan.is_empty(), "{:?}", again.plan.waves);
    let shown = there.lab.journal().await.show("lab-1").await.unwrap().unwrap();
    assert_eq!(shown.events, told);
    assert_eq!(shown.past.verdict, Some(Verdict::Converged));
}

#[tokio::test]
async fn a_failing_probe_puts_everything_back_and_quarantines_the_release() {
    let there = Imagined::new();
    there.world().spoil(&there.two.digest("b/service.app"), Badness::Probe);
    let ended = there.lab.roll(&there.two, &Kill::Never, &mut deaf).await.unwrap();
    let Driven::Ended(Verdict::RolledBack, reason) = ended else { panic!("{ended:?}") };
    assert!(reason.contains("b/service.app"), "{reason}");
    assert_eq!(there.lab.differences(&there.one).await, [""; 0]);
    let again = there.lab.survey(&there.two, &Kill::Never).await;
    let refused = gate(&again.plan, &again.observed, false).unwrap_err();
    assert_eq!(refused.code, "quarantined");
    let back = there.lab.survey(&there.one, &Kill::Never).await;
    assert!(back.plan.is_empty());
}

#[tokio::test]
async fn every_kind_of_bad_content_ends_with_the_old_fleet() {
    for badness in [Badness::Validation, Badness::Switched, Badness::Activation] {
        let there = Imagined::new();
        there.world().spoil(&there.two.digest("a/service.app"), badness);
        let ended = there.lab.roll(&there.two, &Kill::Never, &mut deaf).await.unwrap();
        assert_eq!(verdict(&ended), Verdict::RolledBack, "{badness:?}");
        assert_eq!(there.lab.differences(&there.one).await, [""; 0], "{badness:?}");
    }
}

#[tokio::test]
async fn a_node_that_is_away_for_a_while_is_asked_again() {
    let there = Imagined::new();
    let fault = |verb| Fault { node: name("b"), verb, call: 1, kind: FaultKind::AnswerLost };
    there.world().fault(fault(Verb::Change));
    let mut retries = 0;
    let mut listen = |event: &gitsync::event::Event, _: &_| {
        if let Happening::Retrying { node, .. } = &event.what {
            assert_eq!(*node, name("b"));
            retries += 1;
        }
    };
    let ended = there.lab.roll(&there.two, &Kill::Never, &mut listen).await.unwrap();
    assert_eq!(verdict(&ended), Verdict::Converged);
    assert_eq!(retries, 1);
    assert_eq!(there.lab.differences(&there.two).await, [""; 0]);
}

#[tokio::test]
async fn a_node_lost_in_the_middle_and_found_again_is_put_back_by_retries() {
    let there = Imagined::new();
    let gone = FaultKind::Gone { until: None };
    there.world().fault(Fault { node: name("b"), verb: Verb::Change, call: 1, kind: gone });
    let mut listen = |event: &gitsync::event::Event, _: &_| {
        if matches!(&event.what, Happening::Retrying { .. }) {
            there.world().find(&name("b"));
        }
        if let Happening::Failed { kind, .. } = &event.what {
            assert_ne!(*kind, FailureKind::Content);
        }
    };
    let ended = there.lab.roll(&there.two, &Kill::Never, &mut listen).await.unwrap();
    let ended = Some(ended);
    there.lab.is_whole(&there.one, &there.two, &ended, "lost and found").await;
}
