//! What `caddy adapt` prints, read as far as gateways can say the same.
//!
//! Whatever is not known to mean the same is a reason to keep the site as it is.

use serde_json::{Map, Value};

/// One site.
pub(super) struct Said {
    pub hosts: Vec<String>,
    pub port: u16,
    /// Its routes, or why it can't be said.
    pub routes: Result<Vec<Route>, String>,
}

/// Requests that go on to a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Route {
    pub path: Option<String>,
    pub strip: bool,
    pub dials: Vec<String>,
    pub tls: bool,
    pub balance: Option<&'static str>,
    pub headers: Vec<(String, String)>,
    pub request_headers: Vec<(String, String)>,
}

type Done = Result<(), String>;

/// Every site of every server, in their order.
pub(super) fn sites(adapted: &Value) -> Vec<Said> {
    let servers = adapted.pointer("/apps/http/servers").and_then(Value::as_object);
    let mut found = Vec::new();
    for server in servers.into_iter().flatten().map(|(_, server)| server) {
        let port = port(server);
        for route in list(server.get("routes")) {
            let matcher = list(route.get("match"));
            let hosts =
                matcher.first().map(|matcher| texts(matcher.get("host"))).unwrap_or_default();
            let other = matcher.len() > 1
                || matcher.first().is_some_and(|it| keys(it).iter().any(|k| *k != "host"));
            let mut routes = Vec::new();
            let done = match other {
                true => Err("it is chosen by more than its host".to_owned()),
                false => handlers(route, &mut Route::default(), &mut routes),
            };
            let routes = done.and_then(|()| match routes.is_empty() {
                true => Err("nothing is behind it".to_owned()),
                false => Ok(routes),
            });
            found.push(Said { hosts, port, routes });
        }
    }
    found
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn texts(value: Option<&Value>) -> Vec<String> {
    list(value).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().map(|map| map.keys().map(String::as_str).collect()).unwrap_or_default()
}

/// The port that a server listens on; 0 when there are several.
fn port(server: &Value) -> u16 {
    let ports = texts(server.get("listen"));
    match ports.as_slice() {
        [only] => only.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(0),
        _ => 0,
    }
}

/// Routes one after the other: what one without a matcher sets counts for those after it.
fn routes(all: &[Value], at: &mut Route, found: &mut Vec<Route>) -> Done {
    for route in all {
        match list(route.get("match")) {
            [] => handlers(route, at, found)?,
            [matcher] if keys(matcher) == ["path"] && at.path.is_none() => {
                let mut inner = at.clone();
                inner.path = Some(prefix(&texts(matcher.get("path")))?);
                handlers(route, &mut inner, found)?;
            }
            _ => return Err("requests are chosen by more than one path".to_owned()),
        }
    }
    Ok(())
}

/// `/api/*` as the prefix `/api`.
fn prefix(paths: &[String]) -> Result<String, String> {
    let below = |path: &String| path.strip_suffix("/*").map(str::to_owned);
    let prefix = match paths {
        [one] => below(one),
        [one, two] => below(two).filter(|prefix| prefix == one),
        _ => None,
    };
    let plain = |prefix: &String| prefix.starts_with('/') && !prefix.contains(['*', '{', '?']);
    prefix.filter(plain).ok_or_else(|| format!("the path `{}` is no prefix", paths.join(" ")))
}

fn handlers(route: &Value, at: &mut Route, found: &mut Vec<Route>) -> Done {
    for handler in list(route.get("handle")) {
        handle(handler, at, found)?;
    }
    Ok(())
}

fn handle(handler: &Value, at: &mut Route, found: &mut Vec<Route>) -> Done {
    match handler.get("handler").and_then(Value::as_str).unwrap_or_default() {
        "subroute" => routes(list(handler.get("routes")), at, found),
        "headers" => headers(handler, at),
        "encode" => {
            let all = handler.get("encodings").map(keys).unwrap_or_default();
            let known = all.iter().all(|encoding| matches!(*encoding, "gzip" | "zstd"));
            known.then_some(()).ok_or_else(|| "another `encode` than zstd and gzip".to_owned())
        }
        "rewrite" => strip(handler, at),
        "reverse_proxy" => {
            found.push(proxy(handler, at)?);
            Ok(())
        }
        "vars" => Ok(()),
        other => Err(format!("{} has no counterpart", directive(other))),
    }
}

/// A handler by the words of a Caddyfile.
fn directive(handler: &str) -> String {
    let word = match handler {
        "static_response" => "`respond` or `redir`",
        "authentication" => "`basicauth`",
        "invoke" => "`invoke`",
        "error" => "`error`",
        other => return format!("`{other}`"),
    };
    word.to_owned()
}

fn strip(handler: &Value, at: &mut Route) -> Done {
    let stripped = handler.get("strip_path_prefix").and_then(Value::as_str);
    if keys(handler).len() == 2 && stripped.is_some() && stripped == at.path.as_deref() {
        at.strip = true;
        return Ok(());
    }
    Err("`rewrite` or `uri` has no counterpart".to_owned())
}

/// Headers that are set to one value each.
fn set(operations: &Value) -> Result<Vec<(String, String)>, String> {
    let no = || "only setting a header has a counterpart".to_owned();
    if keys(operations).iter().any(|key| *key != "set") {
        return Err(no());
    }
    let all = operations.get("set").and_then(Value::as_object).cloned().unwrap_or_else(Map::new);
    let one = |(name, values): (String, Value)| match texts(Some(&values)).as_slice() {
        [value] if !value.contains('{') => Ok((name, value.clone())),
        _ => Err(no()),
    };
    all.into_iter().map(one).collect()
}

fn headers(handler: &Value, at: &mut Route) -> Done {
    for key in keys(handler).into_iter().filter(|key| *key != "handler") {
        let Some(operations) = handler.get(key) else { continue };
        match key {
            "response" => at.headers.extend(set(operations)?),
            "request" => at.request_headers.extend(set(operations)?),
            _ => return Err("only setting a header has a counterpart".to_owned()),
        }
    }
    Ok(())
}

fn proxy(handler: &Value, at: &Route) -> Result<Route, String> {
    let mut route = at.clone();
    for key in keys(handler) {
        let Some(value) = handler.get(key) else { continue };
        match key {
            // How healthy an upstream is, and what is tried again, is for gitsync to say.
            "handler" | "health_checks" => {}
            "upstreams" => {
                let dials =
                    list(Some(value)).iter().map(|upstream| match keys(upstream).as_slice() {
                        ["dial"] => Ok(texts(Some(&Value::Array(vec![upstream["dial"].clone()])))),
                        _ => Err("an upstream has limits of its own".to_owned()),
                    });
                route.dials = dials.collect::<Result<Vec<_>, _>>()?.concat();
            }
            "load_balancing" => route.balance = balance(value)?,
            "transport" => {
                let plain = keys(value).iter().all(|key| matches!(*key, "protocol" | "tls"));
                let verified = value.get("tls").is_some_and(|tls| keys(tls).is_empty());
                if !plain || !verified {
                    return Err("a `transport` of its own has no counterpart".to_owned());
                }
                route.tls = true;
            }
            "headers" => {
                let inner = |side: &str| value.get(side).map_or(Ok(Vec::new()), set);
                route.request_headers.extend(inner("request")?);
                route.headers.extend(inner("response")?);
            }
            other => return Err(format!("`{other}` of `reverse_proxy` has no counterpart")),
        }
    }
    Ok(route)
}

fn balance(value: &Value) -> Result<Option<&'static str>, String> {
    let policy = value.pointer("/selection_policy/policy").and_then(Value::as_str);
    match policy {
        None => Ok(None),
        Some("first") => Ok(Some("first")),
        Some("least_conn") => Ok(Some("least_conn")),
        Some("round_robin") => Ok(Some("round_robin")),
        Some(other) => Err(format!("`lb_policy {other}` has no counterpart")),
    }
}
