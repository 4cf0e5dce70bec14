//! Mirrors of remotes: bare copies that follow, say what is wrong, and heal.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gitsync::settings::GitAccess;
use gitsync::source::{Ancestry, Mirror, SourceError};
use tempfile::{TempDir, tempdir};

use crate::repository::{Repo, commit_on, listing, tree_with};

async fn mirror(url: &str) -> (TempDir, Mirror) {
    let state = tempdir().unwrap();
    let mirror = Mirror::open(url, state.path(), GitAccess::default()).await.unwrap();
    (state, mirror)
}

fn copy(state: &Path) -> PathBuf {
    fs::read_dir(state).unwrap().next().unwrap().unwrap().path()
}

#[tokio::test]
async fn a_fetch_follows_pushes_and_forced_branches() {
    let repo = Repo::new();
    repo.write("fleet/fleet.yaml", "one");
    let first = repo.commit("first");
    for url in [repo.url(), format!("file://{}", repo.url())] {
        let (_state, mirror) = mirror(&url).await;
        mirror.fetch().await.unwrap();
        assert_eq!(mirror.tip("main").await.unwrap(), first.to_string());
        let snapshot = mirror.snapshot("main", "fleet").await.unwrap();
        assert_eq!(snapshot.content("fleet.yaml"), Some(&b"one"[..]));
        let other = tree_with(&repo.git, "fleet.yaml", b"two", 0o100_644);
        let forced = commit_on(&repo.git, "refs/heads/side", other, "side");
        mirror.fetch().await.unwrap();
        assert_eq!(mirror.tip("side").await.unwrap(), forced.to_string());
        repo.git.reference("refs/heads/side", first, true, "forced").unwrap();
        mirror.fetch().await.unwrap();
        assert_eq!(mirror.tip("side").await.unwrap(), first.to_string());
        repo.git.find_reference("refs/heads/side").unwrap().delete().unwrap();
        mirror.fetch().await.unwrap();
        assert!(matches!(mirror.tip("side").await, Err(SourceError::NoBranch { .. })));
        let follows = mirror.ancestry(&first.to_string(), "main").await.unwrap();
        assert_eq!(follows, Ancestry::Follows);
    }
}

#[tokio::test]
async fn an_unchanged_fetch_writes_nothing() {
    let repo = Repo::new();
    repo.write("a", "1");
    let id = repo.commit("first");
    let target = repo.git.find_object(id, None).unwrap();
    let who = git2::Signature::now("Ada", "ada@example.net").unwrap();
    repo.git.tag("v1", &target, &who, "annotated", false).unwrap();
    let (state, mirror) = mirror(&repo.url()).await;
    mirror.fetch().await.unwrap();
    let before = listing(state.path());
    mirror.fetch().await.unwrap();
    assert_eq!(listing(state.path()), before);
    assert_eq!(mirror.resolve("v1").await.unwrap(), id.to_string());
}

#[tokio::test]
async fn a_missing_branch_is_answered_with_those_there() {
    let repo = Repo::new();
    let (_state, empty) = mirror(&repo.url()).await;
    empty.fetch().await.unwrap();
    let error = empty.tip("main").await.unwrap_err();
    assert!(error.to_string().contains("push a commit"), "{error}");
    repo.write("a", "1");
    repo.commit("first");
    empty.fetch().await.unwrap();
    let error = empty.tip("master").await.unwrap_err();
    assert!(error.to_string().contains("`main`"), "{error}");
}

#[tokio::test]
async fn a_remote_that_is_not_there_is_told() {
    let home = tempdir().unwrap();
    let (_state, mirror) = mirror(&home.path().join("none").display().to_string()).await;
    let error = mirror.fetch().await.unwrap_err();
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_vanished_copy_is_fetched_again() {
    let repo = Repo::new();
    repo.write("a", "1");
    let id = repo.commit("first").to_string();
    let (state, mirror) = mirror(&repo.url()).await;
    mirror.fetch().await.unwrap();
    fs::remove_dir_all(copy(state.path())).unwrap();
    mirror.fetch().await.unwrap();
    assert_eq!(mirror.tip("main").await.unwrap(), id);
}

#[tokio::test]
async fn a_copy_that_lost_its_objects_is_fetched_again() {
    let repo = Repo::new();
    repo.write("a", "1");
    let id = repo.commit("first").to_string();
    let (state, mirror) = mirror(&repo.url()).await;
    mirror.fetch().await.unwrap();
    let objects = copy(state.path()).join("objects");
    fs::remove_dir_all(&objects).unwrap();
    fs::create_dir(&objects).unwrap();
    assert_eq!(mirror.tip("main").await.unwrap(), id);
    assert_eq!(mirror.snapshot(&id, "").await.unwrap().entries.len(), 1);
}

#[tokio::test]
async fn a_copy_with_damaged_objects_is_fetched_again() {
    let repo = Repo::new();
    repo.write("a", "1");
    let id = repo.commit("first").to_string();
    let (state, mirror) = mirror(&repo.url()).await;
    mirror.fetch().await.unwrap();
    for (path, size) in listing(&copy(state.path()).join("objects")) {
        let size = usize::try_from(size).unwrap();
        let _ = fs::remove_file(&path);
        fs::write(&path, vec![b'#'; size]).unwrap();
    }
    assert_eq!(mirror.snapshot(&id, "").await.unwrap().content("a"), Some(&b"1"[..]));
}

#[tokio::test]
async fn a_damaged_configuration_of_the_copy_is_no_obstacle() {
    let repo = Repo::new();
    repo.write("a", "1");
    let id = repo.commit("first").to_string();
    let (state, mirror) = mirror(&repo.url()).await;
    mirror.fetch().await.unwrap();
    fs::write(copy(state.path()).join("config"), "[core\n\0").unwrap();
    fs::write(copy(state.path()).join("HEAD"), "").unwrap();
    mirror.fetch().await.unwrap();
    assert_eq!(mirror.tip("main").await.unwrap(), id);
}

#[tokio::test]
async fn commits_stay_readable_after_the_remote_went() {
    let repo = Repo::new();
    repo.write("a", "1");
    let id = repo.commit("first").to_string();
    let (_state, mirror) = mirror(&repo.url()).await;
    mirror.fetch().await.unwrap();
    fs::remove_dir_all(&repo.path).unwrap();
    assert!(mirror.fetch().await.is_err());
    assert_eq!(mirror.snapshot(&id, "").await.unwrap().entries.len(), 1);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x.git", silent.local_addr().unwrap());
    let state = tempdir().unwrap();
    let access = GitAccess { timeout: Duration::from_millis(200), ..GitAccess::default() };
    let mirror = Mirror::open(&url, state.path(), access).await.unwrap();
    let began = Instant::now();
    let error = mirror.fetch().await.unwrap_err();
    assert!(matches!(error, SourceError::TimedOut { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn two_urls_have_two_copies_and_the_second_opening_fetches_nothing() {
    let (a, b) = (Repo::new(), Repo::new());
    a.write("a", "a");
    let id = a.commit("first").to_string();
    let state = tempdir().unwrap();
    let open = |url: String| {
        let state = state.path().to_owned();
        async move { Mirror::open(&url, &state, GitAccess::default()).await.unwrap() }
    };
    open(a.url()).await.fetch().await.unwrap();
    open(b.url()).await;
    assert_eq!(open(a.url()).await.tip("main").await.unwrap(), id);
    assert_eq!(fs::read_dir(state.path()).unwrap().count(), 2);
}
