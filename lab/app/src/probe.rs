//! `lab-app healthcheck [URL]`: asks a running app for its health, for a container's own health check.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::app::complain;
use crate::config::Config;

const PATIENCE: Duration = Duration::from_secs(5);

/// Why the app counts as unhealthy.
#[derive(Debug, thiserror::Error)]
enum Unhealthy {
    #[error("{0:?} is not http://ADDRESS[:PORT][/PATH]")]
    Url(String),
    #[error("no port is configured")]
    NoPort,
    #[error("no answer: {0}")]
    Io(#[from] io::Error),
    #[error("answered {0:?}")]
    Answer(String),
}

/// Status 0 if the URL, or else `/health` on the first port, answers 2xx within 5 s; otherwise 1.
pub fn run(config: &Config, arguments: &[String]) -> ExitCode {
    let url = arguments.iter().find(|argument| argument.contains("://"));
    let target = match url {
        Some(url) => parse(url).ok_or_else(|| Unhealthy::Url(url.clone())),
        None => own(config).ok_or(Unhealthy::NoPort),
    };
    match target.and_then(|(address, path)| ask(address, &path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn own(config: &Config) -> Option<(SocketAddr, String)> {
    let mut address = *config.ports.first()?;
    match address.ip() {
        ip if !ip.is_unspecified() => {}
        IpAddr::V4(_) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(_) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
    }
    Some((address, "/health".to_string()))
}

/// Names aren't looked up, `localhost` aside: there may be nothing to look them up in.
fn parse(url: &str) -> Option<(SocketAddr, String)> {
    let rest = url.strip_prefix("http://")?;
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let host = match host.strip_prefix("localhost") {
        Some(port) => format!("127.0.0.1{port}"),
        None => host.to_string(),
    };
    let bare = || host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    let address = host.parse().ok().or_else(|| Some(SocketAddr::new(bare()?, 80)))?;
    Some((address, path.to_string()))
}

fn ask(address: SocketAddr, path: &str) -> Result<(), Unhealthy> {
    let end = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    while !head.contains(&b'\n') && head.len() < 1024 {
        let left = end.saturating_duration_since(Instant::now());
        stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let mut bytes = [0; 256];
        match stream.read(&mut bytes)? {
            0 => break,
            length => head.extend(bytes.iter().take(length)),
        }
    }
    let head = String::from_utf8_lossy(&head);
    let status = head.split(' ').nth(1).unwrap_or_default();
    match head.starts_with("HTTP/1.") && status.len() == 3 && status.starts_with('2') {
        true => Ok(()),
        false => Err(Unhealthy::Answer(head.lines().next().unwrap_or_default().to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_an_address_a_port_and_a_path() {
        let parsed = |url| parse(url).map(|(address, path)| format!("{address} {path}"));
        assert_eq!(parsed("http://10.0.0.1:81/ping?x=1").unwrap(), "10.0.0.1:81 /ping?x=1");
        assert_eq!(parsed("http://localhost/health").unwrap(), "127.0.0.1:80 /health");
        assert_eq!(parsed("http://[::1]").unwrap(), "[::1]:80 /");
        assert_eq!(parsed("https://10.0.0.1/"), None);
        assert_eq!(parsed("http://example.test/"), None);
    }
}
