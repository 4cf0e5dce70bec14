//! Checks as shell commands, for nodes whose sshd forwards nothing: curl, wget or nc on the node ask instead.

use std::net::IpAddr;
use std::time::Duration;

use crate::model::{Check, StatusRange};

/// What a node says that has no program to ask with: its own lack, not the unit's.
pub(super) const NOBODY_ASKS: &str = "sshd forwards nothing and there is";

/// The same check, asked by a program on the node; exec and running checks are as they were.
///
/// wget tells good from bad only, so status ranges are curl's alone.
pub(super) fn on_node(check: &Check, within: Duration) -> Check {
    let seconds = within.as_secs().max(1);
    let command = match check {
        Check::Http { scheme, address, port, host, path, status, body } => {
            let url = quote(&format!("{scheme}://{}:{port}{path}", bracketed(*address)));
            let header =
                host.as_ref().map(|host| format!("-H {} ", quote(&format!("Host: {host}"))));
            let wget =
                host.as_ref().map(|host| format!("--header={} ", quote(&format!("Host: {host}"))));
            let (header, wget) = (header.unwrap_or_default(), wget.unwrap_or_default());
            http(&url, &header, &wget, status, body.as_deref(), seconds)
        }
        Check::Tcp { address, port } => format!(
            "if command -v nc >/dev/null 2>&1; then nc -w {seconds} {address} {port} </dev/null >/dev/null\n\
             else echo '{NOBODY_ASKS} no nc on the node' >&2; exit 1; fi"
        ),
        Check::Exec { .. } | Check::Running => return check.clone(),
    };
    Check::Exec { command, container: None }
}

fn http(
    url: &str,
    header: &str,
    wget_header: &str,
    status: &[StatusRange],
    body: Option<&str>,
    seconds: u64,
) -> String {
    let wget = if status.is_empty() {
        format!(
            "elif command -v wget >/dev/null 2>&1; then\n\
             out=$(wget -q -T {seconds} -O - --no-check-certificate {wget_header}{url}) || {{ echo 'no good answer to wget' >&2; exit 1; }}\n"
        )
    } else {
        String::new()
    };
    let good = if status.is_empty() {
        "[ \"$code\" -ge 200 ] && [ \"$code\" -lt 400 ]".to_owned()
    } else {
        let one = |r: &StatusRange| {
            format!("{{ [ \"$code\" -ge {} ] && [ \"$code\" -le {} ]; }}", r.first, r.last)
        };
        status.iter().map(one).collect::<Vec<_>>().join(" || ")
    };
    let missing = if status.is_empty() { "neither curl nor wget" } else { "no curl" };
    let holds = body.map(|text| {
        let lacks = quote(&format!("the body lacks \"{text}\""));
        format!("\ncase $out in *{}*) ;; *) echo {lacks} >&2; exit 1 ;; esac", quote(text))
    });
    format!(
        "if command -v curl >/dev/null 2>&1; then\n\
         out=$(curl -gsSk -m {seconds} {header}-w 'code%{{http_code}}' {url}) || exit 1\n\
         code=${{out##*code}}\n\
         out=${{out%code*}}\n\
         {{ {good}; }} || {{ echo \"status $code\" >&2; exit 1; }}\n\
         {wget}\
         else echo '{NOBODY_ASKS} {missing} on the node' >&2; exit 1; fi{}",
        holds.unwrap_or_default()
    )
}

fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// One word of a shell; line ends can't stand in a request to the node.
fn quote(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn http_check(body: Option<&str>, status: Vec<StatusRange>) -> Check {
        Check::Http {
            scheme: "http".into(),
            address: "127.0.0.1".parse().unwrap(),
            port: 1,
            host: Some("it's.example".into()),
            path: "/a?b=$(exit)&c".into(),
            status,
            body: body.map(str::to_owned),
        }
    }

    fn run_with_curl(check: &Check, curl: &str) -> (bool, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("curl");
        std::fs::write(&path, format!("#!/bin/sh\n{curl}\n")).unwrap();
        Command::new("chmod").arg("755").arg(&path).status().unwrap();
        let Check::Exec { command, .. } = on_node(check, Duration::from_secs(2)) else { panic!() };
        let mut shell = Command::new("/bin/sh");
        let output = shell.arg("-c").arg(command).env("PATH", directory.path()).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    }

    #[test]
    fn curl_on_the_node_is_judged_by_status_and_body() {
        let check = http_check(Some("it's \"up\""), Vec::new());
        assert!(run_with_curl(&check, r#"printf "well it's \"up\" code200""#).0);
        let (passed, said) = run_with_curl(&check, "printf 'down code200'");
        assert!(!passed && said.contains("lacks"), "{said}");
        let (passed, said) = run_with_curl(&check, "printf 'code502'");
        assert!(!passed && said.contains("status 502"), "{said}");
        let ranges = vec![StatusRange { first: 401, last: 401 }];
        assert!(run_with_curl(&http_check(None, ranges), "printf code401").0);
    }

    #[test]
    fn what_the_repository_says_reaches_curl_as_it_is() {
        let curl = r#"for a in "$@"; do [ "$a" = "http://127.0.0.1:1/a?b=\$(exit)&c" ] && url=1; [ "$a" = "Host: it's.example" ] && host=1; done; [ "$url$host" = 11 ] && printf code200"#;
        assert!(run_with_curl(&http_check(None, Vec::new()), curl).0);
    }

    #[test]
    fn a_node_without_any_client_says_so() {
        let Check::Exec { command, .. } =
            on_node(&http_check(None, Vec::new()), Duration::from_secs(2))
        else {
            panic!()
        };
        let empty = tempfile::tempdir().unwrap();
        let output = Command::new("/bin/sh")
            .arg("-c")
            .arg(command)
            .env("PATH", empty.path())
            .output()
            .unwrap();
        assert!(!output.status.success());
        assert!(String::from_utf8(output.stderr).unwrap().contains("neither curl nor wget"));
    }
}
