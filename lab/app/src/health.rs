//! How well the app is, and what `/health` answers.

use std::time::Duration;

use crate::app::App;
use crate::config::parse_duration;

/// What `APP_HEALTH` says.
#[derive(Debug, PartialEq, Eq)]
pub enum Health {
    /// Healthy.
    Ok,
    /// Never healthy.
    Never,
    /// Healthy only so long after the start.
    After(Duration),
    /// Healthy, but says so only after this long.
    Slow(Duration),
    /// Exits at once.
    Crash,
    /// Healthy, and exits so long after the start.
    Dies(Duration),
    /// Healthy, and answers with this version.
    Old(String),
}

impl Health {
    /// Understands `ok`, `never`, `after:12s`, `slow:3s`, `crash`, `dies:6s`, `old:STRING`.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, value) = text.split_once(':').unwrap_or((text, ""));
        match (kind, value) {
            ("ok", "") => Some(Health::Ok),
            ("never", "") => Some(Health::Never),
            ("crash", "") => Some(Health::Crash),
            ("after", _) => parse_duration(value).map(Health::After),
            ("slow", _) => parse_duration(value).map(Health::Slow),
            ("dies", _) => parse_duration(value).map(Health::Dies),
            ("old", _) if !value.is_empty() => Some(Health::Old(value.to_string())),
            _ => None,
        }
    }
}

/// Why the app isn't healthy now; none if it is. May take as long as it was told to.
pub fn complaint(app: &App) -> Option<&'static str> {
    if let Health::Slow(wait) = app.config.health {
        app.stop.wait_for_drain(wait);
    }
    if app.stop.draining() {
        return Some("draining");
    }
    match app.config.health {
        Health::Never => Some("unhealthy"),
        Health::After(wait) if app.started.elapsed() < wait => Some("not yet"),
        _ => None,
    }
}
