//! Files of a snapshot by path: links followed as far as they stay inside, everything else refused with a reason.

use super::codes;
use super::parse::{start_of, too_large};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Entry, Snapshot};

/// Links that lead to links.
const MAX_LINKS: usize = 8;

/// Why a path gives no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoFile {
    /// Nothing is there.
    Missing,
    /// It is too large: its size.
    TooLarge(u64),
    /// A link leads out of the repository, to nothing, to a folder, or in a circle: what it says.
    Link(String),
    /// It is a submodule.
    Submodule,
}

impl NoFile {
    /// The problem with the entry at `path` itself; none when nothing is there.
    pub fn diagnostic(&self, path: &str) -> Option<Diagnostic> {
        let tell =
            |code: Code, message: String| Some(Diagnostic::error(code, message, start_of(path)));
        match self {
            Self::Missing => None,
            Self::TooLarge(size) => Some(too_large(path, *size)),
            Self::Link(target) => tell(
                codes::LINK,
                format!(
                    "the link leads to `{}`, which is no file of this repository",
                    target.escape_debug()
                ),
            ),
            Self::Submodule => tell(
                codes::SUBMODULE,
                "a submodule lies here; its files are not part of the commit".to_owned(),
            ),
        }
    }
}

/// The content of the file at `path`, through links, and whether it may be executed.
pub fn read<'a>(snapshot: &'a Snapshot, path: &str) -> Result<(&'a [u8], bool), NoFile> {
    let mut at = path.to_owned();
    let mut said = None;
    for _ in 0..=MAX_LINKS {
        match snapshot.entries.get(&at) {
            Some(Entry::File { content, executable }) => return Ok((content, *executable)),
            Some(Entry::TooLarge(size)) => return Err(NoFile::TooLarge(*size)),
            Some(Entry::Submodule) => return Err(NoFile::Submodule),
            None => return Err(said.map_or(NoFile::Missing, NoFile::Link)),
            Some(Entry::Link(target)) => {
                let next = target_of(&at, target).ok_or_else(|| NoFile::Link(target.clone()))?;
                said = Some(target.clone());
                at = next;
            }
        }
    }
    Err(said.map_or(NoFile::Missing, NoFile::Link))
}

/// Where a link leads, from the fleet's folder; none when it leads out.
fn target_of(link: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let folder = link.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The paths of everything below a folder, sorted.
pub fn below<'a>(snapshot: &'a Snapshot, folder: &str) -> impl Iterator<Item = &'a str> {
    let prefix = format!("{}/", folder.trim_end_matches('/'));
    let from = snapshot.entries.range(prefix.clone()..);
    from.map(|(path, _)| path.as_str()).take_while(move |path| path.starts_with(&prefix))
}

/// Links that lead out, and submodules, wherever they lie.
pub fn foreign(snapshot: &Snapshot) -> Vec<Diagnostic> {
    let problems = snapshot.entries.iter().filter_map(|(path, entry)| match entry {
        Entry::Submodule => NoFile::Submodule.diagnostic(path),
        Entry::Link(target) if target_of(path, target).is_none() => {
            NoFile::Link(target.clone()).diagnostic(path)
        }
        _ => None,
    });
    problems.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let mut snapshot = Snapshot::default();
        let mut add = |path: &str, entry: Entry| snapshot.entries.insert(path.to_owned(), entry);
        add("a/file", Entry::File { content: b"x".to_vec(), executable: true });
        for (path, target) in [
            ("a/good", "./file"),
            ("b/up", "../a/good"),
            ("out", "../x"),
            ("root", "/etc/passwd"),
            ("loop1", "loop2"),
            ("loop2", "loop1"),
            ("dangling", "a/none"),
            ("folder", "a"),
        ] {
            add(path, Entry::Link(target.to_owned()));
        }
        add("vendor", Entry::Submodule);
        snapshot
    }

    #[test]
    fn links_are_followed_inside_only() {
        let snapshot = snapshot();
        assert_eq!(read(&snapshot, "a/good"), Ok((b"x".as_slice(), true)));
        assert_eq!(read(&snapshot, "b/up"), Ok((b"x".as_slice(), true)));
        assert_eq!(read(&snapshot, "none"), Err(NoFile::Missing));
        for path in ["out", "root", "loop1", "dangling", "folder"] {
            assert!(matches!(read(&snapshot, path), Err(NoFile::Link(_))), "{path}");
        }
    }

    #[test]
    fn what_leads_out_is_told_wherever_it_lies() {
        let told = foreign(&snapshot());
        let files: Vec<&str> = told.iter().map(|d| d.labels[0].place.file.as_str()).collect();
        assert_eq!(files, ["out", "root", "vendor"]);
    }
}
