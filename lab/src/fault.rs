//! What goes wrong with hosts: links that are cut, slow or one-way, frozen processes, full disks.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use crate::error::{Result, at, run};
use crate::host::Host;
use crate::process::wait;

/// Who no longer hears whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The host hears nothing; what it sends arrives.
    Deaf,
    /// What the host sends is lost; it hears everything.
    Mute,
}

/// Something to break or to mend on a host.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// [`Host::link_down`].
    Down,
    /// [`Host::link_up`].
    Up,
    /// [`Host::cut`].
    Cut,
    /// [`Host::mend`].
    Mend,
    /// [`Host::one_way`].
    OneWay(Way, Ipv4Addr),
    /// [`Host::hear_all`].
    BothWays,
    /// [`Host::lose`].
    Loss(f64),
    /// [`Host::slow`], in kilobits per second.
    Slow(u32),
    /// [`Host::slow`], undone.
    FullSpeed,
    /// [`Host::freeze`].
    Freeze,
    /// [`Host::thaw`].
    Thaw,
    /// [`Host::hang_sshd`].
    HangSshd,
    /// [`Host::wake_sshd`].
    WakeSshd,
    /// [`Host::fill`]: a directory, and how many KiB are left.
    Fill(String, u64),
    /// [`Host::drain`].
    Drain(String),
    /// [`Host::power_off`].
    PowerOff,
    /// [`Host::power_on`].
    PowerOn,
    /// [`Host::reboot`].
    Reboot,
    /// [`Host::change_host_key`].
    ChangeHostKey,
}

impl Host {
    /// Breaks or mends what a value says.
    pub fn fail(&self, fault: &Fault) -> Result<()> {
        match fault {
            Fault::Down => self.link_down(),
            Fault::Up => self.link_up(),
            Fault::Cut => self.cut(),
            Fault::Mend => self.mend(),
            Fault::OneWay(way, peer) => self.one_way(*way, *peer),
            Fault::BothWays => self.hear_all(),
            Fault::Loss(part) => self.lose(*part),
            Fault::Slow(kilobits) => self.slow(Some(*kilobits)),
            Fault::FullSpeed => self.slow(None),
            Fault::Freeze => self.freeze(),
            Fault::Thaw => self.thaw(),
            Fault::HangSshd => self.hang_sshd(),
            Fault::WakeSshd => self.wake_sshd(),
            Fault::Fill(directory, left) => self.fill(directory, *left),
            Fault::Drain(directory) => self.drain(directory),
            Fault::PowerOff => {
                self.power_off();
                Ok(())
            }
            Fault::PowerOn => self.power_on(),
            Fault::Reboot => self.reboot(),
            Fault::ChangeHostKey => self.change_host_key(),
        }
    }

    /// Pulls the plug of its link so that the host notices.
    pub fn link_down(&self) -> Result<()> {
        self.link(&["set", &self.link_name(), "down"])
    }

    /// Puts the plug back.
    pub fn link_up(&self) -> Result<()> {
        self.link(&["set", &self.link_name(), "up"])
    }

    /// Cuts its link somewhere far away: nothing arrives and nobody notices.
    pub fn cut(&self) -> Result<()> {
        self.link(&["set", &self.link_name(), "nomaster"])
    }

    /// Mends a cut link.
    pub fn mend(&self) -> Result<()> {
        self.link(&["set", &self.link_name(), "master", "br0"])
    }

    /// Drops what comes from, or goes to, one address: the controller, another host.
    pub fn one_way(&self, way: Way, peer: Ipv4Addr) -> Result<()> {
        self.filter("-I", way, peer)
    }

    /// Lets a direction through again.
    pub fn both_ways(&self, way: Way, peer: Ipv4Addr) -> Result<()> {
        self.filter("-D", way, peer)
    }

    /// Undoes every [`Host::one_way`].
    pub fn hear_all(&self) -> Result<()> {
        self.unfilter(is_one_way)
    }

    fn filter(&self, verb: &str, way: Way, peer: Ipv4Addr) -> Result<()> {
        let rule = one_way_rule(way, peer);
        run(self.net_command("iptables")?.args(["-w", "10", verb]).args(rule)).map(drop)
    }

    /// Loses a part (0 to 1) of what arrives, instead of what was lost before.
    pub fn lose(&self, part: f64) -> Result<()> {
        self.unfilter(is_loss)?;
        if part <= 0.0 {
            return Ok(());
        }
        run(self.net_command("iptables")?.args(["-w", "10", "-I"]).args(loss_rule(part))).map(drop)
    }

    fn unfilter(&self, which: fn(&str) -> bool) -> Result<()> {
        for rule in rules(&run(self.net_command("iptables")?.args(["-w", "10", "-S"]))?, which) {
            run(self.net_command("iptables")?.args(["-w", "10", "-D"]).args(rule))?;
        }
        Ok(())
    }

    /// Makes what arrives come at so many kilobits per second; `None` gives the full speed back.
    pub fn slow(&self, kilobits: Option<u32>) -> Result<()> {
        let link = self.link_name();
        let _ = run(self.lab_command("tc").args(["qdisc", "del", "dev", &link, "root"]));
        let Some(kilobits) = kilobits else { return Ok(()) };
        let rate = format!("{kilobits}kbit");
        let mut command = self.lab_command("tc");
        command.args(["qdisc", "add", "dev", &link, "root", "tbf", "rate", &rate]);
        run(command.args(["burst", "16k", "latency", "300ms"])).map(drop)
    }

    /// Stops every process of it, containers too: the kernel still answers pings and takes connections.
    pub fn freeze(&self) -> Result<()> {
        self.set_frozen(true)
    }

    /// Lets a frozen host go on.
    pub fn thaw(&self) -> Result<()> {
        self.set_frozen(false)
    }

    pub(crate) fn thaw_quietly(&self) {
        let _ = self.set_frozen(false);
    }

    fn set_frozen(&self, frozen: bool) -> Result<()> {
        let group = self.freezer();
        let (file, word) = match (group.join("freezer.state"), frozen) {
            (old, true) if old.exists() => (old, "FROZEN"),
            (old, false) if old.exists() => (old, "THAWED"),
            (_, true) => (group.join("cgroup.freeze"), "1"),
            (_, false) => (group.join("cgroup.freeze"), "0"),
        };
        at(&file, fs::write(&file, word))
    }

    /// Stops its sshd and every session of it: connections are taken and nothing is said.
    pub fn hang_sshd(&self) -> Result<()> {
        self.sh(&sshd_script("STOP")).map(drop)
    }

    /// Lets its sshd go on.
    pub fn wake_sshd(&self) -> Result<()> {
        self.sh(&sshd_script("CONT")).map(drop)
    }

    /// Fills the file system of a directory until so many KiB are left.
    pub fn fill(&self, directory: &str, left: u64) -> Result<()> {
        self.sh(&fill_script(directory, left)).map(drop)
    }

    /// Gives the room back that [`Host::fill`] took.
    pub fn drain(&self, directory: &str) -> Result<()> {
        self.sh(&drain_script(directory)).map(drop)
    }

    /// Adds an address on an interface that is made when it isn't there: a mesh that comes up.
    pub fn add_address(&self, interface: &str, address: Ipv4Addr) -> Result<()> {
        let _ = run(self.net_command("ip")?.args(["link", "add", interface, "type", "bridge"]));
        run(self.net_command("ip")?.args(["link", "set", interface, "up"]))?;
        let address = format!("{address}/32");
        run(self.net_command("ip")?.args(["address", "add", &address, "dev", interface])).map(drop)
    }

    /// Gives the host another host key, as a machine has that was installed anew.
    pub fn change_host_key(&self) -> Result<()> {
        let path = self.place.join("new-key");
        crate::lab::keygen(&path)?;
        for (from, to) in [("new-key", ""), ("new-key.pub", ".pub")] {
            let from = self.place.join(from);
            let to = self.path(&format!("/etc/ssh/ssh_host_ed25519_key{to}"))?;
            at(&to, fs::copy(&from, &to))?;
            at(&from, fs::remove_file(&from))?;
        }
        self.sh(NEW_KEY)?;
        let scan = || run(self.net_command(KEY_SCAN[0])?.args(&KEY_SCAN[1..]));
        shown(&self.host_key()?, scan)
    }

    /// Takes its link away at once: the kernel is slow to do it after the last process of a host.
    pub(crate) fn unplug(&self) {
        let _ = self.link(&["delete", &self.link_name()]);
    }

    fn link_name(&self) -> String {
        format!("l-{}", self.name())
    }

    fn link(&self, arguments: &[&str]) -> Result<()> {
        run(self.lab_command("ip").arg("link").args(arguments)).map(drop)
    }

    /// A program of this machine in the lab's network, where the other ends of all links are.
    fn lab_command(&self, program: &str) -> Command {
        in_network(self.lab.pid, program)
    }

    /// A program of this machine in the host's network: a poor host has none of its own.
    fn net_command(&self, program: &str) -> Result<Command> {
        Ok(in_network(self.process()?.pid, program))
    }
}

/// Makes sshd read its keys anew: the oldest one listens.
pub(crate) const NEW_KEY: &str = "b=/lab/busybox; kill -HUP \
    $($b pidof sshd | $b tr ' ' '\\n' | $b sort -n | $b head -n 1)";

/// Asks the sshd of the network that it runs in for its key.
pub(crate) const KEY_SCAN: [&str; 6] = ["ssh-keyscan", "-T", "2", "-t", "ed25519", "127.0.0.1"];

/// Waits until sshd, which begins anew to read it, shows a key.
pub(crate) fn shown(key: &str, scan: impl Fn() -> Result<String>) -> Result<()> {
    wait("new host key shown", Duration::from_secs(20), || {
        scan().is_ok_and(|told| told.contains(key)).then_some(())
    })
}

/// Sends a signal to sshd and every session of it.
pub(crate) fn sshd_script(signal: &str) -> String {
    format!("for pid in $(/lab/busybox pidof sshd); do kill -{signal} $pid; done")
}

pub(crate) fn fill_script(directory: &str, left: u64) -> String {
    format!(
        "b=/lab/busybox; free=$($b df -Pk '{directory}' | $b tail -n 1 | $b awk '{{print $4}}'); \
         $b dd if=/dev/zero of='{directory}/.filler' bs=1024 count=$((free - {left})) 2>/dev/null; $b sync"
    )
}

pub(crate) fn drain_script(directory: &str) -> String {
    format!("/lab/busybox rm -f '{directory}/.filler'")
}

/// What drops one direction of the traffic with a peer, for `iptables -I` and `-D`.
pub(crate) fn one_way_rule(way: Way, peer: Ipv4Addr) -> [String; 5] {
    let [chain, side] = match way {
        Way::Deaf => ["INPUT", "-s"],
        Way::Mute => ["OUTPUT", "-d"],
    };
    [chain, side, &peer.to_string(), "-j", "DROP"].map(str::to_owned)
}

/// What drops a part of what arrives.
pub(crate) fn loss_rule(part: f64) -> Vec<String> {
    let part = part.to_string();
    let words = ["INPUT", "-i", "eth0", "-m", "statistic", "--mode", "random", "--probability"];
    words.into_iter().chain([part.as_str(), "-j", "DROP"]).map(str::to_owned).collect()
}

/// Whether `iptables -S` tells of a rule of [`one_way_rule`].
pub(crate) fn is_one_way(rule: &str) -> bool {
    let one_way = rule.starts_with("INPUT -s ") || rule.starts_with("OUTPUT -d ");
    one_way && rule.ends_with("/32 -j DROP") && rule.split(' ').count() == 5
}

/// Whether `iptables -S` tells of a rule of [`loss_rule`].
pub(crate) fn is_loss(rule: &str) -> bool {
    rule.starts_with("INPUT -i eth0 -m statistic ")
}

/// The rules, as `iptables -D` takes them, that `iptables -S` tells of and that are wanted.
pub(crate) fn rules(told: &str, which: impl Fn(&str) -> bool) -> Vec<Vec<String>> {
    let rules = told.lines().filter_map(|line| line.strip_prefix("-A "));
    rules
        .filter(|rule| which(rule))
        .map(|rule| rule.split(' ').map(str::to_owned).collect())
        .collect()
}

fn in_network(pid: u32, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--target", &pid.to_string(), "--net", "--", program]);
    command
}
