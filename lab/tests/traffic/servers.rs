//! Small servers on loopback that answer well or fail in one exact way.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A server whose threads end with the test program.
pub struct Server {
    pub addr: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    pub requests: Arc<AtomicUsize>,
}

impl Server {
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// One request as it arrived.
pub struct Asked {
    /// Counted over all connections, from 0.
    pub number: usize,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map_or("", |(_, value)| value)
    }
}

/// Hands every connection to a thread, with its number from 0.
pub fn serve(handle: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let (handle, counted) = (Arc::new(handle), Arc::clone(&connections));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            let handle = Arc::clone(&handle);
            std::thread::spawn(move || handle(number, stream.unwrap()));
        }
    });
    Server { addr, connections, requests: Arc::default() }
}

/// Answers requests, many on a connection, with the bytes that `answer` gives; none closes the connection unanswered.
pub fn answer(answer: impl Fn(&Asked) -> Option<Vec<u8>> + Send + Sync + 'static) -> Server {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let server = serve(move |_, stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Some(asked) = read(&mut reader, &counted) {
            let Some(bytes) = answer(&asked) else { return };
            if (&stream).write_all(&bytes).is_err() || asked.header("connection") == "close" {
                return;
            }
        }
    });
    Server { requests, ..server }
}

pub fn read(reader: &mut BufReader<TcpStream>, count: &AtomicUsize) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let number = count.fetch_add(1, Ordering::SeqCst);
    let mut asked = Asked { number, method, path, headers, body: Vec::new() };
    asked.body = vec![0; asked.header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut asked.body).ok()?;
    Some(asked)
}

/// A whole answer of the test app.
pub fn app(status: u16, version: &str, host: &str, asked: &Asked) -> Option<Vec<u8>> {
    app_with_length(status, version, host, asked.body.len())
}

pub fn app_with_length(status: u16, version: &str, host: &str, length: usize) -> Option<Vec<u8>> {
    let text = format!(
        "HTTP/1.1 {status} Said\r\nContent-Length: 3\r\nX-App-Version: {version}\r\n\
         X-App-Host: {host}\r\nX-App-Body-Length: {length}\r\nLocation: /elsewhere\r\n\r\nyes"
    );
    Some(text.into_bytes())
}

/// Announces a length, then sends pieces at distances, then closes the connection.
pub fn drip(announced: &str, pieces: usize, piece: usize, every: Duration) -> Server {
    let head = format!("HTTP/1.1 200 OK\r\nX-App-Version: 1\r\n{announced}\r\n");
    serve(move |_, stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        read(&mut reader, &AtomicUsize::new(0));
        (&stream).write_all(head.as_bytes()).unwrap();
        for _ in 0..pieces {
            std::thread::sleep(every);
            if (&stream).write_all(&vec![b'x'; piece]).is_err() {
                return;
            }
        }
    })
}

/// Accepts WebSockets, and closes the connection that `talk` returns.
pub fn websocket(
    talk: impl Fn(usize, &mut tungstenite::WebSocket<TcpStream>) + Send + Sync + 'static,
) -> Server {
    serve(move |number, stream| talk(number, &mut tungstenite::accept(stream).unwrap()))
}

/// Echoes so many text messages.
pub fn echo(socket: &mut tungstenite::WebSocket<TcpStream>, count: usize) {
    for _ in 0..count {
        match socket.read() {
            Ok(message) if message.is_text() => socket.send(message).unwrap(),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}
