//! What an import did, for people and for programs.

use serde::Serialize;

use crate::cli::context::Format;
use crate::cli::output;
use crate::cli::problem::Problem;
use crate::import::{Left, Proposal};
use crate::model::Entry;
use crate::report::lines::one_line;

use super::proof::Proof;

/// Everything that is told.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The stacks, in the order in which they were named.
    pub services: Vec<Told>,
    /// Whether the repository has them now.
    pub written: bool,
}

/// One stack.
#[derive(Debug, Serialize)]
pub struct Told {
    name: String,
    from: String,
    folder: String,
    node: String,
    project: String,
    directory: String,
    files: Vec<String>,
    left: Vec<Left>,
    remarks: Vec<String>,
    proof: Proof,
    service: String,
}

impl Told {
    /// A stack that is to go to `node`.
    pub fn new(proposal: &Proposal, from: String, node: &str, proof: Proof) -> Self {
        let service = match proposal.files.get("service.yaml") {
            Some(Entry::File { content, .. }) => String::from_utf8_lossy(content).into_owned(),
            _ => String::new(),
        };
        Self {
            name: proposal.name.to_string(),
            from,
            folder: format!("services/{}", proposal.name),
            node: node.to_owned(),
            project: proposal.project.clone(),
            directory: proposal.directory.to_string(),
            files: proposal.files.keys().cloned().collect(),
            left: proposal.left.clone(),
            remarks: proposal.remarks.clone(),
            proof,
            service,
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{}: service `{}` on {}, project `{}`, from {}\n",
            self.folder, self.name, self.node, self.project, self.from
        );
        text.push_str(&lines("has", self.files.iter().map(String::as_str)));
        text.push_str(&left(&self.left));
        text.push_str(&lines("note", self.remarks.iter().map(String::as_str)));
        text + match self.proof {
            Proof::Equal => "  proof  `docker compose config` makes the same of both\n",
            Proof::NotProven => "  proof  none: `docker compose` is not on this machine\n",
        }
    }
}

fn lines<'a>(word: &str, all: impl Iterator<Item = &'a str>) -> String {
    all.map(|line| format!("  {word:<6} {}\n", one_line(line))).collect()
}

/// What stays where it is.
pub fn left(all: &[Left]) -> String {
    let told: Vec<String> =
        all.iter().map(|it| format!("./{}: {}; {}", it.path, it.why, it.todo)).collect();
    lines("left", told.iter().map(String::as_str))
}

impl Report {
    /// Prints it.
    pub fn print(&self, format: Format, quiet: bool) -> Result<u8, Problem> {
        match format {
            Format::Json => return output::json(self),
            Format::Text if quiet => {}
            Format::Text => {
                let text: String = self.services.iter().map(Told::text).collect();
                let end = if self.written {
                    "Written. Look at it, commit it, and `gitsync plan` shows what it would change.\n"
                } else {
                    "Nothing was written: `--dry-run`.\n"
                };
                anstream::print!("{text}{end}");
            }
        }
        Ok(0)
    }
}
