//! `gitsync schema`: the JSON Schemas of the repository's files, of saved plans and of notifications.

use std::path::PathBuf;

use clap::Args;

use crate::{check, notify, plan};

use super::problem::Problem;

/// Print the JSON Schemas of the repository's files, of saved plans and of notifications.
#[derive(Debug, Args)]
pub struct Schema {
    /// Only this kind: fleet, node, service, gateway, sync, bundle, plan or notification
    kind: Option<String>,
    /// Write `<kind>.json` for each into this directory instead
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Schema {
    /// Prints or writes the schemas.
    pub fn run(&self) -> Result<u8, Problem> {
        let mut schemas = check::schema::schemas();
        schemas.insert("plan", plan::saved_schema());
        schemas.insert("notification", notify::schema());
        if let Some(kind) = &self.kind {
            let known = schemas.keys().copied().collect::<Vec<_>>().join(", ");
            schemas.retain(|name, _| name == kind);
            if schemas.is_empty() {
                return Err(Problem::new(format!("there is no kind `{kind}`"))
                    .hint(format!("kinds are {known}")));
            }
        }
        match &self.out {
            Some(directory) => self.write(directory, &schemas),
            None => print(&schemas),
        }
    }

    fn write(&self, directory: &std::path::Path, schemas: &Schemas) -> Result<u8, Problem> {
        std::fs::create_dir_all(directory)?;
        for (name, schema) in schemas {
            let text = serde_json::to_string_pretty(schema)?;
            std::fs::write(directory.join(format!("{name}.json")), text + "\n")?;
        }
        Ok(0)
    }
}

type Schemas = std::collections::BTreeMap<&'static str, serde_json::Value>;

fn print(schemas: &Schemas) -> Result<u8, Problem> {
    let text = match schemas.values().next() {
        Some(only) if schemas.len() == 1 => serde_json::to_string_pretty(only)?,
        _ => serde_json::to_string_pretty(schemas)?,
    };
    anstream::println!("{text}");
    Ok(0)
}
