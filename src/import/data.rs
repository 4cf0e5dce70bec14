//! What containers mount from the stack's folder: files that Git may own, and data that stays where it is.

use std::collections::{BTreeMap, BTreeSet};

use super::gather::tree;
use super::{Bringing, Look};
use crate::check::compose::Compose;
use crate::check::compose::powers::Power;
use crate::model::{AbsPath, Entry, MountSource};

/// Files of a directory that is mounted read-only, to be taken along.
const MOST: usize = 100;

/// Somewhere that no stack lies in, deep enough for paths that lead out of it.
const SOMEWHERE: &str = "/gitsync/a/b/c/d/e/f/g/h";

/// A path in the folder that is mounted, and by whom.
struct Mounted {
    by: BTreeSet<String>,
    read_only: bool,
}

/// Paths of the folder that containers may write to, with who does.
pub(super) fn written(compose: &Compose) -> BTreeMap<String, BTreeSet<String>> {
    let mounted = mounted(compose).into_iter().filter(|(_, mount)| !mount.read_only);
    mounted.map(|(path, mount)| (path, mount.by)).collect()
}

fn mounted(compose: &Compose) -> BTreeMap<String, Mounted> {
    let mut found: BTreeMap<String, Mounted> = BTreeMap::new();
    let Ok(somewhere) = AbsPath::new(SOMEWHERE) else { return found };
    for (name, service) in compose.brought("", &somewhere).services {
        for mount in service.mounts {
            let MountSource::Directory(path) = mount.source else { continue };
            let new = || Mounted { by: BTreeSet::new(), read_only: true };
            let here = found.entry(path).or_insert_with(new);
            here.by.insert(name.clone());
            here.read_only &= mount.read_only;
        }
    }
    found
}

fn names(by: &BTreeSet<String>) -> String {
    by.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ")
}

impl Bringing<'_> {
    /// Everything that lies in the folder and is not a compose file's own.
    pub(super) fn folder(&mut self) {
        for (path, why) in std::mem::take(&mut self.gathered.left) {
            let todo = format!("put it at {} on the node if it is needed", self.on_node(&path));
            self.leave(&path, why, todo);
        }
        for path in std::mem::take(&mut self.gathered.too_much) {
            self.refuse(
                format!("what is built from, `./{path}`, has too many or too large files for a fleet repository"),
                "build the image elsewhere and name it with `image:`, or name what is not needed in `.dockerignore`",
            );
        }
        let all = mounted(&self.gathered.compose);
        let written = written(&self.gathered.compose);
        for (path, mount) in &all {
            let under = written.iter().find(|(above, _)| {
                let inside = path.strip_prefix(above.as_str());
                let inside = inside.is_some_and(|rest| above.is_empty() || rest.starts_with('/'));
                *above != path && inside && self.files.look(above) == Look::Directory
            });
            match under {
                Some((above, by)) => {
                    let why = format!("it lies in `./{above}`, where {} writes", names(by));
                    self.stays(path, why);
                }
                None => self.mounted(path, mount),
            }
        }
        self.elsewhere();
        self.profiles();
    }

    fn stays(&mut self, path: &str, why: String) {
        let there = self.on_node(path);
        self.leave(path, why, format!("on the node it must lie at {there}"));
    }

    fn mounted(&mut self, path: &str, mount: &Mounted) {
        let by = names(&mount.by);
        match self.files.look(path) {
            Look::Directory if mount.read_only => self.directory(path, &by),
            Look::Directory => self.stays(path, format!("{by} may write there")),
            Look::File { content, executable } => {
                if std::str::from_utf8(&content).is_err() || content.contains(&0) {
                    return self.stays(path, format!("it is no text; mounted by {by}"));
                }
                if !mount.read_only {
                    self.writable.insert(path.to_owned(), by);
                }
                let entry = Entry::File { content, executable };
                self.gathered.snapshot.entries.insert(path.to_owned(), entry);
            }
            Look::TooLarge(_) => {
                self.stays(path, format!("it has more than 1 MiB; mounted by {by}"));
            }
            Look::Other(what) => self.stays(path, format!("{what}; mounted by {by}")),
            Look::Nothing => {
                let there = self.on_node(path);
                self.out.remarks.push(format!(
                    "`./{path}`, mounted by {by}, is not here: if {there} is not on the node either, Docker makes an \
                     empty directory of it"
                ));
            }
        }
    }

    /// A directory that is only read: configuration, when it is small.
    fn directory(&mut self, path: &str, by: &str) {
        let written = written(&self.gathered.compose).into_keys().collect();
        let found = tree(self.files, path, &written).filter(|(entries, _)| entries.len() <= MOST);
        let Some((entries, left)) = found else {
            return self.stays(path, format!("it is too large for a repository; mounted by {by}"));
        };
        if entries.is_empty() {
            return self.stays(path, format!("there is nothing in it; mounted by {by}"));
        }
        self.gathered.snapshot.entries.extend(entries);
        for (path, what) in left {
            self.stays(&path, format!("{what}; mounted by {by}"));
        }
    }

    /// Mounts from outside of the folder that mean another place on another machine.
    fn elsewhere(&mut self) {
        let Ok(somewhere) = AbsPath::new(SOMEWHERE) else { return };
        let compose = &self.gathered.compose;
        let there = compose.brought("", &self.out.directory).services;
        let mut said = Vec::new();
        for (name, service) in compose.brought("", &somewhere).services {
            let moved = service.mounts.iter().filter_map(|mount| match &mount.source {
                MountSource::Path(path) => Some((path, &mount.target)),
                _ => None,
            });
            for (path, target) in moved {
                let mounts = there.get(&name).map(|it| it.mounts.as_slice()).unwrap_or_default();
                let same = mounts.iter().find(|mount| mount.target == *target);
                let Some(MountSource::Path(real)) = same.map(|mount| &mount.source) else {
                    continue;
                };
                if real != path {
                    said.push(format!(
                        "`{name}` mounts what lies outside of the folder by a relative path: on the node that is {real}"
                    ));
                }
            }
        }
        for (name, power) in compose.powers(&somewhere) {
            if matches!(&power, Power::Privileged(what) if what.starts_with("a mount whose source"))
            {
                said.push(format!(
                    "`{name}` mounts something below a home directory, which is another one on the node"
                ));
            }
        }
        said.dedup();
        self.out.remarks.extend(said);
    }

    fn profiles(&mut self) {
        let brought = self.gathered.compose.brought("", &self.out.directory);
        let behind: BTreeSet<String> = brought
            .services
            .into_iter()
            .filter(|(_, it)| it.profiled)
            .map(|(name, _)| name)
            .collect();
        if !behind.is_empty() {
            let verb = if behind.len() == 1 { "stands" } else { "stand" };
            self.out.remarks.push(format!(
                "{} {verb} behind a profile and will not be started, as with a plain `docker compose up`",
                names(&behind)
            ));
        }
    }
}
