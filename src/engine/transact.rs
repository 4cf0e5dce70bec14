//! One transaction: from a checked fleet to a plan, and from a plan to a rollout in the journal.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt as _;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::event::Event;
use crate::journal::{Journal, Kind, NewRollout, RolloutRecord};
use crate::model::{Fleet, Name, Observed, Plan, Release, Warning};
use crate::plan;
use crate::probe::{self, Target};
use crate::rollout::Rollout;

use super::asked::{Asked, TAKEN_BACK, UNSETTLED};
use super::drive::{DriveError, Driven, Stop, drive, replay};
use super::execute::Work;
use super::left::Resumable;
use super::nodes::Nodes;
use super::past;
use super::sealed::{Secrets, Vault};

/// What is wanted, what is there, and the way from one to the other.
pub struct Survey {
    /// The wanted release.
    pub release: Release,
    /// What the nodes said.
    pub observed: Observed,
    /// The ways to the nodes.
    pub nodes: Nodes,
    /// Routes through the fleet's gateways.
    pub routes: Vec<Target>,
    /// What would be done.
    pub plan: Plan,
    /// Nodes that an own rollout which is over still holds.
    pub(super) released: BTreeSet<Name>,
}

/// Plans the way from what the nodes said to `release`.
///
/// Contents of changed files are fetched for the plan's diffs, in one more round trip to the nodes concerned.
pub async fn survey(
    fleet: &Fleet,
    release: Release,
    asked: Asked,
    allow_no_rollback: bool,
) -> Survey {
    let Asked { nodes, observed, warnings, refusals, released, past, controller } = asked;
    let contents = old_contents(&nodes, fleet, &release, &observed).await;
    let mut plan = plan::plan(&plan::Inputs {
        release: &release,
        fleet: &fleet.name,
        policy: &fleet.policy,
        nodes: plan::node_facts(fleet),
        observed: &observed,
        contents: &contents,
        allow_no_rollback,
        controller: controller.as_ref(),
    });
    past::tell(past, &mut plan);
    plan.refusals.extend(refusals);
    // What an earlier rollout left is settled when there is nothing to do.
    let settled = plan.is_empty() && plan.refusals.is_empty();
    let old = [UNSETTLED, TAKEN_BACK];
    let told = |one: &Warning| !settled || !old.contains(&one.code.as_str());
    plan.warnings.extend(warnings.into_iter().filter(told));
    Survey { release, observed, nodes, routes: probe::routes(fleet), plan, released }
}

async fn old_contents(
    nodes: &Nodes,
    fleet: &Fleet,
    release: &Release,
    observed: &Observed,
) -> BTreeMap<String, Vec<u8>> {
    let mut contents = BTreeMap::new();
    for node in nodes.names() {
        let wanted = replaced_blobs(node, release, observed);
        let Some(transport) = nodes.get(node).filter(|_| !wanted.is_empty()) else { continue };
        // Diffs are a courtesy: a node that can't read its blobs shows the change without one.
        if let Ok(found) = transport.read(&fleet.name, &wanted).await {
            contents.extend(found);
        }
    }
    contents
}

/// Blobs of a node's current manifests whose files the release changes or removes.
fn replaced_blobs(node: &Name, release: &Release, observed: &Observed) -> BTreeSet<String> {
    let Some(report) = observed.report(node) else { return BTreeSet::new() };
    let mut blobs = BTreeSet::new();
    for (id, unit) in &report.units {
        let Some(old) = unit.current.as_ref().and_then(|digest| report.manifests.get(digest))
        else {
            continue;
        };
        let wanted = release.units.get(id);
        let kept: BTreeSet<String> =
            wanted.iter().flat_map(|unit| &unit.artifacts).map(|a| a.blob()).collect();
        let files = old.artifacts.iter().filter(|artifact| !artifact.sensitive);
        blobs.extend(files.map(|artifact| artifact.blob()).filter(|blob| !kept.contains(blob)));
    }
    blobs.retain(|blob| report.blobs.contains(blob));
    blobs
}

/// Who begins a rollout and where it is recorded.
pub struct Conductor<'a> {
    /// The controller's record.
    pub journal: &'a Journal,
    /// Time.
    pub clock: &'a Clock,
    /// Who, in words: `user@host`.
    pub holder: String,
    /// What opens the fleet's secrets.
    pub vault: &'a dyn Vault,
}

impl Conductor<'_> {
    /// Begins a rollout of a plan: journalled whole before the first effect.
    pub async fn begin(&self, survey: Survey, kind: Kind) -> Result<(Rollout, Work), DriveError> {
        let Survey { release, observed, nodes, routes, plan, released } = survey;
        let secrets = Secrets::open(&plan, &release, self.vault).map_err(DriveError::Sealed)?;
        let started = self.clock.now();
        let fences = next_fences(&plan, &observed);
        let highest = fences.values().max().copied().unwrap_or_default();
        let rollout = self.journal.next_id(&plan.fleet, highest).await?;
        let work = Work {
            fences,
            nonce: nonce(),
            holder: self.holder.clone(),
            present: blobs(&observed),
            rollout,
            release,
            started,
            nodes,
            routes,
            left: None,
            takeover: false,
            released,
            secrets,
            plan,
        };
        self.journal.begin(&new_rollout(&work, kind)).await?;
        let rollout = Rollout::new(work.rollout.clone(), work.plan.clone(), started);
        Ok((rollout, work))
    }

    /// Takes up a rollout that an earlier controller left, with the contents rendered again.
    ///
    /// When those are not to be had, or no longer allowed, the rollout is put back for the reason given in their
    /// place, unless it was decided: what is not yet on the nodes is lost.
    pub async fn resume(
        &self,
        record: RolloutRecord,
        found: Resumable<'_>,
        nodes: Nodes,
    ) -> Result<(Rollout, Work), DriveError> {
        let (found, secrets) = self.opened(&record, found);
        let fresh = Rollout::new(record.id.clone(), record.plan.clone(), record.started);
        let mut rollout = replay(fresh, record.outcomes)?;
        if let Err(why) = &found.release
            && rollout.ending().is_none()
        {
            let outcome = Rollout::cancelled(self.clock.now(), why);
            self.journal.outcome(&record.id, &outcome).await?;
            rollout.record(outcome)?;
        }
        let routes = found.fleet.map(probe::routes).unwrap_or_default();
        let work = Work {
            fences: record.fences,
            nonce: record.nonce,
            holder: record.holder,
            present: BTreeMap::new(),
            rollout: record.id,
            release: found.release.ok().cloned().unwrap_or_default(),
            started: record.started,
            nodes,
            routes,
            left: None,
            takeover: false,
            released: BTreeSet::new(),
            secrets,
            plan: record.plan,
        };
        Ok((rollout, work))
    }

    /// What a left rollout goes on with, and its secrets; one whose secrets can't be opened any more can't go on.
    fn opened<'r>(
        &self,
        record: &RolloutRecord,
        mut found: Resumable<'r>,
    ) -> (Resumable<'r>, Secrets) {
        let opened = match &found.release {
            Ok(release) => Secrets::open(&record.plan, release, self.vault),
            Err(why) => Err(why.clone()),
        };
        let secrets = opened.unwrap_or_else(|why| {
            found.release = Err(why);
            Secrets::none(&record.plan)
        });
        (found, secrets)
    }

    /// Tells that the rollout begins (or goes on), then drives it to its verdict.
    pub async fn conduct(
        &self,
        rollout: &mut Rollout,
        work: &Work,
        resumed: bool,
        stop: &mut watch::Receiver<Stop>,
        listen: &mut (dyn FnMut(&Event) + Send),
    ) -> Result<Driven, DriveError> {
        for event in rollout.started_events(resumed, self.clock.now()) {
            self.journal.event(&work.rollout, &event).await?;
            listen(&event);
        }
        drive(rollout, work, self.journal, self.clock, stop, listen).await
    }
}

fn new_rollout(work: &Work, kind: Kind) -> NewRollout<'_> {
    NewRollout {
        id: &work.rollout,
        fleet: &work.plan.fleet,
        plan: &work.plan,
        fences: &work.fences,
        nonce: &work.nonce,
        holder: &work.holder,
        started: work.started,
        kind,
    }
}

/// One fence for the whole fleet: above the highest that any node has seen.
fn next_fences(plan: &Plan, observed: &Observed) -> BTreeMap<Name, u64> {
    let reports = plan.nodes.iter().filter_map(|node| observed.report(node));
    let highest = reports.map(|report| report.record.fence).max().unwrap_or(0);
    plan.nodes.iter().map(|node| (node.clone(), highest + 1)).collect()
}

fn blobs(observed: &Observed) -> BTreeMap<Name, BTreeSet<String>> {
    let nodes = observed.nodes.keys();
    let known = nodes.filter_map(|node| Some((node.clone(), observed.report(node)?.blobs.clone())));
    known.collect()
}

fn nonce() -> String {
    let bits: u128 = rand::rng().random();
    format!("{bits:032x}")
}
