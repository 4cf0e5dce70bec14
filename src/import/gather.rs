//! Everything that compose reads in a stack's folder, found with the very reader that checks it afterwards.

use std::collections::{BTreeMap, BTreeSet};

use super::text::{WRAPPER, wrapper};
use super::{Files, Look, VARIABLES, plain};
use crate::check::compose::{Compose, Source, Use, read};
use crate::model::{Entry, Snapshot};

/// Files that a directory may have to be taken along.
pub(super) const MAX_FILES: usize = 400;
/// Bytes that they may have together.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// What compose reads.
#[derive(Default)]
pub(super) struct Gathered {
    /// The files, by their paths in the folder.
    pub snapshot: Snapshot,
    /// The compose file as it was read with them.
    pub compose: Compose,
    /// What could not be taken along, and why.
    pub left: Vec<(String, &'static str)>,
    /// Directories that images are built from and that are too large.
    pub too_much: BTreeSet<String>,
}

/// The files merged, with `.env`.
pub(super) fn wrapped(files: &dyn Files, compose: &[String]) -> Gathered {
    let mut found = Gathered::default();
    found.snapshot.entries.insert(WRAPPER.to_owned(), plain(&wrapper(compose, true)));
    found.fill(files, WRAPPER);
    found
}

/// One file, without variables.
pub(super) fn alone(files: &dyn Files, compose: &str) -> Gathered {
    let mut found = Gathered::default();
    found.take(files, compose);
    found.fill(files, compose);
    found
}

impl Gathered {
    /// Reads again and again until everything that is asked for was looked for: what is built from last, for data
    /// in it is known by then.
    fn fill(&mut self, files: &dyn Files, top: &str) {
        let none = BTreeMap::new();
        let mut seen = BTreeSet::new();
        loop {
            let source =
                Source { snapshot: &self.snapshot, folder: "", file: top, variables: &none };
            let (compose, _) = read(source);
            self.compose = compose;
            let mut fresh: Vec<(String, Use)> =
                self.compose.wanted.iter().filter(|it| !seen.contains(*it)).cloned().collect();
            if fresh.iter().any(|(_, used)| *used != Use::Build) {
                fresh.retain(|(_, used)| *used != Use::Build);
            }
            if fresh.is_empty() {
                return;
            }
            for (path, used) in fresh {
                if used == Use::Build && files.look(&path) == Look::Directory {
                    self.context(files, &path);
                } else {
                    self.take(files, &path);
                }
                seen.insert((path, used));
            }
        }
    }

    /// Takes a file along, if it can be.
    fn take(&mut self, files: &dyn Files, path: &str) {
        match files.look(path) {
            Look::File { content, executable } => {
                self.snapshot.entries.insert(path.to_owned(), Entry::File { content, executable });
            }
            Look::TooLarge(_) => self.left.push((path.to_owned(), "it has more than 1 MiB")),
            Look::Other(what) => self.left.push((path.to_owned(), what)),
            Look::Nothing | Look::Directory => {}
        }
    }

    /// What an image is built from, but for data, and for what `.dockerignore` names by its path.
    fn context(&mut self, files: &dyn Files, path: &str) {
        let mut without: BTreeSet<String> =
            super::data::written(&self.compose).into_keys().collect();
        let ignore = below(path, ".dockerignore");
        if let Look::File { content, .. } = files.look(&ignore) {
            let text = String::from_utf8_lossy(&content).into_owned();
            let named = text.lines().map(|line| line.trim().trim_matches('/'));
            let named =
                named.filter(|line| !line.is_empty() && !line.contains(['*', '?', '!', '#', '[']));
            without.extend(named.map(|name| below(path, name)));
        }
        if path.is_empty() {
            without.insert(VARIABLES.to_owned());
        }
        match tree(files, path, &without) {
            Some((entries, left)) => {
                self.snapshot.entries.extend(entries);
                self.left.extend(left);
            }
            None => drop(self.too_much.insert(path.to_owned())),
        }
    }

    /// Variables that the values of `env_file`s ask for.
    pub(super) fn names_in_env_files(&self) -> BTreeSet<String> {
        let used = self.compose.wanted.iter().filter(|(_, used)| *used == Use::Environment);
        let texts = used.filter_map(|(path, _)| self.snapshot.content(path));
        let mut found = BTreeSet::new();
        for text in texts.map(String::from_utf8_lossy) {
            for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
                let single =
                    line.split_once('=').is_some_and(|(_, it)| it.trim().starts_with('\''));
                let pieces = line.split('$').skip(1).filter(|_| !single);
                let names = pieces.map(|piece| {
                    let piece = piece.trim_start_matches('{');
                    let end = piece.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                    piece.get(..end.unwrap_or(piece.len())).unwrap_or_default().to_owned()
                });
                found.extend(names.filter(|name| !name.is_empty()));
            }
        }
        found
    }
}

pub(super) fn below(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

type Tree = (BTreeMap<String, Entry>, Vec<(String, &'static str)>);

/// All files of a directory without some; none when there are too many, or too large ones.
pub(super) fn tree(files: &dyn Files, path: &str, without: &BTreeSet<String>) -> Option<Tree> {
    let (mut entries, mut left, mut bytes) = (BTreeMap::new(), Vec::new(), 0);
    let mut open = vec![path.to_owned()];
    while let Some(directory) = open.pop() {
        for name in files.names(&directory) {
            let path = below(&directory, &name);
            if name == ".git" || without.contains(&path) {
                continue;
            }
            match files.look(&path) {
                Look::File { content, executable } => {
                    bytes += content.len();
                    entries.insert(path, Entry::File { content, executable });
                }
                Look::TooLarge(_) => return None,
                Look::Directory => open.push(path),
                Look::Other(what) => left.push((path, what)),
                Look::Nothing => {}
            }
            if entries.len() > MAX_FILES || bytes > MAX_BYTES || open.len() > MAX_FILES {
                return None;
            }
        }
    }
    Some((entries, left))
}
