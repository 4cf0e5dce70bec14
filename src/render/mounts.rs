//! What containers mount of the files that gitsync manages, and what has to be there before they start.

use std::collections::BTreeSet;

use crate::model::{AbsPath, Artifact, Mount, MountSource, sha256_hex};

/// Files that are managed on a node and may be mounted: a unit's own and those of the node's bundles.
pub(super) struct Managed<'a> {
    files: Vec<&'a Artifact>,
}

impl<'a> Managed<'a> {
    /// These files, in an order that depends on nothing else.
    pub(super) fn new(files: impl Iterator<Item = &'a Artifact>) -> Self {
        let mut files: Vec<&Artifact> = files.collect();
        files.sort_by(|a, b| a.destination.cmp(&b.destination));
        Self { files }
    }

    /// The SHA-256 over the managed files below these mounts; none when there are none.
    pub(super) fn digest(&self, directory: &AbsPath, mounts: &[Mount]) -> Option<String> {
        let paths: Vec<AbsPath> = mounts.iter().filter_map(|m| host_path(directory, m)).collect();
        let mut text = String::new();
        for file in &self.files {
            if paths.iter().any(|path| file.destination.is_within(path)) {
                let line = format!("{:04o} {} {}\n", file.mode, file.blob(), file.destination);
                text.push_str(&line);
            }
        }
        (!text.is_empty()).then(|| sha256_hex(text.as_bytes()))
    }

    /// Whether one of these mounts is a managed file itself.
    pub(super) fn mounted_singly(&self, directory: &AbsPath, mounts: &[Mount]) -> bool {
        mounts.iter().filter_map(|mount| host_path(directory, mount)).any(|path| self.has(&path))
    }

    /// Whether a managed file lies at exactly this path.
    pub(super) fn has(&self, path: &AbsPath) -> bool {
        self.files.iter().any(|file| file.destination == *path)
    }

    /// Mount sources that must exist: absolute paths, and single managed files.
    pub(super) fn needs(&self, directory: &AbsPath, mounts: &[Mount]) -> BTreeSet<AbsPath> {
        let needed = |mount: &Mount| match &mount.source {
            MountSource::Path(path) => Some(path.clone()),
            _ => host_path(directory, mount).filter(|path| self.has(path)),
        };
        mounts.iter().filter_map(needed).collect()
    }
}

/// The path on the node that is mounted, if it is one.
pub(super) fn host_path(directory: &AbsPath, mount: &Mount) -> Option<AbsPath> {
    match &mount.source {
        MountSource::Path(path) => Some(path.clone()),
        MountSource::Directory(below) if below.is_empty() => Some(directory.clone()),
        MountSource::Directory(below) => directory.join(below).ok(),
        MountSource::Volume(_) | MountSource::External(_) | MountSource::Tmpfs => None,
    }
}
