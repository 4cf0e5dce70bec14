//! `gitsync secret add FILE.KEY`: one value set.

use std::path::PathBuf;

use clap::Args;

use crate::cli::context::Global;
use crate::cli::problem::Problem;
use crate::model::Name;
use crate::secrets::{Creation, Opener, Recipient, created, stays_plain};

use super::{Folder, Place, file_name, now, opener, recipient, say, value};

/// What the command line says.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  gitsync secret add db.password\n  \
    openssl rand -base64 32 | gitsync secret add api.keys.session\n  \
    gitsync secret add tls.key --from-file key.pem --recipient age1…")]
pub struct Add {
    /// The file's name and the key in it, as `db.password` for `password` in `secrets/db.yaml`
    #[arg(value_name = "FILE.KEY", value_parser = target)]
    target: Target,
    /// Read the value from this file
    #[arg(long, value_name = "PATH")]
    from_file: Option<PathBuf>,
    /// Make a new file for this age or SSH public key; may be repeated
    #[arg(long, value_name = "KEY", value_parser = recipient)]
    recipient: Vec<Recipient>,
    #[command(flatten)]
    folder: Folder,
}

#[derive(Clone, Debug)]
struct Target {
    file: Name,
    keys: Vec<String>,
}

fn target(text: &str) -> Result<Target, String> {
    let Some((file, key)) = text.split_once('.') else {
        return Err(format!("name a key of the file as well, as `{text}.password`"));
    };
    let keys: Vec<String> = key.split('.').map(str::to_owned).collect();
    if keys.iter().any(|key| key.trim() != key || key.is_empty()) {
        return Err("a key between dots is empty or has spaces around it".to_owned());
    }
    Ok(Target { file: file_name(file)?, keys })
}

impl Add {
    /// Sets the value.
    pub async fn run(&self, global: &Global) -> Result<u8, Problem> {
        let opener = opener(global)?;
        let place = self.folder.file(&self.target.file);
        let before = place.read()?;
        let key = self.target.keys.join(".");
        let text = match &before {
            Some(before) => {
                self.refuse_recipients(&place)?;
                // Before anybody is asked for a value: the file may be closed to us.
                let unlocked = opener.unlock(&place.shown, before)?;
                let value = value::handed_over(self.from_file.as_deref(), &key).await?;
                unlocked.set(&self.target.keys, &value, now())?
            }
            None => {
                let creation = self.creation(&place, &opener)?;
                let value = value::handed_over(self.from_file.as_deref(), &key).await?;
                created(&place.shown, &self.target.keys, &value, &creation, now())?
            }
        };
        place.write(before.as_deref(), &text)?;
        if stays_plain(&text, &self.target.keys) {
            anstream::eprintln!(
                "warning: `{key}` stands in plain: the rule of the file does not encrypt it"
            );
        }
        say(global, &format!("{}: `{key}` is set", place.shown));
        Ok(0)
    }

    fn refuse_recipients(&self, place: &Place) -> Result<(), Problem> {
        if self.recipient.is_empty() {
            return Ok(());
        }
        let message =
            format!("{} is there already, and --recipient is for a new file", place.shown);
        Err(Problem::new(message).hint("to encrypt it for others, use `gitsync secret rekey`"))
    }

    fn creation(&self, place: &Place, opener: &Opener) -> Result<Creation, Problem> {
        if let Some(creations) = self.folder.creations()? {
            let creation = creations.of(&place.absolute())?;
            let same = self.recipient.iter().all(|one| creation.recipients.contains(one));
            if !same {
                let message = format!("{} says for whom the file is", creations.path().display());
                return Err(
                    Problem::new(message).hint("add the recipient there, or leave --recipient out")
                );
            }
            return Ok(creation);
        }
        if !self.recipient.is_empty() {
            return Ok(Creation::new(self.recipient.clone()));
        }
        let own = opener.recipients(&place.shown)?;
        let [only] = own.as_slice() else {
            let message = format!(
                "it is not said for whom {} is, and there are several identities here",
                place.shown
            );
            return Err(Problem::new(message).hint(format!(
                "pass --recipient, one or more of {}, or write a `.sops.yaml`",
                own.join(", ")
            )));
        };
        Ok(Creation::new(vec![Recipient::parse(only).map_err(Problem::new)?]))
    }
}
