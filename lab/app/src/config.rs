//! The app's configuration: environment variables, overridden by `--key=value` arguments.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::health::Health;

/// A value that can't be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {value:?} is not {wanted}")]
pub struct ConfigError {
    name: &'static str,
    value: String,
    wanted: &'static str,
}

/// How the app behaves.
#[derive(Debug)]
pub struct Config {
    /// `APP_VERSION`: what `/` answers.
    pub version: String,
    /// `APP_PORTS`: where HTTP is served.
    pub ports: Vec<SocketAddr>,
    /// `APP_UDP`: where datagrams are echoed.
    pub udp: Vec<SocketAddr>,
    /// `APP_START_DELAY`: nothing listens before.
    pub start_delay: Duration,
    /// `APP_HEALTH`: how well the app is.
    pub health: Health,
    /// `APP_DRAIN`: how long listeners stay open after SIGTERM.
    pub drain: Duration,
    /// `APP_FILES`: read once, at the start.
    pub files: Vec<String>,
    /// `APP_IGNORE_TERM`: SIGTERM does nothing.
    pub ignore_term: bool,
}

impl Config {
    /// Reads `APP_…` from `environment`; `--ports=…` or `--app-ports=…` among `arguments` wins over `APP_PORTS`, and
    /// so on. Other arguments are ignored: a service's own command gets passed, too.
    pub fn read(
        environment: impl Fn(&str) -> Option<String>,
        arguments: &[String],
    ) -> Result<Self, ConfigError> {
        let get = |name: &str| argument(name, arguments).or_else(|| environment(name));
        let addresses = |name, default: &str| {
            let bind = bind_address(get("APP_BIND"))?;
            addresses(name, bind, &get(name).unwrap_or_else(|| default.to_string()))
        };
        Ok(Config {
            version: get("APP_VERSION").unwrap_or_else(|| "1".to_string()),
            ports: addresses("APP_PORTS", "80")?,
            udp: addresses("APP_UDP", "")?,
            start_delay: duration("APP_START_DELAY", get("APP_START_DELAY"))?,
            health: health(get("APP_HEALTH"))?,
            drain: duration("APP_DRAIN", get("APP_DRAIN"))?,
            files: items(&get("APP_FILES").unwrap_or_default()).map(str::to_string).collect(),
            ignore_term: get("APP_IGNORE_TERM").is_some_and(|value| value == "1"),
        })
    }
}

/// `12s`, `500ms`, `2m`, or a bare number of seconds.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" | "" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

/// The last `--key=value` for a variable, so that a later one corrects an earlier one.
fn argument(name: &str, arguments: &[String]) -> Option<String> {
    let long = name.to_ascii_lowercase().replace('_', "-");
    let short = long.trim_start_matches("app-");
    arguments.iter().rev().find_map(|argument| {
        let (key, value) = argument.strip_prefix("--")?.split_once('=')?;
        (key == long || key == short).then(|| value.to_string())
    })
}

fn bind_address(value: Option<String>) -> Result<IpAddr, ConfigError> {
    let Some(value) = value else { return Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) };
    let bare = value.trim_start_matches('[').trim_end_matches(']');
    let wanted = "an IP address";
    bare.parse().map_err(|_| ConfigError { name: "APP_BIND", value, wanted })
}

fn addresses(
    name: &'static str,
    bind: IpAddr,
    value: &str,
) -> Result<Vec<SocketAddr>, ConfigError> {
    let wanted = "a port or addr:port";
    items(value)
        .map(|item| {
            let address = item.parse().map(|port| SocketAddr::new(bind, port)).ok();
            address.or_else(|| item.parse().ok()).ok_or_else(|| ConfigError {
                name,
                value: item.to_string(),
                wanted,
            })
        })
        .collect()
}

fn duration(name: &'static str, value: Option<String>) -> Result<Duration, ConfigError> {
    let Some(value) = value else { return Ok(Duration::ZERO) };
    parse_duration(&value).ok_or(ConfigError { name, value, wanted: "a duration such as 12s" })
}

fn health(value: Option<String>) -> Result<Health, ConfigError> {
    let Some(value) = value else { return Ok(Health::Ok) };
    let wanted = "ok, never, after:12s, slow:3s, crash, dies:6s or old:STRING";
    Health::parse(&value).ok_or(ConfigError { name: "APP_HEALTH", value, wanted })
}

fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(environment: &[(&str, &str)], arguments: &[&str]) -> Result<Config, ConfigError> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let get = |name: &str| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string())
        };
        Config::read(get, &arguments)
    }

    #[test]
    fn defaults_are_version_one_on_port_eighty() {
        let config = read(&[], &[]).unwrap();
        assert_eq!(config.version, "1");
        assert_eq!(config.ports, ["0.0.0.0:80".parse().unwrap()]);
        assert!(config.udp.is_empty() && config.drain.is_zero() && !config.ignore_term);
    }

    #[test]
    fn arguments_win_over_the_environment_and_strange_ones_are_ignored() {
        let environment = [("APP_VERSION", "1"), ("APP_DRAIN", "5s")];
        let arguments = [
            "-conf",
            "/etc/coredns/Corefile",
            "--version=2",
            "--app-drain=7s",
            "--x=1",
            "--version",
        ];
        let config = read(&environment, &arguments).unwrap();
        assert_eq!(config.version, "2");
        assert_eq!(config.drain, Duration::from_secs(7));
    }

    #[test]
    fn ports_take_the_bind_address_unless_they_name_their_own() {
        let environment = [("APP_BIND", "::"), ("APP_PORTS", "80, 127.0.0.1:81,[::1]:82")];
        let config = read(&environment, &[]).unwrap();
        let expected = ["[::]:80", "127.0.0.1:81", "[::1]:82"];
        assert_eq!(config.ports, expected.map(|address| address.parse().unwrap()));
    }

    #[test]
    fn a_value_that_makes_no_sense_is_named() {
        let error = read(&[("APP_DRAIN", "soon")], &[]).unwrap_err().to_string();
        assert_eq!(error, "APP_DRAIN: \"soon\" is not a duration such as 12s");
        assert!(read(&[("APP_PORTS", "http")], &[]).is_err());
        assert!(read(&[("APP_HEALTH", "dies:")], &[]).is_err());
        assert!(read(&[("APP_BIND", "localhost")], &[]).is_err());
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("2m"), Some(Duration::from_secs(120)));
        assert_eq!(parse_duration("12"), Some(Duration::from_secs(12)));
        for wrong in ["", "s", "-1s", "1h", "18446744073709551615m"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }
}
