//! The `lab` command does for a person what the library does for tests: the real binary, every lab taken down again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use gitsync_lab::wait;

/// A lab's name that no other test has; whatever has it is taken down in the end.
struct Name(String);

impl Name {
    /// None, with the reason, where this machine can't have a lab. In CI that is a failure.
    fn new(tail: &str) -> Option<Self> {
        if let Err(error) = gitsync_lab::check_machine() {
            skip(&error.to_string());
            return None;
        }
        Some(Self(format!("cmd{}{tail}", std::process::id())))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
        command.args(words).env("GITSYNC_LAB_NAME", &self.0).stdin(Stdio::null());
        command
    }

    fn output(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// What it prints when all goes well.
    fn lab(&self, words: &[&str]) -> String {
        let output = self.output(words);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "lab {words:?}: {error}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// What it says when it can't.
    fn refusal(&self, words: &[&str]) -> String {
        let output = self.output(words);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "lab {words:?}: {error}");
        error
    }

    fn place(&self) -> PathBuf {
        PathBuf::from(self.lab(&["status", "--place"]))
    }

    /// The line of a host in `lab status`.
    fn line(&self, host: &str) -> String {
        let status = self.lab(&["status"]);
        let line = status.lines().find(|line| line.trim_start().starts_with(host));
        line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn ssh_works(&self, host: &str) -> bool {
        self.output(&["ssh", host, "--", "true"]).status.success()
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = self.command(&["down"]).output();
    }
}

fn skip(reason: &str) {
    let required = ["CI", "GITSYNC_REQUIRE_PROGRAMS"];
    assert!(!required.iter().any(|key| std::env::var_os(key).is_some()), "{reason}");
    eprintln!("skipped: {reason}");
}

/// Processes, mounts and control groups that name a lab.
fn traces(name: &str) -> Vec<String> {
    let listed = Command::new("ps").args(["-e", "-ww", "-o", "pid=,args="]).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let groups = fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
    let groups = groups.flat_map(|top| fs::read_dir(top.path()).into_iter().flatten().flatten());
    let groups: Vec<String> = groups.map(|group| group.path().display().to_string()).collect();
    let lines = listed.lines().chain(mounts.lines()).chain(groups.iter().map(String::as_str));
    lines.filter(|line| line.contains(name)).map(str::to_owned).collect()
}

/// The session of a process: a terminal that closes ends all of it.
fn session(pid: u32) -> String {
    let listed = Command::new("ps").args(["-o", "sid=", "-p", &pid.to_string()]).output().unwrap();
    String::from_utf8_lossy(&listed.stdout).trim().to_owned()
}

/// The processes of a session that name a lab.
fn in_session(name: &str, session: &str) -> Vec<String> {
    let listed = Command::new("ps").args(["-ww", "-o", "args=", "-s", session]).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    listed.lines().filter(|line| line.contains(name)).map(str::to_owned).collect()
}

/// A first line that a program prints, without waiting for its end.
fn first_line(child: &mut Child) -> String {
    use std::io::{BufRead, BufReader};
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    line.trim().to_owned()
}

#[test]
fn a_lab_stays_after_up_and_nothing_of_it_after_down() {
    let Some(name) = Name::new("a") else { return };
    let said = name.lab(&["up", "2"]);
    assert_eq!(said.lines().count(), 4, "{said}");
    assert!(said.contains("2 hosts are up") && said.contains("lab ssh"), "{said}");
    let place = name.place();
    assert_eq!(name.line("h2"), "h2 10.77.0.2 on");
    assert!(name.refusal(&["up"]).contains("up already; `lab down` ends it"));
    assert_eq!(name.lab(&["ssh", "h1", "--", "hostname; id -un"]), "h1\nroot");
    assert_eq!(name.lab(&["ssh", "--user", "deploy", "h2", "--", "sudo", "-n", "id", "-u"]), "0");
    assert_eq!(name.lab(&["exec", "h2", "--", "hostname"]), "h2");
    assert!(!traces(&name.0).is_empty());
    assert_eq!(in_session(&name.0, &session(std::process::id())), Vec::<String>::new());
    name.lab(&["fault", "h2", "freeze"]);
    assert_eq!(name.lab(&["down"]), format!("lab `{}` is down", name.0));
    assert_eq!(name.lab(&["down"]), format!("lab `{}` was not up", name.0));
    assert!(!place.exists());
    let gone = || traces(&name.0).is_empty().then_some(());
    wait("end of all traces", Duration::from_secs(5), gone)
        .unwrap_or_else(|_| panic!("{:?}", traces(&name.0)));
    assert!(name.refusal(&["status"]).contains("`lab up` starts one"));
}

#[test]
fn three_hosts_are_up_in_two_seconds() {
    let Some(name) = Name::new("b") else { return };
    gitsync_lab::Tree::Whole.ensure().unwrap();
    // Other tests run beside this one: one good try is proof, and on a busy machine a bad one isn't.
    let mut times = (0..5).map(|_| {
        let begin = Instant::now();
        name.lab(&["up", "3"]);
        let time = begin.elapsed();
        name.lab(&["down"]);
        time
    });
    if !times.any(|time| time < Duration::from_secs(2)) {
        let load = fs::read_to_string("/proc/loadavg").unwrap();
        let load: f64 = load.split(' ').next().unwrap().parse().unwrap();
        let cores = std::thread::available_parallelism().unwrap().get();
        assert!(load > 2.0 * cores as f64, "no lab of three in two seconds on an idle machine");
        eprintln!("skipped: the load of this machine is {load}");
    }
}

#[test]
fn two_labs_with_names_of_their_own_do_not_meet() {
    let (Some(one), Some(two)) = (Name::new("c"), Name::new("d")) else { return };
    one.lab(&["up", "1"]);
    two.lab(&["up", "1", "--poor"]);
    one.lab(&["exec", "h1", "--", "touch", "/mine"]);
    let has =
        |name: &Name| name.output(&["exec", "h1", "--", "test", "-e", "/mine"]).status.success();
    assert!(has(&one) && !has(&two));
    one.lab(&["fault", "h1", "power-off"]);
    assert_eq!(two.line("h1"), "h1 10.77.0.1 on");
    one.lab(&["down"]);
    assert!(two.ssh_works("h1"));
}

#[test]
fn a_command_runs_where_the_controller_is_and_ends_as_it_would_alone() {
    let Some(name) = Name::new("e") else { return };
    name.lab(&["up", "1"]);
    assert_eq!(name.lab(&["run", "--", "getent", "hosts", "h1"]), "10.77.0.1       h1");
    let here = std::env::current_dir().unwrap().display().to_string();
    assert_eq!(name.lab(&["run", "--", "pwd"]), here);
    assert!(name.lab(&["run", "--", "ip", "-4", "address"]).contains("10.77.0.254/24"));
    assert_eq!(name.output(&["run", "--", "sh", "-c", "exit 42"]).status.code(), Some(42));
    assert_eq!(name.output(&["ssh", "h1", "--", "exit 43"]).status.code(), Some(43));
    let mut command = name.command(&["run", "--", "sh", "-c", "trap 'exit 44' TERM; echo; read _"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    first_line(&mut child);
    gitsync_lab::signal("TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(44), "a signal gets through");
    let mut left = name.command(&["run", "--", "sh", "-c", "echo; exec sleep 1000"]);
    let mut left = left.stdout(Stdio::piped()).spawn().unwrap();
    first_line(&mut left);
    name.lab(&["down"]);
    let ended = || left.try_wait().unwrap();
    assert!(
        !wait("end of what was left in the lab", Duration::from_secs(5), ended).unwrap().success()
    );
}

#[test]
fn faults_work_are_remembered_and_are_mended() {
    let Some(name) = Name::new("f") else { return };
    name.lab(&["up", "2"]);
    let disk = "/var/lib/gitsync";
    let pings =
        || name.output(&["exec", "h1", "--", "ping", "-c1", "-W1", "10.77.0.2"]).status.success();
    let fault = |words: &[&str]| name.lab(&[&["fault", "h2"], words].concat());
    for (breaks, mends, told) in [
        (vec!["cut"], vec!["mend"], "cut off"),
        (vec!["down"], vec!["up"], "link down"),
        (vec!["deaf", "h1"], vec!["both-ways"], "deaf to 10.77.0.1"),
        (vec!["mute", "10.77.0.1"], vec!["both-ways"], "mute to 10.77.0.1"),
        (vec!["loss", "1"], vec!["loss", "0"], "loses 1"),
    ] {
        fault(&breaks);
        assert!(!pings(), "{breaks:?}");
        assert_eq!(name.line("h2"), format!("h2 10.77.0.2 on {told}"));
        fault(&mends);
        assert_eq!(name.line("h2"), "h2 10.77.0.2 on");
        wait("ping", Duration::from_secs(5), || pings().then_some(()))
            .unwrap_or_else(|_| panic!("{mends:?}"));
    }
    for (breaks, mends) in
        [("freeze", "thaw"), ("hang-sshd", "wake-sshd"), ("power-off", "power-on")]
    {
        fault(&[breaks]);
        assert!(!name.ssh_works("h2"), "{breaks}");
        fault(&[mends]);
        assert!(name.ssh_works("h2"), "{mends}");
    }
    fault(&["fill", disk]);
    let write =
        ["exec", "h2", "--", "dd", "if=/dev/zero", "of=/var/lib/gitsync/more", "bs=64k", "count=4"];
    assert!(!name.output(&write).status.success(), "the disk is full");
    fault(&["reboot"]);
    assert_eq!(name.line("h2"), format!("h2 10.77.0.2 on {disk} is full"));
    fault(&["drain", disk]);
    name.lab(&write);
}

#[test]
fn another_host_key_is_refused_by_who_knew_the_first() {
    let Some(name) = Name::new("g") else { return };
    name.lab(&["up", "1"]);
    let config = name.place().join("ssh_config").display().to_string();
    let pinned = ["run", "--", "ssh", "-F", &config, "h1", "id", "-un"];
    assert_eq!(name.lab(&pinned), "deploy");
    name.lab(&["fault", "h1", "change-host-key"]);
    assert!(!name.output(&pinned).status.success());
    assert!(name.ssh_works("h1"), "a person at the console gets in");
    let known = fs::read_to_string(name.place().join("fleet/nodes/h1.yaml")).unwrap();
    let now = name.lab(&[
        "exec",
        "h1",
        "--",
        "cut",
        "-d",
        " ",
        "-f",
        "2",
        "/etc/ssh/ssh_host_ed25519_key.pub",
    ]);
    assert!(!known.contains(&now) && name.lab(&["status"]).contains(&now));
}

#[test]
fn mistakes_are_refused_in_words() {
    let Some(name) = Name::new("h") else { return };
    name.lab(&["up", "2"]);
    assert!(name.refusal(&["ssh", "h9"]).contains("no host `h9` in this lab; it has h1, h2"));
    assert!(name.refusal(&["fault", "h1", "deaf", "h9"]).contains("no host `h9`"));
    assert!(name.refusal(&["fault", "h1", "fill", "/var"]).contains("h1 has /var/lib/gitsync"));
    assert!(name.refusal(&["fault", "h1", "fill", "/var/lib/gitsync/../x"]).contains("fill"));
    assert!(name.refusal(&["fault", "h1", "loss", "2"]).contains("between 0 and 1"));
    assert!(name.refusal(&["up", "0"]).contains("1..=200"));
    assert!(name.refusal(&["up", "--poor", "--docker"]).contains("cannot be used with"));
    assert!(name.refusal(&["up", "--name", "../x"]).contains("can't name a lab"));
    name.lab(&["fault", "h1", "power-off"]);
    assert!(name.refusal(&["ssh", "h1"]).contains("h1 is off"));
    assert!(name.refusal(&["fault", "h1", "cut"]).contains("h1 is off; power it on first"));
}

#[test]
fn without_root_it_says_that_it_needs_it() {
    if gitsync_lab::check_root().is_err() {
        skip("not root: there is no other user to become");
        return;
    }
    // The binary lies below a directory that others may not enter.
    let copy = tempfile::Builder::new().prefix("lab").tempdir_in("/tmp").unwrap();
    let program = copy.path().join("lab");
    fs::copy(env!("CARGO_BIN_EXE_lab"), &program).unwrap();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(copy.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program).arg("status");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("a lab needs root"), "{output:?}");
}

#[test]
fn containers_are_hosts_too_where_an_engine_runs() {
    let Some(name) = Name::new("i") else { return };
    let answers =
        Command::new("docker").arg("version").output().is_ok_and(|told| told.status.success());
    if !answers {
        // An engine is nobody's duty: the namespaces need none, in CI neither.
        eprintln!("skipped: no Docker engine answers");
        assert!(name.refusal(&["up", "--backend", "container"]).contains("ocker"));
        return;
    }
    name.lab(&["up", "2", "--backend", "container"]);
    assert!(name.refusal(&["up", "--backend", "container"]).contains("up already"));
    assert_eq!(name.lab(&["ssh", "h1", "--", "hostname"]), "h1");
    let two = name.lab(&["run", "--", "getent", "hosts", "h2"]);
    let address = two.split_whitespace().next().unwrap();
    assert_eq!(name.line("h2"), format!("h2 {address} on"));
    let pings =
        || name.output(&["exec", "h1", "--", "ping", "-c1", "-W1", address]).status.success();
    assert!(pings());
    for (breaks, mends) in [("cut", "mend"), ("down", "up"), ("power-off", "power-on")] {
        name.lab(&["fault", "h2", breaks]);
        assert!(!pings(), "{breaks}");
        name.lab(&["fault", "h2", mends]);
        wait("ping", Duration::from_secs(5), || pings().then_some(())).unwrap();
    }
    name.lab(&["fault", "h2", "freeze"]);
    assert!(pings() && !name.ssh_works("h2"));
    name.lab(&["fault", "h2", "thaw"]);
    assert!(name.refusal(&["fault", "h2", "slow", "100"]).contains("the container backend can't"));
    let place = name.place();
    name.lab(&["down"]);
    assert!(!place.exists() && labelled(&place).is_empty(), "{:?}", labelled(&place));
}

/// What the engine still has of a lab.
fn labelled(place: &Path) -> String {
    let label = format!("label=gitsync-lab={}", place.display());
    let lists = [vec!["ps", "-aq"], vec!["network", "ls", "-q"], vec!["volume", "ls", "-q"]];
    let list = |words: &Vec<&str>| {
        let output =
            Command::new("docker").args(words).args(["--filter", &label]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    lists.iter().map(list).collect()
}
