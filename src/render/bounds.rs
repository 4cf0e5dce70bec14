//! What templates may say, so that a few lines can't grow without end: the engine has no limit of its own.
//!
//! Texts and lists grow by feeding what was made into the next step. So what is assigned is never made from something
//! that was assigned, nothing is captured, and filters that multiply have a limit.

use tera::{Error, Kwargs, State, Tera, Value};

use super::loops;

/// Tags that a template may have.
const TAGS: [&str; 12] = [
    "if", "elif", "else", "endif", "for", "endfor", "include", "set", "raw", "endraw", "break",
    "continue",
];
/// Texts put together in one tag.
const MAX_JOINED: usize = 32;
/// What a filter may make of a text: 256 KiB.
const MAX_FILTERED: usize = 256 * 1024;

/// The first thing in these templates that could grow without end: template, byte and words.
pub(super) fn refused<'t>(texts: &[(&'t str, &'t str)]) -> Option<(&'t str, usize, String)> {
    let tags = || {
        let all = texts.iter();
        all.flat_map(|(name, text)| loops::tags(text).map(move |(at, tag)| (*name, at, code(tag))))
    };
    let named = |code: &str| match words(code).collect::<Vec<_>>().as_slice() {
        ["set", name, ..] if code.starts_with("{%") => Some((*name).to_owned()),
        _ => None,
    };
    let assigned: Vec<String> = tags().filter_map(|(_, _, code)| named(&code)).collect();
    tags().find_map(|(name, at, code)| Some((name, at, odd(&code, &assigned)?)))
}

/// A tag without the texts in its quotes.
fn code(tag: &str) -> String {
    let mut quote = None;
    let keep = |c: char| {
        match quote {
            Some(open) if open == c => quote = None,
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            Some(_) => return ' ',
            None => {}
        }
        c
    };
    tag.chars().map(keep).collect()
}

/// The words of a tag that name something: no fields and no arguments' names.
fn words(code: &str) -> impl Iterator<Item = &str> {
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    code.split(move |c: char| !part(c))
        .filter(|word| !word.is_empty())
        .map(|word| word.split('.').next().unwrap_or_default())
}

fn odd(code: &str, assigned: &[String]) -> Option<String> {
    let mut all = words(code);
    let first = if code.starts_with("{%") { all.next().unwrap_or_default() } else { "" };
    if !first.is_empty() && !TAGS.contains(&first) {
        return Some(format!("a template can't have `{first}` here: it could grow without end"));
    }
    if all.any(|word| word == "for") {
        return Some("a list that is made in a loop could grow without end".to_owned());
    }
    let joined = code.matches('~').count();
    let made = joined > 0 || code.contains('[');
    match first {
        "for" | "include" if made => {
            Some(format!("`{first}` takes what is there, and makes no new text or list"))
        }
        "set" => assigning(code, assigned),
        _ if joined > MAX_JOINED => {
            Some(format!("more than {MAX_JOINED} texts are joined at once"))
        }
        _ => None,
    }
}

fn assigning(code: &str, assigned: &[String]) -> Option<String> {
    let Some((_, value)) = code.split_once('=') else {
        return Some("`set` needs a value: what is captured could grow without end".to_owned());
    };
    if value.matches('~').count() > MAX_JOINED {
        return Some(format!("more than {MAX_JOINED} texts are joined at once"));
    }
    let again = words(value).find(|word| assigned.iter().any(|name| name == word))?;
    Some(format!("`set` can't use `{again}`, which is assigned too: it could grow without end"))
}

/// Filters that make much of little, with a limit.
pub(super) fn limit_filters(tera: &mut Tera) {
    tera.register_filter("replace", |text: &str, arguments: Kwargs, _: &State<'_>| {
        let from = arguments.must_get::<&str>("from")?;
        let to = arguments.must_get::<&str>("to")?;
        let more = text.matches(from).count().saturating_mul(to.len());
        limited(text.len().saturating_add(more)).map(|()| text.replace(from, to))
    });
    tera.register_filter("join", |all: Vec<Value>, arguments: Kwargs, _: &State<'_>| {
        let between = arguments.get::<&str>("sep")?.unwrap_or_default();
        let mut out = String::new();
        for (at, value) in all.iter().enumerate() {
            if at > 0 {
                out.push_str(between);
            }
            out.push_str(&value.to_string());
            limited(out.len())?;
        }
        Ok::<String, Error>(out)
    });
    tera.register_filter("indent", |text: &str, arguments: Kwargs, _: &State<'_>| {
        let width = arguments.get::<usize>("width")?.unwrap_or(4).min(64);
        limited(text.len().saturating_add(text.lines().count().saturating_mul(width)))?;
        let by = " ".repeat(width);
        Ok::<String, Error>(text.replace('\n', &format!("\n{by}")))
    });
}

fn limited(length: usize) -> Result<(), Error> {
    if length <= MAX_FILTERED {
        return Ok(());
    }
    Err(Error::message(format!("a filter makes more than {MAX_FILTERED} bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_taken() {
        for text in [
            "{% for site in sites %}{{ site.host ~ \":\" ~ listen.http }}{% endfor %}",
            "{% set port = listen.http %}{% set all = range(end=3) %}{% for n in all %}{{ port }}{% endfor %}",
            "{% set name = fleet.name ~ \"-x\" | upper %}{% if name == \"a ~ b for c in d\" %}x{% endif %}",
            "{# {% set_global a = a ~ a %} #}{% raw %}{% filter x %}{% endraw %}",
            "{%- include \"part.tera\" -%}{{ node.labels.role | default(value=\"none\") }}",
        ] {
            assert_eq!(refused(&[("a", text)]), None, "{text}");
        }
    }

    #[test]
    fn whatever_feeds_on_itself_is_refused_at_its_place() {
        for text in [
            "{% set a = \"x\" %}{% set a = a ~ a %}",
            "{% set a = b %}{%- set b = [a, a] -%}",
            "{% set_global a = 1 %}",
            "{% set a %}x{% endset %}",
            "{% filter upper %}x{% endfilter %}",
            "{% for a in [b ~ b] %}{% endfor %}",
            "{% for a in [[b, b]] %}{% endfor %}",
            "{{ [a for a in range(end=9999)] }}",
            "{% for b in [a for a in c] %}{% endfor %}",
            "{% component x() %}{% endcomponent %}",
            "{% extends \"b\" %}",
            "{% block b %}{% endblock %}",
        ] {
            assert!(refused(&[("a", text)]).is_some(), "{text}");
        }
        let two = [("a", "{% set x = y %}"), ("b", "  {% set y = x %}")];
        assert_eq!(refused(&two).map(|(name, at, _)| (name, at)), Some(("a", 0)));
    }
}
