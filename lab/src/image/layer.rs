//! Layers: tar archives with fixed times and owners, so that equal content has equal bytes.

use std::collections::BTreeSet;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::ImageError;

/// The first second of 2024: no file of an image is older or younger.
const MODIFIED: u64 = 1_704_067_200;

/// Directories that every image has, with their modes.
const DIRECTORIES: [(&str, u32); 3] = [("tmp", 0o1777), ("etc", 0o755), ("data", 0o755)];

/// One layer of an image; clones share its bytes.
#[derive(Clone, Debug)]
pub struct Layer {
    digest: Arc<str>,
    bytes: Arc<[u8]>,
    origin: &'static str,
}

impl Layer {
    fn new(origin: &'static str, bytes: Vec<u8>) -> Self {
        Self { digest: digest(&bytes).into(), bytes: bytes.into(), origin }
    }

    /// The digest of its bytes, `sha256:…`.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Its tar archive.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// Where it comes from, for the image's history.
    pub(super) fn origin(&self) -> &'static str {
        self.origin
    }
}

/// A file that an image holds beside its program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExtraFile {
    /// Its absolute path in a container.
    pub path: String,
    /// Its permission bits.
    pub mode: u32,
    /// What it holds.
    pub content: Vec<u8>,
}

impl ExtraFile {
    /// A file that everybody may read.
    pub fn new(path: &str, content: impl Into<Vec<u8>>) -> Self {
        Self { path: path.to_owned(), mode: 0o644, content: content.into() }
    }

    /// Where it stands in an archive: below the root, without a leading slash.
    fn place(&self) -> Result<&str, ImageError> {
        let bad = || ImageError::Path(self.path.clone());
        let place = self.path.strip_prefix('/').ok_or_else(bad)?;
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        if place.split('/').all(plain) { Ok(place) } else { Err(bad()) }
    }
}

/// The digest of some bytes as images spell it.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let digits = Sha256::digest(bytes).into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let hex = digits.filter_map(|digit| char::from_digit(u32::from(digit), 16));
    format!("sha256:{}", hex.collect::<String>())
}

/// The layer with the program and the directories that every image has.
pub(super) fn of_app(program: &[u8]) -> Result<Layer, ImageError> {
    let mut tar = Builder::new(Vec::new());
    for (name, mode) in DIRECTORIES {
        add_directory(&mut tar, name, mode)?;
    }
    add_file(&mut tar, "app", 0o755, program)?;
    Ok(Layer::new("app", tar.into_inner()?))
}

/// A layer with files; a directory that the layer below doesn't have is made for everybody to enter.
pub(super) fn of_files(files: &[ExtraFile]) -> Result<Layer, ImageError> {
    let mut tar = Builder::new(Vec::new());
    let mut known: BTreeSet<&str> = DIRECTORIES.iter().map(|(name, _)| *name).collect();
    for file in files {
        let place = file.place()?;
        // What mode a missing directory gets is otherwise up to the engine.
        for (end, _) in place.match_indices('/') {
            if known.insert(&place[..end]) {
                add_directory(&mut tar, &place[..end], 0o755)?;
            }
        }
        add_file(&mut tar, place, file.mode, &file.content)?;
    }
    Ok(Layer::new("files", tar.into_inner()?))
}

fn add_directory(tar: &mut Builder<Vec<u8>>, name: &str, mode: u32) -> Result<(), ImageError> {
    let mut header = header(EntryType::Directory, mode, 0);
    Ok(tar.append_data(&mut header, format!("{name}/"), [].as_slice())?)
}

/// Adds a file with everything but its name, mode and content fixed.
pub(super) fn add_file(
    tar: &mut Builder<impl std::io::Write>,
    name: &str,
    mode: u32,
    content: &[u8],
) -> Result<(), ImageError> {
    let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
    let mut header = header(EntryType::Regular, mode, size);
    Ok(tar.append_data(&mut header, name, content)?)
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(MODIFIED);
    header
}
