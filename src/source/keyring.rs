//! OpenPGP signatures of commits, and the keys that may make them.

use std::path::Path;

use pgp::composed::{Deserializable, DetachedSignature, SignedPublicKey, SignedPublicSubKey};
use pgp::packet::{Signature, SignatureType};
use pgp::types::{KeyDetails, Tag, VerifyingKey};

use crate::model::Timestamp;

use super::SourceError;
use super::signature::{Distrust, signers};

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// Judges a signature over `signed` by the keys in `bytes`, the content of `file`: armored or binary.
pub(super) fn judge(
    signature: &str,
    signed: &[u8],
    bytes: &[u8],
    file: &Path,
    now: Timestamp,
) -> Result<Result<(), Distrust>, SourceError> {
    let keys = keys(bytes).map_err(|message| signers(file, message))?;
    let seconds = now.0 / 1000;
    Ok(parsed(signature).and_then(|signature| by_one_of(&keys, &signature, signed, seconds)))
}

/// All keys of a file; one that can't be read spoils it.
fn keys(bytes: &[u8]) -> Result<Vec<SignedPublicKey>, String> {
    let wrong = |error: pgp::errors::Error| format!("it has a key that can't be read ({error})");
    let mut found = Vec::new();
    match std::str::from_utf8(bytes).ok().filter(|text| text.contains(BEGIN)) {
        Some(text) => {
            for block in text.split(BEGIN).skip(1) {
                let block = format!("{BEGIN}{block}");
                let (keys, _) = SignedPublicKey::from_string_many(&block).map_err(wrong)?;
                for key in keys {
                    found.push(key.map_err(wrong)?);
                }
            }
        }
        None => {
            for key in SignedPublicKey::from_bytes_many(bytes).map_err(wrong)? {
                found.push(key.map_err(wrong)?);
            }
        }
    }
    if found.is_empty() { Err("it has no OpenPGP public key".to_owned()) } else { Ok(found) }
}

/// The one signature of a text.
fn parsed(text: &str) -> Result<Signature, Distrust> {
    let wrong = |error| Distrust::bad(format!("its OpenPGP signature can't be read ({error})"));
    let (found, _) = DetachedSignature::from_string_many(text).map_err(wrong)?;
    let mut found = found.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    let signature = found.pop().filter(|_| found.is_empty());
    let signature = signature
        .ok_or_else(|| Distrust::bad("it does not have exactly one OpenPGP signature"))?
        .signature;
    let kind = signature.typ();
    if !matches!(kind, Some(SignatureType::Binary | SignatureType::Text)) {
        return Err(Distrust::bad("its OpenPGP signature is not one over a document"));
    }
    if signature.issuer_fingerprint().is_empty() && signature.issuer_key_id().is_empty() {
        return Err(Distrust::bad("its OpenPGP signature does not say which key made it"));
    }
    Ok(signature)
}

fn by_one_of(
    keys: &[SignedPublicKey],
    signature: &Signature,
    signed: &[u8],
    now: u64,
) -> Result<(), Distrust> {
    let named = signature.issuer_fingerprint().first().map(ToString::to_string);
    let named = named.or_else(|| signature.issuer_key_id().first().map(ToString::to_string));
    let named = named.unwrap_or_default();
    let mut outcome =
        Err(Distrust::unknown(format!("the OpenPGP key {named} is none of the keys")));
    for key in keys {
        let primary = made_by(signature, &key.primary_key);
        let sub = key.public_subkeys.iter().find(|sub| made_by(signature, &sub.key));
        let genuine = match (primary, sub) {
            (true, _) => signature.verify(&key.primary_key, signed),
            (false, Some(sub)) => signature.verify(&sub.key, signed),
            (false, None) => continue,
        };
        outcome = match genuine {
            Err(_) => Err(Distrust::bad("its OpenPGP signature does not fit its content")),
            Ok(()) => still_good(key, sub.filter(|_| !primary), signature, now).map_err(|why| {
                Distrust::unknown(format!("the OpenPGP key {named} of {}: {why}", owner(key)))
            }),
        };
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn made_by(signature: &Signature, key: &impl KeyDetails) -> bool {
    let (print, id) = (key.fingerprint(), key.legacy_key_id());
    signature.issuer_fingerprint().contains(&&print)
        || (signature.issuer_fingerprint().is_empty() && signature.issuer_key_id().contains(&&id))
}

fn owner(key: &SignedPublicKey) -> String {
    let first = key.details.users.first().and_then(|user| user.id.as_str());
    first.unwrap_or("nobody").to_owned()
}

/// Whether a key, or one of its subkeys, may sign now: bound, neither revoked nor expired, and meant for it.
fn still_good(
    key: &SignedPublicKey,
    sub: Option<&SignedPublicSubKey>,
    signature: &Signature,
    now: u64,
) -> Result<(), String> {
    let primary = &key.primary_key;
    if key.details.revocation_signatures.iter().any(|it| it.verify_key(primary).is_ok()) {
        return Err("it was revoked".to_owned());
    }
    let own = newest(self_signatures(key)).ok_or("nothing binds its name to it")?;
    in_time(own, primary, now)?;
    let meant = match sub {
        None => own,
        Some(sub) => bound(key, sub, now)?,
    };
    if !meant.key_flags().sign() {
        return Err("it is not meant for signing".to_owned());
    }
    let made = signature.created().map_or(0, |time| u64::from(time.as_secs()));
    let lasts = signature.signature_expiration_time().map_or(0, |time| u64::from(time.as_secs()));
    if lasts > 0 && now >= made + lasts {
        return Err("its signature has expired".to_owned());
    }
    Ok(())
}

/// What the key says about itself, as far as it really says it.
fn self_signatures(key: &SignedPublicKey) -> impl Iterator<Item = &Signature> {
    let primary = &key.primary_key;
    let direct = key.details.direct_signatures.iter();
    let direct = direct.filter(|it| it.verify_key(primary).is_ok());
    let users = key.details.users.iter().flat_map(move |user| {
        let own = user.signatures.iter();
        own.filter(move |it| {
            it.typ() != Some(SignatureType::CertRevocation)
                && it.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        })
    });
    direct.chain(users)
}

fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    signatures.max_by_key(|it| it.created())
}

/// The newest binding of a signing subkey, which the subkey confirms.
fn bound<'a>(
    key: &SignedPublicKey,
    sub: &'a SignedPublicSubKey,
    now: u64,
) -> Result<&'a Signature, String> {
    let primary = &key.primary_key;
    let real = |it: &&Signature| it.verify_subkey_binding(primary, &sub.key).is_ok();
    let of = |kind| move |it: &&Signature| it.typ() == Some(kind);
    if sub.signatures.iter().filter(of(SignatureType::SubkeyRevocation)).any(|it| real(&it)) {
        return Err("its subkey was revoked".to_owned());
    }
    let bindings = sub.signatures.iter().filter(of(SignatureType::SubkeyBinding));
    let binding = newest(bindings.filter(real)).ok_or("nothing binds its subkey to it")?;
    let confirms = |it: &Signature| it.verify_primary_key_binding(&sub.key, primary).is_ok();
    let confirmed = binding.embedded_signature().is_some_and(confirms);
    if !confirmed {
        return Err("its subkey does not say that it belongs to it".to_owned());
    }
    in_time(binding, &sub.key, now)?;
    Ok(binding)
}

fn in_time(says: &Signature, key: &impl VerifyingKey, now: u64) -> Result<(), String> {
    let made = u64::from(key.created_at().as_secs());
    let lasts = says.key_expiration_time().map_or(0, |time| u64::from(time.as_secs()));
    if lasts > 0 && now >= made + lasts { Err("it has expired".to_owned()) } else { Ok(()) }
}
