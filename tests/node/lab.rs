//! A node in a temporary directory: a root, a script with a narrow PATH, and units to put on it.

use crate::missing;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gitsync::model::{
    AbsPath, Artifact, Boot, Check, Claims, Command, Content, Digest, Failure, Good, Health,
    Moment, Name, NodeReport, ProbeFrom, Rollback, Runtime, Timestamp, Unit, UnitId, UnitReport,
    Validation, Verdict,
};
use gitsync::transport::script::{script_name, script_text};
use gitsync::transport::{
    Abandon, ChangeUnit, Confirm, Fence, LocalChannel, NodeProbe, Prepare, PrepareUnit, Scripted,
    Transport, TransportError,
};

/// POSIX utilities, tar and sha256sum: what every node has.
const NEEDED: &str = "awk basename cat chmod chown cmp cp cut date dd df env grep head id \
    kill ln ls mkdir mv od printf pwd rm rmdir sed sh sha256sum sleep sort tail tar test tr uname \
    xargs";
/// What the script uses when it is there.
const OPTIONAL: &str = "setsid stat sync";

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A shell and the utilities that come with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shell {
    /// dash with GNU utilities.
    Dash,
    /// busybox alone.
    Busybox,
    /// dash, without the optional utilities.
    Bare,
    /// bash with GNU utilities.
    Bash,
}

pub const SHELLS: [Shell; 4] = [Shell::Dash, Shell::Busybox, Shell::Bare, Shell::Bash];

/// Whether everything is tried, which takes long, or a sample of it.
pub fn everything() -> bool {
    std::env::var_os("GITSYNC_EVERY_KILL").is_some()
}

/// Whether a program is there; without it the caller's test is skipped, which CI doesn't accept.
pub fn have(program: &str) -> bool {
    let missing = [program].into_iter().filter(|name| find(name).is_none()).collect::<Vec<_>>();
    missing::nothing_is_missing(&missing)
}

pub fn find(program: &str) -> Option<PathBuf> {
    ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        .iter()
        .map(|directory| Path::new(directory).join(program))
        .find(|path| path.exists())
}

impl Shell {
    /// The shells of this machine. bash differs from dash in little: it has its own tests, and these when there is time.
    pub fn all() -> Vec<Self> {
        let sampled = |shell: &Self| *shell != Self::Bash || everything();
        SHELLS.into_iter().filter(sampled).filter(|shell| have(shell.program())).collect()
    }

    /// One of each shell program, with all utilities.
    pub fn programs() -> Vec<Self> {
        let programs = [Self::Dash, Self::Busybox, Self::Bash];
        programs.into_iter().filter(|shell| have(shell.program())).collect()
    }

    fn program(self) -> &'static str {
        match self {
            Self::Dash | Self::Bare => "dash",
            Self::Busybox => "busybox",
            Self::Bash => "bash",
        }
    }

    /// Fills a directory with links to what a node with this shell has.
    fn fill(self, directory: &Path) {
        let mut names: Vec<&str> = NEEDED.split_whitespace().collect();
        if self != Self::Bare {
            names.extend(OPTIONAL.split_whitespace());
        }
        fs::create_dir_all(directory).unwrap();
        for name in names {
            let program = match (self, name) {
                (Self::Busybox, _) => "busybox",
                (Self::Bash, "sh") => "bash",
                (_, "sh") => "dash",
                _ => name,
            };
            let target = find(program).unwrap_or_else(|| panic!("{program} is missing"));
            symlink(fs::canonicalize(target).unwrap(), directory.join(name)).unwrap();
        }
    }
}

/// Where syncing costs nothing, if there is such a place: the script does it often.
fn place() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// A node in a temporary directory.
pub struct Lab {
    _directory: tempfile::TempDir,
    pub base: PathBuf,
    pub fleet: Name,
    pub node: Name,
    channel: LocalChannel,
    pub transport: Scripted<LocalChannel>,
    path: String,
    shell: String,
    /// Programs that are started while this exists wait until it is gone, when a kill was asked for.
    gate: PathBuf,
}

impl Drop for Lab {
    /// Ends every process that works in this node's directory, also when the test failed.
    fn drop(&mut self) {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(10) {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            let left: Vec<String> = left.iter().map(u32::to_string).collect();
            let _ = std::process::Command::new("kill").arg("-KILL").args(&left).status();
        }
    }
}

impl Lab {
    /// A node whose script finds only what `shell` comes with.
    pub fn new(shell: Shell) -> Self {
        Self::below(&place(), shell)
    }

    /// The same in a directory of the caller's choice.
    pub fn below(place: &Path, shell: Shell) -> Self {
        Self::with_path(place, |base| {
            let directory = base.join("path");
            shell.fill(&directory);
            directory.display().to_string()
        })
    }

    /// A node with the usual PATH and these variables.
    pub fn ordinary(variables: &[(&str, &str)]) -> Self {
        let mut lab = Self::with_path(&place(), |_| PATH.to_owned());
        for (key, value) in variables {
            lab.channel = lab.channel.clone().with_variable(key, value);
        }
        lab.transport = Scripted::new(lab.node.clone(), lab.channel.clone());
        lab
    }

    fn with_path(place: &Path, path: impl FnOnce(&Path) -> String) -> Self {
        let builder = tempfile::Builder::new().prefix("gitsync-node-").tempdir_in(place);
        let directory = builder.unwrap();
        let base = fs::canonicalize(directory.path()).unwrap();
        fs::create_dir(base.join("host")).unwrap();
        let path = path(&base);
        // A blank in it, as a share of a NAS may have.
        let root = AbsPath::new(base.join("git sync").display().to_string()).unwrap();
        let shell = path.split(':').map(|part| Path::new(part).join("sh")).find(|sh| sh.exists());
        let shell = shell.unwrap().display().to_string();
        let channel = LocalChannel::new(root, &base.display().to_string()).with_shell(&[&shell]);
        let node = Name::new("vps1").unwrap();
        let lab = Self {
            _directory: directory,
            fleet: Name::new("homelab").unwrap(),
            transport: Scripted::new(node.clone(), channel.clone()),
            node,
            channel,
            path,
            shell,
            gate: base.join("gate"),
            base,
        };
        lab.install(&|text| text);
        lab
    }

    /// Puts the script there, with the narrow PATH and another change to its text.
    pub fn install(&self, change: &dyn Fn(String) -> String) {
        let fixed = format!("PATH={PATH}\n");
        let policy = "\npolicy=/etc/gitsync/policy\n";
        assert!(script_text().contains(&fixed) && script_text().contains(policy));
        let own = format!("\npolicy='{}'\n", self.policy_file().display());
        let text = script_text().replace(policy, &own);
        let text = text.replace(&fixed, &format!("PATH={}\n", self.path));
        fs::create_dir_all(self.base.join("git sync/bin")).unwrap();
        fs::write(self.script(), change(text)).unwrap();
    }

    /// The same node, on which a put-back survives a reboot like that.
    pub fn booting(&self, boot: Boot) -> Scripted<LocalChannel> {
        Scripted::new(self.node.clone(), self.channel.clone()).with_boot(boot)
    }

    /// The fleet's record on the node.
    pub fn record(&self) -> PathBuf {
        self.base.join("git sync/fleets/homelab/record")
    }

    /// Where this node's owner has the policy.
    pub fn policy_file(&self) -> PathBuf {
        self.base.join("owner/policy")
    }

    /// The owner writes the policy, or takes it away.
    pub fn policy(&self, text: Option<&str>) {
        let file = self.policy_file();
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&file);
        if let Some(text) = text {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        }
    }

    /// The shell that the script is run with.
    pub fn shell(&self) -> &str {
        &self.shell
    }

    pub fn script(&self) -> PathBuf {
        self.base.join("git sync/bin").join(script_name())
    }

    /// The same node, whose script is killed before the `at`th command that it runs from its parsed request on.
    /// Zero: it only writes down its commands on standard error.
    pub fn killed_at(&self, at: usize) -> LocalChannel {
        self.channel.clone().with_variable("STOP_AT", &at.to_string())
    }

    /// The way to the same node, with a variable for its script.
    pub fn with_variable(&self, key: &str, value: &str) -> Scripted<LocalChannel> {
        Scripted::new(self.node.clone(), self.channel.clone().with_variable(key, value))
    }

    /// Makes the script count its commands; the count is what `killed_at` goes by.
    pub fn count_commands(&self, shell: Shell) {
        self.install(&|text| counting(&text, shell));
    }

    /// Runs the script as the node itself does, without a request: `watch`, `boot`, `restore`. With a number it is
    /// killed before that command, or at zero writes its commands down; what it starts is not.
    pub fn by_hand(&self, arguments: &[&str], at: Option<usize>) -> std::process::Output {
        self.by_hand_command(arguments, at).output().unwrap()
    }

    /// The same, to be started.
    pub fn by_hand_command(&self, arguments: &[&str], at: Option<usize>) -> std::process::Command {
        let shell = self.path.split(':').map(|part| Path::new(part).join("sh"));
        let mut command =
            std::process::Command::new(shell.into_iter().find(|sh| sh.exists()).unwrap());
        command.arg(self.script()).args(arguments).env_clear().env("HOME", &self.base);
        if let Some(at) = at {
            command.env("STOP_AT", at.to_string()).env("STOP_VERB", arguments[0]);
        }
        command
    }

    /// A channel whose script is killed as soon as it has started a program, which then waits before its first command.
    pub fn killed_after_a_start(&self) -> LocalChannel {
        fs::write(&self.gate, "").unwrap();
        self.install(&|text| {
            let gate = self.gate.display();
            let asked = "[ \"${STOP_AT:-0}\" != 0 ]";
            let wait = format!("while {asked} && [ -e '{gate}' ]; do sleep 0.02; done");
            let (begin, started) = ("\nverb_job() {\n", "job_child=$!\n");
            assert!(text.contains(begin) && text.contains(started));
            text.replacen(begin, &format!("{begin}{wait}\n"), 1).replacen(
                started,
                &format!("{started}! {asked} || kill -9 $$\n"),
                1,
            )
        });
        self.killed_at(1)
    }

    /// Lets delayed programs go on, and waits until they have ended.
    pub fn let_programs_go_on(&self) {
        fs::remove_file(&self.gate).unwrap();
        self.wait_for_no_process();
    }

    /// Waits until every process of this node has ended; what was told to end takes its moment.
    pub fn wait_for_no_process(&self) {
        let begin = Instant::now();
        while !self.processes().is_empty() {
            assert!(begin.elapsed() < Duration::from_secs(30), "{:?} are left", self.processes());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ids of living processes that have this node's directory in their arguments or their environment.
    pub fn processes(&self) -> Vec<u32> {
        let ours = self.base.display().to_string().into_bytes();
        let mentions = |file: PathBuf| {
            let text = fs::read(file).unwrap_or_default();
            text.windows(ours.len()).any(|window| window == ours)
        };
        let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let others = ids.filter(|id| *id != std::process::id());
        others
            .filter(|id| {
                let at = Path::new("/proc").join(id.to_string());
                mentions(at.join("cmdline")) || mentions(at.join("environ"))
            })
            .collect()
    }

    pub fn host(&self, relative: &str) -> AbsPath {
        AbsPath::new(format!("{}/host/{relative}", self.base.display())).unwrap()
    }

    pub fn text_of(&self, relative: &str) -> Option<String> {
        fs::read_to_string(self.host(relative).as_str()).ok()
    }

    /// Every file below the host directory and its content.
    pub fn tree(&self) -> BTreeMap<String, String> {
        let mut tree = BTreeMap::new();
        collect(&self.base.join("host"), "", &mut tree);
        tree
    }

    pub fn unit(&self, local: &str, files: &[(&str, &str)]) -> Unit {
        let id = UnitId::from_local(&self.node, local).unwrap();
        let mut artifacts: Vec<Artifact> = files
            .iter()
            .map(|(path, text)| Artifact {
                destination: self.host(path),
                mode: 0o644,
                owner: None,
                content: Content::Bytes(text.as_bytes().to_vec()),
                sensitive: false,
            })
            .collect();
        artifacts.sort_by(|a, b| a.destination.cmp(&b.destination));
        Unit {
            id,
            directory: self.host("app"),
            runtime: Runtime::Files,
            artifacts,
            commands: Vec::new(),
            host_service: None,
            validation: Validation::None,
            node_env: BTreeMap::new(),
            sealed_env: BTreeMap::new(),
            health: health(vec![Check::Running]),
            depends_on: BTreeSet::new(),
            claims: Claims::default(),
            membership: None,
            witness: Duration::ZERO,
            rollback: Rollback::Auto,
            adopt: false,
            about: BTreeMap::new(),
            fleet: self.fleet.clone(),
        }
    }

    pub fn fence(&self, number: u64) -> Fence {
        Fence { fleet: self.fleet.clone(), number, nonce: format!("nonce-{number}") }
    }

    pub async fn report(&self) -> NodeReport {
        self.transport.observe(&self.fleet).await.unwrap()
    }

    pub async fn unit_report(&self, unit: &Unit) -> UnitReport {
        self.report().await.units.get(&unit.id).cloned().unwrap_or_default()
    }

    pub fn prepare_request(&self, number: u64, units: &[(&Unit, Option<&Unit>)]) -> Prepare {
        let units = units.iter().map(|(to, from)| PrepareUnit {
            id: to.id.clone(),
            to: Some((*to).clone()),
            from: from.map(Unit::digest),
            adopt: to.adopt,
        });
        Prepare {
            fence: self.fence(number),
            holder: "ann@laptop".to_owned(),
            rollout: format!("r{number}"),
            since: Timestamp(1_700_000_000_000),
            dead_man: Some(Duration::from_secs(60)),
            takeover: false,
            units: units.collect(),
            present: BTreeSet::new(),
            opened: gitsync::transport::Opened::default(),
        }
    }

    pub async fn prepare(
        &self,
        number: u64,
        units: &[(&Unit, Option<&Unit>)],
    ) -> Result<(), TransportError> {
        self.transport.prepare(&self.prepare_request(number, units)).await
    }

    pub fn change_request(&self, number: u64, to: &Unit, from: Option<&Unit>) -> ChangeUnit {
        ChangeUnit {
            fence: self.fence(number),
            id: to.id.clone(),
            to: Some(to.digest()),
            from: from.map(Unit::digest),
            replaces: Vec::new(),
            deadline: Duration::from_secs(60),
        }
    }

    pub async fn change(
        &self,
        number: u64,
        to: &Unit,
        from: Option<&Unit>,
    ) -> Result<(), TransportError> {
        self.transport.change(&self.change_request(number, to, from)).await
    }

    pub async fn put_back(
        &self,
        number: u64,
        to: &Unit,
        from: Option<&Unit>,
    ) -> Result<(), TransportError> {
        self.transport.put_back(&self.change_request(number, to, from)).await
    }

    pub async fn confirm(&self, number: u64, units: &[&Unit], remove: &[&Unit]) {
        self.transport.confirm(&self.confirm_request(number, units, remove)).await.unwrap();
    }

    pub fn confirm_request(&self, number: u64, units: &[&Unit], remove: &[&Unit]) -> Confirm {
        Confirm {
            fence: self.fence(number),
            good: Good {
                release: release(number),
                commit: Some(format!("{number:040x}")),
                at: Timestamp(1_700_000_000_000 + number),
                units: units.iter().map(|unit| (unit.id.clone(), unit.digest())).collect(),
            },
            keep: true,
            remove: remove.iter().map(|unit| unit.id.clone()).collect(),
            quarantine: None,
        }
    }

    pub async fn abandon(&self, number: u64, quarantine: Option<&str>) {
        let request = Abandon {
            fence: self.fence(number),
            verdict: Verdict::RolledBack,
            release: release(number),
            commit: None,
            at: Timestamp(1_700_000_000_000 + number),
            quarantine: quarantine.map(str::to_owned),
        };
        self.transport.abandon(&request).await.unwrap();
    }

    /// One whole rollout of one unit.
    pub async fn roll(&self, number: u64, to: &Unit, from: Option<&Unit>) {
        self.prepare(number, &[(to, from)]).await.unwrap();
        self.change(number, to, from).await.unwrap();
        self.confirm(number, &[to], &[]).await;
    }

    pub async fn probe(&self, unit: &Unit) -> Result<usize, TransportError> {
        let request = NodeProbe {
            fleet: self.fleet.clone(),
            id: unit.id.clone(),
            health: unit.health.clone(),
        };
        self.transport.probe(&request).await.map(|attempts| attempts.len())
    }
}

/// The script with a count before each of its commands, and a kill before the one that `STOP_AT` names.
fn counting(text: &str, shell: Shell) -> String {
    // dash kills itself without a process for each count; busybox evaluates both sides of `&&` in arithmetic.
    let count = match shell {
        Shell::Busybox => {
            "$((tick=tick+1))$(e=$?; test \"$tick\" = \"$STOP_AT\" && kill -9 $$; exit $e) "
        }
        // bash repeats the first letter for what runs inside of something, so it is a blank.
        _ => " $(( (tick=tick+1)==STOP_AT && (hit=1) ? tick : tick ))${hit:+$(kill -9 $$)} ",
    };
    tracing(text, count)
}

/// The script with something that its shell expands before each command, in the process that was asked for.
pub fn tracing(text: &str, before: &str) -> String {
    let prologue = format!(
        "case ${{STOP_AT:-}}-${{STOP_VERB:-}}-${{1:-}} in\n-* | *--job | *--keep | *--watch | *--boot) ;;\n\
         *--* | *-watch-watch | *-boot-boot | *-restore-restore)\ntick=0\nPS4='{before}'\nset -x ;;\nesac\n"
    );
    assert!(text.contains("\nset -u\n"));
    text.replacen("\nset -u\n", &format!("\nset -u\n{prologue}"), 1)
}

pub fn release(number: u64) -> Digest {
    Digest::of(format!("release {number}").as_bytes())
}

pub fn health(checks: Vec<Check>) -> Health {
    Health {
        checks,
        interval: Duration::from_millis(100),
        timeout: Duration::from_secs(2),
        retries: 3,
        start_period: Duration::ZERO,
        stable_for: Duration::from_millis(300),
        from: ProbeFrom::Node,
    }
}

pub fn command(moment: Moment, text: &str) -> Command {
    Command { moment, content: Content::Bytes(text.as_bytes().to_vec()) }
}

/// The failure that the node told.
pub fn told<T: std::fmt::Debug>(result: Result<T, TransportError>) -> Failure {
    match result {
        Err(TransportError::Failed(failure)) => *failure,
        other => panic!("not a failure of the node: {other:?}"),
    }
}

pub fn mode_of(path: &AbsPath) -> u32 {
    fs::metadata(path.as_str()).unwrap().permissions().mode() & 0o7777
}

fn collect(directory: &Path, below: &str, tree: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{name}/"), tree);
        } else {
            tree.insert(name, String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into());
        }
    }
}

/// Runs a test body in a runtime of its own.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(future)
}
