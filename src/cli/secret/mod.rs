//! `gitsync secret`: secrets files kept by those who don't have `sops`.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::model::{Name, Timestamp};
use crate::secrets::{Creations, Opener, Recipient};
use crate::settings::Flags;

use super::context::{self, Global};
use super::problem::Problem;

mod add;
mod edit;
mod rekey;
mod value;

/// Add, edit and rekey secrets: `secrets/*.yaml`, encrypted for age recipients in the format of SOPS.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct Secret {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Set one value; the file is made when it is not there
    ///
    /// The value is typed at a prompt that shows nothing, piped in, or read from a file, and is never an argument. One
    /// newline at its end is cut off. Everything else in the file keeps its ciphertext. A file that is not there is made,
    /// for the recipients that `.sops.yaml` says, else those of --recipient, else the one identity that is found here.
    Add(add::Add),
    /// Edit a file in plain with $VISUAL or $EDITOR
    ///
    /// The plain file lies in a private directory in memory, in $XDG_RUNTIME_DIR or /dev/shm, and is gone when the editor
    /// ends, however it ends. New comments are encrypted as values are. Anchors and aliases can't be kept.
    Edit(edit::Edit),
    /// Encrypt files for whom `.sops.yaml` says now; values stay as they are
    ///
    /// Values keep their ciphertext, so no unit changes. Who is no longer a recipient has seen the values: change those
    /// that matter. With --rotate the files get new data keys: every ciphertext is another, and every unit that uses one
    /// changes.
    Rekey(rekey::Rekey),
}

impl Secret {
    /// Runs the subcommand.
    pub async fn run(&self, global: &Global) -> Result<u8, Problem> {
        match &self.command {
            Command::Add(command) => command.run(global).await,
            Command::Edit(command) => command.run(global).await,
            Command::Rekey(command) => command.run(global),
        }
    }
}

/// Where the fleet is.
#[derive(Clone, Debug, Args)]
struct Folder {
    /// The fleet's folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    path: PathBuf,
}

/// A secrets file of a fleet.
struct Place {
    /// On this machine.
    path: PathBuf,
    /// As it is told: `secrets/db.yaml`.
    shown: String,
}

impl Folder {
    fn file(&self, name: &Name) -> Place {
        let shown = format!("secrets/{name}.yaml");
        Place { path: self.path.join(&shown), shown }
    }

    /// Every secrets file, sorted.
    fn files(&self) -> Result<Vec<Place>, Problem> {
        let folder = self.path.join("secrets");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(&folder, &error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| unreadable(&folder, &error))?.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(".yaml"));
            names.extend(stem.and_then(|stem| Name::new(stem).ok()));
        }
        names.sort();
        Ok(names.iter().map(|name| self.file(name)).collect())
    }

    /// The nearest `.sops.yaml` of the fleet.
    fn creations(&self) -> Result<Option<Creations>, Problem> {
        Ok(Creations::find(&self.path)?)
    }
}

impl Place {
    /// The bytes of the file; nothing when it is not there.
    fn read(&self) -> Result<Option<Vec<u8>>, Problem> {
        match fs::read(&self.path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(&self.path, &error)),
        }
    }

    /// As `.sops.yaml` matches it: from the root of this machine.
    fn absolute(&self) -> PathBuf {
        let folder = self.path.parent().and_then(Path::parent).unwrap_or(Path::new("."));
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        folder.join(&self.shown)
    }

    /// Puts a text in the file's place in one step, if the file still is what was read.
    fn write(&self, before: Option<&[u8]>, text: &str) -> Result<(), Problem> {
        if self.read()?.as_deref() != before {
            let message = format!("{} was changed by somebody else meanwhile", self.shown);
            return Err(Problem::new(message).hint("nothing was written; begin again"));
        }
        let wrong = |error: io::Error| Problem::new(format!("{}: {error}", self.shown));
        // Through a link: the file it leads to is replaced, not the link.
        let target = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        let folder = target.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(wrong)?;
        let mode = fs::metadata(&target).map_or(0o644, |meta| meta.permissions().mode() & 0o777);
        let mut file =
            tempfile::Builder::new().prefix(".secret-").tempfile_in(folder).map_err(wrong)?;
        file.write_all(text.as_bytes()).map_err(wrong)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(mode)).map_err(wrong)?;
        file.as_file().sync_all().map_err(wrong)?;
        file.persist(&target).map_err(|error| wrong(error.error))?;
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(wrong)
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem::new(format!("{} can't be read: {error}", path.display()))
}

/// The opener of this machine's keys; what is wrong with their files goes to standard error.
fn opener(global: &Global) -> Result<Opener, Problem> {
    let opener = Opener::new(global.settings(Flags::default())?.secrets);
    for warning in opener.warnings() {
        anstream::eprintln!("warning: {warning}");
    }
    Ok(opener)
}

fn now() -> Timestamp {
    context::clock().now()
}

/// A file by its name, or by its path in the fleet.
fn file_name(text: &str) -> Result<Name, String> {
    let inside = text.strip_prefix("./").unwrap_or(text);
    let inside = inside.strip_prefix("secrets/").unwrap_or(inside);
    let name = inside.strip_suffix(".yaml").unwrap_or(inside);
    Name::new(name).map_err(|error| format!("{error}; `db` is `secrets/db.yaml`"))
}

fn recipient(text: &str) -> Result<Recipient, String> {
    Recipient::parse(text)
}

/// Says what was done, unless that is not wanted.
fn say(global: &Global, text: &str) {
    if !global.quiet {
        anstream::println!("{text}");
    }
}
