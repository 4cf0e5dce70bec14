//! Makes small real Git repositories, without a `git` program.

use std::fs;
use std::path::{Path, PathBuf};

use git2::{Oid, Repository, RepositoryInitOptions, Signature, Time};
use tempfile::TempDir;

/// A repository with a working tree in a directory of its own.
pub struct Repo {
    _home: TempDir,
    pub path: PathBuf,
    pub git: Repository,
}

impl Repo {
    pub fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("repo");
        let mut options = RepositoryInitOptions::new();
        options.initial_head("main");
        let git = Repository::init_opts(&path, &options).unwrap();
        Self { _home: home, path, git }
    }

    pub fn write(&self, file: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Adds everything that is not ignored and commits it.
    pub fn commit(&self, message: &str) -> Oid {
        let mut index = self.git.index().unwrap();
        index.add_all(["*"], git2::IndexAddOption::DEFAULT, None).unwrap();
        index.update_all(["*"], None).unwrap();
        index.write().unwrap();
        let tree = index.write_tree().unwrap();
        self.commit_tree(tree, message)
    }

    pub fn commit_tree(&self, tree: Oid, message: &str) -> Oid {
        commit_on(&self.git, "HEAD", tree, message)
    }

    pub fn url(&self) -> String {
        self.path.display().to_string()
    }
}

/// Commits a tree on top of a reference of any repository, bare ones too.
pub fn commit_on(git: &Repository, reference: &str, tree: Oid, message: &str) -> Oid {
    let who = Signature::new("Ada", "ada@example.net", &Time::new(1_700_000_000, 0)).unwrap();
    let tree = git.find_tree(tree).unwrap();
    let parent = git.revparse_single(reference).ok().and_then(|it| it.peel_to_commit().ok());
    let parents: Vec<_> = parent.iter().collect();
    git.commit(Some(reference), &who, &who, message, &tree, &parents).unwrap()
}

/// A tree with one file.
pub fn tree_with(git: &Repository, file: &str, content: &[u8], mode: i32) -> Oid {
    let blob = git.blob(content).unwrap();
    let mut builder = git.treebuilder(None).unwrap();
    builder.insert(file, blob, mode).unwrap();
    builder.write().unwrap()
}

/// Every file below a directory with its size, to see whether something was written.
pub fn listing(path: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    let mut left = vec![path.to_owned()];
    while let Some(folder) = left.pop() {
        for item in fs::read_dir(folder).unwrap() {
            let item = item.unwrap();
            if item.file_type().unwrap().is_dir() {
                left.push(item.path());
            } else {
                found.push((item.path(), item.metadata().unwrap().len()));
            }
        }
    }
    found.sort();
    found
}
