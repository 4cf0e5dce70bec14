//! Traffic leaves from the network of the thread that it was given.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::{Child, Command};
use std::thread::JoinHandle;
use std::time::Duration;

use gitsync_lab::traffic::{
    Download, How, Load, Outcome, Talk, Target, Traffic, Transfer, Upload, WebSocket, Work, get,
    wait_until,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::servers::{answer, app};

const SOON: Duration = Duration::from_secs(20);

/// A process in a network of its own, where not even loopback is up.
struct Elsewhere(Child);

impl Elsewhere {
    fn new() -> Self {
        let child = Command::new("unshare").args(["--net", "sleep", "60"]).spawn().unwrap();
        let (there, here) = (format!("/proc/{}/ns/net", child.id()), "/proc/self/ns/net");
        let elsewhere = Self(child);
        let apart = || std::fs::read_link(&there).ok() != std::fs::read_link(here).ok();
        wait_until(SOON, "a network", || apart().then_some(()).ok_or_else(String::new)).unwrap();
        elsewhere
    }

    fn spawn(&self) -> impl FnOnce(Work) -> JoinHandle<()> + use<> {
        let network = File::open(format!("/proc/{}/ns/net", self.0.id())).unwrap();
        move |work| {
            std::thread::spawn(move || {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(network.as_fd(), kind).unwrap();
                work();
            })
        }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn nothing_leaves_from_another_network_than_the_threads() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: a network of its own needs root");
        return;
    }
    let server = answer(|asked| app(200, "1", "a", asked));
    let elsewhere = Elsewhere::new();
    let target = Target::new(server.addr, "x");

    let traffic = Traffic::start(Load::on(target.clone()), elsewhere.spawn());
    let sent = || (traffic.so_far().sent > 3).then_some(()).ok_or_else(String::new);
    wait_until(SOON, "requests", sent).unwrap();
    let seen = traffic.stop();
    assert_eq!(seen.failures().len(), seen.sent);
    let unreachable = "connecting: Network is unreachable (os error 101)".to_owned();
    assert_eq!(seen.answers[0].outcome, Outcome::Failed { reason: unreachable.clone() });

    let socket = WebSocket::start(Talk::on(target.clone()), elsewhere.spawn());
    let end = socket.wait_for(SOON, |talked| talked.ends.first().cloned()).unwrap();
    assert_eq!(end.how, How::Refused { reason: unreachable });

    let (over, host) = (Duration::from_secs(1), "x");
    let down = Download::slow(server.addr, host, over, 1);
    let up = Upload::slow(server.addr, host, over, 1);
    assert!(!Transfer::download(down, elsewhere.spawn()).finish().is_whole());
    assert!(!Transfer::upload(up, elsewhere.spawn()).finish().is_whole());

    let addr = server.addr;
    let ask = move || assert!(get(addr, "x", "/").is_err());
    elsewhere.spawn()(Box::new(ask)).join().unwrap();
    assert_eq!(server.connections(), 0);
}
