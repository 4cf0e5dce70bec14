//! What goes away: services, nodes, everything at once; what takes a place, and what moves to another one.

use std::time::Duration;

use gitsync_lab::{HostSpec, Spec, Truth};

use crate::changes::{GATEWAY, exposed, process};
use crate::stage::Stage;

/// What a daemon needs for a look or two.
const SOON: Duration = Duration::from_secs(20);

/// A container with a volume and a folder of its own.
fn stored(host: &str, port: u16, version: &str, more: &str) -> String {
    format!(
        "image: app:{version}\nplacement: {{ on: [{host}] }}\nports: {{ http: \"{port}:80\" }}\n\
         health: {{ http: /health, port: http }}\n\
         volumes: [\"kept:/data\", \"./folder:/folder\"]\nstop_grace: 2s\n{more}"
    )
}

/// Has the app of a port write a file.
fn post(stage: &Stage, host: &str, port: u16, path: &str) {
    let place = (stage.host(host).address(), port).into();
    let path = format!("/write?path={path}");
    let wrote = stage.lab.inside(|| gitsync_lab::traffic::post(place, "app", &path, b"precious"));
    assert_eq!(wrote.unwrap().text(), "written");
}

#[test]
fn a_removed_service_leaves_after_its_route_and_its_data_stay() {
    let Some(stage) = Stage::new("removals-service", &Spec::of(1, HostSpec::docker)) else {
        return;
    };
    stage.quick();
    stage.put_app(&["h1"]);
    let image = stage.app.image("1");
    stage.load_images(&["h1"], &[("app:1", &image)]);
    stage.write("services/store.yaml", &exposed("store", stored("h1", 8081, "1", "")));
    stage.write("services/web.yaml", &exposed("web", process("h1", "1", 9000)));
    stage.write("gateways/edge.yaml", GATEWAY);
    stage.commit("a store");
    stage.apply();
    post(&stage, "h1", 8081, "/data/row");
    post(&stage, "h1", 8081, "/folder/row");
    let [store, web] = ["store.test", "web.test"].map(|site| stage.target("h1", 80, site));
    let h1 = stage.host("h1");

    // Something else of the same commit fails: it serves on, from the container that it was.
    let before = Truth::of(&stage.lab).unwrap();
    let text = std::fs::read_to_string(stage.repository().join("services/store.yaml")).unwrap();
    stage.remove("services/store.yaml");
    stage.write("services/web.yaml", &exposed("web", process("h1", "2 --health=never", 9000)));
    stage.edit("services/web.yaml", "http: /,", "http: /health,");
    stage.commit("no store, and a web that is sick");
    stage.run(&["apply", "--yes"]).exits(3).says("rolled_back: ");
    before.same_content(&Truth::of(&stage.lab).unwrap()).unwrap();
    assert_eq!(stage.text(&store, "/read?path=/data/row"), "precious");

    // Alone, it goes: nobody is sent to what no longer runs.
    stage.write("services/web.yaml", &exposed("web", process("h1", "1", 9000)));
    let users = [store, web].map(|target| stage.users(target, 20));
    stage.commit("no store");
    stage.run(&["apply", "--yes"]).exits(0).says("0 to create, 1 to change, 1 to remove");
    let [of_store, of_web] = users.map(|one| one.stop());
    of_web.assert_flawless_over_reloads(1);
    of_store.assert_flawless_over_reloads(1);
    assert!(of_store.answers.last().unwrap().version().is_none(), "{}", of_store.summary());
    assert_eq!(h1.sh("docker ps -aq").unwrap(), "");
    assert!(!h1.has("/opt/stacks/store/compose.yaml"));
    assert_eq!(h1.read("/opt/stacks/store/folder/row").unwrap(), "precious");
    assert_eq!(stage.volumes("h1", "store_kept"), 1);

    // Wanted again, it finds what it had.
    stage.write("services/store.yaml", &text);
    stage.commit("a store again");
    stage.apply();
    let store = stage.target("h1", 80, "store.test");
    assert_eq!(stage.text(&store, "/read?path=/data/row"), "precious");
    assert_eq!(stage.text(&store, "/read?path=/folder/row"), "precious");
}

#[test]
fn a_removed_node_is_cleaned_and_is_not_forgotten_while_it_cannot_be_reached() {
    let Some(stage) = Stage::new("removals-node", &Spec::of(2, |host| host)) else { return };
    stage.quick();
    stage.put_app(&["h1", "h2"]);
    stage.write("services/web.yaml", &process("h1", "1", 9000));
    stage.edit("services/web.yaml", "on: [h1]", "on: all");
    stage.write("files/motd", "welcome\n");
    stage.write(
        "bundles/motd.yaml",
        "files: { motd: files/motd }\nto: { on: all, path: /srv/welcome }\n",
    );
    stage.commit("two nodes");
    stage.apply();
    assert_eq!([stage.version("h1", 9000), stage.version("h2", 9000)], ["1", "1"]);
    let node = std::fs::read_to_string(stage.repository().join("nodes/h2.yaml")).unwrap();
    stage.remove("nodes/h2.yaml");
    stage.commit("without h2");
    let h2 = || Truth::of_host(stage.host("h2")).unwrap();
    let before = h2();
    stage.host("h2").cut().unwrap();
    stage.apply().says("h2 left the fleet but does not answer");
    // Other good releases on top don't make it forgotten.
    for text in ["one\n", "two\n", "three\n", "hello\n"] {
        stage.write("files/motd", text);
        stage.commit("on top");
        stage.apply().says("h2 left the fleet but does not answer");
    }
    stage.host("h2").mend().unwrap();
    before.same(&h2()).unwrap();
    stage.apply().says("2 to remove");
    let h2 = stage.host("h2");
    assert!(!h2.has("/srv/welcome/motd"));
    let pids = String::from_utf8(h2.try_sh("pidof app").unwrap().stdout).unwrap();
    assert_eq!(pids.trim(), "", "the app still runs on h2");
    assert_eq!(stage.host("h1").read("/srv/welcome/motd").unwrap(), "hello\n");
    assert_eq!(stage.version("h1", 9000), "1");
    stage.run(&["apply", "--yes"]).exits(0).says("0 to create, 0 to change, 0 to remove");
    stage.write("nodes/h2.yaml", &node);
    stage.commit("h2 is back");
    stage.apply();
    assert_eq!(stage.version("h2", 9000), "1");
}

#[test]
fn removing_too_much_or_everything_stops_before_anything_happens() {
    let Some(stage) = Stage::new("removals-everything", &Spec::of(1, |host| host)) else { return };
    stage.quick();
    stage.put_app(&["h1"]);
    let services: Vec<String> = (1..=4).map(|number| format!("s{number}")).collect();
    for (service, port) in services.iter().zip(9001..) {
        stage.write(&format!("services/{service}.yaml"), &process("h1", "1", port));
    }
    stage.commit("four services");
    stage.apply();
    let before = Truth::of(&stage.lab).unwrap();
    let nothing_happened = |code: i32, words: &str| {
        stage.run(&["apply", "--yes"]).exits(code).says(words);
        before.same(&Truth::of(&stage.lab).unwrap()).unwrap();
        let versions = [9001, 9002, 9003, 9004].map(|port| stage.version("h1", port));
        assert_eq!(versions, ["1"; 4]);
    };
    for service in &services[1..] {
        stage.remove(&format!("services/{service}.yaml"));
    }
    stage.commit("three of four go");
    nothing_happened(1, "3 units would be removed of 4; the policy bears 2 at once");
    stage.remove("services/s1.yaml");
    stage.commit("all go");
    nothing_happened(1, "the release is empty, but the nodes run 4 units");
    stage.remove("nodes/h1.yaml");
    stage.commit("the node too");
    let guard = "no longer has any node, and at its last rollout (stage-1) it had h1";
    nothing_happened(1, guard);
    // A daemon that finds the same says so once, however often it looks, and changes nothing either.
    let daemon = stage.daemon();
    daemon.wait_for(0, guard, SOON);
    let mark = daemon.mark();
    stage.until(SOON, "three more looks", || {
        let looks = daemon.log().split_off(mark).matches("looked at the repository").count();
        if looks >= 3 { Ok(()) } else { Err(format!("{looks} looks")) }
    });
    assert_eq!(daemon.log().matches(guard).count(), 1, "{}", daemon.log());
    stage.remove("fleet.yaml");
    stage.commit("nothing at all");
    daemon.wait_for(mark, "fleet.yaml", SOON);
    assert_eq!(daemon.stop(), Some(0));
    nothing_happened(2, "fleet.yaml");
    before.same(&Truth::of(&stage.lab).unwrap()).unwrap();
}

#[test]
fn a_service_takes_anothers_port_in_one_step_and_gives_it_back_when_it_fails() {
    let Some(stage) = Stage::new("removals-swap", &Spec::of(1, HostSpec::docker)) else { return };
    stage.quick();
    stage.put_app(&["h1"]);
    let images = ["1", "2"].map(|version| stage.app.image(version));
    stage.load_images(&["h1"], &[("app:1", &images[0]), ("app:2", &images[1])]);
    stage.write("services/old.yaml", &process("h1", "1", 9000));
    stage.write("services/store.yaml", &stored("h1", 9001, "1", ""));
    stage.commit("the old ones");
    stage.apply();
    let before = Truth::of(&stage.lab).unwrap();
    stage.remove("services/old.yaml");
    stage.write("services/new.yaml", &process("h1", "2 --health=never", 9000));
    stage.edit("services/new.yaml", "http: /,", "http: /health,");
    stage.commit("a new one that is sick");
    stage.run(&["apply", "--yes"]).exits(3).says("rolled_back: h1/service.new");
    before.same_content(&Truth::of(&stage.lab).unwrap()).unwrap();
    assert_eq!(stage.version("h1", 9000), "1");
    stage.edit("services/new.yaml", " --health=never", "");
    stage.commit("a good one");
    stage.run(&["plan"]).says("± h1/service.new").says("replaces h1/service.old");
    stage.apply().says("1 to create, 0 to change, 1 to remove");
    assert_eq!(stage.version("h1", 9000), "2");
    // A container takes a container's port, and back.
    let before = Truth::of(&stage.lab).unwrap();
    stage.remove("services/store.yaml");
    stage.write("services/shelf.yaml", &stored("h1", 9001, "2", "env: { APP_HEALTH: never }\n"));
    stage.commit("a shelf that is sick");
    stage.run(&["apply", "--yes"]).exits(3).says("rolled_back: h1/service.shelf");
    before
        .same_content(
            &Truth::of(&stage.lab)
                .unwrap()
                .without(&["/opt/stacks/shelf", "/var/lib/docker/volumes/shelf_kept"]),
        )
        .unwrap();
    assert_eq!(stage.version("h1", 9001), "1");
    stage.edit("services/shelf.yaml", "never", "ok");
    stage.commit("a good shelf");
    stage.apply();
    assert_eq!(stage.version("h1", 9001), "2");
}

#[test]
fn a_service_moves_with_its_volumes_only_when_it_says_so_and_stays_when_it_fails() {
    let Some(stage) = Stage::new("removals-move", &Spec::of(2, HostSpec::docker)) else { return };
    stage.quick();
    let image = stage.app.image("1");
    stage.load_images(&["h1", "h2"], &[("app:1", &image)]);
    stage.write("services/store.yaml", &stored("h1", 8081, "1", ""));
    stage.commit("a store");
    stage.apply();
    post(&stage, "h1", 8081, "/data/row");
    let before = Truth::of(&stage.lab).unwrap();
    stage.write("services/store.yaml", &stored("h2", 8081, "1", ""));
    stage.commit("elsewhere");
    stage.run(&["apply", "--yes"]).exits(1).says("service.store").says("moves: empty");
    before.same(&Truth::of(&stage.lab).unwrap()).unwrap();
    stage.write(
        "services/store.yaml",
        &stored("h2", 8081, "1", "moves: empty\nenv: { APP_HEALTH: never }\n"),
    );
    stage.commit("elsewhere, and sick there");
    stage.run(&["apply", "--yes"]).exits(3).says("rolled_back: h2/service.store");
    before.only_host("h1").same_content(&Truth::of(&stage.lab).unwrap().only_host("h1")).unwrap();
    assert_eq!(stage.text(&stage.target("h1", 8081, "app"), "/read?path=/data/row"), "precious");
    assert_eq!(stage.host("h2").sh("docker ps -aq").unwrap(), "");
    stage.write("services/store.yaml", &stored("h2", 8081, "1", "moves: empty\n"));
    stage.commit("elsewhere, and well");
    stage.apply();
    assert_eq!(stage.version("h2", 8081), "1");
    assert_eq!(stage.text(&stage.target("h2", 8081, "app"), "/read?path=/data/row"), "not found");
    assert_eq!(stage.host("h1").sh("docker ps -aq").unwrap(), "");
    assert_eq!(stage.volumes("h1", "store_kept"), 1);
    let said = stage.host("h1").sh("cat /var/lib/docker/volumes/store_kept/_data/row").unwrap();
    assert_eq!(said, "precious");
}
