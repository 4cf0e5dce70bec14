//! The keys that open secrets: found lazily and once, wherever the settings say.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::OnceLock;

use zeroize::Zeroizing;

use super::error::SecretError;
use super::file::File;
use super::opened::Opened;
use crate::settings::KeyPlace;

/// Opens secrets with the age identities of some places. Keys are read when the first secret is opened, and kept.
pub struct Opener {
    places: Vec<KeyPlace>,
    found: OnceLock<Vec<Found>>,
}

/// One identity and its public key.
pub(super) struct Found {
    pub(super) identity: Box<dyn age::Identity + Send + Sync>,
    pub(super) recipient: String,
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Opener {
    /// An opener that looks for identities at these places, and tries all that it finds. Nothing is read yet.
    pub fn new(places: Vec<KeyPlace>) -> Self {
        Self { places, found: OnceLock::new() }
    }

    /// Opens a SOPS file: the data key by an identity, every value in plain by its dotted key, the MAC checked.
    ///
    /// `path` is only told in errors.
    pub fn open(&self, path: &str, text: &[u8]) -> Result<Opened, SecretError> {
        let file = File::parse(path, text)?;
        let key = file.data_key(self.identities(path)?)?;
        file.opened(&key)
    }

    /// The public keys of all identities.
    pub fn recipients(&self, path: &str) -> Result<Vec<String>, SecretError> {
        Ok(self.identities(path)?.iter().map(|found| found.recipient.clone()).collect())
    }

    /// Sentences about key files that others than their owner may read.
    pub fn warnings(&self) -> Vec<String> {
        self.places.iter().filter_map(exposed).collect()
    }

    /// Every identity, at least one.
    pub(super) fn identities(&self, path: &str) -> Result<&[Found], SecretError> {
        if let Some(found) = self.found.get() {
            return Ok(found);
        }
        let mut found: Vec<Found> = Vec::new();
        for place in &self.places {
            let more = identities_at(place).map_err(|message| {
                let place = place.to_string();
                SecretError::Identity { place, message }
            })?;
            let known = |one: &Found| found.iter().any(|other| other.recipient == one.recipient);
            let fresh: Vec<Found> = more.into_iter().filter(|one| !known(one)).collect();
            found.extend(fresh);
        }
        if found.is_empty() {
            let looked = self.places.iter().map(ToString::to_string).collect();
            return Err(SecretError::NoIdentity { path: path.to_owned(), looked });
        }
        Ok(self.found.get_or_init(|| found))
    }
}

fn exposed(place: &KeyPlace) -> Option<String> {
    let (KeyPlace::File(path) | KeyPlace::Perhaps(path)) = place else { return None };
    let mode = fs::metadata(path).ok()?.permissions().mode();
    let shown = path.display();
    // A service manager's credentials are given to the group on purpose, in a directory that only the service enters.
    let closed = path.parent().and_then(|folder| fs::metadata(folder).ok());
    let closed = closed.is_some_and(|folder| folder.permissions().mode() & 0o077 == 0);
    (mode & 0o044 != 0 && !closed).then(|| {
        format!("others than its owner may read the key file {shown}; run `chmod 600 {shown}`")
    })
}

fn identities_at(place: &KeyPlace) -> Result<Vec<Found>, String> {
    match place {
        KeyPlace::Text(text) => identities(text.expose()),
        KeyPlace::File(path) => identities(&read(path).map_err(|error| error.to_string())?),
        KeyPlace::Perhaps(path) => match read(path) {
            Ok(text) => identities(&text),
            Err(error) if absent(&error) => Ok(Vec::new()),
            Err(error) => Err(error.to_string()),
        },
    }
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    fs::read_to_string(path).map(Zeroizing::new)
}

/// The identities of a text: lines of `AGE-SECRET-KEY-1…` and comments, or an SSH private key.
fn identities(text: &str) -> Result<Vec<Found>, String> {
    if text.trim_start().starts_with("age-encryption.org/") || text.contains("BEGIN AGE ENCRYPTED")
    {
        return Err(
            "it is protected by a passphrase, which nobody can be asked for; decrypt it with \
                    `age --decrypt` into a file of mode 0600"
                .to_owned(),
        );
    }
    if text.contains("-----BEGIN") {
        return ssh(text.trim_start()).map(|found| vec![found]);
    }
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let words = line.split_whitespace().take_while(|word| !word.starts_with('#'));
        for word in words {
            found.push(native(word).map_err(|message| format!("line {}: {message}", at + 1))?);
        }
    }
    if found.is_empty() {
        return Err("there is no key in it; `age-keygen` makes one".to_owned());
    }
    Ok(found)
}

fn native(word: &str) -> Result<Found, String> {
    if word.starts_with("AGE-PLUGIN-") {
        return Err(
            "identities of age plugins are not supported; use one that `age-keygen` makes".into()
        );
    }
    if word.starts_with("AGE-SECRET-KEY-PQ-") {
        return Err("post-quantum identities are not supported yet; use one that starts with \
                    `AGE-SECRET-KEY-1`"
            .into());
    }
    if word.starts_with("age1") {
        return Err("this is a public key; the line with `AGE-SECRET-KEY-1…` is wanted".into());
    }
    let identity = age::x25519::Identity::from_str(word).map_err(|_| {
        "this is no age identity; one starts with `AGE-SECRET-KEY-1`, and `age-keygen` makes it"
    })?;
    let recipient = identity.to_public().to_string();
    Ok(Found { identity: Box::new(identity), recipient })
}

fn ssh(text: &str) -> Result<Found, String> {
    let wrong = "this is no SSH private key that age can use: ssh-ed25519 and ssh-rsa without a passphrase are";
    let read = age::ssh::Identity::from_buffer(text.as_bytes(), None);
    let identity = read.map_err(|_| wrong.to_owned())?;
    match &identity {
        age::ssh::Identity::Encrypted(_) => {
            return Err(
                "the SSH key has a passphrase, which nobody can be asked for; use a key without \
                        one, or an age identity"
                    .to_owned(),
            );
        }
        age::ssh::Identity::Unsupported(_) => return Err(wrong.to_owned()),
        age::ssh::Identity::Unencrypted(_) => {}
    }
    let recipient =
        age::ssh::Recipient::try_from(identity.clone()).map_err(|_| wrong.to_owned())?;
    Ok(Found { identity: Box::new(identity), recipient: recipient.to_string() })
}

#[cfg(test)]
mod tests {
    use age::secrecy::ExposeSecret as _;

    use super::*;
    use crate::settings::SecretText;

    fn key() -> (String, String) {
        let identity = age::x25519::Identity::generate();
        (identity.to_string().expose_secret().to_owned(), identity.to_public().to_string())
    }

    fn opener(places: Vec<KeyPlace>) -> Opener {
        Opener::new(places)
    }

    #[test]
    fn all_identities_of_all_places_are_found_once() {
        let home = tempfile::tempdir().unwrap();
        let ((one, public_one), (two, public_two)) = (key(), key());
        let file = home.path().join("keys.txt");
        fs::write(&file, format!("# created: today\n# public key: x\n{one}\n\n{two} # mine\n"))
            .unwrap();
        let text = KeyPlace::Text(SecretText::new("GITSYNC_AGE_KEY", format!("{two} {one}")));
        let missing = KeyPlace::Perhaps(home.path().join("none/keys.txt"));
        let opener = opener(vec![text, missing, KeyPlace::File(file.clone())]);
        assert_eq!(opener.recipients("x").unwrap(), [public_two, public_one]);
        fs::remove_file(file).unwrap();
        assert_eq!(opener.recipients("x").unwrap().len(), 2);
        let shown = format!("{opener:?}");
        assert!(!shown.contains("AGE-SECRET") && shown.contains("GITSYNC_AGE_KEY"), "{shown}");
    }

    #[test]
    fn a_named_file_that_is_missing_is_an_error_and_a_usual_one_is_looked_for_again() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        let named = opener(vec![KeyPlace::File(path.clone())]);
        let error = named.recipients("x").unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        let usual = opener(vec![KeyPlace::Perhaps(path.clone())]);
        let error = usual.recipients("secrets/db.yaml").unwrap_err();
        assert!(matches!(&error, SecretError::NoIdentity { looked, .. } if looked.len() == 1));
        assert!(error.to_string().contains("secrets/db.yaml"), "{error}");
        fs::write(&path, key().0).unwrap();
        assert_eq!(usual.recipients("x").unwrap().len(), 1);
        assert_eq!(named.recipients("x").unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_key_says_what_it_is_and_shows_nothing_of_it() {
        for (text, words) in [
            ("", "age-keygen"),
            ("# only this\n", "age-keygen"),
            ("\nhunter2", "line 2"),
            (&key().0[..40], "no age identity"),
            (&key().1, "public key"),
            ("AGE-PLUGIN-YUBIKEY-1XYZ", "plugins"),
            ("AGE-SECRET-KEY-PQ-1XYZ", "post-quantum"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n", "SSH"),
            ("age-encryption.org/v1\n-> scrypt x 18\n", "passphrase"),
        ] {
            let place = KeyPlace::Text(SecretText::new("GITSYNC_AGE_KEY", text));
            let error = opener(vec![place]).recipients("x").unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("GITSYNC_AGE_KEY"), "{text}: {error}");
            assert!(!error.contains("hunter2") && !error.contains(&key().0[..20]), "{error}");
        }
    }

    #[test]
    fn a_key_file_that_others_may_read_is_told() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("open");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let path = folder.join("key");
        fs::write(&path, key().0).unwrap();
        let opener = opener(vec![KeyPlace::File(path.clone())]);
        for (mode, told) in [(0o600, 0), (0o400, 0), (0o640, 1), (0o604, 1)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(opener.warnings().len(), told, "{mode:o}");
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(opener.warnings().len(), 0, "nobody else enters the folder");
    }
}
