//! A verb that changes a node ends before any of its commands, on each shell, with hostile names; then the node is
//! contacted again, or it boots, or its lease lapses. Each unit is wholly old or wholly new, as its record says, and
//! nothing of ours is left.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use gitsync::model::{AbsPath, Content, Digest, FailureKind, Replaced, Timestamp, Unit};
use gitsync::transport::{ChangeUnit, Channel, Prepare, Transport, TransportError, Unlock};

use crate::case::{
    Case, Tree, boots, fleet_file, hook, in_all_shells, lapse, leftovers, stopped, version,
};
use crate::lab::{Shell, release};
use crate::photos::{Photo, album, some};

/// What may come to a node that a verb was at work on.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// The same verb.
    Again,
    /// The controller takes its decision: back.
    PutBack,
    Boot,
    /// Nobody is heard any more.
    Lapse,
    /// Another controller, with another rollout.
    Other,
}

use Next::{Again, Boot, Lapse, Other, PutBack};

fn asks(number: u64, to: Option<&Unit>, from: Option<&Unit>, replaced: Option<&Unit>) -> Vec<u8> {
    let digest = |unit: Option<&Unit>| unit.map_or("-".to_owned(), |unit| unit.digest().0);
    let unit = to.or(from).unwrap().id.local();
    let mut text = format!("fleet homelab\nfence {number}\nnonce nonce-{number}\nlimit 30\n");
    text += &format!("unit {unit} {} {}\n", digest(to), digest(from));
    if let Some(unit) = replaced {
        text += &format!("replaces {} {}\n", unit.id.local(), unit.digest());
    }
    (text + "\n").into_bytes()
}

/// What a verb leaves before each of its commands.
async fn verb(case: &Case, shell: Shell, name: &str, request: &[u8]) -> Vec<Photo> {
    let channel = case.lab.killed_at(0);
    let run = channel.run(name, request.to_vec(), Duration::from_secs(120));
    let (answer, photos) = album(&case.lab, shell, run).await;
    let answer = answer.unwrap();
    let said = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(said.ends_with("end ok\n"), "{said:?} {}", String::from_utf8_lossy(&answer.stderr));
    some(photos, &case.lab, shell)
}

/// Goes on from each of the photographs in each of the ways.
async fn from_each(
    case: &mut Case,
    photos: &[Photo],
    ways: &[Next],
    mut go_on: impl AsyncFnMut(&mut Case, Next, &str),
) {
    let shell = case.lab.shell().to_owned();
    for photo in photos {
        for way in ways {
            photo.put_on(&case.lab);
            let context = format!("{shell}, ended after command {}, then {way:?}", photo.moment);
            go_on(case, *way, &context).await;
        }
    }
}

impl Case {
    fn booted(&self) {
        boots(&self.lab);
        hook(&self.lab);
    }

    /// What was changed is put back by the controller, after a boot, or when nobody is heard any more.
    async fn undone(&self, way: Next, number: u64, change: &ChangeUnit) {
        match way {
            Boot => self.booted(),
            Lapse => self.lapsed(number),
            _ => self.lab.transport.put_back(change).await.unwrap(),
        }
    }

    fn lapsed(&self, number: u64) {
        lapse(&self.lab);
        let ran = self.lab.by_hand(&["watch", "homelab", &format!("nonce-{number}")], None);
        assert!(ran.status.success(), "{ran:?}");
    }
}

#[test]
fn a_change_that_ends_anywhere_is_finished_or_undone() {
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        let number = case.prepare().await;
        let request = asks(number, Some(&case.new), Some(&case.old), None);
        let photos = verb(&case, shell, "change", &request).await;
        from_each(
            &mut case,
            &photos,
            &[Again, PutBack, Boot, Lapse],
            async |case, way, context| {
                match way {
                    Again => {
                        case.change(number).await;
                        assert_eq!(case.lab.tree(), case.after, "{context}");
                        case.put_back(number).await;
                    }
                    _ => {
                        let change = case.lab.change_request(number, &case.new, Some(&case.old));
                        case.undone(way, number, &change).await;
                    }
                }
                case.stands(&case.before, context).await;
            },
        )
        .await;
    });
}

#[test]
fn a_prepare_that_ends_anywhere_touches_nothing_and_bars_nobody() {
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        case.number += 1;
        let number = case.number;
        let request = case.lab.prepare_request(number, &case.units());
        let request = Prepare { dead_man: None, ..request };
        let node = case.booting(case.lab.killed_at(0));
        let (done, photos) = album(&case.lab, shell, node.prepare(&request)).await;
        done.unwrap();
        let photos = some(photos, &case.lab, shell);
        from_each(
            &mut case,
            &photos,
            &[Again, PutBack, Boot, Other],
            async |case, way, context| {
                // Whatever was begun, nothing that runs was touched.
                assert_eq!(case.lab.tree(), case.before, "{context}");
                match way {
                    Other => {
                        case.next_rollout().await;
                        return case.stands(&case.after, context).await;
                    }
                    Again => {
                        case.prepared(request.clone()).await;
                        case.change(number).await;
                        case.put_back(number).await;
                    }
                    // The hook may be there or not yet.
                    Boot => boots(&case.lab),
                    _ => {}
                }
                case.lab.abandon(number, None).await;
                case.stands(&case.before, context).await;
                let record = case.lab.report().await.record;
                assert_eq!((record.holder, record.fence), (None, number), "{context}");
            },
        )
        .await;
    });
}

#[test]
fn a_put_back_that_ends_anywhere_is_finished_by_whoever_comes_next() {
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        let number = case.prepare().await;
        case.change(number).await;
        let request = asks(number, Some(&case.new), Some(&case.old), None);
        let photos = verb(&case, shell, "put-back", &request).await;
        from_each(&mut case, &photos, &[Again, Boot, Lapse, Other], async |case, way, context| {
            match way {
                Again => case.put_back(number).await,
                Boot => case.booted(),
                Lapse => case.lapsed(number),
                _ => {
                    case.next_rollout().await;
                    return case.stands(&case.after, context).await;
                }
            }
            case.stands(&case.before, context).await;
        })
        .await;
    });
}

#[test]
fn a_take_back_that_ends_anywhere_is_finished_by_whoever_comes_next() {
    in_all_shells(async |shell| {
        for verb in ["watch", "boot"] {
            let mut case = Case::start(shell).await;
            let number = case.prepare().await;
            case.change(number).await;
            let nonce = format!("nonce-{number}");
            let mut arguments = vec![verb, "homelab"];
            if verb == "watch" {
                lapse(&case.lab);
                arguments.push(&nonce);
            } else {
                boots(&case.lab);
            }
            let run = async { case.lab.by_hand(&arguments, Some(0)) };
            let (done, photos) = album(&case.lab, shell, run).await;
            assert!(done.status.success(), "{done:?}");
            case.stands(&case.before, verb).await;
            let restored = case.lab.report().await.restored.unwrap();
            assert_eq!((restored.rollout, restored.stuck.len()), (format!("r{number}"), 0));
            let ways = [PutBack, Boot, Other];
            let photos = some(photos, &case.lab, shell);
            from_each(&mut case, &photos, &ways, async |case, way, context| {
                match way {
                    PutBack => case.put_back(number).await,
                    Boot => case.booted(),
                    _ => {
                        case.next_rollout().await;
                        return case.stands(&case.after, context).await;
                    }
                }
                case.stands(&case.before, context).await;
            })
            .await;
        }
    });
}

#[test]
fn a_confirm_that_ends_anywhere_is_told_again_or_was_never_heard() {
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        let number = case.prepare().await;
        case.change(number).await;
        let request = format!(
            "fleet homelab\nfence {number}\nnonce nonce-{number}\nat 5\nrelease {} -\nunit {} {}\n\n",
            release(number),
            case.new.id.local(),
            case.new.digest(),
        );
        let photos = verb(&case, shell, "confirm", request.as_bytes()).await;
        let (mut heard, mut unheard) = (0, 0);
        from_each(&mut case, &photos, &[Again, Boot, Lapse], async |case, way, context| {
            match way {
                Boot => case.booted(),
                Lapse if fleet_file(&case.lab, "rollout").exists() => case.lapsed(number),
                _ => {}
            }
            let again = case.lab.confirm_request(number, &[&case.new, &case.added], &[]);
            match case.lab.transport.confirm(&again).await {
                Ok(()) => {
                    case.stands(&case.after, context).await;
                    assert_eq!(case.lab.report().await.restored, None, "{context}");
                    heard += 1;
                }
                Err(TransportError::Failed(failure)) => {
                    assert_eq!(failure.kind, FailureKind::Restored, "{context}: {failure:?}");
                    assert!(!matches!(way, Again), "{context}: nothing took it back");
                    case.stands(&case.before, context).await;
                    unheard += 1;
                }
                Err(other) => panic!("{context}: {other}"),
            }
        })
        .await;
        assert!(heard > photos.len() && unheard > 0, "{heard} of {unheard}");
    });
}

#[test]
fn an_unlock_that_ends_anywhere_is_finished_by_the_same_verb_or_by_a_boot() {
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        let number = case.prepare().await;
        case.change(number).await;
        let request =
            format!("fleet homelab\nnonce nonce-{number}\nholder bob\nwhy it's gone\nat 5\n\n");
        let photos = verb(&case, shell, "unlock", request.as_bytes()).await;
        from_each(&mut case, &photos, &[Again, Boot], async |case, way, context| {
            if matches!(way, Boot) {
                case.booted();
                case.stands(&case.before, context).await;
            }
            let again = Unlock {
                fleet: case.lab.fleet.clone(),
                nonce: format!("nonce-{number}"),
                by: "bob".to_owned(),
                reason: "it's gone".to_owned(),
                at: Timestamp(5),
            };
            case.lab.transport.unlock(&again).await.unwrap();
            case.stands(&case.before, context).await;
            let record = case.lab.report().await.record;
            assert_eq!((record.holder, record.fence), (None, number + 1), "{context}");
        })
        .await;
    });
}

#[test]
fn an_abandon_that_ends_anywhere_is_finished_by_the_same_verb() {
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        let number = case.prepare().await;
        let request = format!(
            "fleet homelab\nfence {number}\nnonce nonce-{number}\nverdict rolled_back\nrelease {} -\nat 5\nquarantine yes it's bad\n\n",
            release(number)
        );
        let photos = verb(&case, shell, "abandon", request.as_bytes()).await;
        from_each(&mut case, &photos, &[Again, Boot], async |case, way, context| {
            if matches!(way, Boot) {
                case.booted();
            }
            case.lab.abandon(number, Some("it's bad")).await;
            case.stands(&case.before, context).await;
            let record = case.lab.report().await.record;
            assert_eq!((record.holder.is_none(), record.fence), (true, number), "{context}");
            let told: Vec<&Digest> = record.quarantine.iter().map(|one| &one.release).collect();
            assert!(told.contains(&&release(number)), "{context}: {told:?}");
        })
        .await;
    });
}

#[test]
fn a_stop_that_ends_anywhere_is_finished_or_undone() {
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        case.number += 1;
        let number = case.number;
        let mut prepare = case.lab.prepare_request(number, &[(&case.old, Some(&case.old))]);
        prepare.units[0].to = None;
        case.prepared(prepare).await;
        let request = asks(number, None, Some(&case.old), None);
        let photos = verb(&case, shell, "stop", &request).await;
        from_each(
            &mut case,
            &photos,
            &[Again, PutBack, Boot, Lapse],
            async |case, way, context| {
                let stop = stopped(&case.lab, number, &case.old);
                match way {
                    Again => {
                        case.lab.transport.stop(&stop).await.unwrap();
                        assert_eq!(case.lab.text_of("runs-edge"), None, "{context}");
                        case.lab.confirm(number, &[], &[&case.old]).await;
                        assert_eq!(case.lab.tree(), Tree::new(), "{context}");
                        return assert_eq!(
                            leftovers(&case.lab),
                            Vec::<PathBuf>::new(),
                            "{context}"
                        );
                    }
                    _ => case.undone(way, number, &stop).await,
                }
                case.stands(&case.before, context).await;
            },
        )
        .await;
    });
}

/// A unit that wants one of its predecessor's destinations.
fn heir(case: &Case) -> Unit {
    let mut heir = version(&case.lab, "heir", "heir", &["own"]);
    let mut taken = case.old.artifacts[0].clone();
    taken.content = Content::Bytes(b"of the heir\n".to_vec());
    heir.artifacts.push(taken);
    heir.artifacts.sort_by(|a, b| a.destination.cmp(&b.destination));
    heir
}

#[test]
fn a_change_that_replaces_a_unit_and_ends_anywhere_is_finished_or_undone() {
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        let heir = heir(&case);
        case.number += 1;
        let (old, number) = (case.old.clone(), case.number);
        let mut prepare = case.lab.prepare_request(number, &[(&heir, None), (&old, Some(&old))]);
        prepare.units[1].to = None;
        case.prepared(prepare).await;
        let replaces = vec![Replaced { unit: old.id.clone(), from: old.digest() }];
        let change = ChangeUnit { replaces, ..case.lab.change_request(number, &heir, None) };
        let request = asks(number, Some(&heir), None, Some(&old));
        let photos = verb(&case, shell, "change", &request).await;
        let after = case.lab.tree();
        assert_ne!(after, case.before);
        from_each(
            &mut case,
            &photos,
            &[Again, PutBack, Boot, Lapse],
            async |case, way, context| {
                match way {
                    Again => {
                        case.lab.transport.change(&change).await.unwrap();
                        assert_eq!(case.lab.tree(), after, "{context}");
                        case.lab.transport.put_back(&change).await.unwrap();
                    }
                    _ => case.undone(way, number, &change).await,
                }
                case.stands(&case.before, context).await;
            },
        )
        .await;
    });
}

#[test]
fn what_a_killed_contact_had_half_written_goes_with_the_next_one() {
    in_all_shells(async |shell| {
        let mut case = Case::start(shell).await;
        let number = case.prepare().await;
        case.change(number).await;
        let unit = fleet_file(&case.lab, "units/bundle.edge");
        let shared = PathBuf::from(case.lab.host("edge/conf").as_str());
        fs::create_dir(unit.join("kept")).unwrap();
        let halves = [
            fleet_file(&case.lab, "watcher.new"),
            case.lab.base.join("git sync/claims.new"),
            unit.join("current.new"),
            unit.join("previous.new"),
            unit.join("kept/index.new"),
            fleet_file(&case.lab, "record.new"),
            fleet_file(&case.lab, "rollout.new"),
            // Of a process that is no more.
            shared.join(".gitsync-half.4194305.1"),
        ];
        for half in &halves {
            fs::write(half, "half").unwrap();
        }
        // Of one that lives: it may be at work in the same directory for another unit.
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let began = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap();
        let living = shared.join(format!(".gitsync-half.{}.{began}", std::process::id()));
        fs::write(&living, "half").unwrap();
        case.put_back(number).await;
        let left: Vec<_> = halves.iter().filter(|half| half.exists()).collect();
        assert!(left.is_empty(), "{shell:?} {left:?}");
        assert!(living.exists(), "{shell:?}");
        fs::remove_file(living).unwrap();
        case.stands(&case.before, &format!("{shell:?}")).await;
    });
}

#[test]
fn a_name_with_a_line_break_or_another_control_character_is_refused() {
    for name in ["a\nb", "a\n", "\n", "a\tb", "a\u{7f}", "a\rb", "a\0b"] {
        assert!(AbsPath::new(format!("/srv/{name}")).is_err(), "{name:?}");
    }
}
