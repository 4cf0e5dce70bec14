//! Why a secret can't be opened or kept: what is wrong, and what to do. No value is ever told.

use std::path::PathBuf;

/// Why a secret can't be opened or kept. The text names file and key and what to do, never a value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is no identity at all.
    #[error(
        "{path} is encrypted, and no age identity was found ({}); set `secrets.identity` in the settings, \
         GITSYNC_AGE_KEY_FILE, or the systemd credential `age-key`", places(.looked)
    )]
    NoIdentity {
        /// The secrets file.
        path: String,
        /// Where identities were looked for.
        looked: Vec<String>,
    },
    /// A place that was named for identities is of no use.
    #[error("the age identity of {place} can't be used: {message}")]
    Identity {
        /// The place.
        place: String,
        /// Why, and what to do.
        message: String,
    },
    /// The file is encrypted for others.
    #[error(
        "{path} is encrypted for {}, and the identities here are {}; have somebody who can open it add yours to \
         `.sops.yaml` and run `gitsync secret rekey`", .recipients.join(", "), .own.join(", ")
    )]
    NotForUs {
        /// The secrets file.
        path: String,
        /// Whom it is encrypted for.
        recipients: Vec<String>,
        /// The public keys of the identities that were tried.
        own: Vec<String>,
    },
    /// The file is no YAML that can be read.
    #[error("{path}:{line}:{column}: {message}")]
    Syntax {
        /// The secrets file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// There is no `sops:` in the file.
    #[error(
        "{path} has no `sops:` block, so it is not encrypted; encrypt it with `sops encrypt --in-place`, or make it \
         anew with `gitsync secret add`, and change every value that was in it"
    )]
    NotEncrypted {
        /// The file.
        path: String,
    },
    /// The file is of a kind that is not known here.
    #[error("{path}: {what}; {advice}")]
    Unsupported {
        /// The secrets file.
        path: String,
        /// What is not known.
        what: String,
        /// What to do.
        advice: String,
    },
    /// The data key can't be read from its age file.
    #[error(
        "{path}: the data key for {recipient} can't be read: {message}; the `sops:` block was damaged: take the file \
         from an earlier commit"
    )]
    DataKey {
        /// The secrets file.
        path: String,
        /// Whom it was encrypted for.
        recipient: String,
        /// Why.
        message: String,
    },
    /// A value can't be decrypted.
    #[error("{path}: `{key}` {problem}; take the value from an earlier commit or set it anew")]
    Leaf {
        /// The secrets file.
        path: String,
        /// The key, dotted.
        key: String,
        /// What is wrong with it.
        problem: LeafProblem,
    },
    /// A value that should be encrypted stands in the file as it is.
    #[error(
        "{path}: `{key}` is not encrypted though it should be; set it with `gitsync secret add`, and use another value: \
         this one was seen"
    )]
    PlainValue {
        /// The secrets file.
        path: String,
        /// The key, dotted.
        key: String,
    },
    /// The file's MAC is not that of its values.
    #[error(
        "{path} was changed by somebody without its key: {what}; take the file from an earlier commit and make the \
         change with `gitsync secret edit` or `sops`"
    )]
    Mac {
        /// The secrets file.
        path: String,
        /// How that was noticed.
        what: &'static str,
    },
    /// A change can't be made.
    #[error("{path}: {message}")]
    Change {
        /// The secrets file.
        path: String,
        /// Why, and what to do.
        message: String,
    },
    /// The rules for new files can't be used.
    #[error("{}: {message}", .path.display())]
    Rules {
        /// The `.sops.yaml`.
        path: PathBuf,
        /// Why, and what to do.
        message: String,
    },
}

fn places(places: &[String]) -> String {
    match places {
        [] => "nothing says where".to_owned(),
        places => format!("looked at {}", places.join(", ")),
    }
}

/// What is wrong with one encrypted value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeafProblem {
    /// It is cut off, or no base64.
    #[error("is not a whole `ENC[AES256_GCM,…]`")]
    Form,
    /// Its nonce has a length that nobody writes.
    #[error("has a nonce of an unusual length")]
    Nonce,
    /// It was changed, belongs under another key, or to another file.
    #[error("does not decrypt: it was changed, or belongs under another key or in another file")]
    Decrypt,
    /// What it holds is not what it says to be.
    #[error("holds something else than its type says")]
    Type,
}
