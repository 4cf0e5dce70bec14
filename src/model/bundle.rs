//! Files from the repository delivered to nodes.

use serde::{Deserialize, Serialize};

use super::{AbsPath, Delivered, Health, Name, UnitId};

/// A bundle on one node, with its files resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// Its unit.
    pub id: UnitId,
    /// The bundle's name.
    pub name: Name,
    /// The directory that its files lie in.
    pub directory: AbsPath,
    /// Its files.
    pub files: Vec<Delivered>,
    /// Whether the files are templates.
    pub template: bool,
    /// What makes the change felt.
    pub activate: Option<BundleActivation>,
    /// When it counts as healthy; no checks when the author wrote none.
    pub health: Health,
    /// Units it needs.
    pub depends_on: Vec<UnitId>,
    /// Whether files that are there already are taken over.
    pub adopt: bool,
    /// The repository file that defines it.
    pub source: String,
}

/// What makes a bundle's change felt on its node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleActivation {
    /// A shell program, run after the files are in place; must be safe to run twice.
    pub command: String,
    /// A shell program that checks the staged files.
    pub validate: Option<String>,
}
