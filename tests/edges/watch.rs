//! Watching local repositories.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use git2::Repository;
use gitsync::source::Watch;
use tempfile::tempdir;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::timeout;

use crate::repository::{Repo, commit_on, tree_with};

async fn told(look: &mut Receiver<()>) -> bool {
    timeout(Duration::from_secs(10), look.recv()).await.is_ok_and(|it| it.is_some())
}

#[tokio::test]
async fn a_commit_is_told_once_and_a_file_is_not() {
    let repo = Repo::new();
    repo.write("a", "1");
    repo.commit("first");
    let (tell, mut look) = channel(8);
    let _watch = Watch::new(&repo.path, tell).unwrap();
    repo.write("a", "2");
    repo.commit("second");
    assert!(told(&mut look).await);
    repo.write("b", "working tree only");
    let more = timeout(Duration::from_millis(700), look.recv()).await;
    assert!(more.is_err(), "one burst gives one message");
}

#[tokio::test]
async fn a_push_to_a_bare_repository_is_told_on_new_branches_too() {
    let home = tempdir().unwrap();
    let bare = Repository::init_bare(home.path()).unwrap();
    let (tell, mut look) = channel(8);
    let _watch = Watch::new(home.path(), tell).unwrap();
    for branch in ["refs/heads/main", "refs/heads/team/topic"] {
        let tree = tree_with(&bare, "a", branch.as_bytes(), 0o100_644);
        commit_on(&bare, branch, tree, "x");
        assert!(told(&mut look).await, "{branch}");
    }
}

#[tokio::test]
async fn a_dropped_watch_ends_the_stream() {
    let repo = Repo::new();
    let (tell, mut look) = channel(1);
    let watch = Watch::new(&repo.path, tell).unwrap();
    drop(watch);
    let end = timeout(Duration::from_secs(10), look.recv()).await;
    assert_eq!(end, Ok(None));
}

#[test]
fn what_is_no_repository_can_not_be_watched() {
    let home = tempdir().unwrap();
    fs::write(home.path().join("x"), "").unwrap();
    let (tell, _look) = channel(1);
    assert!(Watch::new(&PathBuf::from(home.path()), tell).is_err());
}
