//! A registry that engines pull from: images by tag and by digest, and the faults that registries have.

mod answer;
mod http;
mod server;
mod shelf;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::image::Image;
use server::{Shared, Waker};

/// What is wrong with a registry.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Connections are closed at once, open ones too.
    Outage,
    /// Manifests are refused with 429, as Docker Hub does to those who pull too much.
    RateLimited,
    /// Everything is refused with 401, whoever asks.
    Unauthorized,
    /// Bodies come at this rate, on each connection.
    Slow {
        /// Bytes of a body in a second; nought counts as one.
        bytes_per_second: u64,
    },
    /// A blob's bytes don't match its digest.
    Corrupt,
    /// Connections are accepted and never answered; they are closed when the fault ends.
    Hang,
}

/// A request that a registry got.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// `GET` or `HEAD`, or what a registry for pulls refuses.
    pub method: String,
    /// The path, with its query.
    pub path: String,
    /// The status it was answered with, if it was.
    pub status: Option<u16>,
}

impl Request {
    /// Whether it asked for a manifest, as every pull does first.
    pub fn is_pull(&self) -> bool {
        self.path.contains("/manifests/")
    }
}

/// A running registry; it stops, and its connections end, when the value is dropped.
pub struct Registry {
    address: SocketAddr,
    shared: Arc<Shared>,
    waker: Waker,
    acceptor: Option<JoinHandle<()>>,
}

impl Registry {
    /// Serves on a listener, in whichever network that was bound; fails when the system has no thread for it.
    pub fn serve(listener: TcpListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(false)?;
        let waker = Waker::of(&listener)?;
        let shared = Arc::new(Shared::default());
        let held = Arc::clone(&shared);
        let acceptor = std::thread::Builder::new()
            .name("registry".to_owned())
            .spawn(move || server::accept(&held, &listener))?;
        Ok(Self { address, shared, waker, acceptor: Some(acceptor) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The name by which an engine on the same host pulls an image, `127.0.0.1:5000/app:1`.
    pub fn reference(&self, name: &str, tag: &str) -> String {
        format!("{}/{name}:{tag}", self.address)
    }

    /// The same by digest, which stays what it is when the tag moves.
    pub fn pinned(&self, name: &str, image: &Image) -> String {
        format!("{}/{name}@{}", self.address, image.digest())
    }

    /// Puts an image behind a tag; a tag that is there moves, and the image that it leaves stays by digest.
    pub fn push(&self, name: &str, tag: &str, image: &Image) {
        self.shared.lock().shelf.push(name, tag, image);
    }

    /// Removes a tag, not the image behind it; says whether it was there.
    pub fn remove_tag(&self, name: &str, tag: &str) -> bool {
        self.shared.lock().shelf.remove_tag(name, tag)
    }

    /// Breaks or mends it, for open connections too.
    pub fn set_fault(&self, fault: Fault) {
        self.shared.set_fault(fault);
    }

    /// What is wrong with it now.
    pub fn fault(&self) -> Fault {
        self.shared.lock().fault
    }

    /// From now on answers only those who give this user and password.
    pub fn require_login(&self, user: &str, password: &str) {
        self.shared.lock().login = Some(answer::authorization(user, password));
    }

    /// From now on answers everybody.
    pub fn open_to_all(&self) {
        self.shared.lock().login = None;
    }

    /// The requests it got, oldest first; attempts to speak TLS aren't among them.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests().to_vec()
    }

    /// Forgets the requests it got.
    pub fn clear_requests(&self) {
        self.shared.lock().forget();
    }

    /// How many connections it was asked for since it started, answered or not.
    pub fn connections(&self) -> u64 {
        self.shared.lock().connections
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.shared.stop();
        self.waker.wake();
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}
