//! What every command needs: global flags, settings, and the fleet that a path or commit holds.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::check::{self, Checked};
use crate::clock::Clock;
use crate::diagnostic::Diagnostic;
use crate::engine::{Asked, Nodes, Vault, pinned, within};
use crate::journal::{self, Journal};
use crate::limits;
use crate::model::{Commit, Fleet, Node, Release, Snapshot, Warning};
use crate::render;
use crate::report::diagnostics;
use crate::secrets::Opener;
use crate::settings::{Flags, History, Settings};
use crate::source::{self, Distrust, SourceError};
use crate::transport::{ControlDirectory, SshOptions, connect};

use super::output::colour;
use super::problem::Problem;

/// Where help lists the flags of every command.
const COMMON: &str = "Options of every command";

/// Flags of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Say only what went wrong
    #[arg(long, short, global = true, help_heading = COMMON)]
    pub quiet: bool,
    /// The controller's settings file
    #[arg(long, global = true, value_name = "FILE", help_heading = COMMON)]
    #[arg(env = "GITSYNC_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// The directory where the controller keeps its journal
    #[arg(long, global = true, value_name = "DIR", help_heading = COMMON)]
    #[arg(env = "GITSYNC_STATE", hide_env_values = true)]
    pub state: Option<PathBuf>,
}

/// How a command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Where the fleet's files are.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// The fleet's folder
    #[arg(default_value = ".", value_name = "PATH")]
    pub path: PathBuf,
    /// Read this commit of the folder's repository instead of the files on disk
    #[arg(long, value_name = "REV")]
    pub rev: Option<String>,
}

impl Place {
    /// Reads the files.
    pub fn snapshot(&self) -> Result<Snapshot, Problem> {
        match &self.rev {
            Some(rev) => at_revision(&self.path, rev),
            None => Ok(source::directory(&self.path)?),
        }
    }
}

/// Reads a commit of the repository that holds `path`, below that folder.
pub fn at_revision(path: &Path, rev: &str) -> Result<Snapshot, Problem> {
    Ok(source::revision(path, rev)?)
}

/// A snapshot that is good, and what it wants.
pub struct Wanted {
    /// The checked snapshot.
    pub fleet: Fleet,
    /// What it wants on every node.
    pub release: Release,
}

impl Global {
    /// The settings from file, environment and flags.
    pub fn settings(&self, mut flags: Flags) -> Result<Settings, Problem> {
        flags.config.clone_from(&self.config);
        flags.state.clone_from(&self.state);
        Ok(Settings::load(&flags)?)
    }

    /// The controller's journal.
    pub async fn journal(&self, settings: &Settings) -> Result<Journal, Problem> {
        Ok(Journal::open(&settings.state).await?)
    }

    /// The controller's journal, to read only: another controller may be writing it.
    pub async fn reader(&self, settings: &Settings) -> Result<Journal, Problem> {
        Ok(Journal::read(&settings.state).await?)
    }

    /// Checks and renders a snapshot; its diagnostics go to standard error.
    pub fn wanted(&self, snapshot: &Snapshot) -> Result<Wanted, Problem> {
        let Checked { fleet, mut diagnostics, .. } = check::check(snapshot);
        let rendered = fleet.map(|fleet| (render::render(&fleet), fleet));
        let wanted = match rendered {
            Some((Ok(release), fleet)) => Some(Wanted { fleet, release }),
            Some((Err(more), _)) => {
                diagnostics.extend(more);
                None
            }
            None => None,
        };
        if !self.quiet || wanted.is_none() {
            anstream::eprint!("{}", problems(&diagnostics, snapshot, colour()));
        }
        wanted.ok_or_else(Problem::invalid)
    }
}

/// Refuses what goes beyond the limits of this controller.
pub fn limited(wanted: &Wanted, settings: &Settings) -> Result<(), Problem> {
    within(&wanted.fleet, &wanted.release, settings.limits.as_ref(), &BTreeMap::new())
        .map_err(|refusal| Problem::from_refusal(&refusal))
}

/// The same as refusals of a plan for which no node is asked.
pub fn beyond(wanted: &Wanted, settings: &Settings) -> Vec<Warning> {
    let Some(limits) = &settings.limits else { return Vec::new() };
    let found = limits::breaches(&wanted.fleet, &wanted.release, limits, &BTreeMap::new());
    let refusal = |breach: &limits::Breach| Warning {
        code: "limits".to_owned(),
        message: breach.to_string(),
        unit: None,
    };
    found.iter().map(refusal).collect()
}

/// The ways to a fleet's nodes; none of them is asked unless all are as they are pinned.
pub fn nodes(fleet: &Fleet, settings: &Settings) -> Result<Nodes, Problem> {
    pinned(fleet, settings.limits.as_ref()).map_err(|refusal| Problem::from_refusal(&refusal))?;
    let options = ssh_options(settings)?;
    let way = |node: &Node| connect(node, &fleet.nodes, &options);
    Ok(Nodes::new(fleet.nodes.values(), settings.parallel, way)?)
}

/// Why this controller changes nothing of a fleet for now, in words.
pub fn suspension(fleet: &Fleet, settings: &Settings) -> Option<String> {
    let now = clock().now();
    journal::suspension(&settings.state, &fleet.name, now).map(|it| it.words(now))
}

/// What opens the fleet's secrets.
pub fn vault(settings: &Settings) -> Arc<dyn Vault> {
    Arc::new(Opener::new(settings.secrets.clone()))
}

/// Why what is wanted is not trusted, when the settings require signatures.
///
/// Files that differ from their commit are signed by nobody.
pub fn distrust(
    path: &Path,
    snapshot: &Snapshot,
    settings: &Settings,
) -> Result<Option<Distrust>, Problem> {
    let Some(_) = &settings.signatures else { return Ok(None) };
    let nobodys = |message: &str| Distrust { code: "unsigned", message: message.to_owned() };
    Ok(match &snapshot.commit {
        None => Some(nobodys("signatures are required, and the files are of no commit")),
        Some(_) if snapshot.dirty => Some(nobodys(
            "signatures are required, and the files differ from HEAD: nobody signed them",
        )),
        Some(commit) => unsigned(path, commit, settings)?,
    })
}

/// Why a commit is not trusted by who may sign now, when the settings require signatures.
pub fn unsigned(
    path: &Path,
    commit: &Commit,
    settings: &Settings,
) -> Result<Option<Distrust>, SourceError> {
    let Some(signatures) = &settings.signatures else { return Ok(None) };
    source::distrust(path, &commit.id, signatures, clock().now())
}

/// Looks up how the wanted commit lies to the last good one, and spares the unit that the controller runs in.
pub fn recall(
    path: &Path,
    wanted: &Wanted,
    settings: &Settings,
    any: bool,
    asked: &mut Asked,
) -> Result<(), Problem> {
    asked.spare(settings.controller.clone());
    let (Some(commit), Some(good)) = (&wanted.release.commit, asked.last_good()) else {
        return Ok(());
    };
    let ancestry = source::ancestry(path, &good, &commit.id)?;
    asked.recall(commit, &good, ancestry, any || settings.history == History::Any);
    Ok(())
}

/// How SSH is used: control sockets in a private directory that goes with this process.
pub fn ssh_options(settings: &Settings) -> Result<SshOptions, Problem> {
    let mut options = SshOptions::new(Arc::new(ControlDirectory::create()?));
    options.connect_timeout = settings.connect_timeout;
    Ok(options)
}

/// Time as commands see it.
pub fn clock() -> Clock {
    Clock::from_environment()
}

/// Who runs this, in words: `user@host`.
pub fn holder() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let host = host.map_or_else(|_| "controller".to_owned(), |name| name.trim().to_owned());
    format!("{}@{host}", user.unwrap_or_else(|_| "user".to_owned()))
}

/// Diagnostics for people, each with the lines it is about, and a closing line when there is any.
pub fn problems(found: &[Diagnostic], snapshot: &Snapshot, colour: bool) -> String {
    if found.is_empty() {
        return String::new();
    }
    let sources =
        |file: &str| snapshot.content(file).and_then(|text| std::str::from_utf8(text).ok());
    let text = diagnostics::text(found, &|file| sources(file).map(Cow::Borrowed), colour);
    format!("{text}\n{}\n", diagnostics::summary(found, snapshot.entries.len()))
}
