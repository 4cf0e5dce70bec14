//! Controllers killed at every point of a rollout, and their successors.

use gitsync::transport::fake::Badness;

use crate::killer::Switch;
use crate::lab::{Imagined, Kill, deaf};

/// A rollout is killed and taken up by a controller that is killed as well, until one comes to the end.
async fn survives(spoilt: bool, kill: Kill, point: &str) -> bool {
    let there = Imagined::new();
    if spoilt {
        there.world().spoil(&there.two.digest("b/service.app"), Badness::Probe);
    }
    let mut ended = there.lab.roll(&there.two, &kill, &mut deaf).await;
    let killed = ended.is_none();
    if killed {
        ended = there.lab.resume(&there.two, true, &Kill::Never).await;
    }
    there.lab.is_whole(&there.one, &there.two, &ended, point).await;
    killed
}

async fn calls(spoilt: bool) -> usize {
    let there = Imagined::new();
    if spoilt {
        there.world().spoil(&there.two.digest("b/service.app"), Badness::Probe);
    }
    let count = Switch::new(0, false);
    there.lab.roll(&there.two, &Kill::Verb(count.clone()), &mut deaf).await.unwrap();
    count.calls()
}

#[tokio::test]
async fn a_controller_killed_around_every_verb_leaves_a_fleet_that_becomes_whole() {
    for spoilt in [false, true] {
        let last = calls(spoilt).await;
        assert!(last > 10, "{last} calls");
        for (at, before) in (1..=last).flat_map(|at| [(at, true), (at, false)]) {
            let point = format!("spoilt {spoilt}, call {at} of {last}, before {before}");
            assert!(survives(spoilt, Kill::Verb(Switch::new(at, before)), &point).await, "{point}");
        }
    }
}

#[tokio::test]
async fn a_controller_killed_between_its_journal_entries_leaves_a_fleet_that_becomes_whole() {
    const STRIDE: usize = 5;
    for spoilt in [false, true] {
        let mut polls = 1;
        while survives(spoilt, Kill::Poll(polls), &format!("spoilt {spoilt}, poll {polls}")).await {
            polls += STRIDE;
        }
        assert!(polls > 30, "killed {} times", polls / STRIDE);
    }
}

#[tokio::test]
async fn a_controller_killed_while_it_takes_up_a_rollout_can_be_followed_by_another() {
    for (first, second) in [(3, 1), (5, 2), (8, 3), (9, 1)] {
        for spoilt in [false, true] {
            let there = Imagined::new();
            if spoilt {
                there.world().spoil(&there.two.digest("b/service.app"), Badness::Probe);
            }
            let kill = Kill::Verb(Switch::new(first, false));
            assert_eq!(there.lab.roll(&there.two, &kill, &mut deaf).await, None);
            let again = Kill::Verb(Switch::new(second, false));
            assert_eq!(there.lab.resume(&there.two, true, &again).await, None);
            let ended = there.lab.resume(&there.two, true, &Kill::Never).await;
            let point = format!("spoilt {spoilt}, killed at {first}, then {second}");
            assert!(ended.is_some(), "{point}");
            there.lab.is_whole(&there.one, &there.two, &ended, &point).await;
        }
    }
}

#[tokio::test]
async fn a_killed_rollout_whose_release_is_lost_is_put_back_from_every_verb() {
    let last = calls(false).await;
    for at in 1..=last {
        let there = Imagined::new();
        let kill = Kill::Verb(Switch::new(at, false));
        assert_eq!(there.lab.roll(&there.two, &kill, &mut deaf).await, None);
        let ended = there.lab.resume(&there.two, false, &Kill::Never).await;
        let point = format!("without its release, call {at} of {last}");
        there.lab.is_whole(&there.one, &there.two, &ended, &point).await;
    }
}
