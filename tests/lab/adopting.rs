//! What people made by hand before gitsync came: refused, taken over, put back, and never lost.

use gitsync_lab::{HostSpec, Spec, Truth};

use crate::changes::{exposed, process};
use crate::stage::Stage;

/// A stack as people write it.
const STACK: &str = "services:
  app:
    image: app:1
    ports: [\"8080:80\"]
    volumes: [\"data:/data\"]
    stop_grace_period: 2s
volumes:
  data: {}
";

/// The same stack in the fleet's repository.
const SERVICE: &str = "compose: compose.yaml
project: handmade
placement: { on: [h1] }
health: { http: /health, port: 80, service: app }
";

/// Something beside it, so that the fleet isn't empty without it.
fn motd(stage: &Stage) {
    stage.write("files/motd", "welcome\n");
    stage.write(
        "bundles/motd.yaml",
        "files: { motd: files/motd }\nto: { on: [h1], path: /srv/welcome }\n",
    );
}

#[test]
fn a_stack_made_by_hand_is_refused_then_taken_over_with_its_data_and_returns_when_that_fails() {
    let Some(stage) = Stage::new("adopting-stack", &Spec::of(1, HostSpec::docker)) else { return };
    stage.quick();
    let h1 = stage.host("h1");
    let [one, two] = ["1", "2"].map(|version| stage.app.image(version));
    let sick = stage.app.image("3").env("APP_HEALTH", "never");
    stage.load_images(&["h1"], &[("app:1", &one), ("app:2", &two), ("app:3", &sick)]);
    h1.write("/opt/stacks/web/compose.yaml", STACK).unwrap();
    h1.sh("cd /opt/stacks/web && docker compose -p handmade up -d 2>&1").unwrap();
    let place = stage.target("h1", 8080, "app");
    stage.until(std::time::Duration::from_secs(20), "the stack", || {
        let wrote = gitsync_lab::traffic::post(place.addr, "app", "/write?path=/data/row", b"old");
        wrote.map(drop)
    });
    motd(&stage);
    stage.commit("the rest of the fleet");
    stage.apply();
    let row = || stage.text(&place, "/read?path=/data/row");
    let before = Truth::of(&stage.lab).unwrap();

    // Nobody said that it may be taken over: not its file, not its containers.
    stage.write("services/web/service.yaml", SERVICE);
    stage.write("services/web/compose.yaml", &STACK.replace("app:1", "app:2"));
    stage.commit("web");
    let refused = stage.run(&["apply", "--yes"]).exits(3).says("adopt: true");
    refused.says("/opt/stacks/web/compose.yaml exists with other content and is not gitsync's");
    stage.write("services/web/compose.yaml", STACK);
    stage.commit("web as it is");
    let refused = stage.run(&["apply", "--yes"]).exits(3).says("adopt: true");
    refused.says(
        "the compose project handmade runs containers that are not gitsync's: handmade-app-1",
    );
    before.same(&Truth::of(&stage.lab).unwrap()).unwrap();

    // Taken over by a version that fails: it runs as before, from its own file.
    stage.write("services/web/service.yaml", &format!("{SERVICE}adopt: true\n"));
    stage.write("services/web/compose.yaml", &STACK.replace("app:1", "app:3"));
    stage.commit("web 3");
    stage.run(&["apply", "--yes"]).exits(3).says("8080/health: status 503");
    before.same_content(&Truth::of(&stage.lab).unwrap()).unwrap();
    assert_eq!([stage.version("h1", 8080), row()], ["1", "old"]);

    // Taken over by one that is well: the same volume, and what stood in its place is kept.
    stage.write("services/web/compose.yaml", &STACK.replace("app:1", "app:2"));
    stage.commit("web 2");
    stage.apply();
    assert_eq!([stage.version("h1", 8080), row()], ["2", "old"]);
    let volumes = h1.sh("docker volume ls -q").unwrap();
    assert_eq!(volumes.trim(), "handmade_data");
    stage.run(&["apply", "--yes"]).exits(0).says("0 to create, 0 to change, 0 to remove");

    // It goes again: people have their own file back, and their data.
    for file in ["service.yaml", "compose.yaml"] {
        stage.remove(&format!("services/web/{file}"));
    }
    stage.commit("no web");
    stage.apply();
    assert_eq!(h1.read("/opt/stacks/web/compose.yaml").unwrap(), STACK);
    assert_eq!(h1.sh("docker ps -aq").unwrap().trim(), "");
    assert_eq!(stage.volumes("h1", "handmade_data"), 1);
}

#[test]
fn an_equal_stack_is_taken_over_without_a_restart_and_changes_as_ours_from_then_on() {
    let Some(stage) = Stage::new("adopting-equal", &Spec::of(1, HostSpec::docker)) else { return };
    stage.quick();
    let h1 = stage.host("h1");
    let images = ["1", "2", "3"].map(|version| stage.app.image(version));
    let never = stage.app.image("4").env("APP_HEALTH", "never");
    let [one, two, three] = &images;
    let names = [("app:1", one), ("app:2", two), ("app:3", three), ("app:4", &never)];
    stage.load_images(&["h1"], &names);
    h1.write("/opt/stacks/web/compose.yaml", STACK).unwrap();
    h1.sh("cd /opt/stacks/web && docker compose -p handmade up -d 2>&1").unwrap();
    motd(&stage);
    let adopted = format!("{SERVICE}adopt: true\n");
    stage.write("services/web/service.yaml", &adopted);
    stage.write("services/web/compose.yaml", STACK);
    let running = || h1.sh("docker ps -aq --no-trunc").unwrap();
    let found = running();
    let before = Truth::of(&stage.lab).unwrap();

    // Another project or another directory would leave its data behind.
    stage.write("services/web/service.yaml", &adopted.replace("project: handmade\n", ""));
    stage.commit("web without its project");
    stage
        .run(&["apply", "--yes"])
        .exits(3)
        .says("`project: handmade` and `adopt: true` take it over");
    let elsewhere = format!("{adopted}directory: /srv/web\n");
    stage.write("services/web/service.yaml", &elsewhere);
    stage.commit("web elsewhere");
    let refused = stage.run(&["apply", "--yes"]).exits(3);
    refused.says("`directory: /opt/stacks/web` and `adopt: true` take it over");
    before.same(&Truth::of(&stage.lab).unwrap()).unwrap();

    // Taken over beside something that fails: nothing of it was touched.
    stage.write("services/web/service.yaml", &adopted);
    let sick = process("h1", "1", 9000)
        .replace("exec /opt/app --version=1 --ports=9000", "exec sleep 1000");
    stage.write("services/sick.yaml", &format!("{sick}depends_on: [web]\n"));
    stage.commit("web beside a sick one");
    stage.run(&["apply", "--yes"]).exits(3);
    before.same_content(&Truth::of(&stage.lab).unwrap()).unwrap();
    assert_eq!(running(), found);

    // Taken over: it runs on, it is ours, and nothing drifts.
    stage.remove("services/sick.yaml");
    stage.commit("web");
    stage.apply();
    assert_eq!((running(), stage.version("h1", 8080).as_str()), (found.clone(), "1"));
    before.same_content(&Truth::of(&stage.lab).unwrap()).unwrap_err();
    stage.run(&["apply", "--yes"]).exits(0).says("0 to create, 0 to change, 0 to remove");
    stage.run(&["drift"]).exits(0);

    // What does not concern its containers lets them run on.
    stage.write("services/web/service.yaml", SERVICE);
    stage.commit("web is ours");
    stage.apply();
    assert_eq!(running(), found);

    // A stopped one is seen as what it is.
    h1.sh("docker stop handmade-app-1").unwrap();
    stage.run(&["drift"]).exits(1).says("app");
    h1.sh("docker start handmade-app-1").unwrap();

    // It changes as everything that is ours, and is put back when that fails.
    stage.write("services/web/compose.yaml", &STACK.replace("app:1", "app:4"));
    stage.commit("web 4");
    stage.run(&["apply", "--yes"]).exits(3).says("status 503");
    assert_eq!(stage.version("h1", 8080), "1");
    stage.write("services/web/compose.yaml", &STACK.replace("app:1", "app:2"));
    stage.commit("web 2");
    stage.apply();
    assert_eq!(stage.version("h1", 8080), "2");
    assert_eq!(running().lines().count(), 1);
}

const CADDYFILE: &str = "http://hand.test {\n\trespond \"by hand\"\n}\n";

#[test]
fn a_caddyfile_written_by_hand_is_refused_returns_when_a_takeover_fails_and_is_ours_when_equal() {
    let Some(stage) = Stage::new("adopting-gateway", &Spec::of(1, HostSpec::systemd)) else {
        return;
    };
    stage.quick();
    stage.put_app(&["h1"]);
    let h1 = stage.host("h1");
    h1.write("/etc/caddy/Caddyfile", CADDYFILE).unwrap();
    h1.write("/srv/welcome/motd", "welcome\n").unwrap();
    h1.sh("systemctl enable --now caddy 2>&1; /lab/busybox httpd -p 8888 -h /srv").unwrap();
    motd(&stage);
    stage.write("services/web.yaml", &exposed("web", process("h1", "1", 9000)));
    let gateway = "proxy: caddy\non: [h1]\nrun: systemd\nlisten: { http: 80 }\n";
    stage.write("gateways/edge.yaml", gateway);
    stage.commit("a gateway");
    let hand = stage.target("h1", 80, "hand.test");
    let by_hand = || stage.text(&hand, "/");
    let runs = || h1.sh("systemctl show caddy -p MainPID -p ExecMainStartTimestamp").unwrap();
    let (before, ran) = (Truth::of(&stage.lab).unwrap(), runs());
    let refused = stage.run(&["apply", "--yes"]).exits(3).says("adopt: true");
    refused.says("/etc/caddy/Caddyfile exists with other content and is not gitsync's");
    before.same(&Truth::of(&stage.lab).unwrap()).unwrap();

    // Taken over, with a port that is taken: the file that was there is back, and so is the site.
    let taken = gateway.replace("http: 80 ", "http: 8888 ");
    stage.write("gateways/edge.yaml", &format!("{taken}adopt: true\n"));
    stage.commit("a gateway on a port that is taken");
    stage.run(&["apply", "--yes"]).exits(3).says("rolled_back: h1/gateway.edge");
    before.same_content(&Truth::of(&stage.lab).unwrap()).unwrap();
    assert_eq!((by_hand().as_str(), runs()), ("by hand", ran.clone()));

    // The fleet wants exactly what is there: it is ours without a word, and nothing restarts or is written.
    let files = |truth: Truth| truth.without(&["/etc/systemd"]);
    let before = files(Truth::of(&stage.lab).unwrap());
    stage.write("gateways/edge.yaml", gateway);
    stage.write("templates/Caddyfile.tera", CADDYFILE);
    stage.remove("services/web.yaml");
    stage.commit("a gateway as it is");
    stage.run(&["apply", "--yes"]).exits(0).says("2 to create, 0 to change, 0 to remove");
    let after = files(Truth::of(&stage.lab).unwrap());
    let said = before.same(&after).unwrap_err();
    assert!(said.lines().all(|line| line.starts_with("h1: unit ")), "{said}");
    assert_eq!((by_hand().as_str(), runs()), ("by hand", ran));

    // And from there on it changes as everything that is ours.
    stage.remove("templates/Caddyfile.tera");
    stage.write("services/web.yaml", &exposed("web", process("h1", "1", 9000)));
    stage.commit("the fleet's own");
    stage.apply();
    assert_eq!(stage.text(&stage.target("h1", 80, "web.test"), "/"), "1");
}

#[test]
fn a_caddy_that_was_off_is_off_again_when_its_first_rollout_fails_and_runs_again_if_it_ran() {
    let Some(stage) = Stage::new("adopting-off", &Spec::of(1, HostSpec::systemd)) else { return };
    stage.quick();
    stage.put_app(&["h1"]);
    let h1 = stage.host("h1");
    h1.write("/etc/caddy/Caddyfile", CADDYFILE).unwrap();
    h1.write("/srv/welcome/motd", "welcome\n").unwrap();
    h1.sh("systemctl disable --now caddy 2>&1; /lab/busybox httpd -p 8888 -h /srv").unwrap();
    motd(&stage);
    let gateway = "proxy: caddy\non: [h1]\nrun: systemd\nadopt: true\n";
    let web = exposed("web", process("h1", "1", 9000));
    let ask = "systemctl is-active caddy; systemctl is-enabled caddy; :";
    let fails = |number: usize| {
        let before = Truth::of(&stage.lab).unwrap();
        let found = h1.sh(ask).unwrap();
        stage.write("services/web.yaml", &web);
        stage.write("gateways/edge.yaml", &format!("{gateway}listen: {{ http: 8888 }}\n"));
        stage.write("files/number", &number.to_string());
        stage.commit("a gateway on a port that is taken");
        stage.run(&["apply", "--yes"]).exits(3).says("rolled_back: h1/gateway.edge");
        assert_eq!(h1.sh(ask).unwrap(), found);
        before.same_content(&Truth::of(&stage.lab).unwrap()).unwrap();
        stage.run(&["retry", "--all"]);
    };
    // Installed and off; then only chosen to start with the host.
    assert_eq!(h1.sh(ask).unwrap(), "inactive\ndisabled");
    fails(1);
    h1.sh("systemctl enable caddy 2>&1").unwrap();
    assert_eq!(h1.sh(ask).unwrap(), "inactive\nenabled");
    fails(2);

    // Taken over for good while it runs, and given back: their file, and their site.
    h1.sh("systemctl disable caddy 2>&1; systemctl start caddy").unwrap();
    stage.write("gateways/edge.yaml", &format!("{gateway}listen: {{ http: 80 }}\n"));
    stage.commit("a gateway");
    stage.apply();
    assert_eq!(stage.text(&stage.target("h1", 80, "web.test"), "/"), "1");
    assert_eq!(h1.sh(ask).unwrap(), "active\nenabled");
    stage.remove("services/web.yaml");
    stage.remove("gateways/edge.yaml");
    stage.commit("no gateway");
    stage.apply();
    assert_eq!(h1.read("/etc/caddy/Caddyfile").unwrap(), CADDYFILE);
    assert_eq!(h1.sh(ask).unwrap(), "active\ndisabled");
    assert_eq!(stage.text(&stage.target("h1", 80, "hand.test"), "/"), "by hand");
}
