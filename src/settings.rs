//! The controller's own configuration and limits: file, environment and flags.

mod limits;
mod notify;
mod secrets;
mod signatures;
mod trust;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::model::{Limits, UnitId, parse_duration};

pub use notify::{Channel, Ntfy, Topic, Way, Webhook};
pub use secrets::{KeyPlace, SecretText};
pub use signatures::Signatures;
pub use trust::History;

/// How a Git remote is let in to and how long it may take.
#[derive(Clone, PartialEq, Eq)]
pub struct GitAccess {
    /// A private key file without passphrase, for SSH; the agent and `~/.ssh/id_*` when absent.
    pub identity: Option<PathBuf>,
    /// A token, for HTTPS.
    pub token: Option<String>,
    /// How long one fetch may take.
    pub timeout: Duration,
}

impl Default for GitAccess {
    fn default() -> Self {
        Self { identity: None, token: None, timeout: Duration::from_secs(120) }
    }
}

impl fmt::Debug for GitAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "…");
        f.debug_struct("GitAccess")
            .field("identity", &self.identity)
            .field("token", &token)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// Where the settings are looked for when no file is named: the first that exists.
const SYSTEM_FILE: &str = "/etc/gitsync/config.yaml";

/// What the command line says; what is absent is left to the environment and the file.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// The settings file; it must exist when it is named.
    pub config: Option<PathBuf>,
    /// The state directory.
    pub state: Option<PathBuf>,
    /// The repository.
    pub repository: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// The fleet's folder.
    pub path: Option<String>,
    /// Between two looks.
    pub interval: Option<Duration>,
}

/// The controller's settings: flags over environment over file over defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The repository that the daemon watches: a local path, `file://`, `https://` or SSH.
    pub repository: Option<String>,
    /// The branch that is wanted. `main`.
    pub branch: String,
    /// The fleet's folder in the repository; empty for its root.
    pub path: String,
    /// Between two looks, before jitter. `60s`.
    pub interval: Duration,
    /// Where journal and mirror are kept.
    pub state: PathBuf,
    /// Nodes asked at once. 32.
    pub parallel: usize,
    /// How long a connection to a node may take to come up. `10s`.
    pub connect_timeout: Duration,
    /// How the repository is let in to.
    pub git: GitAccess,
    /// What a commit may do to history. `forward`.
    pub history: History,
    /// The unit that this controller itself runs in, if a rollout could touch it.
    pub controller: Option<UnitId>,
    /// Whose signature a commit must have; none when anybody's will do.
    pub signatures: Option<Signatures>,
    /// What no commit may go beyond.
    pub limits: Option<Limits>,
    /// Where the keys that open secrets are looked for, in order.
    pub secrets: Vec<KeyPlace>,
    /// Who is told of what.
    pub notify: Vec<Channel>,
}

/// Why settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file can't be read.
    #[error("the settings file `{}` can't be read: {error}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file has something in it that is not a setting.
    #[error("the settings file `{}`: {message}", .path.display())]
    Invalid {
        /// Which.
        path: PathBuf,
        /// What and where.
        message: String,
    },
    /// A value is not what it should be.
    #[error("{name}: {message}")]
    Value {
        /// The setting, as it was written.
        name: String,
        /// Why.
        message: String,
    },
}

/// The file as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    repository: Option<String>,
    branch: Option<String>,
    path: Option<String>,
    interval: Option<String>,
    state: Option<PathBuf>,
    parallel: Option<usize>,
    connect_timeout: Option<String>,
    git: Option<GitFile>,
    history: Option<String>,
    controller: Option<String>,
    require_signatures: Option<signatures::SignaturesFile>,
    limits: Option<limits::LimitsFile>,
    secrets: Option<secrets::SecretsFile>,
    #[serde(default)]
    notify: Vec<notify::ChannelFile>,
    /// Where all of it was read.
    #[serde(skip)]
    from: PathBuf,
}

/// `git:` in the file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct GitFile {
    identity: Option<PathBuf>,
    token_file: Option<PathBuf>,
    timeout: Option<String>,
}

impl Settings {
    /// Reads the settings from file, environment (`GITSYNC_*`) and flags. Nothing is written.
    pub fn load(flags: &Flags) -> Result<Self, SettingsError> {
        // A variable that is set to nothing is how containers leave one out.
        Self::from(flags, &|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from(flags: &Flags, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let file = file(flags, env)?;
        let limits = limits(&file)?;
        let git = git(file.git.clone().unwrap_or_default(), env)?;
        let text = |flag: &Option<String>, name: &str, written: Option<String>| {
            flag.clone().or_else(|| env(name)).or(written)
        };
        let state = flags.state.clone().or_else(|| env("GITSYNC_STATE").map(PathBuf::from));
        let connect_timeout = env("GITSYNC_CONNECT_TIMEOUT").or(file.connect_timeout);
        Ok(Self {
            repository: text(&flags.repository, "GITSYNC_REPOSITORY", file.repository),
            branch: text(&flags.branch, "GITSYNC_BRANCH", file.branch)
                .unwrap_or_else(|| "main".into()),
            path: text(&flags.path, "GITSYNC_PATH", file.path).unwrap_or_default(),
            interval: interval(flags, env("GITSYNC_INTERVAL").or(file.interval))?,
            state: state
                .or(file.state)
                .map_or_else(|| state_directory(env), |path| at_home(path, env)),
            parallel: parallel(env("GITSYNC_PARALLEL"), file.parallel)?,
            connect_timeout: time("connect_timeout", connect_timeout, 10)?,
            git,
            history: trust::history(env("GITSYNC_HISTORY").or(file.history))?,
            controller: trust::controller(env("GITSYNC_CONTROLLER").or(file.controller))?,
            signatures: signatures::signatures(file.require_signatures, env)?,
            limits,
            secrets: secrets::places(file.secrets, env),
            notify: notify::channels(file.notify, env)?,
        })
    }

    /// Where the controller's copy of the repository is kept.
    pub fn mirror_directory(&self) -> PathBuf {
        self.state.join("mirror")
    }

    /// The repository's path, when it is on this machine.
    pub fn local_repository(&self) -> Option<PathBuf> {
        let url = self.repository.as_deref()?;
        let path = PathBuf::from(url.strip_prefix("file://").unwrap_or(url));
        path.is_dir().then_some(path)
    }
}

fn file(flags: &Flags, env: &dyn Fn(&str) -> Option<String>) -> Result<File, SettingsError> {
    let named = flags.config.clone().or_else(|| env("GITSYNC_CONFIG").map(PathBuf::from));
    let candidates = match named.clone() {
        Some(path) => vec![path],
        None => std::iter::once(PathBuf::from(SYSTEM_FILE)).chain(user_file(env)).collect(),
    };
    for path in candidates {
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                return serde_yaml::from_str::<Option<File>>(&text)
                    .map(|file| File { from: path.clone(), ..file.unwrap_or_default() })
                    .map_err(|error| SettingsError::Invalid { path, message: error.to_string() });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {}
            Err(error) => return Err(SettingsError::Unreadable { path, error }),
        }
    }
    Ok(File::default())
}

fn limits(file: &File) -> Result<Option<Limits>, SettingsError> {
    let limits = file.limits.clone().map(|limits| limits.limits(&file.from));
    let path = file.from.clone();
    limits.transpose().map_err(|message| SettingsError::Invalid { path, message })
}

fn user_file(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let below = "gitsync/config.yaml";
    match env("XDG_CONFIG_HOME").filter(|home| !home.is_empty()) {
        Some(home) => Some(PathBuf::from(home).join(below)),
        None => env("HOME").map(|home| PathBuf::from(home).join(".config").join(below)),
    }
}

/// Root keeps its state where services do; others where the XDG base directory specification says.
fn state_directory(env: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    use std::os::unix::fs::MetadataExt as _;
    let root = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    let home = env("XDG_STATE_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    match (root, home, env("HOME")) {
        (true, _, _) => PathBuf::from("/var/lib/gitsync-controller"),
        (false, Some(home), _) => home.join("gitsync"),
        (false, None, Some(home)) => PathBuf::from(home).join(".local/state/gitsync"),
        (false, None, None) => std::env::temp_dir().join("gitsync"),
    }
}

/// The path with a leading `~/` replaced: no shell has seen what stands in a file.
fn at_home(path: PathBuf, env: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    match (path.strip_prefix("~"), env("HOME")) {
        (Ok(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => path,
    }
}

fn interval(flags: &Flags, text: Option<String>) -> Result<Duration, SettingsError> {
    let interval = flags.interval.map_or_else(|| time("interval", text, 60), Ok)?;
    if interval.is_zero() {
        let message = "looking without a pause helps nobody; write `1s` or more".to_owned();
        return Err(SettingsError::Value { name: "interval".to_owned(), message });
    }
    Ok(interval)
}

fn time(name: &str, text: Option<String>, default: u64) -> Result<Duration, SettingsError> {
    let Some(text) = text else { return Ok(Duration::from_secs(default)) };
    parse_duration(&text)
        .map_err(|error| SettingsError::Value { name: name.to_owned(), message: error.to_string() })
}

fn parallel(env: Option<String>, file: Option<usize>) -> Result<usize, SettingsError> {
    let wrong = |text: String| SettingsError::Value {
        name: "GITSYNC_PARALLEL".to_owned(),
        message: format!("`{text}` is not a number of nodes"),
    };
    let written = env.map(|text| text.parse().map_err(|_| wrong(text))).transpose()?;
    Ok(written.or(file).unwrap_or(32).max(1))
}

fn git(file: GitFile, env: &dyn Fn(&str) -> Option<String>) -> Result<GitAccess, SettingsError> {
    let token_file = env("GITSYNC_GIT_TOKEN_FILE").map(PathBuf::from).or(file.token_file);
    let token = match token_file {
        Some(path) => Some(read_token(at_home(path, env))?),
        None => None,
    };
    let identity = env("GITSYNC_GIT_IDENTITY").map(PathBuf::from).or(file.identity);
    let identity = identity.map(|path| at_home(path, env));
    let timeout = env("GITSYNC_GIT_TIMEOUT").or(file.timeout);
    Ok(GitAccess { identity, token, timeout: time("git.timeout", timeout, 120)? })
}

fn read_token(path: PathBuf) -> Result<String, SettingsError> {
    let text = std::fs::read_to_string(&path);
    text.map(|text| text.trim().to_owned())
        .map_err(|error| SettingsError::Unreadable { path, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(flags: &Flags, env: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let find = |name: &str| {
            env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::from(flags, &find)
    }

    fn written(text: &str) -> (tempfile::TempDir, Flags) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config.yaml");
        std::fs::write(&path, text).unwrap();
        (home, Flags { config: Some(path), ..Flags::default() })
    }

    #[test]
    fn flags_go_before_the_environment_and_that_before_the_file() {
        let (_home, mut flags) = written("branch: file\npath: file\ninterval: 5s\nstate: /s\n");
        let env = [("GITSYNC_BRANCH", "env"), ("GITSYNC_PATH", "env")];
        flags.branch = Some("flag".to_owned());
        let settings = load(&flags, &env).unwrap();
        assert_eq!(settings.branch, "flag");
        assert_eq!(settings.path, "env");
        assert_eq!(settings.interval, Duration::from_secs(5));
        assert_eq!(settings.state, PathBuf::from("/s"));
    }

    #[test]
    fn a_tilde_in_the_file_is_the_home_directory() {
        let (_home, flags) = written("state: ~/state\ngit: { identity: ~/.ssh/fleet }\n");
        let settings = load(&flags, &[("HOME", "/home/ada")]).unwrap();
        assert_eq!(settings.state, PathBuf::from("/home/ada/state"));
        assert_eq!(settings.git.identity, Some(PathBuf::from("/home/ada/.ssh/fleet")));
    }

    #[test]
    fn an_interval_of_nothing_is_refused() {
        let (_home, flags) = written("interval: 0s\n");
        assert!(load(&flags, &[]).unwrap_err().to_string().contains("interval"));
    }

    #[test]
    fn history_goes_forward_unless_it_is_said_and_a_controller_is_a_unit() {
        let (_home, flags) = written("history: any\ncontroller: vps1/service.gitsync\n");
        let settings = load(&flags, &[]).unwrap();
        assert_eq!(settings.history, History::Any);
        assert_eq!(settings.controller.unwrap().to_string(), "vps1/service.gitsync");
        let settings = load(&flags, &[("GITSYNC_HISTORY", "forward")]).unwrap();
        assert_eq!(settings.history, History::Forward);
        let (_home, flags) = written("{}\n");
        let settings = load(&flags, &[]).unwrap();
        assert_eq!((settings.history, settings.controller), (History::Forward, None));
        let wrong = [("GITSYNC_HISTORY", "back"), ("GITSYNC_CONTROLLER", "gitsync")];
        for variable in wrong {
            let error = load(&flags, &[variable]).unwrap_err().to_string();
            assert!(error.contains(&format!("`{}` is not", variable.1)), "{error}");
        }
    }

    #[test]
    fn signatures_that_are_required_name_their_keys() {
        let text = "require_signatures: { allowed_signers: ~/signers, openpgp_keys: /k }\n";
        let (_home, flags) = written(text);
        let env = [("HOME", "/home/ada"), ("GITSYNC_OPENPGP_KEYS", "/other")];
        let signatures = load(&flags, &env).unwrap().signatures.unwrap();
        assert_eq!(signatures.allowed_signers, Some(PathBuf::from("/home/ada/signers")));
        assert_eq!(signatures.openpgp_keys, Some(PathBuf::from("/other")));
        for empty in ["{}", "{ allowed_signers: \"\" }"] {
            let (_home, flags) = written(&format!("require_signatures: {empty}\n"));
            let error = load(&flags, &[]).unwrap_err().to_string();
            assert!(error.contains("allowed_signers"), "{empty}: {error}");
        }
        let (_home, flags) = written("require_signatures: { signers: /x }\n");
        assert!(load(&flags, &[]).is_err());
    }

    #[test]
    fn the_documentation_s_settings_are_valid_as_they_stand() {
        let pages = [include_str!("../docs/settings.md"), include_str!("../docs/security.md")];
        for block in pages.iter().flat_map(|page| page.split("```yaml\n").skip(1)) {
            let (_home, flags) = written(block.split("```").next().unwrap());
            let settings = load(&flags, &[]).unwrap();
            assert!(settings.signatures.is_some_and(|it| it.allowed_signers.is_some()));
        }
    }

    #[test]
    fn the_documented_channels_are_read_as_they_stand_there() {
        let page = include_str!("../docs/notifications.md");
        let block = page.split("```yaml\n").nth(1).unwrap();
        let (_home, flags) = written(block.split("```").next().unwrap());
        assert_eq!(load(&flags, &[]).unwrap().notify.len(), 2);
    }

    #[test]
    fn an_unknown_setting_is_an_error_with_its_line() {
        let (_home, flags) = written("branch: main\nbrunch: x\n");
        let error = load(&flags, &[]).unwrap_err().to_string();
        assert!(error.contains("brunch") && error.contains('2'), "{error}");
    }

    #[test]
    fn a_named_file_that_is_missing_is_an_error_and_a_default_one_is_not() {
        let flags = Flags { config: Some(PathBuf::from("/nonexistent/x")), ..Flags::default() };
        assert!(load(&flags, &[]).is_err());
        let home = tempfile::tempdir().unwrap();
        let env = [("XDG_CONFIG_HOME", home.path().to_str().unwrap())];
        assert!(load(&Flags::default(), &env).is_ok());
    }

    #[test]
    fn a_token_is_read_from_its_file_and_never_shown() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("token");
        std::fs::write(&path, "s3cret-token\n").unwrap();
        let env = [("GITSYNC_GIT_TOKEN_FILE", path.to_str().unwrap())];
        let settings = load(&Flags::default(), &env).unwrap();
        assert_eq!(settings.git.token.as_deref(), Some("s3cret-token"));
        assert!(!format!("{settings:?}").contains("s3cret"));
    }
}
