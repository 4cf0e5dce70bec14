//! Services of the host: put back means as they were found, whatever systemd called that.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use gitsync::model::{Moment, Runtime, Unit};
use gitsync::transport::Transport;

use crate::lab::{Lab, Shell, block_on, command, told};

/// Stands for systemd: one service, whose two states are two files of the host.
const SYSTEMCTL: &str = r#"#!/bin/sh
active() { echo "$1" >"$state/active"; }
enabled() { echo "$1" >"$state/enabled"; }
read -r was <"$state/enabled"
case "$*" in
'is-active webd') exec cat "$state/active" ;;
'is-enabled webd') exec cat "$state/enabled" ;;
'start webd' | 'restart webd') [ "$was" != masked ] && [ -z "${STUCK:-}" ] && active active ;;
'stop webd') active inactive ;;
'enable webd') [ "$was" != masked ] && enabled enabled ;;
'enable --runtime webd') [ "$was" != masked ] && enabled enabled-runtime ;;
'disable webd') [ "$was" = masked ] || enabled disabled ;;
'disable --now webd') active inactive; [ "$was" = masked ] || enabled disabled ;;
'mask webd') enabled masked ;;
'reset-failed webd') read -r is <"$state/active"; [ "$is" != failed ] || active inactive ;;
*) exit 1 ;;
esac
"#;

/// Puts a service on the node, in these two states.
pub fn service(lab: &Lab, active: &str, enabled: &str) {
    let program = lab.base.join("path/systemctl");
    let state = lab.host("systemd");
    let text = SYSTEMCTL.replacen('\n', &format!("\nstate='{state}'\n"), 1);
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(state.as_str()).unwrap();
    found(lab, active, enabled);
}

fn found(lab: &Lab, active: &str, enabled: &str) {
    fs::write(lab.host("systemd/active").as_str(), format!("{active}\n")).unwrap();
    fs::write(lab.host("systemd/enabled").as_str(), format!("{enabled}\n")).unwrap();
}

fn states(lab: &Lab) -> [String; 2] {
    ["systemd/active", "systemd/enabled"].map(|file| lab.text_of(file).unwrap().trim().to_owned())
}

/// A unit that moves the service as gateways and syncs do; it takes only what says so.
pub fn hosted(lab: &Lab, text: &str) -> Unit {
    let mut unit = lab.unit("gateway.edge", &[("app/conf", text)]);
    unit.runtime = Runtime::Host;
    unit.host_service = Some("webd".to_owned());
    unit.adopt = true;
    let activate = "systemctl enable webd || :\nsystemctl start webd && ! grep -q bad conf";
    unit.commands = vec![
        command(Moment::Activate, activate),
        command(Moment::Stop, "exec systemctl stop webd"),
        command(Moment::Start, "exec systemctl start webd"),
        command(Moment::Remove, "systemctl disable --now webd >/dev/null 2>&1 || :"),
    ];
    unit
}

/// The file that people had there.
pub fn theirs(lab: &Lab) {
    fs::create_dir_all(lab.host("app").as_str()).unwrap();
    fs::write(lab.host("app/conf").as_str(), "theirs\n").unwrap();
}

const FOUND: [(&str, &str); 6] = [
    ("inactive", "disabled"),
    ("inactive", "enabled"),
    ("active", "disabled"),
    ("active", "enabled"),
    ("failed", "enabled-runtime"),
    ("inactive", "static"),
];

#[test]
fn a_first_rollout_that_is_put_back_leaves_the_service_as_it_was_found() {
    for shell in Shell::all() {
        block_on(async {
            for (number, (active, enabled)) in (1..).zip(FOUND) {
                for (bad, file) in [(false, false), (true, true)] {
                    let lab = Lab::new(shell);
                    service(&lab, active, enabled);
                    if file {
                        theirs(&lab);
                    }
                    let before = lab.tree();
                    let unit = hosted(&lab, if bad { "bad\n" } else { "good\n" });
                    lab.prepare(number, &[(&unit, None)]).await.unwrap();
                    assert_eq!(lab.change(number, &unit, None).await.is_err(), bad);
                    lab.put_back(number, &unit, None).await.unwrap();
                    let mut after = lab.tree();
                    if (active, enabled) == ("failed", "enabled-runtime") {
                        // Nobody wants a failure back.
                        assert_eq!(after["systemd/active"], "inactive\n");
                        after.insert("systemd/active".to_owned(), "failed\n".to_owned());
                    }
                    if enabled == "static" {
                        // The stand-in knows no file that can't be enabled.
                        after.insert("systemd/enabled".to_owned(), "static\n".to_owned());
                    }
                    assert_eq!(after, before, "{shell:?} {active} {enabled} {bad} {file}");
                }
            }
        });
    }
}

#[test]
fn a_masked_service_stays_masked() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            service(&lab, "inactive", "masked");
            let before = lab.tree();
            let unit = hosted(&lab, "good\n");
            lab.prepare(1, &[(&unit, None)]).await.unwrap();
            told(lab.change(1, &unit, None).await);
            lab.put_back(1, &unit, None).await.unwrap();
            assert_eq!(lab.tree(), before, "{shell:?}");
        });
    }
}

#[test]
fn how_a_service_was_found_is_what_the_first_attempt_saw() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            service(&lab, "inactive", "disabled");
            let unit = hosted(&lab, "good\n");
            // A controller that went away in the middle, and another that takes over with other content.
            lab.prepare(1, &[(&unit, None)]).await.unwrap();
            lab.change(1, &unit, None).await.unwrap();
            assert_eq!(states(&lab), ["active", "enabled"]);
            let other = hosted(&lab, "better\n");
            let mut prepare = lab.prepare_request(2, &[(&other, Some(&unit))]);
            prepare.takeover = true;
            lab.transport.prepare(&prepare).await.unwrap();
            lab.change(2, &other, Some(&unit)).await.unwrap();
            lab.put_back(2, &other, None).await.unwrap();
            assert_eq!(states(&lab), ["inactive", "disabled"], "{shell:?}");
            lab.abandon(2, None).await;

            // What is found later counts anew.
            found(&lab, "active", "enabled");
            lab.prepare(3, &[(&unit, None)]).await.unwrap();
            lab.change(3, &unit, None).await.unwrap();
            lab.put_back(3, &unit, None).await.unwrap();
            assert_eq!(states(&lab), ["active", "enabled"], "{shell:?}");
        });
    }
}

#[test]
fn a_service_that_was_taken_over_is_as_it_was_found_when_its_unit_goes() {
    for shell in Shell::all() {
        block_on(async {
            for (active, enabled, file) in [
                ("active", "enabled", true),
                ("inactive", "disabled", true),
                ("active", "enabled", false),
            ] {
                let lab = Lab::new(shell);
                service(&lab, active, enabled);
                if file {
                    theirs(&lab);
                }
                let unit = hosted(&lab, "good\n");
                lab.roll(1, &unit, None).await;
                let next = hosted(&lab, "better\n");
                lab.roll(2, &next, Some(&unit)).await;
                let mut stop = lab.change_request(3, &next, Some(&next));
                stop.to = None;
                let mut prepare = lab.prepare_request(3, &[(&next, Some(&next))]);
                prepare.units[0].to = None;
                lab.transport.prepare(&prepare).await.unwrap();
                lab.transport.stop(&stop).await.unwrap();
                lab.confirm(3, &[], &[&next]).await;
                // Without a file of theirs it was ours alone.
                let left = if file { [active, enabled] } else { ["inactive", "disabled"] };
                assert_eq!(states(&lab), left, "{shell:?}");
                assert_eq!(lab.text_of("app/conf").as_deref(), file.then_some("theirs\n"));
            }
        });
    }
}

#[test]
fn a_unit_that_moves_to_another_service_ends_the_first_one_and_returns_to_it() {
    for shell in Shell::all() {
        block_on(async {
            let lab = Lab::new(shell);
            service(&lab, "inactive", "disabled");
            let unit = hosted(&lab, "good\n");
            lab.roll(1, &unit, None).await;
            let mut other = hosted(&lab, "better\n");
            other.host_service = Some("otherd".to_owned());
            other.commands = vec![
                command(Moment::Activate, "cp conf ../other"),
                command(Moment::Remove, "rm -f ../other"),
            ];
            lab.prepare(2, &[(&other, Some(&unit))]).await.unwrap();
            lab.change(2, &other, Some(&unit)).await.unwrap();
            assert_eq!(states(&lab), ["inactive", "disabled"], "{shell:?}");
            assert_eq!(lab.text_of("other").as_deref(), Some("better\n"));
            lab.put_back(2, &other, Some(&unit)).await.unwrap();
            assert_eq!(states(&lab), ["active", "enabled"], "{shell:?}");
            assert_eq!(lab.text_of("other"), None);
        });
    }
}

#[test]
fn a_service_that_ran_and_does_not_start_again_is_told() {
    block_on(async {
        let lab = Lab::new(Shell::Dash);
        service(&lab, "active", "enabled");
        let unit = hosted(&lab, "good\n");
        lab.prepare(1, &[(&unit, None)]).await.unwrap();
        lab.change(1, &unit, None).await.unwrap();
        let program = lab.base.join("path/systemctl");
        let text = fs::read_to_string(&program).unwrap();
        fs::write(&program, text.replacen('\n', "\nSTUCK=yes\n", 1)).unwrap();
        let message = told(lab.put_back(1, &unit, None).await).message;
        assert!(message.contains("webd, which ran before, does not start again"), "{message}");
        fs::write(&program, text).unwrap();
        lab.put_back(1, &unit, None).await.unwrap();
        assert_eq!(states(&lab), ["active", "enabled"]);
    });
}

#[test]
fn without_systemctl_nothing_is_written_down() {
    block_on(async {
        let lab = Lab::new(Shell::Busybox);
        theirs(&lab);
        let mut unit = hosted(&lab, "good\n");
        unit.commands = vec![command(Moment::Activate, "cp conf ../seen")];
        lab.prepare(1, &[(&unit, None)]).await.unwrap();
        lab.change(1, &unit, None).await.unwrap();
        lab.put_back(1, &unit, None).await.unwrap();
        assert_eq!(lab.text_of("app/conf").as_deref(), Some("theirs\n"));
        assert_eq!(lab.text_of("seen").as_deref(), Some("theirs\n"), "it is felt again");
    });
}
