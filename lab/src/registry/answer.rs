//! Which answer a request gets, by what the registry holds and what is wrong with it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::Fault;
use super::http::{Answer, Head};
use super::server::State;
use super::shelf::{Blob, Manifest};
use crate::image::MANIFEST_TYPE;

const JSON: &str = "application/json";
const CHALLENGE: &str = "Basic realm=\"lab\"";

/// What a client that logs in sends along.
pub(super) fn authorization(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// The answer to a request.
pub(super) fn answer(state: &State, head: &Head) -> Answer {
    if !is_known(state, head) {
        return error(401, "UNAUTHORIZED", "authentication required")
            .with("WWW-Authenticate", CHALLENGE);
    }
    if !matches!(head.method.as_str(), "GET" | "HEAD") {
        return error(405, "UNSUPPORTED", "this registry is for pulls").with("Allow", "GET, HEAD");
    }
    match Resource::of(head.path()) {
        Some(Resource::Base) => Answer::new(200, JSON, Arc::from(*b"{}")),
        Some(Resource::Manifest(name, reference)) => manifest(state, name, reference),
        Some(Resource::Blob(name, digest)) => match state.shelf.blob(name, digest) {
            Some(found) => blob(state.fault, digest, found, head.field("range")),
            None => error(404, "BLOB_UNKNOWN", "blob unknown to registry"),
        },
        Some(Resource::Tags(name)) => tags(state, name),
        None => error(404, "NOT_FOUND", "no such resource"),
    }
}

/// The answer to what is no request.
pub(super) fn malformed() -> Answer {
    error(400, "UNSUPPORTED", "not an HTTP request")
}

/// What a path stands for; a name may hold slashes.
enum Resource<'a> {
    Base,
    Manifest(&'a str, &'a str),
    Blob(&'a str, &'a str),
    Tags(&'a str),
}

impl<'a> Resource<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix("/v2")?;
        if matches!(rest, "" | "/") {
            return Some(Self::Base);
        }
        let rest = rest.strip_prefix('/')?;
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Some(Self::Tags(name));
        }
        if let Some((name, reference)) = rest.rsplit_once("/manifests/") {
            return Some(Self::Manifest(name, reference));
        }
        rest.rsplit_once("/blobs/").map(|(name, digest)| Self::Blob(name, digest))
    }
}

fn is_known(state: &State, head: &Head) -> bool {
    let logged_in = state
        .login
        .as_deref()
        .is_none_or(|wanted| head.field("authorization").is_some_and(|given| given == wanted));
    logged_in && state.fault != Fault::Unauthorized
}

fn manifest(state: &State, name: &str, reference: &str) -> Answer {
    if state.fault == Fault::RateLimited {
        let message = "You have reached your pull rate limit. You may increase the limit by \
                       authenticating and upgrading: https://www.docker.com/increase-rate-limit";
        return error(429, "TOOMANYREQUESTS", message).with("Retry-After", "3600");
    }
    match state.shelf.manifest(name, reference) {
        Some(Manifest { digest, bytes }) => Answer::new(200, MANIFEST_TYPE, bytes)
            .with("ETag", format!("\"{digest}\""))
            .with("Docker-Content-Digest", digest),
        None => error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
    }
}

fn tags(state: &State, name: &str) -> Answer {
    match state.shelf.tags(name) {
        Some(tags) => {
            let body = json!({ "name": name, "tags": tags });
            Answer::new(200, JSON, body.to_string().into_bytes().into())
        }
        None => error(404, "NAME_UNKNOWN", "repository name not known to registry"),
    }
}

fn blob(fault: Fault, digest: &str, blob: Blob, range: Option<&str>) -> Answer {
    let bytes = if fault == Fault::Corrupt { corrupted(&blob.bytes) } else { blob.bytes };
    let length = bytes.len();
    let answer = match range.and_then(first_byte) {
        None => Answer::new(200, blob.media_type, bytes),
        // An engine whose download broke goes on where it was.
        Some(start) if start < length => Answer::new(206, blob.media_type, bytes[start..].into())
            .with("Content-Range", format!("bytes {start}-{}/{length}", length - 1)),
        Some(_) => return error(416, "RANGE_INVALID", "the blob ends before this range"),
    };
    answer.with("Accept-Ranges", "bytes").with("Docker-Content-Digest", digest)
}

/// The start of a range that runs to the end; any other is answered with the whole, as HTTP allows.
fn first_byte(range: &str) -> Option<usize> {
    range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

/// The same length with one byte changed in the middle.
fn corrupted(bytes: &[u8]) -> Arc<[u8]> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    bytes.into()
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    let error = json!({ "code": code, "message": message, "detail": null });
    let body = json!({ "errors": [error] }).to_string();
    Answer::new(status, JSON, body.into_bytes().into())
}
