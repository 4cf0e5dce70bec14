//! Where labs lie on this machine, and how what is left of dead ones goes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{Result, at, run};
use crate::process::{Process, wait};

/// The directory of all labs: `GITSYNC_LAB_DIR`, else `/var/lib/gitsync-lab`. It must be on a real file system.
pub fn labs() -> PathBuf {
    let named = std::env::var_os("GITSYNC_LAB_DIR").map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from("/var/lib/gitsync-lab"))
}

/// The lab's first process, while it lives.
pub fn alive(place: &Path) -> Option<Process> {
    let text = fs::read(place.join("process")).ok()?;
    serde_json::from_slice::<Process>(&text).ok().filter(|process| process.lives())
}

/// Removes what labs left whose first process is gone: their files and control groups.
pub fn sweep() -> Result<()> {
    let places = fs::read_dir(labs()).into_iter().flatten().flatten();
    for place in places.map(|entry| entry.path()) {
        // One that has no process yet is just being made.
        if place.join("process").exists() && alive(&place).is_none() {
            // What can't go yet goes with a later call, and is no reason to have no lab now.
            let _ = remove(&place);
        }
    }
    Ok(())
}

/// Removes a lab's files and control groups; nothing when they are gone already.
///
/// All of its processes must have ended. A kill midway leaves a part that the next call removes.
pub fn remove(place: &Path) -> Result<()> {
    remove_groups(&group(place, ""))?;
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    // The process goes last: a lab without one counts as being made.
    let inside = entries.map(|entry| entry.path()).filter(|path| !path.ends_with("process"));
    // Engines of hosts leave files that are immutable to nobody but many: `rm` is quicker than a walk.
    let rm = ["-rf", "--one-file-system", "--"];
    run(Command::new("rm").args(rm).args(inside))?;
    run(Command::new("rm").args(rm).arg(place)).map(drop)
}

/// The control group of a host; the lab's common beginning when the name is empty.
pub fn group(place: &Path, host: &str) -> String {
    let lab = place.file_name().unwrap_or_default().to_string_lossy();
    format!("gitsync-lab-{lab}-{host}")
}

/// Lets every process of a lab go on, those of its hosts' containers too: nobody dies while frozen.
pub fn thaw(place: &Path) {
    groups(&group(place, "")).iter().for_each(|group| thaw_group(group));
}

fn remove_groups(beginning: &str) -> Result<()> {
    let groups = groups(beginning);
    // The same processes are in all hierarchies.
    groups.iter().for_each(|group| thaw_group(group));
    groups.iter().try_for_each(|group| remove_group(group))
}

fn groups(beginning: &str) -> Vec<PathBuf> {
    let top = Path::new("/sys/fs/cgroup");
    let inside = fs::read_dir(top).into_iter().flatten().flatten().map(|entry| entry.path());
    let hierarchies = inside.chain([top.to_owned()]);
    let groups = hierarchies.flat_map(|path| fs::read_dir(path).into_iter().flatten().flatten());
    let ours = groups.filter(|group| group.file_name().to_string_lossy().starts_with(beginning));
    ours.map(|group| group.path()).collect()
}

fn thaw_group(group: &Path) {
    for (file, word) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
        let file = group.join(file);
        if file.exists() {
            let _ = fs::write(file, word);
        }
    }
    inner_groups(group).iter().for_each(|inner| thaw_group(inner));
}

fn inner_groups(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    let inner = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    inner.map(|entry| entry.path()).collect()
}

/// Groups go from the innermost outwards, their last process a moment before; their files go with them.
fn remove_group(group: &Path) -> Result<()> {
    inner_groups(group).iter().try_for_each(|inner| remove_group(inner))?;
    let gone = || match fs::remove_dir(group) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => None,
        _ => Some(()),
    };
    wait(&format!("end of the group {}", group.display()), Duration::from_secs(10), gone)
}

/// A new directory that only root can read.
pub fn private(path: &Path) -> Result<()> {
    at(path, fs::create_dir_all(path))?;
    mode(path, 0o700)
}

/// Sets a file's mode.
pub fn mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    at(path, fs::set_permissions(path, fs::Permissions::from_mode(mode)))
}
