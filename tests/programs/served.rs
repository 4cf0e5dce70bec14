//! A small server behind a real Caddy, and what comes back through it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::caddy::{LOOPBACK, caddyfile, free_port};
use super::model::*;
use super::tools;

/// A server that answers every request with what it was asked: the path, a newline, the header `X-In`.
pub struct Echo {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    pub name: &'static str,
}

impl Echo {
    pub fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if seen.load(Ordering::SeqCst) {
                    return;
                }
                std::thread::spawn(move || answer(stream, name));
            }
        });
        Self { address, stop, name }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

pub fn answer(stream: TcpStream, name: &str) {
    let mut reader = BufReader::new(stream);
    let (mut path, mut note) = (Vec::new(), Vec::new());
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
            return;
        }
        let line = line.trim_ascii_end();
        if path.is_empty() {
            path = line.split(|b| *b == b' ').nth(1).unwrap_or_default().to_vec();
        } else if let Some(value) = line.strip_prefix(b"X-In:") {
            note = value.trim_ascii().to_vec();
        } else if line.is_empty() {
            break;
        }
    }
    let body = [&path[..], b"\n", &note[..], b"\n", name.as_bytes()].concat();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = reader.get_mut().write_all(&[head.as_bytes(), &body[..]].concat());
}

/// A real Caddy with a gateway's file.
pub struct Running {
    pub child: Child,
    pub port: u16,
    pub _home: tempfile::TempDir,
}

impl Running {
    pub fn start(caddy: &Path, mut gateway: Gateway) -> Self {
        let port = free_port();
        gateway.listen =
            Listen { http: port, https: 8443, bind: vec![LOOPBACK], admin: Some("off".to_owned()) };
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("Caddyfile");
        std::fs::write(&file, caddyfile(gateway)).unwrap();
        let mut command = tools::command(caddy);
        command.env("HOME", home.path()).arg("run").arg("--config").arg(&file);
        command.args(["--adapter", "caddyfile"]).stdout(Stdio::null());
        let log = std::fs::File::create(home.path().join("log")).unwrap();
        let mut child = command.stderr(log).spawn().unwrap();
        let log = home.path().join("log");
        tools::wait_for("caddy", Duration::from_secs(20), || {
            if let Some(status) = child.try_wait().unwrap() {
                let config = std::fs::read_to_string(&file).unwrap();
                panic!("{status}: {}\n{config}", std::fs::read_to_string(&log).unwrap());
            }
            TcpStream::connect((LOOPBACK, port)).is_ok()
        });
        Self { child, port, _home: home }
    }

    pub fn ask(&self, host: &str, path: &str) -> Answer {
        let mut stream = TcpStream::connect((LOOPBACK, self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        Answer(all)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Answer(Vec<u8>);

impl Answer {
    pub fn status(&self) -> u16 {
        let text = String::from_utf8_lossy(&self.0);
        text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.0);
        let found = text.split("\r\n").find_map(|line| line.strip_prefix(&format!("{name}:")));
        found.map(|value| value.trim_matches([' ', '\t']).to_owned())
    }

    pub fn body(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.0);
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        body.split('\n').map(str::to_owned).collect()
    }
}
