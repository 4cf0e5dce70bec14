//! `gitsync secret edit FILE`: a file in plain, in an editor, in memory only.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use crate::cli::context::Global;
use crate::cli::output;
use crate::cli::problem::Problem;
use crate::model::Name;
use crate::secrets::{SecretError, Unlocked};

use super::{Folder, file_name, now, opener, say};

/// What the command line says.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  gitsync secret edit db\n  EDITOR='code --wait' gitsync secret edit db"
)]
pub struct Edit {
    /// The file's name, as `db` for `secrets/db.yaml`
    #[arg(value_parser = file_name)]
    file: Name,
    /// Where no directory in memory is, put the plain file on a disk all the same
    #[arg(long)]
    on_disk: bool,
    #[command(flatten)]
    folder: Folder,
}

impl Edit {
    /// Edits the file.
    pub async fn run(&self, global: &Global) -> Result<u8, Problem> {
        let place = self.folder.file(&self.file);
        let Some(before) = place.read()? else {
            return Err(Problem::new(format!("there is no {}", place.shown))
                .hint(format!("`gitsync secret add {}.KEY` makes it", self.file)));
        };
        let unlocked = opener(global)?.unlock(&place.shown, &before)?;
        let desk = Desk::new(&unlocked.plain()?, &self.file, self.on_disk)?;
        let text = loop {
            desk.edit().await?;
            match desk.closed(&unlocked) {
                Ok(text) => break text,
                Err(Fault::Ours(problem)) => return Err(problem),
                Err(Fault::Theirs(error)) => {
                    anstream::eprintln!("error: {error}");
                    if !output::confirmed("Edit again?") {
                        return Err(Problem::new("nothing was changed"));
                    }
                }
            }
        };
        // Gone before anything else can fail.
        desk.clear()?;
        match text {
            Some(text) => {
                place.write(Some(&before), &text)?;
                say(global, &format!("{}: changed", place.shown));
            }
            None => say(global, &format!("{}: nothing changed", place.shown)),
        }
        Ok(0)
    }
}

/// Why what was edited can't be taken.
enum Fault {
    /// It can be edited again.
    Theirs(SecretError),
    Ours(Problem),
}

/// A private directory with the plain file; everything in it goes with this value.
struct Desk {
    folder: TempDir,
    file: PathBuf,
    plain: Zeroizing<String>,
}

impl Desk {
    fn new(plain: &str, name: &Name, on_disk: bool) -> Result<Self, Problem> {
        let folder = folder(on_disk)?;
        let file = folder.path().join(format!("{name}.yaml"));
        let mut options = OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(0o600).open(&file);
        opened.and_then(|mut file| file.write_all(plain.as_bytes())).map_err(Problem::from_io)?;
        Ok(Self { folder, file, plain: Zeroizing::new(plain.to_owned()) })
    }

    /// Runs the editor to its end. Ctrl-C is the editor's business; other signals end it.
    async fn edit(&self) -> Result<(), Problem> {
        let heard = |kind: SignalKind| signal(kind).map_err(Problem::from_io);
        let mut interrupt = heard(SignalKind::interrupt())?;
        let (mut terminate, mut hangup) =
            (heard(SignalKind::terminate())?, heard(SignalKind::hangup())?);
        let program = editor();
        // The shell splits what the variable says, and the file is one word.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("exec {program} \"$@\""), &program]).arg(&self.file);
        let mut child = command.kill_on_drop(true).spawn().map_err(Problem::from_io)?;
        loop {
            tokio::select! {
                status = child.wait() => return judged(status, &program),
                Some(()) = interrupt.recv() => {}
                _ = terminate.recv() => return Err(stopped(child).await),
                _ = hangup.recv() => return Err(stopped(child).await),
            }
        }
    }

    /// The file that what was edited makes; nothing when it is as before.
    fn closed(&self, unlocked: &Unlocked) -> Result<Option<String>, Fault> {
        let bytes = Zeroizing::new(fs::read(&self.file).map_err(|error| {
            Fault::Ours(Problem::new(format!("what was edited can't be read: {error}")))
        })?);
        if bytes.as_slice() == self.plain.as_bytes() {
            return Ok(None);
        }
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Fault::Ours(Problem::new("what was edited is not UTF-8 text")))?;
        unlocked.edited(text, now()).map(Some).map_err(Fault::Theirs)
    }

    fn clear(self) -> Result<(), Problem> {
        let path = self.folder.path().to_owned();
        self.folder.close().map_err(|error| {
            Problem::new(format!("the plain file in {} can't be removed: {error}", path.display()))
        })
    }
}

fn judged(status: io::Result<ExitStatus>, program: &str) -> Result<(), Problem> {
    let status = status.map_err(Problem::from_io)?;
    if status.success() {
        return Ok(());
    }
    let message = format!("the editor `{program}` failed ({status}): nothing was changed");
    Err(Problem::new(message).hint("set $VISUAL or $EDITOR to another one"))
}

/// Ends the editor, which may put its terminal in order before.
async fn stopped(mut child: Child) -> Problem {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended by itself.
        let _ = kill_process(pid, Signal::TERM);
        let _ = tokio::time::timeout(Duration::from_secs(2), child.wait()).await;
    }
    Problem::new("stopped while the editor ran: nothing was changed")
}

fn editor() -> String {
    let named = ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|it| !it.is_empty()));
    named.unwrap_or_else(|| "vi".to_owned())
}

/// A private directory in memory, or on a disk where that was asked for.
fn folder(on_disk: bool) -> Result<TempDir, Problem> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let places = runtime.into_iter().chain([PathBuf::from("/dev/shm")]);
    for place in places.filter(|place| place.is_absolute() && in_memory(place)) {
        if let Ok(folder) = private(&place) {
            return Ok(folder);
        }
    }
    if !on_disk {
        return Err(Problem::new(
            "there is no directory in memory: neither $XDG_RUNTIME_DIR nor /dev/shm is one",
        )
        .hint("with --on-disk the plain file lies in $TMPDIR or /tmp while it is edited"));
    }
    private(&std::env::temp_dir()).map_err(Problem::from_io)
}

fn private(place: &Path) -> io::Result<TempDir> {
    let private = fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().prefix("gitsync-secret-").permissions(private).tempdir_in(place)
}

fn in_memory(place: &Path) -> bool {
    const TMPFS: i128 = 0x0102_1994;
    const RAMFS: i128 = 0x8584_58f6;
    rustix::fs::statfs(place).is_ok_and(|it| matches!(i128::from(it.f_type), TMPFS | RAMFS))
}
