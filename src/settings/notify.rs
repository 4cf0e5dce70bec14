//! Who is told of what, and how messages get there.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use reqwest::Url;
use serde::Deserialize;

use super::{SettingsError, at_home};

/// Somebody who is told of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// How messages get there.
    pub way: Way,
    /// What is told.
    pub on: BTreeSet<Topic>,
}

/// How messages get somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// As a push message to phones, by an ntfy server.
    Ntfy(Ntfy),
    /// As JSON, by POST.
    Webhook(Webhook),
}

/// A topic of an ntfy server.
#[derive(Clone, PartialEq, Eq)]
pub struct Ntfy {
    /// The server.
    pub server: Url,
    /// The topic: who knows it can read along.
    pub topic: String,
    /// A file with an access token.
    pub token_file: Option<PathBuf>,
    /// How loud every message is, 1 to 5; by its kind when absent.
    pub priority: Option<u8>,
    /// What a tap on a message opens.
    pub click: Option<Url>,
}

/// Something that takes JSON.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where it is posted.
    pub url: Url,
    /// A file with a token, sent as `Authorization: Bearer`.
    pub token_file: Option<PathBuf>,
    /// A file with the key that bodies are signed with.
    pub secret_file: Option<PathBuf>,
}

/// What can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// A rollout converged.
    Converged,
    /// A rollout was put back.
    RolledBack,
    /// A rollout needs an operator.
    NeedsOperator,
    /// Something is no longer as it was rolled out, or is again.
    Drift,
    /// A node no longer answers, or does again.
    NodeLost,
    /// A commit is not rolled out.
    Refused,
}

impl Topic {
    /// Every one, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Converged,
        Self::RolledBack,
        Self::NeedsOperator,
        Self::Drift,
        Self::NodeLost,
        Self::Refused,
    ];

    /// The word in the settings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::RolledBack => "rolled_back",
            Self::NeedsOperator => "needs_operator",
            Self::Drift => "drift",
            Self::NodeLost => "node_lost",
            Self::Refused => "refused",
        }
    }
}

impl Way {
    /// The channel for people: its kind and server. What comes after it in a URL can be a secret.
    pub fn shown(&self) -> String {
        match self {
            Self::Ntfy(ntfy) => format!("ntfy at {}", origin(&ntfy.server)),
            Self::Webhook(webhook) => format!("webhook at {}", origin(&webhook.url)),
        }
    }
}

fn origin(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

impl fmt::Debug for Ntfy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ntfy({})", origin(&self.server))
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({})", origin(&self.url))
    }
}

/// One item of `notify:` in the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChannelFile {
    ntfy: Option<NtfyFile>,
    webhook: Option<WebhookFile>,
    on: Option<OnFile>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NtfyFile {
    url: String,
    token_file: Option<PathBuf>,
    priority: Option<PriorityFile>,
    click: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookFile {
    url: String,
    token_file: Option<PathBuf>,
    secret_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OnFile {
    One(String),
    Many(Vec<String>),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum PriorityFile {
    Number(u8),
    Word(String),
}

/// The channels as they are written, in that order.
pub(super) fn channels(
    files: Vec<ChannelFile>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Channel>, SettingsError> {
    let channels = files.into_iter().enumerate().map(|(at, file)| {
        let wrong =
            |message: String| SettingsError::Value { name: format!("notify[{at}]"), message };
        let on = topics(file.on).map_err(wrong)?;
        let home = |path: Option<PathBuf>| path.map(|path| at_home(path, env));
        let way = match (file.ntfy, file.webhook) {
            (Some(file), None) => Way::Ntfy(Ntfy {
                token_file: home(file.token_file.clone()),
                ..ntfy(file).map_err(wrong)?
            }),
            (None, Some(file)) => Way::Webhook(Webhook {
                url: url(&file.url).map_err(wrong)?,
                token_file: home(file.token_file),
                secret_file: home(file.secret_file),
            }),
            _ => return Err(wrong("write `ntfy:` or `webhook:`, one of them".to_owned())),
        };
        Ok(Channel { way, on })
    });
    channels.collect()
}

/// Everything but good news when nothing is said.
fn topics(on: Option<OnFile>) -> Result<BTreeSet<Topic>, String> {
    let all = || Topic::ALL.into_iter();
    let words = match on {
        None => return Ok(all().filter(|topic| *topic != Topic::Converged).collect()),
        Some(OnFile::One(word)) if word == "all" => return Ok(all().collect()),
        Some(OnFile::One(word)) => vec![word],
        Some(OnFile::Many(words)) => words,
    };
    let known = |word: &String| {
        all().find(|topic| topic.word() == word).ok_or_else(|| {
            let words: Vec<&str> = all().map(Topic::word).collect();
            format!("`{word}` is nothing to tell; `on` is `all`, or some of {}", words.join(", "))
        })
    };
    let topics: BTreeSet<Topic> = words.iter().map(known).collect::<Result<_, _>>()?;
    if topics.is_empty() {
        Err("`on` is empty: nothing would be told".to_owned())
    } else {
        Ok(topics)
    }
}

fn ntfy(file: NtfyFile) -> Result<Ntfy, String> {
    let mut server = url(&file.url)?;
    let topic = server.path().trim_matches('/').to_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if topic.is_empty() || !topic.chars().all(plain) || server.query().is_some() {
        return Err("`url` is the server and the topic, as in https://ntfy.sh/my-fleet".to_owned());
    }
    server.set_path("/");
    Ok(Ntfy {
        server,
        topic,
        token_file: None,
        priority: file.priority.map(priority).transpose()?,
        click: file.click.map(|text| url(&text)).transpose()?,
    })
}

fn priority(file: PriorityFile) -> Result<u8, String> {
    let known = |word: &str| match word {
        "min" => Some(1),
        "low" => Some(2),
        "default" => Some(3),
        "high" => Some(4),
        "max" | "urgent" => Some(5),
        _ => None,
    };
    let found = match file {
        PriorityFile::Number(number @ 1..=5) => Some(number),
        PriorityFile::Number(_) => None,
        PriorityFile::Word(word) => known(&word),
    };
    found.ok_or_else(|| "`priority` is 1 to 5, or min, low, default, high, max".to_owned())
}

/// Never says what was written: it can hold a password.
fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("a URL can't be read: {error}"))?;
    match (url.scheme(), url.username(), url.password()) {
        ("http" | "https", "", None) => Ok(url),
        ("http" | "https", ..) => {
            Err("a URL has a user or a password in it; write them to a `token_file`".to_owned())
        }
        (scheme, ..) => Err(format!("`{scheme}` is not http or https")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Channel>, String> {
        let files: Vec<ChannelFile> =
            serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        channels(files, &|name| (name == "HOME").then(|| "/home/ada".to_owned()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn channels_are_read_as_they_are_written() {
        let channels = read(
            "- ntfy: { url: 'https://ntfy.sh/my-fleet', token_file: ~/token, priority: high }\n  \
               on: [drift, node_lost]\n\
             - webhook: { url: 'http://127.0.0.1:9/a?b=c', secret_file: /s }\n  on: all\n\
             - ntfy: { url: 'http://ntfy.lan:8080/x', priority: 1 }\n",
        );
        let channels = channels.unwrap();
        let Way::Ntfy(ntfy) = &channels[0].way else { panic!("{channels:?}") };
        assert_eq!((ntfy.server.as_str(), ntfy.topic.as_str()), ("https://ntfy.sh/", "my-fleet"));
        assert_eq!(ntfy.token_file, Some(PathBuf::from("/home/ada/token")));
        assert_eq!(ntfy.priority, Some(4));
        assert_eq!(channels[0].on, [Topic::Drift, Topic::NodeLost].into());
        assert_eq!(channels[1].on.len(), Topic::ALL.len());
        assert!(!channels[2].on.contains(&Topic::Converged) && channels[2].on.len() == 5);
    }

    #[test]
    fn what_is_shown_of_a_channel_has_no_secret() {
        let text = "- webhook: { url: 'https://hooks.example.net:8443/TOKEN?key=TOKEN' }\n\
                    - ntfy: { url: 'https://ntfy.sh/TOKEN' }\n";
        let channels = read(text).unwrap();
        let shown: Vec<String> = channels.iter().map(|channel| channel.way.shown()).collect();
        assert_eq!(shown, ["webhook at https://hooks.example.net:8443", "ntfy at https://ntfy.sh"]);
        assert!(!format!("{channels:?}").contains("TOKEN"));
    }

    #[test]
    fn what_is_wrong_is_told_without_what_could_be_a_secret() {
        for (text, words) in [
            ("- {}", "`ntfy:` or `webhook:`"),
            ("- { ntfy: { url: 'https://x/y' }, webhook: { url: 'https://x' } }", "one of them"),
            ("- { webhook: { url: 'https://a:SECRET@x/' } }", "token_file"),
            ("- { webhook: { url: 'ftp://x/SECRET' } }", "`ftp` is not"),
            ("- { webhook: { url: 'SECRET' } }", "can't be read"),
            ("- { ntfy: { url: 'https://ntfy.sh' } }", "the topic"),
            ("- { ntfy: { url: 'https://ntfy.sh/a/b' } }", "the topic"),
            ("- { ntfy: { url: 'https://ntfy.sh/a', priority: 6 } }", "1 to 5"),
            ("- { webhook: { url: 'https://x' }, on: [drifts] }", "`drifts` is nothing to tell"),
            ("- { webhook: { url: 'https://x' }, on: [] }", "empty"),
            ("- { webhook: { url: 'https://x', tokenfile: x } }", "tokenfile"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words) && !error.contains("SECRET"), "{text}: {error}");
        }
    }
}
