//! The container backend: the same hosts, from the same files, as containers of a Docker engine.

mod docker;
mod fault;

use std::ffi::OsString;
use std::fs;
use std::io::IsTerminal;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::backend::{Backend, Kind, with_names};
use crate::error::{Error, Result, at};
use crate::fault::Fault;
use crate::host::{Host, listens};
use crate::place;
use crate::process::{Process, wait};
use crate::spec::{HostSpec, Init, Mount, Spec};

use docker::Docker;
pub use docker::check_engine;

/// Which engine a lab is on; its presence says that the lab is made of containers.
const ENGINE: &str = "engine";

/// What a container needs to be a host: an own init, mounts, an engine inside. `--privileged` asks for more than
/// some machines have.
const RIGHTS: [&str; 12] = [
    "--cap-add=ALL",
    "--cap-drop=SYS_RESOURCE",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--security-opt=systempaths=unconfined",
    "--cgroupns=private",
    "--device-cgroup-rule=a *:* rwm",
    "--stop-signal=KILL",
    "--tmpfs=/run:exec,mode=755",
    "--tmpfs=/tmp:exec,mode=1777",
    "--restart=no",
    "--log-driver=json-file",
];

/// A lab of containers.
pub struct Containers {
    place: PathBuf,
    spec: Spec,
    hosts: Vec<Host>,
    docker: Docker,
}

impl Containers {
    /// Brings a lab up that stays until `down`; its hosts get addresses of a subnet that the engine finds free.
    pub fn up(name: &str, spec: &Spec) -> Result<Self> {
        let docker = Docker::here(name, &place::labs().join(name));
        docker.check()?;
        let place = place::labs().join(name);
        at(&place, fs::create_dir_all(&place))?;
        place::mode(&place, 0o755)?;
        let mark = place.join(ENGINE);
        at(&mark, fs::write(&mark, docker.engine()))?;
        let mut lab = Self { place, spec: spec.clone(), hosts: Vec::new(), docker };
        let started = lab.start();
        if let Err(error) = started {
            let _ = lab.down();
            return Err(error);
        }
        Ok(lab)
    }

    /// A lab of containers that another process brought up; none when there is no such lab.
    pub fn find(name: &str) -> Result<Option<Self>> {
        let place = place::labs().join(name);
        let Ok(engine) = fs::read_to_string(place.join(ENGINE)) else { return Ok(None) };
        let docker = Docker::at(name, &place, &engine);
        docker.check().map_err(|error| {
            let gone = format!(
                "the lab is on that engine; if it is gone for good, remove {}",
                place.display()
            );
            Error::Missing(format!("{error}; {gone}"))
        })?;
        // One that was interrupted before it had a network can only be taken down.
        let text = fs::read(place.join("spec.json")).unwrap_or_default();
        let none = || Spec::network(Ipv4Addr::UNSPECIFIED, 0, Vec::new());
        let spec: Spec = serde_json::from_slice(&text).unwrap_or_else(|_| none());
        let hosts = hosts(&place, &spec);
        Ok(Some(Self { place, spec, hosts, docker }))
    }

    fn start(&mut self) -> Result<()> {
        let (gateway, prefix) = self.docker.network()?;
        self.spec.controller = gateway;
        self.spec.prefix = prefix;
        for (host, number) in self.spec.hosts.iter_mut().zip(1..) {
            host.address = Ipv4Addr::from_bits(gateway.to_bits() + number);
        }
        crate::lab::write_common(&self.place, &self.spec)?;
        self.hosts = hosts(&self.place, &self.spec);
        let images: Result<Vec<String>> =
            self.spec.hosts.iter().map(|host| self.docker.image(host.tree)).collect();
        let images = images?;
        let started: Vec<Result<()>> = std::thread::scope(|scope| {
            let lab = &*self;
            let all = lab.hosts.iter().zip(&lab.spec.hosts).zip(&images);
            let threads: Vec<_> = all
                .map(|((host, spec), image)| scope.spawn(move || lab.make(host, spec, image)))
                .collect();
            threads.into_iter().map(crate::lab::join).collect()
        });
        started.into_iter().collect()
    }

    fn make(&self, host: &Host, spec: &HostSpec, image: &str) -> Result<()> {
        host.install()?;
        host.put("lab/early/container", include_str!("sh/container.sh"), 0o644)?;
        let name = self.docker.container(host.name());
        let mut command = self.docker.command();
        command.args(["create", "--name", &name, "--hostname", host.name()]).args(RIGHTS);
        command.args(["--network", &self.docker.name(), "--ip", &spec.address.to_string()]);
        command.args(["--label", &self.docker.label()]);
        for mount in &spec.mounts {
            match mount {
                Mount::Memory(path) => command.arg(format!("--tmpfs={path}:exec,mode=755")),
                Mount::Disk(..) => return Err(cannot("give a host a disk of its own")),
            };
        }
        if spec.docker {
            self.docker.volume(&name)?;
            command.arg(format!("--volume={name}:/var/lib/docker"));
        }
        command.args([image, "/lab/busybox", "sh", "/lab/start"]);
        crate::error::run(&mut command)?;
        self.docker.bring(&host.disk("/"), &name)?;
        self.power_on(host)
    }

    fn power_on(&self, host: &Host) -> Result<()> {
        let name = self.docker.container(host.name());
        self.docker.run(&["start", &name])?;
        let says = || self.docker.run(&["logs", "--tail", "20", &name]).unwrap_or_default();
        self.wait(host, "sshd", &listens("127.0.0.1 22"))
            .map_err(|error| Error::Unknown(format!("{error}: {}", says())))?;
        let spec = self.spec.hosts.iter().find(|spec| spec.name == host.name());
        if spec.is_some_and(|spec| spec.docker && spec.init != Init::Systemd) {
            self.wait(host, "engine", "docker version && echo")?;
        }
        Ok(())
    }

    fn wait(&self, host: &Host, what: &str, script: &str) -> Result<()> {
        let says = || self.sh(host, script).is_ok_and(|said| !said.is_empty());
        wait(&format!("{what} on {}", host.name()), Duration::from_secs(60), || {
            says().then_some(())
        })
    }

    /// Runs a shell script on a host, as root.
    fn sh(&self, host: &Host, script: &str) -> Result<String> {
        let name = self.docker.container(host.name());
        self.docker.run(&["exec", &name, "/lab/busybox", "sh", "-c", script])
    }
}

/// Hosts that nothing of this machine's own processes belongs to: only their names, addresses and files.
fn hosts(place: &Path, spec: &Spec) -> Vec<Host> {
    spec.hosts.iter().map(|host| Host::new(place, spec, host, Process::NONE)).collect()
}

fn cannot(what: &str) -> Error {
    Error::Unknown(format!("the container backend can't {what}; `lab up` without `--backend` can"))
}

impl Backend for Containers {
    fn kind(&self) -> Kind {
        Kind::Container
    }

    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn place(&self) -> &Path {
        &self.place
    }

    fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    fn is_on(&self, host: &Host) -> Result<bool> {
        let name = self.docker.container(host.name());
        Ok(self.docker.run(&["inspect", "--format={{.State.Running}}", &name])? == "true")
    }

    /// The engine's bridge leads to the hosts from this machine; only their names are missing here.
    fn run(&self, words: &[OsString]) -> Command {
        let mut words =
            with_names(&self.place, &["hosts"]).into_iter().chain(words.iter().cloned());
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        command
    }

    fn exec(&self, host: &Host, words: &[OsString]) -> Result<Command> {
        let mut command = self.docker.command();
        command.args(["exec", "--interactive"]);
        if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
            command.arg("--tty");
        }
        command.arg(self.docker.container(host.name())).args(words);
        Ok(command)
    }

    fn fail(&self, host: &Host, fault: &Fault) -> Result<()> {
        self.apply(host, fault)
    }

    fn down(&mut self) -> Result<()> {
        self.docker.remove_all()?;
        place::remove(&self.place)
    }
}
