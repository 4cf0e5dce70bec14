//! The demo's fleet repository: three nodes in a temporary directory and the commits made to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use git2::{Repository, Signature};

/// What the demo's repository says at one commit.
#[derive(Clone, Debug)]
pub struct Story {
    /// What the app answers.
    pub app: &'static str,
    /// Whether the app's health check ever passes.
    pub sick: bool,
    /// What the store answers.
    pub store: &'static str,
    /// The message of the day that a bundle brings to every node.
    pub message: &'static str,
}

/// Where the demo lives: a directory that goes when the demo ends, and free ports.
pub struct Place {
    /// The directory.
    pub home: PathBuf,
    /// This program.
    pub program: PathBuf,
    /// The app's ports on vps1 and vps2.
    pub app: [u16; 2],
    /// The store's port.
    pub store: u16,
}

impl Place {
    /// Uses `home` and three ports of loopback that are free now.
    pub fn new(home: &Path) -> std::io::Result<Self> {
        let holders = [(); 3].map(|()| std::net::TcpListener::bind(("127.0.0.1", 0)));
        let mut ports = Vec::new();
        for holder in holders {
            ports.push(holder?);
        }
        let port = |at: usize| ports.get(at).map_or(Ok(0), |l| l.local_addr().map(|a| a.port()));
        Ok(Self {
            home: home.to_path_buf(),
            program: std::env::current_exe()?,
            app: [port(0)?, port(1)?],
            store: port(2)?,
        })
    }

    /// The repository.
    pub fn repository(&self) -> PathBuf {
        self.home.join("fleet.git")
    }

    /// The directory of a node.
    pub fn node(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// The files of one commit.
    pub fn files(&self, story: &Story) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        let mut put = |path: &str, text: String| drop(files.insert(path.to_owned(), text));
        put("fleet.yaml", FLEET.to_owned());
        for node in ["vps1", "vps2", "nas"] {
            put(&format!("nodes/{node}.yaml"), self.node_file(node));
        }
        put("services/store.yaml", self.store_file(story));
        put("services/app.yaml", self.app_file(story));
        put("bundles/motd.yaml", self.bundle_file());
        put("files/motd/motd", format!("{}\n", story.message));
        files
    }

    fn node_file(&self, node: &str) -> String {
        format!(
            "address: 127.0.0.1\nlocal: {}\nlabels: {{ kind: {} }}\n",
            quoted(&self.node(node).display().to_string()),
            if node == "nas" { "nas" } else { "vps" },
        )
    }

    fn start(&self, port: u16, says: &str, sick: bool) -> String {
        let program = shell_quoted(&self.program.display().to_string());
        let sick = if sick { " --sick" } else { "" };
        quoted(&format!(
            "exec {program} demo-app --port {port} --says {}{sick}",
            shell_quoted(says)
        ))
    }

    fn store_file(&self, story: &Story) -> String {
        let port = self.store;
        format!(
            "run: command\nstart: {}\nplacement: {{ on: [nas] }}\nports: {{ http: {port} }}\n\
             publish: loopback\nhealth: {{ http: /health, port: http }}\n",
            self.start(port, story.store, false),
        )
    }

    fn app_file(&self, story: &Story) -> String {
        let [vps1, vps2] = self.app;
        format!(
            "run: command\nstart: {}\nplacement: {{ primary: vps2, fallback: [vps1] }}\n\
             ports: {{ http: {vps2} }}\npublish: loopback\nhealth: {{ http: /health, port: http }}\n\
             depends_on: [store]\nnodes:\n  vps1:\n    start: {}\n    ports: {{ http: {vps1} }}\n",
            self.start(vps2, story.app, story.sick),
            self.start(vps1, story.app, story.sick),
        )
    }

    fn bundle_file(&self) -> String {
        let path = quoted(&self.node("nas").join("etc/motd").display().to_string());
        format!("files: files/motd/\nto: {{ on: [nas], path: {path}, mode: \"0644\" }}\n")
    }
}

const FLEET: &str = "version: 1
name: demo
rollout: { dead_man: 30s }
health: { interval: 200ms, timeout: 1s, retries: 5, start_period: 200ms, stable_for: 300ms }
";

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Commits the files to the bare repository's `main` and says the new commit's id.
pub fn commit(
    repository: &Path,
    files: &BTreeMap<String, String>,
    message: &str,
) -> Result<String, git2::Error> {
    let repository = open(repository)?;
    let mut index = git2::Index::new()?;
    for (path, text) in files {
        let id = repository.blob(text.as_bytes())?;
        index.add(&entry(path, id, text.len()))?;
    }
    let tree = repository.find_tree(index.write_tree_to(&repository)?)?;
    let who = Signature::now("A. Person", "person@example.net")?;
    let tip = repository.find_reference("refs/heads/main").and_then(|r| r.peel_to_commit());
    let parents: Vec<_> = tip.iter().collect();
    let id = repository.commit(Some("refs/heads/main"), &who, &who, message, &tree, &parents)?;
    Ok(id.to_string())
}

fn open(path: &Path) -> Result<Repository, git2::Error> {
    Repository::open(path).or_else(|_| {
        let mut options = git2::RepositoryInitOptions::new();
        Repository::init_opts(path, options.bare(true).initial_head("main"))
    })
}

fn entry(path: &str, id: git2::Oid, size: usize) -> git2::IndexEntry {
    git2::IndexEntry {
        ctime: git2::IndexTime::new(0, 0),
        mtime: git2::IndexTime::new(0, 0),
        dev: 0,
        ino: 0,
        mode: 0o100_644,
        uid: 0,
        gid: 0,
        file_size: u32::try_from(size).unwrap_or(u32::MAX),
        id,
        flags: 0,
        flags_extended: 0,
        path: path.as_bytes().to_vec(),
    }
}

/// Ends every process that the demo's nodes keep: whatever runs this program below the demo's directory.
pub fn end_processes(place: &Place) {
    let mine = place.program.display().to_string();
    let ports: Vec<String> =
        [place.app[0], place.app[1], place.store].map(|p| p.to_string()).into();
    let Ok(processes) = std::fs::read_dir("/proc") else { return };
    for process in processes.flatten() {
        let Ok(line) = std::fs::read(process.path().join("cmdline")) else { continue };
        let words: Vec<_> = line.split(|b| *b == 0).map(String::from_utf8_lossy).collect();
        let demo =
            words.first().is_some_and(|w| *w == mine) && words.iter().any(|w| w == "demo-app");
        if demo && words.iter().any(|word| ports.iter().any(|port| port == word)) {
            // The system's own kill: no signal call of ours.
            let pid = process.file_name();
            let _ = std::process::Command::new("kill").arg(pid).status();
        }
    }
}
