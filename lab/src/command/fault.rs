//! `lab fault`: breaks something on a host, or mends it.

use std::net::Ipv4Addr;

use clap::Subcommand;
use gitsync_lab::{Backend, Error, Fault, Host, Result, Way};

use super::known::Known;
use super::{Named, host, say};

#[derive(Debug, clap::Args)]
pub struct FaultCommand {
    #[command(flatten)]
    lab: Named,
    /// The host
    host: String,
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// Pull the plug of its link: the host notices
    Down,
    /// Put the plug back
    Up,
    /// Cut its link far away: nothing arrives, and nobody notices
    Cut,
    /// Mend a cut link
    Mend,
    /// Let it hear nothing from a peer
    Deaf(Peer),
    /// Lose all that it says to a peer
    Mute(Peer),
    /// Undo every `deaf` and `mute`
    BothWays,
    /// Lose a part of what arrives
    Loss {
        /// From 0, which undoes it, to 1
        #[arg(value_parser = part)]
        part: f64,
    },
    /// Make what arrives come slowly
    Slow {
        /// Kilobits per second
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        kilobits: u32,
    },
    /// Undo `slow`
    FullSpeed,
    /// Stop all of its processes: it answers pings and nothing else
    Freeze,
    /// Let a frozen host go on
    Thaw,
    /// Stop its sshd: connections are taken, and nothing is said
    HangSshd,
    /// Let its sshd go on
    WakeSshd,
    /// Fill one of its own small disks
    Fill {
        /// A directory on that disk
        directory: String,
        /// How many KiB are left
        #[arg(long, default_value_t = 0)]
        left: u64,
    },
    /// Undo `fill`
    Drain {
        /// The same directory
        directory: String,
    },
    /// Cut its power: every process ends at once, its disk stays
    PowerOff,
    /// Power it on and wait for its sshd
    PowerOn,
    /// Cut its power and give it back
    Reboot,
    /// Give it another host key, as a machine has that was installed anew
    ChangeHostKey,
}

#[derive(Debug, clap::Args)]
struct Peer {
    /// A host, `controller`, or an address
    peer: String,
}

impl FaultCommand {
    pub fn run(&self) -> Result<()> {
        let lab = self.lab.find()?;
        let host = host(&*lab, &self.host)?;
        let fault = self.kind.fault(&*lab, host)?;
        if !lab.is_on(host)? && !matches!(fault, Fault::PowerOn | Fault::PowerOff | Fault::Reboot) {
            return Err(Error::Unknown(format!("{} is off; power it on first", host.name())));
        }
        lab.fail(host, &fault)?;
        let mut known = Known::read(lab.place());
        known.note(host.name(), &fault);
        known.write(lab.place())?;
        if fault == Fault::ChangeHostKey {
            let key = host.host_key()?;
            let still = "node files and `known_hosts` still say the old one";
            say(&format!("{} has the key {key}; {still}\n", host.name()));
        }
        Ok(())
    }
}

impl Kind {
    fn fault(&self, lab: &dyn Backend, host: &Host) -> Result<Fault> {
        Ok(match self {
            Self::Down => Fault::Down,
            Self::Up => Fault::Up,
            Self::Cut => Fault::Cut,
            Self::Mend => Fault::Mend,
            Self::Deaf(peer) => Fault::OneWay(Way::Deaf, peer.address(lab)?),
            Self::Mute(peer) => Fault::OneWay(Way::Mute, peer.address(lab)?),
            Self::BothWays => Fault::BothWays,
            Self::Loss { part } => Fault::Loss(*part),
            Self::Slow { kilobits } => Fault::Slow(*kilobits),
            Self::FullSpeed => Fault::FullSpeed,
            Self::Freeze => Fault::Freeze,
            Self::Thaw => Fault::Thaw,
            Self::HangSshd => Fault::HangSshd,
            Self::WakeSshd => Fault::WakeSshd,
            Self::Fill { directory, left } => Fault::Fill(own_disk(lab, host, directory)?, *left),
            Self::Drain { directory } => Fault::Drain(own_disk(lab, host, directory)?),
            Self::PowerOff => Fault::PowerOff,
            Self::PowerOn => Fault::PowerOn,
            Self::Reboot => Fault::Reboot,
            Self::ChangeHostKey => Fault::ChangeHostKey,
        })
    }
}

impl Peer {
    fn address(&self, lab: &dyn Backend) -> Result<Ipv4Addr> {
        if self.peer == "controller" {
            return Ok(lab.spec().controller);
        }
        self.peer.parse().or_else(|_| host(lab, &self.peer).map(Host::address))
    }
}

/// A directory on a disk that is the host's alone: to fill another one is to fill this machine.
fn own_disk(lab: &dyn Backend, host: &Host, directory: &str) -> Result<String> {
    let spec = lab.spec().hosts.iter().find(|spec| spec.name == host.name());
    let disks: Vec<&str> =
        spec.iter().flat_map(|spec| &spec.mounts).map(|mount| mount.path()).collect();
    let path = std::path::Path::new(directory);
    let plain = !directory.contains('\'') && !directory.split('/').any(|part| part == "..");
    if plain && disks.iter().any(|disk| path.starts_with(disk)) {
        return Ok(directory.trim_end_matches('/').to_owned());
    }
    let name = host.name();
    let has = match disks.is_empty() {
        true => format!("{name} has no small disk of its own"),
        false => format!("{name} has {}", disks.join(", ")),
    };
    let why = "is on no small disk of the host, and would fill this machine's";
    Err(Error::Unknown(format!("`{directory}` {why}; {has}")))
}

fn part(text: &str) -> std::result::Result<f64, String> {
    let part: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&part) { Ok(part) } else { Err("not between 0 and 1".to_owned()) }
}
