//! Draws diagnostics as rustc draws them: excerpt, carets on the value, a second file, hints.

use std::borrow::Cow;
use std::ops::Range;

use annotate_snippets::{
    Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str,
};

use crate::diagnostic::{Diagnostic, Label, Severity};

/// Finds the text of a file of the repository; none when it is not there or not UTF-8.
pub type Sources<'a> = &'a dyn Fn(&str) -> Option<Cow<'a, str>>;

/// One paragraph per diagnostic, each ending in a line end, with an empty line between two.
///
/// Colours are written only when asked for; control characters of the repository never are. A place whose file
/// has no text is given as `file:line:column` alone.
pub fn text(diagnostics: &[Diagnostic], sources: Sources<'_>, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for diagnostic in diagnostics {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(renderer.render(&[group(diagnostic, sources)]).trim_end());
        out.push('\n');
    }
    out
}

fn group<'a>(diagnostic: &'a Diagnostic, sources: Sources<'_>) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(&diagnostic.message).id(diagnostic.code.0);
    let mut group = Group::with_title(title);
    for labels in by_file(&diagnostic.labels) {
        let shown = (!diagnostic.hidden).then(|| excerpt(&labels, sources)).flatten();
        group = match shown {
            Some(snippet) => group.element(snippet),
            None => bare(group, &labels),
        };
    }
    let hints = diagnostic.hints.iter();
    group.elements(hints.map(|hint| Level::HELP.message(normalize_untrusted_str(hint))))
}

/// A label and whether it is the problem itself.
type Marked<'a> = (&'a Label, bool);

/// Labels of the same file together, files in the order in which they come up.
fn by_file(labels: &[Label]) -> Vec<Vec<Marked<'_>>> {
    let mut files: Vec<Vec<Marked<'_>>> = Vec::new();
    for (index, label) in labels.iter().enumerate() {
        let same = |file: &&mut Vec<Marked<'_>>| {
            file.first().is_some_and(|(first, _)| first.place.file == label.place.file)
        };
        match files.iter_mut().find(same) {
            Some(file) => file.push((label, index == 0)),
            None => files.push(vec![(label, index == 0)]),
        }
    }
    files
}

fn excerpt<'a>(labels: &[Marked<'a>], sources: Sources<'_>) -> Option<Snippet<'a, Annotation<'a>>> {
    let (first, _) = labels.iter().min_by_key(|(label, _)| label.place.start)?;
    let source = sources(&first.place.file).filter(|source| !source.trim().is_empty())?;
    let spans: Vec<Range<usize>> = labels.iter().map(|label| clipped(&source, label.0)).collect();
    let window = window(&source, &spans);
    let annotations = labels.iter().zip(&spans).map(|((label, primary), span)| {
        let kind = if *primary { AnnotationKind::Primary } else { AnnotationKind::Context };
        let said = Some(label.message.as_str()).filter(|text| !text.is_empty());
        let span = span.start - window.start..span.end - window.start;
        kind.span(span).label(said.map(normalize_untrusted_str))
    });
    let annotations: Vec<_> = annotations.collect();
    let shown = source.get(window)?.to_owned();
    let snippet = Snippet::source(shown).path(shown_path(&first.place.file));
    Some(snippet.line_start(first.place.line.max(1)).annotations(annotations))
}

/// The place of a label inside its file: never past the end, inside a character, or over more than a line.
fn clipped(source: &str, label: &Label) -> Range<usize> {
    let start = boundary(source, label.place.start);
    let end = boundary(source, label.place.end.max(start));
    let marked = source.get(start..end).unwrap_or_default();
    let line = marked.lines().next().unwrap_or_default();
    let line = if line.len() < marked.len() { line.trim_end() } else { line };
    start..start + line.len()
}

fn boundary(source: &str, index: usize) -> usize {
    let index = index.min(source.len());
    (0..=index).rev().find(|&at| source.is_char_boundary(at)).unwrap_or(0)
}

/// The whole lines from the first marked one to the last, so that a large file costs no more than a small one.
fn window(source: &str, spans: &[Range<usize>]) -> Range<usize> {
    let first = spans.iter().map(|span| span.start).min().unwrap_or(0);
    let last = spans.iter().map(|span| span.end).max().unwrap_or(first);
    let before = source.get(..first).unwrap_or_default();
    let after = source.get(last..).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let end = after.find('\n').map_or(source.len(), |at| last + at + 1);
    start..end
}

/// A file's name as a terminal may have it: names come from Git trees, which take nearly everything.
fn shown_path(path: &str) -> String {
    let acts = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut out = String::new();
    for c in path.chars() {
        if acts(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

fn bare<'a>(mut group: Group<'a>, labels: &[Marked<'a>]) -> Group<'a> {
    for (label, _) in labels {
        let place = &label.place;
        let mut origin = Origin::path(shown_path(&place.file));
        if place.line > 0 {
            origin = origin.line(place.line).char_column(place.column.max(1));
        }
        group = group.element(origin);
        if !label.message.is_empty() {
            group = group.element(Level::NOTE.message(normalize_untrusted_str(&label.message)));
        }
    }
    group
}

#[cfg(test)]
mod tests;
