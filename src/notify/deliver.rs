//! Brings messages to their channels: a task for each, three tries, and never anybody who waits for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::settings::{Channel, Way};

use super::message::Message;
use super::request::Outgoing;
use super::{ntfy, webhook};

/// How long one try may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The pauses between tries.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// Messages that may wait for one channel; more are dropped.
const MOST: usize = 100;
/// How long what is on its way is waited for at the end.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Why a message did not get through.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// A file with a token or a key.
    #[error("`{}` can't be read: {error}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A token that no header can hold.
    #[error("`{}` has something in it that no token has", .0.display())]
    NoToken(PathBuf),
    /// The answer is no.
    #[error("the answer is {0}")]
    Answer(StatusCode),
    /// No answer.
    #[error("{0}")]
    Unreachable(String),
    /// The message can't be written.
    #[error(transparent)]
    Body(#[from] serde_json::Error),
}

impl NotifyError {
    /// Whether another try may get through.
    fn passes(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Answer(status) => {
                let later = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
                status.is_server_error() || later.contains(status)
            }
            _ => false,
        }
    }
}

/// Hands messages to channels.
#[derive(Debug, Default)]
pub struct Notifier {
    posts: Vec<Post>,
}

#[derive(Debug)]
struct Post {
    channel: Channel,
    sender: mpsc::Sender<Arc<Message>>,
    task: JoinHandle<()>,
}

impl Notifier {
    /// Starts a task for each channel.
    pub fn start(channels: &[Channel]) -> Result<Self, NotifyError> {
        if channels.is_empty() {
            return Ok(Self::default());
        }
        let client = client()?;
        let posts = channels.iter().map(|channel| {
            let (sender, messages) = mpsc::channel(MOST);
            let task = tokio::spawn(work(client.clone(), channel.way.clone(), messages));
            Post { channel: channel.clone(), sender, task }
        });
        Ok(Self { posts: posts.collect() })
    }

    /// Hands a message to every channel that wants it. It is delivered meanwhile.
    pub fn tell(&self, message: Message) {
        let message = Arc::new(message);
        let topic = message.event.topic();
        for post in &self.posts {
            let wanted = topic.is_none_or(|topic| post.channel.on.contains(&topic));
            if wanted && post.sender.try_send(Arc::clone(&message)).is_err() {
                let way = post.channel.way.shown();
                tracing::warn!("{way}: too many messages wait; dropped: {}", message.title);
            }
        }
    }

    /// Waits a little for what is on its way, and gives up the rest.
    pub async fn close(self, patience: Duration) {
        let until = tokio::time::Instant::now() + patience;
        let (ways, tasks): (Vec<Way>, Vec<JoinHandle<()>>) =
            self.posts.into_iter().map(|post| (post.channel.way, post.task)).unzip();
        for (way, mut task) in ways.into_iter().zip(tasks) {
            if tokio::time::timeout_at(until, &mut task).await.is_err() {
                task.abort();
                tracing::warn!("{}: not delivered before the end", way.shown());
            }
        }
    }

    /// Sends one message to one channel, once, and says what came back.
    pub async fn once(way: &Way, message: &Message) -> Result<StatusCode, NotifyError> {
        send(&client()?, way, message).await
    }
}

fn client() -> Result<Client, NotifyError> {
    // What a redirect leads to is not what the settings name.
    let builder = Client::builder().redirect(Policy::none()).timeout(TIMEOUT);
    let client = builder.user_agent(concat!("gitsync/", env!("CARGO_PKG_VERSION"))).build();
    client.map_err(|error| NotifyError::Unreachable(words(error)))
}

async fn work(client: Client, way: Way, mut messages: mpsc::Receiver<Arc<Message>>) {
    while let Some(message) = messages.recv().await {
        if let Err(error) = deliver(&client, &way, &message).await {
            tracing::warn!("{}: not told: {}: {error}", way.shown(), message.title);
        }
    }
}

async fn deliver(client: &Client, way: &Way, message: &Message) -> Result<(), NotifyError> {
    for pause in PAUSES {
        match send(client, way, message).await {
            Err(error) if error.passes() => tokio::time::sleep(pause).await,
            other => return other.map(drop),
        }
    }
    send(client, way, message).await.map(drop)
}

async fn send(client: &Client, way: &Way, message: &Message) -> Result<StatusCode, NotifyError> {
    let outgoing = outgoing(way, message)?;
    let mut request = client.post(outgoing.url).body(outgoing.body);
    for (name, text) in outgoing.headers {
        if let Ok(mut value) = HeaderValue::from_str(&text) {
            value.set_sensitive(true);
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.map_err(|error| NotifyError::Unreachable(words(error)))?;
    let status = answer.status();
    if status.is_success() { Ok(status) } else { Err(NotifyError::Answer(status)) }
}

/// Files are read at each try, so that a new token is used without a restart.
fn outgoing(way: &Way, message: &Message) -> Result<Outgoing, NotifyError> {
    match way {
        Way::Ntfy(to) => {
            let token = token(to.token_file.as_deref())?;
            Ok(ntfy::request(to, message, token.as_deref()))
        }
        Way::Webhook(to) => {
            let token = token(to.token_file.as_deref())?;
            let secret = to.secret_file.as_deref().map(read).transpose()?;
            Ok(webhook::request(to, message, token.as_deref(), secret.as_deref())?)
        }
    }
}

fn token(path: Option<&Path>) -> Result<Option<String>, NotifyError> {
    let Some(path) = path else { return Ok(None) };
    let token = read(path)?;
    if token.is_empty() || !token.chars().all(|c| c.is_ascii_graphic()) {
        return Err(NotifyError::NoToken(path.to_owned()));
    }
    Ok(Some(token))
}

fn read(path: &Path) -> Result<String, NotifyError> {
    let text = std::fs::read_to_string(path);
    text.map(|text| text.trim().to_owned())
        .map_err(|error| NotifyError::Unreadable { path: path.to_owned(), error })
}

/// The innermost reason, without the URL.
fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}
