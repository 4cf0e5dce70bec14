//! A lab's hosts are hosts: own addresses, files, processes, engines; and nothing of a lab is left behind.

mod support;

use std::fs;
use std::time::Duration;

use gitsync_lab::{Host, Init, Lab, Mount, Spec, Way, wait};
use support::lab;

/// What a user's ssh from the controller's place says.
fn ssh(lab: &Lab, host: &Host, script: &str) -> Result<String, String> {
    let key = host.host_key().unwrap();
    let known = lab.place().join("known");
    fs::write(&known, format!("{} {key}\n", host.name())).unwrap();
    let mut command = lab.command("ssh", "/".as_ref());
    command.arg("-i").arg(lab.identity()).args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=2"]);
    command.arg("-o").arg(format!("UserKnownHostsFile={}", known.display()));
    let output = command.arg(format!("deploy@{}", host.name())).arg(script).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let out = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() { Ok(out) } else { Err(error) }
}

#[test]
fn each_host_has_its_own_address_name_files_and_processes() {
    let Some(lab) = lab(&Spec::of(3, |host| host)) else { return };
    for host in lab.hosts() {
        assert_eq!(ssh(&lab, host, "hostname").unwrap(), host.name());
        assert_eq!(ssh(&lab, host, "sudo -n id -u").unwrap(), "0");
        assert_eq!(host.sh("echo $$ >/own; cat /etc/hostname").unwrap(), host.name());
        let addresses = host.sh("ip -4 -o address show eth0").unwrap();
        assert!(addresses.contains(&host.address().to_string()), "{addresses}");
        assert!(host.sh("ps -e | wc -l").unwrap().parse::<u32>().unwrap() < 12);
    }
    let [first, second, _] = lab.hosts() else { unreachable!() };
    first.sh("echo one >/only").unwrap();
    assert!(!second.has("/only"));
    let boots: Vec<String> = lab
        .hosts()
        .iter()
        .map(|host| host.read("/proc/sys/kernel/random/boot_id").unwrap())
        .collect();
    assert!(boots[0] != boots[1] && boots[1] != boots[2]);
}

#[test]
fn nothing_is_left_of_a_lab_and_two_at_once_do_not_meet() {
    let spec = Spec::of(2, |host| host.docker());
    let Some(mut one) = lab(&spec) else { return };
    let two = lab(&spec).unwrap();
    one.host("h1").write("/mine", "one").unwrap();
    assert!(!two.host("h1").has("/mine"));
    let place = one.place().to_owned();
    let process = one.hosts()[0].process().unwrap();
    one.down().unwrap();
    one.down().unwrap();
    assert!(!process.lives() && !place.exists());
    assert_eq!(traces(&place), Vec::<String>::new());
    assert_eq!(ssh(&two, two.host("h2"), "hostname").unwrap(), "h2");
}

/// Mounts and control groups that name a place.
fn traces(place: &std::path::Path) -> Vec<String> {
    let id = place.file_name().unwrap().to_string_lossy().into_owned();
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let mounts = mounts.lines().filter(|line| line.contains(&id)).map(str::to_owned);
    let groups = fs::read_dir("/sys/fs/cgroup")
        .unwrap()
        .flatten()
        .flat_map(|hierarchy| fs::read_dir(hierarchy.path()).into_iter().flatten().flatten());
    let groups = groups.map(|group| group.path().display().to_string());
    mounts.chain(groups.filter(|group| group.contains(&id))).collect()
}

#[test]
fn a_lab_goes_with_the_process_that_holds_it() {
    let Some(lab) = lab(&Spec::of(1, |host| host)) else { return };
    let place = lab.place().to_owned();
    let process = lab.process();
    // As a kill would: nobody tears anything down, the pipe closes.
    lab.let_go();
    wait("end of the lab", Duration::from_secs(10), || (!process.lives()).then_some(())).unwrap();
    let next = Lab::start(&Spec::of(0, |host| host)).unwrap();
    assert!(!place.exists(), "the next lab sweeps up");
    drop(next);
}

#[test]
fn a_reboot_empties_memory_and_keeps_the_disk() {
    let shape = |host: gitsync_lab::HostSpec| {
        host.mount(Mount::Disk("/data".to_owned(), 8)).mount(Mount::Memory("/memory".to_owned()))
    };
    let Some(lab) = lab(&Spec::of(1, shape)) else { return };
    let host = lab.host("h1");
    host.sh("for f in /root/f /data/f /memory/f /run/f; do echo x >$f; done; sync").unwrap();
    let boot = host.read("/proc/sys/kernel/random/boot_id").unwrap();
    host.reboot().unwrap();
    let left = ["/root/f", "/data/f", "/memory/f", "/run/f"].map(|path| host.has(path));
    assert_eq!(left, [true, true, false, false]);
    assert_ne!(host.read("/proc/sys/kernel/random/boot_id").unwrap(), boot);
    host.fill("/data", 4).unwrap();
    assert!(host.sh("head -c 100000 /dev/zero >/data/more && sync").is_err(), "the disk is full");
    host.drain("/data").unwrap();
    host.sh("head -c 100000 /dev/zero >/data/more && sync").unwrap();
}

#[test]
fn links_and_hosts_fail_as_they_are_told_and_come_back() {
    let Some(lab) = lab(&Spec::of(2, |host| host)) else { return };
    let (one, two) = (lab.host("h1"), lab.host("h2"));
    let pings = |from: &Host, to: &Host| {
        from.try_sh(&format!("ping -c 1 -W 1 {}", to.address())).unwrap().status.success()
    };
    assert!(pings(one, two) && pings(two, one));
    two.cut().unwrap();
    assert!(!pings(one, two) && ssh(&lab, two, "true").is_err());
    assert!(two.sh("ip link show eth0").unwrap().contains("LOWER_UP"), "it does not notice");
    two.mend().unwrap();
    assert!(pings(one, two));
    two.link_down().unwrap();
    assert!(!two.sh("ip link show eth0").unwrap().contains("LOWER_UP"), "it notices");
    two.link_up().unwrap();
    wait("link", Duration::from_secs(5), || pings(one, two).then_some(())).unwrap();
    two.one_way(Way::Deaf, one.address()).unwrap();
    assert!(!pings(one, two) && ssh(&lab, two, "true").is_ok(), "only one peer is cut");
    two.both_ways(Way::Deaf, one.address()).unwrap();
    two.freeze().unwrap();
    assert!(pings(one, two), "the kernel answers");
    assert!(ssh(&lab, two, "true").is_err(), "sshd does not");
    two.thaw().unwrap();
    assert!(ssh(&lab, two, "true").is_ok());
    two.hang_sshd().unwrap();
    assert!(ssh(&lab, two, "true").unwrap_err().contains("timed out"));
    two.wake_sshd().unwrap();
    two.power_off();
    assert!(!pings(one, two) && !two.is_on());
    two.power_on().unwrap();
    assert!(ssh(&lab, two, "true").is_ok());
    let key = two.host_key().unwrap();
    two.change_host_key().unwrap();
    assert_ne!(two.host_key().unwrap(), key);
    assert_eq!(ssh(&lab, two, "hostname").unwrap(), "h2", "with its new key");
}

#[test]
fn a_slow_line_is_slow() {
    let Some(lab) = lab(&Spec::of(1, |host| host)) else { return };
    let host = lab.host("h1");
    let upload = || {
        let begin = std::time::Instant::now();
        let mut command = lab.command("sh", "/".as_ref());
        let script = "head -c 200000 /dev/zero | ssh -i \"$0\" -o StrictHostKeyChecking=no \
                      -o UserKnownHostsFile=/dev/null deploy@h1 'cat >/dev/null'";
        let sent = command.args(["-c", script]).arg(lab.identity()).output().unwrap();
        assert!(sent.status.success(), "{sent:?}");
        begin.elapsed()
    };
    host.slow(Some(800)).unwrap();
    let slow = upload();
    host.slow(None).unwrap();
    let quick = upload();
    assert!(slow > quick + Duration::from_secs(1), "{slow:?} against {quick:?}");
}

#[test]
fn an_engine_runs_containers_and_brings_them_back_after_a_power_cut() {
    let Some(lab) = lab(&Spec::of(1, |host| host.docker())) else { return };
    let host = lab.host("h1");
    host.sh(
        "mkdir -p /tmp/i/bin && cp /bin/busybox /tmp/i/bin/ && ln -s busybox /tmp/i/bin/sh && cd /tmp/i && tar -c . | docker import - app:1 && \
         docker run -d --name app --restart always -p 8080:80 app:1 /bin/sh -c 'mkdir /w; echo hi >/w/index.html; \
         exec busybox httpd -f -p 80 -h /w'",
    )
    .unwrap();
    let says = || lab.inside(|| get(&format!("{}:8080", host.address())));
    wait("answer", Duration::from_secs(10), || says().filter(|text| text.ends_with("hi\n")))
        .unwrap();
    host.reboot().unwrap();
    wait("answer", Duration::from_secs(20), || says().filter(|text| text.ends_with("hi\n")))
        .unwrap();
}

fn get(address: &str) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

#[test]
fn systemd_hosts_run_services_and_an_engine() {
    let Some(lab) = lab(&Spec::of(1, |host| host.systemd().docker())) else { return };
    let host = lab.host("h1");
    assert_eq!(host_spec(&lab).init, Init::Systemd);
    wait("state", Duration::from_secs(30), || {
        let state = host.try_sh("systemctl is-system-running").unwrap();
        let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
        ["running", "degraded"].contains(&state.as_str()).then_some(())
    })
    .unwrap();
    let failed = host.sh("systemctl --failed --no-legend").unwrap();
    assert_eq!(failed, "", "no unit fails");
    host.sh("systemctl start docker caddy && docker info >/dev/null && systemctl is-active caddy")
        .unwrap();
    assert_eq!(ssh(&lab, host, "sudo -n systemctl is-active docker").unwrap(), "active");
}

fn host_spec(lab: &Lab) -> &gitsync_lab::HostSpec {
    &lab.spec().hosts[0]
}

#[test]
fn a_poor_host_has_what_a_node_needs_and_nothing_more() {
    let Some(lab) = lab(&Spec::of(1, |host| host.poor())) else { return };
    let host = lab.host("h1");
    assert_eq!(ssh(&lab, host, "sudo -n id -u").unwrap(), "0");
    // Busybox' own shell knows more applets than there are programs: what counts is what lies on the PATH.
    let there = "for p in curl wget systemctl docker bash python3 nc ps flock; do for d in bin sbin usr/bin \
                 usr/sbin usr/local/bin; do if [ -e /$d/$p ]; then echo $p; fi; done; done";
    assert_eq!(ssh(&lab, host, there).unwrap(), "");
    let works = "echo x | sha256sum | cut -c 1-4; tar --help 2>&1 | head -n 1 | cut -c 1-7";
    assert_eq!(ssh(&lab, host, works).unwrap(), "73cb\nBusyBox");
}
