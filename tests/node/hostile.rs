//! What a hostile repository or a hostile neighbour tries on a node: nothing is written outside of what was asked.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use gitsync::model::{AbsPath, FailureKind, Moment, Runtime, Unit};
use gitsync::transport::Transport;

use crate::lab::{Lab, Shell, block_on, command, told};

/// Everything below a directory: paths, kinds and contents.
fn everything(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut next = vec![directory.to_owned()];
    while let Some(directory) = next.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            let text = if kind.is_file() {
                String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned()
            } else {
                format!("{kind:?}")
            };
            if kind.is_dir() {
                next.push(entry.path());
            }
            found.push((entry.path(), text));
        }
    }
    found.sort();
    found
}

/// A directory outside of the host's, with something in it that must stay as it is.
fn outside(lab: &Lab) -> PathBuf {
    let outside = lab.base.join("outside");
    fs::create_dir_all(outside.join("sub")).unwrap();
    fs::write(outside.join("passwd"), "root:x:0:0\n").unwrap();
    outside
}

/// A process that turns a directory into a link and back, as fast as it can, until it is dropped.
struct Flipper {
    stop: Arc<AtomicBool>,
    turns: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Flipper {
    fn new(place: &Path, target: &Path) -> Self {
        let (stop, turns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, turned) = (Arc::clone(&stop), Arc::clone(&turns));
        let (place, target) = (place.to_owned(), target.to_owned());
        let aside = place.with_extension("aside");
        let thread = std::thread::spawn(move || {
            // Long enough for a script to look at a directory, and over before it writes into it.
            let pauses = [0, 3, 11, 29, 61, 97, 150, 240].into_iter().cycle();
            for (pause, brief) in pauses.zip([0, 1, 4, 9, 2].into_iter().cycle()) {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(pause));
                if fs::rename(&place, &aside).is_ok() {
                    let _ = symlink(&target, &place);
                    std::thread::sleep(Duration::from_millis(brief));
                    let _ = fs::remove_file(&place);
                    // What a change made in the meantime goes, so that the directory can come back.
                    let _ = fs::remove_dir_all(&place);
                }
                let _ = fs::rename(&aside, &place);
                turned.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { stop, turns, thread: Some(thread) }
    }
}

impl Drop for Flipper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

#[test]
fn a_parent_that_turns_into_a_link_and_back_during_rollouts_leads_nowhere() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let outside = outside(&lab);
            let was = everything(&outside);
            fs::create_dir(lab.host("app").as_str()).unwrap();
            let flipper = Flipper::new(Path::new(lab.host("app").as_str()), &outside);
            let mut done = 0;
            for number in 1..=15 {
                let text = format!("{number}");
                // Files beside and below, existing and new directories: every way in.
                let files =
                    [("app/passwd", text.as_str()), ("app/sub/a", &text), ("app/new/b/c", &text)];
                let unit = lab.unit("bundle.mcp", &files);
                if lab.prepare(number, &[(&unit, None)]).await.is_ok() {
                    let changed = lab.change(number, &unit, None).await;
                    done += usize::from(changed.is_ok());
                    let _ = lab.put_back(number, &unit, None).await;
                }
                lab.abandon(number, None).await;
                let now = everything(&outside);
                assert_eq!(now, was, "{shell:?}: rollout {number} wrote outside");
            }
            assert!(flipper.turns.load(Ordering::Relaxed) > 15, "{shell:?}: nothing was flipped");
            drop(flipper);
            eprintln!("{shell:?}: {done} of 15 changes came through");
        });
    }
}

/// What may change files: right before each of these a neighbour with the right timing turns a parent into a link.
const WRITING: [&str; 9] = ["mkdir", "rmdir", "dd", "mv", "rm", "chmod", "chown", "cp", "sync"];

/// A node whose script has `app` turned into a link to the outside before its `FLIP_AT`th writing command.
fn flipping(shell: Shell, outside: &dyn Fn(&Lab) -> PathBuf) -> (Lab, PathBuf) {
    let lab = Lab::new(shell);
    let outside = outside(&lab);
    let app = lab.host("app");
    fs::create_dir_all(lab.host("app/sub").as_str()).unwrap();
    let mut prologue = format!(
        "flips=0\nflip() {{\nflips=$((flips + 1))\n[ \"$flips\" != \"${{FLIP_AT:-0}}\" ] || \
         {{ command mv '{app}' '{app}.aside' && command ln -s '{}' '{app}'; }}\n}}\n",
        outside.display()
    );
    for name in WRITING {
        prologue.push_str(&format!("{name}() {{ flip; command {name} \"$@\"; }}\n"));
    }
    lab.install(&|text| text.replacen("\nset -u\n", &format!("\nset -u\n{prologue}"), 1));
    (lab, outside)
}

/// Flips before every writing command of one verb, each on a node of its own; how many there were.
async fn flip_everywhere(shell: Shell, verb: &str) -> usize {
    for at in 1.. {
        let (lab, outside) = flipping(shell, &outside);
        let was = everything(&outside);
        let files = [("app/passwd", "x"), ("app/sub/a", "x"), ("app/new/b/c", "x")];
        let unit = lab.unit("bundle.mcp", &files);
        let flipped = lab.with_variable("FLIP_AT", &at.to_string());
        lab.prepare(1, &[(&unit, None)]).await.unwrap();
        let request = lab.change_request(1, &unit, None);
        match verb {
            "change" => drop(flipped.change(&request).await),
            _ => {
                lab.change(1, &unit, None).await.unwrap();
                drop(flipped.put_back(&request).await);
            }
        }
        assert_eq!(everything(&outside), was, "{shell:?}: {verb}, command {at}");
        if !fs::symlink_metadata(lab.host("app").as_str()).unwrap().is_symlink() {
            return at - 1;
        }
    }
    0
}

#[test]
fn a_parent_that_becomes_a_link_right_before_any_write_leads_nowhere() {
    std::thread::scope(|scope| {
        for shell in [Shell::Dash, Shell::Busybox] {
            scope.spawn(move || {
                for verb in ["change", "put-back"] {
                    let times = block_on(flip_everywhere(shell, verb));
                    assert!(times > 10, "{shell:?}: {verb} wrote only {times} times");
                }
            });
        }
    });
}

#[test]
fn links_and_directories_in_the_way_are_refused_and_what_they_lead_to_stays() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let outside = outside(&lab);
            fs::create_dir_all(lab.host("app/directory").as_str()).unwrap();
            for (name, target) in [
                ("app/link", outside.join("passwd")),
                ("app/dangling", outside.join("absent")),
                ("app/folder", outside.clone()),
                ("parent", outside.clone()),
                ("app/up", PathBuf::from("../../outside")),
            ] {
                symlink(target, lab.host(name).as_str()).unwrap();
            }
            let was = everything(&lab.base.join("host"));
            let kept = everything(&outside);
            for (number, place) in (1..).zip([
                "app/link",
                "app/dangling",
                "app/folder",
                "app/directory",
                "app/folder/passwd",
                "parent/passwd",
                "parent/sub/new",
                "app/up/new/deep",
            ]) {
                let unit = lab.unit("bundle.mcp", &[(place, "root::0:0")]);
                let failure = told(lab.prepare(number, &[(&unit, None)]).await);
                assert_eq!(failure.kind, FailureKind::Refused, "{place}: {failure:?}");
                // Whoever would skip what prepare said gets no further.
                let failure = told(lab.change(number, &unit, None).await);
                assert_eq!(failure.kind, FailureKind::Refused, "{place}: {failure:?}");
                lab.put_back(number, &unit, None).await.unwrap();
                lab.abandon(number, None).await;
                assert_eq!(everything(&lab.base.join("host")), was, "{shell:?} {place}");
                assert_eq!(everything(&outside), kept, "{shell:?} {place}");
            }
        });
    }
}

/// Texts that would do something in a shell, in awk, in sed, in a glob, or as an option.
const WORDS: [&str; 14] = [
    "$(touch outside-1)",
    "`touch outside-2`",
    "; touch outside-3;",
    "a' ; touch outside-4 ; '",
    "\" ; touch outside-5 ; \"",
    "-rf",
    "--reference=x",
    "*",
    "{a,b}",
    "~root",
    "%s%n\\n\\0",
    "& | > < outside-6",
    "a|b",
    "\u{202e}txt.exe",
];

#[test]
fn names_that_a_shell_would_act_on_are_names() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let paths: Vec<String> =
                WORDS.iter().flat_map(|w| [format!("app/{w}"), format!("d {w}/{w}")]).collect();
            let files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "x")).collect();
            let mut unit = lab.unit("bundle.mcp", &files);
            unit.directory = lab.host("app");
            unit.commands = vec![command(Moment::Activate, "true")];
            lab.roll(1, &unit, None).await;
            let mut wanted: Vec<String> = paths.clone();
            wanted.sort();
            let there: Vec<String> = lab.tree().into_keys().collect();
            assert_eq!(there, wanted, "{shell:?}");
            let none = lab.unit("bundle.mcp", &[("app/plain", "y")]);
            lab.roll(2, &none, Some(&unit)).await;
            assert_eq!(lab.tree().into_keys().collect::<Vec<_>>(), ["app/plain"], "{shell:?}");
            for place in [lab.base.clone(), PathBuf::from("/"), lab.base.join("git sync")] {
                for name in fs::read_dir(place).unwrap().map(|entry| entry.unwrap().file_name()) {
                    assert!(!name.to_string_lossy().contains("outside-"), "{shell:?}: {name:?}");
                }
            }
        });
    }
}

#[test]
fn what_files_hold_is_never_run_where_no_command_is() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let mark = lab.host("ran");
            let text = format!("#!/bin/sh\ntouch '{mark}'\n");
            let names =
                ["app/.profile", "app/activate", "app/validate", "app/sh", "app/compose.yaml"];
            let files = names.map(|name| (name, text.as_str()));
            let mut unit = lab.unit("bundle.mcp", &files);
            unit.artifacts.iter_mut().for_each(|file| file.mode = 0o755);
            lab.roll(1, &unit, None).await;
            assert!(!Path::new(mark.as_str()).exists(), "{shell:?}");
        });
    }
}

#[test]
fn environment_from_files_of_the_node_is_text_and_nothing_else() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let (mark, seen) = (lab.host("ran"), lab.host("seen"));
            let value =
                format!("$(touch '{mark}') `touch '{mark}'` \\ \" ' ${{X}} ; touch '{mark}'");
            fs::write(lab.host("token").as_str(), format!("{value}\n")).unwrap();
            let mut unit = lab.unit("service.web", &[("app/a", "a")]);
            unit.runtime = Runtime::Process;
            unit.node_env = [("TOKEN".to_owned(), lab.host("token"))].into();
            let start = format!(
                "printf %s \"$TOKEN\" >'{seen}.new'; mv '{seen}.new' '{seen}'; exec sleep 60"
            );
            unit.commands = vec![command(Moment::Start, &start)];
            lab.roll(1, &unit, None).await;
            let begin = std::time::Instant::now();
            while lab.text_of("seen").is_none() {
                assert!(begin.elapsed().as_secs() < 10, "{shell:?}: it never started");
                std::thread::sleep(Duration::from_millis(10));
            }
            assert_eq!(lab.text_of("seen").unwrap(), value, "{shell:?}");
            assert!(!Path::new(mark.as_str()).exists(), "{shell:?}");
            // A file of several lines (a key, /etc/shadow) is none that can be handed on.
            fs::write(lab.host("token").as_str(), "root:!:1\nbin:*:2\n").unwrap();
            let mut next = unit.clone();
            next.artifacts = lab.unit("service.web", &[("app/a", "b")]).artifacts;
            lab.prepare(2, &[(&next, Some(&unit))]).await.unwrap();
            let failure = told(lab.change(2, &next, Some(&unit)).await);
            assert!(failure.message.contains("more than one line"), "{failure:?}");
            assert!(!failure.message.contains("root:"), "{failure:?}");
        });
    }
}

/// What a broken or bought controller could send as an archive: names in it that are none of ours.
#[test]
fn an_archive_with_other_names_than_ours_is_refused_whole() {
    for shell in Shell::all() {
        let lab = Lab::new(shell);
        let outside = outside(&lab);
        let was = everything(&outside);
        let pack = lab.base.join("pack");
        for (number, (name, kind)) in (1..).zip([
            ("../outside/evil", "file"),
            ("sub/blob", "file"),
            (".hidden", "file"),
            ("-rf", "file"),
            (&"a".repeat(64) as &str, "link"),
            (&"b".repeat(64) as &str, "folder"),
            (&"c".repeat(64) as &str, "file"),
        ]) {
            let _ = fs::remove_dir_all(&pack);
            let place = pack.join("in").join(name);
            fs::create_dir_all(pack.join("in")).unwrap();
            fs::create_dir_all(pack.join("outside")).unwrap();
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            match kind {
                "link" => symlink(outside.join("passwd"), &place).unwrap(),
                "folder" => fs::create_dir(&place).unwrap(),
                _ => fs::write(&place, "evil").unwrap(),
            }
            let tar = Command::new("tar")
                .args(["-cPf", "-", "--", name])
                .current_dir(pack.join("in"))
                .output()
                .unwrap();
            assert!(tar.status.success());
            let answer = verb(&lab, "prepare", &header(number), &tar.stdout);
            assert!(
                answer.contains("end failed refused") || answer.contains("cannot be read"),
                "{name}: {answer}"
            );
            assert_eq!(everything(&outside), was, "{shell:?} {name}");
            assert!(!lab.base.join("git sync/outside").exists());
            let blobs = lab.base.join("git sync/blobs");
            let left = fs::read_dir(blobs).map_or(0, Iterator::count);
            assert_eq!(left, 0, "{shell:?} {name}: {answer}");
        }
    }
}

fn header(number: usize) -> String {
    format!(
        "fleet homelab\nfence {number}\nnonce n{number}\nholder x\nrollout r{number}\nsince 0\nbytes 0\n\n"
    )
}

fn verb(lab: &Lab, verb: &str, header: &str, body: &[u8]) -> String {
    let mut child = Command::new(lab.shell())
        .arg(lab.script())
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(header.as_bytes()).unwrap();
    // The script may have given its answer already.
    let _ = input.write_all(body);
    drop(input);
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn words_of_a_request_that_are_no_names_are_refused() {
    for shell in Shell::all() {
        let lab = Lab::new(shell);
        let outside = outside(&lab);
        let was = everything(&outside);
        for (key, word) in [
            ("fleet", "../../outside"),
            ("fleet", "/etc"),
            ("fleet", ".."),
            ("fleet", "-x"),
            ("fleet", "a b"),
            ("fleet", "$(touch x)"),
            ("fence", "1;touch x"),
            ("limit", "a[$(touch x)]"),
            ("nonce", "a/b"),
            ("rollout", "../x"),
        ] {
            let header = header(1).replace("\n\n", &format!("\n{key} {word}\n\n"));
            let answer = verb(&lab, "hold", &header, b"");
            assert!(answer.contains("end failed refused"), "{shell:?} {key} {word}: {answer}");
        }
        for unit in ["../../../outside", "/etc", "..", "-x", "a b/../c", "service.$(id)"] {
            let header = header(1).replace("\n\n", &format!("\nunit {unit} - -\n\n"));
            let answer = verb(&lab, "put-back", &header, b"");
            assert!(answer.contains("end failed refused"), "{shell:?} {unit}: {answer}");
        }
        assert_eq!(everything(&outside), was, "{shell:?}");
        assert!(!Path::new("/x").exists());
    }
}

#[test]
fn a_unit_that_writes_where_another_one_does_is_refused() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let victim = lab.unit("bundle.victim", &[("app/a", "mine")]);
            lab.roll(1, &victim, None).await;
            let thief = Unit { adopt: true, ..lab.unit("bundle.thief", &[("app/a", "yours")]) };
            let failure = told(lab.prepare(2, &[(&thief, None)]).await);
            assert!(failure.message.contains("belongs to bundle.victim"), "{failure:?}");
            lab.abandon(2, None).await;
            assert_eq!(lab.text_of("app/a").as_deref(), Some("mine"), "{shell:?}");
        });
    }
}

#[test]
fn the_kernels_own_files_are_no_places() {
    block_on(async {
        let lab = Lab::new(Shell::Dash);
        for (number, place) in (1..).zip([
            "/proc/sys/kernel/hostname",
            "/proc/self/mem",
            "/dev/null",
            "/sys/power/state",
        ]) {
            let mut unit = lab.unit("bundle.mcp", &[("app/a", "x")]);
            unit.artifacts[0].destination = AbsPath::new(place).unwrap();
            let result = lab.prepare(number, &[(&unit, None)]).await;
            assert!(result.is_err(), "{place}");
            lab.abandon(number, None).await;
        }
    });
}
