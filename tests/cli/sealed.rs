//! Secrets end to end: what is encrypted in the repository reaches its unit, and nothing else ever shows it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use gitsync::model::{Timestamp, sha256_hex};
use gitsync::secrets::{Creation, Opener, Recipient, created};
use gitsync::settings::{KeyPlace, SecretText};

use crate::lab::{Lab, Running, Said, processes, service, wait};

/// Values that stand nowhere else in the world; one has everything that formats quote.
const TOKEN: &str = "s3nt1nel-T0ken/with+signs=";
const ODD: &str = "s3nt1nel \"odd\" 'v$lue' \\ & <x>";
const KEY: &str =
    "-----BEGIN S3NT1NEL-----\ns3nt1nel-first-line\ns3nt1nel-second-line\n-----END-----";

/// A lab with secrets, the key that opens them, and everything that was ever said.
struct Sealed {
    lab: Lab,
    said: Mutex<Vec<String>>,
    watch: Option<std::thread::JoinHandle<Vec<String>>>,
    over: Arc<AtomicBool>,
}

fn opener(path: &Path) -> Opener {
    Opener::new(vec![KeyPlace::Text(SecretText::new(
        "the test",
        std::fs::read_to_string(path).unwrap(),
    ))])
}

impl Sealed {
    fn new() -> Self {
        let lab = Lab::new();
        let keys = age_key(&lab.home().join("age-key"));
        let now = Timestamp(1_750_000_000_000);
        let creation = Creation::new(vec![Recipient::parse(&keys).unwrap()]);
        let first =
            created("secrets/app.yaml", &["token".to_owned()], TOKEN, &creation, now).unwrap();
        lab.write("secrets/app.yaml", &first);
        let sealed = Self { lab, said: Mutex::default(), watch: None, over: Arc::default() };
        sealed.set("odd", ODD);
        sealed.set("key", KEY);
        let etc = sealed.lab.node_directory("n1").join("etc/app");
        sealed.lab.write(
            "bundles/app.yaml",
            &format!(
                "files: {{ app.conf: files/app.conf, key.pem: secret:app.key }}\ntemplate: true\n\
                 to: {{ on: [n1], path: {} }}\n",
                etc.display()
            ),
        );
        sealed.lab.write("files/app.conf", "odd={{ secret(key=\"app.odd\") }}\n");
        sealed.web("web 1", "");
        sealed.lab.commit("with secrets");
        let over = Arc::clone(&sealed.over);
        let watch = std::thread::spawn(move || watched(&over));
        Self { watch: Some(watch), ..sealed }
    }

    /// Gives a secret another value.
    fn set(&self, key: &str, value: &str) {
        let path = self.lab.repository().join("secrets/app.yaml");
        let text = std::fs::read(&path).unwrap();
        let unlocked = opener(&self.key()).unlock("secrets/app.yaml", &text).unwrap();
        let text = unlocked.set(&[key.to_owned()], value, Timestamp(1_750_000_001_000)).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// `web` with two secrets in its environment, doing something before it serves.
    fn web(&self, says: &str, first: &str) {
        let text = service("n1", self.lab.web, says, "");
        let text = text.replace("start: \"exec", &format!("start: \"{first} exec"));
        let env = "env: { TOKEN: secret:app.token, ODD: secret:app.odd }\n";
        self.lab.write("services/web.yaml", &(text + "depends_on: [api]\n" + env));
    }

    fn key(&self) -> PathBuf {
        self.lab.home().join("age-key")
    }

    fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.lab.command(arguments);
        command.env("GITSYNC_AGE_KEY_FILE", self.key()).env("GITSYNC_LOG", "gitsync=trace");
        Running::start(command)
    }

    fn gitsync(&self, arguments: &[&str]) -> Said {
        self.heard(self.start(arguments).end())
    }

    /// Remembers what was said, to be searched.
    fn heard(&self, said: Said) -> Said {
        self.said.lock().unwrap().extend([said.out.clone(), said.err.clone()]);
        said
    }

    /// What `web` was started with.
    fn environment(&self) -> Vec<String> {
        let port = self.lab.web.to_string();
        let own =
            |line: &[String]| line.iter().any(|word| word == "demo-app") && line.contains(&port);
        let (pid, _) = processes().into_iter().find(|(_, line)| own(line)).unwrap();
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        environment.split(|b| *b == 0).map(|it| String::from_utf8_lossy(it).into_owned()).collect()
    }

    /// Insists that no secret is in anything that was said, in any command line, or in a file that others may read.
    fn end(mut self) {
        self.over.store(true, Ordering::Relaxed);
        let lines = self.watch.take().unwrap().join().unwrap();
        let said = std::mem::take(&mut *self.said.lock().unwrap());
        assert!(said.len() > 10 && !lines.is_empty());
        let forms = forms();
        let shows = |bytes: &[u8]| {
            forms.iter().find(|form| bytes.windows(form.len()).any(|it| it == form.as_bytes()))
        };
        for text in said.iter().chain(&lines) {
            assert_eq!(shows(text.as_bytes()), None, "in:\n{text}");
        }
        for path in files(self.lab.home()) {
            assert_eq!(shows(path.as_os_str().as_encoded_bytes()), None, "{}", path.display());
            let on_node = path.starts_with(self.lab.node_directory("n1"));
            if on_node && is_private(&path) {
                continue;
            }
            let content = std::fs::read(&path).unwrap_or_default();
            assert_eq!(shows(&content), None, "in {}", path.display());
        }
    }
}

/// Makes a key as `age-keygen` writes it; its public side is the answer.
fn age_key(path: &Path) -> String {
    use age::secrecy::ExposeSecret as _;
    let identity = age::x25519::Identity::generate();
    std::fs::write(path, identity.to_string().expose_secret()).unwrap();
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    identity.to_public().to_string()
}

/// Every command line that was ever seen until it is over.
fn watched(over: &AtomicBool) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    while !over.load(Ordering::Relaxed) {
        seen.extend(processes().into_iter().map(|(_, line)| line.join(" ")));
        std::thread::sleep(std::time::Duration::from_millis(3));
    }
    seen.into_iter().collect()
}

/// Every form of every secret that must never be seen.
fn forms() -> Vec<String> {
    let mut found = Vec::new();
    for value in [TOKEN, ODD].into_iter().chain(KEY.lines().filter(|line| line.contains("s3n"))) {
        found.push(value.to_owned());
        found.push(serde_json::to_string(value).unwrap().trim_matches('"').to_owned());
        let url: String = value
            .bytes()
            .map(|b| match b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
                true => char::from(b).to_string(),
                false => format!("%{b:02X}"),
            })
            .collect();
        found.push(url);
        for engine in [STANDARD, URL_SAFE] {
            // The last characters depend on what follows.
            let text = engine.encode(value);
            found.push(text[..text.len() - 4].to_owned());
        }
        for hashed in [value.to_owned(), format!("{value}\n"), format!("odd={value}\n")] {
            found.push(sha256_hex(hashed.as_bytes()));
        }
    }
    found.extend([KEY, &format!("{KEY}\n")].map(|text| sha256_hex(text.as_bytes())));
    found
}

fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|it| it.permissions().mode() & 0o077 == 0)
}

/// Every file below a directory; links are not followed.
fn files(below: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(below).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path()),
            Ok(kind) if kind.is_file() => vec![entry.path()],
            _ => Vec::new(),
        })
        .collect()
}

#[test]
fn secrets_reach_their_units_and_no_command_file_or_process_list_shows_them() {
    let sealed = Sealed::new();
    let lab = &sealed.lab;
    for arguments in [
        &["validate"][..],
        &["render"],
        &["plan"],
        &["plan", "--format", "json"],
        &["plan", "--out", "../plan.json"],
        &["show-plan", "../plan.json"],
    ] {
        sealed.gitsync(arguments).exits(0);
    }
    sealed.gitsync(&["render"]).exits(0).says("odd=[secret app.odd]");
    sealed.gitsync(&["apply", "--yes"]).exits(0);
    let environment = sealed.environment();
    assert!(environment.contains(&format!("TOKEN={TOKEN}")), "{environment:?}");
    assert!(environment.contains(&format!("ODD={ODD}")), "{environment:?}");
    let etc = lab.node_directory("n1").join("etc/app");
    assert_eq!(std::fs::read_to_string(etc.join("app.conf")).unwrap(), format!("odd={ODD}\n"));
    assert_eq!(std::fs::read_to_string(etc.join("key.pem")).unwrap(), KEY);
    assert!(is_private(&etc.join("app.conf")) && is_private(&etc.join("key.pem")));
    // A second rollout has nothing to do, and needs no key.
    sealed.heard(lab.gitsync(&["apply", "--yes"])).exits(0);
    sealed.gitsync(&["drift"]).exits(0);
    std::fs::write(etc.join("app.conf"), "odd=changed\n").unwrap();
    sealed.gitsync(&["drift"]).says("app.conf");
    sealed.gitsync(&["drift", "--format", "json"]).says("app.conf");
    sealed.gitsync(&["apply", "--yes"]);
    // What a unit says of its secrets when it fails is masked, whatever way it says it.
    let leak =
        "echo token $TOKEN; printf %s me:$TOKEN | base64 -w0; echo; echo odd $ODD >&2; exit 3;";
    sealed.web("web 2", leak);
    lab.commit("web tells everything");
    let said = sealed.gitsync(&["apply", "--yes"]).exits(3);
    assert!(format!("{}{}", said.out, said.err).contains("[secret]"), "{}{}", said.out, said.err);
    for arguments in [
        &["status"][..],
        &["status", "--format", "json"],
        &["history"],
        &["history", "--format", "json"],
        &["check"],
        &["rollback", "--list"],
    ] {
        sealed.gitsync(arguments);
    }
    let history = lab.gitsync(&["history", "--format", "json"]).out;
    let history: serde_json::Value = serde_json::from_str(&history).unwrap();
    for id in history.as_array().into_iter().flatten().filter_map(|one| one["id"].as_str()) {
        sealed.gitsync(&["show", id]);
        sealed.gitsync(&["show", id, "--format", "json"]).exits(0);
    }
    sealed.end();
}

#[test]
fn a_changed_secret_is_told_as_changed_and_restarts_who_has_it() {
    let sealed = Sealed::new();
    let lab = &sealed.lab;
    sealed.gitsync(&["apply", "--yes"]).exits(0);
    sealed.set("token", "s3nt1nel-second-token");
    lab.commit("another token");
    // A plan needs no key, and says whose secret changed.
    let plan = sealed.heard(lab.gitsync(&["plan"])).exits(0);
    assert!(plan.out.contains("env TOKEN: its secret changed"), "{}", plan.out);
    assert!(!plan.out.contains("bundle.app"), "{}", plan.out);
    sealed.gitsync(&["apply", "--yes"]).exits(0);
    assert!(sealed.environment().contains(&"TOKEN=s3nt1nel-second-token".to_owned()));
    // The way back needs neither key nor repository.
    sealed.heard(lab.gitsync(&["rollback", "--yes"])).exits(0);
    assert!(sealed.environment().contains(&format!("TOKEN={TOKEN}")));
}

#[test]
fn without_a_key_nothing_is_begun_and_the_daemon_goes_on_once_it_is_there() {
    let sealed = Sealed::new();
    let lab = &sealed.lab;
    let said = lab.gitsync(&["apply", "--yes"]).exits(1);
    assert!(said.err.contains("secrets/app.yaml"), "{}", said.err);
    assert!(said.err.contains("GITSYNC_AGE_KEY"), "{}", said.err);
    assert_eq!(lab.web_says(), None);
    lab.gitsync(&["history"]).exits(0).says("");
    let away = lab.home().join("away");
    std::fs::rename(sealed.key(), &away).unwrap();
    let url = format!("file://{}", lab.bare().display());
    let mut daemon = sealed.start(&["run", &url, "--interval", "1s"]);
    daemon.hears("the secrets can't be opened");
    assert_eq!(lab.web_says(), None);
    std::fs::rename(&away, sealed.key()).unwrap();
    daemon.hears("converged");
    wait("web", || lab.web_says().as_deref() == Some("web 1"));
    daemon.signal("TERM");
    sealed.heard(daemon.end()).exits(0);
    for _ in 0..5 {
        sealed.gitsync(&["status"]).exits(0);
    }
    sealed.end();
}

#[test]
fn logs_are_shown_from_where_a_unit_runs_followed_and_masked() {
    let sealed = Sealed::new();
    let lab = &sealed.lab;
    sealed.web("web 1", "echo hello; echo token $TOKEN;");
    lab.commit("it says hello");
    sealed.gitsync(&["apply", "--yes"]).exits(0);
    let said = sealed.gitsync(&["logs", "web"]).exits(0);
    assert!(said.out.contains("hello\ntoken [secret]\n"), "{}", said.out);
    sealed.gitsync(&["logs", "n1/service.web", "-n", "2"]).exits(0).says("token [secret]");
    let both = sealed.gitsync(&["logs", "service.web"]).exits(0);
    assert!(!both.out.contains("n1/service.web |"), "{}", both.out);
    let unknown = sealed.gitsync(&["logs", "wob"]).exits(1);
    assert!(unknown.err.contains("no node runs `wob`"), "{}", unknown.err);
    assert!(unknown.err.contains("n1/service.web"), "{}", unknown.err);
    // Without the key what can't be masked is not shown, unless somebody says so.
    let refused = lab.gitsync(&["logs", "web"]).exits(1);
    assert!(refused.err.contains("can't be masked"), "{}", refused.err);
    lab.gitsync(&["logs", "web", "--unmasked"]).exits(0).says(TOKEN);
    lab.gitsync(&["logs", "api"]).exits(0);
    let mut follow = sealed.start(&["logs", "web", "--follow"]);
    follow.hears("token [secret]");
    sealed.web("web 2", "echo once more;");
    lab.commit("it says something else");
    sealed.gitsync(&["apply", "--yes"]).exits(0);
    follow.hears("once more");
    follow.kill();
    for _ in 0..3 {
        sealed.gitsync(&["check"]);
    }
    sealed.end();
}
