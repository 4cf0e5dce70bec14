//! Secrets that stand in the repository as they are.

use super::codes;
use super::find::{Find, Origin};
use crate::check::document::escape;
use crate::diagnostic::{Diagnostic, Place};
use crate::model::{EnvValue, Fleet, Form};

/// Files longer than this are not looked through: 1 MiB.
const MAX_BYTES: usize = 1024 * 1024;
/// What tokens of well-known services begin with, and how many characters follow at least.
const TOKENS: [(&str, usize); 26] = [
    ("ghp_", 30),
    ("gho_", 30),
    ("ghu_", 30),
    ("ghs_", 30),
    ("ghr_", 30),
    ("github_pat_", 30),
    ("glpat-", 16),
    ("gldt-", 16),
    ("glrt-", 16),
    ("AKIA", 16),
    ("ASIA", 16),
    ("xoxb-", 16),
    ("xoxp-", 16),
    ("xoxa-", 16),
    ("xoxs-", 16),
    ("sk_live_", 16),
    ("rk_live_", 16),
    ("dckr_pat_", 20),
    ("npm_", 30),
    ("tskey-auth-", 16),
    ("tskey-api-", 16),
    ("hvs.", 20),
    ("AIza", 30),
    ("SG.", 40),
    ("pypi-AgE", 30),
    ("AGE-SECRET-KEY-1", 30),
];
/// Parts of names that secrets have.
const NAMES: [&str; 9] = [
    "password",
    "passwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "private_key",
    "access_key",
    "credential",
];
/// Ends of names that say where a secret is rather than what.
const ELSEWHERE: [&str; 6] = ["_file", "_path", "_url", "_id", "_name", "_user"];
const HINT: &str = "keep it encrypted: `gitsync secret add FILE.KEY`, then write `secret:FILE.KEY` here; \
                    and change it, as history keeps it";

/// GS0908: A secret that stands in the repository as it is.
pub(super) fn plain_secret(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for instance in &fleet.instances {
        let env = match &instance.form {
            Form::Image(container) => &container.env,
            Form::Process(form) => &form.env,
            Form::Compose(_) => continue,
        };
        for (key, value) in env {
            let EnvValue::Plain(value) = value else { continue };
            if let Some(what) = told(key, value) {
                let origin = Origin::Service(instance, format!("/env/{}", escape(key)));
                found.push(tell(&what, find.place(&origin)));
            }
        }
    }
    for (path, file) in fleet.files.iter().filter(|(_, file)| file.content.len() <= MAX_BYTES) {
        if let Ok(text) = std::str::from_utf8(&file.content) {
            found.extend(in_file(path, text));
        }
    }
    found
}

fn tell(what: &str, place: Place) -> Diagnostic {
    let message = format!("{what} stands here as it is");
    Diagnostic::warning(codes::PLAIN_SECRET, message, place).without_excerpt().hint(HINT)
}

/// What a variable is, when it is a secret.
fn told(name: &str, value: &str) -> Option<String> {
    known(value)
        .or_else(|| (is_named(name) && is_random(value)).then(|| format!("the secret `{name}`")))
}

fn in_file(path: &str, text: &str) -> Vec<Diagnostic> {
    let mut start = 0;
    let mut found = Vec::new();
    for (number, line) in text.split('\n').enumerate() {
        let assigned = || assignment(line).and_then(|(name, value)| told(name, value));
        if let Some(what) = known(line).or_else(assigned) {
            let place = Place {
                file: path.to_owned(),
                line: number + 1,
                column: 1,
                start,
                end: start + line.len(),
            };
            found.push(tell(&what, place));
        }
        start += line.len() + 1;
    }
    found
}

/// A token of a well-known form, or the beginning of a private key.
fn known(text: &str) -> Option<String> {
    if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY") {
        return Some("a private key".to_owned());
    }
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    text.split(|c| !letter(c)).find_map(|word| {
        let (prefix, _) = TOKENS.iter().find(|(prefix, rest)| {
            word.strip_prefix(prefix).is_some_and(|after| after.len() >= *rest && is_random(after))
        })?;
        Some(format!("a token that begins with `{prefix}`"))
    })
}

/// `name: value` and `name = value`, as many formats write them, unquoted.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once([':', '='])?;
    let name = name.trim().trim_start_matches("- ").trim_start_matches("export ");
    let name = name.trim_matches(['"', '\'']);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let value = value.trim().trim_end_matches(',').trim_matches(['"', '\'']);
    (!name.is_empty() && name.chars().all(plain)).then_some((name, value))
}

fn is_named(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    NAMES.iter().any(|part| name.contains(part)) && !ELSEWHERE.iter().any(|end| name.ends_with(end))
}

/// Whether a text looks made by chance rather than by a person: long, mixed, and hardly a letter twice.
fn is_random(value: &str) -> bool {
    let mixed =
        value.chars().any(|c| c.is_ascii_digit()) && value.chars().any(|c| c.is_ascii_alphabetic());
    let word = value.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '$' | '{' | '}'));
    let path = value.starts_with('/') || value.contains("://") || value.starts_with("ENC[");
    value.len() >= 16 && mixed && word && !path && entropy(value) >= 3.2
}

/// Bits per character, after Shannon.
fn entropy(value: &str) -> f64 {
    let mut counts = std::collections::BTreeMap::<u8, f64>::new();
    value.bytes().for_each(|byte| *counts.entry(byte).or_default() += 1.0);
    let all: f64 = counts.values().sum();
    counts.values().map(|count| -(count / all) * (count / all).log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_well_known_forms_are_found_wherever_they_stand() {
        for line in [
            "token: ghp_1a2B3c4D5e6F7g8H9i0JkLmNoPqRsTuVwXy2",
            "curl -H 'Authorization: Bearer glpat-x8Kq2Vf9Lm3Rt7Yw1Zb5'",
            "AWS=AKIA2E7Q9XW4R5T1Y8UZ",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
        ] {
            assert!(known(line).is_some(), "{line}");
        }
        for line in ["ghp_ is a prefix", "AKIAAAAAAAAAAAAAAAAAAA", "npm_config_registry", "glpat-"]
        {
            assert_eq!(known(line), None, "{line}");
        }
    }

    #[test]
    fn only_random_values_under_names_of_secrets_count() {
        let random = "q8Zr2LkV0mXw7TfB";
        for name in ["DB_PASSWORD", "api-key", "client_secret", "apiToken"] {
            assert!(told(name, random).is_some(), "{name}");
        }
        for name in ["IMAGE", "PASSWORD_FILE", "SECRET_NAME", "TOKEN_URL"] {
            assert_eq!(told(name, random), None, "{name}");
        }
        for value in
            ["changeme", "${DB_PASSWORD}", "/run/secrets/db", "aaaaaaaaaaaaaaaa1", "see the wiki 4"]
        {
            assert_eq!(told("DB_PASSWORD", value), None, "{value}");
        }
    }

    #[test]
    fn a_line_of_any_file_that_assigns_one_is_told_with_its_number() {
        let text = "A=1\nexport DB_PASSWORD='q8Zr2LkV0mXw7TfB'\n  - API_TOKEN=q8Zr2LkV0mXw7TfB\n";
        let lines: Vec<usize> =
            in_file("x", text).iter().filter_map(|it| Some(it.place()?.line)).collect();
        assert_eq!(lines, [2, 3]);
    }
}
