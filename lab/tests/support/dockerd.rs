//! A real Docker engine for tests: own data, own network, own processes, gone with the value that holds it.

#[path = "../../../tests/support/missing.rs"]
mod missing;

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;
use tempfile::TempDir;

const PROGRAMS: [&str; 6] = ["dockerd", "docker", "timeout", "unshare", "ip", "mount"];

/// What runs in the engine's own namespaces. `/run` is its own, so that it finds no other engine's containerd there.
const START: &str = "set -eu
mount -t tmpfs tmpfs /run
ip link set lo up
exec dockerd --data-root \"$1/data\" --exec-root \"$1/exec\" --pidfile \"$1/pid\" \
    --host \"unix://$1/docker.sock\" --bridge=none --iptables=false";

/// A running engine.
pub struct Dockerd {
    directory: TempDir,
    child: Child,
}

impl Dockerd {
    /// Starts one and waits until it answers. Without the programs or root the test is skipped with a line that says
    /// so, or fails where all programs are required (`CI` or `GITSYNC_REQUIRE_PROGRAMS` is set).
    pub fn start() -> Option<Self> {
        if !it_can_run() {
            return None;
        }
        // On a real file system, for the engine's layers can't lie on an overlay.
        let directory =
            tempfile::Builder::new().prefix("gitsync-dockerd").tempdir_in("/var/lib").unwrap();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let child = Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["sh", "-c", START, "dockerd"])
            .arg(directory.path())
            .env("PATH", places())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut docker = Self { directory, child };
        docker.wait_for_answer();
        Some(docker)
    }

    fn wait_for_answer(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.command(&["version"]).output().unwrap().status.success() {
            let ended = self.child.try_wait().unwrap();
            let bad = ended.is_some() || Instant::now() > deadline;
            assert!(!bad, "dockerd does not answer: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A free port of 127.0.0.1 as the engine sees it.
    pub fn listener(&self) -> TcpListener {
        let network = format!("/proc/{}/ns/net", self.child.id());
        let thread = std::thread::spawn(move || {
            let network = fs::File::open(network).unwrap();
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&network), kind).unwrap();
            TcpListener::bind("127.0.0.1:0").unwrap()
        });
        thread.join().unwrap()
    }

    /// Runs a command that must succeed and gives its trimmed output.
    pub fn run(&self, arguments: &[&str]) -> String {
        String::from_utf8(self.output(arguments)).unwrap().trim().to_owned()
    }

    /// The same with its output as bytes.
    pub fn output(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.command(arguments).output().unwrap();
        self.check(arguments, output)
    }

    /// Runs a command that must fail and gives what it said of that.
    pub fn refusal(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(!output.status.success(), "docker {arguments:?} succeeded");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Starts a command.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    /// Loads an archive of images.
    pub fn load(&self, archive: &[u8]) {
        let mut child = self.spawn(&["load"]);
        child.stdin.take().unwrap().write_all(archive).unwrap();
        self.check(&["load"], child.wait_with_output().unwrap());
    }

    /// What the engine knows of an image that is there.
    pub fn inspect(&self, reference: &str) -> Value {
        let known: Value =
            serde_json::from_slice(&self.output(&["image", "inspect", reference])).unwrap();
        known[0].clone()
    }

    /// An image's ID, if the engine has it.
    pub fn id(&self, reference: &str) -> Option<String> {
        let arguments = ["image", "inspect", "--format", "{{.Id}}", reference];
        let output = self.command(&arguments).output().unwrap();
        let id = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        output.status.success().then_some(id)
    }

    /// Waits for something that must come soon.
    pub fn until(&self, what: &str, mut happened: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !happened() {
            assert!(Instant::now() < deadline, "not in time: {what}; {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        // An engine that never answers is to fail a test, not to hold it.
        let mut command = Command::new("timeout");
        command
            .args(["60", "docker"])
            .env("DOCKER_CONFIG", self.directory.path().join("config"))
            .env_remove("DOCKER_CONTEXT")
            .arg("--host")
            .arg(format!("unix://{}/docker.sock", self.directory.path().display()))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn check(&self, arguments: &[&str], output: Output) -> Vec<u8> {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {arguments:?}: {said}\n{}", self.log());
        output.stdout
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        let init = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.child.id()));
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Its init dies with it, and last of all in its namespaces: then nothing writes to the directory any more.
        let deadline = Instant::now() + Duration::from_secs(10);
        let init = init.unwrap_or_default().trim().to_owned();
        while !init.is_empty() && lives(&init) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Whether a process is there and no corpse.
fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn it_can_run() -> bool {
    let mut missing: Vec<&str> =
        PROGRAMS.into_iter().filter(|name| program(name).is_none()).collect();
    if fs::metadata("/proc/self").map_or(true, |own| std::os::unix::fs::MetadataExt::uid(&own) != 0)
    {
        missing.push("root");
    }
    if !Path::new("/bin/busybox").is_file() {
        missing.push("/bin/busybox");
    }
    missing::nothing_is_missing(&missing)
}

/// Where programs are looked for: the engine and its own helpers may be in no user's path.
fn places() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

fn program(name: &str) -> Option<PathBuf> {
    places().split(':').map(|place| Path::new(place).join(name)).find(|path| path.is_file())
}
