//! Contents with secrets in them: references become parts that only the controller opens.

use std::sync::{Arc, Mutex};

use tera::{Error, Kwargs, State};

use super::codes;
use crate::diagnostic::Diagnostic;
use crate::model::{Content, Fleet, Part, Sealed, SecretRef};

/// What a secret's place in a filled in template begins and ends with: no file of an author has it by accident.
const MARK: char = '\u{0}';

/// A whole content that is one secret of the fleet.
pub(super) fn one(
    fleet: &Fleet,
    reference: &SecretRef,
    source: &str,
) -> Result<Content, Diagnostic> {
    let ciphertext = ciphertext(fleet, reference).ok_or_else(|| unknown(reference, source))?;
    Ok(Content::Sealed(Sealed::one(reference.clone(), ciphertext.to_owned())))
}

fn ciphertext<'a>(fleet: &'a Fleet, reference: &SecretRef) -> Option<&'a str> {
    let file = fleet.secrets.get(&reference.file)?;
    file.values.get(&reference.key).map(String::as_str)
}

fn unknown(reference: &SecretRef, file: &str) -> Diagnostic {
    let message = format!("`{}` has no encrypted value `{}`", reference.path(), reference.key);
    codes::in_file(codes::TEMPLATE, message, file)
}

/// The secrets that a template asks for while it is filled in: each answer is a mark with a number.
#[derive(Clone, Default)]
pub(super) struct Asked(Arc<Mutex<Vec<String>>>);

impl Asked {
    /// The template function `secret(key="db.password")`.
    pub(super) fn function(
        &self,
    ) -> impl Fn(Kwargs, &State<'_>) -> Result<String, Error> + Send + Sync + use<> {
        let asked = Arc::clone(&self.0);
        move |arguments, _| {
            let key = arguments.must_get::<String>("key")?;
            let mut asked = asked.lock().map_err(|_| Error::message("secrets are out of order"))?;
            asked.push(key);
            Ok(mark(asked.len() - 1))
        }
    }

    /// The text with its secrets taken out; text without any is plain bytes.
    pub(super) fn content(
        &self,
        fleet: &Fleet,
        text: String,
        file: &str,
    ) -> Result<Content, Diagnostic> {
        let asked = self.0.lock().map(|asked| asked.clone()).unwrap_or_default();
        if asked.is_empty() {
            return Ok(Content::Bytes(text.into_bytes()));
        }
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while let Some((at, number, length)) = next(rest, asked.len()) {
            let (before, after) = (rest.get(..at), rest.get(at + length..));
            push(&mut parts, before.unwrap_or_default());
            parts.push(part(fleet, &asked[number], file)?);
            rest = after.unwrap_or_default();
        }
        push(&mut parts, rest);
        let stands = |number: usize| text.contains(&mark(number));
        if let Some(lost) = (0..asked.len()).find(|number| !stands(*number)) {
            let message = format!("the secret `{}` does not stand in what is written", asked[lost]);
            return Err(codes::in_file(codes::TEMPLATE, message, file)
                .hint("insert it as it is: filters and conditions can't see a secret"));
        }
        Ok(Content::Sealed(Sealed { parts }))
    }
}

/// Letters of both cases, so that a filter which changes them breaks the mark and is told.
fn mark(number: usize) -> String {
    format!("{MARK}sS{number}{MARK}")
}

/// The first mark in a text: where it is, its number, its length.
fn next(text: &str, known: usize) -> Option<(usize, usize, usize)> {
    let found = (0..known).filter_map(|number| {
        let mark = mark(number);
        Some((text.find(&mark)?, number, mark.len()))
    });
    found.min()
}

fn push(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Plain(text.as_bytes().to_vec()));
    }
}

fn part(fleet: &Fleet, key: &str, file: &str) -> Result<Part, Diagnostic> {
    let reference: SecretRef =
        key.parse().map_err(|error| codes::in_file(codes::TEMPLATE, format!("{error}"), file))?;
    let ciphertext = ciphertext(fleet, &reference).ok_or_else(|| unknown(&reference, file))?;
    Ok(Part::Secret { ciphertext: ciphertext.to_owned(), reference })
}
