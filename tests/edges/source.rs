//! Snapshots from folders and from revisions.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::{fs, iter};

use gitsync::model::{Entry, MAX_FILE_BYTES};
use gitsync::source::{Ancestry, SourceError, ancestry, directory, revision};
use tempfile::tempdir;

use crate::repository::{Repo, commit_on, tree_with};

fn file(content: &str) -> Entry {
    Entry::File { content: content.as_bytes().to_vec(), executable: false }
}

#[test]
fn a_folder_outside_git_is_read_as_it_is() {
    let home = tempdir().unwrap();
    fs::write(home.path().join("fleet.yaml"), "version: 1\n").unwrap();
    fs::create_dir(home.path().join("nodes")).unwrap();
    fs::write(home.path().join("nodes/a.yaml"), "x").unwrap();
    fs::set_permissions(home.path().join("nodes/a.yaml"), fs::Permissions::from_mode(0o755))
        .unwrap();
    symlink("../../etc/passwd", home.path().join("out")).unwrap();
    let snapshot = directory(home.path()).unwrap();
    let names: Vec<_> = snapshot.entries.keys().map(String::as_str).collect();
    assert_eq!(names, ["fleet.yaml", "nodes/a.yaml", "out"]);
    assert_eq!(snapshot.entries["fleet.yaml"], file("version: 1\n"));
    assert!(matches!(snapshot.entries["nodes/a.yaml"], Entry::File { executable: true, .. }));
    assert_eq!(snapshot.entries["out"], Entry::Link("../../etc/passwd".to_owned()));
    assert_eq!((snapshot.commit, snapshot.dirty), (None, false));
}

#[test]
fn what_is_not_a_folder_is_told_apart() {
    let home = tempdir().unwrap();
    let path = home.path().join("file");
    assert!(matches!(directory(&path), Err(SourceError::Missing(_))));
    fs::write(&path, "").unwrap();
    assert!(matches!(directory(&path), Err(SourceError::NotADirectory(_))));
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let repo = Repo::new();
    let size = usize::try_from(MAX_FILE_BYTES).unwrap();
    repo.write("exact", vec![b'x'; size]).write("large", vec![b'x'; size + 1]);
    repo.commit("large files");
    for snapshot in [directory(&repo.path).unwrap(), revision(&repo.path, "HEAD").unwrap()] {
        assert_eq!(snapshot.entries["large"], Entry::TooLarge(MAX_FILE_BYTES + 1));
        assert_eq!(snapshot.content("exact").map(<[u8]>::len), Some(size));
    }
}

#[test]
fn a_clean_folder_is_its_commit() {
    let repo = Repo::new();
    repo.write("fleet/fleet.yaml", "version: 1\n").write("README", "other");
    symlink("fleet.yaml", repo.path.join("fleet/link")).unwrap();
    let id = repo.commit("fleet: first\n\nbody");
    let folder = repo.path.join("fleet");
    let disk = directory(&folder).unwrap();
    let objects = revision(&folder, "main").unwrap();
    assert_eq!(disk, objects);
    let commit = disk.commit.unwrap();
    assert_eq!((commit.id, commit.summary.as_str()), (id.to_string(), "fleet: first"));
    assert_eq!((commit.author.as_str(), commit.at.0), ("Ada", 1_700_000_000_000));
}

#[test]
fn any_difference_from_head_is_dirty_and_only_inside_the_folder() {
    let repo = Repo::new();
    repo.write("fleet/fleet.yaml", "a").write("other", "a").write("fleet/run", "a");
    repo.commit("first");
    let folder = repo.path.join("fleet");
    let dirty = || directory(&folder).unwrap().dirty;
    repo.write("other", "changed");
    assert!(!dirty());
    repo.write("fleet/new", "x");
    assert!(dirty());
    fs::remove_file(folder.join("new")).unwrap();
    assert!(!dirty());
    fs::set_permissions(folder.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(dirty());
    fs::set_permissions(folder.join("run"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::remove_file(folder.join("fleet.yaml")).unwrap();
    assert!(dirty());
}

#[test]
fn ignored_files_are_left_out_unless_tracked() {
    let repo = Repo::new();
    repo.write(".gitignore", "*.tmp\nbuild/\n").write("kept.tmp", "tracked").write("a", "a");
    let mut index = repo.git.index().unwrap();
    index.add_path(Path::new("kept.tmp")).unwrap();
    index.write().unwrap();
    repo.commit("first");
    repo.write("noise.tmp", "x").write("build/out", "x");
    let snapshot = directory(&repo.path).unwrap();
    let names: Vec<_> = snapshot.entries.keys().map(String::as_str).collect();
    assert_eq!(names, [".gitignore", "a", "kept.tmp"]);
    assert!(!snapshot.dirty);
}

#[test]
fn a_folder_that_its_repository_ignores_stands_for_itself() {
    let repo = Repo::new();
    repo.write(".gitignore", "/scratch\n").write("scratch/fleet.yaml", "a");
    repo.commit("first");
    let snapshot = directory(&repo.path.join("scratch")).unwrap();
    assert_eq!(snapshot.entries.len(), 1);
    assert_eq!((snapshot.commit, snapshot.dirty), (None, false));
}

#[test]
fn a_repository_without_a_commit_is_dirty() {
    let repo = Repo::new();
    repo.write("fleet.yaml", "a");
    let snapshot = directory(&repo.path).unwrap();
    assert_eq!((snapshot.commit, snapshot.dirty), (None, true));
}

#[test]
fn a_folder_not_yet_committed_is_dirty() {
    let repo = Repo::new();
    repo.write("README", "a");
    repo.commit("first");
    repo.write("fleet/fleet.yaml", "a");
    let snapshot = directory(&repo.path.join("fleet")).unwrap();
    assert!(snapshot.dirty && snapshot.commit.is_some());
}

#[test]
fn nested_repositories_and_submodules_are_not_entered() {
    let repo = Repo::new();
    repo.write("a", "a").write("inner/.git", "gitdir: ../x").write("inner/secret", "x");
    let snapshot = directory(&repo.path).unwrap();
    assert_eq!(snapshot.entries["inner"], Entry::Submodule);
    assert!(!snapshot.entries.contains_key("inner/secret"));
    let commit = repo.git.blob(b"stands for a commit").unwrap();
    let mut builder = repo.git.treebuilder(None).unwrap();
    builder.insert("sub", commit, 0o160_000).unwrap();
    repo.commit_tree(builder.write().unwrap(), "submodule");
    assert_eq!(revision(&repo.path, "HEAD").unwrap().entries["sub"], Entry::Submodule);
}

#[test]
fn revisions_are_read_without_a_checkout() {
    let repo = Repo::new();
    repo.write("fleet/fleet.yaml", "one");
    repo.commit("first");
    repo.write("fleet/fleet.yaml", "two");
    repo.commit("second");
    let old = revision(&repo.path.join("fleet"), "HEAD~1").unwrap();
    assert_eq!(old.entries["fleet.yaml"], file("one"));
    assert_eq!(fs::read_to_string(repo.path.join("fleet/fleet.yaml")).unwrap(), "two");
    fs::remove_dir_all(repo.path.join("fleet")).unwrap();
    let gone = revision(&repo.path.join("fleet"), "HEAD").unwrap();
    assert_eq!(gone.entries["fleet.yaml"], file("two"));
}

#[test]
fn a_revision_that_names_nothing_is_answered_with_the_branches() {
    let repo = Repo::new();
    repo.write("a", "a");
    repo.commit("first");
    let error = revision(&repo.path, "mian").unwrap_err();
    assert!(matches!(error, SourceError::NoRevision { .. }));
    assert!(error.to_string().contains("`main`"), "{error}");
    let error = revision(&repo.path.join("fleet"), "main").unwrap_err();
    assert!(matches!(error, SourceError::NoFolder { .. }), "{error}");
}

#[test]
fn outside_a_repository_a_revision_is_refused() {
    let home = tempdir().unwrap();
    let error = revision(home.path(), "main").unwrap_err();
    assert!(matches!(error, SourceError::NotARepository(_)), "{error}");
}

#[test]
fn links_in_commits_are_kept_as_written() {
    let repo = Repo::new();
    let tree = tree_with(&repo.git, "out", b"../../../etc/passwd", 0o120_000);
    repo.commit_tree(tree, "link");
    let snapshot = revision(&repo.path, "HEAD").unwrap();
    assert_eq!(snapshot.entries["out"], Entry::Link("../../../etc/passwd".to_owned()));
}

#[test]
fn a_tree_with_impossible_names_is_refused() {
    let repo = Repo::new();
    let blob = repo.git.blob(b"x").unwrap();
    let mut raw = b"100644 ../evil\0".to_vec();
    raw.extend_from_slice(blob.as_bytes());
    let odb = repo.git.odb().unwrap();
    let tree = odb.write(git2::ObjectType::Tree, &raw).unwrap();
    repo.commit_tree(tree, "evil");
    assert!(revision(&repo.path, "HEAD").is_err());
}

#[test]
fn a_tree_nested_without_end_is_refused() {
    let repo = Repo::new();
    let mut tree = tree_with(&repo.git, "a", b"x", 0o100_644);
    for _ in iter::repeat_n((), 80) {
        let mut builder = repo.git.treebuilder(None).unwrap();
        builder.insert("d", tree, 0o040_000).unwrap();
        tree = builder.write().unwrap();
    }
    repo.commit_tree(tree, "deep");
    let error = revision(&repo.path, "HEAD").unwrap_err();
    assert!(matches!(error, SourceError::TooMuch { .. }), "{error}");
}

#[test]
fn a_commit_follows_is_older_than_or_has_nothing_to_do_with_another() {
    let repo = Repo::new();
    repo.write("a", "1");
    let old = repo.commit("first");
    repo.write("a", "2");
    let new = repo.commit("second").to_string();
    repo.git.reference("refs/heads/side", old, true, "branches off").unwrap();
    let tree = tree_with(&repo.git, "a", b"3", 0o100_644);
    let side = commit_on(&repo.git, "refs/heads/side", tree, "side").to_string();
    let old = old.to_string();
    let of = |earlier: &str, wanted: &str| ancestry(&repo.path, earlier, wanted).unwrap();
    assert_eq!(of(&old, &new), Ancestry::Follows);
    assert_eq!(of(&old, "HEAD"), Ancestry::Follows);
    assert_eq!(of(&old, &old), Ancestry::Follows);
    assert_eq!(of(&new, &old), Ancestry::Older);
    assert_eq!(of(&new, &side), Ancestry::Diverged);
    for gone in ["0123456789012345678901234567890123456789", "main", "", "-x"] {
        assert_eq!(of(gone, &new), Ancestry::Gone, "{gone:?}");
    }
    assert!(matches!(ancestry(&repo.path, &old, "none"), Err(SourceError::NoRevision { .. })));
}

#[test]
fn a_shallow_clone_does_not_claim_to_know_what_it_does_not_reach() {
    let repo = Repo::new();
    repo.write("a", "1");
    let first = repo.commit("first").to_string();
    repo.write("a", "2");
    let second = repo.commit("second").to_string();
    let home = tempfile::tempdir().unwrap();
    let cloned = home.path().join("clone");
    let clone = git2::Repository::init(&cloned).unwrap();
    let tip = repo.git.head().unwrap().peel_to_commit().unwrap();
    let objects = repo.git.odb().unwrap();
    for id in [tip.id(), tip.tree_id()] {
        let object = objects.read(id).unwrap();
        clone.odb().unwrap().write(object.kind(), object.data()).unwrap();
    }
    fs::write(cloned.join(".git/shallow"), format!("{second}\n")).unwrap();
    let head = clone.find_reference("HEAD").unwrap();
    clone.reference(head.symbolic_target().unwrap().unwrap(), tip.id(), true, "cloned").unwrap();
    assert_eq!(ancestry(&cloned, &first, "HEAD").unwrap(), Ancestry::Shallow);
    assert_eq!(ancestry(&cloned, &second, "HEAD").unwrap(), Ancestry::Follows);
}
