//! Tells people who don't look: verdicts, drift, nodes that are lost and commits that are refused, by ntfy or webhook.
//!
//! What happens goes through a listener that knows what was told already (`story`, `once`), becomes a message
//! (`message`), and is handed to a task per channel (`deliver`). Nothing here can keep a rollout from going on.

mod deliver;
mod message;
mod ntfy;
mod once;
mod request;
mod story;
mod webhook;

pub use deliver::{Notifier, NotifyError, PATIENCE};
pub use message::{CommitRef, Failed, Kind, Message, Moved, VERSION, schema};
pub use once::{HOLD, Once, Sight};
pub use story::Story;
