//! Where snapshots come from: a directory, a Git revision read straight from its objects, a mirrored remote.

mod allowed;
mod ancestry;
mod directory;
mod git;
mod keyring;
mod mirror;
mod remote;
mod signature;
mod watch;

use std::path::PathBuf;

pub use ancestry::{Ancestry, ancestry};
pub use directory::{directory, ignored};
pub use git::revision;
pub use mirror::Mirror;
pub use signature::{Distrust, distrust};
pub use watch::Watch;

/// A fleet has at most this many files, links and submodules.
pub const MAX_ENTRIES: usize = 50_000;
/// A fleet's files hold at most this many bytes together: 256 MiB.
pub const MAX_TOTAL_BYTES: u64 = 256 * 1024 * 1024;

/// Why files could not be had. Every message says what to do where something can be done.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Nothing is at the path.
    #[error("`{}` does not exist", .0.display())]
    Missing(PathBuf),
    /// Something is at the path, but no directory.
    #[error("`{}` is not a directory: name the folder that holds fleet.yaml", .0.display())]
    NotADirectory(PathBuf),
    /// The file system said no.
    #[error("`{}` can't be read: {error}", .path.display())]
    Unreadable {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// There is no Git repository at the path or above it.
    #[error("`{}` is not inside a Git repository: run `git init` there, or name one that is", .0.display())]
    NotARepository(PathBuf),
    /// Git refuses a repository of somebody else.
    #[error(
        "the Git repository at `{path}` belongs to another user: \
         if you trust it, run `git config --global --add safe.directory {path}`"
    )]
    NotOwned {
        /// The repository.
        path: String,
    },
    /// The branch is not there.
    #[error("{url} has no branch `{branch}`; {}", there_are(.existing))]
    NoBranch {
        /// The repository.
        url: String,
        /// The branch.
        branch: String,
        /// Branches that are there.
        existing: Vec<String>,
    },
    /// The revision names no commit.
    #[error("`{rev}` names no commit of {repository}; {}", there_are(.branches))]
    NoRevision {
        /// What was asked for.
        rev: String,
        /// The repository.
        repository: String,
        /// Branches that are there.
        branches: Vec<String>,
    },
    /// The commit has no such folder.
    #[error("commit {} has no folder `{folder}`", .commit.get(..12).unwrap_or(.commit))]
    NoFolder {
        /// The commit.
        commit: String,
        /// The folder.
        folder: String,
    },
    /// The remote doesn't let us in.
    #[error("{url} refuses access: {tried}")]
    Auth {
        /// The remote.
        url: String,
        /// What was tried and what can be set.
        tried: String,
    },
    /// The SSH host key is unknown or another one, or the TLS certificate is not trusted.
    #[error("{url} can't be trusted: {advice}")]
    Untrusted {
        /// The remote.
        url: String,
        /// What to do.
        advice: String,
    },
    /// The remote did not answer in time.
    #[error("{url} did not answer within {seconds} s")]
    TimedOut {
        /// The remote.
        url: String,
        /// How long we waited.
        seconds: u64,
    },
    /// The remote can't be reached or broke off.
    #[error("{url} can't be fetched: {message}")]
    Unreachable {
        /// The remote.
        url: String,
        /// Why.
        message: String,
    },
    /// The address is not one that we fetch from.
    #[error(
        "`{0}` is not a repository address: use a local path, file://, https://, ssh:// or user@host:path"
    )]
    Address(String),
    /// The controller's own file of keys can't be used.
    #[error("signatures are required, but the keys in `{}` can't be used: {message}", .path.display())]
    Signers {
        /// The file.
        path: PathBuf,
        /// Why, with its line where there is one.
        message: String,
    },
    /// More than a fleet can be.
    #[error("`{place}` holds more than {what}: is this the folder of a fleet?")]
    TooMuch {
        /// Where.
        place: String,
        /// The limit, in words.
        what: String,
    },
    /// An object has a name that no checkout could hold.
    #[error("the commit holds an entry with the impossible name {0:?}")]
    BadName(String),
    /// Git failed in another way.
    #[error("Git: {}", .0.message())]
    Git(#[from] git2::Error),
    /// Changes of a local repository can't be watched.
    #[error("changes can't be watched: {0}")]
    Watch(#[from] notify::Error),
    /// A background task was cut off.
    #[error("the work was cut off: {0}")]
    Task(String),
}

fn there_are(branches: &[String]) -> String {
    match branches {
        [] => "it has no branches yet: push a commit first".to_owned(),
        some => {
            let shown = some.iter().take(10).map(|name| format!("`{name}`"));
            let rest = some.len().saturating_sub(10);
            let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
            format!("there are {}{more}", shown.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Counts what a snapshot may hold.
#[derive(Debug, Default)]
struct Budget {
    entries: usize,
    bytes: u64,
}

impl Budget {
    /// Takes one entry of so many bytes, or says that `place` holds too much.
    fn take(&mut self, bytes: u64, place: &str) -> Result<(), SourceError> {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        let what = if self.entries > MAX_ENTRIES {
            format!("{MAX_ENTRIES} files")
        } else if self.bytes > MAX_TOTAL_BYTES {
            format!("{} MiB", MAX_TOTAL_BYTES / 1024 / 1024)
        } else {
            return Ok(());
        };
        Err(SourceError::TooMuch { place: place.to_owned(), what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_refuses_the_entry_that_is_too_many() {
        let mut budget = Budget { entries: MAX_ENTRIES - 1, bytes: 0 };
        assert!(budget.take(1, "x").is_ok());
        assert!(matches!(budget.take(1, "x"), Err(SourceError::TooMuch { .. })));
        let mut budget = Budget::default();
        assert!(budget.take(MAX_TOTAL_BYTES, "x").is_ok());
        assert!(budget.take(1, "x").is_err());
    }

    #[test]
    fn missing_branches_are_answered_with_those_there() {
        assert!(there_are(&[]).contains("push"));
        let many: Vec<String> = (0..12).map(|n| format!("b{n}")).collect();
        assert!(there_are(&many).ends_with("`b9` and 2 more"));
    }
}
