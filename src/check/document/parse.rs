//! Bytes of a YAML file into a spanned tree, within budgets that no input can break.

use std::collections::BTreeMap;
use std::mem;

use serde_yaml::granit_parser::{Event, Options, Parser, ScalarStyle, Tag};

use super::codes;
use super::tree::{Kind, Pair, Scalar, Span, Tree, Yaml};
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::model::MAX_FILE_BYTES;

/// Values inside values.
const MAX_DEPTH: usize = 32;
/// Values of one file, with everything that aliases unfold to.
const MAX_NODES: usize = 100_000;
/// Bytes of scalars of one file, with everything that aliases unfold to.
const MAX_TEXT: usize = 4 * 1024 * 1024;
/// Aliases of one file.
const MAX_ALIASES: usize = 1_000;

/// Duplicate keys of one file that are told.
const MAX_DUPLICATES: usize = 100;

type Problem = Box<Diagnostic>;

/// Parses one file with one document; the problems are errors at places of `file`.
///
/// Nothing panics on any bytes, and time and memory stay within budgets: 1 MiB, 32 levels, 100,000 values.
pub fn parse_tree(file: &str, bytes: &[u8]) -> Result<Tree, Vec<Diagnostic>> {
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(vec![too_large(file, bytes.len() as u64)]);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let place = place_of_byte(file, bytes, error.valid_up_to());
        vec![Diagnostic::error(codes::NOT_UTF8, "the file is not UTF-8 text", place)]
    })?;
    let mut builder = Builder::new(file);
    match builder.run(text) {
        Ok(()) if builder.problems.is_empty() => {
            Ok(Tree { file: file.to_owned(), root: builder.root.unwrap_or_else(nothing) })
        }
        Ok(()) => Err(builder.problems),
        Err(problem) => {
            builder.problems.push(*problem);
            Err(builder.problems)
        }
    }
}

/// The error for a file of `size` bytes.
pub fn too_large(file: &str, size: u64) -> Diagnostic {
    let message = format!("the file has {size} bytes; at most {MAX_FILE_BYTES} (1 MiB) are read");
    Diagnostic::error(codes::TOO_LARGE, message, start_of(file))
}

/// The first character of a file.
pub fn start_of(file: &str) -> Place {
    Place { file: file.to_owned(), line: 1, column: 1, start: 0, end: 0 }
}

fn place_of_byte(file: &str, bytes: &[u8], offset: usize) -> Place {
    let before = bytes.get(..offset).unwrap_or_default();
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    Place { file: file.to_owned(), line, column, start: offset, end: offset + 1 }
}

fn nothing() -> Yaml {
    let kind = Kind::Scalar(Scalar { text: String::new(), plain: true });
    Yaml { span: Span { line: 1, column: 1, start: 0, end: 0 }, kind }
}

/// A list or mapping that is not closed yet.
struct Frame {
    span: Span,
    anchor: usize,
    body: Body,
}

enum Body {
    List(Vec<Yaml>),
    Map {
        pairs: Vec<Pair>,
        seen: BTreeMap<String, Span>,
        key: Option<(String, Span)>,
        merges: Vec<Yaml>,
    },
}

struct Builder<'a> {
    file: &'a str,
    frames: Vec<Frame>,
    anchors: BTreeMap<usize, Yaml>,
    root: Option<Yaml>,
    documents: usize,
    nodes: usize,
    text: usize,
    aliases: usize,
    problems: Vec<Diagnostic>,
}

impl<'a> Builder<'a> {
    fn new(file: &'a str) -> Self {
        Self {
            file,
            frames: Vec::new(),
            anchors: BTreeMap::new(),
            root: None,
            documents: 0,
            nodes: 0,
            text: 0,
            aliases: 0,
            problems: Vec::new(),
        }
    }

    fn run(&mut self, text: &str) -> Result<(), Problem> {
        let mut options = Options::default();
        options.set_emit_comments(false);
        options.flow_nesting_limit = MAX_DEPTH * 2;
        options.block_nesting_limit = MAX_DEPTH * 2;
        for item in Parser::new_from_str_with_options(text, options) {
            let (event, span) = item.map_err(|error| self.syntax(&error))?;
            self.take(event, narrow(&span))?;
        }
        Ok(())
    }

    fn syntax(&self, error: &serde_yaml::granit_parser::ScanError) -> Problem {
        let at = narrow(&serde_yaml::granit_parser::Span::empty(*error.marker()));
        if error.info().contains("recursion limit") {
            let message = format!("values are nested more than {MAX_DEPTH} deep");
            return self.problem(codes::BUDGET, message, at);
        }
        let message = format!("this is not YAML: {}", error.info());
        self.problem(codes::SYNTAX, message, at)
    }

    fn problem(&self, code: Code, message: impl Into<String>, span: Span) -> Problem {
        Box::new(Diagnostic::error(code, message, span.place(self.file)))
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        match event {
            Event::DocumentStart(..) => self.document(span),
            Event::Scalar(text, style, anchor, tag) => {
                let tagged = self.tagged(tag.as_deref(), span)?;
                let plain = style == ScalarStyle::Plain && !tagged;
                self.spend(1, text.len(), span)?;
                let kind = Kind::Scalar(Scalar { text: text.into_owned(), plain });
                self.place(Yaml { span, kind }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.tagged(tag.as_deref(), span)?;
                self.open(span, anchor, Body::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.tagged(tag.as_deref(), span)?;
                let seen = BTreeMap::new();
                let merges = Vec::new();
                self.open(span, anchor, Body::Map { pairs: Vec::new(), seen, key: None, merges })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            _ => Ok(()),
        }
    }

    fn document(&mut self, span: Span) -> Result<(), Problem> {
        self.documents += 1;
        if self.documents < 2 {
            return Ok(());
        }
        let message = "a second document begins here; one file holds one thing";
        Err(self.problem(codes::SEVERAL_DOCUMENTS, message, span))
    }

    /// Whether a tag makes a scalar text; tags beyond YAML's own are refused.
    fn tagged(&self, tag: Option<&Tag>, span: Span) -> Result<bool, Problem> {
        let Some(tag) = tag else { return Ok(false) };
        match tag.core_suffix() {
            Some("str") => Ok(true),
            Some("map" | "seq" | "int" | "float" | "bool" | "null") => Ok(false),
            _ => {
                let message = format!("the tag `{}` has no meaning here", tag.original());
                Err(self.problem(codes::SYNTAX, message, span))
            }
        }
    }

    fn spend(&mut self, nodes: usize, text: usize, span: Span) -> Result<(), Problem> {
        self.nodes += nodes;
        self.text += text;
        if self.nodes > MAX_NODES || self.text > MAX_TEXT {
            let message = format!(
                "the file unfolds to more than {MAX_NODES} values or {MAX_TEXT} bytes of text"
            );
            return Err(self.problem(codes::BUDGET, message, span));
        }
        Ok(())
    }

    fn open(&mut self, span: Span, anchor: usize, body: Body) -> Result<(), Problem> {
        self.spend(1, 0, span)?;
        if self.frames.len() >= MAX_DEPTH {
            let message = format!("values are nested more than {MAX_DEPTH} deep");
            return Err(self.problem(codes::BUDGET, message, span));
        }
        if let Some(Frame { body: Body::Map { key: None, .. }, .. }) = self.frames.last() {
            return Err(self.problem(codes::SYNTAX, "a key must be a plain text", span));
        }
        self.frames.push(Frame { span, anchor, body });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), Problem> {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        let kind = match frame.body {
            Body::List(items) => Kind::List(items),
            Body::Map { pairs, seen, merges, .. } => Kind::Map(self.merge(pairs, &seen, merges)?),
        };
        let span = extent(frame.span, end, &kind);
        self.place(Yaml { span, kind }, frame.anchor)
    }

    /// Adds what `<<` brings, unless the mapping says otherwise; the first source wins.
    fn merge(
        &self,
        mut pairs: Vec<Pair>,
        seen: &BTreeMap<String, Span>,
        merges: Vec<Yaml>,
    ) -> Result<Vec<Pair>, Problem> {
        let mut taken: BTreeMap<String, ()> = BTreeMap::new();
        for source in merges.into_iter().flat_map(sources) {
            let Kind::Map(brought) = source.kind else {
                let message = "`<<` takes a mapping or a list of mappings";
                return Err(self.problem(codes::SYNTAX, message, source.span));
            };
            for pair in brought {
                if !seen.contains_key(&pair.key) && taken.insert(pair.key.clone(), ()).is_none() {
                    pairs.push(pair);
                }
            }
        }
        Ok(pairs)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Problem> {
        self.aliases += 1;
        if self.aliases > MAX_ALIASES {
            let message = format!("the file has more than {MAX_ALIASES} aliases");
            return Err(self.problem(codes::BUDGET, message, span));
        }
        let Some(target) = self.anchors.get(&anchor) else {
            return Err(self.problem(codes::SYNTAX, "an alias stands inside its own anchor", span));
        };
        let size = measure(target);
        if self.frames.len() + size.depth > MAX_DEPTH {
            let message = format!("values are nested more than {MAX_DEPTH} deep");
            return Err(self.problem(codes::BUDGET, message, span));
        }
        self.spend(size.nodes, size.text, span)?;
        let kind = self.anchors.get(&anchor).map(|target| target.kind.clone());
        kind.map_or(Ok(()), |kind| self.place(Yaml { span, kind }, 0))
    }

    /// Puts a finished value where it belongs: as a key, a value, an item, or the document.
    fn place(&mut self, value: Yaml, anchor: usize) -> Result<(), Problem> {
        if anchor != 0 {
            let size = measure(&value);
            self.spend(size.nodes, size.text, value.span)?;
            self.anchors.insert(anchor, value.clone());
        }
        match self.frames.last_mut().map(|frame| &mut frame.body) {
            None => self.root = Some(value),
            Some(Body::List(items)) => items.push(value),
            Some(Body::Map { pairs, key, merges, .. }) => match mem::take(key) {
                None => return self.key(value),
                Some((key, _)) if key == "<<" => merges.push(value),
                Some((key, key_span)) => pairs.push(Pair { key, key_span, value }),
            },
        }
        Ok(())
    }

    fn key(&mut self, value: Yaml) -> Result<(), Problem> {
        let span = value.span;
        let Kind::Scalar(Scalar { text, .. }) = value.kind else {
            return Err(self.problem(codes::SYNTAX, "a key must be a plain text", span));
        };
        let Some(Body::Map { seen, key, .. }) = self.frames.last_mut().map(|f| &mut f.body) else {
            return Ok(());
        };
        let first = seen.insert(text.clone(), span);
        *key = Some((text.clone(), span));
        if let Some(first) = first.filter(|_| self.problems.len() < MAX_DUPLICATES) {
            let problem =
                self.problem(codes::DUPLICATE_KEY, format!("`{text}` is written twice"), span);
            self.problems.push(problem.also(first.place(self.file), "first written here"));
        }
        Ok(())
    }
}

/// The mappings that a merge key brings.
fn sources(value: Yaml) -> Vec<Yaml> {
    match value.kind {
        Kind::List(items) => items,
        kind => vec![Yaml { span: value.span, kind }],
    }
}

/// How much a value unfolds to.
struct Size {
    nodes: usize,
    text: usize,
    depth: usize,
}

fn measure(value: &Yaml) -> Size {
    let mut size = Size { nodes: 1, text: 0, depth: 0 };
    let mut add = |value: &Yaml, key: usize| {
        let inner = measure(value);
        size.nodes += inner.nodes;
        size.text += inner.text + key;
        size.depth = size.depth.max(inner.depth + 1);
    };
    match &value.kind {
        Kind::Scalar(scalar) => size.text = scalar.text.len(),
        Kind::List(items) => items.iter().for_each(|item| add(item, 0)),
        Kind::Map(pairs) => pairs.iter().for_each(|pair| add(&pair.value, pair.key.len())),
    }
    size
}

/// The span of a closed list or mapping: all of it in brackets, else its first entry.
fn extent(start: Span, end: Span, kind: &Kind) -> Span {
    if start.end > start.start {
        return Span { end: end.end.max(start.end), ..start };
    }
    match kind {
        Kind::Map(pairs) => pairs.first().map_or(start, |pair| pair.key_span),
        Kind::List(items) => items.first().map_or(start, |item| item.span),
        Kind::Scalar(_) => start,
    }
}

fn narrow(span: &serde_yaml::granit_parser::Span) -> Span {
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let byte = |marker: &serde_yaml::granit_parser::Marker| {
        small(marker.byte_offset().unwrap_or_else(|| marker.index()))
    };
    Span {
        line: small(span.start.line()),
        column: small(span.start.col() + 1),
        start: byte(&span.start),
        end: byte(&span.end),
    }
}

#[cfg(test)]
mod tests;
