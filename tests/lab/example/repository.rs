//! The example's files in the fleet repository, and the few that differ here.

use std::fs;
use std::path::Path;

use super::Example;

impl Example {
    /// The hosts as their operator left them, and the example pushed to the bare repository.
    pub fn prepare_example(&self) {
        self.prepare_hosts();
        self.remove("nodes/laptop.yaml");
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("example-repo");
        copy(&example, &self.repository());
        self.pin("vps1", "user: deploy\n", "user: deploy\n  ", "\n");
        self.pin("vps2", "user: deploy, ", "user: deploy, ", ", ");
        self.pin("unraid", "user: root ", "user: root, ", " ");
        // No certificate authority of the Internet is here: Caddy is its own.
        self.edit("gateways/edge.yaml", "tls: auto", "tls: internal");
        self.edit(
            "gateways/edge.yaml",
            "health_interval: 10s",
            "health_interval: 1s\nhealth_timeout: 1s",
        );
        // The same checks, sooner: what they wait for is the test app.
        self.edit("fleet.yaml", "interval: 2s", "interval: 500ms");
        self.edit("fleet.yaml", "stable_for: 10s", "stable_for: 1s");
        self.commit("the example");
    }

    /// Says by what key the controller is let in, and by which the host is known.
    fn pin(&self, name: &str, after: &str, before: &str, end: &str) {
        let identity = self.lab.identity();
        let identity = identity.display();
        let key = self.host(name).host_key().unwrap();
        let apart = if end == "\n" { "\n  " } else { ", " };
        let pinned = format!("{before}identity: {identity}{apart}host_key: \"{key}\"{end}");
        self.edit(&format!("nodes/{name}.yaml"), after, &pinned);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// A file of the example, as it is in the checkout.
pub fn content(path: &str) -> String {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("example-repo");
    fs::read_to_string(example.join(path)).unwrap()
}
