//! The files that hosts share: built once from packages, kept outside of the checkout, never written again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result, at, run};

const TREE: &str = include_str!("sh/tree.sh");
const POOR: &str = include_str!("sh/poor.sh");

const PACKAGES: &str = "openssh-server,sudo,rsync,lsyncd,haproxy,keepalived,caddy,docker.io,iptables,\
    iproute2,systemd,systemd-sysv,dbus,busybox-static,curl,procps,iputils-ping,cron,openrc,ca-certificates";

/// What a host has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Tree {
    /// A Debian with sshd, Docker and the programs of the edge.
    #[default]
    Whole,
    /// Busybox with what a node needs, sshd and sudo; nothing else.
    Poor,
}

impl Tree {
    /// Where its files are, built now unless they are there already (under a minute).
    ///
    /// Several processes may ask at once; one builds. A build that was killed is done again.
    pub fn ensure(self) -> Result<PathBuf> {
        let cache = cache();
        at(&cache, fs::create_dir_all(&cache))?;
        let place = cache.join(self.name());
        let lock_path = cache.join("lock");
        let lock = at(&lock_path, File::create(&lock_path))?;
        at(
            &lock_path,
            rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)
                .map_err(std::io::Error::from),
        )?;
        if !place.exists() {
            self.build(&place)?;
        }
        Ok(place)
    }

    /// Whether it was built already.
    pub fn is_there(self) -> bool {
        cache().join(self.name()).exists()
    }

    fn name(self) -> String {
        let mut digest = Sha256::new();
        for part in [TREE, POOR, PACKAGES] {
            digest.update(part);
        }
        let digest: String = digest.finalize().iter().take(6).map(|b| format!("{b:02x}")).collect();
        match self {
            Self::Whole => format!("debian-{digest}"),
            Self::Poor => format!("poor-{digest}"),
        }
    }

    fn build(self, place: &Path) -> Result<()> {
        let made = place.with_extension("new");
        let downloads = place.with_extension("downloads");
        remove(&made)?;
        remove(&downloads)?;
        match self {
            Self::Whole => {
                needs("mmdebstrap", "it builds the files of hosts (apt-get install mmdebstrap)")?;
                run(script(&downloads, "tree.sh", TREE)?.arg(&made).arg(PACKAGES).arg(&downloads))?;
            }
            Self::Poor => {
                let whole = cache().join(Self::Whole.name());
                if !whole.exists() {
                    Self::Whole.build(&whole)?;
                }
                run(script(&downloads, "poor.sh", POOR)?.arg(&whole).arg(&made))?;
            }
        }
        remove(&downloads)?;
        at(place, fs::rename(&made, place))
    }
}

/// Where trees are kept: `GITSYNC_LAB_CACHE`, else below `/var/cache`.
pub fn cache() -> PathBuf {
    let named = std::env::var_os("GITSYNC_LAB_CACHE").map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from("/var/cache/gitsync-lab"))
}

/// `sh` with a script that is part of this program, written where the downloads go.
fn script(downloads: &Path, name: &str, text: &str) -> Result<Command> {
    at(downloads, fs::create_dir_all(downloads))?;
    let path = downloads.join(name);
    at(&path, fs::write(&path, text))?;
    let mut command = Command::new("sh");
    command.arg(path);
    Ok(command)
}

/// Refuses to go on without a program, and says what it is for.
pub fn needs(program: &str, reason: &str) -> Result<()> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut places = path.split(':').chain(["/usr/sbin", "/sbin"]);
    if places.any(|place| Path::new(place).join(program).is_file()) {
        return Ok(());
    }
    Err(Error::Missing(format!("`{program}` is not installed: {reason}")))
}

fn remove(path: &Path) -> Result<()> {
    if path.exists() { at(path, fs::remove_dir_all(path)) } else { Ok(()) }
}
