//! Health checks: the controller's share (http and tcp) and the node's (exec and running), as one verdict.

mod ask;
mod budget;
mod on_node;
mod routes;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use self::ask::{Question, Seen};
use self::budget::{Budget, Next};
use self::on_node::{NOBODY_ASKS, on_node};
use crate::model::{Attempt, Check, Failure, FailureKind, Health, Name, ProbeFrom, UnitId};
use crate::transport::{NodeProbe, Transport, TransportError};

pub use routes::{Target, routes, visit};

/// Log lines that a failed probe brings along.
const LOG_LINES: u32 = 20;

/// Whose health is asked, and how.
#[derive(Clone, Copy)]
pub struct Probe<'a> {
    /// The fleet.
    pub fleet: &'a Name,
    /// The unit.
    pub unit: &'a UnitId,
    /// Its checks and their budget.
    pub health: &'a Health,
    /// The gateways that route to it, for checks `from: gateway`; without any these are asked from the node.
    pub gateways: &'a [ThroughGateway<'a>],
}

/// A gateway that routes to the unit.
#[derive(Clone)]
pub struct ThroughGateway<'a> {
    /// The node that the connection goes through; none connects straight from this machine.
    pub through: Option<&'a dyn Transport>,
    /// `http` or `https`.
    pub scheme: String,
    /// Where the gateway listens.
    pub address: SocketAddr,
    /// The host that is routed to the unit.
    pub host: String,
}

/// One check, asked once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What was asked.
    pub check: Check,
    /// Whether it passed.
    pub passed: bool,
    /// What was seen.
    pub detail: String,
}

/// Probes a unit over its whole budget: passes when all checks passed and stayed good for `stable_for`, fails as soon
/// as either share has failed for good.
///
/// The failure's kind tells content that is bad (a target that refuses or answers wrongly) from a node that could not
/// be asked. Nothing is changed by asking, so a probe that was broken off is simply begun again.
pub async fn run(transport: &dyn Transport, probe: Probe<'_>) -> Result<Vec<Attempt>, Failure> {
    let attempts = Mutex::new(Vec::new());
    let result = shares(transport, probe, &attempts).await;
    let mut seen = attempts.into_inner().unwrap_or_else(PoisonError::into_inner);
    match result {
        Ok(()) => {
            seen.sort_by_key(|attempt: &Attempt| attempt.after);
            Ok(seen)
        }
        Err(mut failure) => {
            seen.append(&mut failure.attempts);
            seen.sort_by_key(|attempt| attempt.after);
            failure.attempts = seen;
            failure.unit.get_or_insert_with(|| probe.unit.clone());
            if failure.kind == FailureKind::Content && failure.log.is_empty() {
                let logs = transport.logs(probe.fleet, probe.unit, LOG_LINES).await;
                add_log(&mut failure, logs);
            }
            Err(failure)
        }
    }
}

/// The unit's last words; a node that is gone itself has none, and says nothing about its unit.
fn add_log(failure: &mut Failure, logs: Result<Vec<String>, TransportError>) {
    match logs {
        Ok(lines) => failure.log = lines,
        Err(TransportError::Unreachable(why)) => {
            failure.kind = FailureKind::Transport;
            failure.message = why;
        }
        Err(_) => {}
    }
}

/// Asks every check once, without patience: what `gitsync check` shows.
pub async fn check_once(transport: &dyn Transport, probe: Probe<'_>) -> Vec<Checked> {
    let mut checked = Vec::new();
    let questions = questions(transport, probe);
    let seen = join_all(questions.iter().map(|question| question.ask(probe.health.timeout))).await;
    for (question, seen) in questions.into_iter().zip(seen) {
        let (passed, detail) = match seen {
            Seen::Good(detail) => (true, detail),
            Seen::Bad(detail) => (false, detail),
            Seen::Unasked(error) if is_forbidden(&error) => {
                let asked = on_node(&question.check, probe.health.timeout);
                let seen = node_once(transport, probe, &asked).await;
                (seen.passed, seen.detail)
            }
            Seen::Unasked(error) => (false, error.to_string()),
        };
        checked.push(Checked { check: question.check, passed, detail });
    }
    for check in probe.health.checks.iter().filter(|check| is_nodes(check)) {
        checked.push(node_once(transport, probe, check).await);
    }
    checked
}

async fn node_once(transport: &dyn Transport, probe: Probe<'_>, check: &Check) -> Checked {
    let health =
        Health { stable_for: Duration::ZERO, ..impatient(probe.health, vec![check.clone()]) };
    let answer = transport.probe(&node_probe(probe, health)).await;
    let (passed, detail) = match answer {
        Ok(attempts) => (true, attempts.into_iter().next_back().map(|attempt| attempt.detail)),
        Err(error) => (false, Some(error.to_string())),
    };
    Checked { check: check.clone(), passed, detail: detail.unwrap_or_default() }
}

fn impatient(health: &Health, checks: Vec<Check>) -> Health {
    Health { checks, retries: 0, start_period: Duration::ZERO, ..health.clone() }
}

fn node_probe(probe: Probe<'_>, health: Health) -> NodeProbe {
    NodeProbe { fleet: probe.fleet.clone(), id: probe.unit.clone(), health }
}

fn is_nodes(check: &Check) -> bool {
    matches!(check, Check::Exec { .. } | Check::Running)
}

/// The controller's questions: as they are, or one for each gateway.
fn questions<'a>(transport: &'a dyn Transport, probe: Probe<'a>) -> Vec<Question<'a>> {
    let asked = probe.health.checks.iter().filter(|check| !is_nodes(check));
    asked
        .flat_map(|check| match (probe.health.from, check) {
            (ProbeFrom::Controller, _) => vec![Question { check: check.clone(), through: None }],
            (ProbeFrom::Gateway, Check::Http { .. }) if !probe.gateways.is_empty() => {
                probe.gateways.iter().map(|gateway| through(gateway, check)).collect()
            }
            _ => vec![Question { check: check.clone(), through: Some(transport) }],
        })
        .collect()
}

fn through<'a>(gateway: &ThroughGateway<'a>, asked: &Check) -> Question<'a> {
    let mut check = asked.clone();
    if let Check::Http { scheme, address, port, host, .. } = &mut check {
        scheme.clone_from(&gateway.scheme);
        *address = gateway.address.ip();
        *port = gateway.address.port();
        *host = Some(gateway.host.clone());
    }
    Question { check, through: gateway.through }
}

/// Why the controller's share ended early.
enum Ended {
    /// A verdict.
    Failed(Failure),
    /// sshd forwards nothing: the node must ask.
    Forbidden,
}

async fn shares(
    transport: &dyn Transport,
    probe: Probe<'_>,
    attempts: &Mutex<Vec<Attempt>>,
) -> Result<(), Failure> {
    let questions = questions(transport, probe);
    let own: Vec<Check> = probe.health.checks.iter().filter(|c| is_nodes(c)).cloned().collect();
    let node_done = AtomicBool::new(own.is_empty());
    let node = async {
        if own.is_empty() {
            return Ok(Instant::now());
        }
        let health = Health { checks: own.clone(), ..probe.health.clone() };
        let ended = node_share(transport, probe, health, attempts).await.map_err(Ended::Failed);
        node_done.store(true, Ordering::SeqCst);
        ended
    };
    let controller = async {
        if !questions.is_empty() {
            controller_share(&questions, probe, &node_done, attempts).await?;
        }
        Ok(Instant::now())
    };
    match futures_util::future::try_join(node, controller).await {
        Ok((node, controller)) => {
            // The node's share may have ended long before the other's: both must be good at the same time.
            let apart = controller.saturating_duration_since(node);
            if own.is_empty() || apart <= probe.health.stable_for + probe.health.interval {
                return Ok(());
            }
            node_share(transport, probe, impatient(probe.health, own), attempts).await.map(drop)
        }
        Err(Ended::Failed(failure)) => Err(failure),
        Err(Ended::Forbidden) => {
            let asked = questions.iter().map(|q| on_node(&q.check, probe.health.timeout));
            let checks = own.iter().cloned().chain(asked).collect();
            let health = Health { checks, ..probe.health.clone() };
            let asked = node_share(transport, probe, health, attempts).await;
            asked.map(drop).map_err(blame_node)
        }
    }
}

/// A node that has nothing to ask with is no fault of the content.
fn blame_node(failure: Failure) -> Failure {
    match failure.message.contains(NOBODY_ASKS) {
        true => Failure { kind: FailureKind::Node, ..failure },
        false => failure,
    }
}

async fn node_share(
    transport: &dyn Transport,
    probe: Probe<'_>,
    health: Health,
    attempts: &Mutex<Vec<Attempt>>,
) -> Result<Instant, Failure> {
    let answer = transport.probe(&node_probe(probe, health)).await;
    let mut seen = answer.map_err(TransportError::into_failure)?;
    attempts.lock().unwrap_or_else(PoisonError::into_inner).append(&mut seen);
    Ok(Instant::now())
}

async fn controller_share(
    questions: &[Question<'_>],
    probe: Probe<'_>,
    node_done: &AtomicBool,
    attempts: &Mutex<Vec<Attempt>>,
) -> Result<(), Ended> {
    let begin = Instant::now();
    let mut budget = Budget::new(probe.health);
    loop {
        let held = !node_done.load(Ordering::SeqCst);
        let began = begin.elapsed();
        let asked = questions.iter().map(|question| question.ask(probe.health.timeout));
        let (attempt, trouble) = sum_up(began, join_all(asked).await);
        if trouble.as_ref().is_some_and(is_forbidden) {
            return Err(Ended::Forbidden);
        }
        let (passed, detail) = (attempt.passed, attempt.detail.clone());
        attempts.lock().unwrap_or_else(PoisonError::into_inner).push(attempt);
        match budget.record(began, begin.elapsed(), passed, held) {
            Next::Good => return Ok(()),
            Next::Again(pause) => tokio::time::sleep(pause).await,
            Next::Bad => return Err(Ended::Failed(failure(probe, passed, detail, trouble))),
        }
    }
}

/// All checks of an attempt as one; what went wrong on the way to the node, if anything.
fn sum_up(after: Duration, all: Vec<Seen>) -> (Attempt, Option<TransportError>) {
    let (mut good, mut bad, mut trouble) = (Vec::new(), Vec::new(), None);
    for seen in all {
        match seen {
            Seen::Good(detail) => good.push(detail),
            Seen::Bad(detail) => bad.push(detail),
            Seen::Unasked(error) => {
                bad.push(error.to_string());
                trouble.get_or_insert(error);
            }
        }
    }
    let passed = bad.is_empty();
    let detail = if passed { good.join("; ") } else { bad.join("; ") };
    (Attempt { after, passed, detail }, trouble)
}

fn is_forbidden(error: &TransportError) -> bool {
    matches!(error, TransportError::Failed(failure) if failure.kind == FailureKind::Node)
}

fn failure(
    probe: Probe<'_>,
    passed: bool,
    detail: String,
    trouble: Option<TransportError>,
) -> Failure {
    let kind = trouble.map_or(FailureKind::Content, |error| error.into_failure().kind);
    let what = if passed { "did not stay good within its budget".to_owned() } else { detail };
    Failure {
        kind,
        unit: Some(probe.unit.clone()),
        message: format!("{}: {what}", probe.unit),
        log: Vec::new(),
        attempts: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
