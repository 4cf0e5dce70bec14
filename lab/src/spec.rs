//! What a lab is to be: its network and its hosts, as plain values.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::tree::Tree;

/// What runs as a host's first process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Init {
    /// A shell that starts sshd and what else was asked for.
    #[default]
    Plain,
    /// The same, which leaves services to OpenRC.
    Openrc,
    /// systemd.
    Systemd,
}

impl Init {
    /// The word that a host's first process goes by.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Openrc => "openrc",
            Self::Systemd => "systemd",
        }
    }
}

/// A file system of its own at some path of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mount {
    /// A small disk of so many mebibytes, that outlives a reboot.
    Disk(String, u32),
    /// Memory: empty after a reboot.
    Memory(String),
}

/// One host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostSpec {
    /// Its host name, also its name in the lab: at most ten letters.
    pub name: String,
    /// Its address on the lab's network.
    pub address: Ipv4Addr,
    /// What it has.
    pub tree: Tree,
    /// What starts it.
    pub init: Init,
    /// Whether an engine of its own runs on it.
    pub docker: bool,
    /// Whether cron runs on it.
    pub cron: bool,
    /// Sessions on one SSH connection.
    pub max_sessions: u32,
    /// File systems of their own.
    pub mounts: Vec<Mount>,
}

impl Mount {
    /// Where it is on the host.
    pub fn path(&self) -> &str {
        match self {
            Self::Disk(path, _) | Self::Memory(path) => path,
        }
    }
}

impl HostSpec {
    /// A Debian with sshd.
    pub fn new(name: &str, address: Ipv4Addr) -> Self {
        Self {
            name: name.to_owned(),
            address,
            tree: Tree::Whole,
            init: Init::Plain,
            docker: false,
            cron: false,
            max_sessions: 10,
            mounts: Vec::new(),
        }
    }

    /// With an engine of its own.
    pub fn docker(mut self) -> Self {
        self.docker = true;
        self
    }

    /// With systemd as its first process.
    pub fn systemd(mut self) -> Self {
        self.init = Init::Systemd;
        self
    }

    /// With OpenRC for its services.
    pub fn openrc(mut self) -> Self {
        self.init = Init::Openrc;
        self
    }

    /// With cron.
    pub fn cron(mut self) -> Self {
        self.cron = true;
        self
    }

    /// A busybox with sshd and sudo, two sessions on a connection, and nothing else.
    pub fn poor(mut self) -> Self {
        self.tree = Tree::Poor;
        self.max_sessions = 2;
        self
    }

    /// With a file system of its own.
    pub fn mount(mut self, mount: Mount) -> Self {
        self.mounts.push(mount);
        self
    }
}

/// A whole lab.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// The controller's address, which is also the hosts' way out.
    pub controller: Ipv4Addr,
    /// How many leading bits all addresses share.
    pub prefix: u8,
    /// The hosts.
    pub hosts: Vec<HostSpec>,
}

impl Spec {
    /// So many hosts `h1`, `h2`… at `10.77.0.1`, `10.77.0.2`…, each as `shape` makes it.
    pub fn of(count: u8, shape: impl Fn(HostSpec) -> HostSpec) -> Self {
        let host = |n: u8| HostSpec::new(&format!("h{n}"), Ipv4Addr::new(10, 77, 0, n));
        Self::network(Ipv4Addr::new(10, 77, 0, 254), 24, (1..=count).map(host).map(shape).collect())
    }

    /// These hosts on this network.
    pub fn network(controller: Ipv4Addr, prefix: u8, hosts: Vec<HostSpec>) -> Self {
        Self { controller, prefix, hosts }
    }
}
