//! The files of one commit or of one directory.

use std::collections::BTreeMap;

use super::Timestamp;

/// What lies at one path of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A file and whether it may be executed.
    File {
        /// The bytes as they are.
        content: Vec<u8>,
        /// Whether Git (or the file system) marks it executable.
        executable: bool,
    },
    /// A file that is too large to be read: its size in bytes.
    TooLarge(u64),
    /// A symbolic link and what it points to, as written.
    Link(String),
    /// A Git submodule.
    Submodule,
}

/// Where a snapshot comes from in Git.
#[derive(
    Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct Commit {
    /// The full object id in hex.
    pub id: String,
    /// The first line of the message.
    pub summary: String,
    /// The author's name.
    pub author: String,
    /// When it was committed.
    pub at: Timestamp,
}

/// The files of one commit (straight from Git objects) or of one directory, below the fleet's folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Entries by path, `/`-separated, relative to the fleet's folder.
    pub entries: BTreeMap<String, Entry>,
    /// The commit, when the files come from one.
    pub commit: Option<Commit>,
    /// Whether the files differ from the commit (only for a directory).
    pub dirty: bool,
}

/// Files larger than this are not read: 1 MiB.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024;

impl Snapshot {
    /// The content of the file at `path`, if one is there.
    pub fn content(&self, path: &str) -> Option<&[u8]> {
        match self.entries.get(path) {
            Some(Entry::File { content, .. }) => Some(content),
            _ => None,
        }
    }
}
