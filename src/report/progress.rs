//! A rollout as it goes: one live line per node in a terminal, plain lines elsewhere, or JSON lines.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::event::{Event, Happening};
use crate::model::Name;

use super::words;

/// Where and how a rollout is told.
pub enum Progress {
    /// Nothing but failures and the end.
    Quiet(Box<dyn Write + Send>),
    /// A line per event.
    Lines(Box<dyn Write + Send>),
    /// A JSON object per line.
    Json(Box<dyn Write + Send>),
    /// One live line per node.
    Live(Live),
}

impl Progress {
    /// Tells an event. An output that went away is not an error of the rollout.
    pub fn tell(&mut self, event: &Event) {
        match self {
            Self::Quiet(out) if loud(&event.what) => lines(out, event),
            Self::Quiet(_) => {}
            Self::Lines(out) => lines(out, event),
            Self::Json(out) => {
                if let Ok(text) = serde_json::to_string(event) {
                    let _ = writeln!(out, "{text}");
                }
            }
            Self::Live(live) => live.tell(event),
        }
    }
}

fn loud(what: &Happening) -> bool {
    matches!(
        what,
        Happening::Failed { .. } | Happening::PutBackFailed { .. } | Happening::Ended { .. }
    )
}

fn lines(out: &mut Box<dyn Write + Send>, event: &Event) {
    for line in words::lines(event) {
        let _ = writeln!(out, "{line}");
    }
}

/// Live lines in a terminal.
pub struct Live {
    bars: MultiProgress,
    nodes: BTreeMap<Name, ProgressBar>,
}

impl Default for Live {
    fn default() -> Self {
        Self { bars: MultiProgress::new(), nodes: BTreeMap::new() }
    }
}

impl Live {
    fn tell(&mut self, event: &Event) {
        let lines = words::lines(event);
        match node(&event.what).filter(|_| !loud(&event.what)) {
            Some(node) => {
                let text = lines.join(" ");
                self.bar(node).set_message(text);
            }
            None => {
                for line in lines {
                    let _ = self.bars.println(line);
                }
            }
        }
        if let Happening::Ended { .. } = event.what {
            self.nodes.values().for_each(ProgressBar::finish_and_clear);
        }
    }

    fn bar(&mut self, node: &Name) -> &ProgressBar {
        let bars = &self.bars;
        self.nodes.entry(node.clone()).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        })
    }
}

/// The node whose live line an event belongs to.
fn node(what: &Happening) -> Option<&Name> {
    match what {
        Happening::Preparing { node }
        | Happening::Prepared { node }
        | Happening::Retrying { node, .. }
        | Happening::Confirmed { node }
        | Happening::GivenUp { node }
        | Happening::TookBack { node, .. }
        | Happening::Abandoned { node } => Some(node),
        Happening::Changing { unit }
        | Happening::Changed { unit }
        | Happening::Stopped { unit }
        | Happening::Healthy { unit, .. }
        | Happening::PutBack { unit } => Some(&unit.node),
        _ => None,
    }
}
