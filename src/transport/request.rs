//! Requests to the node script as bytes: header lines, an empty line, and for `prepare` an archive of contents.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{
    Abandon, ChangeUnit, Confirm, Fence, NodeProbe, Prepare, PrepareUnit, TransportError, Unlock,
};
use crate::model::{
    AbsPath, Boot, Check, Content, Digest, FailureKind, Name, UnitId, manifest_text,
};

/// Header lines of a request; values keep to one line.
struct Header(String);

impl Header {
    fn of(fleet: &Name) -> Self {
        Self(String::new()).line("fleet", fleet.as_str())
    }

    fn held(fence: &Fence) -> Self {
        Self::of(&fence.fleet).line("fence", &fence.number.to_string()).line("nonce", &fence.nonce)
    }

    fn line(mut self, key: &str, value: &str) -> Self {
        let value: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.0.push_str(&format!("{key} {value}\n"));
        self
    }

    fn bytes(mut self) -> Vec<u8> {
        self.0.push('\n');
        self.0.into_bytes()
    }
}

fn or_dash(digest: Option<&Digest>) -> &str {
    digest.map_or("-", |digest| digest.0.as_str())
}

/// Hundredths of a second, rounded up: the resolution of `/proc/uptime`.
fn hundredths(duration: Duration) -> String {
    duration.as_millis().div_ceil(10).to_string()
}

/// Asks for everything that the node knows about a fleet.
pub fn observe(fleet: &Name) -> Vec<u8> {
    Header::of(fleet).bytes()
}

/// Asks for a prepare; brings manifests, and those contents that the node lacks.
///
/// Fails when a content is neither here nor known to be on the node.
pub fn prepare(request: &Prepare, boot: &Boot) -> Result<Vec<u8>, TransportError> {
    let files = prepare_files(request)?;
    let total: usize = files.values().map(Vec::len).sum();
    let dead_man = request.dead_man.map_or("off".to_owned(), |d| d.as_secs().max(1).to_string());
    let mut header = Header::held(&request.fence)
        .line("holder", &request.holder)
        .line("rollout", &request.rollout)
        .line("since", &request.since.0.to_string())
        .line("dead-man", &dead_man)
        .line("boot", &boot_line(boot))
        .line("takeover", if request.takeover { "yes" } else { "no" })
        .line("bytes", &total.to_string());
    for unit in &request.units {
        header = header.line("unit", &prepare_line(unit));
    }
    let mut bytes = header.bytes();
    append_archive(&mut bytes, &files)
        .map_err(|error| TransportError::Unreachable(format!("packing contents: {error}")))?;
    Ok(bytes)
}

fn boot_line(boot: &Boot) -> String {
    match boot {
        Boot::Systemd => "systemd".to_owned(),
        Boot::Openrc => "openrc".to_owned(),
        Boot::Cron => "cron".to_owned(),
        Boot::File(path) => format!("file {path}"),
        Boot::None => "none".to_owned(),
    }
}

fn prepare_line(unit: &PrepareUnit) -> String {
    let to = unit.to.as_ref().map(crate::model::Unit::digest);
    let how = if unit.adopt { "adopt" } else { "strict" };
    format!("{} {} {} {how}", unit.id.local(), or_dash(to.as_ref()), or_dash(unit.from.as_ref()))
}

fn prepare_files(request: &Prepare) -> Result<BTreeMap<String, Vec<u8>>, TransportError> {
    let mut files = BTreeMap::new();
    for unit in request.units.iter().filter_map(|unit| unit.to.as_ref()) {
        let manifest = manifest_text(unit).into_bytes();
        files.insert(format!("{}.manifest", Digest::of(&manifest)), manifest);
        for (name, content) in unit.contents() {
            match content {
                _ if request.present.contains(&name) => {}
                Content::Bytes(bytes) => drop(files.insert(name, bytes.clone())),
                Content::Sealed(_) => {
                    let opened = request.opened.get(&name);
                    let opened = opened.ok_or_else(|| content_is_gone(&unit.id, &name))?;
                    files.insert(name, opened.clone());
                }
                Content::OnNode(_) => return Err(content_is_gone(&unit.id, &name)),
            }
        }
    }
    Ok(files)
}

fn content_is_gone(unit: &UnitId, name: &str) -> TransportError {
    let mut failure = super::plain_failure(
        FailureKind::Refused,
        format!("{unit}: the content {} is no longer on the node", name.get(..12).unwrap_or(name)),
    );
    failure.unit = Some(unit.clone());
    TransportError::Failed(Box::new(failure))
}

fn append_archive(
    bytes: &mut Vec<u8>,
    files: &BTreeMap<String, Vec<u8>>,
) -> Result<(), std::io::Error> {
    let mut archive = tar::Builder::new(bytes);
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_entry_type(tar::EntryType::Regular);
        archive.append_data(&mut header, name, content.as_slice())?;
    }
    archive.finish()
}

/// Asks for a change, a stop or a put-back of one unit.
pub fn change(request: &ChangeUnit) -> Vec<u8> {
    // The node gives up on a program before the controller gives up on the node.
    let limit = request.deadline.as_secs().saturating_sub(15).max(10);
    let unit = format!(
        "{} {} {}",
        request.id.local(),
        or_dash(request.to.as_ref()),
        or_dash(request.from.as_ref())
    );
    let mut header =
        Header::held(&request.fence).line("limit", &limit.to_string()).line("unit", &unit);
    for replaced in &request.replaces {
        let value = format!("{} {}", replaced.unit.local(), replaced.from);
        header = header.line("replaces", &value);
    }
    header.bytes()
}

/// Asks that a unit which does not run is started in the version that it has.
pub fn bring_up(fleet: &Name, id: &UnitId, digest: &Digest, deadline: Duration) -> Vec<u8> {
    let limit = deadline.as_secs().saturating_sub(15).max(10);
    Header::of(fleet)
        .line("limit", &limit.to_string())
        .line("unit", &format!("{} {digest} {digest}", id.local()))
        .bytes()
}

/// Asks for the node's share of a probe.
pub fn probe(request: &NodeProbe) -> Vec<u8> {
    let health = &request.health;
    let mut header = Header::of(&request.fleet)
        .line("unit", &request.id.local())
        .line("interval", &hundredths(health.interval))
        .line("timeout", &hundredths(health.timeout))
        .line("retries", &health.retries.to_string())
        .line("start-period", &hundredths(health.start_period))
        .line("stable-for", &hundredths(health.stable_for));
    for check in &health.checks {
        match check {
            Check::Running => header = header.line("check", "running"),
            Check::Exec { command, container } => {
                let place = container.as_deref().unwrap_or("-");
                header = header.line("check", &format!("exec {place}"));
                for line in command.lines() {
                    header = header.line("exec", line);
                }
            }
            Check::Http { .. } | Check::Tcp { .. } => {}
        }
    }
    header.bytes()
}

/// Tells the decision.
pub fn confirm(request: &Confirm) -> Vec<u8> {
    let good = &request.good;
    let commit = good.commit.as_deref().unwrap_or("-");
    let mut header = Header::held(&request.fence)
        .line("release", &format!("{} {commit}", good.release))
        .line("at", &good.at.0.to_string())
        .line("keep", if request.keep { "yes" } else { "no" });
    for (id, digest) in &good.units {
        header = header.line("unit", &format!("{} {digest}", id.local()));
    }
    for id in &request.remove {
        header = header.line("remove", &id.local());
    }
    if let Some((release, reason)) = &request.quarantine {
        header = header.line("quarantine", &format!("{release} {reason}"));
    }
    header.bytes()
}

/// Renews the lease.
pub fn hold(fence: &Fence) -> Vec<u8> {
    Header::held(fence).bytes()
}

/// Tells the end of a rollout that did not converge.
pub fn abandon(request: &Abandon) -> Vec<u8> {
    let commit = request.commit.as_deref().unwrap_or("-");
    let quarantine =
        request.quarantine.as_ref().map_or("no -".to_owned(), |reason| format!("yes {reason}"));
    Header::held(&request.fence)
        .line("verdict", request.verdict.word())
        .line("release", &format!("{} {commit}", request.release))
        .line("at", &request.at.0.to_string())
        .line("quarantine", &quarantine)
        .bytes()
}

/// Ends a hold.
pub fn unlock(request: &Unlock) -> Vec<u8> {
    Header::of(&request.fleet)
        .line("nonce", &request.nonce)
        .line("holder", &request.by)
        .line("why", &request.reason)
        .line("at", &request.at.0.to_string())
        .bytes()
}

/// Lifts a quarantine.
pub fn unquarantine(fleet: &Name, release: Option<&Digest>) -> Vec<u8> {
    let release = release.map_or("all", |digest| digest.0.as_str());
    Header::of(fleet).line("release", &format!("{release} -")).bytes()
}

/// Asks for contents by name.
pub fn read(fleet: &Name, blobs: &BTreeSet<String>) -> Vec<u8> {
    blobs.iter().fold(Header::of(fleet), |header, blob| header.line("blob", blob)).bytes()
}

/// Asks for the manifest that a unit runs.
pub fn manifest(fleet: &Name, id: &UnitId) -> Vec<u8> {
    Header::of(fleet).line("unit", &id.local()).bytes()
}

/// Asks for managed files as they are now; the answer numbers them in byte order of their paths, from 1.
pub fn read_files<'a>(
    fleet: &Name,
    id: &UnitId,
    paths: impl IntoIterator<Item = &'a AbsPath>,
) -> Vec<u8> {
    let header = Header::of(fleet).line("unit", &id.local());
    paths.into_iter().fold(header, |header, path| header.line("path", path.as_str())).bytes()
}

/// Asks for the last lines that a unit's program logged.
pub fn logs(fleet: &Name, id: &UnitId, lines: u32) -> Vec<u8> {
    Header::of(fleet).line("unit", &id.local()).line("lines", &lines.to_string()).bytes()
}
