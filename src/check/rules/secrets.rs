//! Secrets that stand in the repository as they are.

use super::codes;
use super::find::{Find, Origin};
use crate::check::document::escape;
use crate::check::plain;
use crate::diagnostic::{Diagnostic, Place};
use crate::model::{EnvValue, Fleet, Form};

/// Files longer than this are not looked through: 1 MiB.
const MAX_BYTES: usize = 1024 * 1024;
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
    known(value).or_else(|| {
        (plain::names_a_secret(name) && plain::is_random(value))
            .then(|| format!("the secret `{name}`"))
    })
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
    if plain::private_key(text) {
        return Some("a private key".to_owned());
    }
    plain::token(text).map(|prefix| format!("a token that begins with `{prefix}`"))
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

#[cfg(test)]
mod tests {
    use super::*;

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
