//! How two commits of a repository lie to each other: whether one follows the other, and whether both are there.

use std::path::Path;

use git2::{Error, ErrorCode, Oid, Repository};

use super::{SourceError, git};

/// How a wanted commit lies to an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ancestry {
    /// It is the same one, or comes after it.
    Follows,
    /// It comes before it.
    Older,
    /// Neither comes from the other.
    Diverged,
    /// The repository does not have the earlier one.
    Gone,
    /// The repository is a shallow clone, whose history ends before it reaches the earlier one.
    Shallow,
}

/// How `wanted` (any revision) lies to the commit with the id `earlier`, in the repository that holds `path`.
pub fn ancestry(path: &Path, earlier: &str, wanted: &str) -> Result<Ancestry, SourceError> {
    between(&git::discover(path)?, earlier, wanted, &path.display().to_string())
}

pub(super) fn between(
    repository: &Repository,
    earlier: &str,
    wanted: &str,
    place: &str,
) -> Result<Ancestry, SourceError> {
    let wanted = git::resolve(repository, wanted, place)?;
    let lost = if repository.is_shallow() { Ancestry::Shallow } else { Ancestry::Gone };
    // An id comes from a node's record: nothing but an id is looked up.
    let Ok(earlier) = Oid::from_str(earlier) else { return Ok(lost) };
    match repository.find_commit(earlier) {
        Err(error) if error.code() == ErrorCode::NotFound => return Ok(lost),
        other => drop(other?),
    }
    if wanted == earlier || descends(repository, wanted, earlier)? {
        return Ok(Ancestry::Follows);
    }
    let older = descends(repository, earlier, wanted)?;
    Ok(match (older, repository.is_shallow()) {
        (true, _) => Ancestry::Older,
        (false, true) => Ancestry::Shallow,
        (false, false) => Ancestry::Diverged,
    })
}

/// Whether `newer` comes after `older`, as far as the history is there.
fn descends(repository: &Repository, newer: Oid, older: Oid) -> Result<bool, Error> {
    match repository.graph_descendant_of(newer, older) {
        Err(error) if error.code() == ErrorCode::NotFound && repository.is_shallow() => Ok(false),
        other => other,
    }
}
