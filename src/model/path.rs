//! Absolute, normalised paths on a node.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An absolute path on a node: normalised, printable, never with `.` or `..` in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AbsPath(String);

/// Why a text is not a path that a node may be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path does not begin at the root directory.
    #[error("`{0}` is not absolute")]
    Relative(String),
    /// The path has `.`, `..`, `//` or a trailing `/` in it.
    #[error("`{0}` is not normalised: no `.`, `..`, `//` or trailing `/`")]
    NotNormalised(String),
    /// The path has a control character in it, which the node protocol could not carry.
    #[error("a path may not contain control characters: {0:?}")]
    Control(String),
}

impl AbsPath {
    /// Takes a text as an absolute path; errors say which rule it breaks.
    pub fn new(text: impl Into<String>) -> Result<Self, PathError> {
        let text = text.into();
        if text.chars().any(char::is_control) {
            return Err(PathError::Control(text));
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(PathError::Relative(text));
        };
        let plain = |part: &str| !matches!(part, "" | "." | "..");
        if rest.is_empty() || rest.split('/').all(plain) {
            Ok(Self(text))
        } else {
            Err(PathError::NotNormalised(text))
        }
    }

    /// The path of a relative one below this directory; the relative one must be normalised.
    pub fn join(&self, relative: &str) -> Result<Self, PathError> {
        Self::new(format!("{}/{relative}", self.0.trim_end_matches('/')))
    }

    /// The directory that holds this path; the root directory holds itself.
    pub fn parent(&self) -> Self {
        match self.0.rsplit_once('/') {
            Some(("", _)) | None => Self("/".to_owned()),
            Some((parent, _)) => Self(parent.to_owned()),
        }
    }

    /// The last component; empty for the root directory.
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(_, last)| last)
    }

    /// Whether this path is `directory` or lies below it, by whole components.
    pub fn is_within(&self, directory: &Self) -> bool {
        let base = directory.0.trim_end_matches('/');
        self.0.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// What is left of this path below `directory`, without a leading `/`.
    pub fn relative_to(&self, directory: &Self) -> Option<&str> {
        let base = directory.0.trim_end_matches('/');
        self.0.strip_prefix(base)?.strip_prefix('/')
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AbsPath {
    type Error = PathError;
    fn try_from(text: String) -> Result<Self, PathError> {
        Self::new(text)
    }
}

impl From<AbsPath> for String {
    fn from(path: AbsPath) -> Self {
        path.0
    }
}

impl fmt::Display for AbsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_normalised_paths_are_taken() {
        for good in ["/", "/etc", "/mnt/user/app data/x", "/a/..b"] {
            assert!(AbsPath::new(good).is_ok(), "{good}");
        }
        for bad in ["", "etc", "/etc/", "/a//b", "/a/../b", "/a/./b", "/a\nb"] {
            assert!(AbsPath::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn within_goes_by_whole_components() {
        let etc = AbsPath::new("/etc").unwrap();
        assert!(AbsPath::new("/etc/caddy").unwrap().is_within(&etc));
        assert!(!AbsPath::new("/etcetera").unwrap().is_within(&etc));
        assert!(etc.is_within(&AbsPath::new("/").unwrap()));
    }
}
