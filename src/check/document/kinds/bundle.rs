//! `bundles/*.yaml`: files from this repository delivered to nodes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::text::{DependencyText, FilePath, Mode, OwnerText, PathText, RepoPath, Shell};
use super::{HealthDoc, Selector};

/// Files from this repository delivered to nodes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"files": "files/mcp/", "to": {"on": "all", "path": "/etc/mcp", "mode": "0640"}}]))]
pub struct BundleDoc {
    /// A folder, a file, or a map from the path below the directory to the file in the repository.
    pub files: FilesDoc,
    /// Where they go.
    pub to: ToDoc,
    /// What makes the change felt; must be safe to run twice.
    pub activate: Option<Shell>,
    /// What checks the staged files; a failure stops the rollout before anything changed.
    pub validate: Option<Shell>,
    /// Whether the files are templates. `false`.
    pub template: Option<bool>,
    /// When it counts as healthy.
    pub health: Option<HealthDoc>,
    /// What it needs.
    pub depends_on: Option<Vec<DependencyText>>,
    /// Whether files that are there already are taken over. `false`.
    pub adopt: Option<bool>,
}

/// Files of the repository.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum FilesDoc {
    /// A folder (all files below it) or one file.
    Path(RepoPath),
    /// Files by the path that they get below the directory.
    Map(#[schemars(extend("minProperties" = 1))] BTreeMap<String, FilePath>),
}

/// Where files go.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToDoc {
    /// Which nodes.
    pub on: Selector,
    /// The directory.
    pub path: PathText,
    /// Permission bits; `0644` when absent, `0755` for what Git marks executable.
    pub mode: Option<Mode>,
    /// `user` or `user:group`; the login that installs them when absent.
    pub owner: Option<OwnerText>,
}
