//! `gitsync render`: the artifacts exactly as they would land.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::model::{Artifact, Content, Name, Unit};

use super::context::{Global, Place};
use super::problem::Problem;

/// Write or print every file exactly as it would land on its node, with secrets as `[secret FILE.KEY]`.
#[derive(Debug, Args)]
pub struct Render {
    #[command(flatten)]
    place: Place,
    /// Only this node
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// Write `DIR/<node>/<destination>` instead of printing
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Render {
    /// Prints or writes the artifacts.
    pub fn run(&self, global: &Global) -> Result<u8, Problem> {
        let wanted = global.wanted(&self.place.snapshot()?)?;
        let node = self.node.as_deref().map(|name| known(name, &wanted.fleet.nodes)).transpose()?;
        let units = wanted.release.units.values();
        let units = units.filter(|unit| node.as_ref().is_none_or(|node| unit.id.node == *node));
        let mut count = 0;
        for unit in units {
            count += unit.artifacts.len();
            for artifact in &unit.artifacts {
                self.put(unit, artifact)?;
            }
        }
        if let Some(out) = self.out.as_ref().filter(|_| !global.quiet) {
            anstream::println!("{count} files in {}", out.display());
        }
        Ok(0)
    }

    fn put(&self, unit: &Unit, artifact: &Artifact) -> Result<(), Problem> {
        let bytes = match &artifact.content {
            Content::Bytes(bytes) => Cow::Borrowed(bytes),
            Content::Sealed(sealed) => Cow::Owned(sealed.masked()),
            Content::OnNode(_) => return Ok(()),
        };
        match &self.out {
            Some(out) => write(out, unit, artifact, &bytes),
            None => {
                let head = format!("# {}:{}", unit.id.node, artifact.destination);
                anstream::println!(
                    "{head} ({:04o})\n{}",
                    artifact.mode,
                    String::from_utf8_lossy(&bytes)
                );
                Ok(())
            }
        }
    }
}

fn write(out: &Path, unit: &Unit, artifact: &Artifact, bytes: &[u8]) -> Result<(), Problem> {
    let below = artifact.destination.as_str().trim_start_matches('/');
    let path = out.join(unit.id.node.as_str()).join(below);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(&path, bytes)?;
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(artifact.mode))?;
    Ok(())
}

/// A node's name as the user wrote it, if the fleet has it.
pub fn known<T>(name: &str, nodes: &std::collections::BTreeMap<Name, T>) -> Result<Name, Problem> {
    let found = nodes.keys().find(|node| node.as_str() == name);
    found.cloned().ok_or_else(|| {
        let names = nodes.keys().map(Name::as_str).collect::<Vec<_>>().join(", ");
        Problem::new(format!("there is no node `{name}`")).hint(format!("nodes are {names}"))
    })
}
