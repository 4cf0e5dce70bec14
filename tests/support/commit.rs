//! Commits of fleet repositories that tests write.

use std::path::Path;

use git2::{IndexAddOption, Oid, Repository, Signature};

/// Commits all files of a work tree, those that went too; the repository is made if it isn't there.
pub fn commit_all(path: &Path, message: &str) -> Oid {
    let repository = Repository::open(path).or_else(|_| Repository::init(path)).unwrap();
    let mut index = repository.index().unwrap();
    index.add_all(["*"], IndexAddOption::DEFAULT, None).unwrap();
    index.update_all(["*"], None).unwrap();
    index.write().unwrap();
    let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
    let who = Signature::now("A. Person", "person@example.net").unwrap();
    let tip = repository.head().and_then(|head| head.peel_to_commit()).ok();
    let parents: Vec<_> = tip.iter().collect();
    repository.commit(Some("HEAD"), &who, &who, message, &tree, &parents).unwrap()
}
