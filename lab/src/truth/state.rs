//! What gitsync's own state says of each unit on a host.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::host::Host;

/// What a unit runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// The digest of its version; none for one that runs nothing.
    current: Option<String>,
    /// Whether a change is under way.
    pub pending: bool,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.current.as_deref().unwrap_or("nothing"))?;
        f.write_str(if self.pending { ", a change pending" } else { "" })
    }
}

/// All units that run something or have a change under way, by their directories.
pub(super) fn units(host: &Host, roots: &[&str]) -> Result<BTreeMap<String, Unit>> {
    let mut units = BTreeMap::new();
    for root in roots {
        for fleet in names(&place(host, &format!("{root}/fleets"))) {
            let fleet = format!("{root}/fleets/{fleet}/units");
            let found = names(&place(host, &fleet));
            let found = found.into_iter().map(|unit| format!("{fleet}/{unit}"));
            units.extend(found.filter_map(|path| Some((path.clone(), unit(&place(host, &path))?))));
        }
    }
    Ok(units)
}

/// Where a path can be read: as the host sees it, or on the disk of one that is off.
pub(crate) fn place(host: &Host, path: &str) -> PathBuf {
    host.path(path).unwrap_or_else(|_| host.disk(path))
}

fn unit(directory: &Path) -> Option<Unit> {
    let current = fs::read_to_string(directory.join("current")).ok();
    let current = current.map(|text| text.trim().to_owned());
    let unit = Unit { current, pending: directory.join("pending").exists() };
    (unit.current.is_some() || unit.pending).then_some(unit)
}

/// What lies in a directory, in order; nothing when it isn't there.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
