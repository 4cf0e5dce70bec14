//! The texts that an import writes: `service.yaml`, and the file that brings compose files together.

use super::{Proposal, Wish};
use crate::model::Name;

/// The compose file that includes what was brought, where one file alone would not say it.
pub const WRAPPER: &str = "gitsync.compose.yaml";

/// Without `.env` none is read: one that lies on the node would else count.
pub(super) fn wrapper(compose: &[String], variables: bool) -> String {
    let files: Vec<String> = compose.iter().map(|file| quoted(file)).collect();
    let variables = if variables { ".env" } else { "/dev/null" };
    format!(
        "# Written by `gitsync import compose`: the compose files beside it, unchanged, as compose itself took them.\n\
         include:\n  - path: [{}]\n    project_directory: .\n    env_file: {variables}\n",
        files.join(", ")
    )
}

pub(super) fn about_wrapper(compose: &[String], variables: bool) -> String {
    let mut said = Vec::new();
    if let [first, more @ ..] = compose
        && !more.is_empty()
    {
        said.push(format!("merges {} over {first}", more.join(" and ")));
    }
    if variables {
        said.push("has the variables of `.env` put into what it includes".to_owned());
    }
    format!(
        "`{WRAPPER}` {}; the node needs Docker Compose 2.20 or later for it",
        said.join(" and ")
    )
}

/// What is taken over is found by its project and its folder; under others a second stack would stand beside it.
pub(super) fn about_adopting(of: &Proposal, node: &Name) -> String {
    format!(
        "taken over is what runs on {node} as project `{}` from {}; where `docker compose ls -a` tells others, \
         give them: `--project`, `--directory`",
        of.project, of.directory
    )
}

/// `own` is the project, and the last part of the directory, that the service has without being told.
pub(super) fn service(of: &Proposal, wish: &Wish, own: &str) -> String {
    let mut lines = vec![
        "# yaml-language-server: $schema=../../schema/service.json".to_owned(),
        format!("# {}: a stack that was there before, its compose file as it was.", of.name),
        format!("compose: {}", quoted(&of.compose)),
    ];
    if of.project != own {
        let why = "what its containers and volumes are known by";
        lines.push(format!("project: {} # {why}", quoted(&of.project)));
    }
    if let Some(directory) = &wish.directory {
        lines.push(format!("directory: {}", quoted(directory.as_str())));
    }
    lines.push(format!("placement: {{ on: [{}] }}", wish.node));
    if let Some(environment) = &wish.environment {
        lines.push(format!("environments: {{ {environment}: {{}} }}"));
    }
    if wish.adopt {
        lines.push("adopt: true # it runs there already and is taken over".to_owned());
    }
    lines.join("\n") + "\n"
}

/// A text as YAML takes it; quoted unless it can mean nothing else.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '-' | '_');
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let meant = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if word && text.chars().all(plain) && !meant.contains(&text) {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}
