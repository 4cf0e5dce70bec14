//! A SOPS file: read, its data key opened, every value decrypted, its MAC checked.

use std::fmt::Write as _;
use std::io::Read as _;

use age::armor::ArmoredReader;
use sha2::{Digest as _, Sha256, Sha512};
use zeroize::Zeroizing;

use super::error::SecretError;
use super::identity::Found;
use super::leaf::{self, DataKey};
use super::meta::{Meta, Sealed};
use super::opened::Opened;
use super::plain::{Plain, Type};
use super::walk::{Leaf, leaves};
use crate::check::document::{Kind, Tree, parse_tree};
use crate::diagnostic::Diagnostic;

/// A file as it stands, still closed.
pub(super) struct File<'a> {
    pub(super) text: &'a str,
    pub(super) tree: Tree,
    pub(super) meta: Meta,
}

/// One value of a file, opened.
pub(super) struct Value<'a> {
    pub(super) leaf: Leaf<'a>,
    /// Whether it stands encrypted in the file.
    pub(super) encrypted: bool,
    /// What it is; nothing for null.
    pub(super) plain: Option<Plain>,
}

impl<'a> File<'a> {
    /// Reads a file; nothing is decrypted.
    pub(super) fn parse(path: &str, bytes: &'a [u8]) -> Result<Self, SecretError> {
        let tree = parsed(path, bytes)?;
        let meta = Meta::of(&tree)?;
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        Ok(Self { text, tree, meta })
    }

    /// Where the file is, as errors tell it.
    pub(super) fn path(&self) -> &str {
        &self.tree.file
    }

    /// The key of its values, by any of the identities.
    pub(super) fn data_key(&self, identities: &[Found]) -> Result<DataKey, SecretError> {
        for sealed in &self.meta.age {
            match unsealed(sealed, identities) {
                Ok(Some(key)) => return Ok(key),
                Ok(None) => {}
                Err(message) => {
                    let (path, recipient) = (self.path().to_owned(), sealed.recipient.clone());
                    return Err(SecretError::DataKey { path, recipient, message });
                }
            }
        }
        Err(SecretError::NotForUs {
            path: self.path().to_owned(),
            recipients: self.meta.age.iter().map(|it| it.recipient.clone()).collect(),
            own: identities.iter().map(|it| it.recipient.clone()).collect(),
        })
    }

    /// Every value in plain, once the MAC says that all of them are as they were written.
    pub(super) fn values(&self, key: &DataKey) -> Result<Vec<Value<'_>>, SecretError> {
        let leaves = leaves(&self.tree.root, self.text);
        let values: Result<Vec<Value<'_>>, SecretError> =
            leaves.into_iter().map(|leaf| self.value(key, leaf)).collect();
        let values = values?;
        let changed = |what| SecretError::Mac { path: self.path().to_owned(), what };
        let written = leaf::open(key, &self.meta.modified, &self.meta.mac);
        let written = written.map_err(|_| changed("its MAC does not decrypt"))?;
        if *written.bytes != *mac(&values, self.meta.only_encrypted).as_bytes() {
            return Err(changed("its MAC does not match"));
        }
        Ok(values)
    }

    /// Every value in plain, by its name.
    pub(super) fn opened(&self, key: &DataKey) -> Result<Opened, SecretError> {
        let mut opened = Opened::default();
        for Value { leaf, plain, .. } in self.values(key)? {
            // `sops` keeps a comment among the items of a list as an item of its own.
            let Some(plain) = plain.filter(|plain| plain.kind != Type::Comment) else { continue };
            if !opened.insert(leaf.name.clone(), plain.shown()) {
                let what = format!("two values have the name `{}`", leaf.name);
                let advice = "use keys without dots".to_owned();
                return Err(SecretError::Unsupported {
                    path: self.path().to_owned(),
                    what,
                    advice,
                });
            }
        }
        Ok(opened)
    }

    fn value<'b>(&self, key: &DataKey, leaf: Leaf<'b>) -> Result<Value<'b>, SecretError> {
        let looks = leaf::is_encrypted(leaf.text());
        let encrypted = self.meta.rule.encrypts(&leaf.keys, looks);
        let plain = match Plain::of_scalar(leaf.text(), leaf.scalar.plain) {
            Some(written) if !encrypted || written.bytes.is_empty() => Some(written),
            None => None,
            Some(_) if !looks => {
                let (path, key) = (self.path().to_owned(), leaf.name);
                return Err(SecretError::PlainValue { path, key });
            }
            Some(_) => Some(leaf::open(key, &leaf.context(), leaf.text()).map_err(|problem| {
                let (path, key) = (self.path().to_owned(), leaf.name.clone());
                SecretError::Leaf { path, key, problem }
            })?),
        };
        Ok(Value { leaf, encrypted, plain })
    }
}

/// Reads a file as YAML with a mapping at its root.
pub(super) fn parsed(path: &str, bytes: &[u8]) -> Result<Tree, SecretError> {
    let tree = parse_tree(path, bytes).map_err(|problems| syntax(path, problems))?;
    if !matches!(tree.root.kind, Kind::Map(_)) && !tree.root.is_null() {
        let message = "this is no mapping of keys to values".to_owned();
        return Err(SecretError::Syntax { path: path.to_owned(), line: 1, column: 1, message });
    }
    Ok(tree)
}

fn syntax(path: &str, problems: Vec<Diagnostic>) -> SecretError {
    let first = problems.into_iter().next();
    let place = first.as_ref().and_then(|it| it.labels.first()).map(|label| &label.place);
    let (line, column) = place.map_or((1, 1), |place| (place.line, place.column));
    let message = first.map_or_else(|| "this is not YAML".to_owned(), |it| it.message);
    // A tag may be a value that somebody forgot to quote.
    let message = match message.starts_with("the tag ") {
        true => "a tag has no meaning here; quote a value that begins with `!`".to_owned(),
        false => message,
    };
    SecretError::Syntax { path: path.to_owned(), line, column, message }
}

/// The MAC of all values, as it is before it is encrypted.
pub(super) fn mac(values: &[Value<'_>], only_encrypted: bool) -> Zeroizing<String> {
    let mut hash = Sha512::new();
    if only_encrypted {
        hash.update(Sha256::digest("sops"));
    }
    for value in values.iter().filter(|value| value.encrypted || !only_encrypted) {
        if let Some(plain) = value.plain.as_ref().filter(|plain| plain.kind != Type::Comment) {
            hash.update(plain.bytes.as_slice());
        }
    }
    let mut text = Zeroizing::new(String::with_capacity(128));
    for byte in hash.finalize() {
        // Writing to a text never fails.
        let _ = write!(text, "{byte:02X}");
    }
    text
}

/// The data key, if one of the identities opens it.
fn unsealed(sealed: &Sealed, identities: &[Found]) -> Result<Option<DataKey>, String> {
    let reader = ArmoredReader::new(sealed.armored.as_bytes());
    let file = age::Decryptor::new(reader).map_err(|error| error.to_string())?;
    let tried = identities.iter().map(|found| &*found.identity as &dyn age::Identity);
    let content = match file.decrypt(tried) {
        Ok(content) => content,
        Err(age::DecryptError::NoMatchingKeys) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(64));
    content.take(64).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let key: Result<[u8; 32], _> = bytes.as_slice().try_into();
    let wrong = format!("it has {} bytes instead of 32", bytes.len());
    key.map(|key| Some(Zeroizing::new(key))).map_err(|_| wrong)
}
