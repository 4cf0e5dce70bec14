//! Photographs of a node: what lies on it before each command of a verb. A script that was killed there, or lost its power,
//! left the node just so, and whoever comes next goes on from it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::lab::{Lab, Shell, everything, tracing};

#[derive(Clone, Debug, PartialEq)]
enum Thing {
    Directory(u32),
    File(u32, Arc<[u8]>),
    Link(PathBuf),
}

/// Everything on a node at one moment, below its root and its host directory.
#[derive(Clone)]
pub struct Photo {
    /// After how many commands of the verb.
    pub moment: usize,
    things: BTreeMap<PathBuf, Thing>,
}

impl Photo {
    /// What is not below a directory.
    fn beside<'a>(&'a self, directory: &'a Path) -> impl Iterator<Item = (&'a PathBuf, &'a Thing)> {
        self.things.iter().filter(move |(path, _)| !path.starts_with(directory))
    }

    /// Makes the node what it was then. What runs on it is not touched.
    pub fn put_on(&self, lab: &Lab) {
        for directory in places(lab) {
            fs::remove_dir_all(directory).unwrap();
        }
        let mut modes = Vec::new();
        for (path, thing) in &self.things {
            match thing {
                Thing::Directory(mode) => {
                    fs::create_dir(path).unwrap();
                    modes.push((path, *mode));
                }
                Thing::File(mode, content) => {
                    fs::write(path, content).unwrap();
                    modes.push((path, *mode));
                }
                Thing::Link(target) => symlink(target, path).unwrap(),
            }
        }
        // Last: a directory may be one that nobody writes to.
        for (path, mode) in modes {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
    }
}

fn places(lab: &Lab) -> [PathBuf; 2] {
    [lab.base.join("git sync"), lab.base.join("host")]
}

fn take(places: &[PathBuf], moment: usize) -> Photo {
    let mut things = BTreeMap::new();
    let mut next = places.to_vec();
    while let Some(path) = next.pop() {
        // What another process of the script takes away just now is gone a moment earlier.
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        let mode = meta.permissions().mode() & 0o7777;
        let thing = if meta.is_dir() {
            next.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|e| e.path()));
            Thing::Directory(mode)
        } else if meta.is_symlink() {
            Thing::Link(fs::read_link(&path).unwrap())
        } else {
            let Ok(content) = fs::read(&path) else { continue };
            Thing::File(mode, content.into())
        };
        things.insert(path, thing);
    }
    Photo { moment, things }
}

/// What a verb leaves on the node before each of its commands and at its end, each state once. `run` runs it, over
/// `Lab::photographed` or by hand at zero.
pub async fn album<T>(lab: &Lab, shell: Shell, run: impl Future<Output = T>) -> (T, Vec<Photo>) {
    let [asks, answers] = ["asks", "answers"].map(|name| fifo(&lab.base.join(name)));
    let ask =
        format!("$(e=$?; echo >>{0}/asks; read -r _ <{0}/answers; exit $e) ", lab.base.display());
    lab.install(&|text| tracing(&text, &ask));
    let end = asks.try_clone().unwrap();
    let places = places(lab);
    let photographer = std::thread::spawn(move || photographs(asks, answers, &places));
    let done = run.await;
    (&end).write_all(b".").unwrap();
    let photos = photographer.join().unwrap();
    assert!(photos.len() > 5, "{shell:?}: only {} photographs", photos.len());
    lab.install(&|text| text);
    for name in ["asks", "answers"] {
        fs::remove_file(lab.base.join(name)).unwrap();
    }
    (done, photos)
}

/// A pipe with a name, held open at both ends so that nobody waits for the other one.
fn fifo(path: &Path) -> File {
    let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

/// One photograph for each line that comes; whoever wrote it waits for one line.
fn photographs(mut asks: File, mut answers: File, places: &[PathBuf]) -> Vec<Photo> {
    let mut photos: Vec<Photo> = Vec::new();
    for moment in 0.. {
        let mut word = [0];
        asks.read_exact(&mut word).unwrap();
        let photo = take(places, moment);
        if photos.last().is_none_or(|last| last.things != photo.things) {
            photos.push(photo);
        }
        if word == *b"." {
            break;
        }
        answers.write_all(b"\n").unwrap();
    }
    photos
}

/// Those that differ in more than a contact's private directory, which is nobody else's business; without much time one in a
/// few of them, other ones for each shell, and always the last.
pub fn some(mut photos: Vec<Photo>, lab: &Lab, shell: Shell) -> Vec<Photo> {
    let private = lab.base.join("git sync/tmp");
    photos.dedup_by(|next, photo| photo.beside(&private).eq(next.beside(&private)));
    println!("{shell:?}: {} states", photos.len());
    let last = photos.len() - 1;
    let chosen = |number: usize| everything() || number % 4 == shell as usize % 4 || number == last;
    (0..).zip(photos).filter(|(number, _)| chosen(*number)).map(|(_, photo)| photo).collect()
}
