//! One encrypted value, `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`: opened and closed.

use aes_gcm::aead::consts::{U12, U32};
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::error::LeafProblem;
use super::plain::{Plain, Type};

/// What every encrypted value begins with.
const BEGIN: &str = "ENC[AES256_GCM,";
/// Bytes of the tag.
const TAG: usize = 16;

/// The key that every value of one file is encrypted with.
pub(super) type DataKey = Zeroizing<[u8; 32]>;

/// A new key.
pub(super) fn new_key() -> DataKey {
    Zeroizing::new(rand::random())
}

/// Whether a text is meant to be an encrypted value.
pub(super) fn is_encrypted(text: &str) -> bool {
    text.starts_with(BEGIN)
}

/// Opens a value that stands under `context`.
pub(super) fn open(key: &DataKey, context: &str, text: &str) -> Result<Plain, LeafProblem> {
    let parts = Parts::of(text).ok_or(LeafProblem::Form)?;
    let payload = Payload { msg: &parts.sealed, aad: context.as_bytes() };
    let plain = match parts.nonce.len() {
        32 => gcm::<U32>(key).decrypt(&nonce(&parts.nonce)?, payload),
        12 => gcm::<U12>(key).decrypt(&nonce(&parts.nonce)?, payload),
        _ => return Err(LeafProblem::Nonce),
    };
    let plain = Zeroizing::new(plain.map_err(|_| LeafProblem::Decrypt)?);
    Plain::decrypted(parts.kind, plain).ok_or(LeafProblem::Type)
}

/// Closes a value that stands under `context`; an empty one stays empty.
pub(super) fn close(key: &DataKey, context: &str, plain: &Plain) -> String {
    if plain.bytes.is_empty() {
        return String::new();
    }
    let fresh: [u8; 32] = rand::random();
    let payload = Payload { msg: &plain.bytes, aad: context.as_bytes() };
    let sealed = gcm::<U32>(key).encrypt(&Nonce::<U32>::from(fresh), payload);
    // The cipher only refuses texts beyond 64 GiB; a file holds 1 MiB.
    let sealed = sealed.unwrap_or_default();
    let (data, tag) = sealed.split_at(sealed.len().saturating_sub(TAG));
    format!(
        "{BEGIN}data:{},iv:{},tag:{},type:{}]",
        STANDARD.encode(data),
        STANDARD.encode(fresh),
        STANDARD.encode(tag),
        plain.kind.word()
    )
}

fn gcm<N: aes_gcm::aead::array::ArraySize>(key: &DataKey) -> AesGcm<Aes256, N> {
    AesGcm::new((&**key).into())
}

fn nonce<N: aes_gcm::aead::array::ArraySize>(bytes: &[u8]) -> Result<Nonce<N>, LeafProblem> {
    Nonce::try_from(bytes).map_err(|_| LeafProblem::Nonce)
}

struct Parts {
    /// Data and tag, as the cipher wants them.
    sealed: Vec<u8>,
    nonce: Vec<u8>,
    kind: Type,
}

impl Parts {
    fn of(text: &str) -> Option<Self> {
        let inside = text.strip_prefix(BEGIN)?.strip_suffix(']')?;
        let mut fields = inside.split(',');
        let mut field = |name: &str| fields.next()?.strip_prefix(name)?.strip_prefix(':');
        let bytes = |text: &str| STANDARD.decode(text).ok().filter(|bytes| !bytes.is_empty());
        let mut sealed = bytes(field("data")?)?;
        let nonce = bytes(field("iv")?)?;
        let tag = bytes(field("tag")?).filter(|tag| tag.len() == TAG)?;
        let kind = Type::of(field("type")?)?;
        sealed.extend(tag);
        fields.next().is_none().then_some(Self { sealed, nonce, kind })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> DataKey {
        Zeroizing::new([7; 32])
    }

    #[test]
    fn a_value_opens_only_where_it_was_closed_and_only_whole() {
        let text = close(&key(), "db:password:", &Plain::text("hunter2"));
        assert_eq!(open(&key(), "db:password:", &text), Ok(Plain::text("hunter2")));
        assert_eq!(open(&key(), "db:user:", &text), Err(LeafProblem::Decrypt));
        assert_eq!(open(&new_key(), "db:password:", &text), Err(LeafProblem::Decrypt));
        let other = text.replace("type:str", "type:int");
        assert_eq!(open(&key(), "db:password:", &other), Err(LeafProblem::Type));
        for end in 0..text.len() {
            assert_eq!(open(&key(), "db:password:", &text[..end]), Err(LeafProblem::Form));
        }
        assert!(!text.contains("hunter2"));
        assert_ne!(text, close(&key(), "db:password:", &Plain::text("hunter2")));
    }

    #[test]
    fn nonces_of_twelve_bytes_are_read_and_others_are_refused() {
        let sealed = gcm::<U12>(&key())
            .encrypt(&Nonce::<U12>::from([1; 12]), Payload { msg: b"5", aad: b"n:" })
            .unwrap();
        let text = |nonce: &[u8]| {
            let (data, tag) = sealed.split_at(sealed.len() - TAG);
            let [data, nonce, tag] = [data, nonce, tag].map(|bytes| STANDARD.encode(bytes));
            format!("ENC[AES256_GCM,data:{data},iv:{nonce},tag:{tag},type:int]")
        };
        assert_eq!(open(&key(), "n:", &text(&[1; 12])), Ok(Plain::new(Type::Integer, "5")));
        assert_eq!(open(&key(), "n:", &text(&[1; 16])), Err(LeafProblem::Nonce));
    }

    #[test]
    fn nothing_stays_nothing() {
        assert_eq!(close(&key(), "a:", &Plain::text("")), "");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(ENC\\[AES256_GCM,)?(data:)?[A-Za-z0-9+/=,:\\]]{0,60}") {
            let _ = open(&key(), "a:", &text);
        }

        #[test]
        fn any_bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 1..200), at in ".{0,20}") {
            let plain = Plain::new(Type::Bytes, bytes);
            prop_assert_eq!(open(&key(), &at, &close(&key(), &at, &plain)), Ok(plain));
        }
    }
}
