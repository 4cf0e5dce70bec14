//! Secrets as they are off a node: references to encrypted values, and contents that are known by their ciphertext only.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Name;

/// One value of an encrypted file: `secret:db.password` is `password` in `secrets/db.yaml`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretRef {
    /// The file's name, without folder and ending.
    pub file: Name,
    /// The path of keys in it, joined by dots; items of lists by their number.
    pub key: String,
}

/// A text that is no reference to a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no secret: write `secret:FILE.KEY`, as in `secret:db.password`")]
pub struct SecretRefError(pub String);

impl SecretRef {
    /// What stands before a reference where a plain value could stand too.
    pub const PREFIX: &str = "secret:";

    /// The path of the encrypted file in the repository.
    pub fn path(&self) -> String {
        format!("secrets/{}.yaml", self.file)
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.file, self.key)
    }
}

impl FromStr for SecretRef {
    type Err = SecretRefError;
    fn from_str(text: &str) -> Result<Self, SecretRefError> {
        let fail = || SecretRefError(text.escape_debug().to_string());
        let (file, key) = text.split_once('.').ok_or_else(fail)?;
        let file = Name::new(file).map_err(|_| fail())?;
        let plain = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_control());
        if !key.split('.').all(plain) {
            return Err(fail());
        }
        Ok(Self { file, key: key.to_owned() })
    }
}

impl TryFrom<String> for SecretRef {
    type Error = SecretRefError;
    fn try_from(text: String) -> Result<Self, SecretRefError> {
        text.parse()
    }
}

impl From<SecretRef> for String {
    fn from(reference: SecretRef) -> Self {
        reference.to_string()
    }
}

/// An encrypted file of the repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretFile {
    /// The file as it is, SOPS metadata and all.
    pub text: Vec<u8>,
    /// Its encrypted values by key path, as they are written.
    pub values: BTreeMap<String, String>,
}

/// A content with secrets in it. Its name, and with it every digest, comes from what is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// What it is put together from, in order.
    pub parts: Vec<Part>,
}

/// A piece of a content with secrets in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Bytes as they are.
    Plain(Vec<u8>),
    /// The value that a reference leads to.
    Secret {
        /// Which.
        reference: SecretRef,
        /// It, encrypted, as the repository has it.
        ciphertext: String,
    },
}

impl Sealed {
    /// A whole content that is one secret.
    pub fn one(reference: SecretRef, ciphertext: String) -> Self {
        Self { parts: vec![Part::Secret { reference, ciphertext }] }
    }

    /// The name of the blob: `k` and 64 hex digits, which tell nothing of the plain content.
    ///
    /// Ciphertexts have a nonce each, so that equal values have different names; where a reference comes from does not
    /// matter.
    pub fn blob(&self) -> String {
        let mut hash = Sha256::new();
        for part in &self.parts {
            let (tag, bytes) = match part {
                Part::Plain(bytes) => (b'p', bytes.as_slice()),
                Part::Secret { ciphertext, .. } => (b's', ciphertext.as_bytes()),
            };
            hash.update([tag]);
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        }
        format!("k{}", super::release::hex(&hash.finalize()))
    }

    /// The secrets in it.
    pub fn references(&self) -> impl Iterator<Item = &SecretRef> {
        self.parts.iter().filter_map(|part| match part {
            Part::Secret { reference, .. } => Some(reference),
            Part::Plain(_) => None,
        })
    }

    /// The content itself, with each secret as `open` knows it; the first that it doesn't know is the error.
    pub fn open<'a>(
        &'a self,
        open: impl Fn(&SecretRef) -> Option<&'a [u8]>,
    ) -> Result<Vec<u8>, SecretRef> {
        let mut bytes = Vec::new();
        for part in &self.parts {
            match part {
                Part::Plain(plain) => bytes.extend_from_slice(plain),
                Part::Secret { reference, .. } => {
                    bytes.extend_from_slice(open(reference).ok_or_else(|| reference.clone())?);
                }
            }
        }
        Ok(bytes)
    }
}

impl Sealed {
    /// The content as it may be shown: `[secret db.password]` where a secret stands.
    pub fn masked(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in &self.parts {
            match part {
                Part::Plain(plain) => bytes.extend_from_slice(plain),
                Part::Secret { reference, .. } => {
                    bytes.extend_from_slice(format!("[secret {reference}]").as_bytes());
                }
            }
        }
        bytes
    }
}

/// Whether the name of a blob is that of a content with secrets.
pub fn is_sealed(blob: &str) -> bool {
    blob.starts_with('k')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(text: &str) -> SecretRef {
        text.parse().unwrap()
    }

    #[test]
    fn references_read_back_as_written() {
        for text in ["db.password", "db.a.b.0", "cloud-flare.tunnel token"] {
            assert_eq!(reference(text).to_string(), text);
        }
        for text in ["", "db", "db.", ".password", "db..a", "Db.a", "../x.a", "db.a\nb"] {
            assert!(text.parse::<SecretRef>().is_err(), "{text}");
        }
        assert_eq!(reference("db.a.b").path(), "secrets/db.yaml");
    }

    #[test]
    fn the_name_of_a_sealed_content_comes_from_every_part_of_it() {
        let plain = |text: &str| Part::Plain(text.into());
        let secret = |text: &str| Part::Secret {
            reference: reference("db.password"),
            ciphertext: text.to_owned(),
        };
        let name = |parts: Vec<Part>| Sealed { parts }.blob();
        let one = name(vec![plain("a"), secret("b")]);
        assert!(is_sealed(&one) && one.len() == 65, "{one}");
        for other in [
            vec![plain("a"), secret("c")],
            vec![plain("ab")],
            vec![secret("a"), plain("b")],
            vec![plain("a"), plain("b")],
        ] {
            assert_ne!(name(other.clone()), one, "{other:?}");
        }
    }

    #[test]
    fn a_sealed_content_is_opened_whole_or_names_what_is_missing() {
        let parts = vec![
            Part::Plain(b"user:".to_vec()),
            Part::Secret { reference: reference("db.password"), ciphertext: "x".to_owned() },
        ];
        let sealed = Sealed { parts };
        assert_eq!(sealed.open(|_| Some(b"pw")).unwrap(), b"user:pw");
        assert_eq!(sealed.open(|_| None), Err(reference("db.password")));
    }
}
