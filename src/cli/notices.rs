//! What is told to people who don't look: from news and events to messages.

use crate::clock::Clock;
use crate::diagnostic::{Diagnostic, Severity};
use crate::engine::{News, Refusal, Seen};
use crate::event::{Event, Happening};
use crate::model::Commit;
use crate::notify::{CommitRef, Kind, Notifier, Once, PATIENCE, Sight, Story};
use crate::settings::Settings;

use super::context;

/// Refusals that pass by themselves. Nodes that don't answer are told as lost.
const PASSING: [&str; 2] = ["unreachable", "busy"];
/// How many problems of a commit are named.
const NAMED: usize = 10;

/// Listens, and tells what the settings ask for.
#[derive(Default)]
pub struct Notices {
    notifier: Notifier,
    story: Story,
    once: Once,
    clock: Clock,
    /// The commit that news is about.
    looking: String,
    subject: Option<CommitRef>,
}

impl Notices {
    /// For the daemon, which remembers what it told.
    pub fn of_daemon(settings: &Settings) -> Self {
        let once =
            if settings.notify.is_empty() { Once::default() } else { Once::open(&settings.state) };
        Self { once, ..Self::of_rollouts(settings, false) }
    }

    /// For commands that roll out.
    pub fn of_rollouts(settings: &Settings, silent: bool) -> Self {
        let channels = if silent { &[][..] } else { &settings.notify[..] };
        let notifier = Notifier::start(channels).unwrap_or_else(|error| {
            tracing::warn!("nobody is told of anything: {error}");
            Notifier::default()
        });
        Self { notifier, clock: context::clock(), ..Self::default() }
    }

    /// A commit that the next rollout may be of.
    pub fn knows(&mut self, commit: &Commit) {
        self.story.knows(commit);
        if commit.id == self.looking {
            self.subject = Some(CommitRef::from(commit));
        }
    }

    /// Takes in what happened in a rollout.
    pub fn event(&mut self, event: &Event) {
        let Some(message) = self.story.hear(event) else { return };
        if let Happening::Ended { quarantined: true, .. } = event.what {
            // That it is not tried again is said already.
            self.refused("quarantined", "", &[], false);
        }
        self.notifier.tell(message);
    }

    /// Takes in what the daemon has to tell.
    pub fn hear(&mut self, news: &News) {
        match news {
            News::Looking(commit) => {
                self.subject = self.subject.take().filter(|_| *commit == self.looking);
                self.looking.clone_from(commit);
            }
            News::Commit(commit) => self.knows(commit),
            News::Planned(plan) => {
                self.once.of(&plan.fleet);
                plan.commit.iter().for_each(|commit| self.knows(commit));
            }
            News::Rollout(event) => self.event(event),
            News::Invalid(found, _) => self.invalid(found),
            News::Refused(refusal) => self.refuse(refusal),
            News::Seen(seen) => self.seen(seen),
            _ => {}
        }
    }

    /// Waits a little for what is on its way.
    pub async fn close(self) {
        self.notifier.close(PATIENCE).await;
    }

    fn refuse(&mut self, refusal: &Refusal) {
        if !PASSING.contains(&refusal.code.as_str()) {
            self.refused(&refusal.code, &refusal.message, &[], true);
        }
    }

    fn invalid(&mut self, found: &[Diagnostic]) {
        let errors = found.iter().filter(|one| one.severity == Severity::Error);
        let errors: Vec<String> = errors.map(place).collect();
        let named = errors.get(..NAMED.min(errors.len())).unwrap_or_default();
        let more = match errors.len() - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let message = format!("it is not valid: {}{more}", named.join(", "));
        self.refused("invalid", &message, named, true);
    }

    fn refused(&mut self, code: &str, message: &str, problems: &[String], loud: bool) {
        let (subject, now) = (self.subject.clone(), self.clock.now());
        let told = self.once.refused(&self.looking, subject, code, message, now);
        if let Some(mut message) = told.filter(|_| loud) {
            message.problems = problems.to_vec();
            self.notifier.tell(message);
        }
    }

    fn seen(&mut self, seen: &Seen) {
        self.once.of(&seen.fleet);
        let nodes = seen.nodes.iter().map(|one| Sight {
            node: one.node.clone(),
            optional: one.optional,
            answers: one.answers,
        });
        let nodes: Vec<Sight> = nodes.collect();
        for message in self.once.look(&nodes, &seen.drift, self.clock.now()) {
            debug_assert!(message.event != Kind::Test, "nothing but a person asks for a test");
            self.notifier.tell(message);
        }
    }
}

/// A problem without the words of the file that has it.
fn place(diagnostic: &Diagnostic) -> String {
    let code = diagnostic.code.0;
    match diagnostic.labels.first() {
        Some(label) => {
            let place = &label.place;
            format!("{code} at {}:{}:{}", place.file, place.line, place.column)
        }
        None => code.to_owned(),
    }
}
