//! The imagined world keeps the contract that real nodes keep, and its faults do what they say.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gitsync::model::{Digest, FailureKind, Holder, Name, Timestamp, UnitId};
use gitsync::transport::fake::{FakeTransport, Fault, FaultKind, Order, Verb, World};
use gitsync::transport::{ChangeUnit, Fence, TransportError};

use crate::contract;
use crate::fleets::{name, new, old, unit};

#[tokio::test]
async fn an_imagined_node_keeps_the_contract_of_transports() {
    let node = name("vps1");
    let world = Arc::new(Mutex::new(World::new([&node], Timestamp(1_700_000_000_000))));
    contract::holds(&FakeTransport::new(world, node.clone()), &node, "/srv").await;
}

fn fence(number: u64) -> Fence {
    Fence { fleet: name("lab"), number, nonce: format!("n{number}") }
}

fn order(number: u64, id: &UnitId) -> Order {
    Order {
        fence: fence(number),
        holder: Holder {
            who: "ann@laptop".to_owned(),
            rollout: format!("r{number}"),
            since: Timestamp(1),
            nonce: format!("n{number}"),
        },
        dead_man: Some(Duration::from_secs(60)),
        takeover: false,
        units: vec![(id.clone(), Some(new(id)), Some(old(id)))],
        bring: Vec::new(),
        opened: gitsync::transport::Opened::default(),
    }
}

fn change(number: u64, id: &UnitId) -> ChangeUnit {
    ChangeUnit {
        fence: fence(number),
        id: id.clone(),
        to: Some(new(id)),
        from: Some(old(id)),
        replaces: Vec::new(),
        deadline: Duration::from_secs(20),
    }
}

/// A node that runs the old version and is ready for the new one.
fn ready() -> (World, Name, UnitId) {
    let id = unit("vps1/service.api");
    let mut world = World::new([&id.node], Timestamp(1_000_000));
    world.seed(&id, &old(&id));
    world.prepare(&id.node, &order(1, &id)).unwrap();
    (world, id.node.clone(), id)
}

fn runs(world: &World, id: &UnitId) -> Option<Digest> {
    world.unit(id).and_then(|unit| unit.runs.clone())
}

fn kind(result: Result<(), TransportError>) -> FailureKind {
    result.unwrap_err().into_failure().kind
}

#[test]
fn a_node_that_hears_nothing_restores_itself_and_refuses_to_go_on() {
    let (mut world, node, id) = ready();
    world.change(&change(1, &id)).unwrap();
    assert_eq!(runs(&world, &id), Some(new(&id)));
    for _ in 0..10 {
        world.advance(world.now().after(Duration::from_secs(20)));
        world.renew(&node, &fence(1));
    }
    assert_eq!(runs(&world, &id), Some(new(&id)), "a word in good time keeps the lease");
    world.advance(world.now().after(Duration::from_secs(61)));
    assert_eq!(runs(&world, &id), Some(old(&id)));
    assert_eq!(kind(world.change(&change(1, &id))), FailureKind::Restored);
    assert_eq!(kind(world.hold(&node, &fence(1))), FailureKind::Restored);
    world.put_back(&change(1, &id)).unwrap();
    assert_eq!(runs(&world, &id), Some(old(&id)));
    world.prepare(&node, &order(1, &id)).unwrap();
    world.change(&change(1, &id)).unwrap();
    world.hold(&node, &fence(1)).unwrap();
    assert_eq!(runs(&world, &id), Some(new(&id)), "the same rollout may begin anew");
}

#[test]
fn a_node_that_reboots_takes_back_what_was_not_confirmed() {
    let (mut world, node, id) = ready();
    world.change(&change(1, &id)).unwrap();
    world.reboot(&node);
    assert_eq!(runs(&world, &id), Some(old(&id)));
}

#[test]
fn a_node_without_a_change_has_no_lease_to_lapse() {
    let (mut world, _, id) = ready();
    world.advance(world.now().after(Duration::from_secs(600)));
    world.change(&change(1, &id)).unwrap();
    assert_eq!(runs(&world, &id), Some(new(&id)));
}

#[test]
fn a_holder_is_pushed_aside_only_on_request_and_its_changes_go_back() {
    let (mut world, node, id) = ready();
    world.change(&change(1, &id)).unwrap();
    assert_eq!(kind(world.prepare(&node, &order(2, &id))), FailureKind::Busy);
    world.prepare(&node, &Order { takeover: true, ..order(2, &id) }).unwrap();
    assert_eq!(runs(&world, &id), Some(old(&id)));
    assert_eq!(kind(world.change(&change(1, &id))), FailureKind::Busy);
}

#[test]
fn faults_hit_the_call_they_name_and_leave_what_they_say() {
    let half = |kind| {
        let (mut world, node, id) = ready();
        world.fault(Fault { node, verb: Verb::Change, call: 1, kind });
        let failed = world.change(&change(1, &id)).unwrap_err().into_failure().kind;
        (failed, runs(&world, &id), world.unit(&id).and_then(|unit| unit.files.clone()))
    };
    let id = unit("vps1/service.api");
    let (old, new) = (Some(old(&id)), Some(new(&id)));
    let lost = FailureKind::Transport;
    assert_eq!(half(FaultKind::Refused), (FailureKind::Refused, old.clone(), old.clone()));
    assert_eq!(half(FaultKind::DoneButFailed), (FailureKind::Node, new.clone(), new.clone()));
    assert_eq!(half(FaultKind::AnswerLost), (lost, new.clone(), new.clone()));
    assert_eq!(half(FaultKind::Halfway), (lost, None, new));
    assert_eq!(half(FaultKind::Hang), (lost, old.clone(), old.clone()));
    assert_eq!(half(FaultKind::Gone { until: None }), (lost, old.clone(), old));
}

#[test]
fn a_put_back_that_breaks_off_leaves_nothing_of_a_unit_that_was_put_back_already() {
    let (mut world, node, id) = ready();
    let new_here = ChangeUnit { from: None, ..change(1, &unit("vps1/service.web")) };
    world.change(&change(1, &id)).unwrap();
    world.change(&new_here).unwrap();
    world.put_back(&new_here).unwrap();
    world.fault(Fault {
        node: node.clone(),
        verb: Verb::PutBack,
        call: 2,
        kind: FaultKind::Halfway,
    });
    assert_eq!(kind(world.put_back(&new_here)), FailureKind::Transport);
    assert_eq!(world.unit(&new_here.id), None);
    world.reboot(&node);
    assert_eq!((world.unit(&new_here.id), runs(&world, &id)), (None, Some(old(&id))));
}
