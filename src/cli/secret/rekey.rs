//! `gitsync secret rekey`: files encrypted for whom `.sops.yaml` says now.

use clap::Args;

use crate::cli::context::Global;
use crate::cli::problem::Problem;
use crate::model::Name;
use crate::secrets::{Creations, Opener, Recipient};

use super::{Folder, Place, file_name, now, opener, recipient, say};

/// What the command line says.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  gitsync secret rekey\n  gitsync secret rekey db api\n  \
    gitsync secret rekey --rotate db")]
pub struct Rekey {
    /// Only these files; all of `secrets/` when none is named
    #[arg(value_name = "FILE", value_parser = file_name)]
    files: Vec<Name>,
    /// Make new data keys as well
    #[arg(long)]
    rotate: bool,
    /// Encrypt for this age or SSH public key instead; may be repeated
    #[arg(long, value_name = "KEY", value_parser = recipient)]
    recipient: Vec<Recipient>,
    #[command(flatten)]
    folder: Folder,
}

/// A file and what it becomes.
struct Change {
    place: Place,
    before: Vec<u8>,
    text: String,
    was: Vec<String>,
    becomes: Vec<String>,
}

impl Rekey {
    /// Rewrites the files; when one of them can't be, none is.
    pub fn run(&self, global: &Global) -> Result<u8, Problem> {
        let opener = opener(global)?;
        let creations = self.folder.creations()?;
        let places = match self.files.as_slice() {
            [] => self.folder.files()?,
            names => names.iter().map(|name| self.folder.file(name)).collect(),
        };
        if places.is_empty() {
            return Err(Problem::new("there is no file in `secrets/`")
                .hint("`gitsync secret add db.password` makes one"));
        }
        let mut changes = Vec::new();
        for place in places {
            changes.extend(self.change(place, &opener, creations.as_ref(), global)?);
        }
        for change in &changes {
            change.place.write(Some(&change.before), &change.text)?;
            say(global, &told(change, self.rotate));
        }
        if self.rotate && !changes.is_empty() {
            say(global, "every unit that uses one of these values changes with the next rollout");
        }
        Ok(0)
    }

    fn change(
        &self,
        place: Place,
        opener: &Opener,
        creations: Option<&Creations>,
        global: &Global,
    ) -> Result<Option<Change>, Problem> {
        let Some(before) = place.read()? else {
            return Err(Problem::new(format!("there is no {}", place.shown)));
        };
        let unlocked = opener.unlock(&place.shown, &before)?;
        let was = unlocked.recipients()?;
        let recipients = self.recipients(&place, creations)?;
        let text = match self.rotate {
            true => Some(unlocked.rotated(&recipients, now())?),
            false => unlocked.rekeyed(&recipients)?,
        };
        let Some(text) = text else {
            say(global, &format!("{}: nothing to change", place.shown));
            return Ok(None);
        };
        let becomes = recipients.iter().map(ToString::to_string).collect();
        Ok(Some(Change { place, before, text, was, becomes }))
    }

    fn recipients(
        &self,
        place: &Place,
        creations: Option<&Creations>,
    ) -> Result<Vec<Recipient>, Problem> {
        if !self.recipient.is_empty() {
            return Ok(self.recipient.clone());
        }
        let Some(creations) = creations else {
            return Err(Problem::new("there is no `.sops.yaml` that says for whom files are")
                .hint("write one, or pass --recipient for everybody who may open them"));
        };
        Ok(creations.of(&place.absolute())?.recipients)
    }
}

fn told(change: &Change, rotate: bool) -> String {
    let only_in = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|one| !those.contains(one)).cloned().collect()
    };
    let mut parts = Vec::new();
    for one in only_in(&change.becomes, &change.was) {
        parts.push(format!("+ {one}"));
    }
    for one in only_in(&change.was, &change.becomes) {
        parts.push(format!("- {one}"));
    }
    if rotate {
        parts.push("a new data key".to_owned());
    }
    format!("{}: {}", change.place.shown, parts.join(", "))
}
