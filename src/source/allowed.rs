//! SSH signatures of commits, and the file of allowed signers as ssh-keygen(1) has it.

use std::path::Path;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use ssh_key::{Algorithm, HashAlg, PublicKey, SshSig};

use crate::model::Timestamp;

use super::SourceError;
use super::signature::{Distrust, signers};

/// What Git signs commits for.
const NAMESPACE: &str = "git";

/// One line of the file.
#[derive(Debug)]
struct Line {
    number: usize,
    principals: String,
    namespaces: Option<String>,
    /// Seconds since 1970; from then on.
    after: Option<i64>,
    /// Seconds since 1970; until then.
    before: Option<i64>,
    key: PublicKey,
}

/// Judges a signature over `signed` by the allowed signers in `text`, the content of `file`.
pub(super) fn judge(
    signature: &str,
    signed: &[u8],
    text: &str,
    file: &Path,
    now: Timestamp,
) -> Result<Result<(), Distrust>, SourceError> {
    let lines = lines(text).map_err(|message| signers(file, message))?;
    let seconds = i64::try_from(now.0 / 1000).unwrap_or(i64::MAX);
    Ok(genuine(signature, signed).and_then(|key| may_sign(&key, &lines, seconds)))
}

/// The key whose holder made the signature over exactly these bytes.
fn genuine(signature: &str, signed: &[u8]) -> Result<PublicKey, Distrust> {
    let signature = SshSig::from_pem(signature.trim_start())
        .map_err(|error| Distrust::bad(format!("its SSH signature can't be read ({error})")))?;
    if signature.namespace() != NAMESPACE {
        let message = format!(
            "its SSH signature was made for the namespace `{}`, not `{NAMESPACE}`",
            signature.namespace()
        );
        return Err(Distrust::bad(message));
    }
    if matches!(signature.algorithm(), Algorithm::Dsa | Algorithm::Rsa { hash: None }) {
        return Err(Distrust::bad("its SSH signature rests on SHA-1"));
    }
    let key = PublicKey::from(signature.public_key().clone());
    key.verify(NAMESPACE, signed, &signature)
        .map_err(|_| Distrust::bad("its SSH signature does not fit its content"))?;
    Ok(key)
}

fn may_sign(key: &PublicKey, lines: &[Line], now: i64) -> Result<(), Distrust> {
    let print = key.fingerprint(HashAlg::Sha256);
    let own = lines.iter().filter(|line| line.key.key_data() == key.key_data());
    let mut reason = format!("the SSH key {print} is none of the allowed signers");
    for line in own {
        let who = format!("the SSH key {print} of {}", line.principals);
        let namespace = line.namespaces.as_deref().is_none_or(|list| listed(list, NAMESPACE));
        if !namespace {
            reason = format!("{who} may not sign commits (namespaces, line {})", line.number);
        } else if line.after.is_some_and(|after| now < after) {
            reason = format!("{who} may not sign yet (valid-after, line {})", line.number);
        } else if line.before.is_some_and(|before| now >= before) {
            reason = format!("{who} may not sign any longer (valid-before, line {})", line.number);
        } else {
            return Ok(());
        }
    }
    Err(Distrust::unknown(reason))
}

/// Every line that is not empty or a comment; the first that can't be used spoils the file, as it may be the one
/// that says less than was meant.
fn lines(text: &str) -> Result<Vec<Line>, String> {
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let meant = numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    meant
        .map(|(number, line)| read(number, line).map_err(|e| format!("line {number}: {e}")))
        .collect()
}

fn read(number: usize, text: &str) -> Result<Line, String> {
    let (principals, rest) = word(text);
    let principals = principals.replace('"', "");
    let (options, key) = match PublicKey::from_openssh(rest) {
        Ok(key) => (String::new(), key),
        Err(_) => {
            let (options, rest) = word(rest);
            let key = PublicKey::from_openssh(rest);
            let key = key.map_err(|_| format!("no public key that is known here: `{rest}`"))?;
            (options, key)
        }
    };
    let (namespaces, after, before) = (None, None, None);
    let mut line = Line { number, principals, namespaces, after, before, key };
    split(&options, ',').into_iter().try_for_each(|option| line.option(&option))?;
    Ok(line)
}

impl Line {
    fn option(&mut self, option: &str) -> Result<(), String> {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let value = value.trim_matches('"');
        match name.to_ascii_lowercase().as_str() {
            "namespaces" => self.namespaces = Some(value.to_owned()),
            "valid-after" => self.after = Some(time(value)?),
            "valid-before" => self.before = Some(time(value)?),
            "cert-authority" => {
                return Err(
                    "`cert-authority` is not supported: name the signers' own keys".to_owned()
                );
            }
            _ => return Err(format!("`{name}` is not an option of allowed signers")),
        }
        Ok(())
    }
}

/// The first word, in which quotes keep blanks, and what comes after it.
fn word(text: &str) -> (String, &str) {
    let mut quoted = false;
    let end = text.find(|c: char| {
        quoted ^= c == '"';
        !quoted && c.is_ascii_whitespace()
    });
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    (word.to_owned(), rest.trim_start())
}

/// Parts between separators outside quotes; none of an empty text.
fn split(text: &str, separator: char) -> Vec<String> {
    let mut quoted = false;
    let parts = text.split(|c: char| {
        quoted ^= c == '"';
        !quoted && c == separator
    });
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, local unless a `Z` follows; in seconds since 1970.
fn time(text: &str) -> Result<i64, String> {
    let wrong = || format!("`{text}` is not a time such as 20301231 or 203012311200Z");
    let (digits, zone) = match text.strip_suffix(['Z', 'z']) {
        Some(digits) => (digits, TimeZone::UTC),
        None => (text, TimeZone::system()),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let padded = match digits.len() {
        8 => format!("{digits}000000"),
        12 => format!("{digits}00"),
        14 => digits.to_owned(),
        _ => return Err(wrong()),
    };
    let time = DateTime::strptime("%Y%m%d%H%M%S", &padded).map_err(|_| wrong())?;
    Ok(time.to_zoned(zone).map_err(|_| wrong())?.timestamp().as_second())
}

/// Whether a list of patterns has a name: one that fits, and none with `!` that does.
fn listed(patterns: &str, name: &str) -> bool {
    let mut found = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(not) if fits(not.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => found |= fits(pattern.as_bytes(), name.as_bytes()),
        }
    }
    found
}

/// `*` stands for any text, `?` for one character.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            fits(rest, name) || name.split_first().is_some_and(|(_, name)| fits(pattern, name))
        }
        ([b'?', pattern @ ..], [_, name @ ..]) => fits(pattern, name),
        ([one, pattern @ ..], [other, name @ ..]) => one == other && fits(pattern, name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn one(line: &str) -> Result<Line, String> {
        lines(&format!("# people\n\n{line}\n")).map(|mut lines| lines.remove(0))
    }

    #[test]
    fn lines_are_read_as_ssh_keygen_reads_them() {
        let line = one(&format!("ada@example.net,bob@example.net {KEY} comment of two")).unwrap();
        assert_eq!((line.number, line.principals.as_str()), (3, "ada@example.net,bob@example.net"));
        assert!(line.namespaces.is_none() && line.after.is_none() && line.before.is_none());
        let options =
            "namespaces=\"file,git\",valid-after=20200101Z,valid-before=\"202101011200Z\"";
        let line = one(&format!("\"ada lovelace\" {options} {KEY}")).unwrap();
        assert_eq!(line.principals, "ada lovelace");
        assert_eq!(line.namespaces.as_deref(), Some("file,git"));
        assert_eq!((line.after, line.before), (Some(1_577_836_800), Some(1_609_502_400)));
    }

    #[test]
    fn a_line_that_can_t_be_used_spoils_the_file_and_is_named() {
        let bad = [
            (format!("* cert-authority {KEY}"), "line 3: `cert-authority` is not supported"),
            (format!("ada valid-before=soon {KEY}"), "`soon` is not a time"),
            (format!("ada valid-before=20301341 {KEY}"), "is not a time"),
            (format!("ada verify-required {KEY}"), "`verify-required` is not an option"),
            ("ada ssh-ed25519 AAAA".to_owned(), "no public key that is known here"),
            ("ada".to_owned(), "no public key"),
        ];
        for (line, words) in bad {
            let error = one(&line).unwrap_err();
            assert!(error.contains(words), "{line}: {error}");
        }
    }

    #[test]
    fn a_key_may_sign_within_its_time_and_for_its_namespaces() {
        let now = 1_700_000_000;
        let may = |options: &str| {
            let line = one(&format!("ada {options} {KEY}")).unwrap();
            let key = line.key.clone();
            may_sign(&key, &[line], now).map_err(|distrust| distrust.message)
        };
        for good in ["", "namespaces=\"git\"", "namespaces=\"f*,g?t\"", "valid-before=20301231Z"] {
            assert_eq!(may(good), Ok(()), "{good}");
        }
        for (bad, words) in [
            ("namespaces=\"file\"", "may not sign commits (namespaces, line 3)"),
            ("namespaces=\"*,!git\"", "may not sign commits"),
            ("valid-before=20200101Z", "may not sign any longer"),
            ("valid-after=20301231Z", "may not sign yet"),
        ] {
            assert!(may(bad).unwrap_err().contains(words), "{bad}");
        }
    }
}
