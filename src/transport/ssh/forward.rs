//! Connections to addresses as a node sees them, through the node's sshd.
//!
//! The multiplexing client knows listening forwards only, and those can't tell whether the far end accepted. So this
//! speaks the one request that can (`MUX_C_NEW_STDIO_FWD` of OpenSSH's `PROTOCOL.mux`): the master is handed the
//! socket itself, and answers when the far end has accepted or refused.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};

use sendfd::SendWithFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

const HELLO: u32 = 1;
const VERSION: u32 = 4;
const NEW_STDIO_FORWARD: u32 = 0x1000_0008;
const SESSION_OPENED: u32 = 0x8000_0006;
/// No answer of a master comes near this.
const LONGEST_PACKET: usize = 64 * 1024;
/// Clients of one target at once; a probe has one or two.
const MOST_CLIENTS: usize = 16;

/// A listening socket whose clients are connected to one target. Dropping it closes them.
#[derive(Debug)]
pub(super) struct Forward {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Forward {
    /// Listens at `path`; `control` is the master's control socket.
    pub(super) fn listen(path: PathBuf, control: PathBuf, target: SocketAddr) -> io::Result<Self> {
        let listener = UnixListener::bind(&path)?;
        let task = tokio::spawn(serve(listener, control, target));
        Ok(Self { path, task })
    }

    /// Where clients connect.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn serve(listener: UnixListener, control: PathBuf, target: SocketAddr) {
    let mut clients = JoinSet::new();
    loop {
        while clients.try_join_next().is_some() {}
        if clients.len() >= MOST_CLIENTS {
            clients.join_next().await;
            continue;
        }
        let Ok((client, _)) = listener.accept().await else { return };
        let control = control.clone();
        clients.spawn(async move {
            // A refused client sees its connection closed; whoever wants the reason knocks.
            if let Ok(mut mux) = open(&control, target, client).await {
                let _ = mux.read(&mut [0; 64]).await;
            }
        });
    }
}

/// Whether the target accepts a connection; the connection is closed at once.
pub(super) async fn knock(control: &Path, target: SocketAddr) -> io::Result<()> {
    let (_ours, theirs) = UnixStream::pair()?;
    open(control, target, theirs).await.map(drop)
}

/// Hands `client` to the master and waits until the target has accepted; the connection lasts as long as the
/// returned one.
async fn open(control: &Path, target: SocketAddr, client: UnixStream) -> io::Result<UnixStream> {
    let mut mux = UnixStream::connect(control).await?;
    write(&mut mux, &[&HELLO.to_be_bytes(), &VERSION.to_be_bytes()]).await?;
    if number(&read(&mut mux).await?, 0) != Some(HELLO) {
        return Err(io::Error::other("the SSH master speaks another protocol"));
    }
    let host = target.ip().to_string();
    let length = u32::try_from(host.len()).unwrap_or_default().to_be_bytes();
    let port = u32::from(target.port()).to_be_bytes();
    let (request, nothing) = (NEW_STDIO_FORWARD.to_be_bytes(), 0_u32.to_be_bytes());
    write(&mut mux, &[&request, &nothing, &nothing, &length, host.as_bytes(), &port]).await?;
    // Once as its input and once as its output.
    send(&mux, client.as_raw_fd()).await?;
    send(&mux, client.as_raw_fd()).await?;
    drop(client);
    let answer = read(&mut mux).await?;
    match number(&answer, 0) {
        Some(SESSION_OPENED) => Ok(mux),
        _ => Err(io::Error::new(io::ErrorKind::ConnectionRefused, reason(&answer))),
    }
}

async fn write(mux: &mut UnixStream, parts: &[&[u8]]) -> io::Result<()> {
    let body = parts.concat();
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    mux.write_all(&[&length.to_be_bytes(), body.as_slice()].concat()).await
}

async fn read(mux: &mut UnixStream) -> io::Result<Vec<u8>> {
    let length = mux.read_u32().await? as usize;
    if length > LONGEST_PACKET {
        return Err(io::Error::other("the SSH master's answer is too long"));
    }
    let mut body = vec![0; length];
    mux.read_exact(&mut body).await?;
    Ok(body)
}

async fn send(mux: &UnixStream, fd: RawFd) -> io::Result<()> {
    loop {
        mux.writable().await?;
        match mux.send_with_fd(&[0], &[fd]) {
            Ok(1..) => return Ok(()),
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

fn number(packet: &[u8], at: usize) -> Option<u32> {
    let bytes = packet.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// The text of a failure: type, request, then a string.
fn reason(packet: &[u8]) -> String {
    let length = number(packet, 8).unwrap_or_default() as usize;
    let text = packet.get(12..12_usize.saturating_add(length)).unwrap_or_default();
    if text.is_empty() { "refused".to_owned() } else { String::from_utf8_lossy(text).into_owned() }
}
