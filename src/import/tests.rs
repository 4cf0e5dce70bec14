//! Stacks in memory.

use super::*;

struct Folder(BTreeMap<String, Vec<u8>>);

impl Folder {
    fn of(files: &[(&str, &str)]) -> Self {
        Self(
            files
                .iter()
                .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
                .collect(),
        )
    }
}

impl Files for Folder {
    fn look(&self, path: &str) -> Look {
        if let Some(content) = self.0.get(path) {
            return Look::File { content: content.clone(), executable: false };
        }
        let below = format!("{path}/");
        let directory = path.is_empty() || self.0.keys().any(|other| other.starts_with(&below));
        if directory { Look::Directory } else { Look::Nothing }
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let below = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let inside = self.0.keys().filter_map(|path| path.strip_prefix(&below));
        let names = inside.map(|rest| rest.split('/').next().unwrap_or_default().to_owned());
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

fn wish() -> Wish {
    Wish {
        name: None,
        project: None,
        node: Name::new("vps1").unwrap(),
        services: AbsPath::new("/opt/stacks").unwrap(),
        environment: None,
        directory: None,
        adopt: false,
        with_secrets: false,
    }
}

fn bring(files: &[(&str, &str)], wish: &Wish) -> Proposal {
    let folder = Folder::of(files);
    let picked = pick(&folder, "My_Shop", "compose.yaml", &[]);
    propose(&folder, &picked, wish).unwrap()
}

fn text<'p>(proposal: &'p Proposal, path: &str) -> &'p str {
    match &proposal.files[path] {
        Entry::File { content, .. } => std::str::from_utf8(content).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn copied(proposal: &Proposal) -> Vec<&str> {
    proposal.files.keys().map(String::as_str).collect()
}

#[test]
fn a_stack_without_variables_comes_as_it_is_under_the_name_that_it_ran_as() {
    let compose = "services: { web: { image: \"nginx:1\" } }\n";
    let proposal =
        bring(&[("compose.yaml", compose), (".env", "UNUSED=1\n"), ("notes", "x")], &wish());
    assert_eq!(copied(&proposal), ["compose.yaml", "service.yaml"]);
    assert_eq!(text(&proposal, "compose.yaml"), compose);
    assert_eq!((proposal.name.as_str(), proposal.project.as_str()), ("my-shop", "my_shop"));
    assert!(text(&proposal, "service.yaml").contains("\nproject: my_shop #"));
    assert_eq!((proposal.refusals, proposal.remarks), (vec![], vec![]));
}

#[test]
fn variables_and_overrides_come_with_a_file_that_says_so() {
    let files = [
        ("compose.yaml", "name: a\nservices: { web: { image: \"nginx:${TAG:-1}\" } }\n"),
        ("compose.override.yaml", "name: b\nservices: { web: { ports: [ \"80:80\" ] } }\n"),
        (".env", "TAG=2\n"),
    ];
    let proposal = bring(&files, &wish());
    assert_eq!(
        copied(&proposal),
        [".env", "compose.override.yaml", "compose.yaml", "gitsync.compose.yaml", "service.yaml"]
    );
    let wrapper = text(&proposal, WRAPPER);
    assert!(wrapper.contains("path: [compose.yaml, compose.override.yaml]"), "{wrapper}");
    assert!(wrapper.contains("env_file: .env"), "{wrapper}");
    assert_eq!(proposal.project, "b");
    let proposal = bring(&[files[0], files[1], (".env", "OTHER=1\n")], &wish());
    assert!(text(&proposal, WRAPPER).contains("env_file: /dev/null"));
    assert!(!proposal.files.contains_key(".env"));
}

#[test]
fn configuration_comes_along_and_data_stays() {
    let files = [
        (
            "compose.yaml",
            "services:\n  web:\n    image: nginx:1\n    volumes: [ \"./nginx.conf:/a:ro\", \"./data:/data\", \
             \"./conf:/conf:ro\", \"./data/certs:/certs:ro\", \"./gone:/gone\", \"../out:/out\", \"~/x:/x\" ]\n",
        ),
        ("nginx.conf", "a"),
        ("data/db", "b"),
        ("data/certs/x", "c"),
        ("conf/a/b", "d"),
    ];
    let proposal = bring(&files, &wish());
    assert_eq!(copied(&proposal), ["compose.yaml", "conf/a/b", "nginx.conf", "service.yaml"]);
    let left: Vec<&str> = proposal.left.iter().map(|left| left.path.as_str()).collect();
    assert_eq!(left, ["data", "data/certs"]);
    assert!(proposal.left[0].todo.contains("/opt/stacks/my-shop/data"));
    let remarks = proposal.remarks.join("\n");
    for word in ["`./gone`", "/opt/stacks/out", "home directory"] {
        assert!(remarks.contains(word), "no {word} in {remarks}");
    }
}

#[test]
fn secrets_stay_out_unless_they_are_asked_for() {
    let files = [
        (
            "compose.yaml",
            "services:\n  web:\n    image: \"nginx:${TAG}\"\n    env_file: [ web.env, { path: own.env, required: \
             false } ]\n    secrets: [ s ]\nsecrets: { s: { file: s.txt } }\n",
        ),
        (".env", "TAG=1\nDB_PASSWORD=x\n"),
        ("web.env", "TZ=UTC\n"),
        ("own.env", "TOKEN=abc\n"),
        ("s.txt", "x"),
    ];
    let proposal = bring(&files, &wish());
    let left: Vec<&str> = proposal.left.iter().map(|left| left.path.as_str()).collect();
    assert_eq!(left, [".env", "own.env", "s.txt"]);
    assert_eq!(proposal.refusals.len(), 1, "{:?}", proposal.refusals);
    assert!(proposal.files.contains_key("web.env"));
    let proposal = bring(&files, &Wish { with_secrets: true, ..wish() });
    assert_eq!((proposal.left, proposal.refusals), (vec![], vec![]));
    assert!(proposal.files.contains_key("s.txt") && proposal.files.contains_key(".env"));
}

#[test]
fn what_an_included_file_would_not_get_is_refused() {
    let files = [
        (
            "compose.yaml",
            "services:\n  web: { build: { context: ., args: [ VERSION ] }, env_file: web.env }\n",
        ),
        ("Dockerfile", "FROM scratch\n"),
        ("web.env", "URL=http://${DOMAIN}/\nRAW='$TAG'\n"),
        (".env", "VERSION=1\nDOMAIN=example.net\nTAG=1\nCOMPOSE_PROFILES=debug\n"),
    ];
    let refusals: Vec<String> =
        bring(&files, &wish()).refusals.into_iter().map(|refusal| refusal.message).collect();
    assert_eq!(refusals.len(), 3, "{refusals:?}");
    assert!(refusals[0].contains("`VERSION`") && refusals[1].contains("`DOMAIN`"));
    assert!(!refusals[1].contains("TAG") && refusals[2].contains("COMPOSE_PROFILES=debug"));
}
