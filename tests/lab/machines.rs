//! For scenarios about machines rather than engines: the test app as a plain process, and files of any size.

use std::fs;
use std::net::SocketAddr;

use super::stage::Stage;

impl Stage {
    /// Puts the test app's program on hosts, as `/opt/app`.
    pub fn install_app(&self, hosts: &[&str]) {
        let program = fs::read(gitsync_lab::app_program().unwrap()).unwrap();
        for host in hosts {
            self.host(host).write("/opt/app", &program).unwrap();
            self.host(host).sh("/lab/busybox chmod 755 /opt/app").unwrap();
        }
    }

    /// A service that is the test app as a process: where, its port, its settings; `more` is added as it is.
    pub fn write_process(&self, name: &str, host: &str, port: u16, settings: &str, more: &str) {
        self.write(
            &format!("services/{name}.yaml"),
            &format!(
                "run: command\nstart: \"exec env APP_PORTS={port} {settings} /opt/app\"\n\
                 placement: {{ on: [{host}] }}\nports: {{ web: {port} }}\n\
                 health: {{ http: /health, port: web }}\n{more}"
            ),
        );
    }

    /// How fast everything is found good or bad.
    pub fn write_fleet(&self, stable_for: &str) {
        self.write(
            "fleet.yaml",
            &format!(
                "version: 1\nname: stage\ndomain: test\nrollout: {{ prune: {{ enabled: true, max_removals: 5 }} }}\n\
                 health: {{ interval: 200ms, timeout: 1s, retries: 10, stable_for: {stable_for} }}\n"
            ),
        );
    }

    /// The version that answers at an address, or why none does.
    pub fn version_at(&self, address: SocketAddr) -> Result<String, String> {
        let reply = self.get(address, "app.test", "/")?;
        reply.version().map(str::to_owned).ok_or_else(|| format!("status {}", reply.status))
    }

    /// A file of so many KiB in the fleet's repository; another seed gives another content of the same size.
    pub fn write_big(&self, path: &str, kib: usize, seed: u8) {
        let line = format!("{seed:03}-{}\n", "x".repeat(59));
        self.write(path, &line.repeat(kib * 16));
    }

    /// What lies below a directory of a host, sorted; nothing when it isn't there.
    pub fn listing(&self, host: &str, directory: &str) -> Vec<String> {
        let script = format!("/lab/busybox find '{directory}' 2>/dev/null || :");
        let mut lines: Vec<String> =
            self.host(host).sh(&script).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}
