//! Decrypts what a fleet refers to, and keeps it encrypted: YAML files of the SOPS format with age recipients.
//!
//! Read: `identity` finds keys, `rule` says which values are encrypted, `leaf` opens one, `file` checks the MAC of all.
//! Written: `set` changes a plain document, `close` encrypts it in its place, `block` writes what `sops:` says, and `keep`
//! proves that the result opens.

mod block;
mod close;
mod comments;
mod creation;
mod error;
mod file;
mod identity;
mod keep;
mod leaf;
mod meta;
mod opened;
mod plain;
mod recipient;
mod rule;
mod scalar;
mod set;
#[cfg(test)]
mod tests;
mod timestamp;
mod walk;

pub use crate::settings::{KeyPlace, SecretText};
pub use creation::{Creation, Creations};
pub use error::{LeafProblem, SecretError};
pub use identity::Opener;
pub use keep::{Unlocked, created, stays_plain};
pub use opened::Opened;
pub use recipient::Recipient;
