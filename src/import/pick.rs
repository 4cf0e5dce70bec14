//! Which files compose would take, as it is run without flags.

use super::{Files, Look, VARIABLES, dotenv};

/// Names that compose looks for, in its order.
pub const DEFAULTS: [&str; 4] =
    ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];

/// Names of what it merges over them, in its order.
const OVERRIDES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// The compose files of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picked {
    /// The name of the stack's folder.
    pub folder: String,
    /// The files, each merged over those before it.
    pub compose: Vec<String>,
    /// Whether compose takes exactly these by itself.
    pub by_itself: bool,
    /// What `.env` says.
    pub variables: Vec<(String, Option<String>)>,
}

/// The files of a stack: `first` with `more` merged over it, or what compose itself would take beside `first`.
pub fn pick(files: &dyn Files, folder: &str, first: &str, more: &[String]) -> Picked {
    let variables = match files.look(VARIABLES) {
        Look::File { content, .. } => dotenv::variables(&String::from_utf8_lossy(&content)),
        _ => Vec::new(),
    };
    let there = |name: &&&str| !matches!(files.look(name), Look::Nothing);
    let default = DEFAULTS.iter().find(there);
    let mut compose = vec![first.to_owned()];
    compose.extend_from_slice(more);
    let by_itself = more.is_empty() && default.is_some_and(|default| *default == first);
    if by_itself {
        match listed(&variables) {
            Some(listed) => compose = listed,
            None => compose.extend(OVERRIDES.iter().find(there).map(|name| (*name).to_owned())),
        }
    }
    Picked { folder: folder.to_owned(), compose, by_itself, variables }
}

/// `COMPOSE_FILE` of `.env`.
fn listed(variables: &[(String, Option<String>)]) -> Option<Vec<String>> {
    let value = |key: &str| {
        let found = variables.iter().rev().find(|(name, _)| name == key);
        found.and_then(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    };
    let separator = value("COMPOSE_PATH_SEPARATOR").unwrap_or_else(|| ":".to_owned());
    let files = value("COMPOSE_FILE")?;
    let clean = |file: &str| file.trim_start_matches("./").to_owned();
    Some(files.split(separator.as_str()).map(clean).collect())
}
