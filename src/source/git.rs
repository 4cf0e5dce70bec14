//! Reads snapshots straight from Git objects: no checkout, no index, no hooks, no filters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use git2::{ErrorCode, ObjectType, Odb, Oid, Repository, Tree};

use crate::model::{Commit, Entry, MAX_FILE_BYTES, Snapshot, Timestamp};

use super::{Budget, SourceError};

/// Git's file modes, as in tree objects.
const TREE: i32 = 0o040_000;
const LINK: i32 = 0o120_000;
const SUBMODULE: i32 = 0o160_000;
const KIND_MASK: i32 = 0o170_000;
/// Deeper than any fleet; keeps a made-up tree from exhausting the stack.
const MAX_DEPTH: usize = 64;

/// The files of a revision of the repository that holds `path`, below that folder.
///
/// `rev` is anything that names a commit: a branch, a tag, an id, `HEAD~2`. The folder need not exist on disk;
/// for a bare repository it is the whole tree.
pub fn revision(path: &Path, rev: &str) -> Result<Snapshot, SourceError> {
    let repository = discover(path)?;
    let folder = folder_of(&repository, path)?;
    let commit = resolve(&repository, rev, &path.display().to_string())?;
    read(&repository, commit, &folder)
}

/// Opens the repository at `path` or at the nearest directory above it.
pub(super) fn discover(path: &Path) -> Result<Repository, SourceError> {
    let there = path.ancestors().find(|ancestor| ancestor.exists());
    let existing = there.unwrap_or(Path::new("."));
    Repository::discover(existing).map_err(|error| match error.code() {
        ErrorCode::NotFound => SourceError::NotARepository(path.to_owned()),
        ErrorCode::Owner => SourceError::NotOwned { path: existing.display().to_string() },
        _ => SourceError::Git(error),
    })
}

/// Where `path` lies inside the repository's working tree, `/`-separated; empty for its root or a bare one.
pub(super) fn folder_of(repository: &Repository, path: &Path) -> Result<String, SourceError> {
    let Some(root) = repository.workdir() else { return Ok(String::new()) };
    let unreadable = |error| SourceError::Unreadable { path: path.to_owned(), error };
    let root = root.canonicalize().map_err(unreadable)?;
    let full = real(path).map_err(unreadable)?;
    let inside = full.strip_prefix(&root).unwrap_or(Path::new(""));
    Ok(inside.to_string_lossy().into_owned())
}

/// The path without links; the part that only a commit has, and not the disk, stays as it is spelled.
fn real(path: &Path) -> std::io::Result<PathBuf> {
    let full = std::path::absolute(path)?;
    let there = full.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    let rest = full.strip_prefix(there).unwrap_or(Path::new(""));
    let real = there.canonicalize()?;
    Ok(if rest.as_os_str().is_empty() { real } else { real.join(rest) })
}

/// The commit that a revision names.
pub(super) fn resolve(repository: &Repository, rev: &str, place: &str) -> Result<Oid, SourceError> {
    let found = repository.revparse_single(rev).and_then(|object| object.peel_to_commit());
    match found {
        Ok(commit) => Ok(commit.id()),
        Err(error) if is_corrupt(&error) || is_hollow(repository) => Err(SourceError::Git(error)),
        Err(_) => Err(SourceError::NoRevision {
            rev: rev.to_owned(),
            repository: place.to_owned(),
            branches: branches(repository),
        }),
    }
}

/// Names of the local branches, sorted.
pub(super) fn branches(repository: &Repository) -> Vec<String> {
    let Ok(found) = repository.branches(Some(git2::BranchType::Local)) else { return Vec::new() };
    let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let names = found.flatten().filter_map(|(branch, _)| branch.name_bytes().ok().map(name));
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Whether a branch points to a commit that can't be read: then no revision says what it seems to say.
fn is_hollow(repository: &Repository) -> bool {
    let Ok(found) = repository.branches(Some(git2::BranchType::Local)) else { return true };
    found.flatten().any(|(branch, _)| branch.get().peel_to_commit().is_err())
}

/// Whether an error means that objects or references on disk are damaged or missing.
pub(super) fn is_corrupt(error: &git2::Error) -> bool {
    use git2::ErrorClass::{Index, Indexer, Object, Odb, Reference, Repository, Zlib};
    let damaged = matches!(error.class(), Odb | Zlib | Object | Indexer | Index | Repository);
    let absent = matches!(error.code(), ErrorCode::NotFound | ErrorCode::Ambiguous);
    let reference = error.class() == Reference && error.message().contains("corrupt");
    error.code() == ErrorCode::HashsumMismatch || reference || (damaged && !absent)
}

/// The snapshot of a commit below `folder` (`/`-separated, empty for all).
pub(super) fn read(
    repository: &Repository,
    commit: Oid,
    folder: &str,
) -> Result<Snapshot, SourceError> {
    let commit = repository.find_commit(commit)?;
    let about = about(&commit);
    let tree = subtree(repository, &commit.tree()?, folder, &about.id)?;
    let odb = repository.odb()?;
    let mut reader = Reader { repository, odb, budget: Budget::default(), place: about.id.clone() };
    let mut entries = BTreeMap::new();
    reader.tree(&tree, "", 0, &mut entries)?;
    Ok(Snapshot { entries, commit: Some(about), dirty: false })
}

/// What people want to know about a commit.
pub(super) fn about(commit: &git2::Commit<'_>) -> Commit {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let seconds = u64::try_from(commit.time().seconds()).unwrap_or(0);
    Commit {
        id: commit.id().to_string(),
        summary: text(commit.summary_bytes().unwrap_or_default()),
        author: text(commit.author().name_bytes()),
        at: Timestamp(seconds.saturating_mul(1000)),
    }
}

fn subtree<'r>(
    repository: &'r Repository,
    root: &Tree<'r>,
    folder: &str,
    commit: &str,
) -> Result<Tree<'r>, SourceError> {
    let folder = folder.trim_matches('/');
    if folder.is_empty() || folder == "." {
        return Ok(root.clone());
    }
    let missing = || SourceError::NoFolder { commit: commit.to_owned(), folder: folder.to_owned() };
    let entry = match root.get_path(Path::new(folder)) {
        Err(error) if error.code() == ErrorCode::NotFound => return Err(missing()),
        other => other?,
    };
    if entry.kind() != Some(ObjectType::Tree) {
        return Err(missing());
    }
    Ok(repository.find_tree(entry.id())?)
}

struct Reader<'r> {
    repository: &'r Repository,
    odb: Odb<'r>,
    budget: Budget,
    place: String,
}

impl Reader<'_> {
    fn tree(
        &mut self,
        tree: &Tree<'_>,
        prefix: &str,
        depth: usize,
        entries: &mut BTreeMap<String, Entry>,
    ) -> Result<(), SourceError> {
        if depth > MAX_DEPTH {
            let what = format!("{MAX_DEPTH} nested folders");
            return Err(SourceError::TooMuch { place: self.place.clone(), what });
        }
        for item in tree {
            let name = entry_name(item.name_bytes())?;
            let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            let mode = item.filemode_raw();
            if mode & KIND_MASK == TREE {
                let below = self.repository.find_tree(item.id())?;
                self.tree(&below, &path, depth + 1, entries)?;
            } else {
                let entry = self.entry(item.id(), mode)?;
                entries.insert(path, entry);
            }
        }
        Ok(())
    }

    fn entry(&mut self, id: Oid, mode: i32) -> Result<Entry, SourceError> {
        if mode & KIND_MASK == SUBMODULE {
            self.budget.take(0, &self.place)?;
            return Ok(Entry::Submodule);
        }
        let (size, _) = self.odb.read_header(id)?;
        let size = size as u64;
        if size > MAX_FILE_BYTES {
            self.budget.take(0, &self.place)?;
            return Ok(Entry::TooLarge(size));
        }
        self.budget.take(size, &self.place)?;
        let content = self.odb.read(id)?.data().to_vec();
        Ok(match mode & KIND_MASK {
            LINK => Entry::Link(String::from_utf8_lossy(&content).into_owned()),
            _ => Entry::File { content, executable: mode & 0o111 != 0 },
        })
    }
}

/// Names come from objects that anybody may have made: those that would lead out of the tree are refused.
fn entry_name(bytes: &[u8]) -> Result<String, SourceError> {
    let name = String::from_utf8_lossy(bytes).into_owned();
    let impossible = matches!(name.as_str(), "" | "." | "..") || name.contains(['/', '\0']);
    if impossible { Err(SourceError::BadName(name)) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_out_are_refused() {
        for bad in ["", ".", "..", "a/b", "a\0b"] {
            assert!(entry_name(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert_eq!(entry_name(b"..x").unwrap(), "..x");
    }
}
