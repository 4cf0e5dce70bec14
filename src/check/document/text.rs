//! Texts with a form of their own: what each must look like, in a pattern and in words.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::codes;
use crate::diagnostic::Code;
use crate::model::{AbsPath, Name, SecretRef, parse_duration};

/// What is said about a text that does not match its pattern.
pub struct Form {
    /// The pattern, as it stands in the schemas.
    pub pattern: &'static str,
    /// The code of the problem.
    pub code: Code,
    /// What the text is not, as in "`x` is not …".
    pub words: &'static str,
}

/// A docstring as one line.
fn joined(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

macro_rules! texts {
    ($($(#[doc = $doc:literal])+ $name:ident($inner:ty, $read:expr): $pattern:literal, $code:expr, $words:literal, [$($example:literal),*];)+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, Debug, PartialEq, Deserialize)]
            #[serde(try_from = "String")]
            pub struct $name(pub $inner);

            impl TryFrom<String> for $name {
                type Error = String;
                fn try_from(text: String) -> Result<Self, String> {
                    let read: fn(String) -> Option<$inner> = $read;
                    let refused = format!("`{text}` is not {}", $words);
                    read(text).map(Self).ok_or(refused)
                }
            }

            impl JsonSchema for $name {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }
                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    let mut schema = json_schema!({
                        "type": "string",
                        "description": joined(&[$($doc),+]),
                        "pattern": $pattern,
                        "maxLength": 65536,
                        "examples": [$($example),*],
                    });
                    let format = FORMATS.iter().find(|format| format.1 == stringify!($name));
                    if let Some((name, ..)) = format {
                        schema.insert("format".into(), (*name).into());
                    }
                    schema
                }
            }
        )+
        /// Every form, for the words of a problem.
        pub const FORMS: &[Form] = &[$(Form { pattern: $pattern, code: $code, words: $words }),+];
    };
}

texts! {
    /// A name: a DNS label of a-z, 0-9 and `-`, neither first nor last a `-`.
    Label(Name, |text| Name::new(text).ok()):
        r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", codes::BAD_NAME,
        "a DNS label: use 1 to 63 of a-z, 0-9 and `-`, not first or last a `-`", ["vps1"];
    /// A duration: numbers with ms, s, m, h or d.
    Time(Duration, |text| parse_duration(&text).ok()):
        r"^([0-9]{1,9}(ms|s|m|h|d)){1,5}$", codes::BAD_DURATION,
        "a duration: write numbers with ms, s, m, h or d, as in `10s` or `1h30m`", ["10s", "1h30m"];
    /// A duration, or `off`.
    TimeOrOff(Option<Duration>, |text| if text == "off" { Some(None) } else { parse_duration(&text).ok().map(Some) }):
        r"^(off|([0-9]{1,9}(ms|s|m|h|d)){1,5})$", codes::BAD_DURATION,
        "a duration or `off`: write `60s`, `5m` or `off`", ["60s", "off"];
    /// A file mode in octal digits.
    Mode(u32, |text| u32::from_str_radix(&text, 8).ok()):
        r"^0?[0-7]{3}$", codes::BAD_MODE,
        "a file mode: write three octal digits, as in \"0640\"", ["0640", "0755"];
    /// A host name, an address or an SSH alias.
    HostText(String, Some):
        r"^[A-Za-z0-9][A-Za-z0-9._:-]*$", codes::BAD_HOST,
        "a host: use letters, digits, `.`, `_`, `:` and `-`, beginning with a letter or digit",
        ["vps1.tail.ts.net"];
    /// A domain, the part of a host name after its first label.
    DomainText(String, Some):
        r"^([a-z0-9_]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", codes::BAD_HOST,
        "a domain: write lower-case labels with dots between, as in `example.net`", ["example.net"];
    /// A label below the fleet's domain, an absolute host name with a dot, or `@` for the domain itself.
    SiteHost(String, Some):
        r"^(@|(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)$", codes::BAD_HOST,
        "a host: write a label, a full host name in lower case, or \"@\" for the domain itself",
        ["organizr", "organizr.example.net", "@"];
    /// A network in CIDR notation.
    Network(String, |text| is_network(&text).then_some(text)):
        r"^[0-9A-Fa-f:.]+/[0-9]{1,3}$", codes::BAD_ADDRESS,
        "a network: write an address and a prefix length, as in `100.64.0.0/10`", ["100.64.0.0/10"];
    /// An absolute, normalised path.
    PathText(AbsPath, |text| AbsPath::new(text).ok()):
        r"^(/|(/(?!\.{1,2}(/|$))[^/\x00-\x1f\x7f-\x9f]+)+)$", codes::BAD_PATH,
        "an absolute path: begin with `/`, without `.`, `..`, `//` or `/` at the end", ["/opt/stacks"];
    /// A path in the repository, relative to the fleet's folder; a folder may end with `/`.
    RepoPath(String, Some):
        r"^((?!\.{1,2}(/|$))[^/\x00-\x1f\x7f-\x9f]+/)*(?!\.{1,2}(/|$))[^/\x00-\x1f\x7f-\x9f]+/?$", codes::BAD_PATH,
        "a path in the repository: relative, without `.`, `..` or `//`", ["files/mcp/"];
    /// A relative path of a file below a directory.
    FilePath(String, Some):
        r"^((?!\.{1,2}(/|$))[^/\x00-\x1f\x7f-\x9f]+/)*(?!\.{1,2}(/|$))[^/\x00-\x1f\x7f-\x9f]+$", codes::BAD_PATH,
        "a file's path below the directory: relative, without `.`, `..` or `//`", ["conf/app.json"];
    /// A private key file: absolute, or below the home directory with `~/`.
    KeyFile(String, Some):
        r"^(~/|/)[^\x00-\x1f\x7f-\x9f]+$", codes::BAD_PATH,
        "a key file: write an absolute path or one that begins with `~/`", ["~/.ssh/fleet"];
    /// A file on the node, `node:` and an absolute path.
    NodeFile(AbsPath, |text| AbsPath::new(text.strip_prefix("node:")?).ok()):
        r"^node:(/(?!\.{1,2}(/|$))[^/\x00-\x1f\x7f-\x9f]+)+$", codes::BAD_PATH,
        "a file on the node: write `node:` and an absolute path", ["node:/home/sync/.ssh/id_ed25519"];
    /// A secret of the repository, `secret:FILE.KEY`.
    SecretText(SecretRef, |text| text.strip_prefix(SecretRef::PREFIX)?.parse().ok()):
        r"^secret:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[^.\x00-\x1f\x7f-\x9f]+)+$", codes::BAD_TEXT,
        "a secret: write `secret:FILE.KEY`", ["secret:db.password"];
    /// A public host key.
    HostKey(String, Some):
        r"^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com) [A-Za-z0-9+/]+={0,3}( [^\x00-\x1f\x7f]*)?$", codes::BAD_TEXT,
        "a public host key: write the type and the base64 of the key, as `ssh-keyscan` prints them",
        ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHkX"];
    /// `user` or `user:group`, names or numbers.
    OwnerText(String, Some):
        r"^[A-Za-z0-9_][A-Za-z0-9._-]*(:[A-Za-z0-9_][A-Za-z0-9._-]*)?$", codes::BAD_TEXT,
        "an owner: write `user` or `user:group`", ["root:caddy", "1000:1000"];
    /// How a put-back survives a reboot: `systemd`, `openrc`, `cron`, `file:` and the path of a script that runs at boot, or `none`.
    BootText(String, Some):
        r"^(systemd|openrc|cron|none|file:(/(?!\.{1,2}(/|$))[^/\x00-\x1f\x7f-\x9f]+)+)$", codes::NOT_ALLOWED,
        "a way to survive a reboot: write `systemd`, `openrc`, `cron`, `file:/path/of/script` or `none`",
        ["systemd", "file:/boot/config/go"];
    /// A share of a hundred.
    Percent(u32, |text| text.strip_suffix('%')?.parse().ok()):
        r"^([0-9]{1,2}|100)%$", codes::BAD_TEXT, "a share: write a number or `30%`", ["30%"];
    /// A published port: `host:container`, or one number for both, and `/udp` when it is not TCP.
    PortText(PortShort, |text| PortShort::read(&text)):
        r"^[1-9][0-9]{0,4}(:[1-9][0-9]{0,4})?(/(tcp|udp))?$", codes::BAD_PORT,
        "a port: write `host:container`, as in \"8081:80\", with `/udp` when it is not TCP", ["8081:80", "53:53/udp"];
    /// A volume: `name:/path`, `./folder:/path` or `/path:/path`, with `:ro` when the container may not write.
    VolumeText(String, Some):
        r"^([A-Za-z0-9][A-Za-z0-9_.-]*|\.|\./[^:\x00-\x1f\x7f-\x9f]+|/[^:\x00-\x1f\x7f-\x9f]*):/[^:\x00-\x1f\x7f-\x9f]*(:(ro|rw))?$", codes::BAD_TEXT,
        "a volume: write `name:/path`, `./folder:/path` or `/path:/path`, with `:ro` at the end when the container may not write",
        ["config:/config", "./data:/data:ro"];
    /// A volume's name.
    VolumeName(String, Some):
        r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", codes::BAD_TEXT,
        "a volume's name: use letters, digits, `_`, `.` and `-`", ["config"];
    /// A device: `host`, `host:container` or `host:container:rwm`.
    DeviceText(String, Some):
        r"^/[^:\x00-\x1f\x7f-\x9f]+(:/[^:\x00-\x1f\x7f-\x9f]+(:[rwm]{1,3})?)?$", codes::BAD_TEXT,
        "a device: write `/dev/dri` or `/dev/dri:/dev/dri:rw`", ["/dev/dri"];
    /// A Linux capability.
    Capability(String, Some):
        r"^[A-Z][A-Z_]*$", codes::BAD_TEXT, "a capability: write it in capitals, as in `NET_ADMIN`", ["NET_ADMIN"];
    /// An image reference.
    ImageText(String, Some):
        r"^[a-z0-9][A-Za-z0-9._:/@-]*$", codes::BAD_TEXT,
        "an image: write `name:version`, as in `organizr/organizr:2.1.2320`", ["organizr/organizr:2.1.2320"];
    /// A size: a number with b, k, m or g.
    SizeText(String, Some):
        r"^[1-9][0-9]*([bkmg]|[kmg]b)?$", codes::BAD_TEXT, "a size: write a number with b, k, m or g, as in `512m`", ["512m"];
    /// A number of CPUs.
    CpuText(String, Some):
        r"^([0-9]+\.[0-9]+|[1-9][0-9]*)$", codes::BAD_TEXT, "a number of CPUs: write `0.5` or `2`", ["0.5"];
    /// A compose project.
    ProjectText(String, Some):
        r"^[a-z0-9][a-z0-9_-]*$", codes::BAD_TEXT,
        "a compose project: use a-z, 0-9, `_` and `-`, beginning with a letter or digit", ["media"];
    /// A path of requests: begins with `/`.
    UrlPath(String, Some):
        r"^/[!-~]*$", codes::BAD_TEXT, "a path of requests: begin with `/`, without spaces", ["/", "/health?deep=1"];
    /// A prefix of paths of requests: begins with `/`.
    UrlPrefix(String, |text| Some(text.trim_end_matches('/').to_owned())):
        r"^(/[A-Za-z0-9._~%!$&'()+,;=:@-]+)*/?$", codes::BAD_TEXT,
        "a path prefix: begin with `/`, without spaces, `*` or `?`", ["/api"];
    /// Status codes: one, or a range.
    StatusText(String, Some):
        r"^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$", codes::BAD_TEXT,
        "a status: write `200` or `200-299`", ["200", "200-299"];
    /// A listening address with a port, or `off`.
    AdminText(String, Some):
        r"^(off|(localhost|[0-9.]+|\[[0-9A-Fa-f:]+\]):[1-9][0-9]{0,4})$", codes::BAD_ADDRESS,
        "an address with a port, or `off`: write `localhost:2019`", ["localhost:2019", "off"];
    /// What a unit needs: a service's name, or `sync/…`, `gateway/…`, `bundle/…`, `service/…`.
    DependencyText(String, Some):
        r"^((service|gateway|sync|bundle)/)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", codes::BAD_TEXT,
        "a dependency: write a service's name, or `sync/name`, `gateway/name`, `bundle/name`",
        ["dns-resolver", "sync/dns-files"];
    /// The value of a header.
    HeaderValue(String, Some):
        r"^[^\x00-\x08\x0a-\x1f\x7f]*$", codes::BAD_TEXT, "a header's value: it may not contain control characters", ["nosniff"];
    /// A text without control characters.
    Line(String, Some):
        r"^[^\x00-\x1f\x7f-\x9f]*$", codes::BAD_TEXT, "one line of text without control characters", ["hel1"];
    /// A text that may have several lines.
    Lines(String, Some):
        r"^[^\x00-\x08\x0b-\x1f\x7f]*$", codes::BAD_TEXT, "a text without control characters", ["production"];
    /// A shell program: what `sh -c` is given.
    Shell(String, Some):
        r"^(?=[\s\S]*\S)[^\x00-\x08\x0b-\x1f\x7f]*$", codes::BAD_TEXT, "a shell command: it may not be empty", ["systemctl reload mcp"];
    /// A number of GPUs, or `all`.
    GpuText(String, Some):
        r"^(all|[1-9][0-9]?)$", codes::BAD_TEXT, "a number of GPUs, or `all`", ["all", "1"];
}

/// A published port in its short form.
#[derive(Clone, Debug, PartialEq)]
pub struct PortShort {
    /// On the node.
    pub host: u16,
    /// In the container.
    pub container: u16,
    /// Whether it is UDP.
    pub udp: bool,
}

impl PortShort {
    fn read(text: &str) -> Option<Self> {
        let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (host, container) = numbers.split_once(':').unwrap_or((numbers, numbers));
        let udp = protocol == "udp";
        Some(Self { host: host.parse().ok()?, container: container.parse().ok()?, udp })
    }
}

/// Whether `text` is an address and a prefix length that fits it.
pub fn is_network(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let Ok(length) = length.parse::<u8>() else { return false };
    address.parse::<IpAddr>().is_ok_and(|a| length <= if a.is_ipv4() { 32 } else { 128 })
}

/// A format that a pattern can't say: its name, the text that has it, a test, the code, what a text is not.
pub type Format = (&'static str, &'static str, fn(&str) -> bool, Code, &'static str);

/// The formats that validation knows besides the standard ones.
pub const FORMATS: &[Format] = &[
    (
        "ip",
        "",
        |text| text.parse::<IpAddr>().is_ok(),
        codes::BAD_ADDRESS,
        "an IP address: write it in digits, names go to `ssh.host`",
    ),
    (
        "cidr",
        "Network",
        is_network,
        codes::BAD_ADDRESS,
        "a network: write an address and a prefix length, as in `100.64.0.0/10`",
    ),
    (
        "port-mapping",
        "PortText",
        |text| PortShort::read(text).is_some(),
        codes::BAD_PORT,
        "a port: write `host:container` with numbers from 1 to 65535",
    ),
];
