//! What people have already, as files of a fleet repository: what to copy, what to leave, and what can't be said.
//!
//! Nothing is read or written here: files are asked for through [`Files`], and what comes of it is a [`Proposal`].

pub mod caddyfile;
mod data;
mod gather;
mod names;
mod pick;
mod secrets;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use self::gather::Gathered;
use crate::check::compose::{Use, dotenv};
use crate::model::{AbsPath, Entry, Name};

pub use self::names::label;
pub use self::pick::{DEFAULTS, Picked, pick};
pub use self::secrets::shows_secret;
pub use self::text::WRAPPER;

/// The file of variables that compose reads by itself.
const VARIABLES: &str = ".env";

/// What lies at a path of the stack's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing at all.
    Nothing,
    /// A file.
    File {
        /// Its bytes.
        content: Vec<u8>,
        /// Whether it may be executed.
        executable: bool,
    },
    /// A file that a fleet repository may not have; its size in bytes.
    TooLarge(u64),
    /// A directory.
    Directory,
    /// A link, a socket, or what may not be read; in words.
    Other(&'static str),
}

/// The folder that a stack lies in; paths are relative to it, `/`-separated, and empty for itself.
pub trait Files {
    /// What lies there.
    fn look(&self, path: &str) -> Look;
    /// The names in a directory, sorted.
    fn names(&self, directory: &str) -> Vec<String>;
}

/// Where the stack is to go.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The service's name; made of the project's when absent.
    pub name: Option<Name>,
    /// The project that compose was told by flag.
    pub project: Option<String>,
    /// Its node.
    pub node: Name,
    /// Where services lie on that node.
    pub services: AbsPath,
    /// Another environment than the fleet's first.
    pub environment: Option<Name>,
    /// Where its files lie on the node, when not below `services`.
    pub directory: Option<AbsPath>,
    /// Whether it runs there already and is to be taken over.
    pub adopt: bool,
    /// Whether what looks like a secret goes into the repository as it is.
    pub with_secrets: bool,
}

/// A file or directory that is not copied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Left {
    /// Its path in the stack's folder.
    pub path: String,
    /// Why it stays.
    pub why: String,
    /// What to do about it.
    pub todo: String,
}

/// Why a stack can't be brought as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// What is the matter.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Refusal {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// What a stack becomes.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The service.
    pub name: Name,
    /// Its compose project.
    pub project: String,
    /// Where its files will lie on the node.
    pub directory: AbsPath,
    /// The compose file that the service names.
    pub compose: String,
    /// Everything in the service's folder, by its path there.
    pub files: BTreeMap<String, Entry>,
    /// What is not copied.
    pub left: Vec<Left>,
    /// What to know.
    pub remarks: Vec<String>,
    /// Why it must not be written.
    pub refusals: Vec<Refusal>,
}

/// Makes a service of a stack; an error when it can't even be named.
pub fn propose(files: &dyn Files, picked: &Picked, wish: &Wish) -> Result<Proposal, Refusal> {
    let gathered = gather::wrapped(files, &picked.compose);
    let project = names::project(&gathered, picked, wish)?;
    let name = match &wish.name {
        Some(name) => name.clone(),
        None => label(&project).ok_or_else(|| unnamed(&project))?,
    };
    let own = wish.environment.as_ref().map_or_else(|| name.to_string(), |e| format!("{name}-{e}"));
    let below = wish.services.join(&own);
    let directory = match &wish.directory {
        Some(directory) => directory.clone(),
        None => below.map_err(|error| Refusal::new(error.to_string(), "give another `--name`"))?,
    };
    let mut bringing = Bringing::new(files, picked, wish, (project, name, directory));
    bringing.variables(gathered);
    bringing.folder();
    bringing.secrets();
    Ok(bringing.done(&own))
}

fn unnamed(project: &str) -> Refusal {
    let message = format!("`{project}` makes no name of a service");
    Refusal::new(message, "give one: `--name NAME`")
}

/// A stack on its way.
struct Bringing<'a> {
    files: &'a dyn Files,
    picked: &'a Picked,
    wish: &'a Wish,
    wrapper: bool,
    gathered: Gathered,
    /// Files that are copied although containers may write to them, and who may.
    writable: BTreeMap<String, String>,
    out: Proposal,
}

impl<'a> Bringing<'a> {
    fn new(
        files: &'a dyn Files,
        picked: &'a Picked,
        wish: &'a Wish,
        (project, name, directory): (String, Name, AbsPath),
    ) -> Self {
        let out = Proposal {
            name,
            project,
            directory,
            compose: String::new(),
            files: BTreeMap::new(),
            left: Vec::new(),
            remarks: Vec::new(),
            refusals: Vec::new(),
        };
        Self {
            files,
            picked,
            wish,
            wrapper: false,
            gathered: Gathered::default(),
            writable: BTreeMap::new(),
            out,
        }
    }

    /// Whether the compose files need `.env` or each other, which a file that includes them says.
    fn variables(&mut self, wrapped: Gathered) {
        let said: BTreeSet<String> =
            self.picked.variables.iter().map(|(name, _)| name.clone()).collect();
        let inner = wrapped.names_in_env_files();
        let all = [&wrapped.compose.used, &wrapped.compose.passed, &wrapped.compose.handed, &inner];
        let needed = all.iter().any(|names| names.iter().any(|name| said.contains(name)));
        self.wrapper = needed || self.picked.compose.len() > 1;
        let shared = |names: &BTreeSet<String>| {
            let shared: Vec<String> = names.intersection(&said).map(|n| format!("`{n}`")).collect();
            (!shared.is_empty()).then(|| shared.join(", "))
        };
        if let Some(names) = shared(&wrapped.compose.handed) {
            self.refuse(
                format!("{names} of `.env` is named without a value where compose on the node hands none on"),
                "write `NAME: ${NAME}` in `environment` and in `args` of `build`",
            );
        }
        if let Some(names) = shared(&inner) {
            self.refuse(
                format!("an `env_file` takes {names} from `.env`, which compose on the node does not see there"),
                "write the values into that file",
            );
        }
        self.unset(&wrapped, &said);
        self.gathered = match self.picked.compose.first() {
            Some(only) if !self.wrapper => gather::alone(self.files, only),
            _ => wrapped,
        };
        if self.wrapper && !needed {
            self.gathered.snapshot.entries.remove(VARIABLES);
        }
        let missing = self
            .picked
            .compose
            .iter()
            .filter(|file| !self.gathered.snapshot.entries.contains_key(file.as_str()));
        let missing: Vec<&String> = missing.collect();
        for file in missing {
            self.out.refusals.push(Refusal::new(
                format!("`{file}` can't be taken along: {}", in_words(&self.files.look(file))),
                "bring a plain file of at most 1 MiB",
            ));
        }
    }

    fn unset(&mut self, gathered: &Gathered, said: &BTreeSet<String>) {
        for name in gathered.compose.passed.difference(said) {
            self.out.remarks.push(format!(
                "`{name}` has no value of its own: compose took it from the shell that ran it, and on the node there \
                 is none"
            ));
        }
        let profiles = self.picked.variables.iter().find(|(name, _)| name == "COMPOSE_PROFILES");
        if let Some((_, value)) = profiles.filter(|(_, value)| value.as_deref() != Some("")) {
            let value = value.as_deref().unwrap_or("what it says");
            self.refuse(
                format!("`.env` starts services behind profiles (`COMPOSE_PROFILES={value}`), and gitsync starts none"),
                "take `profiles:` from the services that are meant to run, and `COMPOSE_PROFILES` from `.env`",
            );
        }
    }

    fn refuse(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        self.out.refusals.push(Refusal::new(message, hint));
    }

    fn leave(&mut self, path: &str, why: impl Into<String>, todo: impl Into<String>) {
        let left = Left { path: path.to_owned(), why: why.into(), todo: todo.into() };
        if !self.out.left.iter().any(|other| other.path == path) {
            self.out.left.push(left);
        }
    }

    /// The path of a file of the folder on the node.
    fn on_node(&self, path: &str) -> String {
        if path.is_empty() {
            self.out.directory.to_string()
        } else {
            format!("{}/{path}", self.out.directory)
        }
    }

    fn done(mut self, own: &str) -> Proposal {
        let mut entries = std::mem::take(&mut self.gathered.snapshot.entries);
        entries.remove(WRAPPER);
        for (path, by) in self.writable.iter().filter(|(path, _)| entries.contains_key(*path)) {
            self.out.remarks.push(format!(
                "{by} may write to `./{path}`, which Git owns from now on: mount it with `:ro`, or what it writes \
                 counts as drift"
            ));
        }
        let first = self.picked.compose.first().cloned().unwrap_or_default();
        if entries.remove("service.yaml").is_some() {
            self.leave(
                "service.yaml",
                "the service has its own",
                "give the file another name if it is needed",
            );
        }
        if self.wrapper {
            let variables = entries.contains_key(VARIABLES);
            let text = text::wrapper(&self.picked.compose, variables);
            entries.insert(WRAPPER.to_owned(), plain(&text));
            self.out.remarks.push(text::about_wrapper(&self.picked.compose, variables));
        }
        if self.wish.adopt {
            self.out.remarks.push(text::about_adopting(&self.out, &self.wish.node));
        }
        self.out.compose = if self.wrapper { WRAPPER.to_owned() } else { first };
        let text = text::service(&self.out, self.wish, own);
        entries.insert("service.yaml".to_owned(), plain(&text));
        self.out.files = entries;
        self.out.left.sort();
        self.out
    }
}

fn plain(text: &str) -> Entry {
    Entry::File { content: text.as_bytes().to_vec(), executable: false }
}

fn in_words(look: &Look) -> &'static str {
    match look {
        Look::Nothing => "it is not there",
        Look::File { .. } => "it lies outside of the first one's folder",
        Look::TooLarge(_) => "it has more than 1 MiB",
        Look::Directory => "it is a directory",
        Look::Other(what) => what,
    }
}

#[cfg(test)]
mod tests;
