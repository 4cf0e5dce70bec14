//! A stack's folder on this machine, and service folders written into a repository.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::import::{Files, Look};
use crate::model::{Entry, MAX_FILE_BYTES};

/// A folder of this machine.
pub struct Disk {
    /// Where it is.
    pub root: PathBuf,
}

impl Files for Disk {
    fn look(&self, path: &str) -> Look {
        let path = self.root.join(path);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Look::Other("it may not be read");
            }
            Err(_) => return Look::Nothing,
        };
        let kind = metadata.file_type();
        if kind.is_dir() {
            Look::Directory
        } else if kind.is_symlink() {
            Look::Other("it is a link")
        } else if !kind.is_file() {
            Look::Other("it is neither file nor directory")
        } else if metadata.len() > MAX_FILE_BYTES {
            Look::TooLarge(metadata.len())
        } else {
            let executable = metadata.permissions().mode() & 0o100 != 0;
            let file = |content| Look::File { content, executable };
            fs::read(&path).map_or(Look::Other("it may not be read"), file)
        }
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let Ok(listing) = fs::read_dir(self.root.join(directory)) else { return Vec::new() };
        let names = listing.flatten().filter_map(|item| item.file_name().into_string().ok());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

/// Writes files below a directory; what was copied keeps the permissions that it has in `from`.
pub fn lay_out(files: &BTreeMap<String, Entry>, root: &Path, from: &Path) -> std::io::Result<()> {
    for (path, entry) in files {
        let Entry::File { content, executable } = entry else { continue };
        let file = root.join(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&file, content)?;
        let known = fs::metadata(from.join(path)).map(|metadata| metadata.permissions());
        let usual = if *executable { 0o755 } else { 0o644 };
        fs::set_permissions(&file, known.unwrap_or_else(|_| fs::Permissions::from_mode(usual)))?;
    }
    Ok(())
}

/// Writes service folders into a repository: each at once, and none when one can't be written.
pub fn write(
    repository: &Path,
    services: &[(String, &BTreeMap<String, Entry>, &Path)],
) -> std::io::Result<()> {
    let staged = tempfile::Builder::new().prefix(".gitsync-import-").tempdir_in(repository)?;
    for (name, files, from) in services {
        let folder = staged.path().join(name);
        fs::create_dir(&folder)?;
        lay_out(files, &folder, from)?;
    }
    let home = repository.join("services");
    fs::create_dir_all(&home)?;
    let mut done: Vec<PathBuf> = Vec::new();
    for (name, ..) in services {
        let target = home.join(name);
        if let Err(error) = fs::rename(staged.path().join(name), &target) {
            // What this very run wrote goes again.
            done.iter().for_each(|folder| drop(fs::remove_dir_all(folder)));
            return Err(error);
        }
        done.push(target);
    }
    Ok(())
}
