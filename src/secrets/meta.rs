//! The `sops:` block of a file: for whom it is encrypted, which values are, and its MAC.

use crate::check::document::{Tree, Yaml};

use super::error::SecretError;
use super::rule::Rule;
use super::timestamp;
use super::walk::SOPS;

/// Keys of other kinds than age, as files have them.
const OTHERS: [(&str, &str); 6] = [
    ("pgp", "OpenPGP"),
    ("kms", "AWS KMS"),
    ("gcp_kms", "GCP KMS"),
    ("azure_kv", "Azure Key Vault"),
    ("hc_vault", "HashiCorp Vault"),
    ("hckms", "Huawei Cloud KMS"),
];

/// What the block says.
pub(super) struct Meta {
    /// Recipients, each with the data key encrypted for it.
    pub(super) age: Vec<Sealed>,
    /// The MAC, encrypted.
    pub(super) mac: String,
    /// What the MAC is bound to.
    pub(super) modified: String,
    /// Whether the MAC holds only what is encrypted.
    pub(super) only_encrypted: bool,
    /// Which values are encrypted.
    pub(super) rule: Rule,
    /// Kinds of keys that the data key is encrypted for besides age, in words.
    pub(super) others: Vec<&'static str>,
}

/// A data key, encrypted for one recipient.
pub(super) struct Sealed {
    pub(super) recipient: String,
    pub(super) armored: String,
}

impl Meta {
    /// Reads the block of a file.
    pub(super) fn of(tree: &Tree) -> Result<Self, SecretError> {
        let path = tree.file.as_str();
        let Some(block) = tree.root.get(SOPS).filter(|block| !block.pairs().is_empty()) else {
            return Err(SecretError::NotEncrypted { path: path.to_owned() });
        };
        let others = OTHERS.iter().filter(|(key, _)| has_items(block, key)).map(|(_, it)| *it);
        let others: Vec<&'static str> = others.collect();
        refuse_groups(path, block)?;
        let age = sealed(block);
        if age.is_empty() {
            let kinds = if others.is_empty() { "nobody".to_owned() } else { others.join(" and ") };
            let what = format!("the file is encrypted for {kinds} and for no age recipient");
            let advice = "add one: list it under `age` in `.sops.yaml` and run `sops updatekeys`";
            return Err(unsupported(path, what, advice));
        }
        let text = |key: &str| block.get(key).and_then(Yaml::text).unwrap_or_default().to_owned();
        let wrong = "take the file from an earlier commit";
        let rule = Rule::of(block).map_err(|what| unsupported(path, what, wrong))?;
        let (mac, modified) = (text("mac"), text("lastmodified"));
        if mac.is_empty() || modified.is_empty() {
            let what = "its MAC is missing";
            return Err(SecretError::Mac { path: path.to_owned(), what });
        }
        let modified = bound(&modified);
        let only_encrypted = text("mac_only_encrypted") == "true";
        Ok(Self { age, mac, modified, only_encrypted, rule, others })
    }
}

fn unsupported(path: &str, what: impl Into<String>, advice: &str) -> SecretError {
    let (path, advice) = (path.to_owned(), advice.to_owned());
    SecretError::Unsupported { path, what: what.into(), advice }
}

fn has_items(block: &Yaml, key: &str) -> bool {
    block.get(key).is_some_and(|list| !list.items().is_empty())
}

/// Data keys that are split among groups need more than one key to open.
fn refuse_groups(path: &str, block: &Yaml) -> Result<(), SecretError> {
    if !has_items(block, "key_groups") {
        return Ok(());
    }
    let what = "its data key is split among key groups (`shamir_threshold`)";
    let advice = "encrypt the file with one group that has an age recipient: take `key_groups` out of \
                  `.sops.yaml`, then `sops decrypt` and `sops encrypt` it";
    Err(unsupported(path, what, advice))
}

fn sealed(block: &Yaml) -> Vec<Sealed> {
    let items = block.get("age").map(Yaml::items).unwrap_or_default();
    let text = |item: &Yaml, key: &str| item.get(key).and_then(Yaml::text).map(str::to_owned);
    let sealed = items.iter().filter_map(|item| {
        Some(Sealed { recipient: text(item, "recipient")?, armored: text(item, "enc")? })
    });
    sealed.collect()
}

/// The time as it was when the MAC was made: in whole seconds.
fn bound(written: &str) -> String {
    let Some(time) = timestamp::canonical(written) else { return written.to_owned() };
    match time.split_once('.') {
        Some((whole, rest)) => {
            let zone = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{whole}{zone}")
        }
        None => time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::document::parse_tree;

    fn meta(text: &str) -> Result<Meta, SecretError> {
        Meta::of(&parse_tree("secrets/x.yaml", text.as_bytes()).unwrap())
    }

    #[track_caller]
    fn refused(text: &str, words: &[&str]) {
        let error = meta(text).err().unwrap().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }

    #[test]
    fn files_that_only_others_can_open_say_so_and_what_to_do() {
        let rest = "  mac: m\n  lastmodified: \"2020-01-01T00:00:00Z\"\n";
        refused("a: b\n", &["no `sops:` block", "sops encrypt"]);
        refused(&format!("sops:\n  pgp: [{{ fp: X }}]\n{rest}"), &["OpenPGP", "updatekeys"]);
        refused(&format!("sops:\n  kms: [{{ arn: X }}]\n{rest}"), &["AWS KMS", "age recipient"]);
        refused(&format!("sops:\n  age: []\n{rest}"), &["nobody"]);
        let groups = "sops:\n  shamir_threshold: 2\n  key_groups: [{ age: [] }, { age: [] }]\n";
        refused(&format!("{groups}{rest}"), &["key groups", "shamir_threshold"]);
        let age = "sops:\n  age: [{ recipient: age1x, enc: y }]\n";
        refused(age, &["MAC is missing"]);
        assert!(meta(&format!("{age}{rest}")).is_ok());
    }

    #[test]
    fn the_mac_is_bound_to_whole_seconds() {
        assert_eq!(bound("2020-10-07T15:49:13Z"), "2020-10-07T15:49:13Z");
        assert_eq!(bound("2020-10-07T15:49:13.5+02:00"), "2020-10-07T15:49:13+02:00");
    }
}
