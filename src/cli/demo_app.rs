//! The small web server that the demo's services run.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use clap::Args;

/// A web server that answers `/` with its name and version, and `/health` as it is told.
#[derive(Debug, Args)]
pub struct DemoApp {
    /// The port on loopback.
    #[arg(long)]
    port: u16,
    /// What `/` answers with.
    #[arg(long)]
    says: String,
    /// Whether `/health` ever answers 200.
    #[arg(long)]
    sick: bool,
}

impl DemoApp {
    /// Serves until it is killed; an error when the port is taken.
    pub fn serve(&self) -> std::io::Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", self.port))?;
        for stream in listener.incoming() {
            // A client that went away is no reason to stop serving the others.
            let _ = stream.and_then(|stream| self.answer(stream));
        }
        Ok(())
    }

    fn answer(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut request = String::new();
        let mut reader = BufReader::new(stream);
        reader.read_line(&mut request)?;
        let mut line = String::from("…");
        while line.trim_end() != "" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                break;
            }
        }
        let (status, body) = self.response(request.split(' ').nth(1).unwrap_or("/"));
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        reader.get_mut().write_all(format!("{head}{body}").as_bytes())
    }

    fn response(&self, path: &str) -> (&'static str, String) {
        match (path, self.sick) {
            ("/health", true) => ("503 Service Unavailable", "still migrating\n".to_owned()),
            ("/health", false) => ("200 OK", "fine\n".to_owned()),
            _ => ("200 OK", format!("{}\n", self.says)),
        }
    }
}
