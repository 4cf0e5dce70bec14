//! What a compose file asks of its node beyond a container of its own: powers that an owner may want to limit.
//!
//! Keys that are not known to be harmless count as `privileged`: a newer compose may read anything into them.

use super::mounts::Mounted;
use super::references::each;
use super::{Compose, Part, Reader};
use crate::check::document::Yaml;
use crate::model::AbsPath;

/// A power over the node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Power {
    /// All of the node, or something that isn't known to be less; with what asks for it.
    Privileged(String),
    /// The node's own network.
    HostNetwork,
    /// Another namespace of the node or of other containers; with the key.
    HostNamespace(String),
    /// A capability, without `CAP_`, in capitals.
    Capability(String),
    /// A device of the node, or `gpus`.
    Device(String),
    /// A file or directory of the node that is not below the service's own directory.
    HostMount(AbsPath),
}

/// A power before the service's directory is known.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Power(Power),
    Mount(Mounted),
}

/// Keys of a service that give it no power over its node.
const HARMLESS: &[&str] = &[
    "annotations",
    "attach",
    "blkio_config",
    "cap_drop",
    "command",
    "configs",
    "container_name",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "cpu_shares",
    "cpus",
    "cpuset",
    "depends_on",
    "dns",
    "dns_opt",
    "dns_search",
    "domainname",
    "entrypoint",
    "env_file",
    "environment",
    "expose",
    "extends",
    "external_links",
    "extra_hosts",
    "group_add",
    "healthcheck",
    "hostname",
    "image",
    "init",
    "label_file",
    "labels",
    "links",
    "logging",
    "mac_address",
    "mem_limit",
    "mem_reservation",
    "mem_swappiness",
    "memswap_limit",
    "networks",
    "oom_score_adj",
    "pids_limit",
    "platform",
    "ports",
    "profiles",
    "pull_policy",
    "pull_refresh_after",
    "read_only",
    "restart",
    "scale",
    "secrets",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "storage_opt",
    "sysctls",
    "tmpfs",
    "tty",
    "ulimits",
    "user",
    "working_dir",
];

/// Keys of a build that give it no power over its node.
const HARMLESS_BUILD: &[&str] = &[
    "additional_contexts",
    "args",
    "cache_from",
    "context",
    "dockerfile",
    "dockerfile_inline",
    "labels",
    "no_cache",
    "platforms",
    "pull",
    "shm_size",
    "tags",
    "target",
];

/// Top-level keys that give no power by themselves.
const HARMLESS_TOP: &[&str] =
    &["configs", "include", "name", "networks", "secrets", "services", "version", "volumes"];

impl Compose {
    /// The powers that the file asks for, each with the service or section that does; its files lie in `directory`.
    pub fn powers(&self, directory: &AbsPath) -> Vec<(String, Power)> {
        let mounted = |mount: &Mounted| match mount.below(directory) {
            Some(mount) => match mount.source {
                crate::model::MountSource::Path(path) => Some(Power::HostMount(path)),
                _ => None,
            },
            None => Some(Power::Privileged("a mount whose source isn't known here".to_owned())),
        };
        let power = |asked: &Asked| match asked {
            Asked::Power(power) => Some(power.clone()),
            Asked::Mount(mount) => mounted(mount),
        };
        let all = self.asked.iter();
        let mut all: Vec<_> =
            all.filter_map(|(who, asked)| Some((who.clone(), power(asked)?))).collect();
        all.sort();
        all.dedup();
        all
    }
}

impl Reader<'_> {
    /// The powers of everything in a part but its services.
    pub(super) fn part_powers(&self, part: &Part) -> Vec<(String, Asked)> {
        let root = part.root();
        let mut found = Vec::new();
        for pair in root.pairs() {
            let key = pair.key.as_str();
            if !HARMLESS_TOP.contains(&key) && !key.starts_with("x-") && key != "<<" {
                found.push((key.to_owned(), privileged(format!("`{key}`"))));
            }
        }
        for pair in root.get("networks").map(Yaml::pairs).unwrap_or_default() {
            if self.is_host_network(part, &pair.key, &pair.value) {
                let who = format!("the network {}", pair.key);
                found.push((who, Asked::Power(Power::HostNetwork)));
            }
        }
        for pair in root.get("volumes").map(Yaml::pairs).unwrap_or_default() {
            let who = format!("the volume {}", pair.key);
            found.extend(
                self.volume_power(part, &pair.value).map(|power| (who, Asked::Power(power))),
            );
        }
        found
    }

    /// Whether a top-level network is, or lies beside, the node's own.
    fn is_host_network(&self, part: &Part, key: &str, network: &Yaml) -> bool {
        let said = |key| network.get(key).filter(|value| !value.is_null());
        let driver = said("driver").map(|driver| part.text(driver));
        let plain = |text: &Option<String>| matches!(text.as_deref(), Some("bridge" | "overlay"));
        let external = said("external");
        let nested = external.and_then(|it| it.get("name"));
        let name = said("name").or(nested).map(|name| part.text(name));
        let host = match name {
            Some(name) => name.is_none_or(|name| name == "host"),
            None => external.is_some() && key == "host",
        };
        host || driver.is_some_and(|driver| !plain(&driver))
    }

    /// Options of a volume may mount whatever the node can mount.
    fn volume_power(&self, part: &Part, volume: &Yaml) -> Option<Power> {
        let local = |text: Option<String>| text.as_deref() == Some("local");
        let driver = volume.get("driver").filter(|driver| !driver.is_null());
        if driver.is_some_and(|driver| !local(part.text(driver))) {
            return Some(Power::Privileged("`driver`".to_owned()));
        }
        let options = volume.get("driver_opts").filter(|options| !options.is_null())?;
        let device = options.get("device").and_then(|device| part.text(device));
        let path = device.and_then(|device| super::mounts::absolute(&device));
        Some(path.map_or_else(|| Power::Privileged("`driver_opts`".to_owned()), Power::HostMount))
    }

    /// The powers of one service but its mounts.
    pub(super) fn service_powers(&self, part: &Part, service: &Yaml) -> Vec<Asked> {
        let mut found = Vec::new();
        for pair in service.pairs().iter().filter(|pair| !pair.value.is_null()) {
            found.extend(self.key_powers(part, &pair.key, &pair.value));
        }
        found
    }

    fn key_powers(&self, part: &Part, key: &str, value: &Yaml) -> Vec<Asked> {
        let quoted = || format!("`{key}`");
        let list = |make: fn(&str) -> Power| -> Vec<Asked> {
            let texts = each(value).into_iter().map(|item| part.text(item));
            texts
                .map(|text| text.map_or_else(|| privileged(quoted()), |t| make(&t).into()))
                .collect()
        };
        match key {
            "volumes" | "<<" => Vec::new(),
            "cap_add" => list(|text| Power::Capability(capability(text))),
            "devices" => self.devices(part, value),
            "gpus" => vec![Power::Device("gpus".to_owned()).into()],
            "network_mode" => self.network_mode(part, value).into_iter().collect(),
            "pid" | "ipc" | "uts" | "userns_mode" | "cgroup" => self.namespace(part, key, value),
            "security_opt" => {
                each(value).into_iter().filter_map(|it| self.security(part, it)).collect()
            }
            "deploy" => deploy(value),
            "build" => build(value),
            "post_start" | "pre_stop" => {
                let bare = |hook: &Yaml| hook.get("privileged").is_some();
                if value.items().iter().any(bare) { vec![privileged(quoted())] } else { Vec::new() }
            }
            "privileged" | "oom_kill_disable" | "use_api_socket" => {
                let off = part.text(value).as_deref() == Some("false");
                if off { Vec::new() } else { vec![privileged(quoted())] }
            }
            "volumes_from" => {
                let own = |item: &Yaml| {
                    part.text(item).is_some_and(|text| !text.starts_with("container:"))
                };
                if each(value).into_iter().all(own) {
                    Vec::new()
                } else {
                    vec![privileged(quoted())]
                }
            }
            _ if HARMLESS.contains(&key) || key.starts_with("x-") => Vec::new(),
            _ => vec![privileged(quoted())],
        }
    }

    /// `none`, `bridge` and a service of the same file give nothing that belongs to the node.
    fn network_mode(&self, part: &Part, value: &Yaml) -> Option<Asked> {
        match part.text(value).as_deref() {
            Some("none" | "bridge" | "default") => None,
            Some(text) if text.starts_with("service:") => None,
            Some("host") => Some(Power::HostNetwork.into()),
            Some(text) if text.starts_with("container:") => {
                Some(Power::HostNamespace("network_mode".to_owned()).into())
            }
            // A network by its name, which may be any.
            _ => Some(Power::HostNetwork.into()),
        }
    }

    fn namespace(&self, part: &Part, key: &str, value: &Yaml) -> Vec<Asked> {
        let own = |text: &str| matches!(text, "private" | "shareable" | "none" | "");
        match part.text(value) {
            Some(text) if own(&text) || text.starts_with("service:") => Vec::new(),
            _ => vec![Power::HostNamespace(key.to_owned()).into()],
        }
    }

    /// What confines a container more is fine; everything else takes confinement away.
    fn security(&self, part: &Part, option: &Yaml) -> Option<Asked> {
        let Some(text) = part.text(option) else {
            return Some(privileged("`security_opt`".to_owned()));
        };
        let text = text.replace(['=', ' '], ":");
        let kept = text == "no-new-privileges"
            || text == "no-new-privileges:true"
            || (text.starts_with("seccomp:") && text != "seccomp:unconfined");
        (!kept).then(|| privileged(format!("`security_opt: {text}`")))
    }

    fn devices(&self, part: &Part, value: &Yaml) -> Vec<Asked> {
        let device = |item: &Yaml| {
            let text = item.get("source").map_or_else(|| part.text(item), |it| part.text(it));
            match text {
                Some(text) => Power::Device(text.split(':').next().unwrap_or_default().to_owned()),
                None => Power::Privileged("`devices`".to_owned()),
            }
        };
        each(value).into_iter().map(|item| device(item).into()).collect()
    }
}

impl From<Power> for Asked {
    fn from(power: Power) -> Self {
        Self::Power(power)
    }
}

fn privileged(what: String) -> Asked {
    Asked::Power(Power::Privileged(what))
}

/// A capability as it is compared: `cap_net_admin` is `NET_ADMIN`.
fn capability(text: &str) -> String {
    let upper = text.to_ascii_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
}

fn deploy(value: &Yaml) -> Vec<Asked> {
    let at = |yaml: &Yaml, key: &str| yaml.get(key).is_some_and(|value| !value.is_null());
    let reserved = value.get("resources").and_then(|it| it.get("reservations"));
    let gpus = reserved.is_some_and(|it| at(it, "devices") || at(it, "generic_resources"));
    gpus.then(|| Power::Device("gpus".to_owned()).into()).into_iter().collect()
}

fn build(value: &Yaml) -> Vec<Asked> {
    let odd = |key: &str| !HARMLESS_BUILD.contains(&key) && !key.starts_with("x-") && key != "<<";
    let keys = value.pairs().iter().map(|pair| pair.key.as_str());
    keys.filter(|key| odd(key)).map(|key| privileged(format!("`build.{key}`"))).collect()
}
