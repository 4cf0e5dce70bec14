//! The identity of a unit: where it is, what it is, and for which environment.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Name;

/// What a unit is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnitKind {
    /// An instance of a service.
    Service,
    /// A gateway on one of its nodes.
    Gateway,
    /// All syncs of a node, which one lsyncd runs.
    Sync,
    /// A bundle on one of its nodes.
    Bundle,
}

impl UnitKind {
    /// The word used in unit ids.
    pub fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Gateway => "gateway",
            Self::Sync => "sync",
            Self::Bundle => "bundle",
        }
    }
}

/// `vps1/service.organizr`, `pi-2/service.api@dev`, `vps1/gateway.edge`, `vps1/sync`, `nas/bundle.mcp`.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct UnitId {
    /// The node that holds the unit.
    pub node: Name,
    /// What the unit is made from.
    pub kind: UnitKind,
    /// The thing's name; none for a node's sync unit.
    pub name: Option<Name>,
    /// The environment, when it is not the first.
    pub environment: Option<Name>,
}

/// A text that is not a unit id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a unit: write it as in `vps1/service.organizr` or `pi-2/service.api@dev`")]
pub struct UnitIdError(pub String);

impl UnitId {
    /// A named unit in the first environment.
    pub fn new(node: &Name, kind: UnitKind, name: &Name) -> Self {
        Self { node: node.clone(), kind, name: Some(name.clone()), environment: None }
    }

    /// The sync unit of a node.
    pub fn sync(node: &Name) -> Self {
        Self { node: node.clone(), kind: UnitKind::Sync, name: None, environment: None }
    }

    /// The id without its node, which names the unit's directory on the node: `service.api@dev`.
    pub fn local(&self) -> String {
        let mut text = self.kind.word().to_owned();
        if let Some(name) = &self.name {
            text.push('.');
            text.push_str(name.as_str());
        }
        if let Some(environment) = &self.environment {
            text.push('@');
            text.push_str(environment.as_str());
        }
        text
    }

    /// The unit that `local` names on `node`.
    pub fn from_local(node: &Name, local: &str) -> Result<Self, UnitIdError> {
        let fail = || UnitIdError(local.to_owned());
        let (rest, environment) = match local.split_once('@') {
            Some((rest, environment)) => (rest, Some(environment)),
            None => (local, None),
        };
        let (word, name) = match rest.split_once('.') {
            Some((word, name)) => (word, Some(name)),
            None => (rest, None),
        };
        let kind = [UnitKind::Service, UnitKind::Gateway, UnitKind::Sync, UnitKind::Bundle]
            .into_iter()
            .find(|kind| kind.word() == word)
            .ok_or_else(fail)?;
        if (kind == UnitKind::Sync) != name.is_none() {
            return Err(fail());
        }
        let label = |text: Option<&str>| text.map(Name::new).transpose().map_err(|_| fail());
        Ok(Self { node: node.clone(), kind, name: label(name)?, environment: label(environment)? })
    }
}

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.node, self.local()))
    }
}

impl FromStr for UnitId {
    type Err = UnitIdError;
    fn from_str(text: &str) -> Result<Self, UnitIdError> {
        let fail = || UnitIdError(text.to_owned());
        let (node, local) = text.split_once('/').ok_or_else(fail)?;
        Self::from_local(&Name::new(node).map_err(|_| fail())?, local).map_err(|_| fail())
    }
}

impl TryFrom<String> for UnitId {
    type Error = UnitIdError;
    fn try_from(text: String) -> Result<Self, UnitIdError> {
        text.parse()
    }
}

impl From<UnitId> for String {
    fn from(id: UnitId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_ids_read_back_as_written() {
        for text in ["vps1/service.organizr", "pi-2/service.api@dev", "vps1/sync", "n/bundle.mcp"] {
            assert_eq!(text.parse::<UnitId>().unwrap().to_string(), text);
        }
        for text in ["vps1", "vps1/service", "vps1/sync.x", "vps1/thing.a", "V/service.a", "a/b/c"]
        {
            assert!(text.parse::<UnitId>().is_err(), "{text}");
        }
    }
}
