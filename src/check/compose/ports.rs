//! Published ports of a compose service, short and long form, with ranges, protocols and host addresses.

use std::net::IpAddr;

use super::{MAX_ENTRIES, Part, Reader, codes};
use crate::check::document::{Kind, Yaml};
use crate::diagnostic::Diagnostic;
use crate::model::{BindAddress, PortMapping, Protocol};

type Problem = &'static str;

/// A port or a range, both ends included.
type Range = (u16, u16);

/// One entry under `ports`; `host` is none when the engine picks a port.
struct Published {
    container: Range,
    host: Option<Range>,
    protocol: Option<Protocol>,
    bind: BindAddress,
}

/// A range of ports on the node, as long as the one in the container.
struct Fixed {
    container: Range,
    host: u16,
    protocol: Protocol,
    bind: BindAddress,
}

impl Reader<'_> {
    /// The fixed ports that a `ports` list publishes; nothing more once there were too many, which is told once.
    pub(super) fn ports(&mut self, part: &Part, list: &Yaml) -> Vec<PortMapping> {
        let mut found = Vec::new();
        if !self.count_ports(part, list, list.items().len()) {
            return found;
        }
        for item in list.items() {
            let published = match &item.kind {
                Kind::Map(_) => Self::long(part, item),
                _ => part.text(item).map(|text| short(&text)),
            };
            match published.map(|published| published.and_then(|p| fixed(&p))) {
                Some(Ok(Some(published))) => {
                    let (first, last) = published.container;
                    if !self.count_ports(part, item, usize::from(last - first)) {
                        return found;
                    }
                    found.extend(mappings(&published));
                }
                Some(Err(problem)) => self.bad_port(part, item, problem),
                Some(Ok(None)) | None => {}
            }
        }
        found
    }

    fn count_ports(&mut self, part: &Part, at: &Yaml, more: usize) -> bool {
        if self.ports > MAX_ENTRIES {
            return false;
        }
        self.ports += more;
        if self.ports > MAX_ENTRIES {
            let message = format!("the file names more than {MAX_ENTRIES} ports");
            self.problems.push(Diagnostic::error(codes::BAD_PORT, message, part.place(at)));
            return false;
        }
        true
    }

    fn bad_port(&mut self, part: &Part, item: &Yaml, problem: Problem) {
        let diagnostic = Diagnostic::error(codes::BAD_PORT, problem, part.place(item))
            .hint("write `host:container`, `address:host:container` or `host:container/udp`");
        self.problems.push(diagnostic);
    }

    /// The long form; none when it hangs on something that isn't known here.
    fn long(part: &Part, item: &Yaml) -> Option<Result<Published, Problem>> {
        let text = |key| item.get(key).filter(|value| !value.is_null()).map(|v| part.text(v));
        let target = match text("target") {
            Some(text) => text?,
            None => return Some(Err("a port needs a `target`")),
        };
        let published = text("published").map_or(Some(None), |text| text.map(Some))?;
        let protocol = text("protocol").map_or(Some(None), |text| text.map(Some))?;
        let host_ip = text("host_ip").map_or(Some(None), |text| text.map(Some))?;
        let all = || {
            Ok(Published {
                container: range(&target)?,
                host: published.as_deref().filter(|p| !p.is_empty()).map(range).transpose()?,
                protocol: self::protocol(protocol.as_deref())?,
                bind: bind(host_ip.as_deref())?,
            })
        };
        Some(all())
    }
}

/// `[[address:]host:]container[/protocol]`, where the address may be a v6 one in brackets or without.
fn short(text: &str) -> Result<Published, Problem> {
    let (ports, protocol) = match text.split_once('/') {
        Some((ports, protocol)) => (ports, Some(protocol)),
        None => (text, None),
    };
    let (front, container) = match ports.rsplit_once(':') {
        Some((front, container)) => (Some(front), container),
        None => (None, ports),
    };
    let (address, host) = match front {
        Some(front) => match front.rsplit_once(':') {
            Some((address, host)) => (Some(address), Some(host)),
            None => (None, Some(front)),
        },
        None => (None, None),
    };
    Ok(Published {
        container: range(container)?,
        host: host.filter(|host| !host.is_empty()).map(range).transpose()?,
        protocol: self::protocol(protocol)?,
        bind: bind(address)?,
    })
}

fn range(text: &str) -> Result<Range, Problem> {
    let port = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let port = text.parse::<u16>().ok().filter(|&port| digits && port > 0);
        port.ok_or("a port is a number from 1 to 65535")
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (port(first)?, port(last)?) {
        (first, last) if first <= last => Ok((first, last)),
        _ => Err("a range begins with its lower port"),
    }
}

/// TCP unless written; none for a protocol that can't clash with either.
fn protocol(text: Option<&str>) -> Result<Option<Protocol>, Problem> {
    match text.map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "tcp") => Ok(Some(Protocol::Tcp)),
        Some("udp") => Ok(Some(Protocol::Udp)),
        Some("sctp") => Ok(None),
        Some(_) => Err("the protocol is one of tcp, udp and sctp"),
    }
}

fn bind(text: Option<&str>) -> Result<BindAddress, Problem> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(BindAddress::Any);
    };
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>();
    address.map(BindAddress::One).map_err(|_| "the host address is not an IP address")
}

/// A port that is surely taken: not one that the engine picks, and not of a protocol that can't clash.
fn fixed(published: &Published) -> Result<Option<Fixed>, Problem> {
    let (first, last) = published.container;
    let Some((host_first, host_last)) = published.host else {
        return Ok(None);
    };
    let picked = first == last && host_first < host_last;
    if !picked && last - first != host_last - host_first {
        return Err("the two ranges are not equally long");
    }
    let Some(protocol) = published.protocol.filter(|_| !picked) else {
        return Ok(None);
    };
    let (container, host) = (published.container, host_first);
    Ok(Some(Fixed { container, host, protocol, bind: published.bind }))
}

/// One mapping per port.
fn mappings(fixed: &Fixed) -> impl Iterator<Item = PortMapping> {
    let (protocol, bind) = (fixed.protocol, fixed.bind);
    let (first, last) = fixed.container;
    (first..=last).zip(fixed.host..=u16::MAX).map(move |(container, host)| PortMapping {
        container,
        host,
        protocols: vec![protocol],
        bind,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, Problem> {
        let write = |port: PortMapping| {
            let bind = match port.bind {
                BindAddress::Any => "any".to_owned(),
                BindAddress::One(address) => address.to_string(),
            };
            format!("{bind} {}>{} {:?}", port.host, port.container, port.protocols)
        };
        let fixed = short(text).and_then(|published| fixed(&published))?;
        Ok(fixed.iter().flat_map(mappings).map(write).collect())
    }

    #[test]
    fn short_forms_are_read_as_compose_reads_them() {
        for (text, expected) in [
            ("8080:80", vec!["any 8080>80 [Tcp]"]),
            ("8080:80/udp", vec!["any 8080>80 [Udp]"]),
            ("127.0.0.1:8080:80", vec!["127.0.0.1 8080>80 [Tcp]"]),
            ("[::1]:8080:80", vec!["::1 8080>80 [Tcp]"]),
            ("::1:8080:80", vec!["::1 8080>80 [Tcp]"]),
            ("8080-8081:80-81", vec!["any 8080>80 [Tcp]", "any 8081>81 [Tcp]"]),
            ("65535:65535", vec!["any 65535>65535 [Tcp]"]),
            ("80", vec![]),
            ("127.0.0.1::80", vec![]),
            ("8000-9000:80", vec![]),
            ("9999:9999/sctp", vec![]),
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_compose_refuses_is_refused() {
        for text in [
            "",
            "a",
            "0:80",
            "80:70000",
            "81-80:81-80",
            "1-3:1-2",
            "x:80:80",
            "80:80/icmp",
            "+80:80",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
