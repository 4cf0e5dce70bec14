//! The `ssh_config` that a connection is opened with: what the fleet says first, then what the user's own says.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::{Name, Ssh};

/// Fleet nodes reached through each other: no chain is longer, and a circle is noticed.
const MOST_HOPS: usize = 8;

/// One machine on the way: the node itself, or a jump host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The node's name, when it is one of the fleet.
    pub node: Option<Name>,
    /// How it is reached.
    pub ssh: Ssh,
}

impl Hop {
    /// The name under which a pinned host key is looked up.
    pub fn alias(&self) -> String {
        match &self.node {
            Some(node) => format!("gitsync-{node}"),
            None => format!("gitsync-jump-{}", self.ssh.host),
        }
    }

    /// The line of a `known_hosts` file that holds the pinned key.
    pub fn pinned_line(&self) -> Option<String> {
        self.ssh.host_key.as_ref().map(|key| format!("{} {}\n", self.alias(), key.trim()))
    }

    /// How messages call it.
    pub fn label(&self) -> String {
        let port = self.ssh.port.map(|port| format!(":{port}")).unwrap_or_default();
        match &self.node {
            Some(node) => format!("`{node}` ({}{port})", self.ssh.host),
            None => format!("the jump host {}{port}", self.ssh.host),
        }
    }
}

/// A way that can't be gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A node that is a directory of this machine.
    #[error("`{0}` is a local node: there is no SSH to it")]
    Local(Name),
    /// Jump hosts that lead to each other.
    #[error("the jump hosts of `{0}` lead in a circle")]
    Circle(Name),
    /// A text that would mean something else to `ssh`.
    #[error(
        "{what} `{value}` of {of} can't be handed to ssh: letters, digits and `{allowed}` only"
    )]
    Text {
        /// Which setting.
        what: &'static str,
        /// Its value.
        value: String,
        /// Whose.
        of: String,
        /// What is allowed besides letters and digits.
        allowed: &'static str,
    },
}

/// The machines on the way to a node, the node first, then its jump host, that one's jump host and so on.
///
/// `node_named` tells the SSH settings of a fleet's node; a jump host that it doesn't know is a plain host,
/// `host` or `host:port`, for which the user's own SSH configuration is asked.
pub fn hops(
    name: &Name,
    ssh: &Ssh,
    node_named: &dyn Fn(&str) -> Option<(Name, Ssh)>,
) -> Result<Vec<Hop>, ConfigError> {
    let mut way = vec![Hop { node: Some(name.clone()), ssh: ssh.clone() }];
    let mut next = ssh.jump.clone();
    while let Some(jump) = next {
        if way.len() > MOST_HOPS {
            return Err(ConfigError::Circle(name.clone()));
        }
        let hop = match node_named(&jump) {
            Some((node, ssh)) => Hop { node: Some(node), ssh },
            None => Hop { node: None, ssh: plain_host(&jump) },
        };
        next = hop.ssh.jump.clone();
        way.push(hop);
    }
    way.iter().try_for_each(check)?;
    Ok(way)
}

fn plain_host(text: &str) -> Ssh {
    let split = text.split_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = match split {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    Ssh {
        host: host.to_owned(),
        user: None,
        port,
        host_key: None,
        jump: None,
        identity: None,
        sudo: false,
    }
}

fn check(hop: &Hop) -> Result<(), ConfigError> {
    let plain = |value: &str, allowed: &'static str| {
        let inside = |c: char| c.is_ascii_alphanumeric() || allowed.contains(c);
        value.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && value.chars().all(inside)
    };
    let fail = |what, value: &str, allowed| {
        Err(ConfigError::Text { what, value: value.to_owned(), of: hop.label(), allowed })
    };
    if !plain(&hop.ssh.host, "._:-") {
        return fail("the host", &hop.ssh.host, "._:-");
    }
    if let Some(user) = hop.ssh.user.as_deref().filter(|user| !plain(user, "._-")) {
        return fail("the user", user, "._-");
    }
    let odd = |c: char| c.is_control() || c == '"';
    match hop.ssh.identity.as_deref().filter(|path| path.contains(odd)) {
        Some(path) => fail("the identity", path, "anything but quotes"),
        None => Ok(()),
    }
}

/// Where the generated files of one connection are, and what it is allowed.
#[derive(Clone, Debug)]
pub struct Files<'a> {
    /// The directory of all of them.
    pub directory: &'a Path,
    /// Their common beginning, unique in the directory.
    pub stem: &'a str,
    /// The user's own configuration, read after ours.
    pub user_config: &'a str,
    /// How long one connection may take until its banner and keys are exchanged.
    pub connect_timeout: Duration,
    /// How long a silent connection is borne between two questions; three unanswered ones end it.
    pub keepalive: Duration,
}

impl Files<'_> {
    /// The configuration of the `index`th hop.
    pub fn config(&self, index: usize) -> PathBuf {
        self.directory.join(format!("{}.{index}.conf", self.stem))
    }

    /// The pinned key of the `index`th hop.
    pub fn pinned(&self, index: usize) -> PathBuf {
        self.directory.join(format!("{}.{index}.hosts", self.stem))
    }

    /// The text of the `index`th hop's configuration.
    ///
    /// `ssh` takes the first value that it finds, so ours come first. A jump is spelled out as a proxy command with
    /// a configuration of its own: a plain `ProxyJump` would apply this hop's settings to the jump host as well.
    pub fn text(&self, index: usize, way: &[Hop]) -> String {
        let mut text = COMMON.to_owned();
        let seconds = |duration: Duration| duration.as_secs().max(1);
        let _ = writeln!(text, "  ConnectTimeout {}", seconds(self.connect_timeout));
        let _ = writeln!(text, "  ServerAliveInterval {}", seconds(self.keepalive));
        if let Some(hop) = way.get(index) {
            let _ = writeln!(text, "Host {}", hop.ssh.host);
            self.hop_text(&mut text, index, hop, way.get(index + 1));
        }
        let _ = writeln!(text, "Host *\n  Include \"{}\"", self.user_config);
        text.push_str("  Include /etc/ssh/ssh_config\n");
        text
    }

    fn hop_text(&self, text: &mut String, index: usize, hop: &Hop, jump: Option<&Hop>) {
        if let Some(user) = &hop.ssh.user {
            let _ = writeln!(text, "  User {user}");
        }
        if let Some(port) = hop.ssh.port {
            let _ = writeln!(text, "  Port {port}");
        }
        if let Some(identity) = &hop.ssh.identity {
            let path = identity.replace('%', "%%");
            let _ = writeln!(text, "  IdentityFile \"{path}\"\n  IdentitiesOnly yes");
        }
        if hop.ssh.host_key.is_some() {
            let _ = writeln!(text, "  HostKeyAlias {}", hop.alias());
            let _ = writeln!(text, "  UserKnownHostsFile {}", self.pinned(index).display());
            let _ = text.write_str("  GlobalKnownHostsFile /dev/null\n");
        }
        if let Some(jump) = jump {
            let config = self.config(index + 1);
            let _ = writeln!(
                text,
                "  ProxyCommand ssh -F {} -W '[%h]:%p' {}",
                config.display(),
                jump.ssh.host
            );
        }
    }
}

/// For every machine that a connection touches: nothing is asked, nothing is lent, no key is taken on first sight.
const COMMON: &str = "\
Host *
  BatchMode yes
  StrictHostKeyChecking yes
  UpdateHostKeys no
  VerifyHostKeyDNS no
  NoHostAuthenticationForLocalhost no
  CheckHostIP no
  HashKnownHosts no
  ForwardAgent no
  ForwardX11 no
  ClearAllForwardings yes
  ControlMaster no
  ControlPath none
  ControlPersist no
  PermitLocalCommand no
  RequestTTY no
  RemoteCommand none
  LogLevel INFO
  ServerAliveCountMax 3
";

#[cfg(test)]
mod tests {
    use super::*;

    fn ssh(host: &str) -> Ssh {
        plain_host(host)
    }

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn files(directory: &Path) -> Files<'_> {
        Files {
            directory,
            stem: "c0",
            user_config: "~/.ssh/config",
            connect_timeout: Duration::from_secs(10),
            keepalive: Duration::from_secs(5),
        }
    }

    #[test]
    fn what_the_fleet_says_comes_before_the_users_own() {
        let node = Ssh {
            user: Some("deploy".into()),
            port: Some(2222),
            identity: Some("~/.ssh/fl%eet".into()),
            host_key: Some("ssh-ed25519 AAAA".into()),
            ..ssh("vps1.example.net")
        };
        let way = hops(&name("vps1"), &node, &|_| None).unwrap();
        let text = files(Path::new("/tmp/x")).text(0, &way);
        for line in [
            "Host vps1.example.net",
            "User deploy",
            "Port 2222",
            "IdentityFile \"~/.ssh/fl%%eet\"",
            "HostKeyAlias gitsync-vps1",
            "UserKnownHostsFile /tmp/x/c0.0.hosts",
        ] {
            assert!(
                text.find(line).unwrap() < text.find("Include \"~/.ssh/config\"").unwrap(),
                "{line}"
            );
        }
        assert_eq!(way[0].pinned_line().unwrap(), "gitsync-vps1 ssh-ed25519 AAAA\n");
    }

    #[test]
    fn what_the_fleet_leaves_out_is_left_to_the_user() {
        let way = hops(&name("vps1"), &ssh("vps1"), &|_| None).unwrap();
        let text = files(Path::new("/tmp/x")).text(0, &way);
        for key in ["User ", "Port ", "IdentityFile", "HostKeyAlias", "ProxyCommand", "ProxyJump"] {
            assert!(!text.contains(&format!("  {key}")), "{key}");
        }
    }

    #[test]
    fn a_jump_that_is_a_node_brings_its_own_settings_and_jump() {
        let known = |text: &str| {
            (text == "vps2")
                .then(|| (name("vps2"), Ssh { jump: Some("gate:2200".into()), ..ssh("10.0.0.2") }))
        };
        let node = Ssh { jump: Some("vps2".into()), ..ssh("10.0.0.1") };
        let way = hops(&name("vps1"), &node, &known).unwrap();
        assert_eq!(way.len(), 3);
        assert_eq!((way[2].ssh.host.as_str(), way[2].ssh.port), ("gate", Some(2200)));
        let text = files(Path::new("/tmp/x")).text(0, &way);
        assert!(text.contains("ProxyCommand ssh -F /tmp/x/c0.1.conf -W '[%h]:%p' 10.0.0.2"));
    }

    #[test]
    fn a_circle_of_jump_hosts_is_noticed() {
        let known = |text: &str| Some((name(text), Ssh { jump: Some("vps1".into()), ..ssh("h") }));
        let node = Ssh { jump: Some("vps1".into()), ..ssh("h") };
        assert!(matches!(hops(&name("vps1"), &node, &known), Err(ConfigError::Circle(_))));
    }

    #[test]
    fn texts_that_ssh_would_read_otherwise_are_refused() {
        for host in ["-oProxyCommand=x", "a b", "*", "a\nHost *", ""] {
            assert!(hops(&name("vps1"), &ssh(host), &|_| None).is_err(), "{host}");
        }
        let quoted = Ssh { identity: Some("a\"b".into()), ..ssh("h") };
        assert!(hops(&name("vps1"), &quoted, &|_| None).is_err());
    }
}
