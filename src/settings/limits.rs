//! `limits:` in the settings file: what no commit may go beyond. Only the file says it, no variable and no flag.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;

use crate::model::{AbsPath, ComposeLimits, Limits, Name, Pin, Units};

/// `limits:` as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsFile {
    #[serde(default)]
    nodes: BTreeMap<Name, PinFile>,
    #[serde(default)]
    nodes_only: bool,
    destinations: Option<Vec<AbsPath>>,
    commands: Option<UnitsFile>,
    node_files: Option<Vec<AbsPath>>,
    secrets: Option<BTreeMap<String, UnitsFile>>,
    #[serde(default)]
    compose: ComposeFile,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PinFile {
    address: Option<IpAddr>,
    host_key: Option<String>,
    host: Option<String>,
    #[serde(default)]
    local: bool,
    destinations: Option<Vec<AbsPath>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ComposeFile {
    privileged: Option<UnitsFile>,
    host_network: Option<UnitsFile>,
    host_namespaces: Option<UnitsFile>,
    host_mounts: Option<Vec<AbsPath>>,
    cap_add: Option<Vec<String>>,
    devices: Option<Vec<String>>,
}

/// `none`, `any`, or a list of units.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum UnitsFile {
    Word(Word),
    List(Vec<String>),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    None,
    Any,
}

impl LimitsFile {
    /// The limits, or what is wrong with them.
    pub(super) fn limits(self, file: &Path) -> Result<Limits, String> {
        let nodes = self.nodes.into_iter();
        let nodes = nodes.map(|(name, pin)| Ok((name.clone(), pin.pin(&name)?)));
        Ok(Limits {
            file: file.display().to_string(),
            nodes: nodes.collect::<Result<_, String>>()?,
            nodes_only: self.nodes_only,
            destinations: self.destinations,
            commands: self.commands.map(|units| units.units("commands")).transpose()?,
            node_files: self.node_files,
            secrets: self.secrets.map(secrets).transpose()?,
            compose: self.compose.limits()?,
        })
    }
}

fn secrets(written: BTreeMap<String, UnitsFile>) -> Result<BTreeMap<String, Units>, String> {
    let each = |(pattern, units): (String, UnitsFile)| {
        // A pattern without a dot would never match a secret.
        if !pattern.contains(['.', '*']) {
            return Err(format!(
                "limits.secrets: `{pattern}` names no secret: write `FILE.KEY` or `FILE.*`"
            ));
        }
        let units = units.units(&format!("secrets.{pattern}"))?;
        Ok((pattern, units))
    };
    written.into_iter().map(each).collect()
}

impl PinFile {
    fn pin(self, name: &Name) -> Result<Pin, String> {
        if let Some(key) = &self.host_key {
            let words = key.split_whitespace().count();
            if words < 2 || !key.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
                let how = "write the type and the base64 of the key, as `ssh-keyscan` prints them";
                return Err(format!("limits.nodes.{name}.host_key is no public key: {how}"));
            }
        }
        let Self { address, host_key, host, local, destinations } = self;
        Ok(Pin { address, host_key, host, local, destinations })
    }
}

impl ComposeFile {
    fn limits(self) -> Result<ComposeLimits, String> {
        let units = |units: Option<UnitsFile>, key: &str| {
            units.map(|units| units.units(&format!("compose.{key}"))).transpose()
        };
        let bare = |name: String| {
            let name = name.to_ascii_uppercase();
            name.strip_prefix("CAP_").map_or(name.clone(), str::to_owned)
        };
        Ok(ComposeLimits {
            privileged: units(self.privileged, "privileged")?,
            host_network: units(self.host_network, "host_network")?,
            host_namespaces: units(self.host_namespaces, "host_namespaces")?,
            host_mounts: self.host_mounts,
            cap_add: self.cap_add.map(|all| all.into_iter().map(bare).collect()),
            devices: self.devices,
        })
    }
}

impl UnitsFile {
    /// A pattern without `/` would never match a unit: a limit that says less than it seems to.
    fn units(self, key: &str) -> Result<Units, String> {
        match self {
            Self::Word(Word::Any) => Ok(Units::Any),
            Self::Word(Word::None) => Ok(Units::Listed(Vec::new())),
            Self::List(patterns) => {
                match patterns.iter().find(|it| *it != "*" && !it.contains('/')) {
                    None => Ok(Units::Listed(patterns)),
                    Some(odd) => Err(format!(
                        "limits.{key}: `{odd}` names no unit: write it as in `vps1/service.web` or `*/bundle.mcp`"
                    )),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Limits, String> {
        let file: LimitsFile = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        file.limits(Path::new("/etc/gitsync/config.yaml"))
    }

    #[test]
    fn limits_are_read_as_they_are_written() {
        let limits = read(
            "nodes_only: true
nodes:
  vps1: { address: 100.67.88.109, host_key: ssh-ed25519 AAAA x, destinations: [/etc/caddy] }
  here: { local: true }
destinations: [/opt/stacks]
commands: [ vps1/bundle.mcp ]
node_files: [/etc/gitsync/secrets]
secrets: { db.*: [ '*/service.web' ], tls.key: any }
compose: { privileged: none, host_network: any, cap_add: [cap_net_admin], devices: [/dev/dri] }
",
        )
        .unwrap();
        assert!(limits.nodes_only && limits.compose.any());
        assert_eq!(limits.commands, Some(Units::Listed(vec!["vps1/bundle.mcp".to_owned()])));
        assert_eq!(limits.compose.privileged, Some(Units::Listed(Vec::new())));
        assert_eq!(limits.compose.host_network, Some(Units::Any));
        assert_eq!(limits.compose.cap_add, Some(vec!["NET_ADMIN".to_owned()]));
        assert_eq!(limits.compose.host_mounts, None);
        assert_eq!(limits.secrets.unwrap()["tls.key"], Units::Any);
        let vps1 = &limits.nodes[&Name::new("vps1").unwrap()];
        assert_eq!(vps1.address, Some("100.67.88.109".parse().unwrap()));
        assert!(limits.nodes[&Name::new("here").unwrap()].local);
    }

    #[test]
    fn the_documented_limits_are_read_as_they_stand_there() {
        let docs = include_str!("../../docs/security.md");
        let block = docs.split("```text\n").nth(1).and_then(|rest| rest.split("```").next());
        let below = block.unwrap().split_once("limits:\n").unwrap().1;
        let limits = read(below).unwrap();
        assert_eq!(limits.nodes.len(), 2);
        assert!(limits.nodes_only && limits.destinations.is_some() && limits.commands.is_some());
        assert_eq!(limits.compose.devices, Some(vec!["/dev/dri".to_owned()]));
    }

    #[test]
    fn what_would_limit_less_than_it_says_is_an_error() {
        for (text, words) in [
            ("destination: [/opt]", "destination"),
            ("destinations: [opt]", "not absolute"),
            ("destinations: [/opt/]", "not normalised"),
            ("destinations: [/opt/../etc]", "not normalised"),
            ("commands: no", ""),
            ("commands: [bundle.mcp]", "`bundle.mcp` names no unit"),
            ("compose: { privilege: none }", "privilege"),
            ("compose: { privileged: [web] }", "names no unit"),
            ("secrets: { db: any }", "`db` names no secret"),
            ("secrets: { db.a: [web] }", "names no unit"),
            ("nodes: { VPS1: {} }", ""),
            ("nodes: { vps1: { adress: 1.2.3.4 } }", "adress"),
            ("nodes: { vps1: { address: vps1.example } }", ""),
            ("nodes: { vps1: { host_key: AAAA } }", "no public key"),
            ("nodes: { vps1: { local: true }, vps1: {} }", ""),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
