//! The engine: the one that runs, or one that is started here and stopped again; images without a registry.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The engine, stopped when this goes if it was started here.
pub struct Engine {
    child: Option<Child>,
    _home: Option<tempfile::TempDir>,
    _turn: std::fs::File,
}

/// The machine has one engine and one name for each image: another run of these tests waits for its turn.
fn turn() -> Option<std::fs::File> {
    let file = std::fs::File::create(std::env::temp_dir().join("gitsync-hosts.lock")).ok()?;
    let deadline = Instant::now() + Duration::from_secs(900);
    while file.try_lock().is_err() {
        assert!(Instant::now() < deadline, "another run of these tests has the engine");
        std::thread::sleep(Duration::from_millis(200));
    }
    Some(file)
}

impl Engine {
    /// Finds or starts an engine with the compose plugin; none when this machine has none.
    pub fn start() -> Option<Self> {
        let turn = turn()?;
        if quiet(&["compose", "ls"]) {
            return Some(Self { child: None, _home: None, _turn: turn });
        }
        let dockerd = crate::sshd::program("dockerd")?;
        let home = tempfile::Builder::new().prefix("gitsync-engine").tempdir_in("/var/lib").ok()?;
        let at = |name: &str| home.path().join(name);
        let child = Command::new(dockerd)
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"))
            .args(["-H", "unix:///var/run/docker.sock", "--bip", "10.201.0.1/24"])
            .args(["--default-address-pool", "base=10.202.0.0/16,size=24"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(at("log")).ok()?)
            .spawn()
            .ok()?;
        let engine = Self { child: Some(child), _home: Some(home), _turn: turn };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !quiet(&["version"]) {
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        quiet(&["compose", "ls"]).then_some(engine)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for project in ["web", "db", "media"] {
            let label = format!("label=com.docker.compose.project={project}");
            let found = output(&["ps", "-aq", "--filter", &label]);
            for id in found.split_whitespace() {
                quiet(&["rm", "-f", "-v", id]);
            }
            quiet(&["network", "rm", &format!("{project}_default")]);
        }
        if let Some(mut child) = self.child.take() {
            crate::sshd::signal("TERM", &[child.id()]);
            let _ = child.wait();
        }
    }
}

/// Makes an image that serves `says` on port 80; `dies` makes it end after six seconds.
pub fn image(tag: &str, says: &str, dies: bool) -> Option<()> {
    let home = tempfile::tempdir().ok()?;
    let busybox =
        ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|p| Path::new(p).exists())?;
    for directory in ["bin", "www", "tmp"] {
        std::fs::create_dir(home.path().join(directory)).ok()?;
    }
    std::fs::copy(busybox, home.path().join("bin/busybox")).ok()?;
    std::fs::write(home.path().join("www/index.html"), says).ok()?;
    let end = if dies { "/bin/busybox sleep 6; exit 1" } else { "while :; do wait; done" };
    let script = format!(
        "#!/bin/busybox sh\ntrap 'exit 0' TERM\n/bin/busybox httpd -f -p 80 -h /www &\n{end}\n"
    );
    std::fs::write(home.path().join("bin/app"), script).ok()?;
    quiet_in(home.path(), "chmod", &["755", "bin/app", "bin/busybox"]);
    let pipe = format!(
        "tar -c -C '{}' . | docker import -c 'CMD [\"/bin/busybox\",\"sh\",\"/bin/app\"]' - '{tag}'",
        home.path().display()
    );
    quiet_in(home.path(), "sh", &["-c", &pipe]).then_some(())
}

/// Runs a docker command that must succeed.
pub fn run(arguments: &[&str]) -> String {
    let ran = Command::new("docker").args(arguments).stdin(Stdio::null()).output().unwrap();
    let error = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "docker {arguments:?}: {error}");
    String::from_utf8_lossy(&ran.stdout).trim().to_owned()
}

/// The id of a project's container; empty when it has none.
pub fn container(project: &str) -> String {
    output(&["ps", "-aq", "--filter", &format!("label=com.docker.compose.project={project}")])
}

/// The image id that a project's container runs.
pub fn running_image(project: &str) -> String {
    run(&["inspect", "--format", "{{.Image}}", &container(project)])
}

/// The id that a tag has now.
pub fn image_id(tag: &str) -> String {
    run(&["image", "inspect", "--format", "{{.Id}}", tag])
}

/// All volumes' names.
pub fn volumes() -> String {
    output(&["volume", "ls", "-q"])
}

/// Every container with what must not move when nothing changes.
pub fn containers() -> Vec<String> {
    let ids = output(&["ps", "-aq", "--filter", "label=gitsync.fleet"]);
    let format = "{{.Name}} {{.Id}} {{.Image}} {{.State.StartedAt}} {{.RestartCount}}";
    let ids: Vec<&str> = ids.split_whitespace().collect();
    if ids.is_empty() {
        return Vec::new();
    }
    let mut arguments = vec!["inspect", "--format", format];
    arguments.extend(ids);
    run(&arguments).lines().map(str::to_owned).collect()
}

/// Every container's name and image.
pub fn images() -> Vec<String> {
    let line = |line: &String| {
        let mut words = line.split(' ');
        format!("{} {}", words.next().unwrap_or_default(), words.nth(1).unwrap_or_default())
    };
    containers().iter().map(line).collect()
}

fn output(arguments: &[&str]) -> String {
    let ran = Command::new("docker").args(arguments).stdin(Stdio::null()).output();
    ran.map(|ran| String::from_utf8_lossy(&ran.stdout).trim().to_owned()).unwrap_or_default()
}

fn quiet(arguments: &[&str]) -> bool {
    quiet_in(Path::new("/"), "docker", arguments)
}

fn quiet_in(directory: &Path, program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.current_dir(directory).args(arguments).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
