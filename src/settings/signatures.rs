//! Whose signature a commit must have to be rolled out.

use std::path::PathBuf;

use serde::Deserialize;

use super::{SettingsError, at_home};

/// Files of the controller with the keys that may sign commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signatures {
    /// SSH keys, as ssh-keygen(1) has allowed signers.
    pub allowed_signers: Option<PathBuf>,
    /// OpenPGP public keys, armored or binary.
    pub openpgp_keys: Option<PathBuf>,
}

/// `require_signatures:` in the file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignaturesFile {
    allowed_signers: Option<PathBuf>,
    openpgp_keys: Option<PathBuf>,
}

/// What is required; nothing when neither the file nor the environment says so. An environment that names one
/// kind of keys replaces that one only: it can't take the other away.
pub(super) fn signatures(
    file: Option<SignaturesFile>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Signatures>, SettingsError> {
    let written = file.is_some();
    let file = file.unwrap_or_default();
    let path = |name: &str, written: Option<PathBuf>| {
        let path = env(name).map(PathBuf::from).or(written)?;
        Some(at_home(path, env)).filter(|path| !path.as_os_str().is_empty())
    };
    let found = Signatures {
        allowed_signers: path("GITSYNC_ALLOWED_SIGNERS", file.allowed_signers),
        openpgp_keys: path("GITSYNC_OPENPGP_KEYS", file.openpgp_keys),
    };
    match (found == Signatures::default(), written) {
        (false, _) => Ok(Some(found)),
        (true, false) => Ok(None),
        (true, true) => Err(SettingsError::Value {
            name: "require_signatures".to_owned(),
            message: "name a file of `allowed_signers`, of `openpgp_keys`, or both".to_owned(),
        }),
    }
}
