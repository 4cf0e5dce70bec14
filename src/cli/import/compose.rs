//! `gitsync import compose`: services of compose files that people have.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::import::{DEFAULTS, Picked, Proposal, Wish, pick, propose};
use crate::model::{AbsPath, Fleet, Name};
use crate::source;

use crate::cli::context::{Format, Global};
use crate::cli::problem::Problem;
use crate::cli::render::known;

use super::disk::{self, Disk};
use super::proof::{Program, prove};
use super::repository;
use super::tell::{Report, Told, left};

/// Make services of compose files: the files as they are, what they need beside them, and a `service.yaml`.
#[derive(Debug, Args)]
#[command(
    after_help = "What containers write stays where it is, and so does what looks like a secret. Before \
    anything is written the repository is checked with it, and `docker compose config` must make the same of both."
)]
pub struct Compose {
    /// Compose files, or folders that hold one; each becomes a service
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Another file that is merged over FILE, as with `docker compose -f FILE -f MORE`
    #[arg(long = "file", short, value_name = "MORE")]
    file: Vec<PathBuf>,
    /// The node that they run on
    #[arg(long, value_name = "NODE")]
    node: String,
    /// The service's name; made of the compose project's when absent
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The compose project, when it was given by flag (`docker compose -p`)
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// An environment of the fleet other than its first
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Where its files lie on the node, when not below the node's `paths.services`
    #[arg(long, value_name = "DIR")]
    directory: Option<String>,
    /// It runs on the node already: take it over
    #[arg(long)]
    adopt: bool,
    /// Also copy what looks like a secret, in plain
    #[arg(long)]
    with_secrets: bool,
    /// The fleet's folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    repository: PathBuf,
    /// Only tell what would be written
    #[arg(long)]
    dry_run: bool,
    /// How it is told
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// A stack that is on its way.
struct Stack {
    from: PathBuf,
    disk: Disk,
    picked: Picked,
    proposal: Proposal,
}

impl Compose {
    /// Brings all stacks, or none.
    pub fn run(&self, global: &Global) -> Result<u8, Problem> {
        let snapshot = source::directory(&self.repository)?;
        let fleet = repository::fleet(&snapshot)?;
        let wish = self.wish(&fleet)?;
        let stacks: Vec<Stack> =
            self.files.iter().map(|file| self.stack(file, &wish)).collect::<Result<_, _>>()?;
        self.unheard_of(&stacks)?;
        bearable(&stacks)?;
        let more = stacks.iter().flat_map(|stack| {
            let entries = stack.proposal.files.values().cloned();
            paths(&stack.proposal).zip(entries)
        });
        repository::checked(&snapshot, more.collect(), global.quiet).inspect_err(|_| {
            stacks.iter().for_each(|stack| anstream::eprint!("{}", left(&stack.proposal.left)));
        })?;
        self.kept(&stacks)?;
        let program = Program::find();
        let mut services = Vec::new();
        for stack in &stacks {
            let project = self.project.as_deref();
            let (folder, proposal) = (&stack.disk.root, &stack.proposal);
            let proof = prove(program.as_ref(), folder, &stack.picked, project, proposal)?;
            let from = stack.from.display().to_string();
            services.push(Told::new(proposal, from, wish.node.as_str(), proof));
        }
        if !self.dry_run {
            let all = stacks.iter().map(|stack| {
                (stack.proposal.name.to_string(), &stack.proposal.files, stack.disk.root.as_path())
            });
            disk::write(&self.repository, &all.collect::<Vec<_>>())?;
        }
        Report { services, written: !self.dry_run }.print(self.format, global.quiet)
    }

    fn wish(&self, fleet: &Fleet) -> Result<Wish, Problem> {
        if self.files.len() > 1
            && (self.name.is_some() || self.project.is_some() || !self.file.is_empty())
        {
            return Err(Problem::new("`--name`, `--project` and `--file` are about one stack")
                .hint("import the stacks one by one"));
        }
        let node = known(&self.node, &fleet.nodes)?;
        let services = fleet.nodes.get(&node).map(|node| node.paths.services.clone());
        let services =
            services.ok_or_else(|| Problem::new("the node has no directory for services"))?;
        Ok(Wish {
            name: self.name.clone().map(Name::new).transpose()?,
            project: self.project.clone(),
            node,
            services,
            environment: self.environment(fleet)?,
            directory: self.directory.clone().map(AbsPath::new).transpose()?,
            adopt: self.adopt,
            with_secrets: self.with_secrets,
        })
    }

    /// The environment to write; none for the first one, which services are in anyway.
    fn environment(&self, fleet: &Fleet) -> Result<Option<Name>, Problem> {
        let Some(wanted) = &self.environment else { return Ok(None) };
        let names = || fleet.environments.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
        let at = fleet.environments.iter().position(|name| name.as_str() == wanted);
        let at = at.ok_or_else(|| {
            Problem::new(format!("there is no environment `{wanted}`"))
                .hint(format!("environments are {}", names()))
        })?;
        Ok(fleet.environments.get(at).filter(|_| at > 0).cloned())
    }

    fn stack(&self, from: &Path, wish: &Wish) -> Result<Stack, Problem> {
        let file = compose_file(from)?;
        let root = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let folder = root.canonicalize()?;
        let named = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        let first = file.file_name().map(|name| name.to_string_lossy().into_owned());
        let more = self.file.iter().map(|more| below(&folder, more));
        let more: Vec<String> = more.collect::<Result<_, _>>()?;
        let disk = Disk { root };
        let picked = pick(&disk, &named.unwrap_or_default(), &first.unwrap_or_default(), &more);
        let proposal = propose(&disk, &picked, wish).map_err(|refusal| {
            Problem::new(format!("{}: {}", from.display(), refusal.message)).hint(refusal.hint)
        })?;
        Ok(Stack { from: file, disk, picked, proposal })
    }

    /// No service is written over, nor two stacks into one.
    fn unheard_of(&self, stacks: &[Stack]) -> Result<(), Problem> {
        let mut names = BTreeSet::new();
        for stack in stacks {
            let name = &stack.proposal.name;
            let home = self.repository.join("services");
            let there = [home.join(name.as_str()), home.join(format!("{name}.yaml"))];
            let there = there.iter().find(|path| path.symlink_metadata().is_ok());
            let problem = match there {
                Some(path) => Some(format!("there is {} already", path.display())),
                None if !names.insert(name.clone()) => {
                    Some(format!("two of these stacks would be the service `{name}`"))
                }
                None => None,
            };
            if let Some(message) = problem {
                return Err(Problem::new(format!("{}: {message}", stack.from.display()))
                    .hint("give it another name: `--name NAME`"));
            }
        }
        Ok(())
    }

    /// Nothing that Git would leave out of the commit.
    fn kept(&self, stacks: &[Stack]) -> Result<(), Problem> {
        let paths: Vec<String> = stacks.iter().flat_map(|stack| paths(&stack.proposal)).collect();
        let ignored = source::ignored(&self.repository, &paths)?;
        if ignored.is_empty() {
            return Ok(());
        }
        let hint = format!("add to the repository's .gitignore: `!{}`", ignored.join("`, `!"));
        Err(Problem::new(format!("Git would leave out {}", ignored.join(", "))).hint(hint))
    }
}

/// The compose file that a path means.
fn compose_file(path: &Path) -> Result<PathBuf, Problem> {
    if !path.is_dir() {
        return match path.is_file() {
            true => Ok(path.to_owned()),
            false => Err(Problem::new(format!("there is no file {}", path.display()))),
        };
    }
    let found = DEFAULTS.iter().map(|name| path.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| {
        Problem::new(format!("there is no compose file in {}", path.display()))
            .hint(format!("compose looks for {}", DEFAULTS.join(", ")))
    })
}

/// A further compose file, from the folder of the first.
fn below(folder: &Path, file: &Path) -> Result<String, Problem> {
    let whole = file
        .canonicalize()
        .map_err(|error| Problem::new(format!("{} can't be read: {error}", file.display())))?;
    let below = whole.strip_prefix(folder).map_err(|_| {
        Problem::new(format!("{} lies outside of {}", file.display(), folder.display()))
            .hint("put it beside the first compose file: a service brings its own folder only")
    })?;
    Ok(below.to_string_lossy().into_owned())
}

fn paths(proposal: &Proposal) -> impl Iterator<Item = String> {
    proposal.files.keys().map(|path| format!("services/{}/{path}", proposal.name))
}

/// Whether every stack can be brought at all; all reasons are told.
fn bearable(stacks: &[Stack]) -> Result<(), Problem> {
    let mut reasons = 0;
    for stack in stacks {
        for refusal in &stack.proposal.refusals {
            let message = format!("{}: {}", stack.from.display(), refusal.message);
            Problem::new(message).hint(&refusal.hint).print();
            reasons += 1;
        }
        if !stack.proposal.refusals.is_empty() {
            anstream::eprint!("{}", left(&stack.proposal.left));
        }
    }
    match reasons {
        0 => Ok(()),
        1 => Err(Problem::new("nothing was written: what is told above must be mended first")),
        _ => Err(Problem::new(format!("nothing was written, for these {reasons} reasons"))),
    }
}
