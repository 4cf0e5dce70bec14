//! That compose makes the same of what was brought as of what was there.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use similar::{ChangeTag, TextDiff};

use crate::cli::problem::Problem;
use crate::import::{Picked, Proposal, shows_secret};

use super::disk::lay_out;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// Both are equal.
    Equal,
    /// Docker Compose is not here.
    NotProven,
}

/// How compose is called.
pub struct Program(Vec<PathBuf>);

impl Program {
    /// The plugin of docker, or compose by itself; none when neither answers.
    pub fn find() -> Option<Self> {
        let ways = [vec!["docker".into(), "compose".into()], vec!["docker-compose".into()]];
        ways.into_iter().map(Self).find(|way| {
            let said = way.command().args(["version", "--short"]).output();
            said.is_ok_and(|said| said.status.success() && !said.stdout.starts_with(b"1."))
        })
    }

    /// With nothing of this shell's environment, as on a node.
    fn command(&self) -> Command {
        let mut words = self.0.iter();
        let mut command = Command::new(words.next().map_or(Path::new("docker"), PathBuf::as_path));
        command.args(words).env_clear().stdin(Stdio::null());
        for key in ["PATH", "HOME"] {
            if let Some(value) = std::env::var_os(key) {
                command.env(key, value);
            }
        }
        command
    }
}

/// Proves one stack.
pub fn prove(
    program: Option<&Program>,
    folder: &Path,
    picked: &Picked,
    project: Option<&str>,
    proposal: &Proposal,
) -> Result<Proof, Problem> {
    let Some(program) = program else { return Ok(Proof::NotProven) };
    let folder = folder.canonicalize()?;
    let was = said(&original(program, &folder, picked, project)?)
        .map_err(|said| refused("the stack as it is", &said))?;
    let staged = tempfile::tempdir()?;
    let base = staged.path().canonicalize()?.join("stack");
    std::fs::create_dir(&base)?;
    lay_out(&proposal.files, &base, &folder)?;
    stay(proposal, &folder, &base)?;
    let is = said(&brought(program, &base, proposal)?)
        .map_err(|said| refused("what it would become", &said))?;
    let is = is.replace(&base.display().to_string(), &folder.display().to_string());
    let (was, is) = (meant(&was), meant(&is));
    if was == is {
        return Ok(Proof::Equal);
    }
    let message = format!(
        "docker compose makes something else of what it would become:\n{}",
        difference(&was, &is)
    );
    Err(Problem::new(message)
        .hint("nothing was written; write the value that differs into the compose file"))
}

/// Files that stay on the node lie there when compose reads them.
fn stay(proposal: &Proposal, folder: &Path, base: &Path) -> std::io::Result<()> {
    for left in &proposal.left {
        let (from, to) = (folder.join(&left.path), base.join(&left.path));
        if from.is_file() && !to.exists() {
            to.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            std::fs::copy(from, to)?;
        }
    }
    Ok(())
}

/// The stack as compose takes it where it lies.
fn original(
    program: &Program,
    folder: &Path,
    picked: &Picked,
    project: Option<&str>,
) -> std::io::Result<Output> {
    let mut command = program.command();
    command.current_dir(folder);
    if let Some(project) = project {
        command.args(["-p", project]);
    }
    if !picked.by_itself {
        command.args(picked.compose.iter().flat_map(|file| ["-f", file]));
    }
    command.args(["--profile", "*", "config"]).output()
}

/// What was brought, as nodes take it.
fn brought(program: &Program, base: &Path, proposal: &Proposal) -> std::io::Result<Output> {
    let mut command = program.command();
    command.current_dir("/").args(["-p", &proposal.project, "--project-directory"]).arg(base);
    command.arg("-f").arg(base.join(&proposal.compose)).args(["--env-file", "/dev/null"]);
    command.args(["--profile", "*", "config"]).output()
}

/// What compose printed, or why it did not.
fn said(output: &Output) -> Result<String, String> {
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    let unset = complaints.lines().find(|line| line.contains("variable is not set"));
    match unset {
        Some(line) => Err(line.to_owned()),
        None if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        None => Err(complaints),
    }
}

/// What compose printed without people's own top-level keys, which mean nothing to it: an included file's are gone.
fn meant(config: &str) -> String {
    let mut own = false;
    let mut kept = String::new();
    for line in config.split_inclusive('\n') {
        if !line.starts_with([' ', '\n']) {
            own = line.starts_with("x-");
        }
        if !own {
            kept.push_str(line);
        }
    }
    kept
}

fn refused(what: &str, said: &str) -> Problem {
    Problem::new(format!("docker compose refuses {what}: {}", said.trim()))
        .hint("nothing was written")
}

/// The lines that differ, without secrets.
fn difference(was: &str, is: &str) -> String {
    let diff = TextDiff::from_lines(was, is);
    let mut lines = Vec::new();
    for change in diff.iter_all_changes() {
        let sign = match change.tag() {
            ChangeTag::Equal => continue,
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
        };
        let line = change.value().trim_end();
        let key = line.split(':').next().unwrap_or_default();
        let line = if shows_secret(line) { format!("{key}: …") } else { line.to_owned() };
        lines.push(format!("{sign} {line}"));
    }
    lines.truncate(40);
    lines.join("\n")
}
