//! `.sops.yaml`: for whom new files are encrypted, and which of their values.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use super::error::SecretError;
use super::recipient::Recipient;
use super::rule::{RULES, Rule, SUFFIX};
use crate::check::document::{Tree, Yaml, parse_tree};

/// The name of the file.
const NAME: &str = ".sops.yaml";

/// What a rule may name besides age recipients.
const OTHERS: [&str; 6] =
    ["pgp", "kms", "gcp_kms", "azure_keyvault", "hc_vault_transit_uri", "hckms"];

/// How a new file is encrypted.
#[derive(Clone, Debug)]
pub struct Creation {
    /// For whom.
    pub recipients: Vec<Recipient>,
    pub(super) rule: Rule,
    pub(super) only_encrypted: bool,
    written: Vec<(String, String)>,
}

impl Creation {
    /// Everything is encrypted, but for keys that end in `_unencrypted`.
    pub fn new(recipients: Vec<Recipient>) -> Self {
        let rule = Rule::UnencryptedSuffix(SUFFIX.to_owned());
        Self { recipients, rule, only_encrypted: false, written: Vec::new() }
    }

    /// The rule as the block of a file has it.
    pub(super) fn rules(&self) -> Vec<(String, String)> {
        match self.written.as_slice() {
            [] => vec![("unencrypted_suffix".to_owned(), SUFFIX.to_owned())],
            written => written.to_vec(),
        }
    }
}

/// A `.sops.yaml`.
pub struct Creations {
    path: PathBuf,
    tree: Tree,
}

impl Creations {
    /// The `.sops.yaml` of a folder or the nearest one above it, within the repository.
    pub fn find(folder: &Path) -> Result<Option<Self>, SecretError> {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        for above in folder.ancestors() {
            let path = above.join(NAME);
            match fs::read(&path) {
                Ok(text) => return Self::read(path, &text).map(Some),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(SecretError::Rules { path, message: error.to_string() }),
            }
            if above.join(".git").exists() {
                break;
            }
        }
        Ok(None)
    }

    fn read(path: PathBuf, text: &[u8]) -> Result<Self, SecretError> {
        let shown = path.display().to_string();
        match parse_tree(&shown, text) {
            Ok(tree) => Ok(Self { path, tree }),
            Err(problems) => {
                let first = problems.into_iter().next();
                let message = first.map_or_else(String::new, |problem| {
                    let line = problem.labels.first().map_or(1, |label| label.place.line);
                    format!("line {line}: {}", problem.message)
                });
                Err(SecretError::Rules { path, message })
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How `file` is encrypted: by the first rule whose `path_regex` its path from here matches.
    pub fn of(&self, file: &Path) -> Result<Creation, SecretError> {
        let refused = |message: String| SecretError::Rules { path: self.path.clone(), message };
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let inside = file.strip_prefix(folder).unwrap_or(file).to_string_lossy().into_owned();
        let rules = self.tree.root.get("creation_rules").map(Yaml::items).unwrap_or_default();
        for rule in rules {
            if applies(rule, &inside).map_err(refused)? {
                return creation(rule).map_err(refused);
            }
        }
        Err(refused(format!(
            "no rule of `creation_rules` matches {inside}; add one with its age recipients"
        )))
    }
}

fn applies(rule: &Yaml, path: &str) -> Result<bool, String> {
    let Some(text) = rule.get("path_regex").and_then(Yaml::text).filter(|text| !text.is_empty())
    else {
        return Ok(true);
    };
    let regex = Regex::new(text).map_err(|_| format!("`{text}` is no regular expression"))?;
    Ok(regex.is_match(path))
}

fn creation(rule: &Yaml) -> Result<Creation, String> {
    let written = |name: &&str| {
        let text = rule.get(name).and_then(Yaml::text).filter(|text| !text.is_empty())?;
        Some(((*name).to_owned(), text.to_owned()))
    };
    let only = rule.get("mac_only_encrypted").and_then(Yaml::text) == Some("true");
    let kind = Rule::of(rule)?;
    if matches!(kind, Rule::Comments) {
        return Err("rules by comments are only for `sops`: make the file with it".to_owned());
    }
    Ok(Creation {
        recipients: recipients(rule)?,
        rule: kind,
        only_encrypted: only,
        written: RULES.iter().filter_map(written).collect(),
    })
}

fn recipients(rule: &Yaml) -> Result<Vec<Recipient>, String> {
    let groups = rule.get("key_groups").map(Yaml::items).unwrap_or_default();
    let from = match groups {
        [] => rule,
        [only] => only,
        _ => return Err("several `key_groups` are only for `sops`: use one".to_owned()),
    };
    if let Some(other) = OTHERS.iter().find(|key| from.get(key).is_some_and(|it| !is_empty(it))) {
        return Err(format!(
            "`{other}` keys are only for `sops`: make and rekey such files with it"
        ));
    }
    let mut found: Vec<Recipient> = Vec::new();
    for text in from.get("age").map(texts).unwrap_or_default() {
        let recipient = Recipient::parse(&text)?;
        if !found.contains(&recipient) {
            found.push(recipient);
        }
    }
    if found.is_empty() {
        return Err("the rule names no `age` recipient".to_owned());
    }
    Ok(found)
}

fn is_empty(value: &Yaml) -> bool {
    value.items().is_empty() && value.text().is_none_or(|text| text.is_empty() || value.is_null())
}

/// Texts of a list, or of one text with commas.
fn texts(value: &Yaml) -> Vec<String> {
    let split = |text: &str| -> Vec<String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    };
    match value.text() {
        Some(text) => split(text),
        None => value.items().iter().filter_map(Yaml::text).flat_map(split).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> String {
        age::x25519::Identity::generate().to_public().to_string()
    }

    fn creation(text: &str, file: &str) -> Result<Creation, String> {
        let creations = Creations::read(PathBuf::from("/r/.sops.yaml"), text.as_bytes()).unwrap();
        creations.of(&Path::new("/r").join(file)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_first_rule_that_matches_says_for_whom() {
        let (one, two, three) = (key(), key(), key());
        let text = format!(
            "creation_rules:\n  - path_regex: ^secrets/prod.*\\.yaml$\n    age: '{one}, {two}'\n    \
             encrypted_regex: ^data$\n    mac_only_encrypted: true\n  - key_groups:\n      - age:\n          - \
             {three}\n          - {three}\n"
        );
        let prod = creation(&text, "secrets/prod.yaml").unwrap();
        assert_eq!(prod.recipients.iter().map(ToString::to_string).collect::<Vec<_>>(), [one, two]);
        assert_eq!(prod.rules(), [("encrypted_regex".to_owned(), "^data$".to_owned())]);
        assert!(prod.only_encrypted);
        let other = creation(&text, "secrets/other.yaml").unwrap();
        assert_eq!(other.recipients.iter().map(ToString::to_string).collect::<Vec<_>>(), [three]);
        assert_eq!(other.rules(), [("unencrypted_suffix".to_owned(), "_unencrypted".to_owned())]);
    }

    #[test]
    fn rules_that_can_t_be_used_say_why() {
        for (text, words) in [
            ("{}\n", "no rule"),
            ("creation_rules: [{ path_regex: ^x$, age: a }]\n", "no rule"),
            ("creation_rules: [{ path_regex: '(' }]\n", "regular expression"),
            ("creation_rules: [{ pgp: FBC7 }]\n", "`pgp` keys"),
            ("creation_rules: [{ age: age1x }]\n", "no age public key"),
            ("creation_rules: [{ encrypted_regex: x }]\n", "no `age` recipient"),
            ("creation_rules: [{ key_groups: [{ age: [] }, { age: [] }] }]\n", "use one"),
            ("creation_rules: [{ encrypted_comment_regex: x }]\n", "by comments"),
        ] {
            let error = creation(text, "secrets/db.yaml").unwrap_err();
            assert!(error.contains(words) && error.contains(".sops.yaml"), "{text}: {error}");
        }
    }

    #[test]
    fn the_file_is_looked_for_up_to_the_repository() {
        let home = tempfile::tempdir().unwrap();
        let fleet = home.path().join("repo/fleet/secrets");
        fs::create_dir_all(&fleet).unwrap();
        fs::create_dir(home.path().join("repo/.git")).unwrap();
        fs::write(home.path().join(NAME), "{}").unwrap();
        assert!(Creations::find(&fleet).unwrap().is_none());
        fs::write(home.path().join("repo").join(NAME), "{}").unwrap();
        assert!(Creations::find(&fleet).unwrap().is_some());
    }
}
