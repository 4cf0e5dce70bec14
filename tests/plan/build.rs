//! Small units, releases and observations to plan with.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gitsync::model::*;
use gitsync::plan::{Inputs, NodeFacts, as_observed};

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn id(text: &str) -> UnitId {
    text.parse().unwrap()
}

pub fn path(text: &str) -> AbsPath {
    AbsPath::new(text).unwrap()
}

pub fn health() -> Health {
    Health {
        checks: vec![Check::Running],
        interval: Duration::from_secs(2),
        timeout: Duration::from_secs(5),
        retries: 15,
        start_period: Duration::ZERO,
        stable_for: Duration::from_secs(10),
        from: ProbeFrom::Node,
    }
}

/// A compose service with one file that holds `version`.
pub fn unit(text: &str, version: &str) -> Unit {
    let id = id(text);
    let plain = id.local().replace(['.', '@'], "-");
    let directory = path(&format!("/opt/stacks/{plain}"));
    Unit {
        directory: directory.clone(),
        runtime: Runtime::Compose {
            project: plain,
            files: vec!["compose.yaml".into()],
            services: vec![ComposeService {
                name: "app".into(),
                image: Some(format!("app:{version}")),
                once: false,
            }],
            needs: vec![],
            recreate: vec![],
        },
        artifacts: vec![file(directory.join("compose.yaml").unwrap().as_str(), version)],
        commands: vec![],
        validation: Validation::Staged,
        node_env: BTreeMap::new(),
        sealed_env: BTreeMap::new(),
        health: health(),
        depends_on: BTreeSet::new(),
        claims: Claims::default(),
        membership: None,
        witness: Duration::ZERO,
        rollback: Rollback::Auto,
        adopt: false,
        host_service: None,
        about: BTreeMap::new(),
        fleet: name("homelab"),
        id,
    }
}

pub fn file(destination: &str, version: &str) -> Artifact {
    Artifact {
        destination: path(destination),
        mode: 0o644,
        owner: None,
        content: Content::Bytes(format!("services:\n  app:\n    image: app:{version}\n").into()),
        sensitive: false,
    }
}

pub fn command(moment: Moment, text: &str) -> Command {
    Command { moment, content: Content::Bytes(text.as_bytes().to_vec()) }
}

pub trait With: Sized {
    fn needs(self, units: &[&str]) -> Self;
    fn group(self, group: &str, order: u32, failover: bool) -> Self;
    fn witness(self, seconds: u64) -> Self;
    fn port(self, port: u16) -> Self;
    fn about(self, key: &str, value: &str) -> Self;
    fn with(self, change: impl FnOnce(&mut Unit)) -> Self;
}

impl With for Unit {
    fn needs(self, units: &[&str]) -> Self {
        self.with(|unit| unit.depends_on = units.iter().map(|text| id(text)).collect())
    }
    fn group(self, group: &str, order: u32, failover: bool) -> Self {
        self.with(|unit| {
            unit.membership = Some(Membership { group: group.into(), order, failover });
        })
    }
    fn witness(self, seconds: u64) -> Self {
        self.with(|unit| unit.witness = Duration::from_secs(seconds))
    }
    fn port(self, port: u16) -> Self {
        let claim = PortClaim { protocol: Protocol::Tcp, bind: BindAddress::Any, port };
        self.with(|unit| unit.claims.ports.extend([claim]))
    }
    fn about(self, key: &str, value: &str) -> Self {
        self.with(|unit| drop(unit.about.insert(key.into(), value.into())))
    }
    fn with(mut self, change: impl FnOnce(&mut Unit)) -> Self {
        change(&mut self);
        self
    }
}

pub fn release(units: impl IntoIterator<Item = Unit>) -> Release {
    let units = units.into_iter().map(|unit| (unit.id.clone(), unit)).collect();
    Release { units, ..Release::default() }
}

pub fn policy() -> Policy {
    Policy {
        on_failure: OnFailure::Rollback,
        max_parallel: 4,
        canary: 1,
        prune: Prune { enabled: true, max_removals: Count::Percent(30) },
        dead_man: Some(Duration::from_secs(60)),
    }
}

/// What a plan is made from, owned.
pub struct Scene {
    pub release: Release,
    pub observed: Observed,
    pub policy: Policy,
    pub nodes: BTreeMap<Name, NodeFacts>,
    pub contents: BTreeMap<String, Vec<u8>>,
    pub allow_no_rollback: bool,
    pub controller: Option<UnitId>,
}

pub const NODE: NodeFacts = NodeFacts { optional: false, boot_cover: true, local: false };

/// Nodes that run `base`, healthy, and are wanted to run `head`.
pub fn scene(base: impl IntoIterator<Item = Unit>, head: impl IntoIterator<Item = Unit>) -> Scene {
    let (base, release) = (release(base), release(head));
    let names: BTreeSet<Name> =
        base.units.keys().chain(release.units.keys()).map(|id| id.node.clone()).collect();
    let mut contents = BTreeMap::new();
    for unit in base.units.values() {
        for (blob, content) in unit.contents() {
            if let Content::Bytes(bytes) = content {
                contents.insert(blob, bytes.clone());
            }
        }
    }
    Scene {
        observed: as_nodes_say(as_observed(&base, names.iter())),
        nodes: names.into_iter().map(|name| (name, NODE)).collect(),
        release,
        contents,
        policy: policy(),
        allow_no_rollback: false,
        controller: None,
    }
}

/// Manifests as they come back from a node: contents are only blobs there.
fn as_nodes_say(mut observed: Observed) -> Observed {
    for state in observed.nodes.values_mut() {
        let NodeState::Reachable(report) = state else { continue };
        for unit in report.manifests.values_mut() {
            *unit = unit_from_manifest(&manifest_text(unit)).unwrap();
        }
    }
    observed
}

impl Scene {
    pub fn plan(&self) -> Plan {
        gitsync::plan::plan(&Inputs {
            release: &self.release,
            fleet: &name("homelab"),
            policy: &self.policy,
            nodes: self.nodes.clone(),
            observed: &self.observed,
            contents: &self.contents,
            allow_no_rollback: self.allow_no_rollback,
            controller: self.controller.as_ref(),
        })
    }

    pub fn report(&mut self, node: &str) -> &mut NodeReport {
        match self.observed.nodes.get_mut(&name(node)).unwrap() {
            NodeState::Reachable(report) => report,
            NodeState::Unreachable(_) => panic!("{node} is unreachable"),
        }
    }

    pub fn unreachable(&mut self, node: &str) {
        let state = NodeState::Unreachable("no route to host".into());
        self.observed.nodes.insert(name(node), state);
    }
}

/// The waves as texts: `~ vps1/service.a`.
pub fn waves(plan: &Plan) -> Vec<Vec<String>> {
    let step = |step: &Step| format!("{} {}", step.action.symbol(), step.unit);
    plan.waves.iter().map(|wave| wave.steps.iter().map(step).collect()).collect()
}

pub fn step<'a>(plan: &'a Plan, unit: &str) -> &'a Step {
    plan.steps().find(|step| step.unit == id(unit)).unwrap()
}

pub fn codes(warnings: &[Warning]) -> Vec<&str> {
    warnings.iter().map(|warning| warning.code.as_str()).collect()
}

pub fn reasons(step: &Step) -> Vec<&str> {
    step.reasons.iter().map(|reason| reason.0.as_str()).collect()
}

pub fn notices(step: &Step) -> Vec<&str> {
    step.notices.iter().map(|notice| notice.0.as_str()).collect()
}
