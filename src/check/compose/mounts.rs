//! Mounts of a compose service and the top-level volumes that they name.

use std::collections::BTreeMap;

use super::{Compose, MAX_ENTRIES, Part, Reader, Volume, codes};
use crate::check::document::{Kind, Yaml};
use crate::diagnostic::Diagnostic;
use crate::model::{AbsPath, Mount, MountSource};

/// A mount before the service's directory is known.
#[derive(Clone, Debug)]
pub(super) struct Mounted {
    source: Source,
    target: AbsPath,
    read_only: bool,
}

#[derive(Clone, Debug)]
enum Source {
    Fixed(MountSource),
    /// Relative to the service's directory, perhaps out of it.
    Relative(String),
    /// Somewhere on the node: below a home directory, or what a variable says when it is run.
    Unknown,
}

/// One entry under `volumes`, before its source is understood.
struct Entry {
    kind: Option<String>,
    source: Option<String>,
    target: String,
    read_only: bool,
}

impl Mounted {
    /// Whether it takes the place in the container that the other one is meant for.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let known = !matches!(other.source, Source::Unknown);
        known && self.target == other.target
    }

    /// The mount of a service whose files lie in `directory`; none when its source isn't known here
    /// or is above the root directory.
    pub(super) fn below(&self, directory: &AbsPath) -> Option<Mount> {
        let source = match &self.source {
            Source::Fixed(source) => source.clone(),
            Source::Relative(relative) => {
                let path = absolute(&format!("{directory}/{relative}"))?;
                match path.relative_to(directory) {
                    Some(below) => MountSource::Directory(below.to_owned()),
                    None if path == *directory => MountSource::Directory(String::new()),
                    None => MountSource::Path(path),
                }
            }
            Source::Unknown => return None,
        };
        Some(Mount { source, target: self.target.clone(), read_only: self.read_only })
    }
}

impl Reader<'_> {
    /// The top-level volumes of all parts.
    pub(super) fn volumes(&mut self, parts: &[Part], compose: &mut Compose) {
        for part in parts {
            let Some(volumes) = part.root().get("volumes").filter(|value| !value.is_null()) else {
                continue;
            };
            if !matches!(volumes.kind, Kind::Map(_)) {
                self.wrong(part, volumes, "`volumes` must be a mapping of names");
            }
            for pair in volumes.pairs() {
                let volume = Self::volume(part, &pair.key, &pair.value);
                compose.volumes.entry(pair.key.clone()).or_insert(volume);
            }
        }
    }

    fn volume(part: &Part, key: &str, value: &Yaml) -> Volume {
        let name = value.get("name").and_then(|name| part.text(name));
        let external = value.get("external");
        let nested = external.and_then(|e| e.get("name")).and_then(|name| part.text(name));
        let is_external = external.is_some_and(|e| e.text() != Some("false"));
        match (is_external, name.or(nested)) {
            (true, name) => Volume::External(name.unwrap_or_else(|| key.to_owned())),
            (false, Some(name)) => Volume::Named(name),
            (false, None) => Volume::Project,
        }
    }

    /// What a service's `volumes` list mounts, as far as it is known here.
    pub(super) fn mounts(
        &mut self,
        part: &Part,
        list: &Yaml,
        volumes: &BTreeMap<String, Volume>,
    ) -> Vec<Mounted> {
        let mut found = Vec::new();
        if self.mounts > MAX_ENTRIES {
            return found;
        }
        self.mounts += list.items().len();
        if self.mounts > MAX_ENTRIES {
            let message = format!("the file names more than {MAX_ENTRIES} mounts");
            self.problems.push(Diagnostic::error(codes::BAD_MOUNT, message, part.place(list)));
            return found;
        }
        for item in list.items() {
            let entry = match &item.kind {
                Kind::Map(_) => Self::long_mount(part, item),
                _ => part.text(item).map(|text| short(&text)),
            };
            match entry.map(|entry| entry.and_then(|entry| mounted(part, entry, volumes))) {
                Some(Ok(mount)) => found.extend(mount),
                Some(Err(problem)) => {
                    let place = part.place(item);
                    self.problems.push(Diagnostic::error(codes::BAD_MOUNT, problem, place));
                }
                None => found.extend(unknown()),
            }
        }
        found
    }

    /// The long form; none when it hangs on something that isn't known here.
    fn long_mount(part: &Part, item: &Yaml) -> Option<Result<Entry, String>> {
        let text = |key| item.get(key).filter(|value| !value.is_null()).map(|v| part.text(v));
        let target = match text("target") {
            Some(text) => text?,
            None => return Some(Err("a mount needs a `target`".to_owned())),
        };
        let kind = text("type").map_or(Some(None), |text| text.map(Some))?;
        let source = text("source").map_or(Some(None), |text| text.map(Some))?;
        let read_only = text("read_only").flatten().as_deref() == Some("true");
        Some(Ok(Entry { kind, source, target, read_only }))
    }
}

/// `[source:]target[:options]`.
fn short(text: &str) -> Result<Entry, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] => (None, *target, ""),
        [source, target] => (Some((*source).to_owned()), *target, ""),
        [source, target, options] => (Some((*source).to_owned()), *target, *options),
        _ => return Err("a mount is written `source:target` or `source:target:ro`".to_owned()),
    };
    let read_only = options.split(',').any(|option| option == "ro");
    Ok(Entry { kind: None, source, target: target.to_owned(), read_only })
}

/// The mount that an entry means; none for what is neither on the node nor in a volume that has a name.
fn mounted(
    part: &Part,
    entry: Entry,
    volumes: &BTreeMap<String, Volume>,
) -> Result<Option<Mounted>, String> {
    let Some(target) = absolute(&entry.target) else {
        return Err(format!("`{}` is not an absolute path in the container", entry.target));
    };
    let fixed = |source| Ok(Some(Source::Fixed(source)));
    let source = match (entry.kind.as_deref(), entry.source) {
        (Some("tmpfs"), _) => fixed(MountSource::Tmpfs),
        (Some("bind"), Some(source)) => path(part, &source),
        (None | Some("volume" | "image"), None) | (Some("image"), _) => Ok(None),
        (Some("bind"), None) => Err("a `bind` mount needs a `source`".to_owned()),
        (None, Some(source)) if source.starts_with(['/', '.', '~']) => path(part, &source),
        (None | Some("volume"), Some(source)) => match volumes.get(&source) {
            Some(Volume::External(name)) => fixed(MountSource::External(name.clone())),
            Some(_) => fixed(MountSource::Volume(source)),
            None => Err(format!("the volume `{source}` is not declared under `volumes`")),
        },
        _ => Ok(Some(Source::Unknown)),
    };
    let read_only = entry.read_only;
    Ok(source?.map(|source| Mounted { source, target, read_only }))
}

/// A mount of which nothing is known here.
fn unknown() -> Option<Mounted> {
    let target = absolute("/")?;
    Some(Mounted { source: Source::Unknown, target, read_only: false })
}

/// A path on the node; unknown below a home directory, which is another for each user.
fn path(part: &Part, source: &str) -> Result<Option<Source>, String> {
    if source.starts_with('~') {
        return Ok(Some(Source::Unknown));
    }
    if !source.starts_with('/') {
        return Ok(Some(Source::Relative(format!("{}/{source}", part.base))));
    }
    let path = absolute(source).ok_or_else(|| format!("`{source}` leads above `/`"))?;
    Ok(Some(Source::Fixed(MountSource::Path(path))))
}

/// An absolute path without `.`, `..`, `//` and a trailing `/`, by its text alone.
pub(super) fn absolute(text: &str) -> Option<AbsPath> {
    let mut parts = Vec::new();
    for part in text.strip_prefix('/')?.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    AbsPath::new(format!("/{}", parts.join("/"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_by_their_text() {
        let text = |path: &str| absolute(path).map(|path| path.to_string());
        assert_eq!(text("/config/").as_deref(), Some("/config"));
        assert_eq!(text("/a/./b//../c").as_deref(), Some("/a/c"));
        assert_eq!(text("/").as_deref(), Some("/"));
        assert_eq!(text("/../a"), None);
        assert_eq!(text("a"), None);
    }
}
