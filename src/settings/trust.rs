//! What the controller trusts its repository with: how history may go, and what runs the controller itself.

use crate::model::UnitId;

use super::SettingsError;

/// What a commit may do to the history that the fleet's last good release belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum History {
    /// Only commits that follow the last good one are rolled out.
    #[default]
    Forward,
    /// The branch is followed wherever it goes: back, and to another history.
    Any,
}

/// `history:` as written.
pub(super) fn history(text: Option<String>) -> Result<History, SettingsError> {
    match text.as_deref() {
        None | Some("forward") => Ok(History::Forward),
        Some("any") => Ok(History::Any),
        Some(other) => {
            let message = format!("`{other}` is not `forward` or `any`");
            Err(SettingsError::Value { name: "history".to_owned(), message })
        }
    }
}

/// `controller:` as written.
pub(super) fn controller(text: Option<String>) -> Result<Option<UnitId>, SettingsError> {
    let wrong = |error: crate::model::UnitIdError| SettingsError::Value {
        name: "controller".to_owned(),
        message: error.to_string(),
    };
    text.map(|text| text.parse().map_err(wrong)).transpose()
}
