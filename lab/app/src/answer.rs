//! The routes: what each path answers.

use std::time::Duration;

use crate::app::{App, read_file};
use crate::config::parse_duration;
use crate::health;
use crate::http::Request;
use crate::response::Response;

const LONGEST_DOWNLOAD: u64 = 1 << 30;
const SLOWEST_DOWNLOAD: Duration = Duration::from_secs(3600);

/// Answers one request.
pub fn answer(app: &App, request: &Request) -> Response {
    let response = match request.method.as_str() {
        "GET" | "HEAD" => look(app, request),
        "POST" => return post(app, request).with("X-App-Body-Length", body_length(request)),
        _ => refused(),
    };
    match request.body.is_empty() {
        true => response,
        false => response.with("X-App-Body-Length", body_length(request)),
    }
}

fn body_length(request: &Request) -> String {
    request.body.len().to_string()
}

fn look(app: &App, request: &Request) -> Response {
    match request.path.as_str() {
        "/slow" => download(request),
        "/read" => content(request, read_file),
        "/read-at-start" => content(request, |path| app.at_start(path).map(<[u8]>::to_vec)),
        "/env" => variable(request),
        "/ws" => Response::new(426, "a WebSocket is spoken here").with("Upgrade", "websocket"),
        "/echo" | "/write" | "/die" | "/stop-answering" => refused(),
        _ => common(app, request),
    }
}

fn post(app: &App, request: &Request) -> Response {
    match request.path.as_str() {
        "/echo" => Response::new(200, request.body.as_slice()),
        "/write" => write(request),
        "/die" => app.die("dies, as asked"),
        "/stop-answering" => {
            app.freeze();
            Response::new(200, "no more answers")
        }
        _ => common(app, request),
    }
}

fn common(app: &App, request: &Request) -> Response {
    match request.path.as_str() {
        "/health" => match health::complaint(app) {
            Some(complaint) => Response::new(503, complaint),
            None => Response::new(200, app.version()),
        },
        path if path == "/missing" || path.starts_with("/missing/") => missing(),
        _ => Response::new(200, app.version()),
    }
}

fn download(request: &Request) -> Response {
    let parameter =
        |name, default: &str| request.parameter(name).unwrap_or_else(|| default.to_string());
    let over = parse_duration(&parameter("seconds", "60"));
    match (over, parameter("bytes", "600000").parse::<u64>()) {
        (Some(over), Ok(bytes)) => {
            Response::paced(bytes.min(LONGEST_DOWNLOAD), over.min(SLOWEST_DOWNLOAD))
        }
        _ => Response::new(400, "seconds is a duration, bytes a number"),
    }
}

fn content(request: &Request, get: impl Fn(&str) -> Option<Vec<u8>>) -> Response {
    let content = request.parameter("path").and_then(|path| get(&path));
    content.map_or_else(missing, |content| Response::new(200, content))
}

fn variable(request: &Request) -> Response {
    let name = request.parameter("name").unwrap_or_default();
    // Looked up by comparison: `var` of an empty name or one with `=` is an error of its own.
    let value = std::env::vars_os().find(|(key, _)| key.to_str() == Some(name.as_str()));
    value.map_or_else(missing, |(_, value)| Response::new(200, value.to_string_lossy().as_bytes()))
}

fn write(request: &Request) -> Response {
    let Some(path) = request.parameter("path") else { return missing() };
    match std::fs::write(&path, &request.body) {
        Ok(()) => Response::new(200, "written"),
        Err(error) => Response::new(500, error.to_string()),
    }
}

fn missing() -> Response {
    Response::new(404, "not found")
}

fn refused() -> Response {
    Response::new(405, "not that way").with("Allow", "GET, HEAD, POST")
}
