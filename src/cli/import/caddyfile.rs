//! `gitsync import caddyfile`: a gateway of a Caddyfile, read by Caddy itself.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::cli::context::{Format, Global};
use crate::cli::output;
use crate::cli::problem::Problem;
use crate::cli::render::known;
use crate::import::caddyfile::{self as import, Gateway};
use crate::model::{Entry, Name};
use crate::report::lines::one_line;
use crate::source;

use super::repository;

/// Make a gateway of a Caddyfile, with the routes that services have to be given.
#[derive(Debug, Args)]
#[command(
    after_help = "Caddy reads the file (`caddy adapt`). Sites that only route to services of the fleet become \
    lines for those services; everything else is kept word for word in the gateway's file, and said."
)]
pub struct Caddyfile {
    /// The Caddyfile
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The node that it is from
    #[arg(long, value_name = "NODE")]
    node: String,
    /// The gateway's name
    #[arg(long, value_name = "NAME", default_value = "edge")]
    name: String,
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

#[derive(Serialize)]
struct Report<'a> {
    file: String,
    written: bool,
    #[serde(flatten)]
    gateway: &'a Gateway,
}

impl Caddyfile {
    /// Writes the gateway and tells the routes.
    pub fn run(&self, global: &Global) -> Result<u8, Problem> {
        let snapshot = source::directory(&self.repository)?;
        let fleet = repository::fleet(&snapshot)?;
        let node = known(&self.node, &fleet.nodes)?;
        let name = Name::new(self.name.clone())?;
        let path = format!("gateways/{name}.yaml");
        if self.repository.join(&path).symlink_metadata().is_ok() {
            return Err(Problem::new(format!("there is {path} already"))
                .hint("give the gateway another name: `--name NAME`"));
        }
        let text = std::fs::read_to_string(&self.file)
            .map_err(|error| Problem::new(format!("{}: {error}", self.file.display())))?;
        if text.contains("{$") {
            return Err(Problem::new(
                "the Caddyfile takes values from Caddy's environment: `{$…}`",
            )
            .hint("write the values into a copy of it, and import that"));
        }
        let adapted = adapt(&self.file)?;
        let from = import::Caddyfile {
            text: &text,
            adapted: &adapted,
            fleet: &fleet,
            node: &node,
            name: &name,
        };
        let gateway = import::gateway(&from);
        let content = gateway.text.clone().into_bytes();
        let entry = Entry::File { content, executable: false };
        repository::checked(&snapshot, BTreeMap::from([(path.clone(), entry)]), global.quiet)?;
        if !self.dry_run {
            write(&self.repository, &path, &gateway.text)?;
        }
        let report = Report { file: path, written: !self.dry_run, gateway: &gateway };
        match self.format {
            Format::Json => output::json(&report),
            Format::Text => {
                anstream::print!("{}", if global.quiet { String::new() } else { told(&report) });
                Ok(0)
            }
        }
    }
}

/// What Caddy makes of the file, with nothing of this shell's environment.
fn adapt(file: &Path) -> Result<Value, Problem> {
    let mut command = Command::new("caddy");
    command.args(["adapt", "--adapter", "caddyfile", "--config"]).arg(file);
    command.env_clear().stdin(Stdio::null());
    for key in ["PATH", "HOME"] {
        if let Some(value) = std::env::var_os(key) {
            command.env(key, value);
        }
    }
    let said = command.output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            Problem::new("`caddy` is not on this machine, and it reads the Caddyfile")
                .hint("install Caddy, or run this where it is")
        }
        _ => Problem::new(format!("caddy: {error}")),
    })?;
    if !said.status.success() {
        let complaints = String::from_utf8_lossy(&said.stderr).into_owned();
        return Err(Problem::new(format!(
            "caddy refuses {}: {}",
            file.display(),
            complaints.trim()
        )));
    }
    Ok(serde_json::from_slice(&said.stdout)?)
}

/// Writes the whole file at once, and never over another.
fn write(repository: &Path, path: &str, text: &str) -> Result<(), Problem> {
    let target = repository.join(path);
    let parent = target.parent().unwrap_or(repository);
    std::fs::create_dir_all(parent)?;
    let mut file = tempfile::Builder::new().prefix(".gitsync-import-").tempfile_in(parent)?;
    file.write_all(text.as_bytes())?;
    use std::os::unix::fs::PermissionsExt as _;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.persist_noclobber(&target).map_err(|error| Problem::from_io(error.error))?;
    Ok(())
}

fn told(report: &Report<'_>) -> String {
    let mut text = format!("{}\n", report.file);
    let mut before = None;
    for expose in &report.gateway.expose {
        if before != Some(&expose.file) {
            text.push_str(&format!("  add to {}, below `expose:`\n", expose.file));
            before = Some(&expose.file);
        }
        text.push_str(&format!("    {}\n", one_line(&expose.line)));
    }
    for kept in &report.gateway.kept {
        let hosts =
            if kept.hosts.is_empty() { "options".to_owned() } else { kept.hosts.join(", ") };
        text.push_str(&format!("  kept   {}: {}\n", one_line(&hosts), one_line(&kept.why)));
    }
    for remark in &report.gateway.remarks {
        text.push_str(&format!("  note   {}\n", one_line(remark)));
    }
    if !report.gateway.kept.is_empty() {
        text.push_str(
            "What is kept stands in the gateway's file as comments, and gitsync does not serve it. Leave `adopt` out \
             of the\ngateway until nothing of it is needed: the node's own Caddyfile stays then.\n",
        );
    }
    text + if report.written { "Written.\n" } else { "Nothing was written: `--dry-run`.\n" }
}
