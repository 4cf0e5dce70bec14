//! A fleet repository with two nodes that are directories, real processes on free ports, and the built program.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use git2::{Repository, RepositoryInitOptions};

use crate::commit::commit_all;
pub use crate::said::Said;

/// Nothing that a test waits for may take longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The fleet, its repository and the controller's state; everything goes when it is dropped.
pub struct Lab {
    pub web: u16,
    pub api: u16,
    home: tempfile::TempDir,
}

impl Lab {
    /// A fleet of two nodes: `api` on n2, `web` on n1 after it, and a message of the day on n1; one commit.
    pub fn new() -> Self {
        let holders = [(); 2].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
        let [web, api] = holders.each_ref().map(|l| l.local_addr().unwrap().port());
        let home = tempfile::Builder::new().prefix("gitsync-cli-").tempdir().unwrap();
        let lab = Self { web, api, home };
        let mut options = RepositoryInitOptions::new();
        Repository::init_opts(lab.repository(), options.initial_head("main")).unwrap();
        lab.stable_for("300ms");
        lab.node("n1");
        lab.node("n2");
        lab.api("api 1");
        lab.web("web 1");
        let path = lab.node_directory("n1").join("etc/motd");
        lab.write(
            "bundles/motd.yaml",
            &format!(
                "files: files/motd/\nto: {{ on: [n1], path: {}, mode: \"0644\" }}\n",
                path.display()
            ),
        );
        lab.write("files/motd/motd", "welcome\n");
        lab.commit("first");
        lab
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn repository(&self) -> PathBuf {
        self.home().join("fleet")
    }

    pub fn state(&self) -> PathBuf {
        self.home().join("state")
    }

    pub fn node_directory(&self, node: &str) -> PathBuf {
        self.home().join(node)
    }

    pub fn motd(&self) -> PathBuf {
        self.node_directory("n1").join("etc/motd/motd")
    }

    /// How long a healthy unit must stay so.
    pub fn stable_for(&self, time: &str) {
        self.write(
            "fleet.yaml",
            &format!(
                "version: 1\nname: lab\nrollout: {{ dead_man: 60s, prune: {{ enabled: true, max_removals: 5 }} }}\n\
                 health: {{ interval: 100ms, timeout: 2s, retries: 5, start_period: 100ms, stable_for: {time} }}\n"
            ),
        );
    }

    /// A node that is a directory.
    pub fn node(&self, name: &str) {
        let place = self.node_directory(name);
        self.write(
            &format!("nodes/{name}.yaml"),
            &format!("address: 127.0.0.1\nlocal: {}\n", place.display()),
        );
    }

    /// The service `api` on n2.
    pub fn api(&self, says: &str) {
        self.write("services/api.yaml", &service("n2", self.api, says, ""));
    }

    /// The service `web` on n1, which needs `api`.
    pub fn web(&self, says: &str) {
        self.write(
            "services/web.yaml",
            &(service("n1", self.web, says, "") + "depends_on: [api]\n"),
        );
    }

    /// `web`, which never gets healthy.
    pub fn sick_web(&self, says: &str) {
        self.write(
            "services/web.yaml",
            &(service("n1", self.web, says, " --sick") + "depends_on: [api]\n"),
        );
    }

    /// `web`, which must stay healthy for so long.
    pub fn slow_web(&self, says: &str, time: &str) {
        let text = service("n1", self.web, says, "") + "depends_on: [api]\n";
        let watched = format!("port: http, stable_for: {time} }}");
        self.write("services/web.yaml", &text.replace("port: http }", &watched));
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.repository().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn remove(&self, path: &str) {
        std::fs::remove_file(self.repository().join(path)).unwrap();
    }

    /// Takes the last node file, and everything that names a node, out of the fleet.
    pub fn without_nodes(&self) {
        for file in ["nodes/n1.yaml", "nodes/n2.yaml", "services/web.yaml", "services/api.yaml"] {
            self.remove(file);
        }
        self.remove("bundles/motd.yaml");
        self.commit("no nodes");
    }

    /// Commits all files and says the commit's id.
    pub fn commit(&self, message: &str) -> String {
        commit_all(&self.repository(), message).to_string()
    }

    /// A bare repository with what is committed here; `push` brings it up to date.
    pub fn bare(&self) -> PathBuf {
        let path = self.home().join("fleet.git");
        let mut options = RepositoryInitOptions::new();
        Repository::init_opts(&path, options.bare(true).initial_head("main")).unwrap();
        self.push();
        path
    }

    pub fn push(&self) {
        let repository = Repository::open(self.repository()).unwrap();
        let url = self.home().join("fleet.git").display().to_string();
        let mut remote = repository.remote_anonymous(&url).unwrap();
        remote.push(&["+refs/heads/main:refs/heads/main"], None).unwrap();
    }

    /// The program, in the repository, with nothing of this process's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gitsync"));
        command
            .args(arguments)
            .current_dir(self.repository())
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.home())
            .env("USER", "ada")
            .env("GITSYNC_STATE", self.state())
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    #[track_caller]
    pub fn gitsync(&self, arguments: &[&str]) -> Said {
        self.start(arguments).end()
    }

    /// Starts the program and goes on.
    #[track_caller]
    pub fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments))
    }

    /// What `web` answers now.
    pub fn web_says(&self) -> Option<String> {
        get(self.web)
    }

    /// What `api` answers now.
    pub fn api_says(&self) -> Option<String> {
        get(self.api)
    }

    /// Insists on what the fleet runs.
    #[track_caller]
    pub fn runs(&self, web: &str, api: &str, motd: &str) {
        assert_eq!(self.web_says().as_deref(), Some(web));
        assert_eq!(self.api_says().as_deref(), Some(api));
        assert_eq!(std::fs::read_to_string(self.motd()).unwrap(), format!("{motd}\n"));
    }

    /// Ids and command lines of processes that have `word` in their command line and belong to this lab.
    fn processes(&self) -> Vec<u32> {
        let home = self.home().display().to_string();
        let ports = [self.web.to_string(), self.api.to_string()];
        let own = |line: &[String]| {
            let app = line.iter().any(|word| word == "demo-app");
            let mine = line.iter().any(|word| ports.contains(word));
            (app && mine) || line.iter().any(|word| word.contains(&home))
        };
        processes().into_iter().filter(|(_, line)| own(line)).map(|(pid, _)| pid).collect()
    }

    /// Ends the process of a service from outside, as a crash would.
    pub fn kill_app(&self, port: u16) {
        let port = port.to_string();
        for (pid, line) in processes() {
            if line.iter().any(|word| word == "demo-app") && line.contains(&port) {
                signal(pid, "KILL");
            }
        }
    }

    /// Waits until no node script of this lab changes anything: what a killed controller began comes to its end.
    pub fn settle(&self) {
        let home = self.home().display().to_string();
        // A probe that nobody waits for watches on until its budget is spent, and changes nothing. A lease is longer
        // than any of these tests.
        let script = |line: &Vec<String>| {
            let asks = line.last().is_some_and(|verb| verb == "probe")
                || line.iter().any(|verb| verb == "watch");
            !asks && line.iter().any(|word| word.contains(&home) && word.ends_with(".sh"))
        };
        let began = Instant::now();
        loop {
            let mut left = processes();
            left.retain(|(_, line)| script(line));
            if left.is_empty() {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "node scripts that do not end: {left:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let began = Instant::now();
        loop {
            let left = self.processes();
            if left.is_empty() || began.elapsed() > Duration::from_secs(10) {
                break;
            }
            left.into_iter().for_each(|pid| signal(pid, "KILL"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A service that is a small web server on `node`.
pub fn service(node: &str, port: u16, says: &str, more: &str) -> String {
    let program = env!("CARGO_BIN_EXE_gitsync");
    format!(
        "run: command\nstart: \"exec {program} demo-app --port {port} --says '{says}'{more}\"\n\
         placement: {{ on: [{node}] }}\nports: {{ http: {port} }}\npublish: loopback\n\
         health: {{ http: /health, port: http }}\n"
    )
}

/// A program that runs; killed when it is dropped.
pub struct Running {
    child: Child,
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
    readers: Vec<std::thread::JoinHandle<()>>,
    /// Standard output up to here was heard.
    heard: usize,
}

impl Running {
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
        let (out, err) = (Arc::default(), Arc::default());
        let readers = vec![
            follow(child.stdout.take().unwrap(), Arc::clone(&out)),
            follow(child.stderr.take().unwrap(), Arc::clone(&err)),
        ];
        Self { child, out, err, readers, heard: 0 }
    }

    /// What it said on standard output so far.
    pub fn said(&self) -> String {
        self.out.lock().unwrap().clone()
    }

    /// Waits until standard output has a text after everything that was heard before.
    #[track_caller]
    pub fn hears(&mut self, text: &str) {
        let began = Instant::now();
        loop {
            // Asked before the output is read: what an ended program said is all there is.
            let ended = self.child.try_wait().unwrap().is_some();
            if ended {
                self.readers.drain(..).for_each(|reader| reader.join().unwrap());
            }
            let said = self.said();
            if let Some(at) = said[self.heard..].find(text) {
                self.heard += at + text.len();
                return;
            }
            if ended || began.elapsed() > PATIENCE {
                let err = self.err.lock().unwrap().clone();
                let fresh = &said[self.heard..];
                panic!("no `{text}` (ended: {ended}) in out:\n{fresh}\nerr:\n{err}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Ctrl-C as a terminal sends it: to the program and everything that it started and that did not leave.
    pub fn ctrl_c(&self) {
        let group = format!("-{}", self.child.id());
        assert!(Command::new("kill").args(["-INT", "--", &group]).status().unwrap().success());
    }

    /// Waits until standard error has a text.
    #[track_caller]
    pub fn complains(&self, text: &str) {
        wait(text, || self.err.lock().unwrap().contains(text));
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self) -> Said {
        let status = self.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        let code = status.code().unwrap_or(-1);
        Said { code, out: self.said(), err: self.err.lock().unwrap().clone() }
    }

    #[track_caller]
    fn wait(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if began.elapsed() > PATIENCE {
                let (out, err) = (self.said(), self.err.lock().unwrap().clone());
                panic!("it does not end; out:\n{out}\nerr:\n{err}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(
    mut from: impl Read + Send + 'static,
    to: Arc<Mutex<String>>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        let mut bytes = Vec::new();
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..count]);
            // A character that is not whole yet would move everything after it.
            let whole = bytes.utf8_chunks().next().map_or(0, |chunk| chunk.valid().len());
            *to.lock().unwrap() = String::from_utf8_lossy(&bytes[..whole]).into_owned();
        }
    })
}

/// Waits for something to be so.
#[track_caller]
pub fn wait(what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends a signal to a process by its id.
pub fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .stderr(Stdio::null())
        .status();
}

/// Every process of this machine with its command line.
pub fn processes() -> Vec<(u32, Vec<String>)> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let found = entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        Some((pid, words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()))
    });
    found.collect()
}

/// The body of `GET /` on loopback.
pub fn get(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (_, body) = text.split_once("\r\n\r\n")?;
    Some(body.trim().to_owned())
}
