//! `health` into checks with addresses and ports, and its timing with the fleet's defaults.

use super::context::{Cx, Timing};
use super::layers::Origin;
use super::ports::Reachable;
use crate::check::document::codes;
use crate::check::document::kinds::{
    ExecDoc, ExecOn, FromDoc, HealthDoc, HttpDoc, HttpFull, Scheme,
};
use crate::check::document::text::StatusText;
use crate::model::{Check, Form, Health, ProbeFrom, StatusRange};

/// Who asks, as the model says it.
pub fn from(doc: FromDoc) -> ProbeFrom {
    match doc {
        FromDoc::Node => ProbeFrom::Node,
        FromDoc::Controller => ProbeFrom::Controller,
        FromDoc::Gateway => ProbeFrom::Gateway,
    }
}

/// Health with these checks, and the timing of a document over the fleet's defaults.
pub fn timed(checks: Vec<Check>, doc: Option<&HealthDoc>, defaults: &Timing) -> Health {
    let none = HealthDoc::default();
    let doc = doc.unwrap_or(&none);
    Health {
        checks,
        interval: doc.interval.as_ref().map_or(defaults.interval, |time| time.0),
        timeout: doc.timeout.as_ref().map_or(defaults.timeout, |time| time.0),
        retries: doc.retries.unwrap_or(defaults.retries),
        start_period: doc.start_period.as_ref().map_or(defaults.start_period, |time| time.0),
        stable_for: doc.stable_for.as_ref().map_or(defaults.stable_for, |time| time.0),
        from: doc.from.map_or(defaults.from, from),
    }
}

/// Whether the author wrote any check.
pub fn declared(doc: Option<&HealthDoc>) -> bool {
    doc.is_some_and(|doc| {
        doc.http.is_some() || doc.tcp.is_some() || doc.exec.is_some() || doc.container == Some(true)
    })
}

impl Cx<'_> {
    /// The health of an instance: what the author wrote, and that it runs.
    pub fn instance_health(
        &mut self,
        doc: Option<&HealthDoc>,
        origin: &Origin,
        of: &Reachable<'_>,
    ) -> Health {
        let mut checks = Vec::new();
        if let Some(doc) = doc {
            checks.extend(self.http(doc, origin, of));
            checks.extend(self.tcp(doc, origin, of));
            checks.extend(self.exec(doc, origin, of));
            self.lonely_keys(doc, origin, matches!(of.form, Form::Compose(_)));
        }
        checks.push(Check::Running);
        timed(checks, doc, &self.fleet.health)
    }

    /// The health of a bundle: only commands on its node have a meaning there.
    pub fn bundle_health(&mut self, doc: Option<&HealthDoc>, origin: &Origin) -> Health {
        let mut checks = Vec::new();
        if let Some(doc) = doc {
            let asks_ports = [("http", doc.http.is_some()), ("tcp", doc.tcp.is_some())];
            let others = [("port", doc.port.is_some()), ("service", doc.service.is_some())];
            let container = [("container", doc.container.is_some())];
            for (key, _) in asks_ports.into_iter().chain(others).chain(container).filter(|it| it.1)
            {
                let place = origin.key_place(self.places, &format!("/health/{key}"));
                let message = format!("`{key}` has no meaning for a bundle: check it with `exec`");
                self.error(codes::CONFLICT, message, place);
            }
            if let Some(ExecDoc::Full(full)) = &doc.exec
                && full.on == ExecOn::Container
            {
                let place = self.at(origin, "/health/exec/on");
                self.error(codes::CONFLICT, "a bundle has no container", place);
            }
            let command = doc.exec.as_ref().map(command);
            checks.extend(command.map(|command| Check::Exec { command, container: None }));
        }
        timed(checks, doc, &self.fleet.health)
    }

    fn http(&mut self, doc: &HealthDoc, origin: &Origin, of: &Reachable<'_>) -> Option<Check> {
        let full = match doc.http.as_ref()? {
            HttpDoc::Path(path) => {
                let path = path.clone();
                HttpFull { path, scheme: None, host: None, status: None, body: None }
            }
            HttpDoc::Full(full) => full.clone(),
        };
        let pointer = if doc.port.is_some() { "/health/port" } else { "/health/http" };
        let service = if doc.service.is_some() { "/health/service" } else { "/health" };
        let target = self.find_port(
            of,
            doc.port.as_ref(),
            doc.service.as_ref(),
            origin,
            (pointer, service),
        )?;
        self.asked_from(doc, target.loopback, origin, pointer);
        let scheme = if full.scheme == Some(Scheme::Https) { "https" } else { "http" };
        let written = full.status.as_ref().map(|status| status.values()).unwrap_or_default();
        let status = written.iter().enumerate().filter_map(|(at, text)| {
            let several = format!("/health/http/status/{at}");
            self.status(text, origin, &several)
        });
        Some(Check::Http {
            status: status.collect(),
            scheme: scheme.to_owned(),
            address: target.address,
            port: target.port,
            host: full.host.map(|host| host.0),
            path: full.path.0,
            body: full.body,
        })
    }

    fn status(&mut self, text: &StatusText, origin: &Origin, pointer: &str) -> Option<StatusRange> {
        let (first, last) = text.0.split_once('-').unwrap_or((&text.0, &text.0));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        if first > last {
            let message = format!("`{}` is an empty range", text.0);
            self.error(codes::OUT_OF_RANGE, message, self.at(origin, pointer));
        }
        Some(StatusRange { first, last })
    }

    fn tcp(&mut self, doc: &HealthDoc, origin: &Origin, of: &Reachable<'_>) -> Option<Check> {
        let port = doc.tcp.as_ref()?;
        let service = if doc.service.is_some() { "/health/service" } else { "/health" };
        let pointers = ("/health/tcp", service);
        let target = self.find_port(of, Some(port), doc.service.as_ref(), origin, pointers)?;
        self.asked_from(doc, target.loopback, origin, "/health/tcp");
        Some(Check::Tcp { address: target.address, port: target.port })
    }

    fn asked_from(&mut self, doc: &HealthDoc, loopback: bool, origin: &Origin, pointer: &str) {
        let from = doc.from.map_or(self.fleet.health.from, from);
        if loopback && from == ProbeFrom::Controller {
            let message = "the port is published on loopback, where the controller can't ask it";
            self.error(codes::UNREACHABLE_PORT, message, self.at(origin, pointer));
        }
    }

    fn exec(&mut self, doc: &HealthDoc, origin: &Origin, of: &Reachable<'_>) -> Option<Check> {
        let exec = doc.exec.as_ref()?;
        let written = match exec {
            ExecDoc::Command(_) => None,
            ExecDoc::Full(full) => Some(full.on),
        };
        let container = match of.form {
            Form::Image(_) => (written != Some(ExecOn::Node)).then(|| of.service.to_string()),
            Form::Process(_) => {
                if written == Some(ExecOn::Container) {
                    let place = self.at(origin, "/health/exec/on");
                    self.error(codes::CONFLICT, "this service has no container", place);
                }
                None
            }
            Form::Compose(brought) => {
                let named = doc.service.is_some() && written != Some(ExecOn::Node);
                if named || written == Some(ExecOn::Container) {
                    let pointer = if named { "/health/service" } else { "/health/exec" };
                    Some(self.brought_service(brought, doc.service.as_ref(), origin, pointer)?)
                } else {
                    None
                }
            }
        };
        Some(Check::Exec { command: command(exec), container })
    }

    /// Tells keys of `health` that nothing else there makes use of.
    fn lonely_keys(&mut self, doc: &HealthDoc, origin: &Origin, compose: bool) {
        let port = doc.port.is_some() && doc.http.is_none();
        let service = doc.service.is_some() && !compose;
        let why = [
            ("port", port, "`port` belongs to `http`, which is missing"),
            ("service", service, "`service` belongs to a compose file"),
        ];
        for (key, _, message) in why.into_iter().filter(|(_, lonely, _)| *lonely) {
            let place = origin.key_place(self.places, &format!("/health/{key}"));
            self.error(codes::CONFLICT, message, place);
        }
    }
}

fn command(exec: &ExecDoc) -> String {
    match exec {
        ExecDoc::Command(command) => command.0.clone(),
        ExecDoc::Full(full) => full.command.0.clone(),
    }
}
