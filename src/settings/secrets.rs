//! Where the controller looks for the keys that open secrets.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::at_home;

/// A place where age identities may be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// The identities themselves, from the environment.
    Text(SecretText),
    /// A file that somebody named: a secret can't be opened while it can't be read.
    File(PathBuf),
    /// A file where identities lie on some machines: nothing is wrong when it is not there.
    Perhaps(PathBuf),
}

/// Identities as text, and where the text comes from. `Debug` shows only that.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText {
    from: String,
    text: Zeroizing<String>,
}

impl SecretText {
    /// The text that was found in `from`.
    pub fn new(from: impl Into<String>, text: impl Into<String>) -> Self {
        Self { from: from.into(), text: Zeroizing::new(text.into()) }
    }

    /// Where it comes from.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretText({}, …)", self.from)
    }
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text.from()),
            Self::File(path) | Self::Perhaps(path) => write!(f, "{}", path.display()),
        }
    }
}

/// `secrets:` in the file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretsFile {
    identity: Option<PathBuf>,
}

/// Every place, in the order in which they are tried; the ones of this program first, then those of `sops`.
pub(super) fn places(
    file: Option<SecretsFile>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Vec<KeyPlace> {
    let text = |name: &str| env(name).map(|text| KeyPlace::Text(SecretText::new(name, text)));
    let named = |name: &str| env(name).map(|path| KeyPlace::File(at_home(path.into(), env)));
    let below = |name: &str, path: &str| {
        env(name).map(|folder| KeyPlace::Perhaps(PathBuf::from(folder).join(path)))
    };
    let written = file.and_then(|file| file.identity);
    let written = written.map(|path| KeyPlace::File(at_home(path, env)));
    let of_sops = below("XDG_CONFIG_HOME", "sops/age/keys.txt");
    let places = [
        written,
        text("GITSYNC_AGE_KEY"),
        named("GITSYNC_AGE_KEY_FILE"),
        below("CREDENTIALS_DIRECTORY", "age-key"),
        text("SOPS_AGE_KEY"),
        named("SOPS_AGE_KEY_FILE"),
        named("SOPS_AGE_SSH_PRIVATE_KEY_FILE"),
        of_sops.or_else(|| below("HOME", ".config/sops/age/keys.txt")),
    ];
    places.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: Option<&str>, env: &[(&str, &str)]) -> Vec<String> {
        let find = |name: &str| {
            env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        let file = file.map(|path| SecretsFile { identity: Some(PathBuf::from(path)) });
        places(file, &find).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn places_are_tried_in_the_order_of_the_documentation() {
        let env = [
            ("GITSYNC_AGE_KEY", "AGE-SECRET-KEY-1X"),
            ("GITSYNC_AGE_KEY_FILE", "/named"),
            ("CREDENTIALS_DIRECTORY", "/run/credentials/gitsync.service"),
            ("SOPS_AGE_KEY", "AGE-SECRET-KEY-1Y"),
            ("SOPS_AGE_KEY_FILE", "/sops"),
            ("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "~/.ssh/id"),
            ("XDG_CONFIG_HOME", "/config"),
            ("HOME", "/home/ada"),
        ];
        let expected = [
            "/home/ada/key",
            "GITSYNC_AGE_KEY",
            "/named",
            "/run/credentials/gitsync.service/age-key",
            "SOPS_AGE_KEY",
            "/sops",
            "/home/ada/.ssh/id",
            "/config/sops/age/keys.txt",
        ];
        assert_eq!(found(Some("~/key"), &env), expected);
        assert_eq!(found(None, &[("HOME", "/home/ada")]), ["/home/ada/.config/sops/age/keys.txt"]);
        assert_eq!(found(None, &[]), Vec::<String>::new());
    }

    #[test]
    fn a_key_in_the_environment_is_never_shown() {
        let place = KeyPlace::Text(SecretText::new("GITSYNC_AGE_KEY", "AGE-SECRET-KEY-1QQQ"));
        assert!(!format!("{place:?} {place}").contains("QQQ"));
    }
}
