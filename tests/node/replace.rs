//! A unit that takes the place of another one on the same node: stopped first, back again, or gone with the decision.

use gitsync::model::{FailureKind, Moment, Replaced, Unit};
use gitsync::transport::{ChangeUnit, Prepare, Transport};

use crate::lab::{Lab, Shell, block_on, command, told};

/// A unit whose commands write down what happens to it.
fn told_of(lab: &Lab, local: &str, word: &str, files: &[(&str, &str)]) -> Unit {
    let mut unit = lab.unit(local, files);
    let journal = lab.host("journal");
    let moments = [
        (Moment::Activate, "up"),
        (Moment::Stop, "stopped"),
        (Moment::Start, "again"),
        (Moment::Remove, "removed"),
    ];
    unit.commands = moments
        .map(|(moment, what)| command(moment, &format!("echo {word} {what} >>'{journal}'")))
        .into();
    unit
}

fn journal(lab: &Lab) -> Vec<String> {
    let text = lab.text_of("journal").unwrap_or_default();
    std::fs::remove_file(lab.host("journal").as_str()).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// An old unit that runs, and a new one that wants one of its destinations.
struct Pair {
    lab: Lab,
    old: Unit,
    new: Unit,
}

impl Pair {
    async fn start(shell: Shell) -> Self {
        let lab = Lab::new(shell);
        let files = [("app/conf", "of old"), ("app/only-old", "x")];
        let old = told_of(&lab, "service.before", "old", &files);
        let new = told_of(&lab, "service.after", "new", &[("app/conf", "of new"), ("new/x", "y")]);
        lab.roll(1, &old, None).await;
        assert_eq!(journal(&lab), ["old up"], "{shell:?}");
        Self { lab, old, new }
    }

    fn prepare(&self) -> Prepare {
        let (old, new) = (&self.old, &self.new);
        let mut request = self.lab.prepare_request(2, &[(new, None), (old, Some(old))]);
        request.units[1].to = None;
        request
    }

    fn change(&self) -> ChangeUnit {
        let mut request = self.lab.change_request(2, &self.new, None);
        request.replaces = vec![Replaced { unit: self.old.id.clone(), from: self.old.digest() }];
        request
    }

    async fn replace(&self) {
        self.lab.transport.prepare(&self.prepare()).await.unwrap();
        self.lab.transport.change(&self.change()).await.unwrap();
        assert_eq!(journal(&self.lab), ["old stopped", "new up"]);
        assert_eq!(self.lab.text_of("app/conf").as_deref(), Some("of new"));
    }
}

#[test]
fn a_replaced_unit_is_stopped_first_and_started_again_by_the_put_back() {
    for shell in Shell::all() {
        block_on(async {
            let pair = Pair::start(shell).await;
            let Pair { lab, old, new } = &pair;
            let before = lab.tree();
            pair.replace().await;
            lab.transport.put_back(&pair.change()).await.unwrap();
            assert_eq!(journal(lab), ["new removed", "old again"], "{shell:?}");
            assert_eq!(lab.tree(), before, "{shell:?}");
            let seen = lab.unit_report(old).await;
            assert_eq!((seen.current, seen.pending), (Some(old.digest()), None));
            assert_eq!(lab.unit_report(new).await.current, None);
            // Once more: nothing is left to do.
            lab.transport.put_back(&pair.change()).await.unwrap();
            assert_eq!(lab.tree(), before, "{shell:?}");
        });
    }
}

#[test]
fn the_removal_of_a_replaced_unit_leaves_what_its_successor_installed() {
    for shell in Shell::all() {
        block_on(async {
            let pair = Pair::start(shell).await;
            let Pair { lab, old, new } = &pair;
            pair.replace().await;
            lab.confirm(2, &[new], &[old]).await;
            assert_eq!(journal(lab), ["old removed"], "{shell:?}");
            let left = [("app/conf", "of new"), ("new/x", "y")];
            let left = left.map(|(path, text)| (path.to_owned(), text.to_owned()));
            assert_eq!(lab.tree(), left.into(), "{shell:?}");
            let (gone, kept) = (lab.unit_report(old).await, lab.unit_report(new).await);
            assert_eq!((gone.current, gone.pending), (None, None));
            assert_eq!((kept.current, kept.pending), (Some(new.digest()), None));
        });
    }
}

#[test]
fn a_program_that_a_successor_took_over_is_not_ended_with_the_replaced_unit() {
    for shell in Shell::all() {
        block_on(async {
            let mut pair = Pair::start(shell).await;
            // The same words: the same program, as of a gateway that got another name.
            *pair.new.commands.last_mut().unwrap() = pair.old.commands.last().unwrap().clone();
            pair.replace().await;
            pair.lab.confirm(2, &[&pair.new], &[&pair.old]).await;
            assert_eq!(pair.lab.text_of("journal"), None, "{shell:?}: nothing was ended");
            assert_eq!(pair.lab.unit_report(&pair.old).await.current, None);
        });
    }
}

#[test]
fn a_replaced_unit_runs_again_when_its_successor_cannot_start() {
    for shell in Shell::all() {
        block_on(async {
            let mut pair = Pair::start(shell).await;
            pair.new.commands[0] = command(Moment::Activate, "echo no; exit 1");
            let before = pair.lab.tree();
            pair.lab.transport.prepare(&pair.prepare()).await.unwrap();
            let failure = told(pair.lab.transport.change(&pair.change()).await);
            assert_eq!(failure.kind, FailureKind::Content);
            pair.lab.transport.put_back(&pair.change()).await.unwrap();
            assert_eq!(journal(&pair.lab).last().map(String::as_str), Some("old again"));
            assert_eq!(pair.lab.tree(), before, "{shell:?}");
        });
    }
}

#[test]
fn a_destination_of_a_unit_that_stays_is_refused() {
    for shell in Shell::all() {
        block_on(async {
            let Pair { lab, new, .. } = Pair::start(shell).await;
            let failure = told(lab.prepare(2, &[(&new, None)]).await);
            assert_eq!(failure.kind, FailureKind::Refused);
            assert!(failure.message.contains("service.before"), "{}", failure.message);
        });
    }
}
