//! What a secret looks like in plain: names that secrets have, and tokens of well-known forms.

/// What tokens of well-known services begin with, and how many characters follow at least.
const TOKENS: [(&str, usize); 27] = [
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
    ("sk-", 20),
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
const PARTS: [&str; 12] = [
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "SECRET",
    "TOKEN",
    "APIKEY",
    "API_KEY",
    "PRIVATE_KEY",
    "ACCESS_KEY",
    "AUTHKEY",
    "AUTH_KEY",
    "CREDENTIAL",
];
/// Their ends.
const ENDS: [&str; 4] = ["_PASS", "_PW", "_KEY", "_DSN"];
/// Ends of names that only say where a secret is, or something about it.
const ABOUT: [&str; 12] = [
    "_FILE", "_PATH", "_DIR", "_URL", "_NAME", "_USER", "_TTL", "_LENGTH", "_EXPIRY", "_EXPIRES",
    "_ID", "_ENABLED",
];

/// Whether a variable or key is named as those that hold secrets, however it is written.
pub fn names_a_secret(name: &str) -> bool {
    let mut plain = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && plain.ends_with(|before: char| before.is_ascii_lowercase()) {
            plain.push('_');
        }
        plain.push(if matches!(c, '-' | '.') { '_' } else { c });
    }
    let name = plain.to_ascii_uppercase();
    let named =
        PARTS.iter().any(|part| name.contains(part)) || ENDS.iter().any(|end| name.ends_with(end));
    named && !ABOUT.iter().any(|end| name.ends_with(end))
}

/// The beginning of a token of a well-known form, wherever it stands in a text.
pub fn token(text: &str) -> Option<&'static str> {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    text.split(|c| !letter(c)).find_map(|word| {
        let (prefix, _) = TOKENS.iter().find(|(prefix, rest)| {
            word.strip_prefix(prefix).is_some_and(|after| after.len() >= *rest && is_random(after))
        })?;
        Some(*prefix)
    })
}

/// Whether a text has the beginning of a private key.
pub fn private_key(text: &str) -> bool {
    text.lines().any(|line| line.contains("-----BEGIN ") && line.contains("PRIVATE KEY"))
}

/// Whether a text looks made by chance rather than by a person: long, mixed, and hardly a letter twice.
pub fn is_random(value: &str) -> bool {
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
        ] {
            assert!(token(line).is_some(), "{line}");
        }
        for line in
            ["ghp_ is a prefix", "AKIAAAAAAAAAAAAAAAAAAA", "npm_config_registry", "glpat-", "sk-ip"]
        {
            assert_eq!(token(line), None, "{line}");
        }
        assert!(private_key("a\n-----BEGIN OPENSSH PRIVATE KEY-----\n"));
        assert!(!private_key("-----BEGIN CERTIFICATE-----"));
    }

    #[test]
    fn names_of_secrets_are_known_however_they_are_written() {
        for name in
            ["DB_PASSWORD", "api-key", "client_secret", "apiToken", "SMTP_PASS", "secretKey"]
        {
            assert!(names_a_secret(name), "{name}");
        }
        for name in ["IMAGE", "PASSWORD_FILE", "SECRET_NAME", "TOKEN_URL", "tokenTtl", "keys"] {
            assert!(!names_a_secret(name), "{name}");
        }
    }
}
