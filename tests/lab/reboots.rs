//! Hosts that go down and come up again: what ran there comes back, and a rollout ends on one side.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use gitsync_lab::{Spec, Truth};

use crate::stage::Stage;

const SOON: Duration = Duration::from_secs(45);
const MESH: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);

#[test]
fn containers_come_back_when_the_mesh_comes_up_long_after_the_engine() {
    let Some(stage) = Stage::new("reboot-mesh", &Spec::of(1, |host| host.docker())) else { return };
    let host = stage.host("h1");
    let image = stage.app.image("1");
    stage.load_images(&["h1"], &[("app:1", &image)]);
    host.add_address("mesh0", MESH).unwrap();
    let mut route = stage.lab.command("ip", &stage.controller());
    route.args(["route", "add", "10.99.0.1/32", "via", &host.address().to_string()]);
    assert!(route.status().unwrap().success());
    stage.write_fleet("500ms");
    stage.write_node("h1", "");
    stage.edit("nodes/h1.yaml", &format!("address: {}", host.address()), "address: 10.99.0.1");
    stage.write(
        "services/web.yaml",
        "image: app:1\nplacement: { on: [h1] }\nports: { web: \"8080:80\" }\npublish: mesh\n\
         health: { http: /health, port: web }\nstop_grace: 1s\n",
    );
    stage.commit("web");
    let daemon = stage.daemon();
    daemon.wait_for(0, "converged", SOON);
    let web = SocketAddr::from((MESH, 8080));
    assert_eq!(stage.version_at(web).as_deref(), Ok("1"));
    let mark = daemon.mark();
    host.reboot().unwrap();
    let state =
        "docker ps -a --filter label=gitsync.unit=service.web --format '{{.ID}} {{.State}}'";
    let down = host.sh(state).unwrap();
    assert!(!down.contains("running"), "the engine could not publish the port: {down}");
    daemon.wait_for(mark, "the address 10.99.0.1 is not on this node", SOON);
    host.add_address("mesh0", MESH).unwrap();
    daemon.wait_for(mark, "h1/service.web did not run: started again", SOON);
    stage.until(SOON, "version 1 on the mesh", || stage.version_at(web));
    let up = host.sh(state).unwrap();
    assert_eq!(up.split(' ').next(), down.split(' ').next(), "the very container");
    assert_eq!(daemon.stop(), Some(0));
    stage.run(&["drift"]).exits(0).says("no drift");
}

#[test]
fn processes_come_back_after_a_reboot_and_what_was_edited_by_hand_is_told_and_left() {
    let Some(stage) = Stage::new("reboot-processes", &Spec::of(1, |host| host)) else { return };
    let host = stage.host("h1");
    stage.install_app(&["h1"]);
    stage.write_fleet("500ms");
    stage.write_process("a", "h1", 8081, "APP_VERSION=1", "");
    stage.write("services/b/page", "as it was written\n");
    stage.write_process("b/service", "h1", 8082, "APP_VERSION=1", "");
    stage.commit("first");
    let daemon = stage.daemon();
    daemon.wait_for(0, "converged", SOON);
    let versions = || [stage.version("h1", 8081), stage.version("h1", 8082)];
    assert_eq!(versions(), ["1", "1"]);
    let mark = daemon.mark();
    host.reboot().unwrap();
    stage.until(SOON, "both versions", || match versions() {
        both if both == ["1", "1"] => Ok(()),
        other => Err(format!("{other:?}")),
    });
    daemon.wait_for(mark, "h1/service.b did not run: started again", SOON);
    host.write("/opt/stacks/b/page", "edited\n").unwrap();
    let mark = daemon.mark();
    host.reboot().unwrap();
    daemon.wait_for(mark, "h1/service.a did not run: started again", SOON);
    stage.until(SOON, "version 1 of a", || match stage.version("h1", 8081) {
        one if one == "1" => Ok(()),
        other => Err(other),
    });
    // Looks go on, and none of them starts what somebody was working on.
    let looks = |log: &str| log.matches("gitsync::source").count();
    let seen = looks(&daemon.log());
    stage.until(SOON, "three more looks", || match looks(&daemon.log()) - seen {
        enough @ 3.. => Ok(enough),
        few => Err(few.to_string()),
    });
    let refused = stage.version("h1", 8082);
    assert!(refused.contains("refused"), "{refused}");
    assert!(!daemon.log().split_off(mark).contains("service.b"), "{}", daemon.log());
    assert_eq!(daemon.stop(), Some(0));
    stage.run(&["drift"]).exits(1).says("h1/service.b").says("edited");
    assert_eq!(host.read("/opt/stacks/b/page").unwrap(), "edited\n");
}

#[test]
fn host_that_reboots_in_the_middle_of_a_rollout_ends_wholly_on_one_side() {
    let Some(stage) = Stage::new("reboot-rollout", &Spec::of(2, |host| host)) else { return };
    stage.install_app(&["h1", "h2"]);
    let services = |version: &str| {
        let settings = format!("APP_VERSION={version}");
        stage.write_process("a", "h1", 8081, &settings, "");
        stage.write_process("b", "h2", 8082, &settings, "depends_on: [a]\n");
    };
    stage.write_fleet("3s");
    services("1");
    stage.commit("first");
    let daemon = stage.daemon();
    daemon.wait_for(0, "converged", SOON);
    let mark = daemon.mark();
    services("2");
    stage.commit("second");
    daemon.wait_for(mark, "h2/service.b: switched", SOON);
    stage.host("h2").reboot().unwrap();
    stage.until(SOON, "a verdict", || {
        let said = daemon.log().split_off(mark);
        let ended = said.lines().any(|line| line.starts_with("rolled_back") || line == "converged");
        if ended { Ok(()) } else { Err(said) }
    });
    let versions = stage.until(SOON, "one version everywhere", || {
        let versions = [stage.version("h1", 8081), stage.version("h2", 8082)];
        let whole = versions == ["1", "1"] || versions == ["2", "2"];
        if whole { Ok(versions) } else { Err(format!("{versions:?}")) }
    });
    assert_eq!(daemon.stop(), Some(0));
    let truth = Truth::of(&stage.lab).unwrap();
    assert!(truth.pending("h1").is_empty() && truth.pending("h2").is_empty(), "{versions:?}");
}
