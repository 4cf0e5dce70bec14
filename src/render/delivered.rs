//! Files of the repository that units deliver.

use super::{Problems, codes, sealed};
use crate::diagnostic::Diagnostic;
use crate::model::{AbsPath, Artifact, Content, Delivered, Fleet, RepoFile};

/// A file of the snapshot, or the problem that it is not there.
pub(super) fn content<'a>(
    fleet: &'a Fleet,
    path: &str,
    source: &str,
) -> Result<&'a RepoFile, Diagnostic> {
    fleet.files.get(path).ok_or_else(|| {
        codes::in_file(codes::MISSING_FILE, format!("`{path}` is not in the repository"), source)
    })
}

/// Delivered files as artifacts, which must lie below `directory`.
pub(super) fn files(
    fleet: &Fleet,
    all: &[Delivered],
    directory: &AbsPath,
    source: &str,
) -> Result<Vec<Artifact>, Problems> {
    let mut artifacts = Vec::new();
    let mut problems = Vec::new();
    for file in all {
        match one(fleet, file, directory, source) {
            Ok(artifact) => artifacts.push(artifact),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(artifacts) } else { Err(problems) }
}

fn one(
    fleet: &Fleet,
    file: &Delivered,
    directory: &AbsPath,
    source: &str,
) -> Result<Artifact, Diagnostic> {
    if !file.destination.is_within(directory) {
        let message = format!("{} lies outside of {directory}", file.destination);
        return Err(codes::in_file(codes::OUTSIDE, message, source));
    }
    let content = match &file.secret {
        Some(secret) => sealed::one(fleet, secret, source)?,
        None => Content::Bytes(content(fleet, &file.path, source)?.content.clone()),
    };
    Ok(Artifact {
        destination: file.destination.clone(),
        mode: file.mode,
        owner: file.owner.clone(),
        sensitive: matches!(content, Content::Sealed(_)),
        content,
    })
}
