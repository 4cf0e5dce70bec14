//! Listens, and serves each connection in a thread of its own.

use std::fmt::Display;
use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::answer::answer;
use crate::app::{self, App};
use crate::http::{self, PATIENCE, Problem, Request, Wire};
use crate::response::Response;
use crate::stop::{Doing, Visit};
use crate::websocket;

/// How long a closed connection is still read, so that its last answer isn't lost to a reset.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken or isn't there.
    #[error("cannot listen on {protocol} {address}: {source}")]
    Bind { protocol: &'static str, address: SocketAddr, source: io::Error },
    /// The kernel gave no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
}

/// Binds every port and serves it from threads; says so in one line.
pub fn listen(app: &Arc<App>) -> Result<(), ListenError> {
    let listeners = bind_all("tcp", &app.config.ports, TcpListener::bind)?;
    let datagrams = bind_all("udp", &app.config.udp, UdpSocket::bind)?;
    if !app.stop.add_listeners(&listeners) {
        return Ok(());
    }
    let tcp = joined(listeners.iter().filter_map(|one| one.local_addr().ok()));
    let udp = joined(datagrams.iter().filter_map(|one| one.local_addr().ok()));
    for listener in listeners {
        let app = Arc::clone(app);
        app::thread(move || accept_all(&app, &listener))?;
    }
    for socket in datagrams {
        let app = Arc::clone(app);
        app::thread(move || echo_datagrams(&app, &socket))?;
    }
    app.say(&format!("listening tcp={tcp} udp={udp}"));
    Ok(())
}

fn bind_all<T>(
    protocol: &'static str,
    addresses: &[SocketAddr],
    bind: impl Fn(SocketAddr) -> io::Result<T>,
) -> Result<Vec<Arc<T>>, ListenError> {
    let bind = |&address| {
        let bound = bind(address).map(Arc::new);
        bound.map_err(|source| ListenError::Bind { protocol, address, source })
    };
    addresses.iter().map(bind).collect()
}

fn joined(items: impl Iterator<Item = impl Display>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(",")
}

fn accept_all(app: &Arc<App>, listener: &TcpListener) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                let visited = Arc::clone(app);
                // Without a thread the connection is dropped; the next one may find one.
                let _ = app::thread(move || serve(&visited, stream));
            }
            Err(_) if app.stop.closed() => return,
            // Out of descriptors, say: trying at once again would only burn the processor.
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn echo_datagrams(app: &App, socket: &UdpSocket) {
    let mut bytes = vec![0; 65536];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut bytes) else { continue };
        if let Some(datagram) = bytes.get(..length).filter(|_| !app.frozen()) {
            let _ = socket.send_to(datagram, peer);
        }
    }
}

/// What becomes of a connection.
#[derive(PartialEq, Eq)]
enum Next {
    Request,
    Close,
    /// The app was told to stop answering: the connection stays, and nothing is said.
    Silence,
}

fn serve(app: &App, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = stream.set_write_timeout(Some(PATIENCE));
    let stream = Arc::new(stream);
    let visit = app.stop.enter(&stream);
    let mut wire = Wire::new(&stream);
    let next = loop {
        match converse(app, &visit, &mut wire) {
            Next::Request => {}
            next => break next,
        }
    };
    // Nobody waits for what follows, not even the end of the app.
    drop(visit);
    if next == Next::Silence {
        hold(&stream, None);
    }
    let _ = stream.shutdown(Shutdown::Write);
    hold(&stream, Some(FAREWELL));
}

/// Serves one request.
fn converse(app: &App, visit: &Visit<'_>, wire: &mut Wire) -> Next {
    visit.now(Doing::Waiting);
    if !wire.wait_for_some() {
        return Next::Close;
    }
    if app.frozen() {
        return Next::Silence;
    }
    visit.now(Doing::Working);
    match http::read(wire) {
        Ok(_) if app.frozen() => Next::Silence,
        Ok(request) => respond(app, visit, wire, &request),
        Err(Problem::Gone(_)) => Next::Close,
        Err(Problem::Bad(status, why)) => {
            let response = Response::new(status, why).with("Connection", "close");
            let _ = response.write(app, &wire.stream, false);
            Next::Close
        }
    }
}

fn respond(app: &App, visit: &Visit<'_>, wire: &mut Wire, request: &Request) -> Next {
    if let Some(response) = websocket::accepted(request) {
        if response.write(app, &wire.stream, false).is_ok() {
            visit.now(Doing::Talking);
            websocket::echo(app, wire);
        }
        return if app.frozen() { Next::Silence } else { Next::Close };
    }
    let mut response = answer(app, request);
    let last = !request.keeps_alive() || app.stop.draining();
    if last {
        response = response.with("Connection", "close");
    }
    match response.write(app, &wire.stream, request.method == "HEAD") {
        Ok(()) if !last => Next::Request,
        _ => Next::Close,
    }
}

/// Reads and forgets until the other side leaves, or so long.
fn hold(mut stream: &TcpStream, patience: Option<Duration>) {
    let end = patience.map(|patience| Instant::now() + patience);
    let _ = stream.set_read_timeout(patience);
    let mut bytes = [0; 4096];
    while matches!(stream.read(&mut bytes), Ok(length) if length > 0) {
        if end.is_some_and(|end| Instant::now() >= end) {
            return;
        }
    }
}
