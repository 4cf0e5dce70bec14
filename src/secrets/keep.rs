//! Secrets files made and changed; every result is opened once more before anybody gets it.

use zeroize::Zeroizing;

use super::block;
use super::close::{Closing, Kept};
use super::creation::Creation;
use super::error::SecretError;
use super::file::File;
use super::identity::Opener;
use super::leaf::{self, DataKey};
use super::plain::{Plain, Type};
use super::recipient::{self, Recipient};
use super::scalar::{changed, replaced};
use super::set;
use super::walk::leaves;
use crate::model::Timestamp;

/// A secrets file that was opened to be changed.
pub struct Unlocked {
    path: String,
    text: String,
    key: DataKey,
}

impl Opener {
    /// Opens a SOPS file to change it; its MAC is checked as when it is read.
    pub fn unlock(&self, path: &str, text: &[u8]) -> Result<Unlocked, SecretError> {
        let file = File::parse(path, text)?;
        let key = file.data_key(self.identities(path)?)?;
        file.opened(&key)?;
        Ok(Unlocked { path: path.to_owned(), text: file.text.to_owned(), key })
    }
}

/// A new file with one value.
pub fn created(
    path: &str,
    keys: &[String],
    value: &str,
    creation: &Creation,
    now: Timestamp,
) -> Result<String, SecretError> {
    let key = leaf::new_key();
    let refused = |message| SecretError::Change { path: path.to_owned(), message };
    let age = block::age(&key, &creation.recipients, 4).map_err(refused)?;
    let block = block::fresh(&age, &creation.rules(), creation.only_encrypted);
    let plain = set::set(path, "", keys, value)?;
    let closing =
        Closing { key: &key, rule: &creation.rule, only_encrypted: creation.only_encrypted };
    finished(path, &closing, &plain, Kept::default(), &block, now)
}

impl Unlocked {
    /// The file in plain, without its `sops:` block: layout and comments as they are.
    pub fn plain(&self) -> Result<Zeroizing<String>, SecretError> {
        Ok(self.file()?.plain_text(&self.key)?.0)
    }

    /// The file as a plain text would have it. What is the same as before keeps its ciphertext.
    pub fn edited(&self, plain: &str, now: Timestamp) -> Result<String, SecretError> {
        let file = self.file()?;
        self.writable(&file)?;
        let kept = file.plain_text(&self.key)?.1;
        let closing = Closing {
            key: &self.key,
            rule: &file.meta.rule,
            only_encrypted: file.meta.only_encrypted,
        };
        finished(&self.path, &closing, plain, kept, &self.text[file.block()?], now)
    }

    /// The file with one value set; everything else keeps its ciphertext.
    pub fn set(&self, keys: &[String], value: &str, now: Timestamp) -> Result<String, SecretError> {
        let plain = set::set(&self.path, &self.plain()?, keys, value)?;
        self.edited(&plain, now)
    }

    /// Whom the file is encrypted for.
    pub fn recipients(&self) -> Result<Vec<String>, SecretError> {
        Ok(self.file()?.meta.age.iter().map(|sealed| sealed.recipient.clone()).collect())
    }

    /// The file for other recipients; nothing when it is for exactly them. Data key and ciphertexts stay.
    pub fn rekeyed(&self, recipients: &[Recipient]) -> Result<Option<String>, SecretError> {
        let mut now: Vec<String> = self.recipients()?.iter().map(|it| recipient::id(it)).collect();
        let mut wanted: Vec<String> = recipients.iter().map(Recipient::id).collect();
        now.sort();
        wanted.sort();
        if now == wanted {
            return Ok(None);
        }
        let file = self.file()?;
        let at = file.block()?;
        let block =
            block::with_recipients(&self.path, &self.text[at.clone()], &self.key, recipients)?;
        let text = format!("{}{block}{}", &self.text[..at.start], &self.text[at.end..]);
        proven(&self.path, &text, &self.key).map(Some)
    }

    /// The file with a new data key, for these recipients: every ciphertext is another.
    pub fn rotated(&self, recipients: &[Recipient], now: Timestamp) -> Result<String, SecretError> {
        let file = self.file()?;
        if !file.meta.others.is_empty() {
            return Err(SecretError::Unsupported {
                path: self.path.clone(),
                what: format!(
                    "a new data key can't be encrypted for {}",
                    file.meta.others.join(", ")
                ),
                advice: "use `sops rotate --in-place`".to_owned(),
            });
        }
        let key = leaf::new_key();
        let text = self.resealed(&file, &key)?;
        let fresh = File::parse(&self.path, text.as_bytes())?;
        let at = fresh.block()?;
        let block = block::with_recipients(&self.path, &text[at.clone()], &key, recipients)?;
        let mac = leaf::open(&self.key, &file.meta.modified, &file.meta.mac)
            .map_err(|_| SecretError::Mac { path: self.path.clone(), what: "its MAC is gone" })?;
        let modified = stamp(now);
        let mac = leaf::close(&key, &modified, &mac);
        let block = block::stamped(&self.path, &block, mac, &modified)?;
        let text = format!("{}{block}{}", &text[..at.start], &text[at.end..]);
        proven(&self.path, &text, &key)
    }

    fn resealed(&self, file: &File<'_>, key: &DataKey) -> Result<Zeroizing<String>, SecretError> {
        let mut changes = Vec::new();
        for value in file.values(&self.key)?.iter().filter(|value| value.encrypted) {
            let Some(plain) = value.plain.as_ref().filter(|it| !it.bytes.is_empty()) else {
                continue;
            };
            let sealed = value.leaf.sealed(leaf::close(key, &value.leaf.context(), plain));
            changes.extend(replaced(
                self.text.as_str(),
                value.leaf.span,
                value.leaf.scalar,
                sealed,
            ));
        }
        changes.extend(file.comments_resealed(&self.key, key));
        changed(&self.text, changes).ok_or_else(|| SecretError::Change {
            path: self.path.clone(),
            message: "anchors and aliases can't be encrypted anew: use `sops rotate`".to_owned(),
        })
    }

    fn file(&self) -> Result<File<'_>, SecretError> {
        File::parse(&self.path, self.text.as_bytes())
    }

    fn writable(&self, file: &File<'_>) -> Result<(), SecretError> {
        if !matches!(file.meta.rule, super::rule::Rule::Comments) {
            return Ok(());
        }
        Err(SecretError::Unsupported {
            path: self.path.clone(),
            what: "comments say which of its values are encrypted (`encrypted_comment_regex`)"
                .into(),
            advice: "change it with `sops edit`".into(),
        })
    }
}

fn finished(
    path: &str,
    closing: &Closing<'_>,
    plain: &str,
    kept: Kept,
    block: &str,
    now: Timestamp,
) -> Result<String, SecretError> {
    let closed = closing.close(path, plain, kept)?;
    let modified = stamp(now);
    let mac = Plain::new(Type::Text, closed.mac.as_bytes());
    let block = block::stamped(path, block, leaf::close(closing.key, &modified, &mac), &modified)?;
    let mut text = closed.body;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&block);
    proven(path, &text, closing.key)
}

/// The text, if it opens with its key.
fn proven(path: &str, text: &str, key: &DataKey) -> Result<String, SecretError> {
    let opens = File::parse(path, text.as_bytes()).and_then(|file| file.opened(key));
    match opens {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(SecretError::Change {
            path: path.to_owned(),
            message: format!("the result would not open, so nothing was changed ({error})"),
        }),
    }
}

/// Whether the rule of a file leaves the value of a key as it is.
pub fn stays_plain(text: &str, keys: &[String]) -> bool {
    let name = keys.join(".");
    File::parse("", text.as_bytes()).is_ok_and(|file| {
        let rule = &file.meta.rule;
        let found = leaves(&file.tree.root, text).into_iter().find(|leaf| leaf.name == name);
        found.is_some_and(|leaf| !rule.encrypts(&leaf.keys, leaf::is_encrypted(leaf.text())))
    })
}

/// A point in time as the format has it.
fn stamp(now: Timestamp) -> String {
    let millis = i64::try_from(now.0).unwrap_or_default();
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
