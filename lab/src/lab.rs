//! A running lab: a network of its own with hosts on it, gone with the value that holds it.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::thread::LinkNameSpaceType;

use crate::error::{Error, Result, at, run};
use crate::host::Host;
use crate::place;
use crate::process::{Process, children, is_first, wait};
use crate::spec::Spec;
use crate::tree::needs;

/// Hosts and their network.
pub struct Lab {
    place: PathBuf,
    spec: Spec,
    process: Process,
    /// Who holds the lab's standard input; none for one that outlives this program.
    holder: Option<Child>,
    hosts: Vec<Host>,
}

impl Lab {
    /// Brings a lab up that goes with this value, or with this program, however it ends.
    pub fn start(spec: &Spec) -> Result<Self> {
        check_machine()?;
        place::sweep()?;
        at(&place::labs(), fs::create_dir_all(place::labs()))?;
        let directory =
            tempfile::Builder::new().rand_bytes(6).prefix("t").tempdir_in(place::labs());
        let place = at(&place::labs(), directory)?.keep();
        Self::start_at(place, spec, true)
    }

    /// Brings a lab with a name up that stays until `down`. One with that name that is up already is an error.
    pub fn up(name: &str, spec: &Spec) -> Result<Self> {
        check_machine()?;
        place::sweep()?;
        let place = place::labs().join(name);
        if place::alive(&place).is_some() {
            return Err(Error::Unknown(format!("lab `{name}` is up already; `lab down` ends it")));
        }
        place::remove(&place)?;
        at(&place, fs::create_dir_all(&place))?;
        Self::start_at(place, spec, false)
    }

    /// A lab that another process brought up.
    pub fn find(name: &str) -> Result<Self> {
        let place = place::labs().join(name);
        let down = || Error::Unknown(format!("no lab `{name}` is up; `lab up` starts one"));
        let process = place::alive(&place).ok_or_else(down)?;
        let text = at(&place, fs::read(place.join("spec.json")))?;
        let spec: Spec = serde_json::from_slice(&text).map_err(|_| down())?;
        let hosts = spec.hosts.iter().map(|host| Host::new(&place, &spec, host, process)).collect();
        Ok(Self { place, spec, process, holder: None, hosts })
    }

    fn start_at(place: PathBuf, spec: &Spec, held: bool) -> Result<Self> {
        place::mode(&place, 0o755)?;
        write_common(&place, spec)?;
        let (holder, process) = start_network(&place, spec, held)?;
        let hosts: Vec<Host> =
            spec.hosts.iter().map(|host| Host::new(&place, spec, host, process)).collect();
        let holder = held.then_some(holder);
        let mut lab = Self { place, spec: spec.clone(), process, holder, hosts };
        if let Err(error) = lab.power_all_on() {
            let _ = lab.down();
            return Err(error);
        }
        Ok(lab)
    }

    /// All hosts at once: most of it is waiting.
    fn power_all_on(&self) -> Result<()> {
        let started: Vec<Result<()>> = std::thread::scope(|scope| {
            let start =
                |host| scope.spawn(move || Host::install(host).and_then(|()| host.power_on()));
            let threads: Vec<_> = self.hosts.iter().map(start).collect();
            threads.into_iter().map(join).collect()
        });
        started.into_iter().collect()
    }

    /// Ends every process of the lab and removes its files; nothing when it is gone already.
    pub fn down(&mut self) -> Result<()> {
        place::thaw(&self.place);
        self.process.kill();
        if let Some(mut holder) = self.holder.take() {
            let _ = holder.kill();
            let _ = holder.wait();
        }
        for host in &self.hosts {
            host.forget();
        }
        // What the kernel still holds for a moment after the last process is gone.
        let place = self.place.clone();
        wait("end of the lab's files", Duration::from_secs(20), || place::remove(&place).ok())
    }

    /// Ends this value as a killed program would: nothing is torn down, only the pipe closes.
    pub fn let_go(mut self) {
        drop(self.holder.take().map(|mut holder| holder.stdin.take()));
    }

    /// Its first process, whose end is the end of all others.
    pub fn process(&self) -> Process {
        self.process
    }

    /// The hosts, in the order of the spec.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// A host by its name.
    ///
    /// # Panics
    /// When there is none: a mistake of the caller.
    #[track_caller]
    pub fn host(&self, name: &str) -> &Host {
        let found = self.hosts.iter().find(|host| host.name() == name);
        found.unwrap_or_else(|| panic!("no host `{name}` in this lab"))
    }

    /// What it was made from.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The controller's address on the lab's network.
    pub fn controller(&self) -> Ipv4Addr {
        self.spec.controller
    }

    /// The lab's directory on this machine.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// The private key that every host lets in, as `root`, `deploy` and `sync`.
    pub fn identity(&self) -> PathBuf {
        self.place.join("identity")
    }

    /// A command in the controller's place: in the lab's network, with its host names, among its processes.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>, directory: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.process.pid.to_string(), "--mount", "--net", "--pid"]);
        let mut directory_flag = std::ffi::OsString::from("--wdns=");
        directory_flag.push(directory);
        command.arg(directory_flag).arg("--").arg(program);
        command
    }

    /// The process that a command of [`Lab::command`] became: signals go there.
    pub fn inner(child: &Child) -> Result<Process> {
        wait("process inside the lab", Duration::from_secs(5), || {
            children(child.id()).first().and_then(|pid| Process::find(*pid))
        })
    }

    /// Does something on a thread whose connections begin at the controller's place.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter().expect("the lab's network is there");
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Starts a thread whose connections begin at the controller's place.
    pub fn spawn(&self, work: Box<dyn FnOnce() + Send>) -> std::thread::JoinHandle<()> {
        let path = self.network();
        std::thread::spawn(move || {
            enter(&path).expect("the lab's network is there");
            work();
        })
    }

    /// Takes this thread, and those that it starts, into the lab's network for good.
    pub fn enter(&self) -> Result<()> {
        enter(&self.network())
    }

    /// The file that stands for its network.
    pub(crate) fn network(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.process.pid))
    }

    /// Adds a name that the controller finds an address by.
    pub fn name(&self, name: &str, address: Ipv4Addr) -> Result<()> {
        let path = self.place.join("hosts");
        let text = at(&path, fs::read_to_string(&path))?;
        at(&path, fs::write(&path, format!("{text}{address} {name}\n")))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.holder.is_some()
            && let Err(error) = self.down()
        {
            eprintln!("the lab at {} is left: {error}", self.place.display());
        }
    }
}

pub(crate) fn join<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn enter(path: &Path) -> Result<()> {
    use std::os::fd::AsFd;
    let file = at(path, fs::File::open(path))?;
    let kind = Some(LinkNameSpaceType::Network);
    let entered = rustix::thread::move_into_link_name_space(file.as_fd(), kind);
    at(path, entered.map_err(std::io::Error::from))
}

/// Refuses to go on without root.
pub fn check_root() -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Error::Missing("a lab needs root: it makes namespaces and mounts".to_owned()))
}

/// Says what this machine lacks for a lab.
pub fn check_machine() -> Result<()> {
    check_root()?;
    for (program, package) in [
        ("unshare", "util-linux"),
        ("nsenter", "util-linux"),
        ("ip", "iproute2"),
        ("iptables", "iptables"),
        ("ssh-keygen", "openssh-client"),
    ] {
        needs(program, &format!("hosts are made with it (apt-get install {package})"))?;
    }
    Ok(())
}

pub(crate) fn write_common(place: &Path, spec: &Spec) -> Result<()> {
    let write = |name: &str, text: &str| {
        let path = place.join(name);
        at(&path, fs::write(&path, text))
    };
    let named = spec.hosts.iter().map(|host| format!("{} {}\n", host.address, host.name));
    write("hosts", &format!("127.0.0.1 localhost\n{}", named.collect::<String>()))?;
    write("resolv.conf", "")?;
    write("lab.sh", include_str!("sh/lab.sh"))?;
    write("host.sh", include_str!("sh/host.sh"))?;
    let json = serde_json::to_string_pretty(spec).map_err(|e| Error::Unknown(e.to_string()))?;
    write("spec.json", &json)?;
    keygen(&place.join("identity"))
}

/// Makes an SSH key pair without a passphrase.
pub fn keygen(path: &Path) -> Result<()> {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f"]).arg(path);
    run(&mut command).map(drop)
}

fn start_network(place: &Path, spec: &Spec, held: bool) -> Result<(Child, Process)> {
    let address = format!("{}/{}", spec.controller, spec.prefix);
    // In a session of its own: neither Ctrl-C nor the end of this terminal ends what stays.
    let mut command = Command::new(if held { "unshare" } else { "setsid" });
    if !held {
        command.arg("unshare");
    }
    command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.args(["sh", "-c"]);
    // Without a holder a pipe that holds itself open is its standard input.
    let script = match held {
        true => "exec sh \"$0\" \"$@\"",
        false => "mkfifo \"$1/hold\" && exec sh \"$0\" \"$@\" <>\"$1/hold\"",
    };
    command.arg(script).arg(place.join("lab.sh")).arg(place).arg(address);
    let log = place.join("log");
    let file = at(&log, fs::File::create(&log))?;
    let input = if held { Stdio::piped() } else { Stdio::null() };
    command.stdin(input).stdout(Stdio::null()).stderr(file);
    let child = at(&log, command.spawn())?;
    let up = place.join("up");
    let process = wait("network of the lab", Duration::from_secs(20), || {
        let first = children(child.id()).into_iter().find(|pid| is_first(*pid))?;
        up.exists().then(|| Process::find(first))?
    });
    let said = fs::read_to_string(&log).unwrap_or_default();
    let process = process.map_err(|error| Error::Unknown(format!("{error}: {said}")))?;
    let json = serde_json::to_string(&process).map_err(|e| Error::Unknown(e.to_string()))?;
    let path = place.join("process");
    at(&path, fs::write(&path, json))?;
    Ok((child, process))
}
