//! What explains a scenario that failed, of every host in whatever state it is, saved as text.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use crate::bounded::bounded;
use crate::error::{Result, at};
use crate::host::Host;
use crate::lab::Lab;
use crate::spec::Init;
use crate::truth::state::{names, place};
use crate::truth::{Power, STATE, power};

/// How long one question to a host may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many bytes of a log are kept: its end.
const KEPT: u64 = 1 << 20;
/// How many lines of a container are kept.
const LINES: usize = 50;
/// Files of gitsync's state that are text, short and free of secrets.
const RECORDS: &[&str] =
    &["record", "rollout", "current", "previous", "pending", "process", "starter", "made"];

/// Saves everything below a directory, for each host in one of its own; an earlier save is replaced.
///
/// Takes seconds at most, also for hosts that are frozen or off. What can't be had is said in the file where it
/// would be; only a directory that can't be written is an error.
pub fn save(lab: &Lab, directory: &Path) -> Result<()> {
    let saved: Vec<Result<()>> = std::thread::scope(|scope| {
        let hosts = lab.hosts().iter();
        let threads: Vec<_> = hosts
            .map(|host| scope.spawn(move || write(&directory.join(host.name()), &topics(host))))
            .collect();
        let saved = threads.into_iter().map(|thread| thread.join());
        saved.map(|saved| saved.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    saved.into_iter().collect()
}

/// Names of files and their text.
type Topics = Vec<(&'static str, String)>;

fn write(directory: &Path, topics: &Topics) -> Result<()> {
    at(directory, fs::create_dir_all(directory))?;
    for (name, text) in topics {
        let path = directory.join(name);
        at(&path, fs::write(&path, text))?;
    }
    Ok(())
}

fn topics(host: &Host) -> Topics {
    let power = power(host);
    let ask = |script: &str| match power {
        Power::Off => format!("({} is off)\n", host.name()),
        Power::On | Power::Frozen => ask(host, script),
    };
    let journal = match host.spec.init {
        Init::Systemd => ask("journalctl --no-pager -n 500"),
        Init::Plain | Init::Openrc => format!("({} has no systemd)\n", host.name()),
    };
    vec![
        (
            "host.txt",
            format!("{} is {power}\n{}", host.name(), ask("df; echo; mount; echo; uptime")),
        ),
        ("console.log", tail(&host.place.join("console"))),
        ("sshd.log", tail(&host.disk("/var/log/sshd.log"))),
        ("dockerd.log", tail(&host.disk("/var/log/dockerd.log"))),
        ("go.log", tail(&host.disk("/var/log/go.log"))),
        ("journal.txt", journal),
        ("processes.txt", ask("if [ -x /bin/ps ]; then /bin/ps -efww; else ps; fi")),
        ("network.txt", ask("ip address; echo; ip route")),
        ("containers.txt", containers(host, power)),
        ("gitsync.txt", state(host)),
        ("unit-logs.txt", unit_logs(host)),
    ]
}

/// What a script prints, with what went wrong. Its plain words are busybox', which every host has.
fn ask(host: &Host, script: &str) -> String {
    let asked = host.command("/lab/busybox").and_then(|mut command| {
        bounded(command.args(["sh", "-c", &format!("exec 2>&1; {script}")]), PATIENCE)
    });
    match asked {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        Ok(output) => format!("{}({})\n", String::from_utf8_lossy(&output.stdout), output.status),
        Err(error) => format!("({error})\n"),
    }
}

/// The end of a file, or why there is none.
fn tail(path: &Path) -> String {
    end(path).unwrap_or_else(|error| format!("(no {}: {error})\n", path.display()))
}

fn end(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(KEPT);
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.take(KEPT).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(if from > 0 { format!("(the first {from} bytes are left out)\n{text}") } else { text })
}

/// The engine's list, and the last lines of each container: from the disk, for a stuck engine tells nothing.
fn containers(host: &Host, power: Power) -> String {
    if !host.spec.docker {
        return format!("({} has no engine)\n", host.name());
    }
    let mut text = match power {
        Power::On => ask(host, "docker ps -a --no-trunc"),
        Power::Frozen | Power::Off => {
            format!("({} is {power}: its engine can't answer)\n", host.name())
        }
    };
    let all = host.place.join("docker/containers");
    for id in names(&all) {
        let log = tail(&all.join(&id).join(format!("{id}-json.log")));
        let _ = writeln!(text, "\n== {id} {}", described(&all.join(&id)));
        let lines: Vec<&str> = log.lines().collect();
        for line in &lines[lines.len().saturating_sub(LINES)..] {
            let _ = writeln!(text, "{}", said(line));
        }
    }
    text
}

/// A container's name and state, as its engine wrote them down.
fn described(directory: &Path) -> String {
    let read = || -> Option<String> {
        let text = fs::read(directory.join("config.v2.json")).ok()?;
        let json: serde_json::Value = serde_json::from_slice(&text).ok()?;
        let name = json.get("Name")?.as_str()?.trim_start_matches('/');
        let state = json.get("State")?;
        Some(format!(
            "{name}, {}, restarts {}: {state}",
            json.get("Image")?,
            json.get("RestartCount")?
        ))
    };
    read().unwrap_or_else(|| "(nothing is known of it)".to_owned())
}

/// One line of a container's log without its wrapping: when, and what it said.
fn said(line: &str) -> String {
    let read = || -> Option<String> {
        let json: serde_json::Value = serde_json::from_str(line).ok()?;
        let (time, text) = (json.get("time")?.as_str()?, json.get("log")?.as_str()?);
        Some(format!("{time} {}", text.trim_end()))
    };
    read().unwrap_or_else(|| line.to_owned())
}

/// Every file of gitsync's fleets on the host, and what its records say.
fn state(host: &Host) -> String {
    let root = format!("{STATE}/fleets");
    let mut text = String::new();
    below(&place(host, &root), &root, &mut |path, name, place| {
        let meta = fs::symlink_metadata(place);
        let size =
            meta.map_or_else(|error| error.to_string(), |meta| format!("{} bytes", meta.len()));
        let _ = writeln!(text, "{path} ({size})");
        if let Ok(target) = fs::read_link(place) {
            let _ = writeln!(text, "    → {}", target.display());
        } else if RECORDS.contains(&name) {
            for line in tail(place).lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
    });
    if text.is_empty() { format!("({} has no {root})\n", host.name()) } else { text }
}

/// What the processes of units said.
fn unit_logs(host: &Host) -> String {
    let root = format!("{STATE}/fleets");
    let mut text = String::new();
    below(&place(host, &root), &root, &mut |path, name, place| {
        if name == "log" {
            let _ = writeln!(text, "== {path}\n{}", tail(place));
        }
    });
    if text.is_empty() { format!("({} keeps no logs of units)\n", host.name()) } else { text }
}

/// Shows every file below a directory: its path on the host, its name, and where it can be read.
fn below(directory: &Path, path: &str, show: &mut impl FnMut(&str, &str, &Path)) {
    for name in names(directory) {
        let (place, path) = (directory.join(&name), format!("{path}/{name}"));
        if fs::symlink_metadata(&place).is_ok_and(|meta| meta.is_dir()) {
            below(&place, &path, show);
        } else {
            show(&path, &name, &place);
        }
    }
}
