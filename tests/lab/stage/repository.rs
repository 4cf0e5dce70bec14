//! The fleet's repository: a work tree at the controller, and a bare one that a daemon watches.

use std::fs;
use std::path::PathBuf;

use git2::{Repository, RepositoryInitOptions};

use super::Stage;
use crate::commit::commit_all;

impl Stage {
    /// The work tree.
    pub fn repository(&self) -> PathBuf {
        self.controller().join("fleet")
    }

    /// The bare repository that commits are pushed to.
    pub fn bare(&self) -> PathBuf {
        self.controller().join("fleet.git")
    }

    pub(super) fn make_repository(&self) {
        let mut options = RepositoryInitOptions::new();
        options.initial_head("main");
        Repository::init_opts(self.repository(), &options).unwrap();
        options.bare(true);
        Repository::init_opts(self.bare(), &options).unwrap();
        self.write(
            "fleet.yaml",
            "version: 1\nname: stage\ndomain: test\n\
             health: { interval: 500ms, timeout: 2s, retries: 8, stable_for: 2s }\n",
        );
        for host in self.lab.hosts() {
            self.write_node(host.name(), "");
        }
    }

    /// Writes a host's node file: user `deploy` with sudo, its host key pinned; `more` is added as it is.
    pub fn write_node(&self, name: &str, more: &str) {
        let host = self.host(name);
        let text = format!(
            "address: {address}\nssh: {{ host: {name}, user: deploy, sudo: true, identity: {identity}, \
             host_key: \"{key}\" }}\nboot: none\n{more}",
            address = host.address(),
            identity = self.lab.identity().display(),
            key = host.host_key().unwrap(),
        );
        self.write(&format!("nodes/{name}.yaml"), &text);
    }

    /// Writes a file of the fleet repository.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.repository().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Replaces a text that must be there.
    #[track_caller]
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let file = self.repository().join(path);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{path} has no `{from}`:\n{text}");
        fs::write(file, text.replace(from, to)).unwrap();
    }

    /// Removes a file of the fleet repository.
    pub fn remove(&self, path: &str) {
        fs::remove_file(self.repository().join(path)).unwrap();
    }

    /// Commits everything, and pushes it to the bare repository; the commit's id.
    pub fn commit(&self, message: &str) -> String {
        let id = commit_all(&self.repository(), message);
        let bare = self.bare();
        if bare.exists() {
            let repository = Repository::open(self.repository()).unwrap();
            let mut remote = repository.remote_anonymous(bare.to_str().unwrap()).unwrap();
            remote.push(&["+refs/heads/main"], None).unwrap();
        }
        id.to_string()
    }
}
