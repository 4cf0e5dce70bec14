//! What is on all hosts at one moment: files, units, containers. "Put back" and "no change" are comparisons of two.

mod compare;
mod disk;
mod engine;
pub(crate) mod state;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use crate::error::Result;
use crate::host::Host;
use crate::lab::Lab;
use disk::{Entry, under};
use engine::Engine;
use state::Unit;

/// Where gitsync keeps its own state on a host, unless the host's file says otherwise.
pub const STATE: &str = "/var/lib/gitsync";

/// What changes by itself on a running host, or says nothing of what was brought there.
const LEFT_OUT: &[&str] = &[
    "/dev",
    "/etc/.pwd.lock",
    "/etc/.updated",
    "/etc/cni",
    "/etc/docker/key.json",
    "/etc/machine-id",
    "/etc/mtab",
    "/lab",
    "/proc",
    "/root/.cache",
    "/root/.config",
    "/root/.local",
    "/run",
    "/sys",
    "/tmp",
    "/var/.updated",
    "/var/cache",
    "/var/lib/caddy",
    "/var/lib/containerd",
    "/var/lib/dbus",
    "/var/lib/docker",
    "/var/lib/private",
    "/var/lib/systemd",
    "/var/log",
    "/var/run",
    "/var/tmp",
];

/// Everything that was changed on hosts since they were made, and what their engines hold.
#[derive(Clone, Debug)]
pub struct Truth {
    hosts: BTreeMap<String, HostTruth>,
}

#[derive(Clone, Debug)]
struct HostTruth {
    power: Power,
    /// Paths of file systems of their own.
    mounts: Vec<String>,
    entries: BTreeMap<String, Entry>,
    /// By their directories.
    units: BTreeMap<String, Unit>,
    engine: Engine,
}

/// Whether anything on a host can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    On,
    /// Files can be read; nothing runs.
    Frozen,
    Off,
}

impl Truth {
    /// What is on all hosts of a lab now; of one that is off, what its disk holds.
    pub fn of(lab: &Lab) -> Result<Self> {
        Self::with_state(lab.hosts(), &[STATE])
    }

    /// What is on one host now.
    pub fn of_host(host: &Host) -> Result<Self> {
        Self::with_state(std::slice::from_ref(host), &[STATE])
    }

    /// What is on hosts where gitsync's own state lies in these directories.
    ///
    /// Nothing below them is told as a file; every unit there is told by its digest.
    pub fn with_state(hosts: &[Host], state: &[&str]) -> Result<Self> {
        let looked: Vec<Result<HostTruth>> = std::thread::scope(|scope| {
            let look = |host| scope.spawn(move || HostTruth::of(host, state));
            let threads: Vec<_> = hosts.iter().map(look).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect()
        });
        let named = hosts.iter().zip(looked);
        let named = named.map(|(host, truth)| Ok((host.name().to_owned(), truth?)));
        Ok(Self { hosts: named.collect::<Result<_>>()? })
    }

    /// Whether all is put back: contents, modes and owners of files, units' digests, containers' images and states.
    ///
    /// A file may be a new one of the same content, a container a new one of the same image. The error tells each
    /// difference on a line, 40 at most.
    pub fn same_content(&self, after: &Self) -> std::result::Result<(), String> {
        compare::told(compare::differences(self, after, false))
    }

    /// Whether nothing was touched: as [`Truth::same_content`], and no file was replaced or written to, no container
    /// replaced or started again.
    pub fn same(&self, after: &Self) -> std::result::Result<(), String> {
        compare::told(compare::differences(self, after, true))
    }

    /// This for one host alone; nothing for a name that no host has.
    pub fn only_host(&self, name: &str) -> Self {
        let hosts = self.hosts.iter().filter(|(host, _)| *host == name);
        Self { hosts: hosts.map(|(name, host)| (name.clone(), host.clone())).collect() }
    }

    /// This without what only a running host can tell, so that one that is off compares with itself when it was on:
    /// power, containers, and files on file systems of their own.
    pub fn only_disk(&self) -> Self {
        let mut truth = self.clone();
        for host in truth.hosts.values_mut() {
            let mounts = std::mem::take(&mut host.mounts);
            let mounted = |path: &str| mounts.iter().any(|mount| under(path, mount));
            host.entries.retain(|path, _| !mounted(path));
            host.units.retain(|path, _| !mounted(path));
            host.power = Power::Off;
            host.engine = Engine::Unasked;
        }
        truth
    }

    /// This without what lies at or below these paths, of all hosts.
    ///
    /// Directories above them stay, but no longer tell when something in them was made or removed.
    pub fn without(&self, paths: &[&str]) -> Self {
        let mut truth = self.clone();
        for host in truth.hosts.values_mut() {
            host.entries.retain(|path, _| !paths.iter().any(|out| under(path, out)));
            for (path, entry) in &mut host.entries {
                if paths.iter().any(|out| under(out, path)) {
                    entry.identity = None;
                }
            }
        }
        truth
    }

    /// Every path of a host that isn't as the host was built: made, changed or deleted.
    pub fn files_of(&self, host: &str) -> Vec<&str> {
        let entries = self.hosts.get(host).into_iter().flat_map(|host| &host.entries);
        let changed = entries.filter(|(_, entry)| !entry.is_as_built());
        changed.map(|(path, _)| path.as_str()).collect()
    }

    /// What a path of a host holds, in one line of words; none when it is as the host was built.
    pub fn file(&self, host: &str, path: &str) -> Option<String> {
        self.hosts
            .get(host)?
            .entries
            .get(path)
            .filter(|entry| !entry.is_as_built())
            .map(Entry::content)
    }

    /// Units of a host that were left with a change under way, by their directories.
    pub fn pending(&self, host: &str) -> Vec<&str> {
        let units = self.hosts.get(host).into_iter().flat_map(|host| &host.units);
        units.filter(|(_, unit)| unit.pending).map(|(path, _)| path.as_str()).collect()
    }
}

impl HostTruth {
    fn of(host: &Host, state: &[&str]) -> Result<Self> {
        let power = power(host);
        let mounts = host.spec.mounts.iter().map(disk::mount_path);
        Ok(Self {
            power,
            mounts: mounts.map(str::to_owned).collect(),
            entries: disk::entries(host, power, LEFT_OUT, state)?,
            units: state::units(host, state)?,
            engine: engine::ask(host, power)?,
        })
    }
}

/// Whether a host is on, and whether its processes may run.
pub(crate) fn power(host: &Host) -> Power {
    let group = host.freezer();
    let reads = |file: &str| fs::read_to_string(group.join(file)).unwrap_or_default();
    let frozen =
        || reads("freezer.state").starts_with("FR") || reads("cgroup.freeze").starts_with('1');
    match host.is_on() {
        true if frozen() => Power::Frozen,
        true => Power::On,
        false => Power::Off,
    }
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Frozen => "frozen",
            Self::Off => "off",
        })
    }
}

/// Sorted lines, each with its host: equal truths are equal texts.
impl fmt::Display for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, host) in &self.hosts {
            writeln!(f, "{name} power {}", host.power)?;
            for (path, entry) in &host.entries {
                writeln!(f, "{name} path {path}: {entry}")?;
            }
            for (path, unit) in &host.units {
                writeln!(f, "{name} unit {path}: {unit}")?;
            }
            writeln!(f, "{name} engine {}", host.engine)?;
            for (container, holds) in host.engine.containers() {
                writeln!(f, "{name} container {container}: {holds}")?;
            }
        }
        Ok(())
    }
}
