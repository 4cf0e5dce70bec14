//! A small fleet in two versions, from its files to the release, as a commit would bring it.

use std::collections::BTreeMap;

use gitsync::check;
use gitsync::model::{Digest, Entry, Fleet, Release, Snapshot, UnitId};
use gitsync::render;

/// A checked fleet and what it wants.
#[derive(Clone)]
pub struct Wanted {
    pub fleet: Fleet,
    pub release: Release,
}

impl Wanted {
    pub fn digest(&self, id: &str) -> Digest {
        let id: UnitId = id.parse().unwrap();
        self.release.units[&id].digest()
    }
}

/// Where the fleet's nodes and files are, and what its programs do besides running.
pub struct Place {
    pub base: String,
    pub start: String,
}

impl Place {
    /// Nowhere: for nodes that are only imagined.
    pub fn imagined() -> Self {
        Self { base: "/srv/lab".to_owned(), start: "exec sleep 3601".to_owned() }
    }

    /// The fleet at one version. Any other than `one` changes every unit, takes a bundle away and
    /// brings another; what depends on others never gets healthy in `sick`.
    pub fn version(&self, version: &str) -> Wanted {
        wanted(&self.files(version))
    }

    fn files(&self, version: &str) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        let mut put = |path: &str, text: String| drop(files.insert(path.to_owned(), text));
        put("fleet.yaml", FLEET.to_owned());
        for node in ["a", "b"] {
            let base = &self.base;
            put(
                &format!("nodes/{node}.yaml"),
                format!("address: 127.0.0.1\nlocal: {base}/{node}\n"),
            );
        }
        put("services/store.yaml", self.service(version, "on: [a]", ""));
        put(
            "services/app.yaml",
            self.service(version, "primary: b, fallback: [a]", "depends_on: [store]\n"),
        );
        put("bundles/motd.yaml", self.bundle("motd", "[a]"));
        put("files/motd/text", format!("{version}\n"));
        let passing = if version == "one" { "leaving" } else { "coming" };
        put(&format!("bundles/{passing}.yaml"), self.bundle(passing, "[b]"));
        put(&format!("files/{passing}/text"), "for a while\n".to_owned());
        files
    }

    fn service(&self, version: &str, placement: &str, more: &str) -> String {
        let start = &self.start;
        let healthy = version != "sick" || more.is_empty();
        format!(
            "run: command\nstart: \"{start} # {version}\"\nplacement: {{ {placement} }}\n{more}\
             health: {{ exec: \"{healthy}\" }}\n"
        )
    }

    fn bundle(&self, name: &str, on: &str) -> String {
        let base = &self.base;
        format!("files: files/{name}/\nto: {{ on: {on}, path: {base}/files/{name} }}\n")
    }
}

const FLEET: &str = "version: 1
name: lab
rollout: { dead_man: 60s }
health: { interval: 50ms, timeout: 2s, retries: 3, start_period: 100ms, stable_for: 0s }
";

fn wanted(files: &BTreeMap<String, String>) -> Wanted {
    let entry = |text: &String| Entry::File { content: text.clone().into(), executable: false };
    let entries = files.iter().map(|(path, text)| (path.clone(), entry(text))).collect();
    let checked = check::check(&Snapshot { entries, ..Snapshot::default() });
    let fleet = checked.fleet.unwrap_or_else(|| panic!("{:?}", checked.diagnostics));
    let release = render::render(&fleet).unwrap_or_else(|problems| panic!("{problems:?}"));
    Wanted { fleet, release }
}
