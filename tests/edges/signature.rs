//! Signatures of commits, made by the real programs.

use std::fs;
use std::time::SystemTime;

use gitsync::model::Timestamp;
use gitsync::settings::Signatures;
use gitsync::source::{SourceError, distrust};

use crate::repository::Repo;
use crate::signing::{Keys, can_sign};

const PROGRAMS: &[&str] = &["git", "ssh-keygen"];
const GPG: &[&str] = &["git", "gpg", "gpg-agent"];

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp(u64::try_from(since.as_millis()).unwrap())
}

/// A repository with one commit, keys, and the files that say which of them may sign.
struct Stage {
    repo: Repo,
    keys: Keys,
    signatures: Signatures,
}

impl Stage {
    fn new() -> Self {
        let repo = Repo::new();
        repo.write("fleet.yaml", "version: 1\n");
        repo.commit("first");
        let keys = Keys::new();
        let signatures =
            Signatures { allowed_signers: Some(keys.path("allowed")), openpgp_keys: None };
        fs::write(keys.path("allowed"), "").unwrap();
        Self { repo, keys, signatures }
    }

    fn allow(&self, lines: &str) {
        fs::write(self.keys.path("allowed"), lines).unwrap();
    }

    fn judge(&self, rev: &str) -> Result<Option<(&'static str, String)>, SourceError> {
        let found = distrust(&self.repo.path, rev, &self.signatures, now())?;
        Ok(found.map(|distrust| (distrust.code, distrust.message)))
    }

    #[track_caller]
    fn trusts(&self, rev: &str) {
        assert_eq!(self.judge(rev).unwrap(), None);
    }

    #[track_caller]
    fn refuses(&self, rev: &str, code: &str, words: &str) {
        let (found, message) = self.judge(rev).unwrap().expect("it is trusted");
        assert!(found == code && message.contains(words), "{found}: {message}");
        assert!(message.contains("by Ada (“first”): "), "{message}");
    }

    /// A commit with the files and parents of HEAD's, and a signature by any means.
    fn with_signature(&self, sign: impl FnOnce(&str) -> String) -> String {
        let git = &self.repo.git;
        let tip = git.head().unwrap().peel_to_commit().unwrap();
        let who = tip.author();
        let tree = tip.tree().unwrap();
        let text = git.commit_create_buffer(&who, &who, "first", &tree, &[]).unwrap();
        let text = std::str::from_utf8(&text).unwrap().to_owned();
        let signature = sign(&text);
        git.commit_signed(&text, signature.trim_end(), None).unwrap().to_string()
    }
}

#[test]
fn a_commit_signed_with_an_allowed_ssh_key_is_trusted_whatever_the_kind_of_key() {
    if !can_sign(PROGRAMS) {
        return;
    }
    let stage = Stage::new();
    let kinds: [&[&str]; 5] = [
        &["ed25519"],
        &["ecdsa", "-b", "256"],
        &["ecdsa", "-b", "384"],
        &["ecdsa", "-b", "521"],
        &["rsa"],
    ];
    for (number, kind) in kinds.iter().enumerate() {
        let name = format!("key{number}");
        let line = stage.keys.ssh(&name, kind);
        let signed = stage.keys.sign_ssh(&stage.repo.path, &name);
        stage.refuses(&signed, "unknown-signer", "is none of the allowed signers");
        stage.allow(&format!("# people\nada@example.net namespaces=\"git\" {line}\n"));
        stage.trusts(&signed);
        stage.trusts("HEAD");
    }
}

#[test]
fn an_unsigned_commit_is_refused_and_a_signed_tag_does_not_help_it() {
    if !can_sign(PROGRAMS) {
        return;
    }
    let stage = Stage::new();
    let line = stage.keys.ssh("ada", &["ed25519"]);
    stage.allow(&format!("ada {line}\n"));
    stage.refuses("HEAD", "unsigned", "it is not signed");
    let key = format!("user.signingkey={}", stage.keys.path("ada").display());
    let tag = ["-c", "gpg.format=ssh", "-c", &key, "tag", "-s", "-m", "signed", "v1"];
    stage.keys.git(&stage.repo.path, &tag);
    stage.refuses("v1", "unsigned", "it is not signed");
    // Neither does a signed commit before it.
    let signed = stage.keys.sign_ssh(&stage.repo.path, "ada");
    stage.trusts(&signed);
    stage.repo.commit("first");
    stage.refuses("HEAD", "unsigned", "it is not signed");
}

#[test]
fn another_key_is_refused_and_its_fingerprint_told() {
    if !can_sign(PROGRAMS) {
        return;
    }
    let stage = Stage::new();
    let line = stage.keys.ssh("ada", &["ed25519"]);
    stage.keys.ssh("mallory", &["ed25519"]);
    stage.allow(&format!("ada {line}\n"));
    stage.keys.sign_ssh(&stage.repo.path, "mallory");
    stage.refuses("HEAD", "unknown-signer", "SHA256:");
    stage.keys.sign_ssh(&stage.repo.path, "ada");
    stage.trusts("HEAD");
}

#[test]
fn a_commit_that_was_changed_after_it_was_signed_is_refused() {
    if !can_sign(PROGRAMS) {
        return;
    }
    let stage = Stage::new();
    let line = stage.keys.ssh("ada", &["ed25519"]);
    stage.allow(&format!("ada {line}\n"));
    let same = |text: &str| stage.keys.ssh_sign("ada", "git", text.as_bytes());
    stage.trusts(&stage.with_signature(same));
    let other = |text: &str| same(&text.replace("first", "what Ada meant"));
    stage.refuses(&stage.with_signature(other), "bad-signature", "does not fit its content");
    let broken = |text: &str| same(text).replace('A', "B");
    stage.refuses(&stage.with_signature(broken), "bad-signature", "");
    let nonsense =
        |_: &str| "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----".into();
    stage.refuses(&stage.with_signature(nonsense), "bad-signature", "can't be read");
    let text = |_: &str| "signed by Ada, truly".to_owned();
    stage.refuses(&stage.with_signature(text), "bad-signature", "neither");
}

#[test]
fn a_signature_for_another_namespace_is_refused() {
    if !can_sign(PROGRAMS) {
        return;
    }
    let stage = Stage::new();
    let line = stage.keys.ssh("ada", &["ed25519"]);
    stage.allow(&format!("ada {line}\n"));
    let mail = |text: &str| stage.keys.ssh_sign("ada", "mail", text.as_bytes());
    stage.refuses(&stage.with_signature(mail), "bad-signature", "for the namespace `mail`");
    stage.allow(&format!("ada namespaces=\"mail\" {line}\n"));
    stage.keys.sign_ssh(&stage.repo.path, "ada");
    stage.refuses("HEAD", "unknown-signer", "may not sign commits");
}

#[test]
fn a_key_whose_time_is_over_or_has_not_come_is_refused_whatever_time_the_commit_claims() {
    if !can_sign(PROGRAMS) {
        return;
    }
    let stage = Stage::new();
    let line = stage.keys.ssh("ada", &["ed25519"]);
    // The commit is of 2023: what it claims lies within the key's time.
    stage.keys.sign_ssh(&stage.repo.path, "ada");
    stage.allow(&format!("ada valid-before=20240101Z {line}\n"));
    stage.refuses("HEAD", "unknown-signer", "may not sign any longer");
    stage.allow(&format!("ada valid-after=21000101Z {line}\n"));
    stage.refuses("HEAD", "unknown-signer", "may not sign yet");
    stage.allow(&format!("ada valid-after=20200101Z,valid-before=21000101Z {line}\n"));
    stage.trusts("HEAD");
}

#[test]
fn a_file_of_signers_that_can_t_be_used_allows_nobody_and_says_why() {
    if !can_sign(PROGRAMS) {
        return;
    }
    let mut stage = Stage::new();
    let line = stage.keys.ssh("ada", &["ed25519"]);
    stage.keys.sign_ssh(&stage.repo.path, "ada");
    stage.allow(&format!("ada {line}\n* cert-authority {line}\n"));
    let error = stage.judge("HEAD").unwrap_err().to_string();
    assert!(error.contains("line 2: `cert-authority` is not supported"), "{error}");
    stage.signatures.allowed_signers = Some(stage.keys.path("nowhere"));
    let error = stage.judge("HEAD").unwrap_err().to_string();
    assert!(error.contains("nowhere") && error.contains("can't be used"), "{error}");
    stage.signatures = Signatures { allowed_signers: None, openpgp_keys: Some("/nowhere".into()) };
    stage.refuses("HEAD", "unknown-signer", "no allowed_signers are set");
}

/// The stage with OpenPGP keys of these people in the keyring, armored one after the other.
fn with_gpg(people: &[(&str, &str, bool)]) -> Stage {
    let mut stage = Stage::new();
    for (who, expire, subkey) in people {
        stage.keys.gpg(who, expire, *subkey);
    }
    let blocks = people.iter().map(|(who, ..)| stage.keys.gpg_run(&["--armor", "--export", who]));
    fs::write(stage.keys.path("ring.asc"), blocks.collect::<String>()).unwrap();
    stage.signatures.openpgp_keys = Some(stage.keys.path("ring.asc"));
    stage
}

#[test]
fn a_commit_signed_with_an_openpgp_key_of_the_keyring_is_trusted_by_itself_and_by_its_subkey() {
    if !can_sign(GPG) {
        return;
    }
    let mut stage =
        with_gpg(&[("bob@example.net", "never", false), ("ada@example.net", "1y", true)]);
    for who in ["ada@example.net", "bob@example.net"] {
        stage.keys.sign_gpg(&stage.repo.path, who);
        stage.trusts("HEAD");
    }
    let binary = stage.keys.path("ring.gpg").display().to_string();
    stage.keys.gpg_run(&["--output", &binary, "--export"]);
    stage.signatures.openpgp_keys = Some(stage.keys.path("ring.gpg"));
    stage.trusts("HEAD");
    stage.keys.gpg("mallory@example.net", "never", false);
    stage.keys.sign_gpg(&stage.repo.path, "mallory@example.net");
    stage.refuses("HEAD", "unknown-signer", "is none of the keys");
    stage.signatures.openpgp_keys = None;
    stage.refuses("HEAD", "unknown-signer", "no openpgp_keys are set");
}

#[test]
fn a_commit_that_was_changed_after_an_openpgp_signature_is_refused() {
    if !can_sign(GPG) {
        return;
    }
    let stage = with_gpg(&[("ada@example.net", "never", false)]);
    let sign = |text: &str| {
        fs::write(stage.keys.path("text"), text).unwrap();
        let file = stage.keys.path("text").display().to_string();
        stage.keys.gpg_run(&["--armor", "--output", "-", "--detach-sign", &file])
    };
    stage.trusts(&stage.with_signature(sign));
    let other = |text: &str| sign(&text.replace("first", "what Ada meant"));
    stage.refuses(&stage.with_signature(other), "bad-signature", "does not fit its content");
    let nonsense =
        |_: &str| "-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----".into();
    stage.refuses(&stage.with_signature(nonsense), "bad-signature", "");
}

#[test]
fn an_openpgp_key_that_expired_or_was_revoked_is_refused() {
    if !can_sign(GPG) {
        return;
    }
    let stage =
        with_gpg(&[("ada@example.net", "never", true), ("bob@example.net", "never", false)]);
    let export = || {
        let keys = stage.keys.gpg_run(&["--armor", "--export"]);
        fs::write(stage.keys.path("ring.asc"), keys).unwrap();
    };
    let later = Timestamp(now().0 + 3 * 24 * 3600 * 1000);
    let then = || distrust(&stage.repo.path, "HEAD", &stage.signatures, later).unwrap();
    let bob = stage.keys.fingerprint("bob@example.net");
    stage.keys.sign_gpg(&stage.repo.path, "bob@example.net");
    assert_eq!(then(), None);
    stage.keys.gpg_run(&["--quick-set-expire", &bob, "1d"]);
    export();
    stage.trusts("HEAD");
    let told = then().unwrap();
    assert!(told.code == "unknown-signer" && told.message.contains("it has expired"), "{told:?}");
    // A subkey that expires; the key itself lasts, until it is revoked.
    let ada = stage.keys.fingerprint("ada@example.net");
    stage.keys.sign_gpg(&stage.repo.path, "ada@example.net");
    assert_eq!(then(), None);
    stage.keys.gpg_run(&["--quick-set-expire", &ada, "1d", "*"]);
    export();
    stage.trusts("HEAD");
    assert!(then().unwrap().message.contains("it has expired"));
    // gpg makes a certificate of revocation with each key; its armor is kept from use by a colon.
    let file = stage.keys.path(&format!("openpgp-revocs.d/{ada}.rev"));
    let text = fs::read_to_string(file).unwrap().replace(":-----BEGIN", "-----BEGIN");
    fs::write(stage.keys.path("revoke"), text).unwrap();
    stage.keys.gpg_run(&["--import", &stage.keys.path("revoke").display().to_string()]);
    export();
    stage.refuses("HEAD", "unknown-signer", "it was revoked");
}
