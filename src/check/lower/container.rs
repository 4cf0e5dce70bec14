//! The image form: a container with all its settings.

use std::collections::BTreeMap;
use std::time::Duration;

use super::context::Cx;
use super::layers::Origin;
use crate::check::document::kinds::{
    CommandDoc, HealthcheckDoc, HealthcheckFull, LoggingDoc, NetworkDoc, NetworkWord, ResourcesDoc,
    RestartDoc, ServiceDoc,
};
use crate::check::document::text::Lines;
use crate::check::document::{codes, escape};
use crate::model::{
    AbsPath, CommandLine, Container, ContainerCheck, ContainerCheckTest, EnvValue, Logging,
    Network, Resources, Restart, SecretRef,
};

impl Cx<'_> {
    /// The container that an image form describes.
    pub fn container(&mut self, doc: &ServiceDoc, image: &str, origin: &Origin) -> Container {
        self.replicas(doc, origin);
        self.label_keys(&origin.file, "/labels", doc.labels.iter().flat_map(BTreeMap::keys));
        Container {
            image: image.to_owned(),
            command: doc.command.as_ref().map(command),
            entrypoint: doc.entrypoint.as_ref().map(command),
            user: doc.user.as_ref().map(|user| user.0.clone()),
            env: self.env(doc.env.as_ref(), origin, true),
            volumes: self.volumes(doc.volumes.as_ref(), origin),
            network: network(doc.network.as_ref()),
            devices: doc.devices.iter().flatten().map(|device| device.0.clone()).collect(),
            gpus: doc.gpus.as_ref().map(|gpus| gpus.0.clone()),
            cap_add: doc.cap_add.iter().flatten().map(|capability| capability.0.clone()).collect(),
            privileged: doc.privileged.unwrap_or(false),
            labels: texts(doc.labels.as_ref()),
            restart: restart(doc.restart),
            resources: resources(doc.resources.clone().unwrap_or_default()),
            replicas: doc.replicas.unwrap_or(1),
            stop_grace: doc.stop_grace.as_ref().map(|time| time.0),
            healthcheck: doc.healthcheck.as_ref().map(healthcheck),
            logging: logging(doc.logging.clone().unwrap_or_default()),
        }
    }

    /// Environment variables; names of processes' variables must be a shell's.
    pub fn env(
        &mut self,
        written: Option<&BTreeMap<String, Lines>>,
        origin: &Origin,
        container: bool,
    ) -> BTreeMap<String, EnvValue> {
        let mut env = BTreeMap::new();
        for (key, Lines(text)) in written.into_iter().flatten() {
            let pointer = format!("/env/{}", escape(key));
            if !is_variable(key, container) {
                let place = origin.key_place(self.places, &pointer);
                let message = format!("`{}` can't be a variable's name", key.escape_debug());
                self.error(codes::BAD_TEXT, message, place);
            }
            if let Some(text) = text.strip_prefix(SecretRef::PREFIX) {
                let place = self.at(origin, &pointer);
                let secret = self.secret(text, place).map(EnvValue::Secret);
                env.extend(secret.map(|secret| (key.clone(), secret)));
                continue;
            }
            let file = text.strip_prefix("node:").filter(|path| path.starts_with('/'));
            let value = match file.map(AbsPath::new) {
                None => EnvValue::Plain(text.clone()),
                Some(Ok(path)) => EnvValue::NodeFile(path),
                Some(Err(error)) => {
                    self.error(codes::BAD_PATH, error.to_string(), self.at(origin, &pointer));
                    continue;
                }
            };
            env.insert(key.clone(), value);
        }
        env
    }

    fn replicas(&mut self, doc: &ServiceDoc, origin: &Origin) {
        let published = doc.ports.as_ref().is_some_and(|ports| !ports.is_empty());
        let nowhere = doc.publish == Some(crate::check::document::kinds::PublishDoc::None);
        if doc.replicas.unwrap_or(1) > 1 && published && !nowhere {
            let place = origin.key_place(self.places, "/replicas");
            let message = "several containers can't share the published ports of one node";
            self.error(codes::CONFLICT, message, place);
        }
    }
}

fn is_variable(key: &str, container: bool) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let rest = |c: char| first(c) || c.is_ascii_digit() || (container && matches!(c, '.' | '-'));
    key.starts_with(first) && key.chars().all(rest)
}

fn texts(written: Option<&BTreeMap<String, Lines>>) -> BTreeMap<String, String> {
    written.into_iter().flatten().map(|(key, text)| (key.clone(), text.0.clone())).collect()
}

fn command(doc: &CommandDoc) -> CommandLine {
    match doc {
        CommandDoc::Shell(line) => CommandLine::Shell(line.0.clone()),
        CommandDoc::Words(words) => {
            CommandLine::Words(words.iter().map(|word| word.0.clone()).collect())
        }
    }
}

fn network(doc: Option<&NetworkDoc>) -> Network {
    match doc {
        None | Some(NetworkDoc::Word(NetworkWord::Bridge)) => Network::Bridge,
        Some(NetworkDoc::Word(NetworkWord::Host)) => Network::Host,
        Some(NetworkDoc::Word(NetworkWord::None)) => Network::None,
        Some(NetworkDoc::Join(names)) => {
            Network::Join(names.iter().map(|name| name.0.clone()).collect())
        }
    }
}

fn restart(doc: Option<RestartDoc>) -> Restart {
    match doc {
        Some(RestartDoc::No) => Restart::No,
        Some(RestartDoc::Always) => Restart::Always,
        Some(RestartDoc::OnFailure) => Restart::OnFailure,
        Some(RestartDoc::UnlessStopped) | None => Restart::UnlessStopped,
    }
}

fn resources(doc: ResourcesDoc) -> Resources {
    Resources {
        memory: doc.memory.map(|size| size.0),
        cpus: doc.cpus.map(|number| number.0),
        pids: doc.pids,
        shm: doc.shm.map(|size| size.0),
    }
}

fn logging(doc: LoggingDoc) -> Logging {
    Logging {
        max_size: doc.max_size.map_or_else(|| "10m".to_owned(), |size| size.0),
        max_file: doc.max_file.unwrap_or(3),
    }
}

fn healthcheck(doc: &HealthcheckDoc) -> ContainerCheck {
    let usual = Duration::from_secs(30);
    let (full, test) = match doc {
        HealthcheckDoc::Off(_) => (None, ContainerCheckTest::Disable),
        HealthcheckDoc::Full(full) => (Some(full), container_test(full)),
    };
    let time = |pick: fn(&HealthcheckFull) -> Option<Duration>, default: Duration| {
        full.and_then(pick).unwrap_or(default)
    };
    ContainerCheck {
        test,
        interval: time(|full| full.interval.as_ref().map(|time| time.0), usual),
        timeout: time(|full| full.timeout.as_ref().map(|time| time.0), usual),
        retries: full.and_then(|full| full.retries).unwrap_or(3),
        start_period: time(|full| full.start_period.as_ref().map(|time| time.0), Duration::ZERO),
    }
}

fn container_test(full: &HealthcheckFull) -> ContainerCheckTest {
    match command(&full.test) {
        CommandLine::Shell(line) => ContainerCheckTest::Shell(line),
        CommandLine::Words(words) => ContainerCheckTest::Words(words),
    }
}
