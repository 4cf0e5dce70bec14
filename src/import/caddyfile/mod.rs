//! A Caddyfile as a gateway and routes of services; what neither can say is kept word for word.

mod adapted;
mod blocks;
mod upstream;

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use self::adapted::{Route, Said};
use crate::model::{Fleet, Name};

/// A Caddyfile and where it is to go.
#[derive(Clone, Copy, Debug)]
pub struct Caddyfile<'a> {
    /// As it stands on the node.
    pub text: &'a str,
    /// What `caddy adapt` makes of it.
    pub adapted: &'a Value,
    /// The fleet, whose services are routed to.
    pub fleet: &'a Fleet,
    /// The gateway's node.
    pub node: &'a Name,
    /// The gateway's name.
    pub name: &'a Name,
}

/// A route that a service has to be given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Expose {
    /// The service.
    pub service: Name,
    /// Its file.
    pub file: String,
    /// The line below `expose:`.
    pub line: String,
}

/// A site that gateways can't say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Its hosts.
    pub hosts: Vec<String>,
    /// Why.
    pub why: String,
    /// As it stands in the Caddyfile; empty when that can't be told apart.
    pub snippet: String,
}

/// What a Caddyfile becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gateway {
    /// `gateways/NAME.yaml`.
    pub text: String,
    /// What services have to be given.
    pub expose: Vec<Expose>,
    /// What is kept as it is.
    pub kept: Vec<Kept>,
    /// What to know.
    pub remarks: Vec<String>,
}

/// Makes a gateway of a Caddyfile.
pub fn gateway(from: &Caddyfile<'_>) -> Gateway {
    let (mut expose, mut kept) = (Vec::new(), Vec::new());
    let sites = adapted::sites(from.adapted);
    let tls = tls(from.adapted, &sites);
    let port = if tls == "off" { 80 } else { 443 };
    for site in &sites {
        match exposed(from, site, port) {
            Ok(lines) => expose.extend(lines),
            Err(why) => {
                let (hosts, snippet) = (site.hosts.clone(), blocks::site(from.text, &site.hosts));
                kept.push(Kept { hosts, why, snippet });
            }
        }
    }
    expose.sort_by(|a: &Expose, b| a.file.cmp(&b.file));
    let mut remarks = Vec::new();
    let known = ["http", "tls"];
    let apps = from.adapted.get("apps").and_then(Value::as_object);
    for app in
        apps.into_iter().flatten().map(|(app, _)| app).filter(|app| !known.contains(&app.as_str()))
    {
        remarks.push(format!("the Caddyfile also sets up `{app}`, which gateways don't"));
    }
    if let Some(options) = blocks::options(from.text) {
        let (hosts, why) = (Vec::new(), "options of the whole server are gitsync's own".to_owned());
        kept.push(Kept { hosts, why, snippet: options });
    }
    if sites.is_empty() {
        remarks.push("there is no site in it".to_owned());
    }
    let text = text(from, tls, &kept);
    Gateway { text, expose, kept, remarks }
}

/// The lines that the services behind a site have to be given.
fn exposed(from: &Caddyfile<'_>, site: &Said, port: u16) -> Result<Vec<Expose>, String> {
    if site.port != port {
        return Err(format!("it listens on port {}, and the others on {port}", site.port));
    }
    if site.hosts.is_empty() {
        return Err("it is for any host".to_owned());
    }
    let routes = site.routes.as_ref().map_err(Clone::clone)?;
    let mut found = Vec::new();
    for host in &site.hosts {
        if host.contains(['*', '{', ':']) {
            return Err(format!("`{host}` is no plain host name"));
        }
        for route in routes {
            let behind = upstream::find(from, &route.dials)?;
            let line = line(&short(from, host), route, &behind.port);
            found.push(Expose { service: behind.service, file: behind.file, line });
        }
    }
    Ok(found)
}

/// A host below the fleet's domain, or all of it.
fn short(from: &Caddyfile<'_>, host: &str) -> String {
    let domain = from.fleet.domain.as_deref().unwrap_or("@");
    match host.strip_suffix(domain) {
        Some("") => "\"@\"".to_owned(),
        Some(rest) => {
            let label =
                rest.strip_suffix('.').filter(|label| !label.is_empty() && !label.contains('.'));
            label.unwrap_or(host).to_owned()
        }
        None => host.to_owned(),
    }
}

fn line(host: &str, route: &Route, port: &str) -> String {
    let mut keys = vec![format!("host: {host}"), port.to_owned()];
    if let Some(path) = &route.path {
        keys.push(format!("path: {}", Value::from(path.as_str())));
    }
    if route.strip {
        keys.push("strip_path: true".to_owned());
    }
    if route.tls {
        keys.push("scheme: https".to_owned());
    }
    keys.extend(route.balance.map(|balance| format!("balance: {balance}")));
    for (key, headers) in [("headers", &route.headers), ("request_headers", &route.request_headers)]
    {
        let all = headers.iter();
        let all: Vec<String> = all
            .map(|(name, value)| {
                format!("{}: {}", Value::from(name.as_str()), Value::from(value.as_str()))
            })
            .collect();
        if !all.is_empty() {
            keys.push(format!("{key}: {{ {} }}", all.join(", ")));
        }
    }
    format!("- {{ {} }}", keys.join(", "))
}

/// Where certificates come from, in the gateway's word.
fn tls(adapted: &Value, sites: &[Said]) -> &'static str {
    if sites.iter().all(|site| site.port == 80) {
        return "off";
    }
    let policies = adapted.pointer("/apps/tls/automation/policies").and_then(Value::as_array);
    let issuers =
        policies.into_iter().flatten().filter_map(|policy| policy.get("issuers")?.as_array());
    let modules: BTreeSet<&str> =
        issuers.flatten().filter_map(|issuer| issuer.get("module")?.as_str()).collect();
    if modules.len() == 1 && modules.contains("internal") { "internal" } else { "auto" }
}

fn text(from: &Caddyfile<'_>, tls: &str, kept: &[Kept]) -> String {
    let mut text = format!(
        "# yaml-language-server: $schema=../schema/gateway.json\n# {}: a Caddyfile that was there before.\n\
         proxy: caddy\non: [{}]\nrun: systemd\ntls: {tls}\n\
         # adopt: true    # takes the node's own Caddyfile over; what is only kept below would no longer be served\n",
        from.name, from.node
    );
    for one in kept {
        let hosts = if one.hosts.is_empty() { "options".to_owned() } else { one.hosts.join(", ") };
        text.push_str(&format!("\n# Not said by gitsync: {hosts}: {}.\n", one.why));
        for line in one.snippet.lines() {
            text.push_str(format!("#   {line}").trim_end());
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests;
