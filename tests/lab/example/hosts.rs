//! The example's hosts, and what its README expects of them, done as an operator would.

use std::net::Ipv4Addr;

use gitsync_lab::image::{ExtraFile, Image};
use gitsync_lab::{Host, HostSpec, Mount, Spec};

use super::Example;

/// The VPSes: names, and addresses as the example says.
pub const VPSES: [&str; 2] = ["vps1", "vps2"];
/// Where the NAS keeps what outlives a reboot.
const SHARES: &str = "/mnt/user";

/// An image: its name in the example, where the program listens, the hosts that have it.
type Named = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

const IMAGES: &[Named] = &[
    ("coredns/coredns:1.12.0", &[("APP_PORTS", "53"), ("APP_UDP", "53")], &VPSES),
    ("lbjlaq/antigravity-manager:v4.1.12", &[("APP_PORTS", "8045")], &VPSES),
    ("organizr/organizr:2.1.2320", &[], &VPSES),
    ("louislam/uptime-kuma:1.23.16", &[("APP_PORTS", "3001")], &VPSES),
    ("lscr.io/linuxserver/plex:1.42.2", &[("APP_PORTS", "32400")], &["unraid"]),
    ("lscr.io/linuxserver/radarr:5.26.2", &[("APP_PORTS", "7878")], &["unraid"]),
    ("lscr.io/linuxserver/sabnzbd:4.5.1", &[("APP_PORTS", "8080")], &["unraid"]),
    ("lscr.io/linuxserver/sonarr:4.0.15", &[("APP_PORTS", "8989")], &["unraid"]),
    ("lscr.io/linuxserver/tautulli:2.15.2", &[("APP_PORTS", "8181")], &["unraid"]),
];

/// Two VPSes and a NAS in a mesh, and somebody's laptop.
pub fn spec() -> Spec {
    let vps = |name: &str, address| HostSpec::new(name, address).systemd().docker();
    let nas = HostSpec::new("unraid", Ipv4Addr::new(100, 76, 168, 116)).docker();
    let hosts = vec![
        vps("vps1", Ipv4Addr::new(100, 67, 88, 109)),
        vps("vps2", Ipv4Addr::new(100, 102, 55, 88)),
        nas.mount(Mount::Disk(SHARES.to_owned(), 64)),
        HostSpec::new("laptop", Ipv4Addr::new(100, 64, 0, 9)),
    ];
    Spec::network(Ipv4Addr::new(100, 64, 0, 1), 10, hosts)
}

impl Example {
    /// Everything that is there before gitsync is.
    pub fn prepare_hosts(&self) {
        for name in ["vps1", "vps2", "unraid"] {
            self.lab.name(&format!("{name}.tail.ts.net"), self.host(name).address()).unwrap();
        }
        std::thread::scope(|scope| {
            for (name, other) in [("vps1", "vps2"), ("vps2", "vps1")] {
                scope.spawn(move || prepare_vps(self.host(name), self.host(other)));
            }
            scope.spawn(|| prepare_nas(self.host("unraid")));
        });
        for name in VPSES {
            self.exchange_keys(name);
        }
        self.load_example_images();
    }

    /// `sync` of a VPS may write to the other one.
    fn exchange_keys(&self, name: &str) {
        let other = if name == "vps1" { "vps2" } else { "vps1" };
        let key = self.host(name).read("/home/sync/.ssh/id_ed25519.pub").unwrap();
        self.host(other).write("/home/sync/.ssh/authorized_keys", key).unwrap();
    }

    fn load_example_images(&self) {
        for host in ["vps1", "vps2", "unraid"] {
            let here = IMAGES.iter().filter(|(.., on)| on.contains(&host));
            let images: Vec<(&str, Image)> =
                here.map(|(name, env, _)| (*name, self.image_of(name, env))).collect();
            let named: Vec<(&str, &Image)> =
                images.iter().map(|(name, image)| (*name, image)).collect();
            self.load_images(&[host], &named);
        }
    }

    /// Uptime Kuma's volume is below `/app`, where other images have the program: a whiteout takes it away.
    fn image_of(&self, name: &str, env: &[(&str, &str)]) -> Image {
        let image = self.app_image("1", env);
        if !name.starts_with("louislam/") {
            return image;
        }
        let program = std::fs::read(gitsync_lab::app_program().unwrap()).unwrap();
        let program = ExtraFile { mode: 0o755, ..ExtraFile::new("/program/server", program) };
        let image = image.files(&[program, ExtraFile::new("/.wh.app", "")]).unwrap();
        image.entrypoint(["/program/server"])
    }

    /// The test app that listens where a service of the example does.
    pub fn app_image(&self, version: &str, env: &[(&str, &str)]) -> Image {
        let image = self.app.image(version);
        env.iter().fold(image, |image, (name, value)| image.env(name, value))
    }
}

fn prepare_vps(host: &Host, other: &Host) {
    host.sh("systemctl enable --now docker").unwrap();
    host.wait_for_engine().unwrap();
    let known = format!("{} {}\n", other.address(), other.host_key().unwrap());
    host.write("/root/.ssh/known_hosts", known).unwrap();
    host.sh("set -e
        mkdir -p /srv/dns-resolver /srv/antigravity /etc/antigravity
        chown sync:sync /srv/dns-resolver /srv/antigravity
        printf key-of-the-api >/etc/antigravity/api-key
        printf 'pa$$ \"word\"' >/etc/antigravity/web-password
        chmod 600 /etc/antigravity/*
        su sync -c 'ssh-keygen -q -t ed25519 -N \"\" -f /home/sync/.ssh/id_ed25519'")
        .unwrap();
}

fn prepare_nas(host: &Host) {
    host.sh(
        // As Unraid has it: the shares are nobody's, and `go` runs at boot, when /etc is new.
        "set -e
        mkdir -p /boot/config /mnt/user/appdata /mnt/user/media/downloads
        printf '#!/bin/bash\\nmkdir -p /etc/gitsync && echo \"trust /mnt/user\" >/etc/gitsync/policy\\n' >/boot/config/go
        sh /boot/config/go
        chown 99:100 /mnt/user /mnt/user/appdata
        chmod 777 /mnt/user /mnt/user/appdata",
    )
    .unwrap();
}
