//! Plans by hand, modelled on the example fleet, and the worlds that they start from.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use gitsync::model::{
    Action, Content, Count, Digest, Gate, Health, Name, OnFailure, Plan, Policy, ProbeFrom, Prune,
    Replaced, Rollback, Step, Timestamp, Unit, UnitId, Wave, WayBack,
};
use gitsync::transport::fake::World;
use gitsync::{check, plan, render, source};

/// A plan with a name for messages.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: &'static str,
    pub plan: Arc<Plan>,
    /// Whether it is so large that not everything is tried in every combination.
    pub large: bool,
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn unit(text: &str) -> UnitId {
    text.parse().unwrap()
}

pub fn old(id: &UnitId) -> Digest {
    Digest(format!("{id}:old"))
}

pub fn new(id: &UnitId) -> Digest {
    Digest(format!("{id}:new"))
}

fn health() -> Health {
    Health {
        checks: Vec::new(),
        interval: Duration::from_secs(2),
        timeout: Duration::from_secs(5),
        retries: 3,
        start_period: Duration::ZERO,
        stable_for: Duration::from_secs(10),
        from: ProbeFrom::Node,
    }
}

pub fn update(id: &str) -> Step {
    let id = unit(id);
    Step {
        action: Action::Update,
        from: Some(old(&id)),
        to: Some(new(&id)),
        replaces: Vec::new(),
        files: Vec::new(),
        reasons: Vec::new(),
        notices: Vec::new(),
        way_back: WayBack::Previous,
        sealed: Default::default(),
        rollback: Rollback::Auto,
        health: Some(health()),
        health_before: Some(health()),
        optional: false,
        adopt: false,
        depends_on: Vec::new(),
        unit: id,
    }
}

pub fn create(id: &str) -> Step {
    Step {
        action: Action::Create,
        from: None,
        health_before: None,
        way_back: WayBack::Removal,
        sealed: Default::default(),
        ..update(id)
    }
}

pub fn remove(id: &str) -> Step {
    Step { action: Action::Remove, to: None, health: None, ..update(id) }
}

pub fn after(step: Step, needs: &[&str]) -> Step {
    Step { depends_on: needs.iter().map(|id| unit(id)).collect(), ..step }
}

/// A plan of waves; every node of its steps takes part, and one that only looks on.
pub fn plan(waves: Vec<Vec<Step>>) -> Plan {
    let mut nodes: Vec<Name> = waves.iter().flatten().map(|step| step.unit.node.clone()).collect();
    nodes.push(name("idle"));
    nodes.sort();
    nodes.dedup();
    Plan {
        version: 1,
        fleet: name("lab"),
        commit: None,
        dirty: false,
        release: Digest("release".to_owned()),
        wanted: BTreeMap::new(),
        observed: BTreeMap::new(),
        policy: Policy {
            on_failure: OnFailure::Rollback,
            max_parallel: 2,
            canary: 1,
            prune: Prune { enabled: true, max_removals: Count::Number(2) },
            dead_man: Some(Duration::from_secs(60)),
        },
        nodes,
        optional: Default::default(),
        skipped: Vec::new(),
        waves: waves.into_iter().map(|steps| Wave { gate: None, steps }).collect(),
        warnings: Vec::new(),
        unchanged: 0,
        refusals: Vec::new(),
    }
}

/// Wave `second` waits until gateways have seen `first` again.
pub fn gated(mut plan: Plan, second: usize, first: &str) -> Plan {
    plan.waves[second].gate =
        Some(Gate { after: Duration::from_secs(25), seen: vec![unit(first)] });
    plan
}

/// The example fleet, from a release in which some units were older, some not there yet, and one more was.
fn example() -> Plan {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("example-repo");
    let fleet = check::check(&source::directory(&root).unwrap()).fleet.unwrap();
    let release = render::render(&fleet).unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut before = release.clone();
    let ids: Vec<UnitId> = before.units.keys().cloned().collect();
    for (number, id) in ids.iter().enumerate() {
        match number % 7 {
            0 => {}
            1 => drop(before.units.remove(id)),
            _ => older(before.units.get_mut(id).unwrap()),
        }
    }
    let mut gone = release.units[&ids[2]].clone();
    gone.id = UnitId { name: Some(name("gone")), ..gone.id };
    (gone.membership, gone.artifacts) = (None, Vec::new());
    gone.claims = Default::default();
    before.units.insert(gone.id.clone(), gone);
    let observed = plan::as_observed(&before, fleet.nodes.keys());
    plan::plan(&plan::Inputs {
        release: &release,
        fleet: &fleet.name,
        policy: &fleet.policy,
        nodes: plan::node_facts(&fleet),
        observed: &observed,
        contents: &BTreeMap::new(),
        allow_no_rollback: true,
        controller: None,
    })
}

fn older(unit: &mut Unit) {
    for artifact in &mut unit.artifacts {
        if let Content::Bytes(bytes) = &mut artifact.content {
            bytes.push(b'\n');
        }
    }
}

/// The plans that every fault is tried on.
pub fn cases() -> &'static [Case] {
    static CASES: LazyLock<Vec<Case>> = LazyLock::new(by_hand);
    &CASES
}

fn by_hand() -> Vec<Case> {
    let case = |name, plan: Plan| Case { name, plan: Arc::new(plan), large: false };
    let large = |name, plan: Plan| Case { large: true, ..case(name, plan) };
    let never = Step {
        rollback: Rollback::Never,
        ..after(update("vps1/service.app"), &["vps1/service.db"])
    };
    let asleep = Step { optional: true, ..update("pi/service.dns") };
    let replacing = Step {
        action: Action::Replace,
        replaces: vec![Replaced {
            unit: unit("vps1/service.nginx"),
            from: old(&unit("vps1/service.nginx")),
        }],
        ..create("vps1/service.web")
    };
    let mut halting = pair();
    halting.policy.on_failure = OnFailure::Halt;
    let going = Step { optional: true, ..remove("pi/service.radarr") };
    let mut bare = plan(vec![vec![asleep.clone()], vec![update("vps1/service.api"), going]]);
    bare.policy.dead_man = None;
    let mut patient = plan(vec![vec![update("vps2/service.db")], vec![update("vps1/service.api")]]);
    patient.policy.dead_man = Some(Duration::from_secs(900));
    vec![
        case("pair", pair()),
        case("patient lease", patient),
        case("three waves", three_waves()),
        case(
            "replace",
            plan(vec![
                vec![replacing],
                vec![after(update("vps1/gateway.edge"), &["vps1/service.web"])],
            ]),
        ),
        case(
            "removal",
            plan(vec![
                vec![update("vps2/gateway.edge")],
                vec![remove("nas/service.radarr"), create("nas/service.plex")],
            ]),
        ),
        case(
            "optional node",
            plan(vec![
                vec![asleep, update("vps1/service.api")],
                vec![after(update("vps1/gateway.edge"), &["vps1/service.api", "pi/service.dns"])],
            ]),
        ),
        case(
            "never back",
            plan(vec![
                vec![update("vps1/service.db"), update("vps2/service.cache")],
                vec![never],
                vec![after(update("vps2/gateway.edge"), &["vps1/service.app"])],
            ]),
        ),
        case("halting", halting),
        case("no lease", bare),
        large("the example fleet", example()),
    ]
}

/// A primary and a fallback behind two gateways.
pub fn pair() -> Plan {
    let waves = vec![
        vec![update("vps1/service.organizr")],
        vec![update("vps2/service.organizr")],
        vec![after(
            update("vps1/gateway.edge"),
            &["vps1/service.organizr", "vps2/service.organizr"],
        )],
    ];
    gated(plan(waves), 1, "vps1/service.organizr")
}

fn three_waves() -> Plan {
    plan(vec![
        vec![update("vps1/service.db"), update("nas/bundle.mcp"), create("vps2/bundle.mcp")],
        vec![
            after(update("vps1/service.api"), &["vps1/service.db"]),
            after(update("vps2/service.api"), &["vps1/service.db"]),
            after(update("nas/service.api"), &["vps1/service.db"]),
        ],
        vec![after(update("vps2/gateway.edge"), &["vps1/service.api", "vps2/service.api"])],
    ])
}

/// The world before a plan: everything that changes or goes runs its old version.
pub fn world(plan: &Plan) -> World {
    let mut world = World::new(&plan.nodes, Timestamp(1_000_000));
    for step in plan.steps() {
        if let Some(from) = &step.from {
            world.seed(&step.unit, from);
        }
        for replaced in &step.replaces {
            world.seed(&replaced.unit, &replaced.from);
        }
    }
    world.advance(Timestamp(2_000_000));
    world
}
