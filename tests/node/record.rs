//! The record: the fence by compare and set, holders, quarantine, kept good releases and what is collected.

use gitsync::model::FailureKind;
use gitsync::transport::Transport;

use crate::lab::{Lab, Shell, block_on, release, told};

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
