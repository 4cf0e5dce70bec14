//! The documents as typed values: one file per kind, whose doc comments are the schemas' descriptions.

mod bundle;
mod container;
mod fleet;
mod gateway;
mod health;
mod node;
mod service;
mod sync;

pub use bundle::*;
pub use container::*;
pub use fleet::*;
pub use gateway::*;
pub use health::*;
pub use node::*;
pub use service::*;
pub use sync::*;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::text::{Label, Line};

/// Which nodes: names, `all`, or labels that a node must have.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("examples" = [["vps1", "vps2"], "all", {"role": "worker"}]))]
pub enum Selector {
    /// Every node.
    All(All),
    /// These nodes.
    Names(#[schemars(length(min = 1))] Vec<Label>),
    /// Nodes that have all these labels.
    Labels(#[schemars(extend("minProperties" = 1))] BTreeMap<String, Line>),
}

/// The word `all`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum All {
    /// Every node.
    All,
}

/// The word `off`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Off {
    /// Switched off.
    Off,
}

/// One value, or several in a list.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several.
    Many(Vec<T>),
}

impl<T: Clone> OneOrMany<T> {
    /// All values.
    pub fn values(&self) -> Vec<T> {
        match self {
            Self::One(value) => vec![value.clone()],
            Self::Many(values) => values.clone(),
        }
    }
}
