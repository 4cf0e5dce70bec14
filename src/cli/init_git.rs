//! A repository for a new fleet, and a first commit of it where Git knows whose it is.

use std::path::Path;

use git2::{ErrorCode, Repository, RepositoryInitOptions};

use super::problem::Problem;

/// What the first commit says.
const MESSAGE: &str = "a first fleet";

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// A commit of these files.
    Yes(String),
    /// Git doesn't know whose commit it would be.
    Nobody,
    /// Commits are to be signed, which is left to Git itself.
    ToSign,
    /// The repository was there before and has commits: they are its owner's.
    Theirs,
}

impl Committed {
    /// In words, if there is anything to say.
    pub fn told(&self) -> String {
        match self {
            Self::Yes(id) => format!("Committed as {}, “{MESSAGE}”.\n", id.get(..12).unwrap_or(id)),
            Self::Nobody => {
                "Not committed: Git does not know whose commit it would be.\n".to_owned()
            }
            Self::ToSign => "Not committed: commits are to be signed here.\n".to_owned(),
            Self::Theirs => "Not committed: the repository around it is yours.\n".to_owned(),
        }
    }

    /// What is left to do.
    pub fn commands(&self) -> String {
        let names = match self {
            Self::Yes(_) => return String::new(),
            Self::Nobody => {
                "  git config --global user.name \"Your Name\"\n  \
                   git config --global user.email you@example.net\n"
            }
            Self::ToSign | Self::Theirs => "",
        };
        format!("{names}  git add . && git commit -m \"{MESSAGE}\"\n")
    }
}

/// Makes a repository unless the folder is in one, and commits these files unless somebody else has to.
///
/// When it fails, a repository that it made goes again.
pub fn commit(place: &Path, paths: &[&str]) -> Result<Committed, Problem> {
    if let Some(repository) = around(place) {
        return if is_fresh(&repository) {
            first(&repository, place, paths)
        } else {
            Ok(Committed::Theirs)
        };
    }
    let made = !place.join(".git").exists();
    let mut options = RepositoryInitOptions::new();
    let repository = Repository::init_opts(place, options.initial_head("main"));
    let committed =
        repository.map_err(Problem::from).and_then(|repository| first(&repository, place, paths));
    if committed.is_err() && made {
        let _ = std::fs::remove_dir_all(place.join(".git"));
    }
    committed
}

/// The repository whose work tree has the folder, and doesn't ignore it.
fn around(place: &Path) -> Option<Repository> {
    let repository = Repository::discover(place).ok()?;
    let root = repository.workdir()?.canonicalize().ok()?;
    let inside = place.strip_prefix(&root).ok()?.to_path_buf();
    let ignored =
        !inside.as_os_str().is_empty() && repository.is_path_ignored(&inside).unwrap_or(false);
    (!ignored).then_some(repository)
}

/// Whether nothing was ever committed or staged, as in a clone of an empty repository.
fn is_fresh(repository: &Repository) -> bool {
    let unborn = repository.head().is_err_and(|error| error.code() == ErrorCode::UnbornBranch);
    let bare = repository.references().is_ok_and(|mut all| all.next().is_none());
    unborn && bare && repository.index().is_ok_and(|index| index.is_empty())
}

fn first(repository: &Repository, place: &Path, paths: &[&str]) -> Result<Committed, Problem> {
    if repository.config()?.get_bool("commit.gpgsign").unwrap_or(false) {
        return Ok(Committed::ToSign);
    }
    let Ok(who) = repository.signature() else { return Ok(Committed::Nobody) };
    let root = repository.workdir().unwrap_or(place).canonicalize()?;
    let inside = place.strip_prefix(&root).unwrap_or(Path::new(""));
    let mut index = repository.index()?;
    for path in paths {
        index.add_path(&inside.join(path))?;
    }
    index.write()?;
    let tree = repository.find_tree(index.write_tree()?)?;
    let id = repository.commit(Some("HEAD"), &who, &who, MESSAGE, &tree, &[])?;
    Ok(Committed::Yes(id.to_string()))
}
