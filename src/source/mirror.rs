//! The controller's own bare copy of a remote repository: fetched, read, and made anew when it is damaged.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use git2::{
    AutotagOption, Direction, FetchOptions, FetchPrune, Oid, Remote, Repository,
    RepositoryInitMode, RepositoryInitOptions,
};

use crate::model::{Snapshot, Timestamp, sha256_hex};
use crate::settings::{GitAccess, Signatures};

use super::remote::{Address, callbacks, explain, limit_sockets};
use super::{Ancestry, Distrust, SourceError, ancestry, git, signature};

/// Every branch and tag, under its own name; a branch that was forced is followed.
const REFSPECS: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];

/// A bare copy of a remote repository in the controller's state directory.
///
/// Cheap to clone; its work runs on blocking threads, one at a time. A crash midway leaves a copy that the next
/// fetch completes; a damaged or vanished copy is thrown away and fetched whole.
#[derive(Clone, Debug)]
pub struct Mirror {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    address: Address,
    access: GitAccess,
    path: PathBuf,
    turn: Mutex<()>,
}

impl Mirror {
    /// Opens (or makes) the copy of `url` in a folder of its own below `directory`; nothing is fetched yet.
    pub async fn open(url: &str, directory: &Path, access: GitAccess) -> Result<Self, SourceError> {
        let address = Address::new(url)?;
        let digest = sha256_hex(address.url.as_bytes());
        let path = directory.join(format!("{}.git", digest.get(..16).unwrap_or(&digest)));
        let inner = Inner { address, access, path, turn: Mutex::new(()) };
        let mirror = Self { inner: Arc::new(inner) };
        mirror.work(|inner| inner.repository().map(drop)).await?;
        Ok(mirror)
    }

    /// The address, without a password.
    pub fn shown_url(&self) -> &str {
        &self.inner.address.shown
    }

    /// Brings branches and tags up to date. One exchange of references when nothing changed.
    pub async fn fetch(&self) -> Result<(), SourceError> {
        let limit = self.inner.access.timeout;
        let fetch = self.work(Inner::fetch);
        let fetched = tokio::time::timeout(limit.saturating_mul(2), fetch).await;
        tracing::debug!(url = self.shown_url(), "looked at the repository");
        fetched.unwrap_or_else(|_| {
            let url = self.inner.address.shown.clone();
            Err(SourceError::TimedOut { url, seconds: limit.as_secs() })
        })
    }

    /// The id of the newest fetched commit of a branch.
    pub async fn tip(&self, branch: &str) -> Result<String, SourceError> {
        let branch = branch.to_owned();
        self.work(move |inner| inner.healing(|repository| inner.tip(repository, &branch))).await
    }

    /// The id of the commit that a revision names: a branch, a tag, an id, `main~2`.
    pub async fn resolve(&self, rev: &str) -> Result<String, SourceError> {
        let rev = rev.to_owned();
        self.work(move |inner| {
            let find = |repository: &Repository| {
                git::resolve(repository, &rev, &inner.address.shown).map(|id| id.to_string())
            };
            inner.healing(find)
        })
        .await
    }

    /// The files of a revision below `folder`; an empty one means the whole tree.
    pub async fn snapshot(&self, rev: &str, folder: &str) -> Result<Snapshot, SourceError> {
        let (rev, folder) = (rev.to_owned(), folder.to_owned());
        self.work(move |inner| {
            inner.healing(|repository| {
                let commit = git::resolve(repository, &rev, &inner.address.shown)?;
                git::read(repository, commit, &folder)
            })
        })
        .await
    }

    /// How a revision lies to the commit with the id `earlier`.
    pub async fn ancestry(&self, earlier: &str, wanted: &str) -> Result<Ancestry, SourceError> {
        let (earlier, wanted) = (earlier.to_owned(), wanted.to_owned());
        self.work(move |inner| {
            let place = &inner.address.shown;
            inner.healing(|repository| ancestry::between(repository, &earlier, &wanted, place))
        })
        .await
    }

    /// Why a commit is not trusted as of `now`; none when it is.
    pub async fn distrust(
        &self,
        commit: &str,
        signatures: &Signatures,
        now: Timestamp,
    ) -> Result<Option<Distrust>, SourceError> {
        let (commit, signatures) = (commit.to_owned(), signatures.clone());
        self.work(move |inner| {
            let place = &inner.address.shown;
            let judge = |git: &Repository| signature::of(git, &commit, place, &signatures, now);
            inner.healing(judge)
        })
        .await
    }

    async fn work<T, F>(&self, job: F) -> Result<T, SourceError>
    where
        T: Send + 'static,
        F: FnOnce(&Inner) -> Result<T, SourceError> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        let task = tokio::task::spawn_blocking(move || {
            // The lock guards no data: a job that panicked leaves nothing half-made behind that matters.
            let _turn = inner.turn.lock().unwrap_or_else(PoisonError::into_inner);
            job(&inner)
        });
        task.await.map_err(|error| SourceError::Task(error.to_string()))?
    }
}

impl Inner {
    /// The copy on disk; made when it isn't there, made anew when it can't be opened.
    fn repository(&self) -> Result<Repository, SourceError> {
        match Repository::open_bare(&self.path) {
            Ok(repository) => Ok(repository),
            Err(_) => self.renew(),
        }
    }

    fn renew(&self) -> Result<Repository, SourceError> {
        let unreadable = |error| SourceError::Unreadable { path: self.path.clone(), error };
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(unreadable(error)),
            _ => {}
        }
        fs::create_dir_all(&self.path).map_err(unreadable)?;
        let mut options = RepositoryInitOptions::new();
        options.bare(true).external_template(false);
        // What the fleet keeps may be nobody else's business on this machine.
        options.mode(RepositoryInitMode::from_bits_retain(0o700));
        Ok(Repository::init_opts(&self.path, &options)?)
    }

    /// Does a job; when the copy turns out to be damaged, fetches it whole and does the job once more.
    fn healing<T>(
        &self,
        job: impl Fn(&Repository) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        match job(&self.repository()?) {
            Err(SourceError::Git(error)) => {
                tracing::warn!(path = %self.path.display(), %error, "the mirror is damaged; fetching it whole");
                let repository = self.renew()?;
                self.bring(&repository)?;
                job(&repository)
            }
            other => other,
        }
    }

    fn fetch(&self) -> Result<(), SourceError> {
        let repository = self.repository()?;
        match self.bring(&repository) {
            Err(SourceError::Git(error)) => {
                tracing::warn!(path = %self.path.display(), %error, "the mirror is damaged; fetching it whole");
                self.bring(&self.renew()?)
            }
            other => other,
        }
    }

    /// Fetches what is missing. An error of the copy itself is `SourceError::Git`; the remote's have their own.
    fn bring(&self, repository: &Repository) -> Result<(), SourceError> {
        limit_sockets();
        let deadline = Instant::now() + self.access.timeout;
        let limit = self.access.timeout;
        let mut remote = repository.remote_anonymous(&self.address.url)?;
        let told = |error: git2::Error| {
            if git::is_corrupt(&error) && !self.remote_is_at_fault() {
                SourceError::Git(error)
            } else {
                explain(&error, &self.address, &self.access, limit, deadline)
            }
        };
        let calls = callbacks(&self.access, &self.address, deadline);
        let mut connection = remote
            .connect_auth(Direction::Fetch, Some(calls), None)
            .map_err(|error| explain(&error, &self.address, &self.access, limit, deadline))?;
        let theirs = advertised(connection.remote()).map_err(told)?;
        if theirs == ours(repository)? {
            return Ok(());
        }
        let mut options = FetchOptions::new();
        options.remote_callbacks(callbacks(&self.access, &self.address, deadline));
        options.prune(FetchPrune::On).download_tags(AutotagOption::None).update_fetchhead(false);
        connection.remote().fetch(&REFSPECS, Some(&mut options), None).map_err(told)
    }

    /// Whether a damaged local remote explains the error: then a fresh copy would not help.
    fn remote_is_at_fault(&self) -> bool {
        let path = self.address.url.strip_prefix("file://").unwrap_or(&self.address.url);
        path.starts_with('/') && Repository::open(path).is_err()
    }

    fn tip(&self, repository: &Repository, branch: &str) -> Result<String, SourceError> {
        let name = format!("refs/heads/{branch}");
        match repository.find_reference(&name) {
            // A reference to a commit that isn't there is damage, which the caller mends.
            Ok(reference) => Ok(reference.peel_to_commit()?.id().to_string()),
            Err(error) if git::is_corrupt(&error) => Err(SourceError::Git(error)),
            Err(_) => Err(SourceError::NoBranch {
                url: self.address.shown.clone(),
                branch: branch.to_owned(),
                existing: git::branches(repository),
            }),
        }
    }
}

type References = BTreeMap<String, Oid>;

/// Branches and tags that the remote offers.
fn advertised(remote: &Remote<'_>) -> Result<References, git2::Error> {
    let heads = remote.list()?.iter();
    let named = heads.map(|head| (head.name().to_owned(), head.oid()));
    Ok(named.filter(|(name, _)| is_mirrored(name)).collect())
}

/// Branches and tags that the copy has.
fn ours(repository: &Repository) -> Result<References, git2::Error> {
    let mut found = References::new();
    for reference in repository.references()? {
        let reference = reference?;
        let name = String::from_utf8_lossy(reference.name_bytes()).into_owned();
        if let Some(id) = reference.target().filter(|_| is_mirrored(&name)) {
            found.insert(name, id);
        }
    }
    Ok(found)
}

fn is_mirrored(name: &str) -> bool {
    let ours = name.starts_with("refs/heads/") || name.starts_with("refs/tags/");
    // `^{}` entries tell what an annotated tag points to; they are no references.
    ours && !name.ends_with("^{}")
}
