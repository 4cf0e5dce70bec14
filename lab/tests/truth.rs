//! Two truths differ by exactly what was done in between, and evidence comes from hosts in any state.

mod support;

use std::fs;
use std::time::{Duration, Instant};

use gitsync_lab::{Host, HostSpec, Lab, Mount, Spec, Truth, evidence, wait};
use support::lab;

/// An image of a shell, under a name; another text is another image.
fn image(host: &Host, name: &str, text: &str) {
    let script = format!(
        "rm -rf /tmp/i; mkdir -p /tmp/i/bin && cp /bin/busybox /tmp/i/bin/ && ln -s busybox /tmp/i/bin/sh && \
         echo {text} >/tmp/i/text && cd /tmp/i && tar -c . | docker import - {name}"
    );
    host.sh(&script).unwrap();
}

fn run(host: &Host, name: &str, image: &str) {
    host.sh(&format!(
        "docker run -d --init --name {name} --restart always -v data:/data {image} /bin/sh -c \
         'echo says $(cat /text); exec busybox sleep 100000'"
    ))
    .unwrap();
}

/// What is done to a host moves one line of the strict comparison, and that line says it.
#[track_caller]
fn moves(lab: &Lab, script: &str, line: &str) {
    let before = Truth::of(lab).unwrap();
    lab.host("h1").sh(script).unwrap();
    let said = before.same_content(&Truth::of(lab).unwrap()).unwrap_err();
    assert!(said.lines().count() == 1 && said.starts_with("h1: ") && said.contains(line), "{said}");
    before.same(&Truth::of(lab).unwrap()).unwrap_err();
}

/// What is done to a host leaves its contents, but isn't nothing.
#[track_caller]
fn touches(lab: &Lab, script: &str, line: &str) {
    let before = Truth::of(lab).unwrap();
    lab.host("h1").sh(script).unwrap();
    let after = Truth::of(lab).unwrap();
    before.same_content(&after).unwrap();
    let said = before.same(&after).unwrap_err();
    assert!(said.lines().any(|said| said.contains(line)), "{said}");
    before.only_host("h2").same(&after.only_host("h2")).unwrap();
}

#[test]
fn every_kind_of_change_of_a_file_is_told_and_nothing_else() {
    let Some(lab) = lab(&Spec::of(2, |host| host)) else { return };
    let host = lab.host("h1");
    host.sh("mkdir /srv/a && for f in one two three; do echo $f >/srv/a/$f; done; ln -s one /srv/a/link").unwrap();
    let calm = Truth::of(&lab).unwrap();
    calm.same(&Truth::of(&lab).unwrap()).unwrap();
    assert!(calm.files_of("h1").contains(&"/srv/a/one"), "{calm}");
    moves(
        &lab,
        "printf O | dd of=/srv/a/one conv=notrunc 2>/dev/null",
        "/srv/a/one: file 0644 0:0",
    );
    moves(&lab, "chmod 600 /srv/a/two", "/srv/a/two: file 0644 0:0 27dd8ed44a83");
    moves(&lab, "chown 7:8 /srv/a/two", "→ file 0600 7:8");
    moves(&lab, "ln -sfn two /srv/a/link", "/srv/a/link: link 0777 0:0 one → link 0777 0:0 two");
    moves(&lab, "rm /srv/a/link", "/srv/a/link: link 0777 0:0 two → absent");
    moves(&lab, "chmod 700 /srv/a", "/srv/a: directory 0755 0:0 → directory 0700 0:0");
    touches(
        &lab,
        "touch -d '2001-02-03 04:05:06' /srv/a/three",
        "h1: /srv/a/three: same content, last written at",
    );
    touches(
        &lab,
        "cd /srv/a && cp -p three new && mv new three",
        "/srv/a/three: same content, inode",
    );
    touches(
        &lab,
        "echo >/srv/a/left && rm /srv/a/left",
        "h1: /srv/a: same content, last written at",
    );
    let put_back = "printf o | dd of=/srv/a/one conv=notrunc 2>/dev/null; chmod 644 /srv/a/two; \
                    chown 0:0 /srv/a/two; ln -s one /srv/a/link; chmod 755 /srv/a";
    host.sh(put_back).unwrap();
    calm.same_content(&Truth::of(&lab).unwrap()).unwrap();
    host.sh("for n in $(busybox seq 60); do echo x >/srv/a/$n; done").unwrap();
    let after = Truth::of(&lab).unwrap();
    let said = calm.same_content(&after).unwrap_err();
    assert!(said.lines().count() == 40 && said.ends_with("and 21 more"), "{said}");
    calm.without(&["/srv/a"]).same(&after.without(&["/srv/a"])).unwrap();
    host.sh("rm -r /srv/a").unwrap();
    calm.without(&["/srv/a"]).same(&Truth::of(&lab).unwrap().without(&["/srv/a"])).unwrap();
}

#[test]
fn what_the_host_was_built_with_counts_as_put_back_when_it_is_there_again() {
    let Some(lab) = lab(&Spec::of(2, |host| host)) else { return };
    let host = lab.host("h1");
    let new = Truth::of(&lab).unwrap();
    let was = host.read("/etc/haproxy/haproxy.cfg").unwrap();
    moves(&lab, "rm /etc/haproxy/haproxy.cfg", "/etc/haproxy/haproxy.cfg: as built → deleted");
    assert!(new.file("h1", "/etc/haproxy/haproxy.cfg").is_none());
    host.write("/etc/haproxy/haproxy.cfg", was).unwrap();
    new.same_content(&Truth::of(&lab).unwrap()).unwrap();
    let said = new.same(&Truth::of(&lab).unwrap()).unwrap_err();
    assert!(said.contains("/etc/haproxy/haproxy.cfg: as built, but was written to"), "{said}");
    host.sh("rm -r /etc/haproxy && mkdir /etc/haproxy").unwrap();
    let said = new.same_content(&Truth::of(&lab).unwrap()).unwrap_err();
    assert!(
        said.contains("/etc/haproxy/haproxy.cfg: as built → deleted"),
        "a directory made anew: {said}"
    );
}

#[test]
fn units_of_gitsync_are_told_by_their_digests() {
    let Some(lab) = lab(&Spec::of(2, |host| host)) else { return };
    let host = lab.host("h1");
    let none = Truth::of(&lab).unwrap();
    let unit = "/var/lib/gitsync/fleets/home/units/service.web";
    host.write(&format!("{unit}/node.env"), "").unwrap();
    none.same(&Truth::of(&lab).unwrap()).unwrap();
    moves(&lab, &format!("echo aaaa >{unit}/current"), &format!("unit {unit}: nothing → aaaa"));
    moves(&lab, &format!("echo x >{unit}/pending"), "aaaa → aaaa, a change pending");
    assert_eq!(Truth::of_host(host).unwrap().pending("h1"), [unit]);
    let elsewhere = Truth::with_state(lab.hosts(), &["/srv/state"]).unwrap();
    assert!(
        elsewhere.files_of("h1").contains(&format!("{unit}/current").as_str()),
        "then they are files"
    );
}

#[test]
fn containers_and_volumes_are_told_and_a_restart_is_not_nothing() {
    let Some(lab) = lab(&Spec::of(3, |host| host.docker())) else { return };
    let host = lab.host("h1");
    image(host, "app:1", "one");
    run(host, "app", "app:1");
    let before = Truth::of(&lab).unwrap();
    let begin = Instant::now();
    before.same(&Truth::of(&lab).unwrap()).unwrap();
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    touches(&lab, "docker restart -t 2 app", "container app: started");
    let again = "docker rm -f app >/dev/null";
    let before_again = Truth::of(&lab).unwrap();
    host.sh(again).unwrap();
    let said = before_again.same_content(&Truth::of(&lab).unwrap()).unwrap_err();
    assert!(
        said.ends_with("→ absent") && said.starts_with("h1: container app: running sha256:"),
        "{said}"
    );
    run(host, "app", "app:1");
    before_again.same_content(&Truth::of(&lab).unwrap()).unwrap();
    let said = before_again.same(&Truth::of(&lab).unwrap()).unwrap_err();
    assert!(said.contains("container app: id "), "{said}");
    moves(
        &lab,
        "docker exec app busybox sh -c 'echo x >/data/x'",
        "/var/lib/docker/volumes/data/_data/x: absent → file",
    );
    moves(&lab, "docker stop -t 1 app", "container app: running");
    host.sh(again).unwrap();
    image(host, "app:1", "two");
    run(host, "app", "app:1");
    let said = before
        .without(&["/var/lib/docker/volumes"])
        .same_content(&Truth::of(&lab).unwrap().without(&["/var/lib/docker/volumes"]))
        .unwrap_err();
    assert!(
        said.lines().count() == 1 && said.starts_with("h1: container app: running sha256:"),
        "{said}"
    );
    let engine = host.sh("cat /var/run/docker.pid").unwrap();
    host.sh(&format!("kill {engine}; while [ -e /proc/{engine} ]; do sleep 0.1; done")).unwrap();
    let said = before.same(&Truth::of(&lab).unwrap()).unwrap_err();
    assert!(said.contains("h1: engine up → down"), "{said}");
}

#[test]
fn a_power_cycle_changes_no_content_and_a_host_that_is_off_still_has_its_disk() {
    let shape = |host: HostSpec| {
        host.docker().mount(Mount::Disk("/own".into(), 8)).mount(Mount::Memory("/memory".into()))
    };
    let Some(lab) = lab(&Spec::of(2, shape)) else { return };
    let host = lab.host("h1");
    image(host, "app:1", "one");
    run(host, "app", "app:1");
    host.sh("echo x >/own/x; echo x >/memory/x; echo x >/srv/x; sync").unwrap();
    let on = Truth::of(&lab).unwrap();
    host.power_off();
    let off = Truth::of(&lab).unwrap();
    assert!(on.same_content(&off).unwrap_err().contains("h1: power on → off"));
    on.only_disk().same(&off.only_disk()).unwrap();
    host.power_on().unwrap();
    let back = || Truth::of(&lab).unwrap();
    let said = || on.same_content(&back()).unwrap_err();
    wait("container", Duration::from_secs(20), || (said().lines().count() == 1).then_some(()))
        .unwrap();
    assert!(
        said().starts_with("h1: /memory/x: file") && said().ends_with("→ absent"),
        "{}",
        said()
    );
    on.without(&["/memory"]).same_content(&back().without(&["/memory"])).unwrap();
    assert!(on.same(&back()).unwrap_err().contains("container app: started"));
    on.only_host("h2").same(&back().only_host("h2")).unwrap();
    host.sh("echo y >/own/x").unwrap();
    assert!(said().contains("h1: /own/x: file"), "{}", said());
    host.freeze().unwrap();
    assert!(said().contains("h1: power on → frozen"), "{}", said());
    host.thaw().unwrap();
}

#[test]
fn a_login_with_sudo_is_no_change_on_any_kind_of_host() {
    let mut spec = Spec::of(3, |host| host);
    spec.hosts[1] = spec.hosts[1].clone().poor();
    spec.hosts[2] = spec.hosts[2].clone().systemd();
    let Some(lab) = lab(&spec) else { return };
    let login = |host: &Host| {
        let mut command = lab.command("ssh", "/".as_ref());
        command.arg("-i").arg(lab.identity()).args(["-o", "BatchMode=yes"]);
        command.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
        command.arg(format!("deploy@{}", host.name())).arg("sudo -n id -u");
        let output = command.output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let settled = || lab.host("h3").try_sh("systemctl is-system-running --wait").is_ok();
    wait("settled system", Duration::from_secs(30), || settled().then_some(())).unwrap();
    let before = Truth::of(&lab).unwrap();
    for host in lab.hosts() {
        wait("login", Duration::from_secs(10), || (login(host) == "0").then_some(())).unwrap();
    }
    before.same(&Truth::of(&lab).unwrap()).unwrap();
    let text = before.to_string();
    assert_eq!(text, Truth::of(&lab).unwrap().to_string(), "equal truths are equal texts");
    let mut lines: Vec<&str> = text.lines().filter(|line| line.contains(" path ")).collect();
    let told = lines.clone();
    lines.sort_by_key(|line| line.split_once(':').map(|(path, _)| path));
    assert_eq!(lines, told, "in order");
    let place = tempfile::tempdir().unwrap();
    evidence::save(&lab, place.path()).unwrap();
    let processes = fs::read_to_string(place.path().join("h2/processes.txt")).unwrap();
    assert!(processes.contains("sshd"), "also where there is no ps: {processes}");
}

#[test]
fn systemd_hosts_at_rest_do_not_change() {
    let Some(lab) = lab(&Spec::of(1, |host| host.systemd().docker())) else { return };
    let host = lab.host("h1");
    let settled =
        || host.try_sh("systemctl is-system-running").is_ok_and(|output| output.status.success());
    wait("settled system", Duration::from_secs(30), || settled().then_some(())).unwrap();
    let before = Truth::of(&lab).unwrap();
    host.sh("systemctl start docker caddy && systemctl reload caddy && docker info").unwrap();
    let said = before.same_content(&Truth::of(&lab).unwrap()).unwrap_err();
    assert_eq!(said, "h1: engine down → up");
    evidence::save(&lab, &lab.place().join("evidence")).unwrap();
    let journal = fs::read_to_string(lab.place().join("evidence/h1/journal.txt")).unwrap();
    assert!(journal.contains("docker"), "{journal}");
}

#[test]
fn evidence_comes_from_hosts_that_are_on_frozen_or_off() {
    let Some(lab) = lab(&Spec::of(3, |host| host.docker())) else { return };
    for host in lab.hosts() {
        image(host, "app:1", "one");
        run(host, "app", "app:1");
        let unit = "/var/lib/gitsync/fleets/home/units/service.web";
        host.write(&format!("{unit}/pending"), "rollout r1\n").unwrap();
        host.write(&format!("{unit}/log"), "the program said this\n").unwrap();
        host.write(&format!("{unit}/node.env"), "SECRET=hidden\n").unwrap();
        let log = || {
            Truth::of_host(host)
                .is_ok_and(|truth| truth.to_string().contains("container app: running"))
        };
        wait("container", Duration::from_secs(10), || log().then_some(())).unwrap();
        wait("its words", Duration::from_secs(10), || {
            host.sh("docker logs app").is_ok_and(|text| text.contains("says one")).then_some(())
        })
        .unwrap();
    }
    lab.host("h2").freeze().unwrap();
    lab.host("h3").sh("sync").unwrap();
    lab.host("h3").power_off();
    let place = tempfile::tempdir().unwrap();
    let begin = Instant::now();
    evidence::save(&lab, place.path()).unwrap();
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
    lab.host("h2").thaw().unwrap();
    let read = |name: &str| fs::read_to_string(place.path().join(name)).unwrap();
    for (host, power) in [("h1", "on"), ("h2", "frozen"), ("h3", "off")] {
        assert!(read(&format!("{host}/host.txt")).starts_with(&format!("{host} is {power}\n")));
        assert!(read(&format!("{host}/containers.txt")).contains("Z says one\n"), "{host}");
        let state = read(&format!("{host}/gitsync.txt"));
        assert!(state.contains("service.web/pending (11 bytes)\n    rollout r1\n"), "{state}");
        assert!(state.contains("node.env") && !state.contains("hidden"), "{state}");
        assert!(read(&format!("{host}/unit-logs.txt")).contains("the program said this"));
        assert!(read(&format!("{host}/sshd.log")).contains("Server listening"));
        assert!(read(&format!("{host}/dockerd.log")).contains("API listen on"));
    }
    for (host, address) in [("h1", "10.77.0.1/24"), ("h2", "10.77.0.2/24")] {
        assert!(read(&format!("{host}/network.txt")).contains(address));
        let processes = read(&format!("{host}/processes.txt"));
        assert!(processes.contains("dockerd"), "{processes}");
    }
    assert_eq!(read("h3/processes.txt"), "(h3 is off)\n");
}

#[test]
fn an_engine_that_hangs_holds_nothing_up() {
    let Some(lab) = lab(&Spec::of(1, |host| host.docker())) else { return };
    let host = lab.host("h1");
    let engine = host.sh("cat /var/run/docker.pid").unwrap();
    host.sh(&format!("kill -STOP {engine}")).unwrap();
    let place = tempfile::tempdir().unwrap();
    evidence::save(&lab, place.path()).unwrap();
    let containers = fs::read_to_string(place.path().join("h1/containers.txt")).unwrap();
    assert!(containers.contains("docker ps -a --no-trunc` within 5 s"), "{containers}");
    let left = host.sh("/lab/busybox ps").unwrap();
    assert!(!left.contains("docker ps"), "what was asked is ended: {left}");
    assert!(Truth::of(&lab).unwrap_err().to_string().contains("within 10 s"));
}
