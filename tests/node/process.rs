//! Units whose process the script keeps: start, stop, reload, crash, probe.

use std::fs;
use std::time::{Duration, Instant};

use gitsync::model::{Check, FailureKind, Moment, ProcessState, Runtime, Unit};
use gitsync::transport::Transport;

use crate::lab::{Lab, Shell, block_on, command, health, told};

/// A process that writes which version runs, and its reloads.
fn daemon(lab: &Lab, version: &str) -> Unit {
    let mut unit = lab.unit("service.web", &[("app/version", version)]);
    unit.runtime = Runtime::Process;
    let program = "echo started $(cat version)\n\
        trap 'echo reloaded $(cat version)' USR1\n\
        while test -e version; do sleep 1 & wait; done";
    unit.commands = vec![command(Moment::Start, program)];
    unit
}

async fn pid(lab: &Lab, unit: &Unit) -> (ProcessState, Option<u32>) {
    let process = lab.unit_report(unit).await.process.unwrap();
    (process.state, process.pid)
}

fn alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn wait_gone(pid: u32) {
    let begin = Instant::now();
    while alive(pid) {
        assert!(begin.elapsed() < Duration::from_secs(10), "{pid} is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_process_is_started_kept_restarted_and_stopped() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let (one, two) = (daemon(&lab, "one"), daemon(&lab, "two"));
            lab.roll(1, &one, None).await;
            let (state, first) = pid(&lab, &one).await;
            assert_eq!(state, ProcessState::Running, "{shell:?}");
            assert!(alive(first.unwrap()));
            lab.roll(2, &one, Some(&one)).await;
            assert_eq!(pid(&lab, &one).await.1, first, "an unchanged process is left alone");
            lab.prepare(3, &[(&two, Some(&one))]).await.unwrap();
            lab.change(3, &two, Some(&one)).await.unwrap();
            let (state, second) = pid(&lab, &two).await;
            assert_eq!(state, ProcessState::Running);
            assert_ne!(first, second);
            wait_gone(first.unwrap());
            assert!(lab.probe(&two).await.unwrap() > 1);
            let log = lab.transport.logs(&lab.fleet, &two.id, 5).await.unwrap();
            assert_eq!(log, ["started two"]);
            lab.put_back(3, &two, Some(&one)).await.unwrap();
            let third = pid(&lab, &one).await.1.unwrap();
            wait_gone(second.unwrap());
            lab.abandon(3, None).await;
            let mut stop = lab.change_request(4, &one, Some(&one));
            stop.to = None;
            let mut prepare = lab.prepare_request(4, &[(&one, Some(&one))]);
            prepare.units[0].to = None;
            lab.transport.prepare(&prepare).await.unwrap();
            lab.transport.stop(&stop).await.unwrap();
            wait_gone(third);
            lab.transport.put_back(&stop).await.unwrap();
            let fourth = pid(&lab, &one).await.1.unwrap();
            assert!(alive(fourth));
            lab.transport.stop(&stop).await.unwrap();
            lab.confirm(4, &[], &[&one]).await;
            wait_gone(fourth);
            assert_eq!(lab.tree().len(), 0);
        });
    }
}

#[test]
fn a_process_that_can_reload_keeps_its_pid_when_only_files_change() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let (mut one, mut two) = (daemon(&lab, "one"), daemon(&lab, "two"));
            let marker = lab.host("reloads");
            let reload = command(Moment::Reload, &format!("cat version >>'{marker}'"));
            one.commands.push(reload.clone());
            two.commands.push(reload);
            lab.roll(1, &one, None).await;
            let first = pid(&lab, &one).await;
            lab.roll(2, &two, Some(&one)).await;
            assert_eq!(pid(&lab, &two).await, first);
            assert_eq!(lab.text_of("reloads").as_deref(), Some("two"));
            process_end(&lab, 3, &two).await;
        });
    }
}

async fn process_end(lab: &Lab, number: u64, unit: &Unit) {
    let mut prepare = lab.prepare_request(number, &[(unit, Some(unit))]);
    prepare.units[0].to = None;
    lab.transport.prepare(&prepare).await.unwrap();
    let mut stop = lab.change_request(number, unit, Some(unit));
    stop.to = None;
    lab.transport.stop(&stop).await.unwrap();
    lab.confirm(number, &[], &[unit]).await;
}

#[test]
fn a_process_that_ends_at_once_fails_and_the_old_one_runs_again() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let one = daemon(&lab, "one");
            let mut two = daemon(&lab, "two");
            two.commands = vec![command(Moment::Start, "echo cannot bind; exit 7")];
            lab.roll(1, &one, None).await;
            lab.prepare(2, &[(&two, Some(&one))]).await.unwrap();
            let failure = told(lab.change(2, &two, Some(&one)).await);
            assert_eq!(failure.kind, FailureKind::Content);
            assert!(failure.message.contains("cannot bind"), "{}", failure.message);
            assert_eq!(pid(&lab, &one).await.0, ProcessState::Running);
            assert_eq!(lab.text_of("app/version").as_deref(), Some("one"));
            lab.put_back(2, &two, Some(&one)).await.unwrap();
            process_end_after_abandon(&lab, &one).await;
        });
    }
}

async fn process_end_after_abandon(lab: &Lab, unit: &Unit) {
    lab.abandon(2, None).await;
    process_end(lab, 3, unit).await;
}

#[test]
fn a_process_that_dies_while_it_is_watched_fails_its_probe() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let mut unit = daemon(&lab, "one");
            unit.commands = vec![command(Moment::Start, "echo up; sleep 1; echo gone; exit 1")];
            unit.health.stable_for = Duration::from_secs(5);
            lab.prepare(1, &[(&unit, None)]).await.unwrap();
            lab.change(1, &unit, None).await.unwrap();
            let failure = told(lab.probe(&unit).await);
            assert_eq!(failure.kind, FailureKind::Content);
            assert!(failure.attempts.iter().any(|attempt| attempt.passed));
            assert_eq!(failure.log, ["up", "gone"]);
            assert_eq!(pid(&lab, &unit).await.0, ProcessState::Dead);
            lab.put_back(1, &unit, None).await.unwrap();
        });
    }
}

#[test]
fn a_node_s_file_reaches_the_process_and_no_argument() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let secret = lab.base.join("secret");
            fs::write(&secret, "p$a \"ss'\n").unwrap();
            let mut unit = daemon(&lab, "one");
            let path = gitsync::model::AbsPath::new(secret.display().to_string()).unwrap();
            unit.node_env = [("TOKEN".to_owned(), path)].into();
            let seen = lab.host("token");
            let program = format!("printf %s \"$TOKEN\" >'{seen}'; while sleep 1; do :; done");
            unit.commands = vec![command(Moment::Start, &program)];
            lab.roll(1, &unit, None).await;
            assert_eq!(lab.text_of("token").as_deref(), Some("p$a \"ss'"));
            let pid = pid(&lab, &unit).await.1.unwrap();
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
            assert!(!String::from_utf8_lossy(&arguments).contains("p$a"));
            process_end(&lab, 2, &unit).await;
        });
    }
}

#[test]
fn exec_checks_run_in_the_unit_s_directory_and_are_bounded() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let mut unit = lab.unit("bundle.mcp", &[("app/answer", "42")]);
            let check = |text: &str| Check::Exec { command: text.to_owned(), container: None };
            unit.health = health(vec![check("test \"$(cat answer)\" = 42\ntrue")]);
            lab.roll(1, &unit, None).await;
            lab.probe(&unit).await.unwrap();
            unit.health = health(vec![check("echo no luck; exit 4")]);
            let failure = told(lab.probe(&unit).await);
            assert_eq!(failure.attempts.len(), 4);
            assert!(failure.message.contains("status 4: no luck"), "{}", failure.message);
            unit.health = health(vec![check("sleep 30")]);
            unit.health.timeout = Duration::from_millis(200);
            unit.health.retries = 0;
            let begin = Instant::now();
            told(lab.probe(&unit).await);
            assert!(begin.elapsed() < Duration::from_secs(10));
            lab.wait_for_no_process();
        });
    }
}

#[test]
fn what_a_killed_process_leaves_behind_ends_with_it() {
    for shell in [Shell::Dash, Shell::Busybox] {
        block_on(async {
            let lab = Lab::new(shell);
            let mut unit = daemon(&lab, "one");
            let child = lab.host("child");
            let program = format!(
                "(while test -e version; do sleep 1; done) &\necho $! >'{child}'\n\
                 while sleep 1; do :; done"
            );
            unit.commands = vec![command(Moment::Start, &program)];
            lab.prepare(1, &[(&unit, None)]).await.unwrap();
            lab.change(1, &unit, None).await.unwrap();
            let main = pid(&lab, &unit).await.1.unwrap();
            let text = eventually(|| lab.text_of("child").filter(|text| text.ends_with('\n')));
            let child: u32 = text.trim().parse().unwrap();
            let mut kill = std::process::Command::new("kill");
            assert!(kill.args(["-KILL", &main.to_string()]).status().unwrap().success());
            wait_gone(main);
            assert!(alive(child));
            lab.put_back(1, &unit, None).await.unwrap();
            wait_gone(child);
            lab.wait_for_no_process();
        });
    }
}

fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "it never came");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_process_that_died_comes_up_again_but_not_while_a_rollout_is_open() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let (one, two) = (daemon(&lab, "one"), daemon(&lab, "two"));
            lab.roll(1, &one, None).await;
            let up = |unit: &Unit| {
                let (id, digest) = (unit.id.clone(), unit.digest());
                let lab = &lab;
                async move { lab.transport.bring_up(&lab.fleet, &id, &digest).await }
            };
            let first = pid(&lab, &one).await.1.unwrap();
            up(&one).await.unwrap();
            assert_eq!(pid(&lab, &one).await.1, Some(first), "what runs is left alone");
            end(first);
            assert_eq!(pid(&lab, &one).await.0, ProcessState::Dead);
            let failure = told(up(&two).await);
            assert_eq!(failure.kind, FailureKind::Refused, "{}", failure.message);
            lab.prepare(2, &[(&two, Some(&one))]).await.unwrap();
            let failure = told(up(&one).await);
            assert_eq!(failure.kind, FailureKind::Busy, "{}", failure.message);
            lab.abandon(2, None).await;
            up(&one).await.unwrap();
            let (state, second) = pid(&lab, &one).await;
            assert_eq!(state, ProcessState::Running, "{shell:?}");
            let report = lab.unit_report(&one).await;
            assert_eq!((report.current, report.pending), (Some(one.digest()), None));
            let other = lab.unit("service.other", &[]);
            assert_eq!(told(up(&other).await).kind, FailureKind::Refused);
            assert!(!lab.report().await.units.contains_key(&other.id), "nothing was made");
            end(second.unwrap());
        });
    }
}

#[test]
fn a_process_that_ends_at_once_tells_why_it_can_not_come_up() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            let mut unit = daemon(&lab, "one");
            let lives = lab.host("lives");
            let program =
                format!("test -e '{lives}' || {{ echo no lives left; exit 3; }}; sleep 60");
            unit.commands = vec![command(Moment::Start, &program)];
            fs::write(lives.as_str(), "").unwrap();
            lab.roll(1, &unit, None).await;
            end(pid(&lab, &unit).await.1.unwrap());
            fs::remove_file(lives.as_str()).unwrap();
            let digest = unit.digest();
            let failure = told(lab.transport.bring_up(&lab.fleet, &unit.id, &digest).await);
            assert_eq!(failure.kind, FailureKind::Content);
            assert!(failure.message.ends_with("no lives left"), "{}", failure.message);
            assert_eq!(failure.unit.as_ref(), Some(&unit.id));
            assert_eq!(lab.unit_report(&unit).await.current, Some(unit.digest()));
        });
    }
}

/// Ends a process as a crash would, with its children.
fn end(pid: u32) {
    let group = format!("-{pid}");
    let _ = std::process::Command::new("kill").args(["-KILL", "--", &group]).status();
    let _ = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    wait_gone(pid);
}
