//! A stage for a scenario: a lab, the controller's place in it, a fleet repository, a registry.
//!
//! What a scenario did is kept under `target/lab/<scenario>/` when it fails.

mod controller;
mod daemon;
mod evidence;
mod repository;

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use controller::Said;
pub use daemon::Daemon;
use gitsync_lab::image::{App, Image, archive};
use gitsync_lab::registry::Registry;
use gitsync_lab::traffic::{self, Reply, Target, WebSocket, wait_until};
use gitsync_lab::traffic::{Load, Talk, Traffic};
use gitsync_lab::{Host, Lab, Spec};

/// Hosts, a controller, a repository; everything goes when it is dropped.
pub struct Stage {
    pub lab: Lab,
    pub app: App,
    scenario: &'static str,
    registry: Registry,
}

impl Stage {
    /// Brings the hosts up; none, with a line that says why, where this machine can't have a lab. In CI and where
    /// all programs are required that is a failure.
    pub fn new(scenario: &'static str, spec: &Spec) -> Option<Self> {
        if let Err(error) = gitsync_lab::check_machine() {
            let required = ["CI", "GITSYNC_REQUIRE_PROGRAMS"];
            let required = required.iter().any(|key| std::env::var_os(key).is_some());
            assert!(!required, "{error}, and all scenarios are required");
            eprintln!("skipped: {error}");
            return None;
        }
        let app = gitsync_lab::app().unwrap();
        let lab = Lab::start(spec).unwrap();
        let place = (IpAddr::from(lab.controller()), 5000);
        let listener = lab.inside(|| TcpListener::bind(place)).unwrap();
        let stage = Self { lab, app, scenario, registry: Registry::serve(listener).unwrap() };
        stage.make_controller();
        let _ = fs::remove_dir_all(stage.evidence());
        Some(stage)
    }

    /// Where what happened is kept when the scenario fails.
    pub fn evidence(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/lab").join(self.scenario)
    }

    /// A host by its name.
    #[track_caller]
    pub fn host(&self, name: &str) -> &Host {
        self.lab.host(name)
    }

    /// The lab's registry, on the controller's address; images are named by [`Stage::push`].
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Puts an image into the registry; the reference that services use.
    pub fn push(&self, name: &str, tag: &str, image: &Image) -> String {
        self.registry.push(name, tag, image);
        self.registry.reference(name, tag)
    }

    /// Loads images into engines, as if they had been pulled.
    pub fn load_images(&self, hosts: &[&str], images: &[(&str, &Image)]) {
        let archive = archive(images).unwrap();
        std::thread::scope(|scope| {
            for host in hosts {
                scope.spawn(|| self.host(host).feed("docker", &["load", "-q"], &archive).unwrap());
            }
        });
    }

    /// One request from the controller's place.
    pub fn get(&self, address: SocketAddr, host: &str, path: &str) -> Result<Reply, String> {
        self.lab.inside(|| traffic::get(address, host, path))
    }

    /// The version that answers at a host's port; words that say why where none does.
    pub fn version(&self, host: &str, port: u16) -> String {
        let address = SocketAddr::from((self.host(host).address(), port));
        match self.get(address, "app.test", "/") {
            Ok(reply) => {
                reply.version().map_or_else(|| format!("status {}", reply.status), str::to_owned)
            }
            Err(error) => error,
        }
    }

    /// Waits until something holds; fails with what was seen last.
    #[track_caller]
    pub fn until<T>(
        &self,
        within: Duration,
        what: &str,
        look: impl FnMut() -> Result<T, String> + Send,
    ) -> T
    where
        T: Send,
    {
        self.lab.inside(|| wait_until(within, what, look)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Users of a gateway or service: so many requests per second, none tried again.
    pub fn users(&self, target: Target, per_second: u32) -> Traffic {
        let mut load = Load::on(target);
        load.per_second = per_second.into();
        Traffic::start(load, |work| self.lab.spawn(work))
    }

    /// One user with a WebSocket open.
    pub fn websocket(&self, target: Target) -> WebSocket {
        WebSocket::start(Talk::on(target), |work| self.lab.spawn(work))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.save_evidence();
        }
    }
}
