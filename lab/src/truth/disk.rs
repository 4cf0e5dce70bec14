//! What was changed on a host's disk since it was made, read from outside: nothing has to run on the host.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Power;
use super::state::names;
use crate::error::{Error, Result, at};
use crate::host::Host;
use crate::spec::Mount;

/// One path.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    what: What,
    mode: u32,
    owner: (u32, u32),
    /// Inode and time of the last write in nanoseconds; none where only the content counts.
    pub identity: Option<(u64, i128)>,
    /// How it compares with the tree that all hosts share.
    built: Built,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    File(String),
    Link(String),
    Directory,
    Deleted,
    Other(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Built {
    /// The tree has no such path.
    Without,
    /// The tree has the same.
    Same,
    /// The tree has something else there.
    Other,
}

impl Entry {
    /// Whether the host had the same from the beginning.
    pub fn is_as_built(&self) -> bool {
        self.built == Built::Same
    }

    /// What a host has at the path when this entry isn't there.
    pub fn untouched(&self) -> &'static str {
        if self.built == Built::Without { "absent" } else { "as built" }
    }

    /// Kind, mode, owner, and the digest or the target.
    pub fn content(&self) -> String {
        let Self { mode, owner: (user, group), .. } = self;
        let (kind, rest) = match &self.what {
            What::Deleted => return "deleted".to_owned(),
            What::File(digest) => ("file", digest.as_str()),
            What::Link(target) => ("link", target.as_str()),
            What::Directory => ("directory", ""),
            What::Other(kind) => (kind.as_str(), ""),
        };
        format!("{kind} {mode:04o} {user}:{group} {rest}").trim_end().to_owned()
    }

    fn deleted() -> Self {
        Self { what: What::Deleted, mode: 0, owner: (0, 0), identity: None, built: Built::Other }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.content())?;
        if let Some((inode, written)) = self.identity {
            write!(f, " inode {inode} written {written}")?;
        }
        f.write_str(if self.is_as_built() { " as built" } else { "" })
    }
}

/// Whether a path is a directory or lies in it.
pub(super) fn under(path: &str, directory: &str) -> bool {
    let directory = directory.trim_end_matches('/');
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Everything that was changed, by the path that the host's processes know it by.
pub(super) fn entries(
    host: &Host,
    power: Power,
    left_out: &[&str],
    state: &[&str],
) -> Result<BTreeMap<String, Entry>> {
    let left_out: Vec<&str> = left_out.iter().chain(state).copied().collect();
    let mut walk = Walk { left_out, found: BTreeMap::new() };
    let tree = tree(host)?;
    walk.inside("", &host.disk(""), Some(&tree), false)?;
    // Volumes lie beside the disk, below a path that is left out for the rest of it.
    let volumes = host.place.join("docker/volumes");
    walk.left_out.clear();
    // The engine's own files lie among them.
    for volume in names(&volumes).into_iter().filter(|volume| volumes.join(volume).is_dir()) {
        let data = volumes.join(&volume).join("_data");
        walk.visit(&format!("/var/lib/docker/volumes/{volume}/_data"), &data, None, false)?;
    }
    walk.left_out = state.to_vec();
    if power != Power::Off {
        for mount in &host.spec.mounts {
            let path = mount_path(mount);
            walk.visit(path, &host.path(path)?, None, false)?;
        }
    }
    Ok(walk.found)
}

/// Where a file system of its own is.
pub(super) fn mount_path(mount: &Mount) -> &str {
    let (Mount::Disk(path, _) | Mount::Memory(path)) = mount;
    path.trim_end_matches('/')
}

/// The files that a host was made from.
fn tree(host: &Host) -> Result<PathBuf> {
    let path = host.place.join("spec");
    let text = at(&path, fs::read_to_string(&path))?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("tree='"));
    let tree = lines.next().and_then(|rest| rest.strip_suffix('\''));
    tree.map(PathBuf::from).ok_or_else(|| {
        Error::Unknown(format!("{} doesn't say what its host is made from", path.display()))
    })
}

struct Walk<'a> {
    left_out: Vec<&'a str>,
    found: BTreeMap<String, Entry>,
}

impl Walk<'_> {
    /// What lies in a directory. `lower` is its like in the tree; `hides` says that none of that is seen through.
    fn inside(
        &mut self,
        path: &str,
        place: &Path,
        lower: Option<&Path>,
        hides: bool,
    ) -> Result<()> {
        for name in names(place) {
            let lower = lower.map(|lower| lower.join(&name)).filter(|lower| is_there(lower));
            self.visit(&format!("{path}/{name}"), &place.join(&name), lower.as_deref(), hides)?;
        }
        let hidden = lower.filter(|_| hides).map(names).unwrap_or_default();
        for name in hidden.iter().filter(|name| !is_there(&place.join(name))) {
            self.tell(format!("{path}/{name}"), Entry::deleted());
        }
        Ok(())
    }

    /// Something that goes while it is looked at isn't there.
    fn visit(&mut self, path: &str, place: &Path, lower: Option<&Path>, hides: bool) -> Result<()> {
        if self.left_out.iter().any(|out| under(path, out)) {
            return Ok(());
        }
        let entry = match look(place, lower) {
            Ok(entry) => entry,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return at(place, Err(error)),
        };
        let directory = entry.what == What::Directory;
        self.tell(path.to_owned(), entry);
        if directory {
            let hides = hides || hides_the_tree(place);
            let lower =
                lower.filter(|lower| fs::symlink_metadata(lower).is_ok_and(|meta| meta.is_dir()));
            self.inside(path, place, lower, hides)?;
        }
        Ok(())
    }

    /// A directory above something that is left out changes with it: only its own mode and owner count then.
    fn tell(&mut self, path: String, mut entry: Entry) {
        if self.left_out.iter().any(|out| under(out, &path)) {
            if entry.what == What::Directory && entry.built != Built::Other {
                return;
            }
            entry.identity = None;
        }
        if !self.left_out.iter().any(|out| under(&path, out)) {
            self.found.insert(path, entry);
        }
    }
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Whether a directory was made where the tree's had been removed, so that nothing of the tree's is left in it.
fn hides_the_tree(place: &Path) -> bool {
    let mut value = [0_u8; 4];
    let read = rustix::fs::lgetxattr(place, "trusted.overlay.opaque", &mut value[..]);
    read.is_ok_and(|length| value.get(..length) == Some(b"y".as_slice()))
}

fn look(place: &Path, lower: Option<&Path>) -> io::Result<Entry> {
    let meta = fs::symlink_metadata(place)?;
    let (what, mode, owner) = content(place, &meta)?;
    let written = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    let built = match lower {
        None => Built::Without,
        Some(lower) => {
            let model = fs::symlink_metadata(lower)?;
            let alike = model.len() == meta.len() || meta.is_dir();
            let same = alike && content(lower, &model)? == (what.clone(), mode, owner);
            if same { Built::Same } else { Built::Other }
        }
    };
    Ok(Entry { what, mode, owner, identity: Some((meta.ino(), written)), built })
}

fn content(place: &Path, meta: &Metadata) -> io::Result<(What, u32, (u32, u32))> {
    let kind = meta.file_type();
    let what = if kind.is_file() {
        What::File(digest(place)?)
    } else if kind.is_dir() {
        What::Directory
    } else if kind.is_symlink() {
        What::Link(fs::read_link(place)?.to_string_lossy().into_owned())
    } else if kind.is_char_device() && meta.rdev() == 0 {
        What::Deleted
    } else if kind.is_socket() {
        What::Other("socket".to_owned())
    } else if kind.is_fifo() {
        What::Other("pipe".to_owned())
    } else {
        What::Other(format!("device {}", meta.rdev()))
    };
    Ok((what, meta.mode() & 0o7777, (meta.uid(), meta.gid())))
}

fn digest(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            length => digest.update(&buffer[..length]),
        }
    }
}
