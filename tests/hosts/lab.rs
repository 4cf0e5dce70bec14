//! Three nodes of this machine: an sshd, an address of loopback, a root and directories each.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::commit::commit_all;
use crate::docker::{self, Engine};
use crate::sshd::{Sshd, SshdOptions, free_port, program, sshd_is_there};
use crate::user::{self, User};

/// Ports of this run.
pub struct Ports {
    pub gateway: u16,
    pub admin: u16,
    pub web: u16,
    pub db: u16,
    pub media: u16,
    pub pair: u16,
}

/// The nodes, their fleet repository, and the engine that they share.
pub struct Lab {
    pub ports: Ports,
    home: tempfile::TempDir,
    nodes: Vec<Sshd>,
    _engine: Engine,
    _user: User,
}

impl Lab {
    /// Brings everything up; none, with a line that says why, where something is missing (a failure where all
    /// programs are required).
    pub fn start() -> Option<Self> {
        let missing = |what: &str| {
            let required = ["CI", "GITSYNC_REQUIRE_PROGRAMS"];
            let required = required.iter().any(|key| std::env::var_os(key).is_some());
            assert!(!required, "{what}, and all programs are required");
            eprintln!("skipped: {what}");
        };
        if !sshd_is_there() {
            return None;
        }
        let Some(user) = User::create() else {
            missing("no user with sudo can be made (root and sudo are needed)");
            return None;
        };
        let Some(engine) = Engine::start() else {
            missing("no Docker engine with the compose plugin can be found or started");
            return None;
        };
        if program("caddy").is_none() {
            missing("caddy was not found");
            return None;
        }
        for (tag, says, dies) in
            [("1", "web 1", false), ("2", "web 2", false), ("3", "web 3", false)]
        {
            docker::image(&format!("gitsync-test/app:{tag}"), says, dies)?;
        }
        docker::image("gitsync-test/app:crash", "web crash", true)?;
        docker::image("gitsync-test/db:1", "db 1", false)?;
        docker::image("gitsync-test/media:1", "media 1", false)?;
        // Every parent of a managed file must be root's: not below a world-writable directory.
        let home = tempfile::Builder::new().prefix("gitsync-hosts-").tempdir_in("/var/lib").ok()?;
        let nodes = (0..3).map(|_| Sshd::start(&SshdOptions::default())).collect();
        let ports = Ports {
            gateway: free_port(),
            admin: free_port(),
            web: free_port(),
            db: free_port(),
            media: free_port(),
            pair: free_port(),
        };
        let lab = Self { ports, home, nodes, _engine: engine, _user: user };
        lab.write_fleet();
        Some(lab)
    }

    fn repository(&self) -> PathBuf {
        self.home.path().join("fleet")
    }

    fn node_directory(&self, node: usize) -> PathBuf {
        self.home.path().join(format!("n{node}"))
    }

    /// The one file of the bundle, on n1.
    pub fn bundle_file(&self) -> PathBuf {
        self.node_directory(1).join("conf/greeting")
    }

    fn write_fleet(&self) {
        let Ports { gateway, admin, web, db, media, pair } = &self.ports;
        self.write(
            "fleet.yaml",
            "version: 1\nname: hosts\ndomain: test\nhealth: { interval: 500ms, timeout: 2s, retries: 8, \
             stable_for: 8s }\n",
        );
        for (index, node) in self.nodes.iter().enumerate() {
            let number = index + 1;
            let place = self.node_directory(number).display().to_string();
            self.write(
                &format!("nodes/n{number}.yaml"),
                &format!(
                    "address: 127.0.0.{}\nssh:\n  host: 127.0.0.1\n  port: {}\n  user: {}\n  \
                     identity: {}\n  host_key: \"{}\"\n  sudo: true\nroot: {place}/root\npaths: \
                     {{ services: {place}/stacks, gateways: {place}/etc, syncs: {place}/etc }}\n\
                     boot: none\n",
                    10 + number,
                    node.port,
                    user::NAME,
                    node.identity.display(),
                    node.host_key,
                ),
            );
        }
        self.write(
            "services/web.yaml",
            &format!(
                "image: gitsync-test/app:1\nplacement: {{ on: [n1] }}\nports: {{ web: \"{web}:80\" }}\n\
                 health: {{ http: /, port: web }}\nrestart: always\ndepends_on: [db]\n\
                 stop_grace: 2s\nexpose: [{{ host: web, port: web }}]\n"
            ),
        );
        self.write(
            "services/db.yaml",
            &format!(
                "image: gitsync-test/db:1\nplacement: {{ on: [n2] }}\nports: {{ web: \"{db}:80\" }}\n\
                 health: {{ http: /, port: web }}\nstop_grace: 2s\nvolumes: [ \"data:/data\" ]\n"
            ),
        );
        self.write(
            "services/media/service.yaml",
            "compose: compose.yaml\nplacement: { on: [n3] }\nexpose:\n  - \
             { host: media, service: media, port: 80 }\n",
        );
        self.write(
            "services/media/compose.yaml",
            &format!(
                "services:\n  media:\n    image: gitsync-test/media:1\n    ports: \
                 [\"127.0.0.13:{media}:80\"]\n    volumes: [\"library:/library\"]\n    \
                 stop_grace_period: 2s\nvolumes:\n  library: {{}}\n"
            ),
        );
        let start = |address: &str| {
            let www = self.home.path().join("www");
            format!("exec busybox httpd -f -p {address}:{pair} -h {}", www.display())
        };
        self.write(
            "services/pair.yaml",
            &format!(
                "run: command\nstart: {}\nplacement: {{ primary: n2, fallback: [n3] }}\n\
                 ports: {{ http: {pair} }}\nhealth: {{ http: /, port: http }}\n\
                 expose: [{{ host: pair, port: http }}]\nnodes:\n  n3:\n    start: {}\n",
                start("127.0.0.12"),
                start("127.0.0.13"),
            ),
        );
        std::fs::create_dir_all(self.home.path().join("www")).unwrap();
        std::fs::write(self.home.path().join("www/index.html"), "pair 1").unwrap();
        self.write(
            "gateways/edge.yaml",
            &format!(
                "proxy: caddy\non: [n1]\nrun: command\nhealth_interval: 1s\nhealth_timeout: 1s\n\
                 listen: {{ http: {gateway}, bind: [127.0.0.11], admin: \"localhost:{admin}\" }}\n"
            ),
        );
        let place = self.node_directory(1).display().to_string();
        self.write(
            "bundles/conf.yaml",
            &format!(
                "files: files/conf/\nto: {{ on: [n1], path: {place}/conf, mode: \"0640\" }}\n"
            ),
        );
        self.write("files/conf/greeting", "hello\n");
    }

    /// Writes a file of the fleet repository.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.repository().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Replaces a text that must be there.
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let file = self.repository().join(path);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{path} has no `{from}`");
        std::fs::write(file, text.replace(from, to)).unwrap();
    }

    /// Removes a file of the fleet repository.
    pub fn remove(&self, path: &str) {
        std::fs::remove_file(self.repository().join(path)).unwrap();
    }

    /// Commits everything.
    pub fn commit(&self, message: &str) {
        commit_all(&self.repository(), message);
    }

    /// The Git repository is lost; the files on disk stay.
    pub fn lose_git(&self) {
        std::fs::remove_dir_all(self.repository().join(".git")).unwrap();
    }

    /// Runs a command as a user would and insists on its exit code; both outputs come back.
    pub fn gitsync(&self, arguments: &[&str], code: i32) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gitsync"));
        command.args(arguments).current_dir(self.repository()).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", self.home.path());
        command.env("GITSYNC_STATE", self.home.path().join("state")).stdin(Stdio::null());
        let ran = command.output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned()
            + &String::from_utf8_lossy(&ran.stderr);
        println!("$ gitsync {}\n{said}", arguments.join(" "));
        assert_eq!(ran.status.code(), Some(code), "gitsync {arguments:?}: {said}");
        said
    }

    /// Asks the gateway for a host.
    pub fn get(&self, host: &str) -> String {
        request(&format!("127.0.0.11:{}", self.ports.gateway), host)
    }

    /// Asks a service on n2 directly.
    pub fn direct(&self, port: u16) -> String {
        request(&format!("127.0.0.12:{port}"), "direct")
    }

    /// How many commands each node's sshd has started.
    pub fn commands(&self) -> Vec<usize> {
        self.nodes
            .iter()
            .map(|node| node.log().matches("Starting session: command").count())
            .collect()
    }

    /// Every managed file with inode, time and mode, and every container with id and start: what must not move.
    pub fn truth(&self) -> BTreeSet<String> {
        let mut lines: BTreeSet<String> = docker::containers().into_iter().collect();
        for file in self.managed() {
            let seen = std::fs::metadata(&file).unwrap();
            let (inode, time, mode) = (seen.ino(), seen.mtime_nsec(), seen.mode());
            lines.insert(format!("{} {inode} {time} {mode:o}", file.display()));
        }
        lines
    }

    /// Every managed file with its content, and every container with its image: what a put-back restores.
    pub fn content(&self) -> BTreeSet<String> {
        let mut lines: BTreeSet<String> = docker::images().into_iter().collect();
        for file in self.managed() {
            let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
            lines.insert(format!("{}\n{text}", file.display()));
        }
        lines
    }

    fn managed(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for node in 1..=3 {
            for below in ["stacks", "etc", "conf"] {
                collect(&self.node_directory(node).join(below), &mut files);
            }
        }
        files
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Programs that the node script keeps run on after their rollout: end those of this lab.
        let mine = self.home.path().display().to_string();
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let pid = process.file_name().to_string_lossy().parse::<u32>();
            if let (Ok(pid), true) = (pid, line.contains(&mine)) {
                crate::sshd::signal("KILL", &[pid]);
            }
        }
    }
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

fn request(address: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET / HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").map(|(_, body)| body.trim().to_owned()).unwrap_or(answer)
}
