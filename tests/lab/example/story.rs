//! What is seen of the example from outside, step by step.

use std::net::UdpSocket;
use std::time::Duration;

use super::Example;
use super::hosts::VPSES;
use super::people::{INSIDE, OUTSIDE, page, refusal};
use super::repository::content;

/// Where services listen on the VPSes and on the NAS.
const PORTS: [(&[&str], &[u16]); 2] =
    [(&VPSES, &[53, 3001, 8045, 8081]), (&["unraid"], &[7878, 8085, 8181, 8989, 32400])];
/// lsyncd gathers for a second; ssh and rsync need their time on a busy machine.
const CARRIED: Duration = Duration::from_secs(20);
/// Caddy notices what its upstreams do.
const NOTICED: Duration = Duration::from_secs(10);

impl Example {
    /// Each service, on each of its hosts, at the port that the example says.
    pub fn all_services_answer(&self, version: &str) {
        for (hosts, ports) in PORTS {
            for (host, port) in hosts.iter().flat_map(|host| ports.iter().map(move |it| (host, it)))
            {
                assert_eq!(self.version(host, *port), version, "{host}:{port}");
            }
        }
        for name in VPSES {
            assert!(self.resolves(name), "{name} answers no datagram");
            let local = self.host(name).sh("curl -sS --max-time 2 http://127.0.0.1:8081/");
            assert!(local.is_err(), "organizr is published on the mesh only");
        }
    }

    /// Whether the resolver's port takes datagrams.
    fn resolves(&self, host: &str) -> bool {
        let address = (self.host(host).address(), 53);
        self.lab.inside(|| {
            let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            socket.send_to(b"who?", address).unwrap();
            socket.recv(&mut [0; 16]).is_ok_and(|length| length == 4)
        })
    }

    /// Both gateways route every site: primaries first, the mesh's own to the mesh only.
    pub fn gateways_route(&self, organizr: &str) {
        for vps in VPSES {
            let open = |from, site| self.open(from, vps, site).unwrap();
            assert_eq!(open(OUTSIDE, "organizr"), page("vps2", organizr), "at {vps}");
            assert_eq!(open(INSIDE, "organizr"), page("vps2", organizr), "at {vps}");
            assert_eq!(open(OUTSIDE, "status"), page("vps1", "1"), "at {vps}");
            assert_eq!(open(INSIDE, "antigravity").status, 200, "at {vps}");
            assert_eq!(open(OUTSIDE, "antigravity"), refusal(403), "at {vps}");
        }
    }

    /// The fallback answers while the primary is away, and no longer.
    pub fn the_fallback_stands_in(&self, organizr: &str) {
        let primary = self.host("vps2");
        primary
            .sh("docker stop -t 1 $(docker ps -q -f label=gitsync.unit=service.organizr)")
            .unwrap();
        for vps in VPSES {
            self.answers(vps, "organizr", "vps1", organizr);
        }
        primary.sh("docker start $(docker ps -aq -f label=gitsync.unit=service.organizr)").unwrap();
        for vps in VPSES {
            self.answers(vps, "organizr", "vps2", organizr);
        }
    }

    fn answers(&self, vps: &str, site: &str, by: &'static str, version: &str) {
        self.until(NOTICED, &format!("{site} at {vps} by {by}"), || {
            match self.open(OUTSIDE, vps, site) {
                Ok(answer) if answer == page(by, version) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }

    /// Files that lie on the nodes are values of the service there.
    pub fn values_of_the_node_arrive(&self) {
        for vps in VPSES {
            let value = |name: &str| self.ask(vps, 8045, &format!("/env?name={name}")).text();
            assert_eq!(value("API_KEY"), "key-of-the-api");
            assert_eq!(value("WEB_PASSWORD"), "pa$$ \"word\"");
        }
    }

    /// What systemd runs for the example begins with the VPS again.
    pub fn services_are_enabled(&self) {
        for (vps, service) in
            VPSES.into_iter().flat_map(|vps| ["caddy", "lsyncd"].map(|it| (vps, it)))
        {
            let said = self.host(vps).sh(&format!("systemctl is-enabled {service}")).unwrap();
            assert_eq!(said, "enabled", "{service} on {vps}");
        }
    }

    /// Bundles have owner and mode; a brought compose file is as it was, its labels beside it.
    pub fn files_land_as_said(&self) {
        let bundles = [
            ("vps1", "/etc/mcp/servers.json"),
            ("vps2", "/etc/mcp/servers.json"),
            ("unraid", "/mnt/user/appdata/mcp/servers.json"),
        ];
        for (name, path) in bundles {
            let host = self.host(name);
            assert_eq!(host.read(path).unwrap(), content("files/mcp/servers.json"));
            let stat = host.sh(&format!("stat -c '%U:%G %a' {path}")).unwrap();
            assert_eq!(stat, "root:root 644", "{path} on {name}");
        }
        let unraid = self.host("unraid");
        let brought = unraid.read("/mnt/user/appdata/stacks/sabnzbd/compose.yaml").unwrap();
        assert_eq!(brought, content("services/sabnzbd/compose.yaml"));
        let labelled =
            "docker ps -q -f label=gitsync.unit=service.sabnzbd -f label=gitsync.fleet=homelab";
        assert_eq!(unraid.sh(labelled).unwrap().lines().count(), 1);
    }

    /// What somebody or a service writes on one VPS is read on the other, and back; what is excluded is not.
    pub fn folders_are_carried_both_ways(&self) {
        let hosts = "/srv/dns-resolver/hosts";
        for (from, to, text) in [("vps1", "vps2", "one"), ("vps2", "vps1", "two, longer")] {
            self.host(from).write("/srv/dns-resolver/draft.tmp", text).unwrap();
            self.host(from).write(hosts, text).unwrap();
            // As the service there reads it, through its own mount.
            let read = || self.ask(to, 53, &format!("/read?path={hosts}")).text();
            self.carried(&format!("{hosts} to {to}"), text, read);
            let accounts = "/root/.antigravity_tools/accounts";
            self.enter(from, 8045, "/root/.antigravity_tools/accounts.lock", text);
            self.enter(from, 8045, accounts, text);
            let read = || self.ask(to, 8045, &format!("/read?path={accounts}")).text();
            self.carried(&format!("{accounts} to {to}"), text, read);
            for file in ["/srv/dns-resolver/draft.tmp", "/srv/antigravity/accounts.lock"] {
                assert!(!self.host(to).has(file), "{file} was carried to {to}");
                self.host(from).sh(&format!("rm {file}")).unwrap();
            }
        }
    }

    fn carried(&self, what: &str, text: &str, read: impl Fn() -> String + Sync) {
        self.until(CARRIED, what, || {
            let found = read();
            if found == text { Ok(()) } else { Err(format!("there is `{found}`")) }
        });
    }

    /// Another rollout has nothing to do and touches nothing; every look at the fleet is content.
    pub fn nothing_is_left_to_do(&self) {
        let before = self.truth();
        self.run(&["apply", "--yes"]).exits(0).says("0 to create, 0 to change, 0 to remove");
        for look in ["status", "drift", "check"] {
            let said = self.run(&[look]).exits(0);
            eprintln!("{}", said.out);
        }
        before.same(&self.truth()).unwrap_or_else(|moved| panic!("{moved}"));
    }

    /// A portal with a newer image, a new site, another exclusion, another file: everything in one commit.
    pub fn a_change_goes_through(&self) {
        let caddies = VPSES.map(|vps| self.main_process(vps, "caddy"));
        self.load_organizr("2.1.2340", "2");
        self.edit("services/organizr.yaml", "organizr:2.1.2320", "organizr:2.1.2340");
        self.edit(
            "services/tautulli.yaml",
            "volumes:",
            "expose: [{ host: played, port: web }]\nvolumes:",
        );
        self.edit("syncs/dns-files.yaml", "[\"*.tmp\"]", "[\"*.tmp\", \"*.bak\"]");
        self.edit("files/mcp/servers.json", "2025.4.7", "2025.4.8");
        self.edit("bundles/mcp.yaml", "\"0644\"", "\"0640\", owner: \"deploy:sync\"");
        self.edit("services/dns-resolver/conf/Corefile", "cache 300", "cache 600");
        self.commit("a change");
        self.rolls("converged");
        self.gateways_route("2");
        for vps in VPSES {
            assert_eq!(self.open(OUTSIDE, vps, "played"), Ok(page("nowhere", "1")), "at {vps}");
            let bundle = "stat -c '%U:%G %a' /etc/mcp/servers.json; grep -c 2025.4.8 /etc/mcp/*";
            let bundle = self.host(vps).sh(bundle).unwrap();
            assert_eq!(bundle, "deploy:sync 640\n1", "on {vps}");
        }
        assert_eq!(VPSES.map(|vps| self.main_process(vps, "caddy")), caddies, "a reload would do");
        self.excludes("*.bak", "hosts.bak", "hosts.good");
    }

    /// What lsyncd leaves out when a pattern is among its exclusions.
    fn excludes(&self, pattern: &str, left: &str, carried: &str) {
        let [from, to] = VPSES;
        for name in [left, carried] {
            self.host(from).write(&format!("/srv/dns-resolver/{name}"), name).unwrap();
        }
        let read = || self.ask(to, 53, &format!("/read?path=/srv/dns-resolver/{carried}")).text();
        self.carried(carried, carried, read);
        assert!(!self.host(to).has(&format!("/srv/dns-resolver/{left}")), "{pattern} was carried");
    }

    /// Everything changes, and last the gateways' port: on one VPS somebody else has it, and all goes back.
    pub fn a_broken_one_is_put_back(&self) {
        let squatter =
            "systemd-run --quiet --unit squatter /lab/busybox nc -ll -p 8443 -e /bin/true";
        self.host("vps2").sh(squatter).unwrap();
        let before = self.truth();
        self.load_organizr("2.1.2360", "3");
        self.edit("services/organizr.yaml", "organizr:2.1.2340", "organizr:2.1.2360");
        self.edit("gateways/edge.yaml", "https: 443", "https: 8443");
        self.edit("syncs/dns-files.yaml", ", \"*.bak\"", "");
        self.edit("files/mcp/servers.json", "2025.4.8", "2025.4.9");
        self.edit("services/dns-resolver/conf/Corefile", "cache 600", "cache 900");
        self.commit("a broken change");
        let said = self.rolls("rolled_back");
        assert!(said.contains("vps2/gateway.edge: failed"), "{said}");
        assert!(said.contains("vps1/gateway.edge: put back"), "{said}");
        before.same_content(&self.truth()).unwrap_or_else(|moved| panic!("{moved}"));
        self.gateways_route("2");
        self.all_services_still_answer();
        self.excludes("*.bak", "second.bak", "second.good");
    }

    fn all_services_still_answer(&self) {
        for (hosts, ports) in PORTS {
            for (host, port) in hosts.iter().flat_map(|host| ports.iter().map(move |it| (host, it)))
            {
                let version = if *port == 8081 { "2" } else { "1" };
                assert_eq!(self.version(host, *port), version, "{host}:{port}");
            }
        }
    }

    fn load_organizr(&self, tag: &str, version: &str) {
        let image = self.app_image(version, &[]);
        self.load_images(&VPSES, &[(&format!("organizr/organizr:{tag}"), &image)]);
    }

    fn main_process(&self, vps: &str, service: &str) -> String {
        self.host(vps).sh(&format!("systemctl show -P MainPID {service}")).unwrap()
    }
}
