//! A stack that people started by hand, brought by `gitsync import compose`: nothing of it restarts, and it is ours.

use std::process::Command;

use gitsync_lab::{HostSpec, Spec, Truth};

use crate::stage::Stage;

/// What was started with `docker compose up -d` in a folder that has neither the service's name nor its place.
const STACK: &str = "services:
  web:
    image: app:${TAG}
    ports: [\"8080:80\"]
    volumes: [\"./data:/data\"]
    stop_grace_period: 2s
  store:
    image: app:1
    volumes: [\"rows:/rows\"]
    stop_grace_period: 2s
volumes:
  rows: {}
";

/// What this host says over it.
const OVERRIDE: &str = "services:
  store:
    ports: [\"8081:80\"]
";

/// Containers, the volume and the files that they write, by all that tells them from new ones.
const FOUND: &str = "docker ps -aq --no-trunc | sort |
    xargs docker inspect --format '{{.Id}} {{.State.StartedAt}} {{.State.Pid}} {{.RestartCount}}'
docker volume ls -q
docker volume inspect --format '{{.CreatedAt}} {{.Mountpoint}}' media_rows
stat -c '%n %i %y' /srv/media/data /srv/media/data/row";

/// Writes the stack's files on h1, starts it, and gives it data: its folder and its volume have a row each.
fn start_by_hand(stage: &Stage) {
    let h1 = stage.host("h1");
    h1.write("/srv/media/compose.yaml", STACK).unwrap();
    h1.write("/srv/media/compose.override.yaml", OVERRIDE).unwrap();
    h1.write("/srv/media/.env", "TAG=1\n").unwrap();
    h1.sh("cd /srv/media && docker compose up -d 2>&1").unwrap();
    for (port, row) in [(8080, "/data/row"), (8081, "/rows/row")] {
        let place = stage.target("h1", port, "app");
        stage.until(std::time::Duration::from_secs(20), "the stack", || {
            let path = format!("/write?path={row}");
            gitsync_lab::traffic::post(place.addr, "app", &path, b"precious").map(drop)
        });
    }
}

/// Copies the stack's whole folder to the controller, as people do; where it lies there.
fn copied(stage: &Stage, folder: &str) -> String {
    let there = stage.host("h1").path(folder).unwrap();
    let here = stage.controller().join(there.file_name().unwrap());
    let said = Command::new("cp").arg("-r").arg(there).arg(&here).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    here.display().to_string()
}

#[test]
fn a_stack_made_by_hand_elsewhere_is_imported_and_taken_over_without_a_restart_and_is_ours() {
    let Some(stage) = Stage::new("importing-stack", &Spec::of(1, HostSpec::docker)) else { return };
    stage.quick();
    let h1 = stage.host("h1");
    let [one, two] = ["1", "2"].map(|version| stage.app.image(version));
    let sick = stage.app.image("3").env("APP_HEALTH", "never");
    stage.load_images(&["h1"], &[("app:1", &one), ("app:2", &two), ("app:3", &sick)]);
    start_by_hand(&stage);
    let [web, store] = [8080, 8081].map(|port| stage.target("h1", port, "app"));
    let rows = || {
        let files = [(&web, "/data/row"), (&store, "/rows/row")];
        files.map(|(place, row)| stage.text(place, &format!("/read?path={row}")))
    };
    let found = || h1.sh(FOUND).unwrap();
    let folder = copied(&stage, "/srv/media");
    let import = ["import", "compose", &folder, "--node", "h1", "--name", "films", "--adopt"];
    let users = [&web, &store].map(|place| stage.users(place.clone(), 20));
    let (before, was) = (Truth::of(&stage.lab).unwrap(), found());

    // Not where it runs: what is mounted by `./` would be empty. That is told, and nothing is touched.
    let told = stage.run(&import).exits(0).says("makes the same of both");
    told.says("./data: `web` may write there; on the node it must lie at /opt/stacks/films/data")
        .says("taken over is what runs on h1 as project `media` from /opt/stacks/films; ");
    stage.commit("films, elsewhere");
    let refused = stage.run(&["apply", "--yes"]).exits(3);
    refused.says("`directory: /srv/media` and `adopt: true` take it over");
    before.same(&Truth::of(&stage.lab).unwrap()).unwrap();

    // Where it runs: the very same containers, volume and data, and no request went wrong.
    std::fs::remove_dir_all(stage.repository().join("services/films")).unwrap();
    let told = stage.run(&[&import[..], &["--directory", "/srv/media"]].concat()).exits(0);
    told.says("on the node it must lie at /srv/media/data");
    stage.commit("films, as they are");
    stage.apply().says("converged");
    assert_eq!(found(), was);
    for seen in users.map(|users| users.stop()) {
        seen.assert_flawless();
    }
    assert_eq!(rows(), two_rows());
    assert!(!h1.has("/opt/stacks/films"));
    stage.run(&["apply", "--yes"]).exits(0).says("0 to create, 0 to change, 0 to remove");
    stage.run(&["drift"]).exits(0);

    // It changes as everything that is ours, by the variable that it always had.
    let path = "services/films/service.yaml";
    let text = std::fs::read_to_string(stage.repository().join(path)).unwrap();
    stage.write(path, &format!("{text}health: {{ http: /health, port: 80, service: web }}\n"));
    stage.edit("services/films/.env", "TAG=1", "TAG=2");
    stage.commit("films 2");
    stage.apply().says("converged");
    assert_eq!((stage.version("h1", 8080).as_str(), rows()), ("2", two_rows()));

    // And is put back when it fails, with the data in place.
    let before = Truth::of(&stage.lab).unwrap();
    stage.edit("services/films/.env", "TAG=2", "TAG=3");
    stage.commit("films 3");
    stage.run(&["apply", "--yes"]).exits(3).says("status 503");
    before.same_content(&Truth::of(&stage.lab).unwrap()).unwrap();
    assert_eq!((stage.version("h1", 8080).as_str(), rows()), ("2", two_rows()));
    assert_eq!(h1.sh("docker volume ls -q").unwrap().trim(), "media_rows");
}

fn two_rows() -> [String; 2] {
    ["precious", "precious"].map(str::to_owned)
}

/// What must not be in a repository.
const SECRET: &str = "SMTP_PASSWORD=hunter2\n";

/// A stack in its usual place, started under another project, whose secret lies in a file beside it.
const MAILER: &str = "services:
  app:
    image: app:1
    ports: [\"8080:80\"]
    env_file: [{ path: smtp.env, required: false }]
    volumes: [\"kept:/kept\", \"./smtp.env:/etc/smtp.env:ro\"]
    stop_grace_period: 2s
volumes:
  kept: {}
";

#[test]
fn a_stack_under_another_project_keeps_it_its_volume_and_the_secret_that_stays_on_the_node() {
    let Some(stage) = Stage::new("importing-secret", &Spec::of(1, HostSpec::docker)) else {
        return;
    };
    stage.quick();
    let h1 = stage.host("h1");
    let [one, two] = ["1", "2"].map(|version| stage.app.image(version));
    stage.load_images(&["h1"], &[("app:1", &one), ("app:2", &two)]);
    h1.write("/opt/stacks/mailer/compose.yaml", MAILER).unwrap();
    h1.write("/opt/stacks/mailer/smtp.env", SECRET).unwrap();
    h1.sh("cd /opt/stacks/mailer && docker compose -p post up -d 2>&1").unwrap();
    let place = stage.target("h1", 8080, "app");
    stage.until(std::time::Duration::from_secs(20), "the stack", || {
        gitsync_lab::traffic::post(place.addr, "app", "/write?path=/kept/row", b"precious")
    });
    let folder = copied(&stage, "/opt/stacks/mailer");
    let import = ["import", "compose", &folder, "--node", "h1", "--adopt"];
    let seen = || {
        let asked = ["/read?path=/etc/smtp.env", "/read?path=/kept/row"];
        asked.map(|path| stage.text(&place, path))
    };
    let kept = [SECRET, "precious"];
    let (before, was) = (Truth::of(&stage.lab).unwrap(), stage.container("h1", "post", "app"));

    // Under the folder's name a second stack would stand beside it, with an empty volume.
    stage.run(&import).exits(0).says("./smtp.env: ");
    stage.commit("mailer, under its folder's name");
    let refused = stage.run(&["apply", "--yes"]).exits(3);
    refused.says("`project: post` and `adopt: true` take it over");
    before.same(&Truth::of(&stage.lab).unwrap()).unwrap();

    // Under its own: it runs on, and what was not copied is read where it lies.
    std::fs::remove_dir_all(stage.repository().join("services/mailer")).unwrap();
    let flags = ["--project", "post", "--name", "mailer"];
    stage.run(&[&import[..], &flags].concat()).exits(0);
    assert!(!stage.repository().join("services/mailer/smtp.env").exists());
    stage.commit("mailer");
    let users = stage.users(place.clone(), 20);
    stage.apply().says("converged");
    users.stop().assert_flawless();
    assert_eq!(stage.container("h1", "post", "app"), was);
    assert_eq!(seen(), kept);

    // A new version has both too.
    stage.edit("services/mailer/compose.yaml", "app:1", "app:2");
    stage.commit("mailer 2");
    stage.apply().says("converged");
    assert_eq!((stage.version("h1", 8080).as_str(), seen()), ("2", kept.map(str::to_owned)));
    assert_eq!(h1.read("/opt/stacks/mailer/smtp.env").unwrap(), SECRET);
    assert_eq!(h1.sh("docker volume ls -q").unwrap().trim(), "post_kept");
}
