//! The `docker` command line: one engine, and what of it is one lab's.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result, at, run, words};
use crate::tree::{Tree, needs};

/// An engine, as one lab uses it.
pub struct Docker {
    lab: String,
    place: PathBuf,
    /// What `DOCKER_HOST` says; empty for the default engine.
    engine: String,
}

/// Says what is missing for labs of containers.
pub fn check_engine() -> Result<()> {
    Docker::here("", Path::new("")).check()
}

impl Docker {
    /// The engine that `docker` talks to here and now.
    pub fn here(lab: &str, place: &Path) -> Self {
        Self::at(lab, place, &std::env::var("DOCKER_HOST").unwrap_or_default())
    }

    /// The engine that a lab is on.
    pub fn at(lab: &str, place: &Path, engine: &str) -> Self {
        Self { lab: lab.to_owned(), place: place.to_owned(), engine: engine.to_owned() }
    }

    /// What `DOCKER_HOST` said when it was found.
    pub fn engine(&self) -> &str {
        &self.engine
    }

    /// Refuses to go on without an engine that answers.
    pub fn check(&self) -> Result<()> {
        needs(
            "docker",
            "the container backend talks to an engine with it (apt-get install docker.io)",
        )?;
        self.run(&["version", "--format={{.Server.Version}}"]).map(drop).map_err(|error| {
            let engine = if self.engine.is_empty() { "the default place" } else { &self.engine };
            let hint = "start one, or say where it is with DOCKER_HOST";
            Error::Missing(format!("no Docker engine answers at {engine} ({hint}): {error}"))
        })
    }

    /// `docker`, for this engine.
    pub fn command(&self) -> Command {
        let mut command = Command::new("docker");
        if self.engine.is_empty() {
            command.env_remove("DOCKER_HOST");
        } else {
            command.env("DOCKER_HOST", &self.engine);
        }
        command
    }

    /// Runs `docker` to its end; what it printed.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        run(self.command().args(arguments))
    }

    /// The lab's network, and the beginning of all names.
    pub fn name(&self) -> String {
        format!("gitsync-lab-{}", self.lab)
    }

    /// A host's container, and the volume of its engine.
    pub fn container(&self, host: &str) -> String {
        format!("{}-{host}", self.name())
    }

    /// What everything of this lab carries, and nothing of another one's.
    pub fn label(&self) -> String {
        format!("gitsync-lab={}", self.place.display())
    }

    /// Makes the lab's network: the bridge's address and the subnet's length.
    ///
    /// Fixed addresses need a subnet that was asked for: the engine is let to find a free one, which is then asked for.
    pub fn network(&self) -> Result<(Ipv4Addr, u8)> {
        let (name, label) = (self.name(), self.label());
        let mut last = None;
        for _ in 0..5 {
            self.run(&["network", "create", "--label", &label, &name])?;
            let format = "--format={{range .IPAM.Config}}{{.Subnet}}{{end}}";
            let subnet = self.run(&["network", "inspect", format, &name])?;
            self.run(&["network", "rm", &name])?;
            let (gateway, prefix) = gateway(&subnet)?;
            let made = self.run(&[
                "network",
                "create",
                "--label",
                &label,
                "--subnet",
                &subnet,
                "--gateway",
                &gateway.to_string(),
                &name,
            ]);
            match made {
                Ok(_) => return Ok((gateway, prefix)),
                // Somebody else was quicker.
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::Unknown("no network".to_owned())))
    }

    /// The image of a tree, made from the cached files unless the engine has it; it stays for the next lab.
    pub fn image(&self, tree: Tree) -> Result<String> {
        let files = tree.ensure()?;
        let tag = files.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let image = format!("gitsync-lab:{tag}");
        if self.run(&["image", "inspect", &image]).is_err() {
            self.pipe(&files, &[], &["import", "-", &image])?;
        }
        Ok(image)
    }

    /// A volume of this lab.
    pub fn volume(&self, name: &str) -> Result<()> {
        self.run(&["volume", "create", "--label", &self.label(), name]).map(drop)
    }

    /// Brings a directory's files, with their owners, into a container that isn't on yet.
    pub fn bring(&self, directory: &Path, container: &str) -> Result<()> {
        // The engine makes these itself.
        let not =
            ["--exclude=./etc/hosts", "--exclude=./etc/hostname", "--exclude=./etc/resolv.conf"];
        self.pipe(directory, &not, &["cp", "-", &format!("{container}:/")])
    }

    fn pipe(&self, directory: &Path, flags: &[&str], arguments: &[&str]) -> Result<()> {
        let mut tar = Command::new("tar");
        tar.args(["--numeric-owner", "--create"]).args(flags).arg("-C").arg(directory).arg(".");
        let mut tar = at(directory, tar.stdin(Stdio::null()).stdout(Stdio::piped()).spawn())?;
        let mut command = self.command();
        command.args(arguments).stdin(tar.stdout.take().map_or_else(Stdio::null, Stdio::from));
        let output = at(directory, command.output());
        let tarred = at(directory, tar.wait())?;
        let output = output?;
        if output.status.success() && tarred.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::Command { command: words(&command), said })
    }

    /// Removes all that carries the lab's label; nothing when there is nothing.
    pub fn remove_all(&self) -> Result<()> {
        let label = format!("label={}", self.label());
        let kinds: [(&[&str], &[&str]); 3] = [
            (&["ps", "--all"], &["rm", "--force", "--volumes"]),
            (&["network", "ls"], &["network", "rm"]),
            (&["volume", "ls"], &["volume", "rm", "--force"]),
        ];
        for (list, remove) in kinds {
            let found = run(self.command().args(list).args(["--quiet", "--filter", &label]))?;
            if !found.is_empty() {
                run(self.command().args(remove).args(found.lines()))?;
            }
        }
        Ok(())
    }
}

/// The first address of a subnet, and its length.
fn gateway(subnet: &str) -> Result<(Ipv4Addr, u8)> {
    let parsed = subnet.split_once('/').and_then(|(first, prefix)| {
        let first: Ipv4Addr = first.parse().ok()?;
        Some((Ipv4Addr::from_bits(first.to_bits() + 1), prefix.parse::<u8>().ok()?))
    });
    let odd =
        || Error::Unknown(format!("the engine gives a subnet `{subnet}` that isn't one of IPv4"));
    let (gateway, prefix) = parsed.ok_or_else(odd)?;
    // 200 hosts at most, all in the last part of the address.
    if prefix <= 24 { Ok((gateway, prefix)) } else { Err(odd()) }
}
