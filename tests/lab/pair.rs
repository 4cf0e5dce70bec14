//! Two instances on two hosts behind a Caddy on a third, and what their users meet.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gitsync_lab::traffic::{Download, Target, Traffic, Transfer};
use gitsync_lab::{HostSpec, Spec};

use crate::stage::Stage;

/// The name that the gateway serves.
pub const SITE: &str = "web.test";

/// `gw` for the gateway; `h1` and `h2`, each with an engine, for the instances.
pub fn hosts() -> Spec {
    let host = |name, last| HostSpec::new(name, Ipv4Addr::new(10, 77, 0, last));
    let hosts = vec![host("gw", 3), host("h1", 1).docker(), host("h2", 2).docker()];
    Spec::network(Ipv4Addr::new(10, 77, 0, 254), 24, hosts)
}

impl Stage {
    /// Writes a gateway with only what it must say, and these lines; Debian's own configuration is taken over.
    pub fn write_gateway(&self, more: &str) {
        self.write(
            "gateways/edge.yaml",
            &format!("proxy: caddy\non: [gw]\nrun: command\nadopt: true\n{more}"),
        );
    }

    /// The service as its users see it.
    pub fn site(&self) -> Target {
        Target::new(SocketAddr::from((self.host("gw").address(), 80)), SITE)
    }

    /// 50 requests a second through the gateway, after the first good answer.
    pub fn users_of_site(&self) -> Traffic {
        self.until(Duration::from_secs(10), "an answer through the gateway", || {
            let Target { addr, host, path } = self.site();
            let reply = gitsync_lab::traffic::get(addr, &host, &path)?;
            if reply.status == 200 { Ok(()) } else { Err(format!("status {}", reply.status)) }
        });
        self.users(self.site(), 50)
    }

    /// One download through the gateway that takes so long.
    pub fn download(&self, over: Duration) -> Transfer {
        let Target { addr, host, .. } = self.site();
        let download = Download::slow(addr, &host, over, 600_000);
        Transfer::download(download, |work| self.lab.spawn(work))
    }

    /// Waits until so long after one of the looks that the gateway takes at the instances.
    pub fn after_a_look(&self, interval: Duration, later: Duration) {
        let log = self.host("gw").sh("cat $(find /var/lib/gitsync -path '*gateway.edge/log')");
        let log = log.unwrap();
        // The first look is taken when the program starts to serve, the others at even distances from it.
        let line = log.lines().find(|line| line.contains("serving initial configuration")).unwrap();
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let first = Duration::from_secs_f64(line["ts"].as_f64().unwrap());
        let passed = SystemTime::now().duration_since(UNIX_EPOCH + first).unwrap();
        let phase = Duration::from_nanos((passed.as_nanos() % interval.as_nanos()) as u64);
        std::thread::sleep(interval + later - phase);
    }

    /// Which host's container answers to which name.
    pub fn containers(&self) -> BTreeMap<String, &'static str> {
        let of = |host: &'static str| {
            let names = self.host(host).sh("docker ps -q").unwrap();
            names.lines().map(|name| (name.to_owned(), host)).collect::<Vec<_>>()
        };
        ["h1", "h2"].into_iter().flat_map(of).collect()
    }
}
