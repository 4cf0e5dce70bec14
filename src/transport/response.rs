//! Answers of the node script, read into nouns.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use super::TransportError;
use crate::model::{Attempt, Failure, FailureKind, Name, UnitId};

/// An answer whose last line was `end ok` or `end failed …`, without that line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines(pub Vec<String>);

fn broken(message: impl Into<String>) -> TransportError {
    TransportError::Unreachable(message.into())
}

/// Reads a whole answer. One without an `end` line broke off; a failed one becomes the failure it tells,
/// with the program output and the attempts that went before.
pub fn parse(stdout: &[u8], node: &Name) -> Result<Lines, TransportError> {
    let text = String::from_utf8_lossy(stdout);
    let Some(text) = text.strip_suffix('\n') else {
        return Err(broken("the answer broke off"));
    };
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let end = lines.pop().unwrap_or_default();
    match end.strip_prefix("end ") {
        Some("ok") => Ok(Lines(lines)),
        Some(rest) => match rest.strip_prefix("failed ") {
            Some(rest) => Err(TransportError::Failed(Box::new(failure(rest, &lines, node)))),
            None => Err(broken("the answer broke off")),
        },
        None => Err(broken("the answer broke off")),
    }
}

fn failure(rest: &str, lines: &[String], node: &Name) -> Failure {
    let (kind, message) = rest.split_once(' ').unwrap_or((rest, ""));
    let told = lines.iter().find_map(|line| failed_unit(line, node));
    let until = told.as_ref().map_or(lines.len(), |(_, line)| {
        lines.iter().position(|other| other == *line).unwrap_or(lines.len())
    });
    // The log of an earlier unit that was fine is none of this failure's.
    let before = lines.get(..until).unwrap_or(lines);
    let begin = before.iter().rposition(|line| line.starts_with("unit ")).map_or(0, |at| at + 1);
    Failure {
        kind: kind_of(kind),
        unit: told.map(|(unit, _)| unit),
        message: message.to_owned(),
        log: Lines(before.get(begin..).unwrap_or_default().to_vec()).logs(),
        attempts: Lines(lines.to_vec()).attempts(),
    }
}

/// `unit <unit> failed <kind> <message>`: the unit of a prepare that failed.
fn failed_unit<'a>(line: &'a String, node: &Name) -> Option<(UnitId, &'a String)> {
    let (local, rest) = line.strip_prefix("unit ")?.split_once(' ')?;
    rest.strip_prefix("failed ")?;
    Some((UnitId::from_local(node, local).ok()?, line))
}

fn kind_of(word: &str) -> FailureKind {
    match word {
        "content" => FailureKind::Content,
        "busy" => FailureKind::Busy,
        "restored" => FailureKind::Restored,
        "refused" => FailureKind::Refused,
        _ => FailureKind::Node,
    }
}

impl Lines {
    /// What programs wrote.
    pub fn logs(&self) -> Vec<String> {
        self.0
            .iter()
            .filter_map(|line| line.strip_prefix("log ").or((line == "log").then_some("")))
            .map(str::to_owned)
            .collect()
    }

    /// What a probe saw.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.0.iter().filter_map(|line| attempt(line)).collect()
    }

    /// The manifest texts in it, by the digest that the node gives.
    pub fn manifests(&self) -> BTreeMap<String, String> {
        let mut manifests: BTreeMap<String, String> = BTreeMap::new();
        let mut digest = None;
        for line in &self.0 {
            if let Some(name) = line.strip_prefix("manifest ") {
                digest = Some(name.to_owned());
                manifests.insert(name.to_owned(), String::new());
            } else if let (Some(text), Some(name)) = (line.strip_prefix("| "), &digest)
                && let Some(manifest) = manifests.get_mut(name)
            {
                manifest.push_str(text);
                manifest.push('\n');
            }
        }
        manifests
    }
}

/// `attempt <milliseconds> pass|fail <text>`
fn attempt(line: &str) -> Option<Attempt> {
    let mut fields = line.strip_prefix("attempt ")?.splitn(3, ' ');
    let after = Duration::from_millis(fields.next()?.parse().ok()?);
    let passed = fields.next()? == "pass";
    Some(Attempt { after, passed, detail: fields.next().unwrap_or_default().to_owned() })
}

/// Reads an answer that is `end ok` and then an archive; contents by the names in it.
pub fn parse_archive(
    stdout: &[u8],
    node: &Name,
) -> Result<BTreeMap<String, Vec<u8>>, TransportError> {
    let Some(bytes) = stdout.strip_prefix(b"end ok\n".as_slice()) else {
        return parse(stdout, node).map(|_| BTreeMap::new());
    };
    unpack(bytes).map_err(|error| broken(format!("the archive of the answer broke off: {error}")))
}

fn unpack(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, std::io::Error> {
    let mut contents = BTreeMap::new();
    for entry in tar::Archive::new(bytes).entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        contents.insert(name, content);
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Name {
        Name::new("vps1").unwrap()
    }

    #[test]
    fn an_answer_without_its_end_broke_off() {
        for text in ["", "log a\n", "end ok", "end o\n", "end\n"] {
            let error = parse(text.as_bytes(), &node()).unwrap_err();
            assert!(matches!(error, TransportError::Unreachable(_)), "{text}");
        }
    }

    #[test]
    fn a_failed_prepare_names_its_unit_and_that_unit_s_log() {
        let text = "log fine\nunit sync prepared\nlog bad line\nlog\n\
            unit service.a failed content config is bad\nend failed content config is bad\n";
        let TransportError::Failed(failure) = parse(text.as_bytes(), &node()).unwrap_err() else {
            panic!("no failure");
        };
        assert_eq!(failure.kind, FailureKind::Content);
        assert_eq!(failure.unit.unwrap().to_string(), "vps1/service.a");
        assert_eq!(failure.message, "config is bad");
        assert_eq!(failure.log, ["bad line", ""]);
    }

    #[test]
    fn a_failed_probe_brings_its_attempts() {
        let text = "attempt 0 fail web is created\nattempt 2000 pass good\nend failed content no\n";
        let TransportError::Failed(failure) = parse(text.as_bytes(), &node()).unwrap_err() else {
            panic!("no failure");
        };
        assert_eq!(failure.attempts.len(), 2);
        assert_eq!(failure.attempts[1].after, Duration::from_secs(2));
        assert!(failure.attempts[1].passed && !failure.attempts[0].passed);
    }
}
