//! Problems of a document against its schema, in words and at exact places.

use std::collections::BTreeSet;

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

use super::json::keys_at;
use super::places::{Places, escape, segments};
use super::text::{FORMATS, FORMS};
use super::{DocKind, codes, unsupported};
use crate::check::schema::{Compiled, compiled};
use crate::diagnostic::{Code, Diagnostic};

/// Problems of one document that are told; who has more finds the rest after mending these.
const MAX_PROBLEMS: usize = 100;

/// A problem before it has a place.
struct Problem {
    code: Code,
    pointer: String,
    key: bool,
    message: String,
    hint: Option<String>,
}

/// All problems of one document, at places of its file; none when the document is as its schema wants it.
pub fn problems(kind: DocKind, file: &str, json: &Value, places: &Places) -> Vec<Diagnostic> {
    let schema = compiled(kind);
    let mut found = Vec::new();
    let mut handled = BTreeSet::new();
    for one in unsupported::find(kind, json) {
        handled.insert(one.pointer.clone());
        let message = format!("not supported yet: {}", one.what);
        let code = codes::NOT_SUPPORTED;
        found.push(Problem { code, pointer: one.pointer, key: one.key, message, hint: None });
    }
    let mut told = BTreeSet::new();
    let errors = schema.validator.iter().flat_map(|validator| validator.iter_errors(json));
    for problem in errors.flat_map(|error| explain(schema, &error)).take(10 * MAX_PROBLEMS) {
        let within = |one: &String| problem.pointer.strip_prefix(one.as_str()).is_some_and(is_end);
        if !handled.iter().any(within) && told.insert((problem.pointer.clone(), problem.code)) {
            found.push(problem);
        }
    }
    found.into_iter().take(MAX_PROBLEMS).map(|problem| diagnostic(problem, file, places)).collect()
}

fn is_end(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

fn diagnostic(problem: Problem, file: &str, places: &Places) -> Diagnostic {
    let place = match problem.key {
        true => places.key_place(file, &problem.pointer),
        false => places.place(file, &problem.pointer),
    };
    let diagnostic = Diagnostic::error(problem.code, problem.message, place);
    problem.hint.into_iter().fold(diagnostic, Diagnostic::hint)
}

fn explain(schema: &Compiled, error: &ValidationError<'_>) -> Vec<Problem> {
    let pointer = error.instance_path().to_string();
    let value = error.instance();
    let at = |code: Code, message: String| Problem {
        code,
        pointer: pointer.clone(),
        key: false,
        message,
        hint: None,
    };
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => unexpected
            .iter()
            .take(MAX_PROBLEMS)
            .map(|key| unknown_key(schema, &pointer, key))
            .collect(),
        Kind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            let mut problem = at(codes::MISSING_KEY, format!("`{key}` is missing"));
            problem.pointer = format!("{pointer}/{}", escape(key));
            vec![problem]
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            choice(schema, &pointer, value, context)
        }
        Kind::Type { kind } => vec![wrong_type(&pointer, value, &names(kind))],
        Kind::Constant { expected_value } => vec![not_allowed(&pointer, value, &[expected_value])],
        Kind::Enum { options } => {
            let words: Vec<&Value> = options.as_array().into_iter().flatten().collect();
            vec![not_allowed(&pointer, value, &words)]
        }
        Kind::Pattern { pattern } => vec![pattern_problem(at, value, pattern)],
        Kind::Format { format } => vec![format_problem(at, value, format)],
        kind => vec![at(codes::OUT_OF_RANGE, range(kind, value, error))],
    }
}

fn unknown_key(schema: &Compiled, pointer: &str, key: &str) -> Problem {
    let known = keys_at(&schema.schema, &segments(pointer));
    let hint = suggest(key, known.iter().copied()).or_else(|| {
        let listed: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
        (listed.len() <= 12).then(|| format!("known keys here: {}", listed.join(", ")))
    });
    Problem {
        code: codes::UNKNOWN_KEY,
        pointer: format!("{pointer}/{}", escape(key)),
        key: true,
        message: format!("there is no key `{key}` here"),
        hint,
    }
}

/// "did you mean …?", when one of `known` is close to `word`.
pub fn suggest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let lower = word.to_lowercase();
    let scored = known.map(|other| (strsim::jaro_winkler(&lower, &other.to_lowercase()), other));
    let best = scored.filter(|(score, _)| *score > 0.75).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, other)| format!("did you mean `{other}`?"))
}

/// None of several forms fits: tells what is wrong with the one that was probably meant.
fn choice(
    schema: &Compiled,
    pointer: &str,
    value: &Value,
    context: &[Vec<ValidationError<'static>>],
) -> Vec<Problem> {
    let here = |error: &&ValidationError<'static>| error.instance_path().to_string() == pointer;
    let misfit = |branch: &&Vec<ValidationError<'static>>| {
        !branch.iter().filter(here).any(|error| matches!(error.kind(), Kind::Type { .. }))
    };
    let fitting: Vec<&Vec<ValidationError<'static>>> = context.iter().filter(misfit).collect();
    let words: Vec<&Value> =
        fitting.iter().flat_map(|branch| branch.iter()).filter_map(constant).collect();
    let others =
        fitting.iter().filter(|branch| !branch.iter().any(|error| constant(error).is_some()));
    if let Some(branch) = others.min_by_key(|branch| branch.len()) {
        return branch.iter().flat_map(|error| explain(schema, error)).collect();
    }
    if !words.is_empty() {
        return vec![not_allowed(pointer, value, &words)];
    }
    if let Some(branch) = fitting.first() {
        return branch.iter().flat_map(|error| explain(schema, error)).collect();
    }
    let wanted = context.iter().flatten().filter(here).filter_map(|error| match error.kind() {
        Kind::Type { kind } => Some(names(kind)),
        _ => None,
    });
    let wanted: BTreeSet<&'static str> = wanted.flatten().collect();
    vec![wrong_type(pointer, value, &wanted.into_iter().collect::<Vec<_>>())]
}

fn constant<'a>(error: &'a ValidationError<'static>) -> Option<&'a Value> {
    match error.kind() {
        Kind::Constant { expected_value } => Some(expected_value),
        Kind::Enum { options } => options.get(0),
        _ => None,
    }
}

fn names(kind: &TypeKind) -> Vec<&'static str> {
    match kind {
        TypeKind::Single(one) => vec![type_name(*one)],
        TypeKind::Multiple(set) => set.iter().map(type_name).collect(),
    }
}

fn type_name(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Null => "nothing",
        JsonType::Boolean => "`true` or `false`",
        JsonType::Integer => "a whole number",
        JsonType::Number => "a number",
        JsonType::String => "a text",
        JsonType::Array => "a list",
        JsonType::Object => "a mapping",
    }
}

fn found_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn wrong_type(pointer: &str, value: &Value, wanted: &[&str]) -> Problem {
    let message = format!("expected {}, found {}", either(wanted), found_name(value));
    let quoted = |text: &str| text.parse::<f64>().is_ok() || matches!(text, "true" | "false");
    let word = |text: &str| matches!(text, "yes" | "no" | "on" | "off");
    let boolean = wanted.contains(&"`true` or `false`");
    let hint = match value {
        Value::String(text) if boolean && word(text) => Some("write `true` or `false`".to_owned()),
        Value::String(text) if quoted(text) => Some("write it without quotes".to_owned()),
        Value::String(text) if wanted == ["a list"] => Some(format!("write [{text}]")),
        _ => None,
    };
    // Nothing has no place of its own; its key has.
    let key = value.is_null();
    Problem { code: codes::WRONG_TYPE, pointer: pointer.to_owned(), key, message, hint }
}

fn either(words: &[&str]) -> String {
    match words {
        [] => "something else".to_owned(),
        [one] => (*one).to_owned(),
        [head @ .., last] => format!("{} or {last}", head.join(", ")),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn not_allowed(pointer: &str, value: &Value, words: &[&Value]) -> Problem {
    let texts: Vec<String> = words.iter().map(|word| plain(word)).collect();
    let listed: Vec<String> = texts.iter().map(|text| format!("`{text}`")).collect();
    let listed: Vec<&str> = listed.iter().map(String::as_str).collect();
    let said = plain(value);
    let selector = pointer.ends_with("/on") && texts == ["all"];
    let hint = match selector {
        true => Some(format!("for one node write [{said}]")),
        false => suggest(&said, texts.iter().map(String::as_str)),
    };
    Problem {
        code: codes::NOT_ALLOWED,
        pointer: pointer.to_owned(),
        key: false,
        message: format!("expected {}, found `{said}`", either(&listed)),
        hint,
    }
}

fn pattern_problem(at: impl Fn(Code, String) -> Problem, value: &Value, pattern: &str) -> Problem {
    let said = plain(value);
    match FORMS.iter().find(|form| form.pattern == pattern) {
        Some(form) => at(form.code, format!("`{}` is not {}", shown(&said), form.words)),
        None => at(codes::BAD_TEXT, format!("`{}` does not look as it must here", shown(&said))),
    }
}

fn format_problem(at: impl Fn(Code, String) -> Problem, value: &Value, format: &str) -> Problem {
    let said = plain(value);
    match FORMATS.iter().find(|(name, ..)| *name == format) {
        Some((.., code, words)) => at(*code, format!("`{}` is not {words}", shown(&said))),
        None => at(codes::BAD_TEXT, format!("`{}` is not a {format}", shown(&said))),
    }
}

/// A text short enough for a message, on one line.
fn shown(text: &str) -> String {
    let escaped: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    let plain = escaped.replace("\\'", "'").replace("\\\"", "\"");
    if text.chars().count() > 60 { format!("{plain}…") } else { plain }
}

fn range(kind: &Kind, value: &Value, error: &ValidationError<'_>) -> String {
    match kind {
        Kind::Minimum { limit } => format!("{value} is too small: at least {limit}"),
        Kind::Maximum { limit } => format!("{value} is too large: at most {limit}"),
        Kind::MinItems { limit: 1 }
        | Kind::MinProperties { limit: 1 }
        | Kind::MinLength { limit: 1 } => "this may not be empty".to_owned(),
        Kind::MinItems { limit } => format!("at least {limit} items are needed"),
        Kind::MaxLength { limit } => format!("this is too long: at most {limit} characters"),
        _ => format!("this is not as it must be: {error}"),
    }
}
