//! One host of a lab: power, files, commands inside.

use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use crate::error::{Error, Result, at, run, words};
use crate::place;
use crate::process::{Process, children, is_first, wait};
use crate::spec::{HostSpec, Init, Mount, Spec};

/// A host, powered on or off.
#[derive(Debug)]
pub struct Host {
    pub(crate) place: PathBuf,
    pub(crate) spec: HostSpec,
    pub(crate) controller: Ipv4Addr,
    prefix: u8,
    group: String,
    pub(crate) lab: Process,
    /// What brought it up, to be collected when it is gone.
    starter: Mutex<Option<std::process::Child>>,
}

impl Host {
    pub(crate) fn new(lab_place: &Path, lab: &Spec, spec: &HostSpec, process: Process) -> Self {
        Self {
            place: lab_place.join(&spec.name),
            spec: spec.clone(),
            controller: lab.controller,
            prefix: lab.prefix,
            group: place::group(lab_place, &spec.name),
            lab: process,
            starter: Mutex::new(None),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Its address.
    pub fn address(&self) -> Ipv4Addr {
        self.spec.address
    }

    /// Its public host key, `ssh-ed25519 AAAA…`.
    pub fn host_key(&self) -> Result<String> {
        let path = self.disk("etc/ssh/ssh_host_ed25519_key.pub");
        let text = at(&path, fs::read_to_string(&path))?;
        Ok(text.split(' ').take(2).collect::<Vec<_>>().join(" "))
    }

    /// A file of its disk, also while it is off. Only what was changed since the beginning is there.
    pub fn disk(&self, path: &str) -> PathBuf {
        self.place.join("disk").join(path.trim_start_matches('/'))
    }

    /// A file as its processes see it; only while it is on.
    pub fn path(&self, path: &str) -> Result<PathBuf> {
        let root = PathBuf::from(format!("/proc/{}/root", self.process()?.pid));
        Ok(root.join(path.trim_start_matches('/')))
    }

    /// Its first process, as this machine numbers it; an error while it is off.
    pub fn process(&self) -> Result<Process> {
        let off = || Error::Unknown(format!("{} is off", self.name()));
        let text = fs::read(self.place.join("process")).map_err(|_| off())?;
        let process: Process = serde_json::from_slice(&text).map_err(|_| off())?;
        if process.lives() { Ok(process) } else { Err(off()) }
    }

    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        self.process().is_ok()
    }

    /// A command on it, as root, in an environment with nothing but a PATH.
    pub fn command(&self, program: &str) -> Result<Command> {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.process()?.pid.to_string()]);
        command.args(["--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup", "--"]);
        command.arg(program).env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", "/root");
        Ok(command)
    }

    /// Runs a shell script on it, as root; its output, or an error with what it said.
    pub fn sh(&self, script: &str) -> Result<String> {
        run(self.command("/lab/busybox")?.args(["sh", "-c", script]))
    }

    /// Runs a shell script on it, whatever it ends with.
    pub fn try_sh(&self, script: &str) -> Result<Output> {
        crate::error::output(self.command("/lab/busybox")?.args(["sh", "-c", script]))
    }

    /// Runs a program on it with something on its standard input.
    pub fn feed(&self, program: &str, arguments: &[&str], input: &[u8]) -> Result<String> {
        let mut command = self.command(program)?;
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let told = words(&command);
        let failed = |said: String| Error::Command { command: told.clone(), said };
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let mut pipe = child.stdin.take().ok_or_else(|| failed("no standard input".to_owned()))?;
        let output = std::thread::scope(|scope| {
            scope.spawn(move || pipe.write_all(input));
            child.wait_with_output()
        });
        let output = output.map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Reads a text file of it.
    pub fn read(&self, path: &str) -> Result<String> {
        let path = self.path(path)?;
        at(&path, fs::read_to_string(&path))
    }

    /// Whether it has such a file or directory.
    pub fn has(&self, path: &str) -> bool {
        self.path(path).is_ok_and(|path| fs::symlink_metadata(path).is_ok())
    }

    /// Writes a file on it, owned by root, with its parents; whole files only, not atomically.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) -> Result<()> {
        let path = self.path(path)?;
        if let Some(parent) = path.parent() {
            at(parent, fs::create_dir_all(parent))?;
        }
        at(&path, fs::write(&path, text))
    }

    /// Powers it on and waits until its sshd answers; nothing when it is on already.
    pub fn power_on(&self) -> Result<()> {
        if self.is_on() {
            return Ok(());
        }
        let process = self.boot()?;
        let path = self.place.join("process");
        let json = serde_json::to_string(&process).map_err(|e| Error::Unknown(e.to_string()))?;
        at(&path, fs::write(&path, json))?;
        self.wait_for("sshd", "127.0.0.1 22", Duration::from_secs(60))?;
        if self.spec.docker && self.spec.init != Init::Systemd {
            self.wait_for_engine()?;
        }
        Ok(())
    }

    fn boot(&self) -> Result<Process> {
        // In a session of its own, out of any terminal's reach.
        let mut command = Command::new("setsid");
        command.args(["nsenter", "--target", &self.lab.pid.to_string()]);
        command
            .args(["--mount", "--net", "--pid", "--", "sh"])
            .arg(self.place.with_file_name("host.sh"))
            .arg(&self.place);
        let log = self.place.join("console");
        let out = at(&log, fs::File::options().create(true).append(true).open(&log))?;
        let err = at(&log, out.try_clone())?;
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let mut child = at(&log, command.spawn())?;
        // nsenter's child is unshare, whose child is the host's first process.
        let first = wait("first process", Duration::from_secs(10), || {
            if child.try_wait().ok().flatten().is_some() {
                return Some(None);
            }
            let unshare = *children(child.id()).first()?;
            let first = children(unshare).into_iter().find(|pid| is_first(*pid))?;
            Some(Some(Process::find(first)?))
        });
        let died = || Error::Unknown(format!("{} does not start: {}", self.name(), self.console()));
        let process = first.map_err(|_| died())?.ok_or_else(died)?;
        self.wait_for_files(process)
            .map_err(|error| Error::Unknown(format!("{error}: {}", self.console())))?;
        if let Ok(mut starter) = self.starter.lock() {
            *starter = Some(child);
        }
        Ok(process)
    }

    /// Its own files are there once what it came from is unmounted.
    fn wait_for_files(&self, process: Process) -> Result<()> {
        let root = PathBuf::from(format!("/proc/{}/root", process.pid));
        wait("start of the host", Duration::from_secs(20), || {
            (root.join("lab/spec").exists() && !root.join(".old").exists()).then_some(())
        })
    }

    /// Waits until something on it listens at `host port`.
    pub fn wait_for(&self, what: &str, place: &str, within: Duration) -> Result<()> {
        let script = listens(place);
        let listens = || self.try_sh(&script).is_ok_and(|output| !output.stdout.is_empty());
        wait(&format!("{what} on {}", self.name()), within, || listens().then_some(()))
            .map_err(|error| Error::Unknown(format!("{error}: {}", self.console())))
    }

    /// Waits until its engine answers.
    pub fn wait_for_engine(&self) -> Result<()> {
        let answers = || self.try_sh("docker version").is_ok_and(|output| output.status.success());
        wait(&format!("engine on {}", self.name()), Duration::from_secs(60), || {
            answers().then_some(())
        })
    }

    /// What it said while it started.
    pub fn console(&self) -> String {
        fs::read_to_string(self.place.join("console")).unwrap_or_default()
    }

    /// Cuts its power: every process ends at once, its link goes, its disk stays.
    pub fn power_off(&self) {
        if let Ok(process) = self.process() {
            self.thaw_quietly();
            self.unplug();
            process.kill();
        }
        self.forget();
    }

    /// Power off, then on: memory is empty, the boot id is another.
    pub fn reboot(&self) -> Result<()> {
        self.power_off();
        self.power_on()
    }

    /// Collects what is left of its start.
    pub(crate) fn forget(&self) {
        let starter = self.starter.lock().ok().and_then(|mut starter| starter.take());
        if let Some(mut child) = starter {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Its control group in the freezer's hierarchy: every process of it, those of its containers too.
    pub(crate) fn freezer(&self) -> PathBuf {
        let top = Path::new("/sys/fs/cgroup");
        let old = top.join("freezer").join(&self.group);
        if old.exists() { old } else { top.join(&self.group) }
    }

    /// Makes its disk: keys, configuration, what the first process must know.
    pub(crate) fn install(&self) -> Result<()> {
        let tree = self.spec.tree.ensure()?;
        for name in ["disk", "work", "root"] {
            let path = self.place.join(name);
            at(&path, fs::create_dir_all(&path))?;
            place::mode(&path, 0o755)?;
        }
        if self.spec.docker {
            place::private(&self.place.join("docker"))?;
        }
        self.write_spec(&tree)?;
        self.write_mounts()?;
        self.write_ssh(&tree)?;
        self.write_settings()
    }

    fn write_spec(&self, tree: &Path) -> Result<()> {
        let yes = |condition| if condition { "yes" } else { "no" };
        let Self { spec, controller, prefix, group, .. } = self;
        let init = spec.init.word();
        let text = format!(
            "name={}\naddress={}\nprefix={prefix}\ncontroller={controller}\nlink=l-{}\ntree='{}'\n\
             group={group}\ninit={init}\ndocker={}\ncron={}\nhardware={}\n",
            spec.name,
            spec.address,
            spec.name,
            tree.display(),
            yes(spec.docker),
            yes(spec.cron),
            hardware_address(spec.address),
        );
        self.put("lab/start", include_str!("sh/start.sh"), 0o644)?;
        self.put("lab/spec", &text, 0o644)?;
        let path = self.place.join("spec");
        at(&path, fs::write(&path, text))
    }

    fn write_mounts(&self) -> Result<()> {
        let mut lines = String::new();
        for (number, mount) in self.spec.mounts.iter().enumerate() {
            match mount {
                Mount::Memory(path) => lines += &format!("tmpfs - {path}\n"),
                Mount::Disk(path, size) => {
                    let image = self.place.join(format!("disk{number}.img"));
                    let file = at(&image, fs::File::create(&image))?;
                    at(&image, file.set_len(u64::from(*size) << 20))?;
                    run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image))?;
                    lines += &format!("loop {} {path}\n", image.display());
                }
            }
        }
        let path = self.place.join("mounts");
        at(&path, fs::write(&path, lines))
    }

    fn write_ssh(&self, tree: &Path) -> Result<()> {
        self.put("etc/ssh/sshd_config", &self.sshd_config(), 0o644)?;
        let key = self.disk("etc/ssh/ssh_host_ed25519_key");
        if !key.exists() {
            crate::lab::keygen(&key)?;
        }
        let public = self.place.with_file_name("identity.pub");
        let public = at(&public, fs::read_to_string(&public))?;
        for home in ["root", "home/deploy", "home/sync"] {
            let file = format!("{home}/.ssh/authorized_keys");
            self.put(&file, &public, 0o600)?;
            self.like_tree(tree, &format!("{home}/.ssh"), &[&format!("{home}/.ssh"), &file])?;
            self.like_tree(tree, home, &[home])?;
        }
        Ok(())
    }

    fn sshd_config(&self) -> String {
        format!(
            "HostKey /etc/ssh/ssh_host_ed25519_key\nUsePAM no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nUseDNS no\n\
             MaxSessions {}\nMaxStartups 100\nLogLevel VERBOSE\n",
            self.spec.max_sessions
        )
    }

    fn write_settings(&self) -> Result<()> {
        let Self { spec, controller, prefix, .. } = self;
        self.put("etc/hostname", &format!("{}\n", spec.name), 0o644)?;
        let hosts = format!("127.0.0.1 localhost\n{} {}\n", spec.address, spec.name);
        self.put("etc/hosts", &hosts, 0o644)?;
        self.put("etc/resolv.conf", "", 0o644)?;
        if spec.docker {
            // Registries of this network are plain HTTP; the engine's own log is kept small and near.
            let json = format!(
                "{{\"insecure-registries\": [\"{controller}/{prefix}\"], \"log-driver\": \"json-file\"}}\n"
            );
            self.put("etc/docker/daemon.json", &json, 0o644)?;
        }
        Ok(())
    }

    /// Writes a file of its disk before it is on. Directories become root's, mode 0755.
    pub(crate) fn put(&self, path: &str, text: &str, mode: u32) -> Result<()> {
        let mut directory = self.place.join("disk");
        let parts: Vec<&str> = path.split('/').collect();
        for part in &parts[..parts.len() - 1] {
            directory.push(part);
            if !directory.exists() {
                at(&directory, fs::create_dir(&directory))?;
                place::mode(&directory, 0o755)?;
            }
        }
        let path = self.disk(path);
        at(&path, fs::write(&path, text))?;
        place::mode(&path, mode)
    }

    /// Gives files of its disk the owner that one of the tree has, and directories its mode.
    fn like_tree(&self, tree: &Path, model: &str, paths: &[&str]) -> Result<()> {
        use std::os::unix::fs::{MetadataExt, chown};
        let model = tree.join(model);
        let meta = at(&model, fs::metadata(&model))?;
        for path in paths.iter().map(|path| self.disk(path)) {
            at(&path, chown(&path, Some(meta.uid()), Some(meta.gid())))?;
            if path.is_dir() {
                place::mode(&path, meta.mode() & 0o7777)?;
            }
        }
        Ok(())
    }
}

/// A script that says something when something listens at `host port` and speaks first.
pub(crate) fn listens(place: &str) -> String {
    format!("/lab/busybox nc -w 2 {place} </dev/null | /lab/busybox head -c 1")
}

/// A local hardware address that no other host of the network has.
fn hardware_address(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("02:01:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}
