//! Those whom a data key is encrypted for.

use std::fmt;
use std::io::Write as _;
use std::str::FromStr as _;

use age::armor::{ArmoredWriter, Format};

use super::leaf::DataKey;

/// Somebody who may open a file: an age public key, or an SSH one.
#[derive(Clone)]
pub struct Recipient {
    written: String,
    key: Key,
}

#[derive(Clone)]
enum Key {
    Native(age::x25519::Recipient),
    Ssh(age::ssh::Recipient),
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl PartialEq for Recipient {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Recipient {
    /// The recipient that a text says, or why it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let written = text.trim().to_owned();
        if written.starts_with("AGE-SECRET-KEY-") {
            // Not told back: it is a private key.
            return Err("this is a private key; the public one starts with `age1`, and `age-keygen -y` prints it".into());
        }
        if written.starts_with("ssh-") {
            let key = age::ssh::Recipient::from_str(&written);
            let key = key.map_err(|_| {
                format!(
                    "`{written}` is no SSH public key that age can use: ssh-ed25519 and ssh-rsa are"
                )
            })?;
            return Ok(Self { written, key: Key::Ssh(key) });
        }
        let key = age::x25519::Recipient::from_str(&written).map_err(|_| {
            format!("`{written}` is no age public key; one starts with `age1`, and `age-keygen` prints it")
        })?;
        Ok(Self { written, key: Key::Native(key) })
    }

    /// The key without the comment that an SSH key may have.
    pub(super) fn id(&self) -> String {
        id(&self.written)
    }

    /// The data key encrypted for this recipient, as an armored age file.
    pub(super) fn seal(&self, key: &DataKey) -> Result<String, String> {
        let recipient: &dyn age::Recipient = match &self.key {
            Key::Native(key) => key,
            Key::Ssh(key) => key,
        };
        let file = age::Encryptor::with_recipients(std::iter::once(recipient));
        let file = file.map_err(|error| error.to_string())?;
        let write = || -> std::io::Result<Vec<u8>> {
            let armor = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor)?;
            let mut writer = file.wrap_output(armor)?;
            writer.write_all(key.as_slice())?;
            writer.finish()?.finish()
        };
        let bytes = write().map_err(|error| error.to_string())?;
        String::from_utf8(bytes).map_err(|error| error.to_string())
    }
}

/// A recipient as written, without a comment.
pub(super) fn id(written: &str) -> String {
    written.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_recipient_says_why() {
        for (text, words) in [
            ("age1xyz", "no age public key"),
            ("", "no age public key"),
            ("ssh-dss AAAA", "SSH public key"),
            ("AGE-SECRET-KEY-1QQQQ", "private key"),
        ] {
            let error = Recipient::parse(text).unwrap_err();
            assert!(error.contains(words) && !error.contains("QQQQ"), "{error}");
        }
    }

    #[test]
    fn the_comment_of_an_ssh_key_makes_no_other_recipient() {
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";
        let with_comment = Recipient::parse(&format!("{key} ada@host")).unwrap();
        assert_eq!(with_comment, Recipient::parse(key).unwrap());
        assert_eq!(with_comment.to_string(), format!("{key} ada@host"));
    }
}
