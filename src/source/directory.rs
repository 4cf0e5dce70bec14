//! Reads a fleet's folder on disk, as a commit of it would be.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use git2::{Index, Repository};

use crate::model::{Entry, MAX_FILE_BYTES, Snapshot};

use super::{Budget, SourceError, git};

/// Reads the folder at `path`.
///
/// Inside a repository the snapshot carries HEAD's commit, is `dirty` when the files differ from it, and leaves
/// out what Git ignores; `.git` is never read, and a folder with a `.git` of its own counts as a submodule.
pub fn directory(path: &Path) -> Result<Snapshot, SourceError> {
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => SourceError::Missing(path.to_owned()),
        _ => unreadable(path, error),
    })?;
    if !metadata.is_dir() {
        return Err(SourceError::NotADirectory(path.to_owned()));
    }
    let home = home(path)?;
    let ignored = home.as_ref().map(Ignored::new).transpose()?;
    let mut walk = Walk {
        ignored,
        budget: Budget::default(),
        place: path.display().to_string(),
        entries: BTreeMap::new(),
    };
    walk.folder(path, "")?;
    let mut snapshot = Snapshot { entries: walk.entries, commit: None, dirty: false };
    if let Some(home) = &home {
        compare(home, &mut snapshot)?;
    }
    Ok(snapshot)
}

/// Those of some paths below the folder that Git would leave out of a commit.
pub fn ignored(path: &Path, below: &[String]) -> Result<Vec<String>, SourceError> {
    let Some(home) = home(path)? else { return Ok(Vec::new()) };
    let ignored = Ignored::new(&home)?;
    Ok(below.iter().filter(|path| ignored.covers(path)).cloned().collect())
}

/// The repository that keeps a folder, and where the folder lies in it.
struct Home {
    repository: Repository,
    folder: String,
}

/// None when no repository keeps the folder: there is none, it has no files on disk, or it ignores the folder.
fn home(path: &Path) -> Result<Option<Home>, SourceError> {
    let repository = match git::discover(path) {
        Err(SourceError::NotARepository(_)) => return Ok(None),
        other => other?,
    };
    if repository.is_bare() {
        return Ok(None);
    }
    let folder = git::folder_of(&repository, path)?;
    let foreign = !folder.is_empty() && repository.is_path_ignored(&folder).unwrap_or(false);
    Ok((!foreign).then_some(Home { repository, folder }))
}

/// Sets the commit and whether the files differ from it.
fn compare(home: &Home, snapshot: &mut Snapshot) -> Result<(), SourceError> {
    let head = home.repository.head().and_then(|head| head.peel_to_commit());
    let Ok(head) = head else {
        // No commit yet: whatever is there is not in Git.
        snapshot.dirty = true;
        return Ok(());
    };
    snapshot.commit = Some(git::about(&head));
    snapshot.dirty = match git::read(&home.repository, head.id(), &home.folder) {
        Ok(committed) => committed.entries != snapshot.entries,
        Err(SourceError::NoFolder { .. }) => true,
        Err(error) => return Err(error),
    };
    Ok(())
}

/// What Git would leave out of a commit.
struct Ignored<'h> {
    home: &'h Home,
    index: Index,
}

impl<'h> Ignored<'h> {
    fn new(home: &'h Home) -> Result<Self, SourceError> {
        Ok(Self { home, index: home.repository.index()? })
    }

    /// Whether a path below the folder is ignored and nothing at or below it is tracked all the same.
    fn covers(&self, relative: &str) -> bool {
        let path = match self.home.folder.as_str() {
            "" => relative.to_owned(),
            folder => format!("{folder}/{relative}"),
        };
        let ignored = self.home.repository.is_path_ignored(&path).unwrap_or(false);
        ignored && !self.tracks(&path)
    }

    fn tracks(&self, path: &str) -> bool {
        let below = format!("{path}/");
        self.index.get_path(Path::new(path), 0).is_some()
            || self.index.iter().any(|entry| entry.path.starts_with(below.as_bytes()))
    }
}

struct Walk<'h> {
    ignored: Option<Ignored<'h>>,
    budget: Budget,
    place: String,
    entries: BTreeMap<String, Entry>,
}

impl Walk<'_> {
    fn folder(&mut self, path: &Path, prefix: &str) -> Result<(), SourceError> {
        let listing = fs::read_dir(path).map_err(|error| unreadable(path, error))?;
        for item in listing {
            let item = item.map_err(|error| unreadable(path, error))?;
            let name = item.file_name().to_string_lossy().into_owned();
            let relative =
                if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            if name != ".git" && !self.ignored.as_ref().is_some_and(|it| it.covers(&relative)) {
                self.item(&item.path(), relative)?;
            }
        }
        Ok(())
    }

    fn item(&mut self, path: &Path, relative: String) -> Result<(), SourceError> {
        let metadata = match fs::symlink_metadata(path) {
            // It went while the folder was being listed: as if it had never been there.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|error| unreadable(path, error))?,
        };
        let kind = metadata.file_type();
        if kind.is_dir() {
            if path.join(".git").exists() {
                return self.keep(relative, Entry::Submodule, 0);
            }
            self.folder(path, &relative)
        } else if kind.is_symlink() {
            let target = fs::read_link(path).map_err(|error| unreadable(path, error))?;
            self.keep(relative, Entry::Link(target.to_string_lossy().into_owned()), 0)
        } else if kind.is_file() {
            self.file(path, relative, &metadata)
        } else {
            // Sockets, pipes and devices are nothing that Git could keep.
            Ok(())
        }
    }

    fn file(
        &mut self,
        path: &Path,
        relative: String,
        metadata: &Metadata,
    ) -> Result<(), SourceError> {
        let size = metadata.len();
        if size > MAX_FILE_BYTES {
            return self.keep(relative, Entry::TooLarge(size), 0);
        }
        let content = fs::read(path).map_err(|error| unreadable(path, error))?;
        let bytes = content.len() as u64;
        let executable = metadata.permissions().mode() & 0o100 != 0;
        self.keep(relative, Entry::File { content, executable }, bytes)
    }

    fn keep(&mut self, path: String, entry: Entry, bytes: u64) -> Result<(), SourceError> {
        self.budget.take(bytes, &self.place)?;
        self.entries.insert(path, entry);
        Ok(())
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> SourceError {
    SourceError::Unreadable { path: PathBuf::from(path), error }
}
