//! Contents with secrets in them: they reach their unit, and nothing of them leaves the node.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use gitsync::model::{
    Content, FailureKind, FileState, Moment, Part, Runtime, Sealed, SecretRef, Unit, sha256_hex,
};
use gitsync::transport::{Opened, Prepare, Transport as _};
use zeroize::Zeroizing;

use crate::lab::{Lab, Shell, block_on, command, told};

const VALUE: &str = "p$a \"ss'\\w0rd";

fn sealed(before: &str, ciphertext: &str) -> Sealed {
    let reference: SecretRef = "db.password".parse().unwrap();
    let plain = Part::Plain(before.as_bytes().to_vec());
    let secret = Part::Secret { reference, ciphertext: ciphertext.to_owned() };
    Sealed { parts: if before.is_empty() { vec![secret] } else { vec![plain, secret] } }
}

/// A bundle with one sealed file, `app/conf`: `pw=` and the value that `ciphertext` stands for.
fn with_file(lab: &Lab, ciphertext: &str) -> Unit {
    let mut unit = lab.unit("bundle.mcp", &[("app/conf", "")]);
    unit.artifacts[0].content = Content::Sealed(sealed("pw=", ciphertext));
    unit.artifacts[0].sensitive = true;
    unit.artifacts[0].mode = 0o600;
    unit
}

/// A process that says its secret to `seen` and stays.
fn with_env(lab: &Lab, ciphertext: &str) -> Unit {
    let mut unit = lab.unit("service.web", &[("app/a", "a")]);
    unit.runtime = Runtime::Process;
    unit.sealed_env = [("TOKEN".to_owned(), Content::Sealed(sealed("", ciphertext)))].into();
    let seen = lab.host("seen");
    let start =
        format!("printf %s \"$TOKEN\" >'{seen}.new'; mv '{seen}.new' '{seen}'; exec sleep 60");
    unit.commands = vec![command(Moment::Start, &start)];
    unit
}

/// What the ciphertexts of these tests open to.
fn opened(unit: &Unit, value: &str) -> Opened {
    let contents = unit.contents();
    let open = |content: &Content| match content {
        Content::Sealed(sealed) => sealed.open(|_| Some(value.as_bytes())).ok().map(Zeroizing::new),
        _ => None,
    };
    let opened = contents.into_iter().filter_map(|(name, content)| Some((name, open(content)?)));
    Opened::new(opened.collect::<BTreeMap<_, _>>())
}

async fn roll(lab: &Lab, number: u64, unit: &Unit, from: Option<&Unit>, value: &str) {
    let request = lab.prepare_request(number, &[(unit, from)]);
    let request = Prepare { opened: opened(unit, value), ..request };
    lab.transport.prepare(&request).await.unwrap();
    lab.change(number, unit, from).await.unwrap();
    lab.confirm(number, &[unit], &[]).await;
}

/// Every file below a directory.
fn files(below: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(below).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            let directory = fs::symlink_metadata(&path).is_ok_and(|it| it.is_dir());
            if directory { files(&path) } else { vec![path] }
        })
        .collect()
}

/// Files below the lab's root that hold a text and may be read by anybody but their owner.
fn readable(lab: &Lab, text: &str) -> Vec<PathBuf> {
    let holds = |path: &PathBuf| {
        let content = fs::read(path).unwrap_or_default();
        content.windows(text.len()).any(|window| window == text.as_bytes())
    };
    let open = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o077 != 0)
    };
    files(&lab.base).into_iter().filter(|path| open(path) && holds(path)).collect()
}

fn wait_for(lab: &Lab, path: &str) {
    let begin = std::time::Instant::now();
    while lab.text_of(path).is_none() {
        assert!(begin.elapsed().as_secs() < 30, "{path} never came");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Stops the unit's process for good.
async fn end(lab: &Lab, number: u64, unit: &Unit) {
    let nothing = lab.prepare_request(number, &[]);
    let unit_goes = gitsync::transport::PrepareUnit {
        id: unit.id.clone(),
        to: None,
        from: Some(unit.digest()),
        adopt: false,
    };
    lab.transport.prepare(&Prepare { units: vec![unit_goes], ..nothing }).await.unwrap();
    let mut request = lab.change_request(number, unit, Some(unit));
    request.to = None;
    lab.transport.stop(&request).await.unwrap();
    lab.confirm(number, &[], &[unit]).await;
    lab.wait_for_no_process();
}

#[test]
fn a_file_with_a_secret_is_installed_and_only_its_owner_reads_it_or_what_it_was_made_from() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let unit = with_file(&lab, "ENC[one]");
            roll(&lab, 1, &unit, None, VALUE).await;
            assert_eq!(lab.text_of("app/conf").unwrap(), format!("pw={VALUE}"), "{shell:?}");
            assert_eq!(readable(&lab, VALUE), Vec::<PathBuf>::new(), "{shell:?}");
        });
    }
}

#[test]
fn not_even_the_hash_of_a_file_with_a_secret_leaves_the_node() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let unit = with_file(&lab, "ENC[one]");
            roll(&lab, 1, &unit, None, VALUE).await;
            let hash = |report: &gitsync::model::UnitReport| match &report.files[0].state {
                FileState::Present { hash, .. } => hash.clone(),
                other => panic!("{other:?}"),
            };
            assert_eq!(hash(&lab.unit_report(&unit).await), unit.artifacts[0].blob());
            let plain = sha256_hex(format!("pw={VALUE}").as_bytes());
            assert!(!format!("{:?}", lab.report().await).contains(&plain), "{shell:?}");
            fs::write(lab.host("app/conf").as_str(), "pw=other").unwrap();
            assert_eq!(hash(&lab.unit_report(&unit).await), "changed", "{shell:?}");
            let read = lab.transport.read_files(&lab.fleet, &unit.id).await.unwrap();
            assert_eq!(read, BTreeMap::new(), "{shell:?}");
            let name = std::iter::once(unit.artifacts[0].blob()).collect();
            assert!(lab.transport.read(&lab.fleet, &name).await.is_err(), "{shell:?}");
        });
    }
}

#[test]
fn a_secret_of_the_environment_reaches_the_process_in_no_argument() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let unit = with_env(&lab, "ENC[one]");
            roll(&lab, 1, &unit, None, VALUE).await;
            wait_for(&lab, "seen");
            assert_eq!(lab.text_of("seen").unwrap(), VALUE, "{shell:?}");
            let pid = lab.unit_report(&unit).await.process.unwrap().pid.unwrap();
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
            assert!(!String::from_utf8_lossy(&arguments).contains("p$a"), "{shell:?}");
            fs::remove_file(lab.host("seen").as_str()).unwrap();
            assert_eq!(readable(&lab, VALUE), Vec::<PathBuf>::new(), "{shell:?}");
            // Another ciphertext is another unit: it is started again, and put back with the old value.
            let next = with_env(&lab, "ENC[two]");
            let request = lab.prepare_request(2, &[(&next, Some(&unit))]);
            let request = Prepare { opened: opened(&next, "second"), ..request };
            lab.transport.prepare(&request).await.unwrap();
            lab.change(2, &next, Some(&unit)).await.unwrap();
            wait_for(&lab, "seen");
            assert_eq!(lab.text_of("seen").unwrap(), "second", "{shell:?}");
            fs::remove_file(lab.host("seen").as_str()).unwrap();
            lab.put_back(2, &next, Some(&unit)).await.unwrap();
            wait_for(&lab, "seen");
            assert_eq!(lab.text_of("seen").unwrap(), VALUE, "{shell:?}");
            lab.abandon(2, None).await;
            end(&lab, 3, &unit).await;
        });
    }
}

#[test]
fn a_secret_that_was_not_opened_never_begins_a_change() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let unit = with_file(&lab, "ENC[one]");
            let failure = told(lab.prepare(1, &[(&unit, None)]).await);
            assert_eq!(failure.kind, FailureKind::Refused);
            assert!(lab.text_of("app/conf").is_none());
        });
    }
}

#[test]
fn what_holds_a_secret_is_removed_with_the_last_version_that_needs_it() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let versions = ["ENC[one]", "ENC[two]", "ENC[three]"].map(|it| with_env(&lab, it));
            roll(&lab, 1, &versions[0], None, VALUE).await;
            roll(&lab, 2, &versions[1], Some(&versions[0]), "second").await;
            let blob = |unit: &Unit| unit.sealed_env["TOKEN"].blob();
            let held = lab.report().await.blobs;
            assert!(held.contains(&blob(&versions[0])), "{shell:?}: its way back needs it");
            let mut number = 3;
            let mut from = &versions[1];
            // Good releases are kept for a while, with everything that they need.
            for _ in 0..12 {
                let to =
                    if from.digest() == versions[1].digest() { &versions[2] } else { &versions[1] };
                roll(&lab, number, to, Some(from), "third").await;
                (from, number) = (to, number + 1);
            }
            assert!(!lab.report().await.blobs.contains(&blob(&versions[0])), "{shell:?}");
            end(&lab, number, from).await;
        });
    }
}
