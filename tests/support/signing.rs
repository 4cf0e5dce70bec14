//! Commits signed by the real programs: `ssh-keygen` and `gpg`, through `git`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::missing::nothing_is_missing;

/// Whether the programs are there that sign; else the caller's test is skipped or fails.
pub fn can_sign(programs: &[&str]) -> bool {
    // Those without `--version` say so; only one that is not there can't be started.
    let absent = |program: &&&str| {
        let mut asked = Command::new(program);
        asked.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        asked.status().is_err()
    };
    nothing_is_missing(&programs.iter().filter(absent).copied().collect::<Vec<_>>())
}

/// A home for keys; nothing of the user's own configuration is read.
pub struct Keys {
    home: tempfile::TempDir,
}

impl Keys {
    pub fn new() -> Self {
        // Short: sockets of gpg's agent have short names only.
        Self { home: tempfile::Builder::new().prefix("gs").tempdir_in("/tmp").unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.home.path())
            .env("GNUPGHOME", self.home.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let done = self.command(program).args(arguments).output().unwrap();
        let told = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{program} {arguments:?}: {told}");
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// Makes an SSH key of a type; its public line.
    pub fn ssh(&self, name: &str, kind: &[&str]) -> String {
        let path = self.path(name).display().to_string();
        let made = ["-q", "-N", "", "-C", "a comment", "-f", &path, "-t"];
        self.run("ssh-keygen", &[&made, kind].concat());
        std::fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap().trim().to_owned()
    }

    /// Signs text with an SSH key for a namespace; the armored signature.
    pub fn ssh_sign(&self, name: &str, namespace: &str, text: &[u8]) -> String {
        let file = self.path("to-sign");
        std::fs::write(&file, text).unwrap();
        let key = self.path(name).display().to_string();
        let signed = self.path("to-sign.sig");
        let _ = std::fs::remove_file(&signed);
        let file = file.display().to_string();
        self.run("ssh-keygen", &["-q", "-Y", "sign", "-f", &key, "-n", namespace, &file]);
        std::fs::read_to_string(signed).unwrap()
    }

    /// Makes an OpenPGP key that may sign, by itself or with a subkey, and lasts `1y`, `never`, …
    pub fn gpg(&self, who: &str, expire: &str, subkey: bool) {
        let usage = if subkey { "cert" } else { "sign" };
        self.gpg_run(&["--quick-generate-key", who, "ed25519", usage, expire]);
        if subkey {
            let print = self.fingerprint(who);
            self.gpg_run(&["--quick-add-key", &print, "ed25519", "sign", "never"]);
        }
    }

    pub fn fingerprint(&self, who: &str) -> String {
        let listed = self.gpg_run(&["--with-colons", "--list-keys", who]);
        let line = listed.lines().find(|line| line.starts_with("fpr")).unwrap();
        line.trim_matches(':').rsplit(':').next().unwrap().to_owned()
    }

    #[track_caller]
    pub fn gpg_run(&self, arguments: &[&str]) -> String {
        self.run("gpg", &[&["--batch", "--quiet", "--yes", "--passphrase", ""], arguments].concat())
    }

    /// Runs `git` in a repository as Ada.
    #[track_caller]
    pub fn git(&self, repository: &Path, arguments: &[&str]) -> String {
        let place = repository.display().to_string();
        let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.net", "-C", &place];
        self.run("git", &[&who, arguments].concat())
    }

    /// Makes the newest commit anew, signed with an SSH key.
    #[track_caller]
    pub fn sign_ssh(&self, repository: &Path, name: &str) -> String {
        let key = format!("user.signingkey={}", self.path(name).display());
        let how = ["-c", "gpg.format=ssh", "-c", &key];
        self.git(repository, &[&how[..], &["commit", "-q", "--amend", "--no-edit", "-S"]].concat());
        self.git(repository, &["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Makes the newest commit anew, signed with an OpenPGP key.
    #[track_caller]
    pub fn sign_gpg(&self, repository: &Path, who: &str) -> String {
        let key = format!("user.signingkey={who}");
        let how = ["-c", "gpg.format=openpgp", "-c", &key];
        self.git(repository, &[&how[..], &["commit", "-q", "--amend", "--no-edit", "-S"]].concat());
        self.git(repository, &["rev-parse", "HEAD"]).trim().to_owned()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // The agent that gpg started for this home.
        let _ = self.command("gpgconf").args(["--kill", "all"]).output();
    }
}
