//! What looks like a secret, and would lie in Git in plain for good.

use super::{Bringing, Use, VARIABLES, dotenv};
use crate::check::plain;
use crate::model::Entry;

/// Whether a variable holds what must not be read by everybody.
fn is_secret(name: &str, value: &str) -> bool {
    let value = value.trim().trim_matches(['"', '\'']);
    if plain::token(value).is_some() || value.starts_with("-----BEGIN") {
        return true;
    }
    let harmless = matches!(
        value.to_ascii_lowercase().as_str(),
        "" | "yes" | "no" | "true" | "false" | "null" | "~"
    );
    if harmless || value.starts_with(['$', '/', '[', '{', '|', '>', '&', '*']) {
        return false;
    }
    let login = value.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
    let inner = login.and_then(|(login, _)| login.split_once(':'));
    if inner
        .is_some_and(|(_, word)| !word.is_empty() && !word.starts_with('$') && !word.contains('/'))
    {
        return true;
    }
    plain::names_a_secret(name)
}

/// The secrets of a file of variables, by name.
fn of_variables(text: &str) -> Vec<String> {
    let all = dotenv::variables(text).into_iter();
    let secret = all.filter(|(name, value)| is_secret(name, value.as_deref().unwrap_or("?")));
    secret.map(|(name, _)| name).collect()
}

/// Whether a line of a compose file shows what must not be read by everybody.
pub fn shows_secret(line: &str) -> bool {
    !of_compose(line).is_empty()
}

/// The secrets written into a compose file: names in capitals with their values, line by line.
fn of_compose(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.trim_start().trim_start_matches("- ").trim_start_matches(['"', '\'']);
        let Some(end) = line.find(['=', ':']) else { continue };
        let name = line.get(..end).unwrap_or_default().trim_end_matches(['"', '\'']);
        let capital = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let value = line.get(end + 1..).unwrap_or_default();
        let value = value.split(" #").next().unwrap_or_default();
        if !name.is_empty() && name.chars().all(capital) && is_secret(name, value) {
            found.push(name.to_owned());
        }
    }
    found
}

/// Whether a file is a key by itself.
fn is_key(path: &str, content: &[u8]) -> bool {
    let text = String::from_utf8_lossy(content);
    plain::private_key(&text) || path.rsplit('/').next() == Some("acme.json")
}

impl Bringing<'_> {
    /// Leaves out what looks like a secret, unless it is wanted.
    pub(super) fn secrets(&mut self) {
        let wanted = self.gathered.compose.wanted.clone();
        let paths: Vec<String> = self.gathered.snapshot.entries.keys().cloned().collect();
        let mut taken = Vec::new();
        for path in paths {
            let uses: Vec<Use> =
                wanted.iter().filter(|(it, _)| *it == path).map(|(_, used)| *used).collect();
            let Some(why) = self.secret(&path, &uses) else { continue };
            if self.wish.with_secrets {
                taken.push(format!("`{path}`"));
            } else {
                self.without(&path, &uses, &why);
            }
        }
        if !taken.is_empty() {
            let all = taken.join(", ");
            self.out
                .remarks
                .push(format!("{all}: in plain in the repository, as `--with-secrets` asks"));
        }
    }

    /// Why a file looks like a secret.
    fn secret(&self, path: &str, uses: &[Use]) -> Option<String> {
        let Some(Entry::File { content, .. }) = self.gathered.snapshot.entries.get(path) else {
            return None;
        };
        let text = String::from_utf8_lossy(content);
        let named = |names: Vec<String>| {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            (!names.is_empty())
                .then(|| format!("it holds what looks like a secret: {}", names.join(", ")))
        };
        if uses.contains(&Use::Secret) {
            return Some("it is a secret of the compose file".to_owned());
        }
        if uses.contains(&Use::Compose) || self.picked.compose.iter().any(|file| file == path) {
            return named(of_compose(&text));
        }
        if is_key(path, content) {
            return Some("it is a private key".to_owned());
        }
        let variables = uses.iter().any(|used| matches!(used, Use::Variables | Use::Environment));
        if variables || path == VARIABLES || path.ends_with(".env") {
            return named(of_variables(&text));
        }
        None
    }

    /// A secret stays out, and what then has to be done is said.
    fn without(&mut self, path: &str, uses: &[Use], why: &str) {
        let take = "take it along in plain with `--with-secrets`";
        let there = self.on_node(path);
        if uses.contains(&Use::Compose) || self.picked.compose.iter().any(|file| file == path) {
            let hint = format!(
                "move it to a file that stays on the node, `env_file: [{{ path: secret.env, required: false }}]`, or \
                 {take}"
            );
            return self.refuse(format!("`{path}`: {why}"), hint);
        }
        self.gathered.snapshot.entries.remove(path);
        let todo = if uses.contains(&Use::Variables) {
            self.refuse(
                format!("`{path}` gives values to the compose file, and {why}"),
                format!(
                    "move the secrets to a file that stays on the node (`env_file: [{{ path: secret.env, required: \
                     false }}]`) and leave the rest in `{path}`, or {take}"
                ),
            );
            take.to_owned()
        } else if uses.contains(&Use::Environment) {
            format!(
                "keep it on the node as {there} and write `env_file: [{{ path: {path}, required: false }}]`, or {take}"
            )
        } else if uses.contains(&Use::Secret) {
            format!(
                "keep it on the node as {there} and mount it (`volumes: [\"./{path}:/run/secrets/NAME:ro\"]`) in the \
                 place of the secret, or {take}"
            )
        } else {
            format!("keep it on the node as {there}, or {take}")
        };
        self.leave(path, why, todo);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_call_secrets_looks_like_one_and_what_is_about_them_does_not() {
        for (name, value) in [
            ("POSTGRES_PASSWORD", "hunter2"),
            ("DB_PASS", "'x y'"),
            ("APP_KEY", "base64:abc="),
            ("DATABASE_URL", "postgres://app:pw@db/app"),
            ("X", "ghp_1a2B3c4D5e6F7g8H9i0JkLmNoPqRsTuVwXy2"),
            ("smtp_password", "1234"),
        ] {
            assert!(is_secret(name, value), "{name}={value}");
        }
        for (name, value) in [
            ("POSTGRES_PASSWORD", ""),
            ("POSTGRES_PASSWORD", "${DB_PASSWORD}"),
            ("POSTGRES_PASSWORD_FILE", "/run/secrets/db"),
            ("ALLOW_EMPTY_PASSWORD", "yes"),
            ("TOKEN_TTL", "3600"),
            ("AWS_ACCESS_KEY_ID", "x"),
            ("URL", "http://db:5432/a@b"),
            ("TZ", "Europe/Berlin"),
        ] {
            assert!(!is_secret(name, value), "{name}={value}");
        }
    }

    #[test]
    fn secrets_in_a_compose_file_are_found_in_lists_and_mappings() {
        let text = "services:\n  db:\n    environment:\n      POSTGRES_PASSWORD: \"x\"\n      - \"API_TOKEN=abc\"\n      \
                    OTHER_SECRET: ${X}\n    secrets: [token]\n  token:\n    image: a";
        assert_eq!(of_compose(text), ["POSTGRES_PASSWORD", "API_TOKEN"]);
    }
}
