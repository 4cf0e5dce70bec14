//! Two at the same moment: whichever comes first, the answers agree with what lies on the node.

use std::time::{Duration, Instant};

use gitsync::model::FailureKind;
use gitsync::transport::{Transport, TransportError};

use crate::case::{Case, in_all_shells, lapse, lapse_in};
use crate::lab::{Lab, everything};

fn rounds() -> u64 {
    if everything() { 40 } else { 2 }
}

/// A moment that is another one in every round.
fn moment(round: u64) -> Duration {
    Duration::from_millis(round * 17 % 61)
}

fn kind(result: &Result<(), TransportError>) -> Option<FailureKind> {
    match result {
        Ok(()) => None,
        Err(TransportError::Failed(failure)) => Some(failure.kind),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_verb_that_comes_twice_at_once_is_done_once() {
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        for round in 0..rounds() {
            let number = case.prepare().await;
            let context = format!("{shell:?}, round {round}");
            let (lab, new, old, added) = (&case.lab, &case.new, &case.old, &case.added);
            let both = tokio::join!(
                lab.change(number, new, Some(old)),
                lab.change(number, new, Some(old)),
                lab.change(number, added, None),
                lab.change(number, added, None)
            );
            let both = [both.0, both.1, both.2, both.3].map(|result| kind(&result));
            assert_eq!(both, [None; 4], "{context}");
            assert_eq!(lab.tree(), case.after, "{context}");
            if round % 2 == 0 {
                let both = tokio::join!(
                    lab.put_back(number, new, Some(old)),
                    lab.put_back(number, added, None),
                    lab.put_back(number, new, Some(old)),
                );
                assert_eq!(
                    [both.0, both.1, both.2].map(|result| kind(&result)),
                    [None; 3],
                    "{context}"
                );
                case.stands(&case.before, &context).await;
                lab.abandon(number, None).await;
            } else {
                let request = lab.confirm_request(number, &[new, added], &[]);
                let both =
                    tokio::join!(lab.transport.confirm(&request), lab.transport.confirm(&request));
                // The later one may find the fence given back already, and says so by ok, too.
                assert_eq!([both.0, both.1].map(|result| kind(&result)), [None; 2], "{context}");
                case.stands(&case.after, &context).await;
                case.reset().await;
            }
        }
    });
}

#[test]
fn a_put_back_that_comes_with_its_change_leaves_the_node_wholly_on_one_side() {
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        for round in 0..rounds() {
            let number = case.prepare().await;
            let context = format!("{shell:?}, round {round}");
            let (lab, new, old) = (&case.lab, &case.new, &case.old);
            let change = async {
                tokio::time::sleep(moment(round)).await;
                lab.change(number, new, Some(old)).await
            };
            let back = async {
                tokio::time::sleep(moment(round + 1)).await;
                lab.put_back(number, new, Some(old)).await
            };
            let (changed, returned) = tokio::join!(change, back);
            assert_eq!((kind(&changed), kind(&returned)), (None, None), "{context}");
            let report = lab.unit_report(new).await;
            let side = if report.pending.is_some() { &case.after } else { &case.before };
            let digest = if report.pending.is_some() { new.digest() } else { old.digest() };
            assert_eq!(report.current, Some(digest), "{context}");
            for (name, text) in side.iter().filter(|(name, _)| name.contains("edge")) {
                assert_eq!(lab.tree().get(name), Some(text), "{context}: {name}");
            }
            lab.put_back(number, new, Some(old)).await.unwrap();
            case.stands(&case.before, &context).await;
            lab.abandon(number, None).await;
        }
    });
}

#[test]
fn of_a_decision_and_a_take_back_at_the_same_moment_exactly_one_wins() {
    let tally = std::sync::Mutex::new((0, 0));
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        for round in 0..rounds() * 2 {
            let number = case.prepare().await;
            case.change(number).await;
            // Now and then there is time for the decision, and now and then not.
            lapse_in(&case.lab, round * 13 % 40);
            let context = format!("{shell:?}, round {round}");
            let nonce = format!("nonce-{number}");
            let mut watcher =
                case.lab.by_hand_command(&["watch", "homelab", &nonce], None).spawn().unwrap();
            tokio::time::sleep(moment(round)).await;
            let request = case.lab.confirm_request(number, &[&case.new, &case.added], &[]);
            let confirmed = case.lab.transport.confirm(&request).await;
            let begin = Instant::now();
            while watcher.try_wait().unwrap().is_none() {
                assert!(begin.elapsed() < Duration::from_secs(30), "{context}: it never ends");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let report = case.lab.report().await;
            match kind(&confirmed) {
                None => {
                    assert_eq!(report.restored, None, "{context}");
                    assert_eq!(report.record.holder, None, "{context}");
                    let good = report.record.last_good().unwrap();
                    assert_eq!(good.units.get(&case.new.id), Some(&case.new.digest()), "{context}");
                    case.stands(&case.after, &context).await;
                    tally.lock().unwrap().0 += 1;
                    case.reset().await;
                }
                Some(kind) => {
                    assert_eq!(kind, FailureKind::Restored, "{context}: {confirmed:?}");
                    assert_eq!(report.restored.unwrap().rollout, format!("r{number}"), "{context}");
                    case.stands(&case.before, &context).await;
                    tally.lock().unwrap().1 += 1;
                }
            }
        }
    });
    let (decided, taken) = *tally.lock().unwrap();
    println!("{decided} decisions, {taken} take-backs");
}

#[test]
fn a_word_at_the_moment_of_the_lapse_either_keeps_the_changes_or_is_told_that_it_came_too_late() {
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        for round in 0..rounds() {
            let number = case.prepare().await;
            case.change(number).await;
            lapse(&case.lab);
            let context = format!("{shell:?}, round {round}");
            let nonce = format!("nonce-{number}");
            let mut watcher =
                case.lab.by_hand_command(&["watch", "homelab", &nonce], None).spawn().unwrap();
            tokio::time::sleep(moment(round)).await;
            let held = case.lab.transport.hold(&case.lab.fence(number), false).await;
            if kind(&held).is_none() {
                // The lease runs for a minute again.
                tokio::time::sleep(Duration::from_millis(200)).await;
                assert_eq!(case.lab.tree(), case.after, "{context}");
                case.put_back(number).await;
            } else {
                assert_eq!(kind(&held), Some(FailureKind::Restored), "{context}: {held:?}");
                let begin = Instant::now();
                while watcher.try_wait().unwrap().is_none() {
                    assert!(begin.elapsed() < Duration::from_secs(30), "{context}: it never ends");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            case.stands(&case.before, &context).await;
            case.lab.abandon(number, None).await;
            let _ = watcher.wait();
        }
    });
}

#[test]
fn two_units_that_share_a_directory_change_at_the_same_moment() {
    in_all_shells(async |shell| {
        let lab = Lab::new(shell);
        let unit = |name: &str, word: &str| {
            let files: Vec<String> =
                (0..25).map(|number| format!("shared/{name}-{number}")).collect();
            let text = word.repeat(2000);
            let files: Vec<(&str, &str)> =
                files.iter().map(|file| (file.as_str(), text.as_str())).collect();
            lab.unit(&format!("bundle.{name}"), &files)
        };
        let (mut a, mut b) = (unit("a", "0"), unit("b", "0"));
        lab.prepare(1, &[(&a, None), (&b, None)]).await.unwrap();
        let both = tokio::join!(lab.change(1, &a, None), lab.change(1, &b, None));
        assert_eq!((kind(&both.0), kind(&both.1)), (None, None), "{shell:?} {both:?}");
        lab.confirm(1, &[&a, &b], &[]).await;
        for number in 2..2 + rounds() {
            let (new_a, new_b) = (unit("a", &number.to_string()), unit("b", &number.to_string()));
            lab.prepare(number, &[(&new_a, Some(&a)), (&new_b, Some(&b))]).await.unwrap();
            let both = tokio::join!(
                lab.change(number, &new_a, Some(&a)),
                lab.change(number, &new_b, Some(&b))
            );
            assert_eq!((kind(&both.0), kind(&both.1)), (None, None), "{shell:?} {both:?}");
            lab.confirm(number, &[&new_a, &new_b], &[]).await;
            (a, b) = (new_a, new_b);
        }
    });
}
