//! What a person asks of a lab, whatever its hosts are made of: the one place where backends differ.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::container::Containers;
use crate::error::{Error, Result};
use crate::fault::Fault;
use crate::host::Host;
use crate::lab::Lab;
use crate::place;
use crate::process::Process;
use crate::spec::Spec;

/// What hosts are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Namespaces of this machine: no engine needed, every fault.
    Namespaces,
    /// Containers of the Docker engine that `docker` talks to.
    Container,
}

/// A lab that is up.
pub trait Backend {
    /// What its hosts are made of.
    fn kind(&self) -> Kind;
    /// What it was made from.
    fn spec(&self) -> &Spec;
    /// Its directory on this machine.
    fn place(&self) -> &Path;
    /// Its hosts, in the order of the spec.
    fn hosts(&self) -> &[Host];
    /// Whether a host is powered on.
    fn is_on(&self, host: &Host) -> Result<bool>;
    /// A command in the controller's place: in the lab's network, with its host names.
    ///
    /// It becomes the program itself, so that signals and exit codes need no help.
    fn run(&self, words: &[OsString]) -> Command;
    /// A command on a host, as root, without ssh.
    fn exec(&self, host: &Host, words: &[OsString]) -> Result<Command>;
    /// Breaks or mends something.
    fn fail(&self, host: &Host, fault: &Fault) -> Result<()>;
    /// Ends every process of the lab and removes what it made; nothing when it is gone already.
    fn down(&mut self) -> Result<()>;
}

impl Kind {
    /// Says what this machine lacks for it.
    pub fn check(self) -> Result<()> {
        crate::lab::check_machine()?;
        if self == Self::Container { crate::container::check_engine() } else { Ok(()) }
    }

    /// Brings a lab up that stays until it is taken down.
    pub fn up(self, name: &str, spec: &Spec) -> Result<Box<dyn Backend>> {
        if find(name).is_ok() {
            let again = "`lab down` ends it, `--name` makes another one beside it";
            return Err(Error::Unknown(format!("lab `{name}` is up already; {again}")));
        }
        down(name)?;
        match self {
            Self::Namespaces => Ok(Box::new(Lab::up(name, spec)?)),
            Self::Container => Ok(Box::new(Containers::up(name, spec)?)),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Namespaces => "namespace",
            Self::Container => "container",
        })
    }
}

/// A lab's name is part of paths, of control groups' names, and of other names after which a dash comes.
fn check_name(name: &str) -> Result<()> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !name.is_empty() && name.len() <= 20 && name.chars().all(good) {
        return Ok(());
    }
    let rule = "small letters and digits, at most 20";
    Err(Error::Unknown(format!("`{name}` can't name a lab: {rule}")))
}

/// A lab that another process brought up.
pub fn find(name: &str) -> Result<Box<dyn Backend>> {
    check_name(name)?;
    match Containers::find(name)? {
        Some(lab) => Ok(Box::new(lab)),
        None => Ok(Box::new(Lab::find(name)?)),
    }
}

/// The labs that stay until somebody takes them down, and what is left of such ones.
pub fn names() -> Result<Vec<String>> {
    let entries = fs::read_dir(place::labs()).into_iter().flatten().flatten();
    let stays = entries
        .filter(|entry| ["hold", "engine"].iter().any(|file| entry.path().join(file).exists()));
    let mut names: Vec<String> =
        stays.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

/// Ends a lab by its name and removes what is left of it; whether it was up.
pub fn down(name: &str) -> Result<bool> {
    check_name(name)?;
    if let Some(mut lab) = Containers::find(name)? {
        return lab.down().map(|()| true);
    }
    if let Ok(mut lab) = Lab::find(name) {
        return Backend::down(&mut lab).map(|()| true);
    }
    place::remove(&place::labs().join(name)).map(|()| false)
}

impl Backend for Lab {
    fn kind(&self) -> Kind {
        Kind::Namespaces
    }

    fn spec(&self) -> &Spec {
        self.spec()
    }

    fn place(&self) -> &Path {
        self.place()
    }

    fn hosts(&self) -> &[Host] {
        self.hosts()
    }

    fn is_on(&self, host: &Host) -> Result<bool> {
        Ok(host.is_on())
    }

    fn run(&self, words: &[OsString]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.network().display())).arg("--");
        command.args(with_names(self.place(), &["hosts", "resolv.conf"])).args(words);
        command
    }

    fn exec(&self, host: &Host, words: &[OsString]) -> Result<Command> {
        let mut command = host.command("/lab/busybox")?;
        command.arg("env").args(words);
        Ok(command)
    }

    fn fail(&self, host: &Host, fault: &Fault) -> Result<()> {
        host.fail(fault)
    }

    fn down(&mut self) -> Result<()> {
        // What `run` started is in the lab's network, but not among the processes that end with it.
        let left = inhabitants(&self.network());
        self.down()?;
        left.into_iter().for_each(Process::kill);
        Ok(())
    }
}

/// The beginning of a command line that sees some files of a lab's directory in the place of those in `/etc`.
pub fn with_names(place: &Path, files: &[&str]) -> Vec<OsString> {
    let script = "n=$1; shift; while [ $n -gt 0 ]; do \
                  if [ -e \"/etc/${1##*/}\" ]; then mount --bind \"$1\" \"/etc/${1##*/}\" || exit 1; fi; \
                  shift; n=$((n - 1)); done; exec \"$@\"";
    let words = ["unshare", "--mount", "--", "sh", "-c", script, "lab"].map(OsString::from);
    let count = OsString::from(files.len().to_string());
    let files = files.iter().map(|file| place.join(file).into());
    words.into_iter().chain([count]).chain(files).collect()
}

/// The processes in a network, but for this one.
fn inhabitants(network: &Path) -> Vec<Process> {
    let Ok(wanted) = fs::read_link(network) else { return Vec::new() };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let inside = pids.filter(|pid| {
        *pid != std::process::id()
            && fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|found| found == wanted)
    });
    inside.filter_map(Process::find).collect()
}
