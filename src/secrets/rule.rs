//! Which values of a file are encrypted.

use regex::Regex;

use crate::check::document::Yaml;
pub(super) use crate::check::document::{PLAIN_SUFFIX as SUFFIX, SECRET_RULES as RULES};

/// Which values of a file are encrypted.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    UnencryptedSuffix(String),
    EncryptedSuffix(String),
    UnencryptedRegex(Regex),
    EncryptedRegex(Regex),
    /// Comments say it. Here a value counts as encrypted when it looks so: the MAC holds every value either way.
    Comments,
}

impl Rule {
    /// The rule that a mapping has; `_unencrypted` keys stay plain without one.
    pub(super) fn of(map: &Yaml) -> Result<Self, String> {
        let set = |name: &&str| map.get(name).and_then(Yaml::text).is_some_and(|it| !it.is_empty());
        let names: Vec<&str> = RULES.into_iter().filter(set).collect();
        let Some(name) = names.first() else {
            return Ok(Self::UnencryptedSuffix(SUFFIX.to_owned()));
        };
        if let [first, second, ..] = names[..] {
            return Err(format!("`{first}` and `{second}` exclude each other"));
        }
        let text = map.get(name).and_then(Yaml::text).unwrap_or_default();
        let regex = || Regex::new(text).map_err(|_| format!("`{name}` is no regular expression"));
        Ok(match *name {
            "unencrypted_suffix" => Self::UnencryptedSuffix(text.to_owned()),
            "encrypted_suffix" => Self::EncryptedSuffix(text.to_owned()),
            "unencrypted_regex" => Self::UnencryptedRegex(regex()?),
            "encrypted_regex" => Self::EncryptedRegex(regex()?),
            _ => Self::Comments,
        })
    }

    /// Whether the value under these keys is encrypted.
    pub(super) fn encrypts(&self, keys: &[String], looks_encrypted: bool) -> bool {
        match self {
            Self::UnencryptedSuffix(suffix) => !keys.iter().any(|key| key.ends_with(suffix)),
            Self::EncryptedSuffix(suffix) => keys.iter().any(|key| key.ends_with(suffix)),
            Self::UnencryptedRegex(regex) => !keys.iter().any(|key| regex.is_match(key)),
            Self::EncryptedRegex(regex) => keys.iter().any(|key| regex.is_match(key)),
            Self::Comments => looks_encrypted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::document::parse_tree;

    fn rule(text: &str) -> Result<Rule, String> {
        Rule::of(&parse_tree("x", text.as_bytes()).unwrap().root)
    }

    fn encrypts(rule: &Rule, keys: &str) -> bool {
        rule.encrypts(&keys.split('.').map(str::to_owned).collect::<Vec<_>>(), false)
    }

    #[test]
    fn any_key_on_the_way_decides() {
        let usual = rule("{}").unwrap();
        assert!(encrypts(&usual, "a.b") && !encrypts(&usual, "a_unencrypted.b"));
        let suffix = rule("encrypted_suffix: _secret").unwrap();
        assert!(encrypts(&suffix, "a_secret.b") && !encrypts(&suffix, "a.b"));
        let regex = rule("encrypted_regex: ^(data|token)$").unwrap();
        assert!(encrypts(&regex, "data.x") && !encrypts(&regex, "metadata.x"));
        let regex = rule("unencrypted_regex: ^meta").unwrap();
        assert!(encrypts(&regex, "data.x") && !encrypts(&regex, "metadata.x"));
    }

    #[test]
    fn two_rules_and_broken_ones_are_refused() {
        let both = rule("encrypted_regex: a\nunencrypted_suffix: b\n").unwrap_err();
        assert!(both.contains("exclude each other"), "{both}");
        assert!(rule("encrypted_regex: '('").unwrap_err().contains("regular expression"));
        assert!(rule("encrypted_regex: a\nunencrypted_suffix: ''\n").is_ok());
    }
}
