//! Keeps secrets out of what nodes say: known values are masked, and what may hold unknown ones is not told at all.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::model::{Attempt, Failure, FailureKind, OutcomeResult, UnitId};

/// What stands in the place of a secret.
const MASK: &str = "[secret]";
/// Shorter values can't be masked without masking everything.
const SHORTEST: usize = 4;
/// Said in the place of what may hold a secret that is not known here.
pub(super) const WITHHELD: &str =
    "what it said is kept back: it may hold secrets that are not known here";

/// Masks secrets in texts.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Every form of every value, the longest first.
    forms: Vec<Zeroizing<String>>,
    /// Units that have secrets which are not known.
    blind: BTreeSet<UnitId>,
}

impl Redactor {
    /// Masks these values; of `blind` units nothing is told.
    pub fn new<'a>(values: impl Iterator<Item = &'a [u8]>, blind: BTreeSet<UnitId>) -> Self {
        let mut forms: Vec<Zeroizing<String>> = values.flat_map(forms).collect();
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        Self { forms, blind }
    }

    /// Whether a value is too short to be found in a text.
    pub fn is_short(value: &[u8]) -> bool {
        value.trim_ascii().len() < SHORTEST
    }

    /// What came of an effect, as it may be written down and shown.
    pub fn outcome(&self, result: OutcomeResult, unit: Option<&UnitId>) -> OutcomeResult {
        match result {
            OutcomeResult::Done => OutcomeResult::Done,
            OutcomeResult::Passed(mut report) => {
                let blind = self.is_blind(unit);
                report.attempts.iter_mut().for_each(|attempt| self.attempt(attempt, blind));
                OutcomeResult::Passed(report)
            }
            OutcomeResult::Failed(failure) => OutcomeResult::Failed(self.failure(failure, unit)),
        }
    }

    fn failure(&self, mut failure: Failure, unit: Option<&UnitId>) -> Failure {
        let unit = failure.unit.clone().or_else(|| unit.cloned());
        let blind = self.is_blind(unit.as_ref());
        if blind && failure.kind == FailureKind::Content {
            failure.message = match &unit {
                Some(unit) => format!("{unit} failed; {WITHHELD}"),
                None => format!("a unit failed; {WITHHELD}"),
            };
        }
        if blind && !failure.log.is_empty() {
            failure.log = vec![WITHHELD.to_owned()];
        }
        failure.message = self.text(&failure.message);
        failure.log.iter_mut().for_each(|line| *line = self.text(line));
        failure.attempts.iter_mut().for_each(|attempt| self.attempt(attempt, blind));
        failure
    }

    fn attempt(&self, attempt: &mut Attempt, blind: bool) {
        attempt.detail = if blind { WITHHELD.to_owned() } else { self.text(&attempt.detail) };
    }

    /// A failure that names no unit may be any unit's.
    fn is_blind(&self, unit: Option<&UnitId>) -> bool {
        unit.map_or(!self.blind.is_empty(), |unit| self.blind.contains(unit))
    }

    /// A text with every known secret masked.
    pub fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for form in self.forms.iter().filter(|form| !form.is_empty()) {
            if text.contains(form.as_str()) {
                text = text.replace(form.as_str(), MASK);
            }
        }
        text
    }
}

/// A value as it may turn up in a text: as it is, each of its lines, and escaped or encoded as programs do.
fn forms(value: &[u8]) -> Vec<Zeroizing<String>> {
    let value = value.trim_ascii();
    let mut found: Vec<String> = encoded(value);
    if let Ok(text) = std::str::from_utf8(value) {
        found.extend(written(text));
        if text.contains('\n') {
            found.extend(text.lines().flat_map(|line| written(line.trim())));
        }
    }
    found.retain(|form| form.len() >= SHORTEST);
    found.into_iter().map(Zeroizing::new).collect()
}

fn written(text: &str) -> Vec<String> {
    let json = serde_json::to_string(text).unwrap_or_default();
    let json = json.trim_matches('"').to_owned();
    let url = |hex: fn(u8) -> String, plus: bool| -> String {
        let letter = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            b' ' if plus => "+".to_owned(),
            _ => hex(byte),
        };
        text.bytes().map(letter).collect()
    };
    let shell = text.replace('\'', r"'\''");
    let upper: fn(u8) -> String = |byte| format!("%{byte:02X}");
    let lower: fn(u8) -> String = |byte| format!("%{byte:02x}");
    let debug = text.escape_debug().to_string();
    vec![
        text.to_owned(),
        json,
        url(upper, false),
        url(lower, false),
        url(upper, true),
        shell,
        debug,
    ]
}

/// What is certain of a value's Base64 wherever in a longer text it begins.
fn encoded(value: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for before in 0..3 {
        let mut bytes = Zeroizing::new(vec![0; before]);
        bytes.extend_from_slice(value);
        let first = (before * 8).div_ceil(6);
        let last = bytes.len() * 8 / 6;
        for text in [STANDARD_NO_PAD.encode(&*bytes), URL_SAFE_NO_PAD.encode(&*bytes)] {
            // Shorter pieces stand in many texts by chance.
            found.extend(text.get(first..last).filter(|it| it.len() > 5).map(str::to_owned));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "S3cr3t & \"p'w\"";

    fn unit() -> UnitId {
        "vps1/service.api".parse().unwrap()
    }

    fn failure(message: &str, log: &[&str]) -> Failure {
        Failure {
            kind: FailureKind::Content,
            unit: Some(unit()),
            message: message.to_owned(),
            log: log.iter().map(|line| (*line).to_owned()).collect(),
            attempts: Vec::new(),
        }
    }

    #[test]
    fn a_value_is_masked_in_every_form_that_programs_write_it_in() {
        let redactor = Redactor::new([VALUE.as_bytes()].into_iter(), BTreeSet::new());
        let encoded = [
            STANDARD_NO_PAD.encode(VALUE),
            STANDARD_NO_PAD.encode(format!("admin:{VALUE}")),
            STANDARD_NO_PAD.encode(format!("admins:{VALUE} and on")),
            URL_SAFE_NO_PAD.encode(format!("x:{VALUE}")),
        ];
        for text in encoded {
            let masked = redactor.text(&format!("Basic {text}."));
            assert!(masked.contains(MASK), "{text}: {masked}");
        }
        for text in [
            VALUE.to_owned(),
            serde_json::json!({ "pw": VALUE }).to_string(),
            "https://u:S3cr3t%20%26%20%22p%27w%22@host".to_owned(),
            "q=S3cr3t+%26+%22p%27w%22".to_owned(),
            r#"PW='S3cr3t & "p'\''w"'"#.to_owned(),
        ] {
            let masked = redactor.text(&text);
            assert!(masked.contains(MASK) && !masked.contains("S3cr3t"), "{text}: {masked}");
        }
        assert_eq!(redactor.text("nothing to hide"), "nothing to hide");
    }

    #[test]
    fn every_line_of_a_key_is_masked() {
        let key = b"-----BEGIN KEY-----\nabcdefgh\nijklmnop\n-----END KEY-----\n";
        let redactor = Redactor::new([&key[..]].into_iter(), BTreeSet::new());
        assert_eq!(redactor.text("read ijklmnop"), "read [secret]");
    }

    #[test]
    fn of_a_unit_with_unknown_secrets_nothing_is_told() {
        let redactor = Redactor::new(std::iter::empty(), BTreeSet::from([unit()]));
        let told = redactor.outcome(
            OutcomeResult::Failed(failure("activate failed with status 1: pw=old", &["pw=old"])),
            None,
        );
        let shown = format!("{told:?}");
        assert!(!shown.contains("pw=old") && shown.contains("vps1/service.api failed"), "{shown}");
    }

    #[test]
    fn of_other_units_everything_is_told() {
        let other = "vps1/service.other".parse().unwrap();
        let redactor = Redactor::new(std::iter::empty(), BTreeSet::from([other]));
        let one = OutcomeResult::Failed(failure("it failed: x", &["x"]));
        assert_eq!(redactor.outcome(one.clone(), Some(&unit())), one);
    }
}
