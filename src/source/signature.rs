//! Whether a commit is signed by somebody that the controller's settings allow.

use std::path::{Path, PathBuf};

use git2::{ErrorCode, Oid, Repository};

use crate::model::Timestamp;
use crate::settings::Signatures;

use super::{SourceError, allowed, git, keyring};

/// Why a commit is not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distrust {
    /// `unsigned`, `unknown-signer` or `bad-signature`.
    pub code: &'static str,
    /// In words; after [`distrust`] with commit and author.
    pub message: String,
}

impl Distrust {
    pub(super) fn unknown(message: impl Into<String>) -> Self {
        Self { code: "unknown-signer", message: message.into() }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self { code: "bad-signature", message: message.into() }
    }
}

/// Why the commit `rev` of the repository that holds `path` is not trusted; none when it is.
///
/// Only the commit itself must be signed: its signature covers its files and, through its parents, all that was
/// before. Keys are judged as of `now`, whatever time the commit claims.
pub fn distrust(
    path: &Path,
    rev: &str,
    signatures: &Signatures,
    now: Timestamp,
) -> Result<Option<Distrust>, SourceError> {
    let repository = git::discover(path)?;
    of(&repository, rev, &path.display().to_string(), signatures, now)
}

pub(super) fn of(
    repository: &Repository,
    rev: &str,
    place: &str,
    signatures: &Signatures,
    now: Timestamp,
) -> Result<Option<Distrust>, SourceError> {
    let id = git::resolve(repository, rev, place)?;
    let Err(distrust) = judged(repository, id, signatures, now)? else { return Ok(None) };
    let about = git::about(&repository.find_commit(id)?);
    let short = about.id.get(..12).unwrap_or(&about.id);
    let message =
        format!("commit {short} by {} (“{}”): {}", about.author, about.summary, distrust.message);
    Ok(Some(Distrust { code: distrust.code, message }))
}

type Judged = Result<(), Distrust>;

fn judged(
    repository: &Repository,
    commit: Oid,
    signatures: &Signatures,
    now: Timestamp,
) -> Result<Judged, SourceError> {
    let (signature, signed) = match repository.extract_signature(&commit, None) {
        Err(error) if error.code() == ErrorCode::NotFound => {
            let message = "it is not signed".to_owned();
            return Ok(Err(Distrust { code: "unsigned", message }));
        }
        other => other?,
    };
    let text = String::from_utf8_lossy(&signature);
    let kind = text.trim_start().lines().next().unwrap_or_default().trim_end();
    match kind {
        "-----BEGIN SSH SIGNATURE-----" => match &signatures.allowed_signers {
            Some(file) => allowed::judge(&text, &signed, &file_text(file)?, file, now),
            None => Ok(Err(Distrust::unknown(
                "it is signed with an SSH key, and no allowed_signers are set",
            ))),
        },
        "-----BEGIN PGP SIGNATURE-----" | "-----BEGIN PGP MESSAGE-----" => {
            match &signatures.openpgp_keys {
                Some(file) => keyring::judge(&text, &signed, &file_bytes(file)?, file, now),
                None => Ok(Err(Distrust::unknown(
                    "it is signed with an OpenPGP key, and no openpgp_keys are set",
                ))),
            }
        }
        _ => Ok(Err(Distrust::bad("its signature is neither an SSH nor an OpenPGP one"))),
    }
}

fn file_bytes(path: &Path) -> Result<Vec<u8>, SourceError> {
    std::fs::read(path).map_err(|error| signers(path, error.to_string()))
}

fn file_text(path: &Path) -> Result<String, SourceError> {
    let bytes = file_bytes(path)?;
    String::from_utf8(bytes).map_err(|_| signers(path, "it is not UTF-8 text".to_owned()))
}

/// The controller's own file can't be used: then nobody is allowed, and it is said why.
pub(super) fn signers(path: &Path, message: String) -> SourceError {
    SourceError::Signers { path: PathBuf::from(path), message }
}
