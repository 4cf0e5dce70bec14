//! Real sshds on loopback for tests: own keys, own port, gone with the value that holds them.

#[path = "missing.rs"]
mod missing;

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// What a test's sshd allows.
#[derive(Clone, Debug)]
pub struct SshdOptions {
    /// Sessions on one connection.
    pub max_sessions: u32,
    /// Whether it forwards TCP connections.
    pub forwarding: bool,
}

impl Default for SshdOptions {
    fn default() -> Self {
        Self { max_sessions: 10, forwarding: true }
    }
}

/// A running sshd that lets the current user (and, as root, any other) in with one key.
pub struct Sshd {
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// Who logs in.
    pub user: String,
    /// The public host key, `ssh-ed25519 AAAA…`.
    pub host_key: String,
    /// The client's private key.
    pub identity: PathBuf,
    directory: TempDir,
    child: Option<Child>,
}

/// Whether sshd and ssh are there. Without them a test is skipped with a line that says so, or fails where all
/// programs are required (`CI` or `GITSYNC_REQUIRE_PROGRAMS` is set).
pub fn sshd_is_there() -> bool {
    let missing: Vec<&str> =
        ["sshd", "ssh", "ssh-keygen"].into_iter().filter(|name| program(name).is_none()).collect();
    missing::nothing_is_missing(&missing)
}

/// Where a program is, system directories included.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let places = path.split(':').map(PathBuf::from).chain(["/usr/sbin".into(), "/sbin".into()]);
    places.map(|place| place.join(name)).find(|path| path.is_file())
}

impl Sshd {
    /// Starts one and waits for its banner.
    pub fn start(options: &SshdOptions) -> Self {
        let directory = tempfile::Builder::new().prefix("gitsync-sshd").tempdir_in("/tmp").unwrap();
        // sshd must be able to step in as the user who logs in.
        chmod(directory.path(), "755");
        let host_key = keygen(&directory.path().join("host"));
        let client_key = keygen(&directory.path().join("client"));
        fs::write(directory.path().join("authorized"), format!("{client_key}\n")).unwrap();
        chmod(&directory.path().join("authorized"), "644");
        let mut sshd = Self {
            port: free_port(),
            user: output("id", &["-un"]),
            host_key,
            identity: directory.path().join("client"),
            directory,
            child: None,
        };
        sshd.configure(options);
        sshd.run();
        sshd
    }

    /// The directory with its keys and configuration.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Starts it again on the same port after [`Sshd::kill`].
    pub fn run(&mut self) {
        // Its privilege separation directory lives on a file system that a reboot empties.
        let _ = fs::create_dir_all("/run/sshd");
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let log = fs::File::create(self.directory().join("log")).unwrap();
            let mut child = Command::new(program("sshd").unwrap())
                .args(["-D", "-e", "-f"])
                .arg(self.directory().join("config"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap();
            if self.wait_for_banner(&mut child, deadline) {
                self.child = Some(child);
                return;
            }
            // Someone took the port between our choice and now.
            self.port = free_port();
            self.repoint();
        }
    }

    /// Kills it and every session of it at once, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let mut family = descendants(child.id());
            family.push(child.id());
            signal("KILL", &family);
            let _ = child.wait();
        }
    }

    /// Processes of open connections.
    pub fn connections(&self) -> usize {
        self.child.as_ref().map_or(0, |child| children(child.id()).len())
    }

    /// Processes of open connections, with their children.
    pub fn session_processes(&self) -> Vec<u32> {
        self.child.as_ref().map(|child| descendants(child.id())).unwrap_or_default()
    }

    /// Adds a line to its configuration, for its next start.
    pub fn add(&self, line: &str) {
        let path = self.directory().join("config");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{text}{line}\n")).unwrap();
    }

    fn configure(&self, options: &SshdOptions) {
        let place = self.directory().display();
        let forwarding = if options.forwarding { "yes" } else { "no" };
        let text = format!(
            "ListenAddress 127.0.0.1:{}\nHostKey {place}/host\nAuthorizedKeysFile {place}/authorized\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\nPidFile none\nMaxSessions {}\nMaxStartups 100\n\
             AllowTcpForwarding {forwarding}\nLogLevel VERBOSE\n",
            self.port, options.max_sessions
        );
        fs::write(self.directory().join("config"), text).unwrap();
    }

    fn repoint(&self) {
        let path = self.directory().join("config");
        let text = fs::read_to_string(&path).unwrap();
        let rest: Vec<&str> = text.lines().skip(1).collect();
        let first = format!("ListenAddress 127.0.0.1:{}", self.port);
        fs::write(path, format!("{first}\n{}\n", rest.join("\n"))).unwrap();
    }

    fn wait_for_banner(&self, child: &mut Child, deadline: Instant) -> bool {
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "sshd gave no banner: {}", self.log());
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let mut banner = [0; 4];
                if stream.read_exact(&mut banner).is_ok() && &banner == b"SSH-" {
                    return true;
                }
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(self.log().contains("in use"), "sshd ended: {}", self.log());
        false
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory().join("log")).unwrap_or_default()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn keygen(path: &Path) -> String {
    let status = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
        .arg(path)
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    fs::read_to_string(path.with_extension("pub")).unwrap().trim().to_owned()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn chmod(path: &Path, mode: &str) {
    assert!(Command::new("chmod").arg(mode).arg(path).status().unwrap().success());
}

/// Sends a signal to processes by their ids.
pub fn signal(name: &str, pids: &[u32]) {
    let pids = pids.iter().map(u32::to_string);
    let _ = Command::new("kill").arg(format!("-{name}")).args(pids).stderr(Stdio::null()).status();
}

/// The direct children of a process.
pub fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let (_, rest) = stat.rsplit_once(") ")?;
            (rest.split(' ').nth(1)?.parse() == Ok(parent)).then_some(pid)
        })
        .collect()
}

fn descendants(root: u32) -> Vec<u32> {
    let mut found = children(root);
    let mut next = 0;
    while next < found.len() {
        found.extend(children(found[next]));
        next += 1;
    }
    found
}
