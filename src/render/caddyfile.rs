//! The Caddyfile of a gateway: what its template is given, and how texts are quoted in it.

use std::io;

use serde::Serialize;
use tera::Context;

use super::template::Templates;
use super::{codes, span};
use crate::diagnostic::Diagnostic;
use crate::model::{
    Access, Balance, Gateway, Header, Listen, Name, Route, Site, Tls, Upstream, sha256_hex,
};

#[derive(Serialize)]
struct SiteView {
    address: String,
    /// Whether a value in here needs the variable that holds a backslash.
    backslash: bool,
    routes: Vec<RouteView>,
}

#[derive(Serialize)]
struct RouteView {
    path: String,
    /// For paths with characters that Caddy's `path` matcher gives a meaning.
    pattern: Option<String>,
    strip: Option<String>,
    /// For stripped paths with other characters than ASCII: when nothing is left, Caddy compares in another way.
    exact: Option<String>,
    mesh_only: bool,
    headers: Vec<Header>,
    request_headers: Vec<Header>,
    upstreams: Vec<String>,
    upstream_tls: bool,
    policy: Option<&'static str>,
    try_duration: Option<String>,
    active: Option<String>,
    passive: bool,
}

/// The Caddyfile of a gateway on one of its nodes, and the text in it by which a running Caddy tells that it took it
/// (none when an overriding template leaves it out).
pub(super) fn file(
    gateway: &Gateway,
    node: &Name,
    templates: &Templates,
) -> Result<(String, Option<String>), Vec<Diagnostic>> {
    let bad: Vec<Diagnostic> =
        headers(gateway).filter_map(|header| unwritable(header, gateway)).collect();
    if !bad.is_empty() {
        return Err(bad);
    }
    let mut context = context(gateway, node);
    let mut fill = |proof: &str| {
        context.insert("proof", proof);
        templates.caddyfile(&context).map_err(|problem| vec![problem])
    };
    let digest = sha256_hex(fill("0")?.as_bytes());
    let proof = digest.get(..16).unwrap_or(&digest);
    let text = fill(proof)?;
    let kept = text.contains(proof).then(|| proof.to_owned());
    Ok((text, kept))
}

fn headers(gateway: &Gateway) -> impl Iterator<Item = &Header> {
    let routes = gateway.sites.iter().flat_map(|site| &site.routes);
    routes.flat_map(|route| route.headers.iter().chain(&route.request_headers))
}

/// Names that Caddy reads as an operation, and values that would end a line of HTTP.
fn unwritable(header: &Header, gateway: &Gateway) -> Option<Diagnostic> {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_.!#$%&'^|~".contains(c);
    let first = header.name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    if !first || !header.name.chars().all(inner) || header.name == "defer" {
        let message = format!("`{}` is not a header that can be set", header.name);
        return Some(codes::in_file(codes::UNWRITABLE, message, &gateway.source));
    }
    let control = |c: char| c.is_control() && c != '\t';
    header.value.contains(control).then(|| {
        let message = format!("the value of the header `{}` has a control character", header.name);
        codes::in_file(codes::UNWRITABLE, message, &gateway.source)
    })
}

fn context(gateway: &Gateway, node: &Name) -> Context {
    let mut context = Context::new();
    let Listen { http, https, bind, admin } = &gateway.listen;
    let listen = serde_json::json!({ "http": http, "https": https, "bind": bind });
    context.insert("listen", &listen);
    context.insert("admin", admin);
    let (tls, files) = match &gateway.tls {
        Tls::Off => ("off", None),
        Tls::Auto => ("auto", None),
        Tls::Internal => ("internal", None),
        Tls::Files { cert, key } => ("files", Some((cert, key))),
    };
    context.insert("tls", tls);
    context.insert("cert", &files.map(|(cert, _)| cert));
    context.insert("key", &files.map(|(_, key)| key));
    context.insert("mesh", &gateway.mesh);
    let health = serde_json::json!({
        "interval": span(gateway.health_interval),
        "timeout": span(gateway.health_timeout),
    });
    context.insert("health", &health);
    let sites: Vec<SiteView> = gateway.sites.iter().map(|s| site(s, gateway, node)).collect();
    context.insert("sites", &sites);
    context
}

fn site(site: &Site, gateway: &Gateway, node: &Name) -> SiteView {
    let plain = gateway.tls == Tls::Off;
    let address = if plain { format!("http://{}", site.host) } else { site.host.clone() };
    let headers = site.routes.iter().flat_map(|r| r.headers.iter().chain(&r.request_headers));
    let values = headers.map(|header| header.value.as_str());
    let strips = site.routes.iter().map(|route| route.path.as_str());
    // Paths keep their backslashes when they are prepared for stripping.
    let backslash = values.chain(strips).any(|text| literal(text).contains(BACKSLASH));
    SiteView { address, backslash, routes: site.routes.iter().map(|r| route(r, node)).collect() }
}

fn route(route: &Route, node: &Name) -> RouteView {
    let upstreams: Vec<String> =
        route.upstreams.iter().filter_map(|u| upstream(u, route.upstream_tls, node)).collect();
    // With one upstream a check could only turn a short absence into a longer one.
    let several = upstreams.len() > 1;
    let strip = (route.strip_path && !route.path.is_empty()).then(|| stripped(&route.path));
    let policy = match route.balance {
        Balance::First => "first",
        Balance::LeastConn => "least_conn",
        Balance::RoundRobin => "round_robin",
    };
    RouteView {
        path: route.path.clone(),
        pattern: pattern(&route.path).map(|start| format!("{start}(?:/|$)")),
        exact: pattern(&route.path)
            .map(|all| format!("{all}$"))
            .filter(|_| strip.as_ref().is_some_and(|strip| *strip != route.path)),
        strip,
        mesh_only: route.access == Access::Mesh,
        headers: route.headers.clone(),
        request_headers: route.request_headers.clone(),
        upstream_tls: route.upstream_tls,
        policy: several.then_some(policy),
        try_duration: (!route.try_duration.is_zero()).then(|| span(route.try_duration)),
        active: route.health_path.clone().filter(|_| several),
        passive: several,
        upstreams,
    }
}

/// A path as `uri strip_prefix` compares it with a request's: byte by byte, where only ASCII may stand for itself.
fn stripped(path: &str) -> String {
    let mut text = String::new();
    for byte in path.bytes() {
        if byte.is_ascii() && byte != b'%' {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// Where an instance is dialled from `node`; none when it listens on another node's loopback only.
fn upstream(upstream: &Upstream, tls: bool, node: &Name) -> Option<String> {
    let host = match (upstream.loopback, upstream.unit.node == *node, upstream.address) {
        (true, true, _) => "127.0.0.1".to_owned(),
        (true, false, _) => return None,
        (false, _, std::net::IpAddr::V4(address)) => address.to_string(),
        (false, _, std::net::IpAddr::V6(address)) => format!("[{address}]"),
    };
    let scheme = if tls { "https://" } else { "" };
    Some(format!("{scheme}{host}:{}", upstream.port))
}

/// A regular expression for how a path begins, when the `path` matcher would read more into the path.
fn pattern(path: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_-.~".contains(c);
    if path.chars().all(plain) {
        return None;
    }
    let mut text = String::from("(?i)^");
    for c in path.chars() {
        if c.is_ascii_alphanumeric() || c == '/' || !c.is_ascii() {
            text.push(c);
        } else {
            text.push_str(&format!(r"\x{:02x}", u32::from(c)));
        }
    }
    Some(text)
}

/// A placeholder that stands for a backslash; sites that need it set the variable.
const BACKSLASH: &str = "{http.vars.gitsync_backslash}";
/// A placeholder that stands for nothing.
const NOTHING: &str = "{http.vars.gitsync_nothing}";
/// A `{` that is not the beginning of a placeholder, before a `$`: an environment variable that can't be, by default `\{`.
const BRACE_BEFORE_DOLLAR: &str = r"{$ :\{}";

/// For the template engine: every inserted text becomes a token.
pub(super) fn escape(text: &str, out: &mut dyn io::Write) -> io::Result<()> {
    out.write_all(literal(text).as_bytes())
}

/// A text as one Caddyfile token whose value, after Caddy has replaced placeholders in it, is the text again.
///
/// Three readers are in the way. Before anything else `{$…}` is replaced by environment variables. Then tokens are
/// read: between backticks nothing has a meaning, between double quotes `\"` has one but a backslash can't be last.
/// Then, while requests are served, `{…}` is replaced and `\{`, `\}` stand for braces, but (in 2.6) only in texts
/// that have a `{` in them.
pub(super) fn literal(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._:/@+*~,=-[]%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    if text.contains('`') {
        return format!("\"{}\"", double_quoted(text));
    }
    let lonely = text.contains('}') && !text.contains('{');
    if !text.contains('{') && !(lonely && (text == "}" || text.contains(r"\}"))) {
        return format!("`{text}`");
    }
    let inner = braces(text);
    format!("`{}`", if lonely { with_placeholder(&inner) } else { inner })
}

fn double_quoted(text: &str) -> String {
    let mut out = String::new();
    let mut parts = text.split('\\');
    out.push_str(&braces(parts.next().unwrap_or_default()).replace('"', "\\\""));
    for part in parts {
        out.push_str(BACKSLASH);
        out.push_str(&braces(part).replace('"', "\\\""));
    }
    // Braces are only read as escaped where there is a placeholder too.
    if text.contains('}') && !text.contains('{') && !text.contains('\\') {
        return with_placeholder(&out);
    }
    out
}

/// Adds a placeholder without a value, where it neither takes the leading `/` from a path nor follows a backslash.
fn with_placeholder(text: &str) -> String {
    match text.strip_prefix('/') {
        Some(rest) => format!("/{NOTHING}{rest}"),
        None => format!("{NOTHING}{text}"),
    }
}

fn braces(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '{' if rest.peek() == Some(&'$') => out.push_str(BRACE_BEFORE_DOLLAR),
            '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}
