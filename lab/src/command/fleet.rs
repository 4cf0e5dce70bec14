//! A fleet to begin with: node files, and how ssh gets to the hosts.

use std::fs;
use std::path::Path;

use gitsync_lab::{Backend, Error, Host, HostSpec, Init, Result, Tree};

/// Writes `ssh_config`, `known_hosts` and `fleet/` into the lab's directory.
pub fn write(lab: &dyn Backend, name: &str) -> Result<()> {
    let place = lab.place();
    put(&place.join("ssh_config"), &ssh_config(lab))?;
    put(&place.join("known_hosts"), &known_hosts(lab)?)?;
    put(&place.join("fleet/fleet.yaml"), &format!("version: 1\nname: {name}\n"))?;
    for host in lab.hosts() {
        let path = place.join(format!("fleet/nodes/{}.yaml", host.name()));
        put(&path, &node(lab, host)?)?;
    }
    Ok(())
}

fn put(path: &Path, text: &str) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    let written = fs::create_dir_all(parent).and_then(|()| fs::write(path, text));
    written.map_err(|source| Error::File { path: path.to_owned(), source })
}

/// What a node's file says of a host.
pub fn node(lab: &dyn Backend, host: &Host) -> Result<String> {
    let Some(spec) = lab.spec().hosts.iter().find(|spec| spec.name == host.name()) else {
        return Err(Error::Unknown(format!("{} is not in the lab's spec", host.name())));
    };
    let identity = lab.place().join("identity");
    let ssh = format!(
        "ssh:\n  host: {}\n  user: deploy\n  sudo: true\n  identity: {identity:?}\n  host_key: {:?}\n",
        spec.name,
        host.host_key()?,
    );
    Ok(format!("address: {}\n{ssh}{}", spec.address, rest(spec)))
}

/// What a host without systemd can't leave to the defaults.
fn rest(spec: &HostSpec) -> &'static str {
    match (spec.tree, spec.init) {
        (Tree::Poor, _) => "root: \"/data/git sync\"\nboot: file:/boot/config/go\n",
        (Tree::Whole, Init::Plain) => "boot: cron\n",
        (Tree::Whole, Init::Openrc) => "boot: openrc\n",
        (Tree::Whole, Init::Systemd) => "",
    }
}

/// One line per host, with the keys that they have now.
pub fn known_hosts(lab: &dyn Backend) -> Result<String> {
    let line =
        |host: &Host| Ok(format!("{},{} {}\n", host.name(), host.address(), host.host_key()?));
    lab.hosts().iter().map(line).collect()
}

fn ssh_config(lab: &dyn Backend) -> String {
    let place = lab.place().display();
    let hosts = lab.hosts().iter();
    let addresses =
        hosts.map(|host| format!("Host {}\n    HostName {}\n", host.name(), host.address()));
    format!(
        "{}Host *\n    User deploy\n    IdentityFile \"{place}/identity\"\n    IdentitiesOnly yes\n    \
         UserKnownHostsFile \"{place}/known_hosts\"\n    StrictHostKeyChecking yes\n    \
         ConnectTimeout 5\n    LogLevel ERROR\n",
        addresses.collect::<String>()
    )
}
