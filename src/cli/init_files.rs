//! What a new fleet repository has in it: few files, with comments that say what to change.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use crate::model::Name;

/// A machine that is in the fleet from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name in the fleet.
    pub name: Name,
    /// What to call it for SSH.
    pub host: String,
    /// Its address.
    pub address: IpAddr,
    /// Who logs in there; what SSH is configured to when absent.
    pub user: Option<String>,
}

/// Where the fleet begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// On this machine, in a directory of the repository that Git ignores.
    Here {
        /// The node's name.
        node: Name,
        /// The directory.
        directory: String,
    },
    /// On other machines.
    Hosts(Vec<Host>),
}

/// Files by path. A commit has all of them.
pub fn files(fleet: &Name, start: &Start) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut put = |path: &str, text: String| drop(files.insert(path.to_owned(), text));
    put("fleet.yaml", FLEET.replace("FLEET", &plain(fleet.as_str())));
    put("services/hello.yaml", HELLO.to_owned());
    put("services/whoami.yaml.example", WHOAMI.to_owned());
    put("gateways/edge.yaml.example", EDGE.to_owned());
    put(".gitattributes", ATTRIBUTES.to_owned());
    let first = match start {
        Start::Here { node, directory } => {
            put(&format!("nodes/{node}.yaml"), LOCAL.replace("DIRECTORY", &quoted(directory)));
            put("nodes/vps1.yaml.example", SSH.to_owned());
            put(".gitignore", IGNORE.to_owned());
            HERE.replace("NODE", node.as_str())
        }
        Start::Hosts(hosts) => {
            for host in hosts {
                put(&format!("nodes/{}.yaml", host.name), node(host));
            }
            THERE.to_owned()
        }
    };
    put("README.md", README.replace("FLEET", fleet.as_str()).replace("FIRST\n", &first));
    files
}

/// What a person reads before looking at files: a path and what it is.
pub fn told(path: &str) -> Option<&'static str> {
    Some(match path {
        "fleet.yaml" => "the fleet: its name, and how careful it is",
        "services/hello.yaml" => "a first service: a greeting in a file",
        "README.md" => "what to do next, and how to go on from there",
        _ if path.ends_with(".example") => "counts once it is renamed",
        _ if path.starts_with("nodes/") => "a machine",
        _ => return None,
    })
}

fn node(host: &Host) -> String {
    let user = match host.user.as_deref() {
        None => "  # user: deploy             # else what ~/.ssh/config says\n  \
                   # sudo: true               # for anybody but root; `sudo -n` must need no password\n"
            .to_owned(),
        Some("root") => "  user: root\n".to_owned(),
        Some(user) => format!(
            "  user: {}\n  sudo: true                 # `sudo -n` must need no password\n",
            plain(user)
        ),
    };
    SSH_HOST
        .replace("ADDRESS", &plain(&host.address.to_string()))
        .replace("HOST", &plain(&host.host))
        .replace("USER\n", &user)
}

/// A name or an address as YAML reads it as text: without quotes unless YAML would take it for something else.
fn plain(text: &str) -> String {
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.contains(':')
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if word || text.parse::<Ipv4Addr>().is_ok() { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Whether a path can stand in a YAML file and be used by a shell on the node.
pub fn is_writable_path(path: &Path) -> bool {
    path.to_str().is_some_and(|text| !text.chars().any(char::is_control))
}

const FLEET: &str = "# yaml-language-server: $schema=schema/fleet.json
# The fleet. What is left out has a sensible default.
version: 1
name: FLEET
domain: home.arpa                # `host: hello` in a service is hello.home.arpa; write a domain of your own here
rollout:
  dead_man: 60s                  # a node that hears nothing for so long in a rollout puts itself back
health:
  stable_for: 3s                 # good for so long, or it doesn't count; 10s is better for real services
";

const HELLO: &str = "# yaml-language-server: $schema=../schema/service.json
# A program that a shell can play, on every node: enough to see a rollout. Change the greeting, commit, apply.
# services/whoami.yaml.example shows a container.
run: command
start: |
  mkdir -p \"$GITSYNC_DIRECTORY\" && cd \"$GITSYNC_DIRECTORY\" || exit 1
  while :; do
    echo \"$GREETING\" >hello.txt || exit 1
    sleep 5
  done
env: { GREETING: \"hello, fleet\" }
placement: { on: all }           # all, names as in [vps1], or labels as in { role: web }
health: { exec: 'test -s \"$GITSYNC_DIRECTORY/hello.txt\"' }
";

const WHOAMI: &str = "# yaml-language-server: $schema=../schema/service.json
# A container: rename this file to whoami.yaml. The node needs Docker with its compose plugin.
image: traefik/whoami:v1.10.3
placement: { on: all }
ports: { web: \"8088:80\" }        # host:container, on the node's address only
health: { http: /, port: web }
# With a gateway in front of it (gateways/edge.yaml.example):
# expose:
#   - { host: whoami, port: web, access: public }
";

const EDGE: &str = "# yaml-language-server: $schema=../schema/gateway.json
# Caddy in front of what services `expose`: rename this file to edge.yaml, and name nodes that have Caddy installed.
proxy: caddy
on: [vps1]
run: systemd                     # the distribution's caddy.service
adopt: true                      # in place of the Caddyfile that came with its package, which is kept aside
listen: { http: 80, https: 443 }
tls: off                         # auto: certificates by ACME, for a public domain
";

const LOCAL: &str = "# yaml-language-server: $schema=../schema/node.json
# This machine, as a directory: a first node that needs neither SSH nor root. Remove this file once the fleet has real
# machines, and commit: the next rollout ends what runs here.
address: 127.0.0.1
local: DIRECTORY
";

const SSH: &str = "# yaml-language-server: $schema=../schema/node.json
# A machine: rename this file to its name, such as vps1.yaml, and write its own address.
address: 192.0.2.10              # an IP: services bind to it; in a mesh, the one that the mesh gave it
ssh:
  host: vps1.example.net         # a name or an address, for SSH only
  user: deploy
  sudo: true                     # for anybody but root; `sudo -n` must need no password
  # host_key: \"ssh-ed25519 AAAA…\" # else ~/.ssh/known_hosts must know it
labels: { role: web }
";

const SSH_HOST: &str = "# yaml-language-server: $schema=../schema/node.json
# Services bind to the address; in a mesh it is the one that the mesh gave.
address: ADDRESS
ssh:
  host: HOST
USER
  # host_key: \"ssh-ed25519 AAAA…\" # else ~/.ssh/known_hosts must know it
";

const IGNORE: &str = "# What the node on this machine keeps.
/.gitsync/
";

const ATTRIBUTES: &str = "# Written by `gitsync schema --out schema`, for editors.
schema/*.json linguist-generated
";

const HERE: &str = "`hello` runs on the node NODE, which is a directory of this machine, and writes its greeting here:

```sh
cat .gitsync/NODE/stacks/hello/hello.txt
```

## With real machines

Rename `nodes/vps1.yaml.example`, write the machine's address and how SSH gets there, and `git rm nodes/NODE.yaml` when
you no longer need it.
";

const THERE: &str =
    "`hello` runs on every node and writes its greeting to `/opt/stacks/hello/hello.txt` there.
";

const README: &str = "# FLEET

What runs where, for `gitsync`: a commit here moves the whole fleet, or nothing of it.

```sh
gitsync validate                 # every problem of every file
gitsync plan                     # what would change where, and why
gitsync apply                    # do it; Ctrl-C puts everything back
```

FIRST

A node needs `sshd`, a POSIX shell, `tar` and `sha256sum`, and Docker with its compose plugin for services with an
image. Files that end in `.example` show a container and a gateway; they count once they are renamed. `gitsync status`
tells what runs, `gitsync run .` does a rollout for every commit, and `gitsync graph` draws the fleet.

Editors that know the YAML language server complete and explain every key; `gitsync schema --out schema` renews what
they read.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_yaml_would_take_for_something_else_is_quoted() {
        for text in ["homelab", "pi-2", "192.0.2.10", "vps1.example.net"] {
            assert_eq!(plain(text), text);
        }
        for text in ["no", "On", "1e5", "0x1f", "12", "fd00::1", "1.5", "null"] {
            assert_eq!(plain(text), format!("'{text}'"));
        }
    }
}
