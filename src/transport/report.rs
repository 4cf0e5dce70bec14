//! The answer to `observe`, read into the report of a node.

use super::TransportError;
use super::response::Lines;
use crate::model::{
    AbsPath, ContainerReport, Digest, FileReport, FileState, Good, Holder, Name, NodeReport,
    Pending, ProcessReport, ProcessState, Quarantined, Restored, Timestamp, UnitId, UnitReport,
    unit_from_manifest,
};

/// Reads an answer to `observe`. Lines with keys that are not known are left out: a newer script may say more.
pub fn node_report(lines: &Lines, node: &Name) -> Result<NodeReport, TransportError> {
    let mut reader = Reader { node, report: NodeReport::default(), unit: None };
    for line in lines.0.iter().filter(|line| !line.starts_with("| ")) {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        if reader.line(key, value).is_none() {
            return Err(TransportError::Unreachable(format!("not understood: {line}")));
        }
    }
    for (digest, text) in lines.manifests() {
        // A manifest that is not what its name says is as good as none.
        if Digest::of(text.as_bytes()).0 == digest
            && let Some(unit) = unit_from_manifest(&text)
        {
            reader.report.manifests.insert(Digest(digest), unit);
        }
    }
    if reader.report.node_id.is_empty() {
        return Err(TransportError::Unreachable("the answer names no node id".to_owned()));
    }
    reader.report.record.holder =
        reader.report.record.holder.filter(|holder| !holder.who.is_empty());
    Ok(reader.report)
}

struct Reader<'a> {
    node: &'a Name,
    report: NodeReport,
    unit: Option<UnitId>,
}

fn not_dash(text: &str) -> Option<String> {
    (text != "-").then(|| text.to_owned())
}

fn digest_or_dash(text: &str) -> Option<Digest> {
    not_dash(text).map(Digest)
}

fn timestamp(text: &str) -> Option<Timestamp> {
    text.parse().ok().map(Timestamp)
}

impl Reader<'_> {
    /// Takes one line; none when its value can't be read.
    fn line(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "node-id" => self.report.node_id = value.to_owned(),
            "boot" => self.report.boot_id = value.to_owned(),
            "uptime" => self.report.uptime = value.parse().ok()?,
            "now" => self.report.now = value.parse().ok()?,
            "arch" => self.report.arch = value.to_owned(),
            "user" => self.report.user = value.to_owned(),
            "free" => self.report.free = value.parse().ok()?,
            "volatile" => self.report.volatile = Some(value.to_owned()),
            "tool" => self.tool(value),
            "blob" => drop(self.report.blobs.insert(value.to_owned())),
            "unit" => self.unit = Some(self.unit_named(value)?),
            "current" | "previous" | "pending" | "process" => self.unit_line(key, value)?,
            "file" => self.file(value)?,
            "container" => self.container(value)?,
            _ => self.record_line(key, value)?,
        }
        Some(())
    }

    fn tool(&mut self, value: &str) {
        let (name, version) = value.split_once(' ').unwrap_or((value, ""));
        self.report.tools.insert(name.to_owned(), version.to_owned());
    }

    fn unit_named(&mut self, local: &str) -> Option<UnitId> {
        let id = UnitId::from_local(self.node, local).ok()?;
        self.report.units.entry(id.clone()).or_default();
        Some(id)
    }

    fn unit_of(&mut self, local: &str) -> Option<&mut UnitReport> {
        let id = UnitId::from_local(self.node, local).ok()?;
        Some(self.report.units.entry(id).or_default())
    }

    fn unit_line(&mut self, key: &str, value: &str) -> Option<()> {
        let id = self.unit.clone()?;
        let unit = self.report.units.entry(id).or_default();
        match key {
            "current" => unit.current = digest_or_dash(value),
            "previous" => unit.previous = digest_or_dash(value),
            "pending" => unit.pending = Some(pending(value)?),
            _ => unit.process = Some(process(value)?),
        }
        Some(())
    }

    /// `file <unit> <hash or word> <mode> <owner> <path>`
    fn file(&mut self, value: &str) -> Option<()> {
        let fields: Vec<&str> = value.splitn(5, ' ').collect();
        let [local, what, mode, owner, path] = fields.as_slice() else { return None };
        let state = match *what {
            "missing" => FileState::Missing,
            "link" | "directory" | "other" => FileState::Foreign((*what).to_owned()),
            hash => FileState::Present {
                hash: hash.to_owned(),
                mode: u32::from_str_radix(mode, 8).ok()?,
                owner: (*owner).to_owned(),
            },
        };
        let destination = AbsPath::new(*path).ok()?;
        self.unit_of(local)?.files.push(FileReport { destination, state });
        Some(())
    }

    /// `container <unit> <service> <id> <image> <status> <health> <restarts> <exit code> <started> <name>`
    fn container(&mut self, value: &str) -> Option<()> {
        let fields: Vec<&str> = value.splitn(10, ' ').collect();
        let [local, service, id, image, status, health, restarts, code, started, name] =
            fields.as_slice()
        else {
            return None;
        };
        let container = ContainerReport {
            service: (*service).to_owned(),
            id: (*id).to_owned(),
            image: (*image).to_owned(),
            status: (*status).to_owned(),
            health: not_dash(health),
            restarts: restarts.parse().ok()?,
            exit_code: code.parse().ok()?,
            started_at: (*started).to_owned(),
            name: name.trim_start_matches('/').to_owned(),
        };
        // Someone else's label is not worth failing for.
        if let Some(unit) = self.unit_of(local) {
            unit.containers.push(container);
            unit.containers.sort_by(|a, b| (&a.service, &a.name).cmp(&(&b.service, &b.name)));
        }
        Some(())
    }

    fn record_line(&mut self, key: &str, value: &str) -> Option<()> {
        let record = &mut self.report.record;
        match key {
            "fence" => record.fence = value.parse().ok()?,
            "nonce" | "holder" | "rollout" | "since" => self.holder(key, value)?,
            "verdict" => record.verdict = Some(verdict(value)?),
            "quarantine" => record.quarantine.push(quarantined(value)?),
            "good" => record.good.push(good(value)?),
            "good-unit" => self.good_unit(value)?,
            "lapsed" => self.report.lapsed = value == "yes",
            "restored" => self.report.restored = Some(self.restored(value)?),
            _ => {}
        }
        Some(())
    }

    /// `nonce` comes first and stays after the fence is given back; only a `holder` line means that it is held.
    fn holder(&mut self, key: &str, value: &str) -> Option<()> {
        let record = &mut self.report.record;
        if key == "nonce" {
            record.holder = Some(Holder {
                who: String::new(),
                rollout: String::new(),
                since: Timestamp(0),
                nonce: value.to_owned(),
            });
            return Some(());
        }
        let holder = record.holder.as_mut()?;
        match key {
            "holder" => holder.who = value.to_owned(),
            "rollout" => holder.rollout = value.to_owned(),
            _ => holder.since = timestamp(value)?,
        }
        Some(())
    }

    /// `restored <rollout> <at> <units that are stuck> <why>`
    fn restored(&self, value: &str) -> Option<Restored> {
        let mut fields = value.splitn(4, ' ');
        let (rollout, at) = (fields.next()?.to_owned(), timestamp(fields.next()?)?);
        let stuck = fields.next()?.split(',').filter(|local| *local != "-");
        let stuck = stuck.map(|local| UnitId::from_local(self.node, local).ok());
        let stuck = stuck.collect::<Option<_>>()?;
        Some(Restored { rollout, at, stuck, why: fields.next().unwrap_or_default().to_owned() })
    }

    /// `good-unit <n> <unit> <digest>`
    fn good_unit(&mut self, value: &str) -> Option<()> {
        let fields: Vec<&str> = value.splitn(3, ' ').collect();
        let [number, local, digest] = fields.as_slice() else { return None };
        let id = UnitId::from_local(self.node, local).ok()?;
        let good = self.report.record.good.get_mut(number.parse::<usize>().ok()?)?;
        good.units.insert(id, Digest((*digest).to_owned()));
        Some(())
    }
}

/// `<rollout> <from> <to>`
fn pending(value: &str) -> Option<Pending> {
    let mut fields = value.splitn(3, ' ');
    let rollout = fields.next()?.to_owned();
    let from = digest_or_dash(fields.next()?);
    Some(Pending { rollout, from, to: digest_or_dash(fields.next()?) })
}

/// `running|dead|none <pid or ->`
fn process(value: &str) -> Option<ProcessReport> {
    let (word, pid) = value.split_once(' ')?;
    let state = match word {
        "running" => ProcessState::Running,
        "dead" => ProcessState::Dead,
        _ => ProcessState::None,
    };
    Some(ProcessReport { state, pid: pid.parse().ok() })
}

/// `<word> <at> <release>`
fn verdict(value: &str) -> Option<(String, Digest, Timestamp)> {
    let mut fields = value.splitn(3, ' ');
    let word = fields.next()?.to_owned();
    let at = timestamp(fields.next()?)?;
    Some((word, Digest(fields.next()?.to_owned()), at))
}

/// `<release> <at> <commit or -> <reason>`
fn quarantined(value: &str) -> Option<Quarantined> {
    let mut fields = value.splitn(4, ' ');
    Some(Quarantined {
        release: Digest(fields.next()?.to_owned()),
        at: timestamp(fields.next()?)?,
        commit: not_dash(fields.next()?),
        reason: fields.next().unwrap_or_default().to_owned(),
    })
}

/// `<n> <release> <commit or -> <at>`
fn good(value: &str) -> Option<Good> {
    let mut fields = value.splitn(4, ' ').skip(1);
    let release = Digest(fields.next()?.to_owned());
    let commit = not_dash(fields.next()?);
    Some(Good { release, commit, at: timestamp(fields.next()?)?, units: Default::default() })
}
