//! Compose projects on a real engine: up, failure and return, exact images, removal. Needs root, dockerd and compose.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gitsync::model::{
    BindAddress, Check, ComposeService, FailureKind, PortClaim, Protocol, Runtime, Unit, Validation,
};
use gitsync::transport::Transport;

use crate::lab::{Lab, block_on, find, have, told};

/// An engine of this test's own, stopped by its process id.
pub struct Engine {
    directory: tempfile::TempDir,
    daemon: Child,
}

/// Docker's own program for compose, where packages and people put it.
fn compose_plugin() -> Option<PathBuf> {
    let given = std::env::var_os("GITSYNC_COMPOSE_PLUGIN").map(PathBuf::from);
    let places = [
        "/usr/libexec/docker/cli-plugins/docker-compose",
        "/usr/lib/docker/cli-plugins/docker-compose",
        "/usr/local/lib/docker/cli-plugins/docker-compose",
        "/usr/local/libexec/docker/cli-plugins/docker-compose",
    ];
    given.into_iter().chain(places.map(PathBuf::from)).find(|path| path.exists())
}

pub fn ready() -> bool {
    let root = fs::metadata("/proc/self").is_ok_and(|meta| {
        use std::os::unix::fs::MetadataExt;
        meta.uid() == 0
    });
    if !root {
        eprintln!("skipped: an engine of its own needs root");
        return false;
    }
    if compose_plugin().is_none() {
        return have("docker-compose plugin");
    }
    have("dockerd") && have("docker") && have("busybox")
}

impl Engine {
    pub fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("gitsync-engine-").tempdir().unwrap();
        let base = directory.path();
        let home = base.join(".docker/cli-plugins");
        fs::create_dir_all(&home).unwrap();
        let plugin = compose_plugin().unwrap();
        std::os::unix::fs::symlink(plugin, home.join("docker-compose")).unwrap();
        let log = fs::File::create(base.join("log")).unwrap();
        let daemon = Command::new("dockerd")
            .args(["--storage-driver", "vfs", "--bridge", "none", "--iptables=false"])
            .args(["--ip6tables=false", "--default-address-pool", "base=10.213.0.0/16,size=24"])
            .arg("--data-root")
            .arg(base.join("data"))
            .arg("--exec-root")
            .arg(base.join("exec"))
            .arg("--pidfile")
            .arg(base.join("pid"))
            .args(["-H", &format!("unix://{}/socket", base.display())])
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn()
            .unwrap();
        let engine = Self { directory, daemon };
        let begin = Instant::now();
        while !engine.docker(&["version"]).0 {
            assert!(begin.elapsed() < Duration::from_secs(60), "the engine does not answer");
            std::thread::sleep(Duration::from_millis(100));
        }
        engine
    }

    pub fn host(&self) -> String {
        format!("unix://{}/socket", self.directory.path().display())
    }

    pub fn docker(&self, arguments: &[&str]) -> (bool, String) {
        let mut docker = Command::new("docker");
        let output =
            docker.args(arguments).env("DOCKER_HOST", self.host()).stdin(Stdio::null()).output();
        let output = output.unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// An image that is busybox and one file that tells versions apart; the id.
    pub fn image(&self, name: &str, version: &str) -> String {
        let tree = self.directory.path().join(format!("tree-{version}"));
        fs::create_dir_all(tree.join("bin")).unwrap();
        fs::copy(find("busybox").unwrap(), tree.join("bin/busybox")).unwrap();
        for applet in ["sh", "sleep", "cat"] {
            let _ = std::os::unix::fs::symlink("busybox", tree.join("bin").join(applet));
        }
        fs::write(tree.join("version"), version).unwrap();
        let archive = self.directory.path().join("image.tar");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(&tree).arg("-cf").arg(&archive).arg(".");
        assert!(tar.status().unwrap().success());
        let (good, id) = self.docker(&["import", archive.to_str().unwrap(), name]);
        assert!(good);
        id
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let (_, ids) = self.docker(&["ps", "-aq"]);
        for id in ids.lines() {
            self.docker(&["rm", "-f", id]);
        }
        let (_, networks) = self.docker(&["network", "ls", "-q", "--filter", "type=custom"]);
        for id in networks.lines() {
            self.docker(&["network", "rm", id]);
        }
        let _ = Command::new("kill").arg(self.daemon.id().to_string()).status();
        let _ = self.daemon.wait();
        unmount_below(self.directory.path());
    }
}

fn unmount_below(directory: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below = directory.display().to_string();
    for place in mounts.lines().filter_map(|line| line.split(' ').nth(1)) {
        if place.starts_with(&below) {
            let _ = Command::new("umount").arg(place).status();
        }
    }
}

/// A node that has this engine.
pub fn lab(engine: &Engine) -> Lab {
    Lab::ordinary(&[
        ("DOCKER_HOST", &engine.host()),
        ("HOME", &engine.directory.path().display().to_string()),
    ])
}

/// A unit of one service.
pub fn service(lab: &Lab, image: &str, command: &str, extra: &str) -> Unit {
    let text = format!(
        "services:\n  web:\n    image: {image}\n    command: [\"sh\", \"-c\", {command:?}]\n    \
         restart: always\n    stop_grace_period: 0s\n    labels:\n      gitsync.fleet: {}\n      \
         gitsync.unit: service.web\n{extra}",
        lab.fleet
    );
    let mut unit = lab.unit("service.web", &[("web/compose.yaml", &text)]);
    unit.directory = lab.host("web");
    unit.validation = Validation::Staged;
    unit.runtime = Runtime::Compose {
        project: "web".to_owned(),
        files: vec!["compose.yaml".to_owned()],
        services: vec![ComposeService {
            name: "web".to_owned(),
            image: Some(image.to_owned()),
            once: false,
        }],
        needs: Vec::new(),
        recreate: Vec::new(),
    };
    unit.health.checks = vec![Check::Running];
    unit.health.stable_for = Duration::from_secs(3);
    unit
}

pub const UP: &str = "while :; do sleep 1; done";

#[test]
fn a_compose_unit_goes_up_fails_returns_to_its_exact_image_and_goes() {
    if !ready() {
        return;
    }
    let engine = Engine::start();
    let first = engine.image("app:1", "one");
    block_on(async {
        let lab = lab(&engine);
        let one = service(&lab, "app:1", UP, "");
        lab.roll(1, &one, None).await;
        lab.probe(&one).await.unwrap();
        let seen = lab.unit_report(&one).await;
        assert_eq!(seen.containers.len(), 1);
        assert_eq!(
            (seen.containers[0].image.as_str(), seen.containers[0].status.as_str()),
            (first.as_str(), "running")
        );
        // The same again: the container stays the one it was.
        lab.roll(2, &one, Some(&one)).await;
        assert_eq!(lab.unit_report(&one).await.containers[0].id, seen.containers[0].id);

        // A version that dies after two seconds, while the old image's name moves away.
        let dying = service(&lab, "app:1", "sleep 2; exit 1", "");
        lab.prepare(3, &[(&dying, Some(&one))]).await.unwrap();
        lab.change(3, &dying, Some(&one)).await.unwrap();
        let failure = told(lab.probe(&dying).await);
        assert_eq!(failure.kind, FailureKind::Content);
        let second = engine.image("app:1", "two");
        assert_ne!(first, second);
        lab.put_back(3, &dying, Some(&one)).await.unwrap();
        lab.probe(&one).await.unwrap();
        let seen = lab.unit_report(&one).await;
        assert_eq!(seen.containers[0].image, first, "another image than before");
        lab.abandon(3, Some("dies")).await;

        // What compose cannot start is refused or undone, and the old one runs.
        let bad = service(&lab, "app:1", UP, "    network_mode: container:nowhere\n");
        lab.prepare(4, &[(&bad, Some(&one))]).await.unwrap();
        assert_eq!(told(lab.change(4, &bad, Some(&one)).await).kind, FailureKind::Content);
        let seen = lab.unit_report(&one).await;
        assert_eq!(
            (seen.containers[0].image.as_str(), seen.containers[0].status.as_str()),
            (first.as_str(), "running")
        );
        lab.put_back(4, &bad, Some(&one)).await.unwrap();
        lab.abandon(4, Some("bad")).await;

        // Bad files and missing images never get past prepare.
        let mut broken = service(&lab, "app:1", UP, "    nonsense: yes\n");
        broken.about.insert("n".to_owned(), "1".to_owned());
        assert_eq!(told(lab.prepare(5, &[(&broken, Some(&one))]).await).kind, FailureKind::Content);
        lab.abandon(5, None).await;
        let absent = service(&lab, "localhost:1/none:1", UP, "");
        let failure = told(lab.prepare(6, &[(&absent, Some(&one))]).await);
        assert_eq!(failure.kind, FailureKind::Node);
        assert!(failure.message.contains("localhost:1/none:1"), "{}", failure.message);
        lab.abandon(6, None).await;

        // Stopped, started again, stopped and removed.
        let mut prepare = lab.prepare_request(7, &[(&one, Some(&one))]);
        prepare.units[0].to = None;
        lab.transport.prepare(&prepare).await.unwrap();
        let mut stop = lab.change_request(7, &one, Some(&one));
        stop.to = None;
        lab.transport.stop(&stop).await.unwrap();
        assert_eq!(lab.unit_report(&one).await.containers[0].status, "exited");
        lab.transport.put_back(&stop).await.unwrap();
        assert_eq!(lab.unit_report(&one).await.containers[0].image, first);
        lab.transport.stop(&stop).await.unwrap();
        lab.confirm(7, &[], &[&one]).await;
        assert_eq!(engine.docker(&["ps", "-aq"]).1, "");
        assert_eq!(engine.docker(&["network", "ls", "-q", "--filter", "type=custom"]).1, "");
    });
}

#[test]
fn what_runs_in_the_middle_of_a_change_is_not_taken_for_the_old_version() {
    if !ready() {
        return;
    }
    let engine = Engine::start();
    let first = engine.image("app:1", "one");
    engine.image("app:2", "two");
    block_on(async {
        let lab = lab(&engine);
        let one = service(&lab, "app:1", UP, "");
        lab.roll(1, &one, None).await;
        // Killed before it noted what it had done, and abandoned: the new container runs under the old version.
        let two = service(&lab, "app:2", UP, "");
        lab.prepare(2, &[(&two, Some(&one))]).await.unwrap();
        lab.change(2, &two, Some(&one)).await.unwrap();
        let units = lab.base.join("git sync/fleets").join(lab.fleet.as_str()).join("units");
        let note = units.join("service.web/current");
        fs::write(note, format!("{}\n", one.digest())).unwrap();
        lab.abandon(2, None).await;

        let three = service(&lab, "app:2", UP, "    hostname: three\n");
        lab.prepare(3, &[(&three, Some(&one))]).await.unwrap();
        lab.change(3, &three, Some(&one)).await.unwrap();
        lab.put_back(3, &three, Some(&one)).await.unwrap();
        assert_eq!(lab.unit_report(&one).await.containers[0].image, first);
    });
}

#[test]
fn values_of_a_node_s_files_reach_a_container_as_they_are() {
    if !ready() {
        return;
    }
    let engine = Engine::start();
    engine.image("app:1", "one");
    let values = [
        r"ends with a backslash \",
        r"ends with two \\",
        "it's",
        "say \"x\"",
        r#"\"both\" \'kinds\' \"#,
        "$HOME ${HOME} $$ ${HOME:-x} $",
        r"\$HOME \\$HOME \n \t",
        " blanks # no comment ",
        "a=b: [c] {d} %e% `f`",
        "",
    ];
    block_on(async {
        let lab = lab(&engine);
        let keys: Vec<String> = (0..values.len()).map(|number| format!("V{number}")).collect();
        let lines: String = keys.iter().map(|key| format!("      {key}: ${{{key}-}}\n")).collect();
        let mut unit = service(&lab, "app:1", UP, &format!("    environment:\n{lines}"));
        for (key, value) in keys.iter().zip(values) {
            let file = lab.base.join(key);
            fs::write(&file, format!("{value}\n")).unwrap();
            let file = gitsync::model::AbsPath::new(file.display().to_string()).unwrap();
            unit.node_env.insert(key.clone(), file);
        }
        lab.roll(1, &unit, None).await;
        let id = lab.unit_report(&unit).await.containers[0].id.clone();
        let (_, seen) = engine.docker(&["inspect", "--format", "{{json .Config.Env}}", &id]);
        let seen: Vec<String> = serde_json::from_str(&seen).unwrap();
        for (key, value) in keys.iter().zip(values) {
            let text = format!("{key}={value}");
            assert!(seen.contains(&text), "{text:?} is not among {seen:?}");
        }
    });
}

#[test]
fn a_project_a_port_or_an_address_of_others_is_left_alone() {
    if !ready() {
        return;
    }
    let engine = Engine::start();
    engine.image("app:1", "one");
    block_on(async {
        let lab = lab(&engine);
        let labels = "com.docker.compose.project=web";
        let run = ["run", "-d", "--network", "none", "--label", labels, "app:1", "sleep", "1000"];
        assert!(engine.docker(&run).0);
        let one = service(&lab, "app:1", UP, "");
        let failure = told(lab.prepare(1, &[(&one, None)]).await);
        assert_eq!(failure.kind, FailureKind::Refused);
        assert!(failure.message.contains("not gitsync's"), "{}", failure.message);
        lab.abandon(1, None).await;
        taken_ports_and_absent_addresses(&lab).await;
    });
}

async fn taken_ports_and_absent_addresses(lab: &Lab) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().port();
    let cases = [
        (BindAddress::One("127.0.0.1".parse().unwrap()), taken, Some("is taken")),
        (BindAddress::Any, taken, Some("is taken")),
        (BindAddress::One("127.0.0.2".parse().unwrap()), taken, None),
        (BindAddress::One("192.0.2.7".parse().unwrap()), 9, Some("not on this node")),
    ];
    for (number, (bind, port, complaint)) in (10..).zip(cases) {
        let mut unit = service(lab, "app:1", UP, "");
        if let Runtime::Compose { project, .. } = &mut unit.runtime {
            *project = "other".to_owned();
        }
        unit.claims.ports.insert(PortClaim { protocol: Protocol::Tcp, bind, port });
        let prepared = lab.prepare(number, &[(&unit, None)]).await;
        match complaint {
            None => prepared.unwrap(),
            Some(text) => {
                let failure = told(prepared);
                assert!(failure.message.contains(text), "{}", failure.message);
            }
        }
        lab.abandon(number, None).await;
    }
}
