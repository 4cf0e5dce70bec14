//! Compose files as people have them, and as they should not be.

use super::*;
use crate::model::{BindAddress, Entry, MountSource};

fn snapshot(files: &[(&str, &str)]) -> Snapshot {
    let entry = |(path, text): &(&str, &str)| {
        let content = text.as_bytes().to_vec();
        ((*path).to_owned(), Entry::File { content, executable: false })
    };
    Snapshot { entries: files.iter().map(entry).collect(), ..Snapshot::default() }
}

fn read_files(files: &[(&str, &str)]) -> (Compose, Vec<Diagnostic>) {
    let snapshot = snapshot(files);
    let variables = BTreeMap::from([("TAG".to_owned(), Some("1.2".to_owned()))]);
    let source = Source {
        snapshot: &snapshot,
        folder: "services/media",
        file: "compose.yaml",
        variables: &variables,
    };
    let (compose, mut problems) = read(source);
    crate::diagnostic::sort(&mut problems);
    (compose, problems)
}

const MAIN: &str = "services/media/compose.yaml";

fn read_one(text: &str) -> (Brought, Vec<String>) {
    let (compose, problems) = read_files(&[(MAIN, text)]);
    let brought = compose.brought("media", &AbsPath::new("/opt/stacks/media").unwrap());
    (brought, problems.iter().map(told).collect())
}

/// `GS0402 3:15 message`.
fn told(problem: &Diagnostic) -> String {
    let place = problem.place().unwrap();
    format!("{} {}:{} {}", problem.code.0, place.line, place.column, problem.message)
}

#[test]
fn what_a_stack_takes_on_its_node_is_read() {
    let (brought, problems) = read_one(
        r#"
x-base: &base
  restart: unless-stopped
  volumes: [ "/mnt/media:/media:ro" ]
services:
  plex:
    <<: *base
    image: plexinc/pms-docker:${TAG}
    container_name: plex
    network_mode: host
    ports: [ "32400:32400" ]
  radarr:
    image: linuxserver/radarr:5.1.0
    ports:
      - "127.0.0.1:7878:7878"
      - { target: 9898, published: "9898", protocol: udp }
    volumes:
      - ./radarr:/config/
      - ../shared:/shared
      - data:/data
      - { type: volume, source: pool, target: /pool }
      - { type: bind, source: ., target: /self, read_only: true }
      - type: tmpfs
        target: /tmp
  migrate: { image: "a:1", restart: no, profiles: [tools] }
volumes:
  data:
  pool: { external: true, name: tank }
  named: { name: fixed }
"#,
    );
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(brought.volumes, ["media_data", "fixed"]);
    let plex = &brought.services["plex"];
    assert_eq!(plex.image.as_deref(), Some("plexinc/pms-docker:1.2"));
    assert_eq!(plex.container_name.as_deref(), Some("plex"));
    assert!(plex.host_network && plex.ports.is_empty() && plex.mounts[0].read_only);
    let radarr = &brought.services["radarr"];
    assert_eq!(radarr.ports[0].bind, BindAddress::One("127.0.0.1".parse().unwrap()));
    assert_eq!((radarr.ports[1].host, radarr.ports.len()), (9898, 2));
    let sources: Vec<_> = radarr.mounts.iter().map(|mount| mount.source.clone()).collect();
    assert_eq!(
        sources,
        [
            MountSource::Directory("radarr".to_owned()),
            MountSource::Path(AbsPath::new("/opt/stacks/shared").unwrap()),
            MountSource::Volume("data".to_owned()),
            MountSource::External("tank".to_owned()),
            MountSource::Directory(String::new()),
            MountSource::Tmpfs,
        ]
    );
    assert_eq!(radarr.mounts[0].target.as_str(), "/config");
    let migrate = &brought.services["migrate"];
    assert!(migrate.once && migrate.profiled && !radarr.once);
}

#[test]
fn whatever_is_read_outside_the_folder_is_told_at_its_place() {
    let (_, problems) = read_one(
        "include:
  - ../other/compose.yaml
services:
  a:
    extends: { file: ../base.yaml, service: a }
    env_file: [ /etc/secret.env ]
    build: ../src
    security_opt: [ \"seccomp:/etc/profile.json\" ]
    label_file: ~/labels
  b:
    build:
      context: https://example.net/x.git
      additional_contexts: { up: ../up, image: docker-image://alpine }
configs:
  c: { file: ../../c.conf }
secrets:
  s: { file: a/../../s }
",
    );
    let expected =
        ["2:5", "5:22", "6:17", "7:12", "8:21", "9:17", "12:16", "13:34", "15:14", "17:14"];
    let places: Vec<&str> = problems.iter().filter_map(|p| p.split(' ').nth(1)).collect();
    assert_eq!(places, expected, "{problems:#?}");
    assert!(problems.iter().all(|problem| problem.starts_with("GS0402")), "{problems:#?}");
}

#[test]
fn files_of_the_folder_are_noted_and_missing_ones_told() {
    let text = "services:
  a:
    image: a:1
    env_file: [ here.env, gone.env, { path: perhaps.env, required: false } ]
    build: { context: ./app, dockerfile: Dockerfile }
";
    let (compose, problems) = read_files(&[
        (MAIN, text),
        ("services/media/here.env", ""),
        ("services/media/app/Dockerfile", ""),
        ("services/media/app/main.sh", ""),
        ("services/media-other/app", ""),
    ]);
    let told: Vec<String> = problems.iter().map(told).collect();
    assert_eq!(told, ["GS0404 4:27 `services/media/gone.env` is not in the repository"]);
    assert_eq!(
        compose.references,
        ["services/media/app/Dockerfile", "services/media/app/main.sh", "services/media/here.env"]
    );
}

#[test]
fn variables_without_a_value_are_told() {
    let (brought, problems) = read_one(
        "x-unused: ${IGNORED}
services:
  a:
    image: a:${VERSION}
    environment: { A: \"$$fine\", B: \"${TAG}\", C: \"cost: 5$\" }
    ports: [ \"${PORT:-8080}:80\", \"${OTHER}:81\" ]
secrets:
  s: { environment: TOKEN }
",
    );
    assert_eq!(
        problems,
        [
            "GS0403 4:12 the variable `VERSION` has no value where compose runs",
            "GS0403 5:49 a `$` that compose can't read as a variable",
            "GS0403 6:34 the variable `OTHER` has no value where compose runs",
            "GS0403 8:21 the variable `TOKEN` has no value where compose runs",
        ]
    );
    let service = &brought.services["a"];
    assert_eq!(service.ports.iter().map(|port| port.host).collect::<Vec<_>>(), [8080]);
    assert_eq!(service.image, None);
}

#[test]
fn included_and_extended_services_count_with_what_they_take() {
    let (compose, problems) = read_files(&[
        (
            MAIN,
            "include: [ parts/db.yaml ]
services:
  web:
    extends: { file: parts/base.yaml, service: base }
    ports: [ \"8081:80\" ]
  api: { extends: web, image: \"api:2\" }
",
        ),
        ("services/media/parts/db.yaml", "services: { db: { image: \"db:1\", env_file: db.env } }"),
        (
            "services/media/parts/base.yaml",
            "services: { base: { image: \"web:1\", volumes: [ ./data:/data ], ports: [ \"9:9\" ] } }",
        ),
        ("services/media/parts/db.env", ""),
    ]);
    assert_eq!(problems, []);
    let brought = compose.brought("media", &AbsPath::new("/srv/m").unwrap());
    let names: Vec<&String> = brought.services.keys().collect();
    assert_eq!(names, ["api", "db", "web"]);
    let api = &brought.services["api"];
    assert_eq!(api.image.as_deref(), Some("api:2"));
    assert_eq!(api.ports.iter().map(|port| port.host).collect::<Vec<_>>(), [8081, 9]);
    assert_eq!(api.mounts[0].source, MountSource::Directory("parts/data".to_owned()));
    assert_eq!(
        compose.references,
        [
            "services/media/parts/base.yaml",
            "services/media/parts/db.env",
            "services/media/parts/db.yaml"
        ]
    );
}

#[test]
fn what_is_not_a_compose_file_is_told() {
    for (text, expected) in [
        ("", "GS0401 1:1 there are no `services` here"),
        ("services: [a]", "GS0401 1:11 `services` must be a mapping of names"),
        ("services: { a: x }", "GS0401 1:16 the service `a` must be a mapping"),
        ("services: { a: { ports: \"80:80\" } }", "GS0401 1:25 `ports` must be a list"),
        ("services: { a: { ports: [ a ] } }", "GS0405 1:27 a port is a number from 1 to 65535"),
        (
            "services: { a: { volumes: [ data:/data ] } }",
            "GS0406 1:29 the volume `data` is not declared under `volumes`",
        ),
        ("services: { a: { extends: b } }", "GS0407 1:27 there is no service `b` to extend"),
        ("services: { a: { extends: a } }", "GS0407 1:27 services extend each other in a circle"),
        ("services: {", "GS0005"),
    ] {
        let (_, problems) = read_one(text);
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert!(problems[0].starts_with(expected), "{text}: {problems:?}");
    }
}

#[test]
fn files_that_mean_much_with_few_bytes_are_refused_fast() {
    let mut extending = "services:\n  base:\n    ports:\n".to_owned();
    extending.push_str(&"      - 80\n".repeat(40_000));
    for number in 0..9_000 {
        extending.push_str(&format!("  s{number}: {{ extends: base }}\n"));
    }
    let mut ranges = "services:\n".to_owned();
    for number in 0..2_000 {
        ranges.push_str(&format!("  s{number}: {{ ports: [ \"1-65535:1-65535\" ] }}\n"));
    }
    for text in [extending, ranges] {
        let start = std::time::Instant::now();
        let (_, problems) = read_one(&text);
        assert!(problems.iter().any(|problem| problem.contains("more than 4096 ports")));
        assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    }
}

#[test]
fn included_files_see_the_variables_beside_them_and_the_file_that_includes_does_not() {
    let (compose, problems) = read_files(&[
        (
            MAIN,
            "include:\n  - path: a.yaml\n  - { path: b/b.yaml, env_file: b/x.env }\nservices:\n  own: { image: \"own:${A}\" }\n",
        ),
        (
            "services/media/a.yaml",
            "services: { a: { image: \"a:${A}-${TAG}\", network_mode: \"${MODE:-bridge}\" } }",
        ),
        ("services/media/.env", "A=1\nTAG=no\nMODE=host\n"),
        (
            "services/media/b/b.yaml",
            "services: { b: { image: \"b:${B}\", environment: [PASSED] } }",
        ),
        ("services/media/b/.env", "B=no\n"),
        ("services/media/b/x.env", "B=2\n"),
    ]);
    let problems: Vec<String> = problems.iter().map(told).collect();
    assert_eq!(problems, ["GS0403 5:17 the variable `A` has no value where compose runs"]);
    let brought = compose.brought("media", &AbsPath::new("/srv/m").unwrap());
    assert_eq!(brought.services["a"].image.as_deref(), Some("a:1-1.2"));
    assert!(brought.services["a"].host_network);
    assert_eq!(brought.services["b"].image.as_deref(), Some("b:2"));
    assert_eq!(compose.references[0], "services/media/.env");
    assert!(compose.used.contains("MODE") && compose.passed.contains("PASSED"));
    let powers = compose.powers(&AbsPath::new("/srv/m").unwrap());
    assert_eq!(powers, [("a".to_owned(), powers::Power::HostNetwork)]);
}

#[test]
fn files_of_one_include_are_merged_as_compose_merges_them() {
    let (compose, problems) = read_files(&[
        (MAIN, "include:\n  - path: [sub/a.yaml, sub/b.yaml]\n    project_directory: .\n"),
        (
            "services/media/sub/a.yaml",
            "services:
  web: { image: \"web:1\", container_name: web, ports: [ \"80:80\" ], volumes: [ \"./a:/data\", \"./c:/c\" ] }
  db: { image: \"db:1\", ports: [ \"90:90\" ] }
",
        ),
        (
            "services/media/sub/b.yaml",
            "services:
  web:
    image: web:2
    container_name: !reset null
    ports: !override
      - \"81:80\"
    volumes: [ \"./b:/data\" ]
  db: { ports: [ \"91:91\" ] }
",
        ),
    ]);
    assert_eq!(problems, []);
    let brought = compose.brought("media", &AbsPath::new("/srv/m").unwrap());
    let web = &brought.services["web"];
    assert_eq!((web.image.as_deref(), web.container_name.as_deref()), (Some("web:2"), None));
    let ports =
        |name: &str| brought.services[name].ports.iter().map(|p| p.host).collect::<Vec<_>>();
    assert_eq!((ports("web"), ports("db")), (vec![81], vec![91, 90]));
    let sources: Vec<_> = web.mounts.iter().map(|mount| mount.source.clone()).collect();
    let directory = |path: &str| MountSource::Directory(path.to_owned());
    assert_eq!(sources, [directory("b"), directory("c")]);
}

#[test]
fn an_image_may_be_built_from_the_folder_itself() {
    let text = "services: { a: { build: . }, b: { build: { context: ./, dockerfile: D } } }";
    let (compose, problems) = read_files(&[(MAIN, text), ("services/media/D", "FROM scratch")]);
    assert_eq!(problems, []);
    assert_eq!(compose.references, ["services/media/D"]);
}

#[test]
fn files_of_variables_that_are_named_again_and_again_cost_nothing() {
    let many = "  - { path: a.yaml, env_file: [ x.env, y.env, x.env ] }\n".repeat(8_000);
    let again = "x.env, y.env, ".repeat(8_000);
    let main = format!(
        "include:\n{many}  - {{ path: b.yaml, env_file: [ {again} x.env ] }}\nservices: {{}}\n"
    );
    let variables: String = (0..60_000).map(|n| format!("VARIABLE_{n}=1\n")).collect();
    let start = std::time::Instant::now();
    let (compose, problems) = read_files(&[
        (MAIN, &main),
        ("services/media/a.yaml", "services: { a: { image: \"a:${VARIABLE_1}\" } }"),
        ("services/media/b.yaml", "services: { b: { image: \"b:1\" } }"),
        ("services/media/x.env", &variables),
        ("services/media/y.env", &variables),
    ]);
    assert_eq!(compose.services().collect::<Vec<_>>(), ["a", "b"]);
    let told: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(told, ["more than 8 files of variables"]);
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}
