//! What scenarios of changed, removed and adopted things share: processes, gateways, containers as they are seen.

use std::net::SocketAddr;

use gitsync_lab::app_program;
use gitsync_lab::traffic::{Target, get};

use crate::stage::Stage;

/// A container at one moment: another one, or the same one started again, is not equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The whole id.
    pub id: String,
    /// When it was started last.
    pub started: String,
}

/// A gateway that the node script keeps, on h1's port 80, quick to see what is behind it.
pub const GATEWAY: &str = "proxy: caddy\non: [h1]\nrun: command\nlisten: { http: 80 }\n\
                           health_interval: 500ms\nhealth_timeout: 1s\nadopt: true\n";

/// A service that is the app's program on a host.
pub fn process(host: &str, version: &str, port: u16) -> String {
    format!(
        "run: command\nstart: exec /opt/app --version={version} --ports={port}\n\
         placement: {{ on: [{host}] }}\nports: {{ http: {port} }}\n\
         health: {{ http: /, port: http }}\n"
    )
}

/// A service that gateways route to, by this name in the fleet's domain.
pub fn exposed(name: &str, service: String) -> String {
    format!("{service}expose: [ {{ host: {name}, port: http }} ]\n")
}

impl Stage {
    /// Health checks as short as they can be, for scenarios that are about other things.
    pub fn quick(&self) {
        self.edit("fleet.yaml", "interval: 500ms", "interval: 200ms");
        self.edit("fleet.yaml", "stable_for: 2s", "stable_for: 1s");
    }

    /// Puts the app's program on hosts, as `/opt/app`.
    pub fn put_app(&self, hosts: &[&str]) {
        let program = std::fs::read(app_program().unwrap()).unwrap();
        for host in hosts {
            self.host(host).write("/opt/app", &program).unwrap();
            self.host(host).sh("chmod 755 /opt/app").unwrap();
        }
    }

    /// A place at a host's port, asked by a site's name.
    pub fn target(&self, host: &str, port: u16, site: &str) -> Target {
        Target::new(SocketAddr::from((self.host(host).address(), port)), site)
    }

    /// What a host's port answers for a site's path; words that say why where nothing does.
    pub fn text(&self, target: &Target, path: &str) -> String {
        let asked = self.lab.inside(|| get(target.addr, &target.host, path));
        asked.map_or_else(|error| error, |reply| reply.text())
    }

    /// The only container of a compose service on a host, whoever made it.
    #[track_caller]
    pub fn container(&self, host: &str, project: &str, service: &str) -> Container {
        let label = "--filter label=com.docker.compose";
        let script = format!(
            "docker ps -q --no-trunc {label}.project={project} {label}.service={service} |
             xargs docker inspect --format '{{{{.Id}}}} {{{{.State.StartedAt}}}}'"
        );
        let said = self.host(host).sh(&script).unwrap();
        let words: Vec<&str> = said.split_whitespace().collect();
        let [id, started] = words[..] else { panic!("{project}/{service} on {host}: `{said}`") };
        Container { id: id.to_owned(), started: started.to_owned() }
    }

    /// How many volumes of a name a host's engine has.
    pub fn volumes(&self, host: &str, name: &str) -> usize {
        let script = format!("docker volume ls -q --filter name=^{name}$ | wc -l");
        self.host(host).sh(&script).unwrap().trim().parse().unwrap()
    }
}
