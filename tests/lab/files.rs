//! Changed files: what a running program makes of them, and what becomes of those that it can't take.

use gitsync_lab::{HostSpec, Spec, Truth};

use crate::changes::{GATEWAY, exposed, process};
use crate::stage::Stage;

/// Something else on a host that has a port.
fn occupy(stage: &Stage, host: &str, port: u16) {
    stage.host(host).sh(&format!("/lab/busybox httpd -p {port} -h /srv")).unwrap();
}

/// A changed Caddyfile that validates and can't be loaded: all is put back, and nobody notices.
#[track_caller]
fn cannot_bind(stage: &Stage, gateway: &str, listen: &str) {
    let file = format!("gateways/{gateway}.yaml");
    let before = Truth::of(&stage.lab).unwrap();
    stage.edit(&file, "http: 80 ", listen);
    stage.commit("a port that is taken");
    stage.run(&["apply", "--yes"]).exits(3).says("rolled_back: ");
    before.same_content(&Truth::of(&stage.lab).unwrap()).unwrap();
    stage.run(&["apply", "--yes"]).exits(1).says("quarantined");
    stage.edit(&file, listen, "http: 80 ");
    stage.commit("back");
    stage.run(&["apply", "--yes"]).exits(0).says("0 to create, 0 to change, 0 to remove");
}

#[test]
fn a_caddyfile_that_cannot_bind_its_port_is_put_back_while_the_old_one_serves() {
    let hosts = |host: HostSpec| if host.name == "h2" { host.systemd() } else { host };
    let Some(stage) = Stage::new("files-bind", &Spec::of(2, hosts)) else { return };
    stage.quick();
    stage.put_app(&["h1"]);
    stage.write("services/web.yaml", &exposed("web", process("h1", "1", 9000)));
    stage.write("gateways/edge.yaml", GATEWAY);
    let systemd = GATEWAY.replace("[h1]", "[h2]").replace("command", "systemd");
    stage.write("gateways/front.yaml", &systemd);
    stage.commit("two gateways");
    stage.apply();
    let [edge, front] = ["h1", "h2"].map(|host| stage.target(host, 80, "web.test"));
    let users = [edge, front].map(|target| stage.users(target, 20));
    occupy(&stage, "h1", 8888);
    cannot_bind(&stage, "edge", "http: 8888 ");
    occupy(&stage, "h2", 8888);
    cannot_bind(&stage, "front", "http: 8888 ");
    for one in users {
        one.stop().assert_flawless_over_reloads(1);
    }
    let caddies = || stage.host("h1").sh("pidof caddy").unwrap();
    let before = caddies();
    stage.edit("gateways/edge.yaml", "http: 80 ", "http: 8889 ");
    stage.commit("a port that is free");
    stage.apply();
    assert_eq!(stage.text(&stage.target("h1", 8889, "web.test"), "/"), "1");
    assert_eq!(caddies(), before, "it was to be reloaded");
}

/// Two containers of one brought file, of which one mounts a single file.
const PAIR: &str = "services:
  reader:
    image: app:1
    ports: [\"8081:80\"]
    environment: { APP_FILES: /etc/app.conf }
    volumes: [\"./app.conf:/etc/app.conf:ro\"]
    stop_grace_period: 2s
  beside:
    image: app:1
    ports: [\"8082:80\"]
    stop_grace_period: 2s
";

/// A service of an image that mounts something of its own folder at `/etc/app`, and reads a file there at its start.
fn mounts(port: u16, source: &str, read: &str) -> String {
    format!(
        "image: app:1\nplacement: {{ on: [h1] }}\nports: {{ http: \"{port}:80\" }}\n\
         health: {{ http: /, port: http }}\nenv: {{ APP_FILES: {read} }}\n\
         volumes: [\"{source}:/etc/app:ro\"]\nstop_grace: 2s\n"
    )
}

#[test]
fn a_container_reads_the_changed_file_that_it_mounts_and_others_are_left_alone() {
    let Some(stage) = Stage::new("files-mounts", &Spec::of(1, HostSpec::docker)) else { return };
    stage.quick();
    let images = ["1", "2"].map(|version| stage.app.image(version));
    stage.load_images(&["h1"], &[("app:1", &images[0]), ("app:2", &images[1])]);
    stage.write("services/pair/compose.yaml", PAIR);
    stage.write("services/pair/app.conf", "one\n");
    stage.write(
        "services/pair/service.yaml",
        "compose: compose.yaml\nplacement: { on: [h1] }\nhealth: { http: /, port: 80, service: reader }\n",
    );
    stage.write("services/single/service.yaml", &mounts(8083, "./conf/app.conf", "/etc/app"));
    stage.write("services/single/conf/app.conf", "one\n");
    stage.write("services/folder/service.yaml", &mounts(8084, "./conf", "/etc/app/app.conf"));
    stage.write("services/folder/conf/app.conf", "one\n");
    stage.write("services/shared.yaml", &mounts(8085, "/srv/shared", "/etc/app/app.conf"));
    stage.write("files/shared/app.conf", "one\n");
    stage.write(
        "bundles/shared.yaml",
        "files: files/shared/\nto: { on: [h1], path: /srv/shared }\nactivate: \":\"\n",
    );
    stage.commit("files in containers");
    stage.apply();
    let places = [
        ("pair", "reader", 8081, "/etc/app.conf", "services/pair/app.conf"),
        ("single", "single", 8083, "/etc/app", "services/single/conf/app.conf"),
        ("folder", "folder", 8084, "/etc/app/app.conf", "services/folder/conf/app.conf"),
        ("shared", "shared", 8085, "/etc/app/app.conf", "files/shared/app.conf"),
    ];
    let read = |port, path: &str, way: &str| {
        stage.text(&stage.target("h1", port, "app"), &format!("{way}?path={path}"))
    };
    let all = || {
        let beside = stage.container("h1", "pair", "beside");
        let others = places.iter().map(|place| stage.container("h1", place.0, place.1));
        others.chain([beside]).collect::<Vec<_>>()
    };
    for changed in [[0, 2], [1, 3]] {
        let before = all();
        changed.iter().for_each(|place| stage.write(places[*place].4, "two\n"));
        stage.commit("two");
        stage.apply();
        for (_, _, port, path, file) in changed.map(|place| places[place]) {
            assert_eq!(read(port, path, "/read"), "two\n", "{file}");
            assert_eq!(read(port, path, "/read-at-start"), "two\n", "{file}");
        }
        for (number, (was, is)) in before.iter().zip(&all()).enumerate() {
            assert_eq!(was != is, changed.contains(&number), "container {number} of {before:?}");
        }
    }
    // The other way round: its neighbour changes, and what mounts the file is left alone.
    let before = all();
    stage.edit(
        "services/pair/compose.yaml",
        "  beside:\n    image: app:1",
        "  beside:\n    image: app:2",
    );
    stage.commit("beside 2");
    stage.apply();
    assert_eq!(stage.version("h1", 8082), "2");
    assert_eq!(before[..4], all()[..4], "only its neighbour changed");
    // Written to by hand, in place: the next change brings the right content back into the container, too.
    stage.host("h1").sh("echo three >>/opt/stacks/pair/app.conf").unwrap();
    assert_eq!(read(8081, "/etc/app.conf", "/read"), "two\nthree\n");
    stage.edit("services/pair/compose.yaml", "image: app:2", "image: app:1");
    stage.commit("beside 1");
    stage.apply();
    assert_eq!(read(8081, "/etc/app.conf", "/read"), "two\n");
}

/// What the gateway's image is: Caddy with a shell and a program that asks it, as the official one.
const IMPORT: &str = "set -e
mkdir -p /tmp/image/bin /tmp/image/usr/bin /tmp/image/etc/caddy /tmp/image/tmp
cp /usr/bin/caddy /tmp/image/usr/bin/
cp /lab/busybox /tmp/image/bin/
for name in sh grep; do ln -s busybox /tmp/image/bin/$name; done
for file in /usr/bin/curl $(ldd /usr/bin/curl | grep -o '/[^ ]*'); do cp -L --parents $file /tmp/image; done
tar -C /tmp/image -c . | docker import -c 'ENV PATH=/usr/bin:/bin' -c 'ENV XDG_CONFIG_HOME=/config' \
    -c 'ENV XDG_DATA_HOME=/data' - caddy:2.10.2 >/dev/null
rm -r /tmp/image";

#[test]
fn a_gateway_in_a_container_loads_a_changed_file_without_being_made_anew() {
    let Some(stage) = Stage::new("files-gateway", &Spec::of(1, HostSpec::docker)) else { return };
    stage.quick();
    stage.put_app(&["h1"]);
    stage.host("h1").feed("sh", &["-s"], IMPORT.as_bytes()).unwrap();
    stage.write("services/web.yaml", &exposed("web", process("h1", "1", 9000)));
    stage.write("services/more.yaml", &process("h1", "more", 9001));
    stage.write("gateways/edge.yaml", &GATEWAY.replace("run: command", "run: compose"));
    stage.commit("a gateway in a container");
    stage.apply();
    let web = stage.target("h1", 80, "web.test");
    assert_eq!(stage.text(&web, "/"), "1");
    let before = stage.container("h1", "gateway-edge", "caddy");
    stage.write("services/more.yaml", &exposed("more", process("h1", "more", 9001)));
    stage.commit("one route more");
    stage.apply();
    assert_eq!(stage.text(&stage.target("h1", 80, "more.test"), "/"), "more");
    assert_eq!(stage.container("h1", "gateway-edge", "caddy"), before, "it was to be reloaded");
    let users = stage.users(web, 20);
    occupy(&stage, "h1", 8888);
    // Ports that it serves are looked at before; its admin interface only Caddy itself tries.
    cannot_bind(&stage, "edge", "http: 80, admin: \"127.0.0.1:8888\" ");
    assert_eq!(stage.container("h1", "gateway-edge", "caddy"), before, "it was to be reloaded");
    users.stop().assert_flawless_over_reloads(1);
}
