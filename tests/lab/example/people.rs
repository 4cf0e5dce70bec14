//! People with a laptop, in the mesh or out on the Internet, and what they are answered.

use gitsync_lab::traffic::{self, Reply};

use super::Example;

/// The laptop in the mesh.
pub const INSIDE: &str = "100.64.0.9";
/// The laptop out on the Internet.
pub const OUTSIDE: &str = "203.0.113.7";

/// What a browser would show.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// The VPS whose instance answered; empty when it was the gateway itself.
    pub by: &'static str,
    pub version: String,
}

/// The answer of a service's instance.
pub fn page(by: &'static str, version: &str) -> Answer {
    Answer { status: 200, by, version: version.to_owned() }
}

/// The gateway's own word.
pub fn refusal(status: u16) -> Answer {
    Answer { status, by: "", version: String::new() }
}

impl Example {
    /// The laptop trusts the authority that each Caddy is to itself, and VPSes find it when it is outside.
    pub fn prepare_laptop(&self) {
        let laptop = self.host("laptop");
        laptop.sh(&format!("ip address add {OUTSIDE}/32 dev lo")).unwrap();
        for name in super::hosts::VPSES {
            let vps = self.host(name);
            vps.sh(&format!("ip route add {OUTSIDE} via {INSIDE}")).unwrap();
            let authority = "/var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt";
            laptop.write(&format!("/root/{name}.crt"), vps.read(authority).unwrap()).unwrap();
        }
    }

    /// Opens `https://<site>.example.net/` at a VPS; an error is what curl said.
    pub fn open(&self, from: &str, vps: &str, site: &str) -> Result<Answer, String> {
        let site = format!("{site}.example.net");
        let mut curl = self.host("laptop").command("curl").map_err(|error| error.to_string())?;
        curl.args(["-sS", "--max-time", "8", "--interface", from, "-o", "/dev/null"]);
        curl.args(["-w", "%{http_code} %header{x-app-version} %header{x-app-host}"]);
        curl.args(["--cacert", &format!("/root/{vps}.crt"), "--resolve"]);
        curl.arg(format!("{site}:443:{}", self.host(vps).address()));
        let output = curl.arg(format!("https://{site}/")).output().map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut words = said.split(' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let status = word().parse().map_err(|_| format!("what status is `{said}`?"))?;
        Ok(Answer { status, version: word(), by: self.place_of(&word()) })
    }

    /// The VPS that a container runs on, by the name that the container has for itself.
    fn place_of(&self, container: &str) -> &'static str {
        let runs = |name: &str| {
            self.host(name).sh("docker ps -q").unwrap().lines().any(|id| id == container)
        };
        if container.is_empty() {
            return "";
        }
        super::hosts::VPSES.into_iter().find(|name| runs(name)).unwrap_or("nowhere")
    }

    /// Asks a service at its host's port.
    #[track_caller]
    pub fn ask(&self, host: &str, port: u16, path: &str) -> Reply {
        let address = (self.host(host).address(), port).into();
        self.get(address, "app.test", path).unwrap_or_else(|error| panic!("{host}:{port}: {error}"))
    }

    /// Has the app on a host write a file, as it does with what people enter.
    #[track_caller]
    pub fn enter(&self, host: &str, port: u16, path: &str, text: &str) {
        let address = (self.host(host).address(), port).into();
        let path = format!("/write?path={path}");
        let reply = self.lab.inside(|| traffic::post(address, "app.test", &path, text.as_bytes()));
        assert_eq!(reply.unwrap().status, 200);
    }
}
