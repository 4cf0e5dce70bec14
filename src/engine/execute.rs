//! Effects turned into verbs on nodes; nothing is decided here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future;

use crate::model::{
    Action, Effect, Failure, FailureKind, Good, Health, Name, OutcomeResult, Plan, ProbeReport,
    Release, Replaced, Step, Timestamp, UnitId, Verdict,
};
use crate::probe::{self, Probe, Target, ThroughGateway};
use crate::transport::{
    Abandon, ChangeUnit, Confirm, Fence, Prepare, PrepareUnit, Transport, TransportError,
};

use super::nodes::Nodes;
use super::sealed::Secrets;

/// How long a node may take for one switch, activation or put-back beyond the unit's own grace.
const CHANGE_DEADLINE: Duration = Duration::from_secs(180);

/// Everything that effects of one rollout are made of.
pub struct Work {
    /// The rollout's id.
    pub rollout: String,
    /// What is done.
    pub plan: Plan,
    /// The contents.
    pub release: Release,
    /// The fence number per node.
    pub fences: BTreeMap<Name, u64>,
    /// This rollout's nonce.
    pub nonce: String,
    /// Who does it, in words.
    pub holder: String,
    /// When it began.
    pub started: Timestamp,
    /// The ways to the nodes.
    pub nodes: Nodes,
    /// Blobs that each node is known to have.
    pub present: BTreeMap<Name, BTreeSet<String>>,
    /// Routes through the fleet's gateways, for probes from there.
    pub routes: Vec<Target>,
    /// A release to quarantine when this one converges (the one that an operator rolled back from).
    pub left: Option<(crate::model::Digest, String)>,
    /// Whether nodes that another controller's rollout holds are taken from it: an operator said that it is dead.
    pub takeover: bool,
    /// Nodes that an own rollout which is over still holds: it could not tell them.
    pub released: BTreeSet<Name>,
    /// What is known of the secrets of changed units.
    pub secrets: Secrets,
}

/// How a rollout that did not converge ended, for the nodes' records.
#[derive(Clone, Debug)]
pub struct Ending {
    /// The verdict.
    pub verdict: Verdict,
    /// Why the release is quarantined, if it is.
    pub quarantine: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// What the rollout knew when an effect was begun.
#[derive(Clone, Debug)]
pub struct Known {
    /// When that was.
    pub at: Timestamp,
    /// How it will end without having converged, once that is certain.
    pub ending: Option<Ending>,
    /// Nodes on which it changed something.
    pub changed: Vec<Name>,
}

impl Work {
    /// Does one effect and says what came of it. Idempotent, as every verb is.
    pub async fn execute(&self, effect: &Effect, known: &Known) -> OutcomeResult {
        let result = self.verb(effect, known).await;
        let result = self.secrets.redactor.outcome(result, effect.unit());
        match &result {
            OutcomeResult::Failed(failure) => {
                tracing::debug!(rollout = self.rollout, ?effect, why = failure.message, "failed");
            }
            _ => tracing::debug!(rollout = self.rollout, ?effect, "done"),
        }
        result
    }

    async fn verb(&self, effect: &Effect, known: &Known) -> OutcomeResult {
        let done = match effect {
            Effect::Prepare { node } => self.prepare(node).await,
            Effect::Change { unit } | Effect::Stop { unit } | Effect::PutBack { unit } => {
                self.move_unit(effect, unit).await
            }
            Effect::Probe { unit } => return self.probe_new(unit).await,
            Effect::ProbeBack { unit } => {
                return self.probe(unit, |step| step.health_before.clone()).await;
            }
            Effect::Confirm { node } => self.confirm(node, known.at).await,
            Effect::Abandon { node } => self.abandon(node, known.ending.as_ref()).await,
            Effect::Decide => self.all_stand(&known.changed).await,
            // The loop keeps these itself: a wait is its timer.
            Effect::Wait { .. } | Effect::Retry { .. } | Effect::Operator => Ok(()),
        };
        match done {
            Ok(()) => OutcomeResult::Done,
            Err(failure) => OutcomeResult::Failed(failure),
        }
    }

    fn step(&self, unit: &UnitId) -> Result<&Step, Failure> {
        self.plan.steps().find(|step| step.unit == *unit).ok_or_else(|| {
            failure(FailureKind::Node, format!("{unit} is not part of this rollout"))
        })
    }

    fn transport(&self, node: &Name) -> Result<&Arc<dyn Transport>, Failure> {
        self.nodes.get(node).ok_or_else(|| {
            failure(FailureKind::Transport, format!("{node}: no way to this node is known"))
        })
    }

    fn fence(&self, node: &Name) -> Fence {
        Fence {
            fleet: self.plan.fleet.clone(),
            number: self.fences.get(node).copied().unwrap_or(1),
            nonce: self.nonce.clone(),
        }
    }

    fn steps_on<'a>(&'a self, node: &'a Name) -> impl Iterator<Item = &'a Step> {
        self.plan.steps().filter(move |step| step.unit.node == *node)
    }

    async fn prepare(&self, node: &Name) -> Result<(), Failure> {
        let steps: Vec<&Step> = self.steps_on(node).collect();
        let units: Result<Vec<_>, Failure> =
            steps.iter().map(|step| self.prepare_unit(step)).collect();
        let mut units = units?;
        units.extend(steps.iter().flat_map(|step| &step.replaces).map(removal));
        let request = Prepare {
            fence: self.fence(node),
            holder: self.holder.clone(),
            rollout: self.rollout.clone(),
            since: self.started,
            dead_man: self.plan.policy.dead_man,
            takeover: self.takeover || self.released.contains(node),
            units,
            present: self.present.get(node).cloned().unwrap_or_default(),
            opened: self.secrets.opened.clone(),
        };
        self.transport(node)?.prepare(&request).await.map_err(TransportError::into_failure)
    }

    /// Fails when the contents are lost: a rollout that was taken up without its commit can't be made again.
    fn prepare_unit(&self, step: &Step) -> Result<PrepareUnit, Failure> {
        let to = match step.action {
            Action::Remove => None,
            _ => Some(self.release.units.get(&step.unit).cloned().ok_or_else(|| {
                let message =
                    format!("{}: what it was to become can't be read any more", step.unit);
                of_unit(failure(FailureKind::Node, message), &step.unit)
            })?),
        };
        let (id, from) = (step.unit.clone(), step.from.clone());
        Ok(PrepareUnit { id, to, from, adopt: step.adopt })
    }

    async fn move_unit(&self, effect: &Effect, unit: &UnitId) -> Result<(), Failure> {
        let step = self.step(unit)?;
        let request = ChangeUnit {
            fence: self.fence(&unit.node),
            id: unit.clone(),
            to: step.to.clone(),
            from: step.from.clone(),
            replaces: step.replaces.clone(),
            deadline: CHANGE_DEADLINE,
        };
        let transport = self.transport(&unit.node)?;
        let done = match effect {
            Effect::Change { .. } => transport.change(&request).await,
            Effect::Stop { .. } => transport.stop(&request).await,
            _ => transport.put_back(&request).await,
        };
        done.map_err(|error| of_unit(error.into_failure(), unit))
    }

    /// Says a word to a node; what it changed stands, or the node says that it took it back.
    pub(super) async fn hold(&self, node: &Name, anew: bool) -> Result<(), Failure> {
        let transport = self.transport(node)?;
        transport.hold(&self.fence(node), anew).await.map_err(TransportError::into_failure)
    }

    /// Asks, over new connections, every node that changed: a decision is for what stands and can be told. The failure
    /// names a unit of the node.
    async fn all_stand(&self, changed: &[Name]) -> Result<(), Failure> {
        let changed =
            changed.iter().filter_map(|node| Some((node, &self.steps_on(node).next()?.unit)));
        let asked = changed.map(async |(node, unit)| {
            self.hold(node, true).await.map_err(|failure| of_unit(failure, unit))
        });
        future::join_all(asked).await.into_iter().collect()
    }

    /// A node that took the change back, or was taken by another, has answered for the old version.
    async fn probe_new(&self, unit: &UnitId) -> OutcomeResult {
        let probed = self.probe(unit, |step| step.health.clone()).await;
        match self.hold(&unit.node, false).await {
            Err(why) if matches!(why.kind, FailureKind::Restored | FailureKind::Busy) => {
                OutcomeResult::Failed(of_unit(why, unit))
            }
            _ => probed,
        }
    }

    async fn probe(
        &self,
        unit: &UnitId,
        health: impl Fn(&Step) -> Option<Health>,
    ) -> OutcomeResult {
        let probed = async {
            let Some(health) = health(self.step(unit)?) else {
                return Ok(Vec::new());
            };
            let transport = self.transport(&unit.node)?;
            let gateways = self.gateways(unit);
            let probe =
                Probe { fleet: &self.plan.fleet, unit, health: &health, gateways: &gateways };
            probe::run(transport.as_ref(), probe).await
        };
        match probed.await {
            Ok(attempts) => OutcomeResult::Passed(ProbeReport { attempts }),
            Err(failure) => OutcomeResult::Failed(of_unit(failure, unit)),
        }
    }

    /// The gateways that route to a unit, each with its own connection's way.
    fn gateways(&self, unit: &UnitId) -> Vec<ThroughGateway<'_>> {
        let routed = self.routes.iter().filter(|target| target.units.contains(unit));
        let gateways = routed.filter_map(|target| {
            Some(ThroughGateway {
                through: Some(self.nodes.get(&target.node)?.as_ref()),
                scheme: target.scheme.to_owned(),
                address: target.listens,
                host: target.host.clone(),
            })
        });
        gateways.collect()
    }

    async fn confirm(&self, node: &Name, now: Timestamp) -> Result<(), Failure> {
        let mine = self.plan.wanted.iter().filter(|(id, _)| id.node == *node);
        let good = Good {
            release: self.plan.release.clone(),
            commit: self.plan.commit.as_ref().map(|commit| commit.id.clone()),
            at: now,
            units: mine.map(|(id, digest)| (id.clone(), digest.clone())).collect(),
        };
        let request = Confirm {
            fence: self.fence(node),
            good,
            keep: !self.plan.dirty,
            remove: self.removed(node),
            quarantine: self.left.clone(),
        };
        self.transport(node)?.confirm(&request).await.map_err(TransportError::into_failure)
    }

    fn removed(&self, node: &Name) -> Vec<UnitId> {
        let removals = self.steps_on(node).filter(|step| step.action == Action::Remove);
        let replaced = self.steps_on(node).flat_map(|step| &step.replaces).map(|gone| &gone.unit);
        removals.map(|step| &step.unit).chain(replaced).cloned().collect()
    }

    async fn abandon(&self, node: &Name, ending: Option<&Ending>) -> Result<(), Failure> {
        let Some(ending) = ending else {
            return Err(failure(FailureKind::Node, "the rollout has no ending yet".to_owned()));
        };
        let request = Abandon {
            fence: self.fence(node),
            verdict: ending.verdict,
            release: self.plan.release.clone(),
            commit: self.plan.commit.as_ref().map(|commit| commit.id.clone()),
            at: ending.at,
            quarantine: ending.quarantine.clone(),
        };
        self.transport(node)?.abandon(&request).await.map_err(TransportError::into_failure)
    }
}

fn removal(replaced: &Replaced) -> PrepareUnit {
    PrepareUnit {
        id: replaced.unit.clone(),
        to: None,
        from: Some(replaced.from.clone()),
        adopt: false,
    }
}

fn failure(kind: FailureKind, message: String) -> Failure {
    Failure { kind, unit: None, message, log: Vec::new(), attempts: Vec::new() }
}

fn of_unit(mut failure: Failure, unit: &UnitId) -> Failure {
    failure.unit.get_or_insert_with(|| unit.clone());
    failure
}
