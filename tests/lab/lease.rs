//! The dead-man switch: hosts that no longer hear their controller take everything back, also after a reboot.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use gitsync_lab::{Host, Spec};

use crate::plain::{self, PATIENCE, PORT, write_service};
use crate::stage::{Daemon, Stage};

/// The silence that these fleets bear.
const SILENCE: Duration = Duration::from_secs(12);
/// How much later everything has to be back.
const GRACE: Duration = Duration::from_secs(5);

fn write_fleet(stage: &Stage, dead_man: &str) {
    stage.write(
        "fleet.yaml",
        &format!(
            "version: 1\nname: stage\ndomain: test\nrollout: {{ dead_man: {dead_man} }}\n\
             health: {{ interval: 200ms, timeout: 1s, retries: 5, stable_for: 600ms }}\n"
        ),
    );
}

/// `gitsync apply` beside the scenario, which soon notices that a host does not answer.
fn begin_apply(stage: &Stage) -> Daemon {
    let mut command = stage.gitsync(&["apply", "--yes"]);
    command.env("GITSYNC_CONNECT_TIMEOUT", "2s");
    stage.begin(command, "apply.log")
}

/// A bundle whose activation runs what it brings.
fn write_network(stage: &Stage, script: &str) {
    stage.write("files/net/up", script);
    stage.write(
        "bundles/net.yaml",
        "files: files/net/\nto: { on: [h1], path: /etc/net }\nactivate: sh /etc/net/up\n",
    );
}

/// A change that cuts `h1` off: it comes back with the old rules and files, and the fleet is as it was. `is_cut` and
/// `is_whole` are shell conditions on the host.
fn cuts_itself_off(name: &'static str, old: &str, new: &str, is_cut: &str, is_whole: &str) {
    let Some(stage) = plain::stage(name, &Spec::of(2, |host| host)) else { return };
    write_fleet(&stage, "12s");
    write_network(&stage, old);
    write_service(&stage, "web", &["h2"], PORT, "");
    stage.commit("version 1");
    stage.apply();
    let before = ["h1", "h2"].map(|host| plain::truth(&stage, host));
    stage.edit("files/net/up", old, new);
    stage.edit("services/web.yaml", "VERSION: \"1\"", "VERSION: \"2\"");
    stage.commit("version 2");
    let mut apply = begin_apply(&stage);
    let host = stage.host("h1");
    let holds = |condition: &str| match host.try_sh(condition).unwrap().status.success() {
        true => Ok(()),
        false => Err(format!("not yet: {condition}")),
    };
    stage.until(PATIENCE, "the cut", || holds(is_cut));
    // The last word that it heard came before the cut, or a moment after it over what was open.
    let cut = Instant::now();
    stage.until(PATIENCE, "the old rules", || holds(is_whole));
    let took = cut.elapsed();
    assert!(took <= SILENCE + GRACE + SILENCE / 3, "it took {took:?}");
    assert_eq!(apply.ends(Duration::from_secs(120)), Some(3), "{}", apply.log());
    let told = apply.log();
    assert!(told.contains("rolled_back: ") && !told.contains("quarantined"), "{told}");
    for (host, before) in ["h1", "h2"].into_iter().zip(before) {
        before.same_content(&plain::truth(&stage, host)).unwrap();
        assert_eq!(plain::holder(&stage, host), None, "{host}");
    }
    assert_eq!(stage.version("h2", PORT), "1");
    let status = stage.run(&["status"]).exits(0);
    status.says("took back rollout stage-2: it heard nothing from its controller for 12 s");
}

#[test]
fn firewall_rule_that_shuts_the_controller_out_is_taken_back() {
    let old = "iptables -F INPUT\n";
    let new = "iptables -F INPUT\niptables -A INPUT -p tcp --dport 22 -j DROP\n";
    let rule = "iptables -S INPUT | grep -q -e '--dport 22 -j DROP'";
    cuts_itself_off("lease-firewall", old, new, rule, &format!("! {rule}"));
}

#[test]
fn wrong_address_is_taken_back() {
    let Some(address) = first_address("h1") else { return };
    let set = |address: &str| {
        format!(
            "l=$(ls /sys/class/net | grep -v '^lo$' | head -n 1)\nip addr flush dev $l\nip addr add {address} dev $l\n"
        )
    };
    let has = |address: &str| format!("ip -4 addr | grep -q 'inet {address}'");
    let (right, wrong) = (set(&address), set("192.0.2.7/24"));
    cuts_itself_off("lease-address", &right, &wrong, &has("192.0.2.7/24"), &has(&address));
}

/// The address and prefix that a host of such a lab has, which is the same in each.
fn first_address(name: &str) -> Option<String> {
    let stage = plain::stage("lease-asks", &Spec::of(1, |host| host))?;
    let shown = stage.host(name).sh("ip -4 -o addr").unwrap();
    let words: Vec<&str> = shown.split_whitespace().collect();
    let inet = words.windows(2).filter(|pair| pair[0] == "inet").map(|pair| pair[1]);
    inet.filter(|address| !address.starts_with("127.")).map(str::to_owned).next()
}

#[test]
fn sshd_that_moved_to_another_port_is_taken_back() {
    let port = |port: &str| {
        format!(
            "sed -i '/^Port /d' /etc/ssh/sshd_config\necho 'Port {port}' >>/etc/ssh/sshd_config\n\
             kill -HUP $(pgrep -o -x sshd)\n"
        )
    };
    let listens = |port: &str| format!("ss -Htln 'sport = :{port}' | grep -q LISTEN");
    cuts_itself_off("lease-sshd", &port("22"), &port("2222"), &listens("2222"), &listens("22"));
}

/// Two versions of `web` on some hosts, the second one's rollout in the middle: it runs everywhere, and a unit behind it
/// is still being probed.
fn in_the_middle(stage: &Stage, hosts: &[&str]) -> Daemon {
    write_service(stage, "web", hosts, PORT, "");
    write_service(stage, "last", &[hosts[0]], PORT + 1, "depends_on: [web]\n");
    stage.commit("version 1");
    stage.apply();
    stage.edit("services/web.yaml", "VERSION: \"1\"", "VERSION: \"2\"");
    let slow = "VERSION: \"2\", APP_HEALTH: never";
    stage.edit("services/last.yaml", "VERSION: \"1\"", slow);
    stage.edit("services/last.yaml", "port: web }\n", "port: web, start_period: 500s }\n");
    stage.commit("version 2");
    let apply = begin_apply(stage);
    let last = format!("{}/service.last: switched", hosts[0]);
    apply.wait_for(0, &last, PATIENCE);
    for host in hosts {
        assert_eq!(stage.version(host, PORT), "2");
    }
    apply
}

/// Ends a controller and everything that it left behind here: none of its connections lives on.
fn kill_controller(stage: &Stage, apply: &mut Daemon) {
    apply.signal("KILL");
    apply.ends(PATIENCE);
    let home = stage.controller().display().to_string();
    for entry in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let named = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if named.trim() == "ssh" && String::from_utf8_lossy(&environ).contains(&home) {
            let _ = Command::new("kill").args(["-KILL", &id.to_string()]).status();
        }
    }
}

#[test]
fn hosts_whose_controller_is_gone_for_good_take_everything_back_and_another_goes_on_without_its_journal()
 {
    let Some(stage) = plain::stage("lease-gone", &Spec::of(2, |host| host)) else { return };
    write_fleet(&stage, "12s");
    let hosts = ["h1", "h2"];
    let mut apply = in_the_middle(&stage, &hosts);
    kill_controller(&stage, &mut apply);
    let silent = Instant::now();
    stage.until(SILENCE + GRACE, "the old version on both hosts", || {
        match hosts.map(|host| stage.version(host, PORT)) {
            both if both == ["1", "1"] => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    assert!(silent.elapsed() <= SILENCE + GRACE, "{:?}", silent.elapsed());
    for host in hosts {
        let gone = || match plain::truth(&stage, host).pending(host).is_empty() {
            true => Ok(()),
            false => Err(format!("{host} is half-way")),
        };
        stage.until(GRACE, "nothing half-way", gone);
    }
    // The journal went with its disk: what the nodes wrote down is enough.
    std::fs::remove_dir_all(stage.controller().join("home/state")).unwrap();
    stage.run(&["status"]).exits(0).says("took back rollout stage-2").says("not heard any more");
    stage.edit("services/last.yaml", ", APP_HEALTH: never", "");
    stage.commit("version 2, mended");
    let said = stage.apply().says("converged");
    said.says("took back what rollout stage-2 had changed: it heard nothing from its controller")
        // The numbers grow without it, too.
        .says("rollout stage-3");
    for host in hosts {
        assert_eq!((stage.version(host, PORT).as_str(), plain::holder(&stage, host)), ("2", None));
    }
    stage.run(&["status"]).exits(0).never_says("took back");
}

#[test]
fn hosts_that_boot_without_a_controller_take_everything_back_whatever_their_clocks_say() {
    let spec = Spec::of(4, |host| match host.name.as_str() {
        "h1" => host.systemd(),
        "h2" => host.cron(),
        "h3" => host.poor(),
        _ => host.openrc(),
    });
    let Some(stage) = plain::stage("lease-boot", &spec) else { return };
    // Far longer than this scenario: only the boot brings it back.
    write_fleet(&stage, "2h");
    let hows =
        [("h1", "systemd"), ("h2", "cron"), ("h3", "file:/boot/config/go"), ("h4", "openrc")];
    for (host, how) in hows {
        stage.edit(&format!("nodes/{host}.yaml"), "boot: none", &format!("boot: {how}"));
    }
    stage.edit("nodes/h3.yaml", "boot: file", "root: \"/data/git sync\"\nboot: file");
    stage.host("h3").write("/boot/config/go", "#!/bin/sh\n# what others do here\n").unwrap();
    let hosts = ["h1", "h2", "h3", "h4"];
    let mut apply = in_the_middle(&stage, &hosts);
    kill_controller(&stage, &mut apply);
    for host in hosts {
        let host = stage.host(host);
        host.power_off();
        // A day back, for whatever asks with the first `date` of the PATH.
        let early = "#!/bin/sh\nexec /bin/date -d @1000000000 \"$@\"\n";
        let date = host.disk("usr/local/sbin/date");
        std::fs::create_dir_all(date.parent().unwrap()).unwrap();
        std::fs::write(&date, early).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&date, mode).unwrap();
    }
    for host in hosts {
        stage.host(host).power_on().unwrap();
    }
    for host in hosts {
        stage.until(PATIENCE, "the old version", || match stage.version(host, PORT) {
            one if one == "1" => Ok(()),
            other => Err(format!("{host}: {other}")),
        });
        stage.until(PATIENCE, "the host's word for it", || {
            let record = record(stage.host(host));
            match record.contains("it booted in the middle of the rollout") {
                true => Ok(()),
                false => Err(format!("{host}: {record}")),
            }
        });
    }
    assert_eq!(stage.version("h1", PORT + 1), "1");
}

fn record(host: &Host) -> String {
    let find = "cat /var/lib/gitsync/fleets/stage/record '/data/git sync/fleets/stage/record' 2>/dev/null; :";
    host.sh(find).unwrap()
}

#[test]
fn sshd_that_restarts_and_can_be_reached_is_confirmed_over_another_port() {
    let Some(stage) = plain::stage("lease-restart", &Spec::of(1, |host| host)) else { return };
    write_fleet(&stage, "12s");
    write_network(&stage, "kill -HUP $(pgrep -o -x sshd) # 1\n");
    stage.commit("version 1");
    stage.apply();
    let seen = || -> BTreeSet<String> {
        let log = stage.host("h1").read("/var/log/sshd.log").unwrap();
        let accepted = log.lines().filter(|line| line.starts_with("Accepted publickey"));
        accepted
            .filter_map(|line| line.split(" port ").nth(1)?.split(' ').next())
            .map(str::to_owned)
            .collect()
    };
    let before = seen();
    stage.edit("files/net/up", "# 1", "# 2");
    stage.commit("version 2");
    stage.apply().says("converged").says("h1: confirmed");
    let ports = seen().difference(&before).count();
    // Asked and changed over one, found standing over another, told the decision over a third.
    assert!(ports >= 3, "{ports} connections");
    assert_eq!(
        stage.host("h1").read("/etc/net/up").unwrap(),
        "kill -HUP $(pgrep -o -x sshd) # 2\n"
    );
}
