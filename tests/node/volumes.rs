//! Volumes of a real engine, named and anonymous, and a bind mount beside managed files: through random rollouts, failures,
//! put-backs, take-backs and rollbacks they stay the same ones, with the same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use gitsync::model::{FailureKind, Unit};
use gitsync::transport::{Prepare, Transport};

use crate::case::{lapse, stopped};
use crate::compose::{Engine, UP, lab, ready, service};
use crate::data::{Dice, Seen, number_of, seen};
use crate::lab::{Lab, block_on, told};

/// A service with a volume of each kind.
fn version(lab: &Lab, image: &str, command: &str, round: u64) -> Unit {
    let extra = format!(
        "    environment:\n      ROUND: \"{round}\"\n    volumes:\n      - named:/named\n      - /anonymous\n      \
         - ./data:/bound\nvolumes:\n  named: {{}}\n"
    );
    service(lab, image, command, &extra)
}

/// Where the container's volumes are mounted, and the volume or directory that each is.
fn mounts(engine: &Engine) -> BTreeMap<String, (String, PathBuf)> {
    let (_, ids) = engine.docker(&["ps", "-aq"]);
    let format = "{{range .Mounts}}{{.Destination}}|{{.Name}}|{{.Source}}\n{{end}}";
    let (done, text) = engine.docker(&["inspect", "--format", format, &ids]);
    assert!(done, "one container, not {ids:?}");
    let mount = |line: &str| {
        let mut parts = line.split('|').map(str::to_owned);
        let mut next = || parts.next().unwrap();
        (next(), (next(), PathBuf::from(next())))
    };
    text.lines().filter(|line| !line.is_empty()).map(mount).collect()
}

/// Everything below a directory, the times and inodes too.
fn below(directory: &Path, found: &mut BTreeMap<PathBuf, Seen>) {
    found.insert(directory.to_owned(), seen(directory).unwrap());
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            below(&path, found);
        } else {
            found.insert(path.clone(), seen(&path).unwrap());
        }
    }
}

fn everything(places: &BTreeMap<String, (String, PathBuf)>) -> BTreeMap<PathBuf, Seen> {
    let mut found = BTreeMap::new();
    for (_, source) in places.values() {
        below(source, &mut found);
    }
    found
}

fn fill(directory: &Path, dice: &mut Dice) {
    fs::create_dir_all(directory.join("deep er/-dir")).unwrap();
    for name in ["data.db", "deep er/$x 'y'", "deep er/-dir/-f", ".hidden", "empty"] {
        let bytes: Vec<u8> = (0..dice.roll(20_000)).map(|_| dice.roll(256) as u8).collect();
        fs::write(directory.join(name), bytes).unwrap();
        let mode = *dice.one_of(&[0o600, 0o644, 0o755]);
        fs::set_permissions(directory.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::hard_link(directory.join("data.db"), directory.join("twin")).unwrap();
}

/// One rollout and its end; what runs afterwards.
async fn round(
    lab: &Lab,
    engine: &Engine,
    dice: &mut Dice,
    number: u64,
    old: Unit,
    good: &mut Vec<Unit>,
) -> (&'static str, Unit) {
    let image = *dice.one_of(&["app:1", "app:2"]);
    let new = match dice.roll(4) {
        0 => dice.one_of(good).clone(),
        _ => version(lab, image, UP, number),
    };
    // Each end in turn; what it is the end of is random.
    let end = number % 5;
    let new = if end == 3 { version(lab, image, "exec /no/such/program", number) } else { new };
    let mut request = lab.prepare_request(number, &[(&new, Some(&old))]);
    if end == 4 {
        request.units[0].to = None;
    }
    lab.transport.prepare(&Prepare { dead_man: None, ..request }).await.unwrap();
    match end {
        0 | 1 => {
            lab.change(number, &new, Some(&old)).await.unwrap();
            lab.confirm(number, &[&new], &[]).await;
            good.push(new.clone());
            return ("converged", new);
        }
        2 => {
            lab.change(number, &new, Some(&old)).await.unwrap();
            lapse(lab);
            let nonce = format!("nonce-{number}");
            let mut watch = lab.by_hand_command(&["watch", "homelab", &nonce], None);
            let home = engine.host().replace("unix://", "").replace("/socket", "");
            let ran = watch.env("DOCKER_HOST", engine.host()).env("HOME", home).output().unwrap();
            assert!(ran.status.success(), "{ran:?}");
            let restored = lab.report().await.restored.unwrap();
            assert_eq!((restored.rollout, restored.stuck.len()), (format!("r{number}"), 0));
            lab.abandon(number, None).await;
            return ("taken back", old);
        }
        3 => {
            lab.change(number, &new, Some(&old)).await.unwrap();
            assert_eq!(told(lab.probe(&new).await).kind, FailureKind::Content);
            lab.put_back(number, &new, Some(&old)).await.unwrap();
        }
        _ => {
            lab.transport.stop(&stopped(lab, number, &old)).await.unwrap();
            lab.transport.put_back(&stopped(lab, number, &old)).await.unwrap();
        }
    }
    lab.abandon(number, None).await;
    (if end == 3 { "failed" } else { "stopped and started" }, old)
}

#[test]
fn volumes_and_what_is_in_them_survive_random_rollouts_and_rollbacks() {
    if !ready() {
        return;
    }
    let rounds = number_of("GITSYNC_VOLUME_ROUNDS").unwrap_or(5);
    let seed = number_of("GITSYNC_DATA_SEED").unwrap_or(u64::from(std::process::id()));
    println!("GITSYNC_DATA_SEED={seed} GITSYNC_VOLUME_ROUNDS={rounds}");
    let (begin, engine) = (Instant::now(), Engine::start());
    engine.image("app:1", "one");
    engine.image("app:2", "two");
    block_on(async {
        let (lab, mut dice) = (lab(&engine), Dice(seed.max(1)));
        fs::create_dir_all(lab.host("web/data").as_str()).unwrap();
        fs::write(lab.host("web/notes of mine.txt").as_str(), "not gitsync's").unwrap();
        let notes = seen(Path::new(lab.host("web/notes of mine.txt").as_str()));
        let mut current = version(&lab, "app:1", UP, 0);
        lab.roll(1, &current, None).await;
        let places = mounts(&engine);
        let kinds: Vec<&str> = places.keys().map(String::as_str).collect();
        assert_eq!(kinds, ["/anonymous", "/bound", "/named"]);
        for (_, source) in places.values() {
            fill(source, &mut dice);
        }
        let before = everything(&places);
        let (mut good, mut words) = (vec![current.clone()], BTreeMap::<&str, u64>::new());
        for number in 2..rounds + 2 {
            let (word, now) = round(&lab, &engine, &mut dice, number, current, &mut good).await;
            current = now;
            *words.entry(word).or_default() += 1;
            let context = format!("round {number}, {word}");
            assert_eq!(mounts(&engine), places, "{context}: other volumes");
            assert_eq!(everything(&places), before, "{context}");
            assert_eq!(
                seen(Path::new(lab.host("web/notes of mine.txt").as_str())),
                notes,
                "{context}"
            );
            let seen = lab.unit_report(&current).await;
            assert_eq!(seen.current, Some(current.digest()), "{context}");
            assert_eq!(seen.containers[0].status, "running", "{context}");
        }
        // The service goes: what it kept under a name stays, and what lies beside its files.
        let number = rounds + 2;
        let mut prepare = lab.prepare_request(number, &[(&current, Some(&current))]);
        prepare.units[0].to = None;
        lab.transport.prepare(&prepare).await.unwrap();
        lab.transport.stop(&stopped(&lab, number, &current)).await.unwrap();
        lab.confirm(number, &[], &[&current]).await;
        assert_eq!(engine.docker(&["ps", "-aq"]).1, "");
        for place in ["/named", "/bound"] {
            let mut left = BTreeMap::new();
            below(&places[place].1, &mut left);
            for (path, now) in left {
                assert_eq!(before.get(&path), Some(&now), "{}", path.display());
            }
        }
        println!("{words:?}, {} paths, {:?}", before.len(), begin.elapsed());
    });
}
