//! The `lab` command: one file per subcommand.

mod down;
mod exec;
mod fault;
mod fleet;
mod known;
mod run;
mod ssh;
mod status;
mod up;

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::{Parser, Subcommand};
use gitsync_lab::{Backend, Error, Host, Result};

/// Real hosts on this machine, to try gitsync on.
#[derive(Debug, Parser)]
#[command(name = "lab", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done; 1 error. `run`, `ssh` and `exec` end as their command does."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Bring a lab up; it stays until `lab down`
    Up(up::Up),
    /// End a lab and remove all that it made; nothing when none is up
    Down(down::Down),
    /// What is up, where it is, what is wrong with it on purpose, and node files for a fleet
    Status(status::Status),
    /// A shell or a command on a host, over ssh
    Ssh(ssh::Ssh),
    /// A command on a host without ssh and network: works when these are broken
    Exec(exec::Exec),
    /// A command in the controller's place: in the lab's network, with its host names
    Run(run::Run),
    /// Break something on a host, or mend it
    Fault(fault::FaultCommand),
}

impl Cli {
    /// Does what was asked; `run`, `ssh` and `exec` don't come back.
    pub fn run(&self) -> Result<()> {
        match &self.command {
            Sub::Up(up) => up.run(),
            Sub::Down(down) => down.run(),
            Sub::Status(status) => status.run(),
            Sub::Ssh(ssh) => ssh.run(),
            Sub::Exec(exec) => exec.run(),
            Sub::Run(run) => run.run(),
            Sub::Fault(fault) => fault.run(),
        }
    }
}

/// Which lab.
#[derive(Debug, clap::Args)]
struct Named {
    /// The lab's name
    #[arg(long, default_value = "lab", env = "GITSYNC_LAB_NAME")]
    name: String,
}

impl Named {
    fn find(&self) -> Result<Box<dyn Backend>> {
        gitsync_lab::check_root()?;
        gitsync_lab::find(&self.name)
    }

    /// The flag that names this lab again; nothing for the default one.
    fn flag(&self) -> String {
        if self.name == "lab" { String::new() } else { format!(" --name {}", self.name) }
    }
}

/// A host by its name; else an error that lists them.
fn host<'a>(lab: &'a dyn Backend, name: &str) -> Result<&'a Host> {
    let hosts = lab.hosts();
    hosts.iter().find(|host| host.name() == name).ok_or_else(|| {
        let names: Vec<&str> = hosts.iter().map(Host::name).collect();
        Error::Unknown(format!("no host `{name}` in this lab; it has {}", names.join(", ")))
    })
}

/// Prints; whoever closed the pipe has read enough.
fn say(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Becomes a command: its exit code, its terminal and the signals that it gets are this program's.
fn become_command(mut command: Command) -> Result<()> {
    let error = command.exec();
    Err(Error::Command { command: gitsync_lab::words(&command), said: error.to_string() })
}
