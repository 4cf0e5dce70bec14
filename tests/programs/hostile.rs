//! What would mean something in the real programs if it were not quoted: it comes out of them as it was written.

use super::caddy::{caddies, caddyfile};
use super::compose::{configured, program};
use super::fleets::{self, container, gateway, header, image, name, path, route};
use super::model::*;
use super::served::{Echo, Running};
use super::tools;

/// Placeholders, variables, substitutions and ends of quotes.
const TEXTS: [&str; 22] = [
    "{env.HOME}",
    "{$HOME}",
    "{$HOME:x}",
    "{file./etc/passwd}",
    "{http.request.uri}",
    "{remote_host}",
    "{{env.HOME}}",
    "\\{env.HOME\\}",
    "{{.Env \"HOME\"}}",
    "$HOME",
    "${HOME}",
    "${HOME:-x}",
    "$$HOME",
    "$$$HOME",
    "$(id)",
    "`id`",
    "\"; respond \"x",
    "x\" {",
    "`x` # {env.HOME}",
    "' ; id ; '",
    "<<EOF",
    "import /etc/passwd",
];

#[test]
fn nothing_in_a_caddyfile_is_filled_in_or_read() {
    let echo = Echo::start("echo");
    for caddy in caddies() {
        let node = fleets::node("vps1", "127.0.0.1");
        let to = Upstream {
            unit: UnitId::new(&node.name, UnitKind::Service, &name(echo.name)),
            ..fleets::upstream(echo.name, &node, echo.address.port())
        };
        let sites = TEXTS.iter().enumerate().map(|(index, text)| {
            let mut all = route("echo", "", vec![to.clone()]);
            all.headers.push(header("X-Out", text));
            all.request_headers.push(header("X-In", text));
            Site { host: format!("h{index}.example.net"), routes: vec![all] }
        });
        let running = Running::start(&caddy, gateway(sites.collect()));
        for (index, text) in TEXTS.iter().enumerate() {
            let answer = running.ask(&format!("h{index}.example.net"), "/");
            assert_eq!(answer.status(), 200, "{text}");
            assert_eq!(answer.header("X-Out").as_deref(), Some(*text));
            assert_eq!(answer.body()[1], *text);
        }
    }
}

#[test]
fn nothing_in_a_compose_file_is_filled_in() {
    let Some(program) = program() else { return tools::missing("docker compose") };
    let mut from = container("busybox:1.36");
    let keys = || (0..).map(|n| format!("K{n}"));
    from.env = keys().zip(TEXTS.map(|text| EnvValue::Plain(text.to_owned()))).collect();
    from.labels = keys().zip(TEXTS.map(str::to_owned)).collect();
    from.command = Some(CommandLine::Words(TEXTS.map(str::to_owned).into()));
    from.user = Some("$HOME".to_owned());
    from.volumes = vec![Mount {
        source: MountSource::Path(path("/srv/${HOME}")),
        target: path("/x/$HOME"),
        read_only: true,
    }];
    let mut fleet = fleets::fleet();
    fleet.instances.push(image("api", "vps1", from));
    let back = configured(&program, &tools::unit(&fleet, "vps1/service.api"), "");
    let service = &back["services"]["api"];
    let plain = |value: &serde_json::Value| value.as_str().unwrap().replace("$$", "$");
    for (index, text) in TEXTS.iter().enumerate() {
        let key = format!("K{index}");
        assert_eq!(plain(&service["environment"][&key]), *text);
        assert_eq!(plain(&service["labels"][&key]), *text);
        assert_eq!(plain(&service["command"][index]), *text);
    }
    assert_eq!(plain(&service["user"]), "$HOME");
    assert_eq!(plain(&service["volumes"][0]["source"]), "/srv/${HOME}");
    assert_eq!(plain(&service["volumes"][0]["target"]), "/x/$HOME");
}

#[test]
fn a_caddyfile_has_no_line_that_a_text_made() {
    let texts = TEXTS.iter().enumerate().map(|(index, text)| {
        let mut all = route("echo", "", Vec::new());
        all.headers.push(header("X-Out", text));
        Site { host: format!("h{index}.example.net"), routes: vec![all] }
    });
    let text = caddyfile(gateway(texts.collect()));
    let begins = |word: &str| text.lines().any(|line| line.trim_start().starts_with(word));
    assert!(!begins("import") && !begins("respond \"x"), "{text}");
}
