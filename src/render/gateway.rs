//! Units of gateways: the proxy's configuration on each of its nodes, and the three ways of running it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::json;

use super::template::Templates;
use super::{Problems, caddyfile, codes, compose, shell};
use crate::model::{
    AbsPath, Artifact, BindAddress, Check, Command, ComposeService, Content, Fleet, Gateway,
    GatewayRun, Health, Moment, Name, Node, PortClaim, ProbeFrom, Protocol, Runtime, Tls, Unit,
    UnitId, UnitKind, Validation,
};

/// Where Caddy's admin interface listens when nothing else is said.
const ADMIN: &str = "localhost:2019";
/// What runs `run: compose` when the gateway names no image.
const IMAGE: &str = "caddy:2.10.2";

/// What the three ways of running a gateway need to know.
struct Laid<'a> {
    fleet: &'a Fleet,
    gateway: &'a Gateway,
    id: UnitId,
    directory: AbsPath,
    file: AbsPath,
    /// The address of the admin interface, if it is on.
    admin: Option<&'a str>,
    /// By what a running Caddy tells that it took the file.
    proof: Option<String>,
}

/// The unit of a gateway on one of its nodes.
pub(super) fn unit(
    fleet: &Fleet,
    gateway: &Gateway,
    node: &Node,
    templates: &Templates,
) -> Result<Unit, Problems> {
    let (text, proof) = caddyfile::file(gateway, &node.name, templates)?;
    let laid = lay(fleet, gateway, node, proof)?;
    let mut unit = super::blank(fleet, &laid.id, &laid.directory, &laid.health());
    unit.depends_on = gateway.routed().into_iter().cloned().collect();
    unit.claims.ports = claims(gateway);
    unit.adopt = gateway.adopt;
    unit.artifacts.push(artifact(laid.file.clone(), text.into_bytes()));
    match &gateway.run {
        GatewayRun::Systemd => laid.systemd(&mut unit),
        GatewayRun::Compose => laid.compose(&mut unit)?,
        GatewayRun::Command { .. } => laid.process(&mut unit),
    }
    Ok(unit)
}

fn lay<'a>(
    fleet: &'a Fleet,
    gateway: &'a Gateway,
    node: &Node,
    proof: Option<String>,
) -> Result<Laid<'a>, Problems> {
    let outside = |error: crate::model::PathError| {
        vec![codes::in_file(codes::OUTSIDE, error.to_string(), &gateway.source)]
    };
    let directory =
        node.paths.gateways.join(&directory_name(fleet, gateway, &node.name)).map_err(outside)?;
    let file = directory.join("Caddyfile").map_err(outside)?;
    let admin = match gateway.listen.admin.as_deref() {
        Some("off") => None,
        Some(address) => Some(address),
        None => Some(ADMIN),
    };
    let id = UnitId::new(&node.name, UnitKind::Gateway, &gateway.name);
    Ok(Laid { fleet, gateway, id, directory, file, admin, proof })
}

/// The only gateway of a node has the directory that the distribution's service reads.
fn directory_name(fleet: &Fleet, gateway: &Gateway, node: &Name) -> String {
    let here = fleet.gateways.values().filter(|other| other.on.contains(node)).count();
    if here > 1 { format!("caddy-{}", gateway.name) } else { "caddy".to_owned() }
}

fn artifact(destination: AbsPath, content: Vec<u8>) -> Artifact {
    let content = Content::Bytes(content);
    Artifact { destination, mode: 0o644, owner: None, content, sensitive: false }
}

/// Listeners on the node: plain HTTP always (it redirects when there are certificates), HTTPS also over QUIC.
fn claims(gateway: &Gateway) -> BTreeSet<PortClaim> {
    let listen = &gateway.listen;
    let mut ports = vec![(Protocol::Tcp, listen.http)];
    if gateway.tls != Tls::Off {
        ports.extend([(Protocol::Tcp, listen.https), (Protocol::Udp, listen.https)]);
    }
    let any = listen.bind.is_empty().then_some(BindAddress::Any);
    let binds: Vec<BindAddress> =
        listen.bind.iter().map(|address| BindAddress::One(*address)).chain(any).collect();
    let all = ports.into_iter().flat_map(|(protocol, port)| {
        binds.iter().map(move |bind| PortClaim { protocol, bind: *bind, port })
    });
    all.collect()
}

impl Laid<'_> {
    /// It runs, listens, and has taken the file.
    fn health(&self) -> Health {
        let container = match &self.gateway.run {
            GatewayRun::Compose => Some("caddy".to_owned()),
            _ => None,
        };
        let mut checks = match &self.gateway.run {
            GatewayRun::Systemd => {
                let command = format!("systemctl is-active --quiet {}", self.service());
                vec![Check::Exec { command, container: None }]
            }
            _ => vec![Check::Running],
        };
        checks.extend(self.listens());
        let taken = self.taken().map(|command| Check::Exec { command, container });
        checks.extend(taken);
        super::own_health(checks, ProbeFrom::Node)
    }

    /// A Caddy without sites listens nowhere.
    fn listens(&self) -> Option<Check> {
        let listen = &self.gateway.listen;
        let port = if self.gateway.tls == Tls::Off { listen.http } else { listen.https };
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let address = listen.bind.first().copied().unwrap_or(loopback);
        (!self.gateway.sites.is_empty()).then_some(Check::Tcp { address, port })
    }

    /// Asks the running Caddy whether its configuration has the proof in it. Sockets and other programs aren't asked.
    fn taken(&self) -> Option<String> {
        let (admin, proof) = (self.admin?, self.proof.as_ref()?);
        if admin.contains('/') || !self.runs_caddy() {
            return None;
        }
        let url = shell::word(&format!("http://{admin}/config/"));
        Some(format!(
            "if command -v curl >/dev/null; then curl -fsS --max-time 3 {url}; \
             elif command -v wget >/dev/null; then wget -q -O - -T 3 {url}; \
             else echo {proof}; fi | grep -q {proof}"
        ))
    }

    fn runs_caddy(&self) -> bool {
        !matches!(&self.gateway.run, GatewayRun::Command { start: Some(_), .. })
    }

    /// The systemd service: the distribution's for a node's only gateway.
    fn service(&self) -> &str {
        self.directory.file_name()
    }

    fn systemd(&self, unit: &mut Unit) {
        let service = self.service();
        let admin = self.admin.unwrap_or_default();
        let proof = self.taken().and(self.proof.as_deref()).unwrap_or_default();
        let reload = if self.admin.is_some() { "yes" } else { "no" };
        let variables = [
            ("service", service),
            ("file", self.file.as_str()),
            ("admin", admin),
            ("proof", proof),
            ("reload", reload),
        ];
        let command = |moment, body: &str| program(moment, &variables, body);
        let plain = |moment, body: &str| program(moment, &[("service", service)], body);
        unit.runtime = Runtime::Host;
        unit.host_service = Some(service.to_owned());
        unit.validation = Validation::Staged;
        unit.commands = vec![
            command(Moment::Validate, include_str!("../../templates/caddy-validate.sh")),
            command(Moment::Activate, include_str!("../../templates/caddy-activate.sh")),
            plain(Moment::Stop, "exec systemctl stop \"$service\""),
            plain(Moment::Start, "exec systemctl start \"$service\""),
            plain(Moment::Remove, "systemctl disable --now \"$service\" >/dev/null 2>&1 || :"),
            plain(Moment::Logs, "exec journalctl -u \"$service\" -n 40 --no-pager -o cat"),
        ];
        unit.about.insert("reload".to_owned(), reload.to_owned());
    }

    /// A container on the node's network that watches the mounted directory: a changed file is loaded by Caddy
    /// itself, and the probe proves it.
    fn compose(&self, unit: &mut Unit) -> Result<(), Problems> {
        let image = self.gateway.image.as_deref().unwrap_or(IMAGE);
        let project = format!("gateway-{}", self.gateway.name);
        let destination = self.directory.join(compose::FILE).map_err(|error| {
            vec![codes::in_file(codes::OUTSIDE, error.to_string(), &self.gateway.source)]
        })?;
        unit.artifacts.push(artifact(destination, self.compose_file(image, &project)));
        unit.claims.volumes = ["config", "data"].map(|name| format!("{project}_{name}")).into();
        let variables = [("project", project.as_str()), ("image", image)];
        let body = include_str!("../../templates/caddy-compose-validate.sh");
        unit.commands = vec![program(Moment::Validate, &variables, body)];
        unit.validation = Validation::Staged;
        unit.runtime = Runtime::Compose {
            files: vec![compose::FILE.to_owned()],
            services: vec![ComposeService {
                name: "caddy".to_owned(),
                image: Some(image.to_owned()),
                once: false,
            }],
            needs: Vec::new(),
            recreate: Vec::new(),
            project,
        };
        unit.about.insert("reload".to_owned(), "yes".to_owned());
        unit.about.insert("image.caddy".to_owned(), image.to_owned());
        Ok(())
    }

    fn compose_file(&self, image: &str, project: &str) -> Vec<u8> {
        let file = "/etc/caddy/Caddyfile";
        let run = ["caddy", "run", "--config", file, "--adapter", "caddyfile", "--watch"];
        let volume =
            |name: &str| json!({ "type": "volume", "source": name, "target": format!("/{name}") });
        let conf = json!({
            "type": "bind",
            "source": ".",
            "bind": { "create_host_path": false },
            "target": "/etc/caddy",
            "read_only": true,
        });
        compose::document(&json!({
            "name": project,
            "services": { "caddy": {
                "image": compose::literal(image),
                "command": run,
                "restart": "unless-stopped",
                "network_mode": "host",
                "volumes": [conf, volume("data"), volume("config")],
                "logging": {
                    "driver": "json-file",
                    "options": { "max-size": "10m", "max-file": "3" },
                },
                "labels": compose::unit_labels(&self.fleet.name, &self.id),
            } },
            "volumes": { "config": {}, "data": {} },
        }))
    }

    /// The author's own commands, or Caddy in the foreground, kept by the node script.
    fn process(&self, unit: &mut Unit) {
        let GatewayRun::Command { start, stop, reload, validate } = &self.gateway.run else {
            return;
        };
        let caddy = |verb: &str, file: &str| {
            format!("exec caddy {verb} --config {file} --adapter caddyfile")
        };
        let default = |verb: &str| caddy(verb, &shell::word(self.file.as_str()));
        let own = self.runs_caddy();
        let reload = reload.clone().or((own && self.admin.is_some()).then(|| default("reload")));
        let validate = validate.clone().or(own.then(|| caddy("validate", "Caddyfile")));
        let start = start.clone().unwrap_or_else(|| default("run"));
        unit.runtime = Runtime::Process;
        if validate.is_some() {
            unit.validation = Validation::Staged;
        }
        if reload.is_some() {
            unit.about.insert("reload".to_owned(), "yes".to_owned());
        }
        let all = [
            (Moment::Validate, validate),
            (Moment::Stop, stop.clone()),
            (Moment::Start, Some(start)),
            (Moment::Reload, reload),
        ];
        let given = all.into_iter().filter_map(|(moment, text)| text.map(|text| (moment, text)));
        unit.commands = given.map(|(moment, text)| program(moment, &[], &text)).collect();
    }
}

fn program(moment: Moment, variables: &[(&str, &str)], body: &str) -> Command {
    Command { moment, content: Content::Bytes(shell::program(variables, body).into_bytes()) }
}
