//! The verbs of a node over any channel to its node script.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;

use super::channel::{Answer, Channel};
use super::response::{self, Lines};
use super::{
    Abandon, ChangeUnit, Confirm, Dial, Fence, NodeProbe, Prepare, Transport, TransportError,
    Unlock, report, request,
};
use crate::model::{AbsPath, Attempt, Boot, Digest, Name, NodeReport, UnitId, unit_from_manifest};

/// Looking takes a moment; a node that is busy for a minute is as good as gone.
const LOOK: Duration = Duration::from_secs(60);
/// A word that renews a lease is short, or comes too late.
const HOLD: Duration = Duration::from_secs(20);
/// A prepare pulls images.
const PREPARE: Duration = Duration::from_secs(3600);
/// A start of what is there already.
const START: Duration = Duration::from_secs(180);
/// A decision stops and removes containers.
const DECIDE: Duration = Duration::from_secs(600);
/// What a probe may take beyond its budget.
const PROBE_SLACK: Duration = Duration::from_secs(30);

/// The verbs of one node, over a channel.
#[derive(Debug)]
pub struct Scripted<C> {
    node: Name,
    channel: C,
    boot: Boot,
}

impl<C: Channel> Scripted<C> {
    /// The verbs of `node`, whose script `channel` runs. Nothing survives its reboot.
    pub fn new(node: Name, channel: C) -> Self {
        Self { node, channel, boot: Boot::None }
    }

    /// The same for a node on which a put-back survives a reboot like that: each prepare sees to it.
    pub fn with_boot(self, boot: Boot) -> Self {
        Self { boot, ..self }
    }

    /// The channel.
    pub fn channel(&self) -> &C {
        &self.channel
    }

    async fn stdout(
        &self,
        verb: &str,
        request: Vec<u8>,
        deadline: Duration,
    ) -> Result<Vec<u8>, TransportError> {
        answered(verb, self.channel.run(verb, request, deadline).await?)
    }

    async fn lines(
        &self,
        verb: &str,
        request: Vec<u8>,
        deadline: Duration,
    ) -> Result<Lines, TransportError> {
        response::parse(&self.stdout(verb, request, deadline).await?, &self.node)
    }

    async fn unit_verb(&self, verb: &str, change: &ChangeUnit) -> Result<(), TransportError> {
        let answer = self.lines(verb, request::change(change), change.deadline).await;
        match answer {
            Err(TransportError::Failed(mut failure)) => {
                failure.unit = Some(change.id.clone());
                Err(TransportError::Failed(failure))
            }
            other => other.map(drop),
        }
    }

    /// Destinations of a unit's current manifest that may be shown.
    async fn shown_paths(&self, fleet: &Name, id: &UnitId) -> Result<Vec<AbsPath>, TransportError> {
        let lines = self.lines("manifest", request::manifest(fleet, id), LOOK).await?;
        let unit =
            lines.manifests().into_values().next().and_then(|text| unit_from_manifest(&text));
        let artifacts = unit.map(|unit| unit.artifacts).unwrap_or_default();
        let shown = artifacts.into_iter().filter(|artifact| !artifact.sensitive);
        let paths: BTreeSet<AbsPath> = shown.map(|artifact| artifact.destination).collect();
        Ok(paths.into_iter().collect())
    }
}

/// What the script said; a script that said nothing did not come to its answer.
fn answered(verb: &str, answer: Answer) -> Result<Vec<u8>, TransportError> {
    if answer.stdout.is_empty() {
        let complaint = answer.complaint();
        return Err(TransportError::Unreachable(if complaint.is_empty() {
            format!("no answer to `{verb}`")
        } else {
            format!("no answer to `{verb}`: {complaint}")
        }));
    }
    Ok(answer.stdout)
}

#[async_trait]
impl<C: Channel> Transport for Scripted<C> {
    async fn observe(&self, fleet: &Name) -> Result<NodeReport, TransportError> {
        let lines = self.lines("observe", request::observe(fleet), LOOK).await?;
        report::node_report(&lines, &self.node)
    }

    async fn prepare(&self, request: &Prepare) -> Result<(), TransportError> {
        self.lines("prepare", request::prepare(request, &self.boot)?, PREPARE).await.map(drop)
    }

    async fn change(&self, request: &ChangeUnit) -> Result<(), TransportError> {
        self.unit_verb("change", request).await
    }

    async fn stop(&self, request: &ChangeUnit) -> Result<(), TransportError> {
        self.unit_verb("stop", request).await
    }

    async fn put_back(&self, request: &ChangeUnit) -> Result<(), TransportError> {
        self.unit_verb("put-back", request).await
    }

    async fn bring_up(
        &self,
        fleet: &Name,
        id: &UnitId,
        digest: &Digest,
    ) -> Result<(), TransportError> {
        let request = request::bring_up(fleet, id, digest, START);
        match self.lines("bring-up", request, START).await {
            Err(TransportError::Failed(mut failure)) => {
                failure.unit = Some(id.clone());
                Err(TransportError::Failed(failure))
            }
            other => other.map(drop),
        }
    }

    async fn probe(&self, request: &NodeProbe) -> Result<Vec<Attempt>, TransportError> {
        let deadline = request.health.budget().saturating_add(PROBE_SLACK);
        match self.lines("probe", request::probe(request), deadline).await {
            Err(TransportError::Failed(mut failure)) => {
                failure.unit = Some(request.id.clone());
                Err(TransportError::Failed(failure))
            }
            other => other.map(|lines| lines.attempts()),
        }
    }

    async fn hold(&self, fence: &Fence, anew: bool) -> Result<(), TransportError> {
        if anew {
            self.channel.reconnect().await?;
        }
        let answer = self.channel.say("hold", request::hold(fence), HOLD).await?;
        response::parse(&answered("hold", answer)?, &self.node).map(drop)
    }

    async fn confirm(&self, request: &Confirm) -> Result<(), TransportError> {
        self.channel.reconnect().await?;
        self.lines("confirm", request::confirm(request), DECIDE).await.map(drop)
    }

    async fn abandon(&self, request: &Abandon) -> Result<(), TransportError> {
        self.lines("abandon", request::abandon(request), DECIDE).await.map(drop)
    }

    async fn unlock(&self, request: &Unlock) -> Result<(), TransportError> {
        self.lines("unlock", request::unlock(request), DECIDE).await.map(drop)
    }

    async fn unquarantine(
        &self,
        fleet: &Name,
        release: Option<&Digest>,
    ) -> Result<(), TransportError> {
        let request = request::unquarantine(fleet, release);
        self.lines("unquarantine", request, LOOK).await.map(drop)
    }

    async fn read(
        &self,
        fleet: &Name,
        blobs: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Vec<u8>>, TransportError> {
        if blobs.is_empty() {
            return Ok(BTreeMap::new());
        }
        let stdout = self.stdout("read", request::read(fleet, blobs), LOOK).await?;
        response::parse_archive(&stdout, &self.node)
    }

    async fn read_files(
        &self,
        fleet: &Name,
        id: &UnitId,
    ) -> Result<BTreeMap<String, Vec<u8>>, TransportError> {
        let paths = self.shown_paths(fleet, id).await?;
        let request = request::read_files(fleet, id, &paths);
        let stdout = self.stdout("read-files", request, LOOK).await?;
        let numbered = response::parse_archive(&stdout, &self.node)?;
        let named = numbered.into_iter().filter_map(|(number, content)| {
            let path = paths.get(number.parse::<usize>().ok()?.checked_sub(1)?)?;
            Some((path.as_str().to_owned(), content))
        });
        Ok(named.collect())
    }

    async fn logs(
        &self,
        fleet: &Name,
        id: &UnitId,
        lines: u32,
    ) -> Result<Vec<String>, TransportError> {
        Ok(self.lines("logs", request::logs(fleet, id, lines), LOOK).await?.logs())
    }

    async fn dial(&self, target: SocketAddr) -> Result<Dial, TransportError> {
        self.channel.dial(target).await
    }

    async fn knock(&self, target: SocketAddr, within: Duration) -> Result<(), TransportError> {
        self.channel.knock(target, within).await
    }
}
