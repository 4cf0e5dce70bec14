//! Saved plans as files: written whole or not at all, read with nothing believed, and refused when they are stale.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::model::{Snapshot, Warning};
use crate::plan::{Saved, SavedError};
use crate::source;

use super::context::{self, Place};
use super::problem::Problem;

/// Larger files are no plans of ours: 64 MiB.
const MOST_BYTES: u64 = 64 << 20;
/// More differences than this are counted rather than told.
const MOST_TOLD: usize = 20;

/// The commit that a saved plan is made from: what is committed, straight from Git.
///
/// Files on disk that differ from HEAD are an error, since the plan would not be about them; but for the plan's own
/// file, which may lie among them.
pub fn committed(place: &Place, out: &Path) -> Result<Snapshot, Problem> {
    if let Some(rev) = &place.rev {
        return context::at_revision(&place.path, rev);
    }
    let head = context::at_revision(&place.path, "HEAD")?;
    let mut files = source::directory(&place.path)?;
    if let Some(own) = below(&place.path, out)
        && !head.entries.contains_key(&own)
    {
        files.entries.remove(&own);
    }
    if files.entries == head.entries {
        return Ok(head);
    }
    Err(Problem::new("the files differ from HEAD, and a plan that is saved names a commit")
        .hint("commit the changes, or pass `--rev HEAD` to plan what is committed"))
}

/// The path of a file below a folder, when it is there.
fn below(folder: &Path, file: &Path) -> Option<String> {
    let parent = parent(file).canonicalize().ok()?;
    let path = parent.join(file.file_name()?);
    let path = path.strip_prefix(folder.canonicalize().ok()?).ok()?;
    path.to_str().map(str::to_owned)
}

fn parent(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Writes a plan that may be applied: as a new file that takes the place of an older one in one step.
pub fn write(path: &Path, saved: &Saved) -> Result<(), Problem> {
    if !saved.plan.refusals.is_empty() {
        return Err(refused(path, &saved.plan.refusals));
    }
    let text = saved.text()?;
    put(path, text.as_bytes()).map_err(|error| {
        Problem::new(format!("the plan can't be saved as `{}`: {error}", path.display()))
            .hint("name a file in a directory that is there and can be written")
    })
}

fn refused(path: &Path, refusals: &[Warning]) -> Problem {
    let reasons: Vec<&str> = refusals.iter().map(|refusal| refusal.message.as_str()).collect();
    let reasons = reasons.join("; ");
    Problem::new(format!("not saved: this plan would be refused ({reasons})"))
        .hint(format!("`{}` is as it was before", path.display()))
}

fn put(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // A rename would take the place of a device or a link, not write to what it stands for.
    match std::fs::symlink_metadata(path) {
        Ok(there) if !there.is_file() => {
            return Err(std::io::Error::other("it is not a plain file"));
        }
        _ => {}
    }
    let directory = parent(path);
    // Made with mode 0600.
    let mut file = tempfile::Builder::new().prefix(".gitsync-plan-").tempfile_in(&directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(&directory)?.sync_all()
}

/// Reads a saved plan.
pub fn read(path: &Path) -> Result<Saved, Problem> {
    let shown = path.display();
    let mut bytes = Vec::new();
    let opened =
        File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Problem::new(format!("there is no file `{shown}`"))
                .hint("`gitsync plan --out FILE` writes one"));
        }
        Err(error) => return Err(Problem::new(format!("`{shown}` can't be read: {error}"))),
        Ok(size) if size as u64 > MOST_BYTES => {
            return Err(Problem::new(format!("`{shown}` is too large for a plan"))
                .hint("`gitsync plan --out FILE` writes one"));
        }
        Ok(_) => {}
    }
    let parsed = std::str::from_utf8(&bytes)
        .map_err(|_| SavedError::NotJson("it is not text".to_owned()))
        .and_then(Saved::parse);
    parsed.map_err(|error| {
        Problem::new(format!("`{shown}` can't be used as a plan: {error}")).hint(hint(&error))
    })
}

fn hint(error: &SavedError) -> &'static str {
    match error {
        SavedError::NotSaved | SavedError::Printed | SavedError::NotJson(_) => {
            "`gitsync plan --out FILE` writes one that can be applied; nothing was changed"
        }
        SavedError::Version(_) => {
            "make the plan again with this gitsync, and review it again; nothing was changed"
        }
        _ => {
            "take the file as `gitsync plan --out` wrote it, or make it again; nothing was changed"
        }
    }
}

/// A plan that is no longer what would be done.
pub fn stale(path: &Path, differences: &[String]) -> Problem {
    let told = differences.iter().take(MOST_TOLD).map(|one| format!("\n- {one}"));
    let mut message = format!("stale: `{}` is not what would be done now", path.display());
    message.extend(told);
    if let more @ 1.. = differences.len().saturating_sub(MOST_TOLD) {
        message.push_str(&format!("\n- and {more} more"));
    }
    Problem::new(message)
        .hint("make the plan again with `gitsync plan --out`, and review it; nothing was changed")
}
