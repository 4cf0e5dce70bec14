//! The controller's place: a home, the fleet's files, `gitsync` as a user calls it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::Stage;
pub use crate::said::Said;

impl Stage {
    /// The controller's directory; `home` in it is the user's.
    pub fn controller(&self) -> PathBuf {
        self.lab.place().join("controller")
    }

    pub(super) fn make_controller(&self) {
        fs::create_dir_all(self.controller().join("home/.ssh")).unwrap();
        fs::create_dir_all(self.repository()).unwrap();
        self.make_repository();
    }

    /// `gitsync` in the fleet's directory, with an empty environment and a home.
    pub fn gitsync(&self, arguments: &[&str]) -> Command {
        self.gitsync_of("home", arguments)
    }

    /// `gitsync` of another user of the controller's machine: other state, other journal.
    pub fn gitsync_of(&self, home: &str, arguments: &[&str]) -> Command {
        let home = self.controller().join(home);
        fs::create_dir_all(home.join(".ssh")).unwrap();
        let mut command = self.lab.command(env!("CARGO_BIN_EXE_gitsync"), &self.repository());
        command.args(arguments).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        // Root's own state directory is the machine's: every lab needs another one.
        command.env("GITSYNC_STATE", home.join("state")).env("HOME", home);
        command.env("GITSYNC_LOG", "gitsync=info,gitsync::source=debug").stdin(Stdio::null());
        command
    }

    /// Runs `gitsync` to its end.
    pub fn run(&self, arguments: &[&str]) -> Said {
        self.finish(arguments, &mut self.gitsync(arguments))
    }

    /// Runs a command of [`Stage::gitsync_of`] to its end.
    pub fn finish(&self, arguments: &[&str], command: &mut Command) -> Said {
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        let said = Said { code, out: text(&output.stdout), err: text(&output.stderr) };
        self.note(arguments, &said);
        said
    }

    /// Rolls the fleet out and insists on success.
    #[track_caller]
    pub fn apply(&self) -> Said {
        self.run(&["apply", "--yes"]).exits(0)
    }

    /// Keeps what a command said, for the case that the scenario fails.
    fn note(&self, arguments: &[&str], said: &Said) {
        use std::io::Write;
        let path = self.controller().join("commands.log");
        let mut file = fs::File::options().create(true).append(true).open(path).unwrap();
        let call = arguments.join(" ");
        let _ = writeln!(file, "$ gitsync {call}\n{}{}→ {}\n", said.out, said.err, said.code);
    }
}
