//! Faults of containers: what happens in the host's network is done by a helper container in that network, which works
//! for frozen and for poor hosts too.

use std::fs;

use super::{Containers, cannot};
use crate::error::{Result, at, run};
use crate::fault::{
    Fault, KEY_SCAN, NEW_KEY, drain_script, fill_script, is_loss, is_one_way, loss_rule,
    one_way_rule, rules, shown, sshd_script,
};
use crate::host::Host;
use crate::tree::Tree;

/// Silence at the host's own end of the link: for everybody else the same as a line that is cut.
const CUT: [[&str; 5]; 4] = [
    ["INPUT", "-i", "eth0", "-j", "DROP"],
    ["OUTPUT", "-o", "eth0", "-j", "DROP"],
    ["FORWARD", "-i", "eth0", "-j", "DROP"],
    ["FORWARD", "-o", "eth0", "-j", "DROP"],
];

impl Containers {
    pub(super) fn apply(&self, host: &Host, fault: &Fault) -> Result<()> {
        let container = self.docker.container(host.name());
        let docker = |verb: &str| self.docker.run(&[verb, &container]).map(drop);
        match fault {
            Fault::Down => self.net(host, &["ip", "link", "set", "eth0", "down"]).map(drop),
            Fault::Up => self.link_up(host),
            Fault::Cut => self.cut(host),
            Fault::Mend => self.unfilter(host, is_cut),
            Fault::OneWay(way, peer) => self.filter(host, &one_way_rule(*way, *peer)),
            Fault::BothWays => self.unfilter(host, is_one_way),
            Fault::Loss(part) => self.lose(host, *part),
            Fault::Slow(_) | Fault::FullSpeed => Err(cannot("make a line slow")),
            Fault::Freeze => docker("pause"),
            Fault::Thaw => docker("unpause"),
            Fault::HangSshd => self.sh(host, &sshd_script("STOP")).map(drop),
            Fault::WakeSshd => self.sh(host, &sshd_script("CONT")).map(drop),
            Fault::Fill(directory, left) => self.sh(host, &fill_script(directory, *left)).map(drop),
            Fault::Drain(directory) => self.sh(host, &drain_script(directory)).map(drop),
            Fault::PowerOff => self.power_off(host),
            Fault::PowerOn => self.power_on(host),
            Fault::Reboot => self.power_off(host).and_then(|()| self.power_on(host)),
            Fault::ChangeHostKey => self.change_host_key(host),
        }
    }

    fn power_off(&self, host: &Host) -> Result<()> {
        let container = self.docker.container(host.name());
        // A frozen process can't die; one that is off can't be killed.
        let _ = self.docker.run(&["unpause", &container]);
        let _ = self.docker.run(&["kill", &container]);
        self.docker.run(&["wait", &container]).map(drop)
    }

    fn link_up(&self, host: &Host) -> Result<()> {
        self.net(host, &["ip", "link", "set", "eth0", "up"])?;
        // It went with the link.
        let gateway = self.spec.controller.to_string();
        self.net(host, &["ip", "route", "replace", "default", "via", &gateway]).map(drop)
    }

    fn cut(&self, host: &Host) -> Result<()> {
        CUT.iter().try_for_each(|rule| self.filter(host, rule))
    }

    fn lose(&self, host: &Host, part: f64) -> Result<()> {
        self.unfilter(host, is_loss)?;
        if part > 0.0 { self.filter(host, &loss_rule(part)) } else { Ok(()) }
    }

    fn filter<T: AsRef<str>>(&self, host: &Host, rule: &[T]) -> Result<()> {
        let words =
            ["iptables", "-w", "10", "-I"].into_iter().chain(rule.iter().map(AsRef::as_ref));
        self.net(host, &words.collect::<Vec<_>>()).map(drop)
    }

    fn unfilter(&self, host: &Host, which: fn(&str) -> bool) -> Result<()> {
        let told = self.net(host, &["iptables", "-w", "10", "-S"])?;
        for rule in rules(&told, which) {
            let words =
                ["iptables", "-w", "10", "-D"].into_iter().chain(rule.iter().map(String::as_str));
            self.net(host, &words.collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// Runs a program of the whole tree in a host's network.
    fn net(&self, host: &Host, words: &[&str]) -> Result<String> {
        let image = self.docker.image(Tree::Whole)?;
        let network = format!("--network=container:{}", self.docker.container(host.name()));
        let mut command = self.docker.command();
        command.args(["run", "--rm", &network, "--label", &self.docker.label()]);
        command.args(["--cap-drop=ALL", "--cap-add=NET_ADMIN", "--cap-add=NET_RAW", &image]);
        run(command.args(words))
    }

    fn change_host_key(&self, host: &Host) -> Result<()> {
        let key = host.disk("etc/ssh/ssh_host_ed25519_key");
        for old in [key.clone(), key.with_extension("pub")] {
            at(&old, fs::remove_file(&old))?;
        }
        crate::lab::keygen(&key)?;
        self.docker.bring(&host.disk("/"), &self.docker.container(host.name()))?;
        self.sh(host, NEW_KEY)?;
        shown(&host.host_key()?, || self.net(host, &KEY_SCAN))
    }
}

fn is_cut(rule: &str) -> bool {
    CUT.iter().any(|cut| rule == cut.join(" "))
}
