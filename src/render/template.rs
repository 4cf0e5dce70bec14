//! Fills in templates: the built-in ones, the repository's overrides of them, and bundles' files.
//!
//! A template sees only what it is given: no environment, no clock, no files. Rounds of loops and the length of what
//! comes out are limited. In the built-in kinds every inserted text is quoted for its format by itself.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tera::{Context, Error, ErrorKind, Kwargs, State, Tera};

use super::sealed::Asked;
use super::{bounds, caddyfile, codes, loops, lsyncd};
use crate::diagnostic::{Diagnostic, Place};

/// The most that one template may write: 1 MiB.
const MAX_OUTPUT: usize = 1024 * 1024;
/// The longest that `range` may be.
const MAX_RANGE: i128 = 10_000;

/// The name of the Caddyfile's template.
pub(super) const CADDYFILE: &str = "Caddyfile.tera";
/// The name of the lsyncd configuration's template.
pub(super) const LSYNCD: &str = "lsyncd.conf.lua.tera";

const BUILT_IN: [(&str, &str); 2] = [
    (CADDYFILE, include_str!("../../templates/Caddyfile.tera")),
    (LSYNCD, include_str!("../../templates/lsyncd.conf.lua.tera")),
];

/// The templates of one fleet, read once.
pub(super) struct Templates {
    caddy: Result<Engine, Diagnostic>,
    lsyncd: Result<Engine, Diagnostic>,
}

impl Templates {
    /// Reads the built-in templates and the overrides; what can't be read shows when it is used.
    pub(super) fn new(overrides: &BTreeMap<String, String>) -> Self {
        Self {
            caddy: kind(CADDYFILE, caddyfile::escape, overrides),
            lsyncd: kind(LSYNCD, lsyncd::escape, overrides),
        }
    }

    /// Fills in the Caddyfile's template.
    pub(super) fn caddyfile(&self, context: &Context) -> Result<String, Diagnostic> {
        self.caddy.as_ref().map_err(Clone::clone)?.fill(CADDYFILE, context)
    }

    /// Fills in the template of lsyncd's configuration.
    pub(super) fn lsyncd(&self, context: &Context) -> Result<String, Diagnostic> {
        self.lsyncd.as_ref().map_err(Clone::clone)?.fill(LSYNCD, context)
    }
}

/// Fills in a file of a bundle; texts are inserted as they are, and secrets as marks that `secrets` knows.
pub(super) fn file(
    path: &str,
    text: &str,
    context: &Context,
    secrets: &Asked,
) -> Result<String, Diagnostic> {
    let mut engine = Engine::new("");
    engine.tera.register_function("secret", secrets.function());
    engine.tera.autoescape_on(Vec::<&str>::new());
    engine.add(path, [(path, text)].into_iter())?;
    engine.fill(path, context)
}

type Escape = fn(&str, &mut dyn io::Write) -> io::Result<()>;

/// An engine for one kind: its own template, and the repository's others as parts to include.
fn kind(
    name: &str,
    escape: Escape,
    overrides: &BTreeMap<String, String>,
) -> Result<Engine, Diagnostic> {
    let mut engine = Engine::new("templates/");
    engine.tera.autoescape_on([""]);
    engine.tera.set_escape_fn(escape);
    let others = overrides.iter().filter(|(other, _)| BUILT_IN.iter().all(|(own, _)| own != other));
    let own = BUILT_IN.iter().filter(|(own, _)| *own == name);
    let own = own.map(|(own, text)| (*own, overrides.get(*own).map_or(*text, String::as_str)));
    engine.add(name, others.map(|(other, text)| (other.as_str(), text.as_str())).chain(own))?;
    Ok(engine)
}

/// A template engine with its limits.
struct Engine {
    tera: Tera,
    /// What stands before template names in the repository.
    base: &'static str,
    /// The templates as the engine reads them, with their loops counted.
    texts: BTreeMap<String, String>,
    rounds: Arc<AtomicU64>,
}

impl Engine {
    fn new(base: &'static str) -> Self {
        let mut tera = Tera::new();
        tera.register_function("range", range);
        bounds::limit_filters(&mut tera);
        let rounds = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&rounds);
        tera.register_function(loops::FUNCTION, move |_: Kwargs, _: &State<'_>| round(&counter));
        Self { tera, base, texts: BTreeMap::new(), rounds }
    }

    fn add<'a>(
        &mut self,
        name: &str,
        templates: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), Diagnostic> {
        let templates: Vec<_> = templates.collect();
        if let Some((name, at, message)) = bounds::refused(&templates) {
            let text = templates.iter().find(|(other, _)| *other == name).map_or("", |(_, it)| it);
            return Err(Diagnostic::error(codes::TEMPLATE, message, self.place(name, text, at)));
        }
        self.texts = templates
            .into_iter()
            .map(|(name, text)| (name.to_owned(), loops::counted(text)))
            .collect();
        let all = self.texts.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        self.tera.add_raw_templates(all).map_err(|error| self.problem(&error, name))
    }

    /// A place in a template as its author wrote it.
    fn place(&self, name: &str, text: &str, at: usize) -> Place {
        let before = text.get(..at).unwrap_or_default();
        let line = before.rfind('\n').map_or(0, |end| end + 1);
        Place {
            file: format!("{}{name}", self.base),
            line: before.matches('\n').count() + 1,
            column: before.get(line..).map_or(0, |it| it.chars().count()) + 1,
            start: at,
            end: at + 2,
        }
    }

    fn fill(&self, name: &str, context: &Context) -> Result<String, Diagnostic> {
        self.rounds.store(0, Ordering::Relaxed);
        let mut out = Limited::default();
        let done = self.tera.render_to(name, context, &mut out);
        let tell = |message: String| {
            codes::in_file(codes::TEMPLATE, message, &format!("{}{name}", self.base))
        };
        if out.full {
            return Err(tell(format!("a template writes more than {MAX_OUTPUT} bytes")));
        }
        done.map_err(|error| self.problem(&error, name))?;
        String::from_utf8(out.bytes).map_err(|_| tell("a template writes no UTF-8".to_owned()))
    }

    /// A template engine's error with its place in the template as its author knows it.
    fn problem(&self, error: &Error, name: &str) -> Diagnostic {
        let (ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report)) = error.kind()
        else {
            let file = format!("{}{name}", self.base);
            return codes::in_file(codes::TEMPLATE, error.to_string(), &file);
        };
        let file = if report.filename().is_empty() { name } else { report.filename() };
        let text = self.texts.get(file).map_or("", String::as_str);
        let range = &report.span().range;
        let line =
            text.get(..range.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
        let added = |offset: usize| loops::added_before(text, offset);
        let place = Place {
            file: format!("{}{file}", self.base),
            line: report.span().start_line,
            column: text.get(line..range.start).map_or(0, |before| before.chars().count()) + 1
                - (added(range.start) - added(line)),
            start: range.start - added(range.start),
            end: range.end - added(range.end),
        };
        Diagnostic::error(codes::TEMPLATE, report.message(), place)
    }
}

/// One round of a loop.
fn round(rounds: &AtomicU64) -> Result<&'static str, Error> {
    if rounds.fetch_add(1, Ordering::Relaxed) < loops::MAX_ROUNDS {
        return Ok("");
    }
    Err(Error::message(format!("loops go round more than {} times", loops::MAX_ROUNDS)))
}

/// Whole numbers from `start` (0) up to but without `end`, by `step_by` (1).
fn range(arguments: Kwargs, _: &State<'_>) -> Result<Vec<i128>, Error> {
    let start = arguments.get::<i128>("start")?.unwrap_or_default();
    let end = arguments.must_get::<i128>("end")?;
    let step = arguments.get::<i128>("step_by")?.unwrap_or(1).max(1);
    if end.saturating_sub(start) / step > MAX_RANGE {
        return Err(Error::message(format!("a range is longer than {MAX_RANGE}")));
    }
    let steps = std::iter::successors(Some(start), |at| at.checked_add(step));
    Ok(steps.take_while(|at| *at < end).collect())
}

/// Takes bytes up to the limit.
#[derive(Default)]
struct Limited {
    bytes: Vec<u8>,
    full: bool,
}

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MAX_OUTPUT {
            self.full = true;
            return Err(io::Error::other("the output is too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
