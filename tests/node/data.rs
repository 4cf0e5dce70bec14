//! People's data: files, directories, links and devices' names that are not ours, beside ours and in directories that we
//! made, stay what they are through random rollouts, put-backs, take-backs, boots, failures and removals.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use gitsync::model::{FailureKind, Moment, Runtime, Unit};
use gitsync::transport::{ChangeUnit, PrepareUnit, Transport};

use crate::case::{boots, fleet_file, hook, lapse, leftovers};
use crate::lab::{Lab, Shell, block_on, command, told};

/// Small, and the same everywhere: what it does is told by its seed alone.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[usize::try_from(self.roll(all.len() as u64)).unwrap()]
    }
}

/// What can be told of a path of people's without touching it; of a directory that we write in, not its times.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    inode: u64,
    links: u64,
    mode: u32,
    owner: (u32, u32),
    changed: Option<(i64, i64)>,
    modified: Option<(i64, i64)>,
    content: Vec<u8>,
    attributes: Vec<(OsString, Option<Vec<u8>>)>,
}

pub fn seen(path: &Path) -> Option<Seen> {
    let meta = fs::symlink_metadata(path).ok()?;
    let content = if meta.is_symlink() {
        fs::read_link(path).unwrap().into_os_string().into_encoded_bytes()
    } else if meta.is_file() {
        fs::read(path).unwrap()
    } else {
        Vec::new()
    };
    let directory = meta.is_dir();
    let names = xattr::list(path).into_iter().flatten();
    let attributes = names.map(|name| (name.clone(), xattr::get(path, &name).unwrap())).collect();
    Some(Seen {
        inode: meta.ino(),
        links: if directory { 0 } else { meta.nlink() },
        mode: meta.mode(),
        owner: (meta.uid(), meta.gid()),
        changed: (!directory).then(|| (meta.ctime(), meta.ctime_nsec())),
        modified: (!directory).then(|| (meta.mtime(), meta.mtime_nsec())),
        content,
        attributes,
    })
}

/// What people's programs note beside a file's content: for everyone where the file system can, else for root.
fn attribute(path: &Path, number: usize) {
    let note = format!("note {number}\n");
    let names = ["user.gitsync.test", "trusted.gitsync.test"];
    let noted = names.iter().any(|name| xattr::set(path, name, note.as_bytes()).is_ok());
    assert!(noted || fs::metadata("/proc/self").unwrap().uid() != 0, "{}", path.display());
}

const UNITS: [&str; 4] = ["one", "two", "three", "web"];
const PLACES: [&str; 4] = ["shared", "shared/deep er", "app", "app/conf.d"];
const NAMES: [&str; 6] = ["a", "b c", "-d", "$e 'f'", "ü\\", "g.yaml"];

/// One version of a unit: some files in its own directory and in those of all, with modes.
fn version(lab: &Lab, dice: &mut Dice, name: &str) -> Unit {
    let mut files = vec![(format!("own-{name}/always"), format!("{name} {}", dice.roll(1000)))];
    for place in PLACES.iter().copied().chain([name]) {
        for file in NAMES {
            if dice.roll(3) == 0 {
                files.push((format!("{place}/{name}{file}"), format!("{file} {}", dice.roll(4))));
            }
        }
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let mut unit = lab.unit(&format!("bundle.{name}"), &files);
    unit.directory = lab.host(&format!("own-{name}"));
    for artifact in &mut unit.artifacts {
        artifact.mode = *dice.one_of(&[0o644, 0o600, 0o755]);
    }
    if name == "web" {
        unit.runtime = Runtime::Process;
        let program = format!("# {}\nwhile test -e always; do sleep 5 & wait; done", dice.roll(3));
        unit.commands = vec![command(Moment::Start, &program)];
    } else if dice.roll(6) == 0 {
        unit.commands = vec![command(Moment::Activate, "echo bad; exit 1")];
    }
    unit
}

fn bad(unit: &Unit) -> bool {
    unit.runtime != Runtime::Process && !unit.commands.is_empty()
}

/// A node whose owner has things on it.
struct Story {
    lab: Lab,
    dice: Dice,
    current: BTreeMap<&'static str, Unit>,
    theirs: BTreeMap<PathBuf, Seen>,
    number: u64,
    told: BTreeMap<&'static str, u64>,
}

impl Story {
    fn begin(seed: u64) -> Self {
        let mut story = Self {
            lab: Lab::new(Shell::Dash),
            dice: Dice(seed.max(1)),
            current: BTreeMap::new(),
            theirs: BTreeMap::new(),
            number: 0,
            told: BTreeMap::new(),
        };
        for place in ["shared", "shared/deep er", "people/only", "shared/empty"] {
            let path = story.path(place);
            fs::create_dir_all(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            story.note(path);
        }
        for place in ["shared", "shared/deep er", "people/only"] {
            story.people_leave(place);
        }
        story
    }

    fn path(&self, relative: &str) -> PathBuf {
        PathBuf::from(self.lab.host(relative).as_str())
    }

    fn note(&mut self, path: PathBuf) {
        let now = seen(&path).unwrap();
        self.theirs.insert(path, now);
    }

    /// People put things of every kind into a directory.
    fn people_leave(&mut self, place: &str) {
        let number = self.theirs.len();
        let at = |name: &str| self.path(place).join(format!("{name}{number} of 'people'"));
        let (file, twin, link, directory) = (at("file"), at("twin"), at(" link"), at("-dir"));
        let bytes: Vec<u8> =
            (0..self.dice.roll(5000)).map(|_| (self.dice.roll(256)) as u8).collect();
        fs::write(&file, bytes).unwrap();
        let mode = *self.dice.one_of(&[0o600, 0o644, 0o4755, 0o000, 0o1666]);
        // Owners need root; without it they are all this user's.
        let _ = chown(&file, Some(1234), Some(4321));
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let old = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
        attribute(&file, number);
        let opened = fs::File::open(&file);
        if let Ok(opened) = opened {
            opened.set_modified(old).unwrap();
        }
        fs::hard_link(&file, &twin).unwrap();
        symlink("/nowhere/at all", &link).unwrap();
        fs::create_dir(&directory).unwrap();
        attribute(&directory, number);
        let inner = directory.join("data.db");
        fs::write(&inner, format!("{number}")).unwrap();
        for path in [file, twin, link, directory, inner] {
            self.note(path);
        }
    }

    /// Nothing of people's moved; what is ours is what should be, and there is nothing else.
    async fn agrees(&self, context: &str) {
        for (path, before) in &self.theirs {
            assert_eq!(seen(path).as_ref(), Some(before), "{context}: {}", path.display());
        }
        let mut wanted: BTreeMap<PathBuf, (Vec<u8>, u32)> = BTreeMap::new();
        for unit in self.current.values() {
            for artifact in &unit.artifacts {
                let gitsync::model::Content::Bytes(bytes) = &artifact.content else { continue };
                wanted.insert(
                    PathBuf::from(artifact.destination.as_str()),
                    (bytes.clone(), artifact.mode),
                );
            }
        }
        let mut found = BTreeMap::new();
        let mut directories = vec![self.lab.base.join("host")];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path: PathBuf = entry.unwrap().path().components().collect();
                if path.is_dir() && !path.is_symlink() {
                    directories.push(path);
                } else if !self.theirs.contains_key(&path) {
                    let mode = fs::metadata(&path).unwrap().mode() & 0o7777;
                    found.insert(path.clone(), (fs::read(&path).unwrap(), mode));
                }
            }
        }
        assert_eq!(found, wanted, "{context}");
        let report = self.lab.report().await;
        for name in UNITS {
            let unit = report.units.iter().find(|(id, _)| id.local() == format!("bundle.{name}"));
            let current = unit.and_then(|(_, unit)| unit.current.clone());
            assert_eq!(current, self.current.get(name).map(Unit::digest), "{context}: {name}");
            assert!(unit.is_none_or(|(_, unit)| unit.pending.is_none()), "{context}: {name}");
        }
        assert_eq!(leftovers(&self.lab), Vec::<PathBuf>::new(), "{context}");
    }

    /// One rollout of some units, and its end.
    async fn round(&mut self) {
        self.number += 1;
        let number = self.number;
        let mut plan: Vec<(&'static str, Option<Unit>)> = Vec::new();
        for name in UNITS {
            match self.dice.roll(6) {
                0 | 1 => plan.push((name, Some(version(&self.lab, &mut self.dice, name)))),
                2 if self.current.contains_key(name) => plan.push((name, None)),
                _ => {}
            }
        }
        let units = plan.iter().map(|(name, to)| PrepareUnit {
            id: gitsync::model::UnitId::from_local(&self.lab.node, &format!("bundle.{name}"))
                .unwrap(),
            to: to.clone(),
            from: self.current.get(name).map(Unit::digest),
            adopt: false,
        });
        let mut prepare = self.lab.prepare_request(number, &[]);
        prepare.units = units.collect();
        prepare.dead_man = None;
        prepare.takeover = true;
        let boot =
            gitsync::model::AbsPath::new(self.lab.base.join("rc.local").display().to_string());
        let node = self.lab.booting(gitsync::model::Boot::File(boot.unwrap()));
        node.prepare(&prepare).await.unwrap();
        let mut failed = false;
        let mut done = Vec::new();
        for (unit, (_, to)) in prepare.units.iter().zip(&plan) {
            let request = ChangeUnit {
                fence: self.lab.fence(number),
                id: unit.id.clone(),
                to: to.as_ref().map(Unit::digest),
                from: unit.from.clone(),
                replaces: Vec::new(),
                deadline: Duration::from_secs(60),
            };
            done.push(request.clone());
            let result = match to {
                Some(_) => self.lab.transport.change(&request).await,
                None => self.lab.transport.stop(&request).await,
            };
            if to.as_ref().is_some_and(bad) {
                assert_eq!(told(result).kind, FailureKind::Content);
                failed = true;
                break;
            }
            result.unwrap();
        }
        // People work on, in directories that a unit made as well.
        if self.dice.roll(8) == 0 && self.theirs.len() < 150 {
            let places: Vec<String> = UNITS
                .map(|name| format!("own-{name}"))
                .into_iter()
                .chain(PLACES.map(str::to_owned))
                .collect();
            let place = self.dice.one_of(&places).clone();
            if self.path(&place).is_dir() {
                self.people_leave(&place);
            }
        }
        let end = if failed { 1 + self.dice.roll(3) } else { self.dice.roll(5) };
        let (word, context) = match end {
            1 => {
                for request in done.iter().rev() {
                    self.lab.transport.put_back(request).await.unwrap();
                }
                self.lab.abandon(number, None).await;
                ("put back", "put back")
            }
            2 => {
                lapse(&self.lab);
                let nonce = format!("nonce-{number}");
                let ran = self.lab.by_hand(&["watch", "homelab", &nonce], None);
                assert!(ran.status.success(), "{ran:?}");
                ("taken back", "taken back by the lapse")
            }
            3 => {
                // Processes end with the machine; a marker of another boot is what the hook looks for.
                boots(&self.lab);
                hook(&self.lab);
                ("booted", "taken back after a boot")
            }
            _ => {
                let (mut kept, mut gone) = (Vec::new(), Vec::new());
                for (name, to) in plan {
                    match to {
                        Some(unit) => {
                            self.current.insert(name, unit);
                        }
                        None => gone.extend(self.current.remove(name)),
                    }
                }
                kept.extend(self.current.values());
                self.lab.confirm(number, &kept, &gone.iter().collect::<Vec<_>>()).await;
                ("converged", "converged")
            }
        };
        *self.told.entry(word).or_default() += 1;
        self.agrees(&format!("round {number}, {context}")).await;
    }
}

pub fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn what_people_keep_beside_ours_is_untouched_by_random_rollouts_and_rollbacks() {
    let rounds = number_of("GITSYNC_DATA_ROUNDS").unwrap_or(10);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number_of("GITSYNC_DATA_SEED").unwrap_or(now.as_nanos() as u64);
    println!("GITSYNC_DATA_SEED={seed} GITSYNC_DATA_ROUNDS={rounds}");
    let begin = Instant::now();
    block_on(async {
        let mut story = Story::begin(seed);
        for _ in 0..rounds {
            story.round().await;
        }
        let theirs = story.theirs.len();
        println!("{:?}, {theirs} paths of people's, {:?}", story.told, begin.elapsed());
        assert!(fleet_file(&story.lab, "record").exists());
    });
}
