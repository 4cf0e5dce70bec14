//! Why the journal could not be read or written, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// SQLite's primary result codes that have their own advice.
mod code {
    pub const BUSY: u32 = 5;
    pub const READONLY: u32 = 8;
    pub const IO: u32 = 10;
    pub const CORRUPT: u32 = 11;
    pub const FULL: u32 = 13;
    pub const CANT_OPEN: u32 = 14;
    pub const CONSTRAINT: u32 = 19;
    pub const NOT_A_DATABASE: u32 = 26;
}

/// What SQLite's index takes, and as much again for the first entries.
const INDEX: usize = 64 * 1024;

/// Why the journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another controller uses the state directory.
    #[error(
        "another gitsync ({who}) uses `{}`: wait for it, stop it, or name another directory with --state",
        .directory.display()
    )]
    InUse {
        /// The state directory.
        directory: PathBuf,
        /// The process, as it wrote itself down.
        who: String,
    },
    /// The state directory can't be made or written.
    #[error(
        "the state directory `{}` can't be used: {error}; name another with --state or GITSYNC_STATE",
        .directory.display()
    )]
    Unusable {
        /// The state directory.
        directory: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The file system has no room left.
    #[error("no space is left for the journal in `{}`: free some; nothing new was begun", .0.display())]
    Full(PathBuf),
    /// The file is there but can't be written.
    #[error("the journal in `{}` can't be written: check its owner and the mount", .0.display())]
    ReadOnly(PathBuf),
    /// The file is damaged.
    #[error(
        "the journal in `{}` is damaged: move journal.db away and start again; \
         the nodes hold what is needed to go on",
        .0.display()
    )]
    Damaged(PathBuf),
    /// A newer gitsync wrote it.
    #[error("the journal in `{}` was written by a newer gitsync: use that one", .0.display())]
    Newer(PathBuf),
    /// An id was begun twice, or an entry names a rollout that was never begun.
    #[error("the journal refuses an entry of rollout `{0}`: it was begun twice, or never")]
    OutOfOrder(String),
    /// What was written can't be read back as it was meant.
    #[error("rollout `{rollout}` in the journal can't be understood: {error}")]
    Malformed {
        /// The rollout.
        rollout: String,
        /// Why.
        #[source]
        error: serde_json::Error,
    },
    /// The database failed in another way.
    #[error("the journal failed: {0}")]
    Database(#[source] Box<sqlx::Error>),
}

impl JournalError {
    /// What an error of the database means for the journal in `directory`; `rollout` is the one it was about.
    pub(super) fn from_database(error: sqlx::Error, directory: &Path, rollout: &str) -> Self {
        let place = directory.to_owned();
        match primary(&error) {
            Some(code::FULL) => Self::Full(place),
            Some(code::READONLY | code::CANT_OPEN) => Self::ReadOnly(place),
            Some(code::CORRUPT | code::NOT_A_DATABASE) => Self::Damaged(place),
            Some(code::CONSTRAINT) => Self::OutOfOrder(rollout.to_owned()),
            Some(code::BUSY) => Self::InUse { directory: place, who: "busy writing".to_owned() },
            Some(code::IO) => match space_left(directory, 4096) {
                Err(error) if error.kind() == io::ErrorKind::StorageFull => Self::Full(place),
                _ => Self::Database(Box::new(error)),
            },
            _ => Self::Database(Box::new(error)),
        }
    }
}

/// The primary result code: the low byte of the extended one.
fn primary(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// SQLite reports a full disk as an I/O error at times (while it grows the shared index): asks the disk itself.
fn space_left(directory: &Path, bytes: usize) -> io::Result<()> {
    use std::io::Write as _;
    let mut probe = tempfile::tempfile_in(directory)?;
    probe.write_all(&vec![0; bytes])?;
    probe.sync_all()
}

/// Refuses a full disk before SQLite opens its files: it maps its index into memory, and on a disk with small blocks
/// the first touch of a page without room ends the whole process.
pub(super) fn room(directory: &Path) -> Result<(), JournalError> {
    match space_left(directory, INDEX) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            Err(JournalError::Full(directory.to_owned()))
        }
        _ => Ok(()),
    }
}
