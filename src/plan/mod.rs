//! Release against observed: what changes, in which order, why, and what people will notice. Pure.

mod changes;
mod cover;
mod drift;
mod fallen;
mod files;
mod graph;
mod guards;
mod notices;
mod order;
mod place;
mod reasons;
mod record;
mod saved;
mod serving;
mod stale;
mod steps;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    Boot, ContainerReport, Digest, Fleet, Name, NodeReport, NodeState, Observed, Plan, Policy,
    ProcessReport, ProcessState, Reach, Release, Runtime, Skipped, Unit, UnitId, UnitReport,
    Warning,
};

pub use cover::side_by_side;
pub use drift::{Drift, DriftKind, drift, moved};
pub use fallen::{Fallen, fallen};
pub use files::diff_text;
pub use record::{last_good, quarantined};
pub use saved::{Saved, SavedError, schema as saved_schema};
pub use stale::{differences, other_commit, unlike};

/// What the planner must know about a node besides what the node said itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// It may sleep: skipped when it doesn't answer.
    pub optional: bool,
    /// A put-back survives its reboot.
    pub boot_cover: bool,
    /// It is a directory of the controller's machine.
    pub local: bool,
}

/// The facts of every node of a fleet.
pub fn node_facts(fleet: &Fleet) -> BTreeMap<Name, NodeFacts> {
    let facts = fleet.nodes.values().map(|node| {
        let facts = NodeFacts {
            optional: node.optional,
            boot_cover: node.boot != Boot::None,
            local: matches!(node.reach, Reach::Local(_)),
        };
        (node.name.clone(), facts)
    });
    facts.collect()
}

/// Everything that a plan is made from.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// What is wanted.
    pub release: &'a Release,
    /// The fleet's name.
    pub fleet: &'a Name,
    /// How rollouts go.
    pub policy: &'a Policy,
    /// The nodes of the fleet's files. Nodes that left the fleet are known from `observed` only.
    pub nodes: BTreeMap<Name, NodeFacts>,
    /// What the nodes said; one that is absent counts as unreachable.
    pub observed: &'a Observed,
    /// Contents of old blobs by name, for diffs; what is missing is shown without one.
    pub contents: &'a BTreeMap<String, Vec<u8>>,
    /// Whether units without a way back are warned about rather than refused.
    pub allow_no_rollback: bool,
    /// The unit that the controller runs in. Without it, units that say `controller: yes` about themselves count.
    pub controller: Option<&'a UnitId>,
}

/// Plans the way from what was observed to the release.
///
/// The same inputs give the same plan. A problem that keeps the plan from being applied is one of its
/// refusals; the plan is whole all the same, so that it can be shown.
pub fn plan(inputs: &Inputs) -> Plan {
    let digests: BTreeMap<&UnitId, Digest> =
        inputs.release.units.iter().map(|(id, unit)| (id, unit.digest())).collect();
    let (nodes, skipped, unreachable) = attendance(inputs);
    let mut found = changes::find(inputs, &digests);
    let takers = place::assign(&mut found, inputs.policy.prune.enabled);
    let order = order::waves(&found, inputs);
    let mut refusals = unreachable;
    refusals.extend(guards::refusals(inputs, &found));
    refusals.extend(takers);
    refusals.extend(guards::cuts(inputs, &found));
    refusals.extend(cover::without_upstream(inputs));
    let mut warnings = guards::warnings(inputs, &found);
    warnings.extend(order.warnings.iter().cloned());
    let waves = steps::waves(inputs, &found.changes, &order);
    let (lost, tolerated) = guards::ways_back(&waves, inputs.allow_no_rollback);
    refusals.extend(lost);
    refusals.extend(cover::side_by_side(&waves, inputs.release, inputs.observed));
    warnings.extend(tolerated);
    Plan {
        version: 1,
        fleet: inputs.fleet.clone(),
        commit: inputs.release.commit.clone(),
        dirty: inputs.release.dirty,
        release: release_digest(&digests),
        wanted: digests.into_iter().map(|(id, digest)| (id.clone(), digest)).collect(),
        observed: found.known,
        policy: inputs.policy.clone(),
        optional: optional(inputs, &nodes),
        nodes,
        skipped,
        waves,
        warnings,
        unchanged: found.unchanged,
        refusals,
    }
}

/// Plans the way from one release to another with no node asked: for review.
///
/// Every node counts as running exactly the base release, healthy and with its way back.
pub fn compare(base: &Release, head: &Release, fleet: &Fleet) -> Plan {
    let mut contents = BTreeMap::new();
    for content in base.units.values().flat_map(Unit::contents) {
        if let (blob, crate::model::Content::Bytes(bytes)) = content {
            contents.insert(blob, bytes.clone());
        }
    }
    let nodes = node_facts(fleet);
    plan(&Inputs {
        release: head,
        fleet: &fleet.name,
        policy: &fleet.policy,
        observed: &as_observed(base, nodes.keys()),
        nodes,
        contents: &contents,
        allow_no_rollback: false,
        controller: None,
    })
}

/// What nodes would say if they ran a release, everything in its place and healthy.
///
/// `nodes` answer too when the release has nothing on them.
pub fn as_observed<'a>(release: &Release, nodes: impl Iterator<Item = &'a Name>) -> Observed {
    let mut reports: BTreeMap<Name, NodeReport> =
        nodes.map(|node| (node.clone(), NodeReport::default())).collect();
    for (id, unit) in &release.units {
        let report = reports.entry(id.node.clone()).or_default();
        let digest = unit.digest();
        report.blobs.extend(unit.contents().into_keys());
        report.manifests.insert(digest.clone(), unit.clone());
        report.units.insert(id.clone(), healthy_report(unit, digest));
    }
    let states =
        reports.into_iter().map(|(name, report)| (name, NodeState::Reachable(Box::new(report))));
    Observed { nodes: states.collect() }
}

fn healthy_report(unit: &Unit, digest: Digest) -> UnitReport {
    let containers = match &unit.runtime {
        Runtime::Compose { services, .. } => services
            .iter()
            .map(|service| ContainerReport {
                service: service.name.clone(),
                id: String::new(),
                image: service.image.clone().unwrap_or_default(),
                status: if service.once { "exited" } else { "running" }.to_owned(),
                health: None,
                restarts: 0,
                exit_code: 0,
                started_at: String::new(),
                name: service.name.clone(),
            })
            .collect(),
        _ => Vec::new(),
    };
    let process = (unit.runtime == Runtime::Process)
        .then_some(ProcessReport { state: ProcessState::Running, pid: None });
    UnitReport { current: Some(digest), containers, process, ..UnitReport::default() }
}

/// The release's digest from its units' digests, as [`Release::digest`] makes it.
fn release_digest(digests: &BTreeMap<&UnitId, Digest>) -> Digest {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(digests.len() * 100);
    for (id, digest) in digests {
        let _ = writeln!(text, "{id} {digest}");
    }
    Digest::of(text.as_bytes())
}

/// Names the node once: a reason that says itself that the node can't be reached is told from there on.
fn unreachable(name: &Name, reason: &str) -> String {
    const WORDS: &str = "can't be reached: ";
    let why = reason.split_once(WORDS).map_or(reason, |(_, why)| why);
    let why = why.strip_prefix(&format!("`{name}`: ")).unwrap_or(why);
    format!("{name} {WORDS}{why}")
}

fn optional(inputs: &Inputs, present: &[Name]) -> BTreeSet<Name> {
    let sleeps = |name: &&Name| inputs.nodes.get(*name).is_some_and(|facts| facts.optional);
    present.iter().filter(sleeps).cloned().collect()
}

/// The nodes that take part, those that don't, and refusals for those that should.
fn attendance(inputs: &Inputs) -> (Vec<Name>, Vec<Skipped>, Vec<Warning>) {
    let (mut present, mut skipped, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
    let mut names: Vec<&Name> = inputs.nodes.keys().chain(inputs.observed.nodes.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let reason = match inputs.observed.nodes.get(name) {
            Some(NodeState::Reachable(_)) => {
                present.push(name.clone());
                continue;
            }
            Some(NodeState::Unreachable(reason)) => reason.as_str(),
            None => "it was not asked",
        };
        let optional = inputs.nodes.get(name).is_some_and(|facts| facts.optional);
        let reason = if optional { format!("asleep: {reason}") } else { reason.to_owned() };
        if !optional {
            refusals.push(guards::warning("unreachable", unreachable(name, &reason), None));
        }
        skipped.push(Skipped { node: name.clone(), reason });
    }
    (present, skipped, refusals)
}
