//! The controller's own private directory for control sockets, forwarded sockets and generated SSH configuration.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const PREFIX: &str = "gitsync-ssh-";
const LOCK: &str = "lock";
/// What lies between making a directory and locking it takes far less.
const GRACE: Duration = Duration::from_secs(10);
/// A Unix socket's path has 108 bytes on Linux and 104 elsewhere; `ssh` appends 17 while it makes the socket.
const LONGEST_BASE: usize = 48;

/// A directory with mode 0700 that belongs to one running controller and goes when it is dropped.
///
/// A controller that was killed leaves its directory and its SSH masters behind: whoever creates the next one
/// ends those masters and removes the directory. A lock on a file inside tells the living from the dead.
#[derive(Debug)]
pub struct ControlDirectory {
    path: PathBuf,
    _lock: File,
    count: AtomicU32,
}

impl ControlDirectory {
    /// Creates it below `$XDG_RUNTIME_DIR`, or `/tmp` where that is missing or too long for sockets, and removes
    /// what dead controllers of the same user left there.
    pub fn create() -> io::Result<Self> {
        Self::create_in(&base())
    }

    /// Creates it below `base`, which must be short and must not hold characters that need quoting.
    pub fn create_in(base: &Path) -> io::Result<Self> {
        if !usable(base) {
            let message = format!("{} is no place for control sockets", base.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let path = fresh(base)?;
        let lock = File::create(path.join(LOCK))?;
        lock.lock()?;
        reap(base, &path);
        Ok(Self { path, _lock: lock, count: AtomicU32::new(0) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path inside that was not handed out before, short enough for a socket.
    pub fn name(&self, kind: &str) -> PathBuf {
        self.path.join(format!("{kind}{}", self.count.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Drop for ControlDirectory {
    fn drop(&mut self) {
        // Nothing to do about a failure here: the next controller reaps what is left.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn base() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    runtime
        .filter(|path| path.is_absolute() && path.is_dir() && usable(path))
        .unwrap_or_else(|| PathBuf::from("/tmp"))
}

/// Paths go into `ssh_config` and a proxy command: only characters that mean nothing there.
fn usable(base: &Path) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    base.to_str().is_some_and(|text| text.len() <= LONGEST_BASE && text.chars().all(plain))
}

/// The name is made by creating the directory, which fails when anyone has put something there before.
fn fresh(base: &Path) -> io::Result<PathBuf> {
    for _ in 0..64 {
        let path = base.join(format!("{PREFIX}{:08x}", rand::random::<u32>()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free name for the control directory"))
}

fn reap(base: &Path, own: &Path) {
    let Ok(owner) = fs::symlink_metadata(own).map(|meta| meta.uid()) else { return };
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let named = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if named && entry.path() != own && is_ours(&entry.path(), owner) && is_dead(&entry.path()) {
            end_masters(&entry.path());
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_ours(path: &Path, owner: u32) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| {
        meta.is_dir() && meta.uid() == owner && meta.permissions().mode() & 0o077 == 0
    })
}

/// A young directory without a lock may just be being made: whoever starts later reaps it.
fn is_dead(path: &Path) -> bool {
    let lock = path.join(LOCK);
    match File::open(&lock) {
        Ok(file) => is_old(&lock) && !matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
        Err(_) => is_old(path),
    }
}

fn is_old(path: &Path) -> bool {
    let modified = fs::metadata(path).and_then(|meta| meta.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > GRACE))
}

/// Asks every master that still listens in the directory to end.
fn end_masters(path: &Path) {
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with('m')) {
            let mut ssh = Command::new("ssh");
            ssh.args(["-F", "none", "-O", "exit", "-S"]).arg(entry.path()).arg("gone");
            let _ = ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short_base() -> tempfile::TempDir {
        tempfile::Builder::new().prefix("gs").tempdir_in("/tmp").unwrap()
    }

    #[test]
    fn the_directory_is_private_and_goes_with_its_owner() {
        let base = short_base();
        let directory = ControlDirectory::create_in(base.path()).unwrap();
        let path = directory.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_ne!(directory.name("m"), directory.name("m"));
        assert!(directory.name("m").as_os_str().len() < 87);
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn leftovers_of_the_dead_are_reaped_and_the_living_are_left_alone() {
        let base = short_base();
        let living = ControlDirectory::create_in(base.path()).unwrap();
        let dead = base.path().join("gitsync-ssh-0dead");
        DirBuilder::new().mode(0o700).create(&dead).unwrap();
        let lock = File::create(dead.join(LOCK)).unwrap();
        lock.set_modified(std::time::UNIX_EPOCH).unwrap();
        fs::write(dead.join("m0"), "").unwrap();
        let foreign = base.path().join("other");
        fs::create_dir(&foreign).unwrap();
        let _next = ControlDirectory::create_in(base.path()).unwrap();
        assert!(!dead.exists());
        assert!(living.path().exists() && foreign.exists());
    }

    #[test]
    fn a_base_that_needs_quoting_or_is_too_long_is_refused() {
        let long = format!("/{}", "x".repeat(60));
        for base in ["/tmp/a b", "/tmp/%h", "/tmp/a'b", &long] {
            assert!(ControlDirectory::create_in(Path::new(base)).is_err(), "{base}");
        }
    }
}
