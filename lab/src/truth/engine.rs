//! What a host's engine holds: each container, its image, and how often it began.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::Power;
use crate::bounded::bounded;
use crate::error::{Error, Result};
use crate::host::Host;

/// How long an engine may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// One call for all containers. Names can't hold the character between the fields.
const SCRIPT: &str = "ids=$(docker ps -aq --no-trunc) || exit; [ -z \"$ids\" ] || docker inspect --format \
    '{{.Name}}|{{.Id}}|{{.Image}}|{{.RestartCount}}|{{.State.StartedAt}}|{{.State.Status}}' $ids";

/// An engine's answer.
#[derive(Clone, Debug)]
pub(super) enum Engine {
    /// The host has none, or is off or frozen.
    Unasked,
    /// It doesn't run.
    Down,
    /// Its containers by name.
    Up(BTreeMap<String, Container>),
}

#[derive(Clone, Debug)]
pub(super) struct Container {
    pub id: String,
    image: String,
    pub restarts: String,
    pub started: String,
    status: String,
}

impl Container {
    /// What it has in common with a new one of the same image.
    pub fn content(&self) -> String {
        format!("{} {}", self.status, self.image)
    }
}

impl Engine {
    pub fn containers(&self) -> impl Iterator<Item = (&String, &Container)> {
        let up = if let Self::Up(containers) = self { Some(containers) } else { None };
        up.into_iter().flatten()
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unasked => "not asked",
            Self::Down => "down",
            Self::Up(_) => "up",
        })
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, restarts, started, .. } = self;
        write!(f, "{} id {id} restarts {restarts} started {started}", self.content())
    }
}

/// Asks a host's engine. A container that goes between two questions is no error.
pub(super) fn ask(host: &Host, power: Power) -> Result<Engine> {
    if power != Power::On || !host.spec.docker {
        return Ok(Engine::Unasked);
    }
    let mut said = String::new();
    for _ in 0..5 {
        let output = bounded(host.command("/lab/busybox")?.args(["sh", "-c", SCRIPT]), PATIENCE)?;
        if output.status.success() {
            return read(&String::from_utf8_lossy(&output.stdout));
        }
        said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if said.contains("Cannot connect to the Docker daemon") {
            return Ok(Engine::Down);
        }
        if !said.contains("No such") {
            break;
        }
    }
    Err(Error::Command { command: format!("docker inspect on {}", host.name()), said })
}

fn read(text: &str) -> Result<Engine> {
    let container = |line: &str| {
        let fields: Vec<&str> = line.split('|').collect();
        let [name, id, image, restarts, started, status] = fields[..] else {
            return Err(Error::Unknown(format!("an engine's answer has other fields: {line}")));
        };
        let [id, image, restarts, started, status] =
            [id, image, restarts, started, status].map(str::to_owned);
        let name = name.trim_start_matches('/').to_owned();
        Ok((name, Container { id, image, restarts, started, status }))
    };
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    Ok(Engine::Up(lines.map(container).collect::<Result<_>>()?))
}
