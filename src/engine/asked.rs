//! What the nodes said before a plan is made, and the nodes that left the fleet since its last good release.

use std::collections::BTreeSet;

use crate::journal::{Journal, JournalError, Past};
use crate::limits;
use crate::model::{
    Fleet, Limits, Name, Node, NodeState, Observed, OnFailure, Plan, Restored, UnitId, Verdict,
    Warning,
};
use crate::source::Distrust;

use super::departed::is_clean;
use super::goods;
use super::nodes::Nodes;

/// The code of the warning that the newest rollout needs an operator.
pub(super) const UNSETTLED: &str = "needs-operator";

/// The code of the warning that a node took changes back.
pub(super) const TAKEN_BACK: &str = "taken-back";

/// Nodes and what they said.
pub struct Asked {
    pub(super) nodes: Nodes,
    pub(super) observed: Observed,
    pub(super) warnings: Vec<Warning>,
    pub(super) refusals: Vec<Warning>,
    pub(super) released: BTreeSet<Name>,
    /// What the past says against the wanted commit, and whether that is borne.
    pub(super) past: Option<(Warning, bool)>,
    /// The unit that the controller itself runs in.
    pub(super) controller: Option<UnitId>,
}

impl Asked {
    /// Asks all nodes of a fleet once.
    pub async fn ask(fleet: &Name, nodes: Nodes) -> Self {
        let observed = nodes.observe(fleet).await;
        let (warnings, refusals) = (Vec::new(), Vec::new());
        let (released, past, controller) = (BTreeSet::new(), None, None);
        Self { nodes, observed, warnings, refusals, released, past, controller }
    }

    /// Lets go of nodes that this controller's own rollouts still hold although they are over: those nodes were lost
    /// before they could be told. And of nodes whose holder was not heard for so long that they are free again.
    pub async fn let_go(&mut self, journal: &Journal) -> Result<(), JournalError> {
        for (node, state) in &mut self.observed.nodes {
            let NodeState::Reachable(report) = state else { continue };
            let Some(holder) = &report.record.holder else { continue };
            if report.lapsed {
                // The node says so itself, to whoever comes next.
                report.record.holder = None;
            } else if journal.is_over(&holder.nonce).await? {
                report.record.holder = None;
                self.released.insert(node.clone());
            }
        }
        Ok(())
    }

    /// Tells what nodes took back by themselves.
    fn taken_back(&mut self) {
        let nodes = self.observed.nodes.keys();
        let told = nodes.filter_map(|node| {
            let restored = self.observed.report(node)?.restored.as_ref()?;
            Some(taken_back(node, restored))
        });
        self.warnings.extend(told.collect::<Vec<_>>());
    }

    /// Adds what the fleet's newest rollout of this controller has to say about the next one.
    ///
    /// One that needed an operator is warned about. A fleet without nodes that had some then is refused: nobody is
    /// left to say what still runs, and an empty answer is not "nothing is wanted".
    pub async fn remember(&mut self, fleet: &Fleet, journal: &Journal) -> Result<(), JournalError> {
        self.taken_back();
        let Some(last) = journal.newest(&fleet.name).await? else { return Ok(()) };
        if last.verdict == Some(Verdict::NeedsOperator) {
            self.warnings.push(unsettled(&last));
        }
        if fleet.nodes.is_empty()
            && let Some(record) = journal.load(&last.id).await?
        {
            self.refusals.extend(no_nodes(&record.id, &record.plan));
        }
        Ok(())
    }

    /// Has the next rollout wait for a person, in a fleet that halts on failure and whose last one needs an operator.
    pub fn halt(&mut self, fleet: &Fleet) {
        let reports = self.observed.nodes.keys().filter_map(|node| self.observed.report(node));
        let newest = reports.max_by_key(|report| report.record.fence);
        let verdict = newest.and_then(|report| report.record.verdict.as_ref());
        let open = verdict.is_some_and(|(word, ..)| word == Verdict::NeedsOperator.word());
        if open && fleet.policy.on_failure == OnFailure::Halt {
            let message = "this fleet halts on failure, and its last rollout needs an operator";
            let (code, message) = ("halted".to_owned(), message.to_owned());
            self.refusals.push(Warning { code, message, unit: None });
        }
    }

    /// Refuses every change of a fleet that is suspended, in its repository or on this controller.
    pub fn suspend(&mut self, fleet: &Fleet, here: Option<String>) {
        let repository = fleet.suspend.as_ref().map(|reason| match reason.as_str() {
            "" => ("suspended", "this fleet is suspended by its fleet.yaml".to_owned()),
            reason => ("suspended", format!("this fleet is suspended by its fleet.yaml: {reason}")),
        });
        let here = here.map(|words| ("on-hold", format!("this fleet is {words}")));
        let refusal = |(code, message): (&str, String)| Warning {
            code: code.to_owned(),
            message,
            unit: None,
        };
        self.refusals.extend(repository.into_iter().chain(here).map(refusal));
    }

    /// Refuses what is wanted, whatever it would change: it is not trusted.
    pub fn refuse(&mut self, distrust: Distrust) {
        let (code, message) = (distrust.code.to_owned(), distrust.message);
        self.refusals.insert(0, Warning { code, message, unit: None });
    }

    /// The commits of good releases that the nodes keep, newest first, but for `wanted`: their files may have
    /// nodes that the wanted ones no longer have. Not only the last one: a node that could not be reached when it
    /// left the fleet is found through those before.
    pub(super) fn earlier(&self, wanted: Option<&str>) -> Vec<String> {
        let commits = goods::kept(&self.observed).into_iter().filter_map(|good| good.commit);
        let mut seen: BTreeSet<String> = wanted.map(str::to_owned).into_iter().collect();
        commits.filter(|commit| seen.insert(commit.clone())).collect()
    }

    /// The nodes of an earlier fleet that a fleet no longer has and that weren't asked yet; those that are not as the
    /// limits pin them are not asked either.
    pub(super) fn gone<'a>(
        &self,
        earlier: &'a Fleet,
        fleet: &Fleet,
        limits: Option<&Limits>,
    ) -> Vec<&'a Node> {
        let known =
            |node: &Node| limits.is_none_or(|it| limits::of_node(node, earlier, it).is_empty());
        let left = earlier.nodes.values().filter(|node| !fleet.nodes.contains_key(&node.name));
        left.filter(|node| self.nodes.get(&node.name).is_none() && known(node)).collect()
    }

    /// Asks nodes that left the fleet, so that what still runs there is removed; says of each whether it is clean.
    ///
    /// One that doesn't answer is warned about and keeps the rollout from nothing: the fleet goes on without it.
    pub(super) async fn join(&mut self, fleet: &Name, gone: Nodes) -> Vec<(Name, bool)> {
        let said = gone.observe(fleet).await;
        let mut clean = Vec::new();
        for (node, state) in said.nodes {
            clean.push((node.clone(), is_clean(&state)));
            match &state {
                NodeState::Reachable(_) if is_clean(&state) => {}
                NodeState::Reachable(_) => drop(self.observed.nodes.insert(node, state)),
                NodeState::Unreachable(reason) => self.warnings.push(left_behind(&node, reason)),
            }
        }
        self.nodes.join(gone);
        clean
    }
}

fn taken_back(node: &Name, restored: &Restored) -> Warning {
    let stuck: Vec<String> = restored.stuck.iter().map(ToString::to_string).collect();
    let what = match stuck.is_empty() {
        true => "took back what rollout".to_owned(),
        false => format!("could not take back {}, which rollout", stuck.join(", ")),
    };
    let message = format!("{node} {what} {} had changed: {}", restored.rollout, restored.why);
    Warning { code: TAKEN_BACK.to_owned(), message, unit: None }
}

fn unsettled(last: &Past) -> Warning {
    let reason = last.reason.as_deref().unwrap_or_default();
    let message = format!("rollout {} needs an operator: {reason}", last.id);
    Warning { code: UNSETTLED.to_owned(), message, unit: None }
}

fn no_nodes(rollout: &str, plan: &Plan) -> Option<Warning> {
    let (last, others) = plan.nodes.split_last()?;
    let others: Vec<&str> = others.iter().map(Name::as_str).collect();
    let nodes = match others.is_empty() {
        true => last.to_string(),
        false => format!("{} and {last}", others.join(", ")),
    };
    let message = format!(
        "this fleet no longer has any node, and at its last rollout ({rollout}) it had {nodes}: nobody was asked"
    );
    Some(Warning { code: "no-nodes".to_owned(), message, unit: None })
}

fn left_behind(node: &Name, reason: &str) -> Warning {
    let reason = reason.strip_prefix(&format!("{node}: ")).unwrap_or(reason);
    // What further lines say to do, in the node's file, can no longer be done.
    let reason = reason.lines().next().unwrap_or_default();
    Warning {
        code: "removed-unreachable".to_owned(),
        message: format!(
            "{node} left the fleet but does not answer ({reason}): what runs there stays; \
             the next rollouts ask again, until `gitsync forget {node}`"
        ),
        unit: None,
    }
}
