//! What a secrets file holds, in plain: gone from memory with the value that holds it.

use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

/// The plain values of one file by dotted key, as `db.password`, or `list.0` for an item. `Debug` shows only keys.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Opened {
    values: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

impl Opened {
    /// The plain value of a key. A boolean is `true` or `false`; a null has none.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.values.get(key).map(|value| value.as_slice())
    }

    /// Every key with its plain value, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.values.iter().map(|(key, value)| (key.as_str(), value.as_slice()))
    }

    /// Adds a value; whether its key was free.
    pub(super) fn insert(&mut self, key: String, value: Zeroizing<Vec<u8>>) -> bool {
        self.values.insert(key, value).is_none()
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}
