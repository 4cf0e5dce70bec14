//! `gitsync notify test`: whether messages get through.

use clap::{Args, Subcommand};

use crate::notify::{Message, Notifier};
use crate::settings::Flags;

use super::context::{self, Global};
use super::problem::Problem;

/// See whether messages get through.
#[derive(Debug, Args)]
pub struct Notify {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Send a test message to everybody whom the settings name, and say what came back
    Test,
}

impl Notify {
    /// Sends a message to each channel; exit code 1 when one does not take it.
    pub async fn run(&self, global: &Global) -> Result<u8, Problem> {
        let What::Test = self.what;
        let settings = global.settings(Flags::default())?;
        if settings.notify.is_empty() {
            return Err(Problem::new("the settings name nobody to tell")
                .hint("write `notify:` in the settings file: docs/notifications.md"));
        }
        let mut failed = false;
        for channel in &settings.notify {
            let message = Message::test(context::clock().now());
            let way = channel.way.shown();
            match Notifier::once(&channel.way, &message).await {
                Ok(status) if !global.quiet => anstream::println!("{way}: taken ({status})"),
                Ok(_) => {}
                Err(error) => {
                    failed = true;
                    anstream::println!("{way}: FAILED: {error}");
                }
            }
        }
        Ok(u8::from(failed))
    }
}
