//! Names of projects as compose makes them, and of services as a fleet takes them.

use super::gather::Gathered;
use super::{Picked, Refusal, Wish};
use crate::model::Name;

/// The project that compose would use: by flag, `.env`, the last file that names it, or the folder.
pub(super) fn project(
    gathered: &Gathered,
    picked: &Picked,
    wish: &Wish,
) -> Result<String, Refusal> {
    if let Some(project) = &wish.project {
        return Ok(project.clone());
    }
    let said = picked.variables.iter().rev().find(|(name, _)| name == "COMPOSE_PROJECT_NAME");
    let said = said.and_then(|(_, value)| value.clone()).filter(|value| !value.is_empty());
    let mut named = picked.compose.iter().rev();
    let named = named.find_map(|file| gathered.compose.names.get(file).cloned());
    let project = said.or(named).unwrap_or_else(|| normal(&picked.folder));
    if project.is_empty() {
        let message = format!("the folder's name `{}` makes no compose project", picked.folder);
        return Err(Refusal::new(message, "say what it was run as: `--project NAME`"));
    }
    Ok(project)
}

/// A folder's name as compose makes a project of it.
fn normal(folder: &str) -> String {
    let fine = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    let kept: String = folder.to_lowercase().chars().filter(fine).collect();
    kept.trim_start_matches(['_', '-']).to_owned()
}

/// A DNS label that is near a text; none when nothing of it can be one.
pub fn label(text: &str) -> Option<Name> {
    let fine = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let text: String = text.chars().map(fine).collect();
    let words: Vec<&str> = text.split('-').filter(|word| !word.is_empty()).collect();
    let text = words.join("-");
    let short = text.get(..text.len().min(63)).unwrap_or_default();
    Name::new(short.trim_end_matches('-')).ok()
}
