//! The record: the fence by compare and set, holders, quarantine, kept good releases and what is collected.

use std::time::Duration;

use gitsync::model::{FailureKind, Moment, Name, Timestamp, Unit, Validation};
use gitsync::transport::{Transport, Unlock};

use crate::lab::{Lab, Shell, block_on, command, release, told};

#[test]
fn the_fence_only_grows_and_one_rollout_holds_it() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let unit = lab.unit("bundle.mcp", &[("a", "a")]);
            lab.prepare(5, &[(&unit, None)]).await.unwrap();
            lab.prepare(5, &[(&unit, None)]).await.unwrap();
            let holder = lab.report().await.record.holder.unwrap();
            assert_eq!((holder.who.as_str(), holder.rollout.as_str()), ("ann@laptop", "r5"));
            for number in [4, 6] {
                let failure = told(lab.prepare(number, &[(&unit, None)]).await);
                assert_eq!(failure.kind, FailureKind::Busy);
                assert!(failure.message.contains("ann@laptop"), "{}", failure.message);
            }
            let mut other = lab.prepare_request(5, &[(&unit, None)]);
            other.fence.nonce = "another".to_owned();
            assert_eq!(told(lab.transport.prepare(&other).await).kind, FailureKind::Busy);
            let mut next = lab.prepare_request(6, &[(&unit, None)]);
            next.takeover = true;
            lab.transport.prepare(&next).await.unwrap();
            assert_eq!(told(lab.change(5, &unit, None).await).kind, FailureKind::Busy);
            assert_eq!(lab.tree().len(), 0);
            lab.change(6, &unit, None).await.unwrap();
            lab.confirm(6, &[&unit], &[]).await;
            // Told again because the answer was lost.
            lab.confirm(6, &[&unit], &[]).await;
            assert_eq!(told(lab.change(6, &unit, None).await).kind, FailureKind::Busy);
        });
    }
}

#[test]
fn a_quarantine_stays_until_it_is_lifted_or_the_release_converges() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let unit = lab.unit("bundle.mcp", &[("a", "a")]);
            for number in [1, 2] {
                lab.prepare(number, &[(&unit, None)]).await.unwrap();
                lab.abandon(number, Some("probe of web failed: 502")).await;
            }
            let listed = |record: gitsync::model::Record| {
                record.quarantine.into_iter().map(|q| q.release).collect::<Vec<_>>()
            };
            let mut both = [release(1), release(2)];
            both.sort();
            let mut seen = listed(lab.report().await.record);
            seen.sort();
            assert_eq!(seen, both);
            lab.transport.unquarantine(&lab.fleet, Some(&release(2))).await.unwrap();
            assert_eq!(listed(lab.report().await.record), [release(1)]);
            lab.transport.unquarantine(&lab.fleet, None).await.unwrap();
            assert!(listed(lab.report().await.record).is_empty());
            // Left behind by an operator who rolled back from it, while it was good.
            lab.roll(3, &unit, None).await;
            lab.prepare(4, &[(&unit, Some(&unit))]).await.unwrap();
            let mut confirm = lab.confirm_request(4, &[&unit], &[]);
            confirm.quarantine = Some((release(3), "rolled back by ann".to_owned()));
            lab.transport.confirm(&confirm).await.unwrap();
            let record = lab.report().await.record;
            assert_eq!(record.quarantine[0].reason, "rolled back by ann");
            assert_eq!(record.quarantine[0].commit, Some(format!("{:040x}", 3)));
            assert_eq!(listed(record), [release(3)]);
        });
    }
}

#[test]
fn three_good_releases_are_kept_and_older_ones_collected() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let texts = ["v1", "v2", "v3", "v4", "v5"];
            let units: Vec<_> =
                texts.iter().map(|text| lab.unit("bundle.mcp", &[("a", text)])).collect();
            for (index, unit) in units.iter().enumerate() {
                let from = index.checked_sub(1).map(|before| &units[before]);
                lab.roll(index as u64 + 1, unit, from).await;
            }
            let report = lab.report().await;
            let kept: Vec<_> = report.record.good.iter().map(|good| good.release.clone()).collect();
            assert_eq!(kept, [release(5), release(4), release(3)]);
            assert_eq!(report.blobs.len(), 3);
            assert_eq!(report.manifests.len(), 3);
            assert!(!report.manifests.contains_key(&units[0].digest()));
            assert_eq!(report.record.good[2].units[&units[2].id], units[2].digest());
            // Back to the oldest one from what the node kept, without any content from here.
            let text = report.manifests[&units[2].digest()].clone();
            lab.roll(6, &text_with(&lab, text), Some(&units[4])).await;
            assert_eq!(lab.text_of("a").as_deref(), Some("v3"));
        });
    }
}

/// The unit as the node told it: its contents are the node's.
fn text_with(lab: &Lab, unit: gitsync::model::Unit) -> gitsync::model::Unit {
    let mut whole = unit;
    for artifact in &mut whole.artifacts {
        let blob = lab.base.join("git sync/blobs").join(artifact.blob());
        artifact.content = gitsync::model::Content::Bytes(std::fs::read(blob).unwrap());
    }
    whole
}

#[test]
fn a_plan_from_another_state_is_refused() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let one = lab.unit("bundle.mcp", &[("a", "one")]);
            let two = lab.unit("bundle.mcp", &[("a", "two")]);
            lab.roll(1, &one, None).await;
            let failure = told(lab.prepare(2, &[(&two, None)]).await);
            assert_eq!(failure.kind, FailureKind::Refused);
            assert!(failure.message.contains("changed since"), "{}", failure.message);
        });
    }
}

#[test]
fn a_rollout_that_is_abandoned_before_its_prepare_came_is_over_when_it_comes() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let unit = lab.unit("bundle.mcp", &[("a", "a")]);
            lab.abandon(1, None).await;
            let late = told(lab.prepare(1, &[(&unit, None)]).await);
            assert!(late.message.contains("is over on this node"), "{late:?}");
            let record = lab.report().await.record;
            assert_eq!((record.fence, &record.holder), (1, &None));
            assert_eq!(record.verdict.unwrap().0, "rolled_back");
            // Not where another one is at work.
            lab.prepare(2, &[(&unit, None)]).await.unwrap();
            let request = gitsync::transport::Abandon {
                fence: lab.fence(3),
                verdict: gitsync::model::Verdict::RolledBack,
                release: release(3),
                commit: None,
                at: gitsync::model::Timestamp(3),
                quarantine: None,
            };
            let refused = told(lab.transport.abandon(&request).await);
            assert_eq!(refused.kind, FailureKind::Busy, "{refused:?}");
            lab.change(2, &unit, None).await.unwrap();
            lab.confirm(2, &[&unit], &[]).await;
        });
    }
}

#[test]
fn a_prepare_that_was_given_up_goes_no_further_and_leaves_the_next_one_alone() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let gate = lab.host("gate");
            std::fs::write(gate.as_str(), "").unwrap();
            let mut slow = lab.unit("bundle.a", &[("a", "a")]);
            slow.validation = Validation::Staged;
            let waits = format!("echo >'{gate}.there'; while [ -e '{gate}' ]; do sleep 0.05; done");
            slow.commands = vec![command(Moment::Validate, &waits)];
            let other = lab.unit("bundle.b", &[("b", "b")]);
            let mut adopted = other.clone();
            adopted.adopt = true;
            let given_up = lab.prepare_request(1, &[(&slow, None), (&other, None)]);
            let next = async {
                while lab.text_of("gate.there").is_none() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                lab.abandon(1, None).await;
                assert_eq!(lab.report().await.record.holder, None);
                lab.prepare(2, &[(&adopted, None)]).await.unwrap();
                std::fs::remove_file(gate.as_str()).unwrap();
            };
            let (late, ()) = tokio::join!(lab.transport.prepare(&given_up), next);
            assert_eq!(told(late).kind, FailureKind::Busy, "{shell:?}");
            let marker = lab.base.join("git sync/fleets/homelab/units/bundle.b/adopt");
            assert!(marker.exists(), "{shell:?}: what the next one was told is forgotten");
            lab.change(2, &adopted, None).await.unwrap();
            lab.confirm(2, &[&adopted], &[]).await;
        });
    }
}

#[test]
fn an_unlocked_node_takes_back_what_was_changed_and_refuses_who_held_it() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let unit = |word: &str| lab.unit("bundle.mcp", &[("a", word)]);
            let (old, new) = (unit("old"), unit("new"));
            lab.roll(1, &old, None).await;
            // Without a lease, nobody else would ever end it.
            let mut prepare = lab.prepare_request(2, &[(&new, Some(&old))]);
            prepare.dead_man = None;
            lab.transport.prepare(&prepare).await.unwrap();
            lab.change(2, &new, Some(&old)).await.unwrap();
            let unlock = |nonce: &str| Unlock {
                fleet: lab.fleet.clone(),
                nonce: nonce.to_owned(),
                by: "bob@desk".to_owned(),
                reason: "ann's laptop is gone".to_owned(),
                at: Timestamp(1_700_000_000_009),
            };
            let other = told(lab.transport.unlock(&unlock("another")).await);
            assert_eq!(other.kind, FailureKind::Busy, "{other:?}");
            assert_eq!(lab.text_of("a").as_deref(), Some("new"));
            lab.transport.unlock(&unlock("nonce-2")).await.unwrap();
            lab.transport.unlock(&unlock("nonce-2")).await.unwrap();
            assert_eq!(lab.text_of("a").as_deref(), Some("old"));
            assert_eq!(lab.report().await.record.holder, None);
            for late in [
                lab.change(2, &new, Some(&old)).await,
                lab.transport.prepare(&prepare).await,
                lab.transport.confirm(&lab.confirm_request(2, &[&new], &[])).await,
            ] {
                assert_eq!(told(late).kind, FailureKind::Busy);
            }
            let record = std::fs::read_to_string(lab.record()).unwrap();
            let line = "unlocked r2 1700000000009 unlocked by bob@desk: ann's laptop is gone";
            assert!(record.lines().any(|one| one == line), "{record}");
            lab.prepare(4, &[(&new, Some(&old))]).await.unwrap();
            lab.change(4, &new, Some(&old)).await.unwrap();
            lab.confirm(4, &[&new], &[]).await;
            lab.wait_for_no_process();
        });
    }
}

#[test]
fn two_fleets_share_a_node_without_each_other_s_files_or_fences() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let one = lab.unit("bundle.mcp", &[("etc/one", "one")]);
            let of_other = |path: &str| {
                let mut unit = lab.unit("bundle.mcp", &[(path, "two")]);
                unit.fleet = Name::new("garden").unwrap();
                unit
            };
            let prepare = |number: u64, unit: &Unit| {
                let mut request = lab.prepare_request(number, &[(unit, None)]);
                request.fence.fleet = unit.fleet.clone();
                request
            };
            lab.prepare(7, &[(&one, None)]).await.unwrap();
            lab.change(7, &one, None).await.unwrap();
            // The first fleet's rollout is under way: it holds its own fence alone, and its files.
            let theirs = of_other("etc/one");
            let refused = told(lab.transport.prepare(&prepare(1, &theirs)).await);
            assert_eq!(refused.kind, FailureKind::Refused, "{refused:?}");
            let words = "belongs to bundle.mcp of the fleet homelab";
            assert!(refused.message.contains(words), "{}", refused.message);
            let own = of_other("etc/two");
            let mut next = prepare(2, &own);
            next.takeover = true;
            lab.transport.prepare(&next).await.unwrap();
            let mut change = lab.change_request(2, &own, None);
            change.fence.fleet = own.fleet.clone();
            lab.transport.change(&change).await.unwrap();
            lab.put_back(7, &one, None).await.unwrap();
            assert_eq!(lab.text_of("etc/one"), None);
            assert_eq!(lab.text_of("etc/two").as_deref(), Some("two"));
            let claims = std::fs::read_to_string(lab.base.join("git sync/claims")).unwrap();
            assert_eq!(claims.lines().count(), 1, "{claims}");
            assert!(claims.starts_with("garden bundle.mcp /"), "{claims}");
        });
    }
}
