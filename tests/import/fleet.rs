//! A fresh fleet repository, a stack beside it, and the programs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Everything of one import; gone when it is dropped.
pub struct Fleet {
    home: tempfile::TempDir,
    folder: String,
}

impl Fleet {
    /// A repository with one node, and a copy of a stack in a folder of this name.
    pub fn new(stack: &Path, folder: &str) -> Self {
        let home = tempfile::Builder::new().prefix("gitsync-import-test-").tempdir().unwrap();
        let fleet = Self { home, folder: folder.to_owned() };
        fleet.write("fleet.yaml", "version: 1\nname: home\n");
        let node = "address: 192.0.2.10\nssh: { host: vps1.example.net, user: root }\n";
        fleet.write("nodes/vps1.yaml", node);
        copy(stack, &fleet.stack());
        for name in ["import.args", "expected"] {
            let _ = fs::remove_file(fleet.stack().join(name));
        }
        crate::commit::commit_all(&fleet.repository(), "first");
        fleet
    }

    pub fn home(&self) -> PathBuf {
        self.home.path().canonicalize().unwrap()
    }

    pub fn repository(&self) -> PathBuf {
        self.home().join("fleet")
    }

    /// Where the stack lies.
    pub fn stack(&self) -> PathBuf {
        self.home().join("stacks").join(&self.folder)
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.repository().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs gitsync in the repository.
    pub fn gitsync(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gitsync"));
        command.args(arguments).current_dir(self.repository());
        self.plain(&mut command).output().unwrap()
    }

    /// `gitsync import compose` of the stack.
    pub fn import(&self, arguments: &[&str]) -> Output {
        let stack = self.stack();
        let stack = stack.to_str().unwrap();
        let all = [&["import", "compose", stack, "--node", "vps1"], arguments].concat();
        self.gitsync(&all)
    }

    /// What docker compose makes of files in a directory; none when it refuses.
    pub fn config(&self, directory: &Path, arguments: &[&str]) -> Result<Value, String> {
        let mut command = Command::new("docker");
        command.current_dir(directory).arg("compose").args(arguments);
        command.args(["--profile", "*", "config", "--format", "json"]);
        let said = self.plain(&mut command).output().unwrap();
        let complaints = String::from_utf8_lossy(&said.stderr).into_owned();
        if !said.status.success() || complaints.contains("variable is not set") {
            return Err(complaints);
        }
        Ok(serde_json::from_slice(&said.stdout).unwrap())
    }

    /// The hash of every service, by which compose tells whether a container has to be made anew.
    pub fn hashes(&self, directory: &Path, arguments: &[&str]) -> String {
        let mut command = Command::new("docker");
        command.current_dir(directory).arg("compose").args(arguments);
        command.args(["--profile", "*", "config", "--hash", "*"]);
        let said = self.plain(&mut command).output().unwrap();
        assert!(said.status.success(), "{}", text(&said.stderr));
        text(&said.stdout)
    }

    fn plain<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        command.env_clear().env("PATH", path).env("HOME", self.home()).stdin(Stdio::null())
    }

    /// Names of the services in the repository.
    pub fn services(&self) -> Vec<String> {
        let Ok(listing) = fs::read_dir(self.repository().join("services")) else {
            return Vec::new();
        };
        listing.map(|item| item.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// Fails when docker compose is not here: nothing would be proven.
pub fn compose_is_here() {
    let said = Command::new("docker").args(["compose", "version"]).output();
    let there = said.is_ok_and(|said| said.status.success());
    assert!(there, "`docker compose` is not here, and without it nothing is proven");
}

/// Copies a directory with everything in it.
pub fn copy(from: &Path, to: &Path) {
    for (path, content) in files(from) {
        let target = to.join(path);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, content).unwrap();
    }
}

/// All files of a directory, by their paths in it.
pub fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for item in fs::read_dir(next).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let below = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
                found.insert(below, fs::read(path).unwrap());
            }
        }
    }
    found
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
