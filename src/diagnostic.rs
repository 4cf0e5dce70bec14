//! Problems in a fleet repository, as data: code, severity, message, labelled places, hints.

use serde::Serialize;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The commit is not rolled out.
    Error,
    /// It is, but someone should look.
    Warning,
}

/// A stable code, `GS0103`, with a page and a fixture of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Code(pub &'static str);

/// A place in a file: lines and columns count from 1, columns in characters; bytes from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The file's path in the repository.
    pub file: String,
    /// First line.
    pub line: usize,
    /// First column.
    pub column: usize,
    /// Byte range in the file.
    pub start: usize,
    /// End of the byte range, exclusive.
    pub end: usize,
}

/// A place and what is said about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Label {
    /// Where.
    pub place: Place,
    /// What is said there; may be empty for the first.
    pub message: String,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Its code.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// One sentence without a full stop.
    pub message: String,
    /// The first is where the problem is; others are what it conflicts with.
    pub labels: Vec<Label>,
    /// What to do.
    pub hints: Vec<String>,
    /// Whether the lines of its places may not be shown: a secret may stand there.
    #[serde(skip)]
    pub hidden: bool,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(code: Code, message: impl Into<String>, place: Place) -> Self {
        Self::new(code, Severity::Error, message.into(), place)
    }

    /// A warning at a place.
    pub fn warning(code: Code, message: impl Into<String>, place: Place) -> Self {
        Self::new(code, Severity::Warning, message.into(), place)
    }

    fn new(code: Code, severity: Severity, message: String, place: Place) -> Self {
        let labels = vec![Label { place, message: String::new() }];
        Self { code, severity, message, labels, hints: Vec::new(), hidden: false }
    }

    /// Says something about the first place, beside the carets.
    #[must_use]
    pub fn says(mut self, message: impl Into<String>) -> Self {
        if let Some(label) = self.labels.first_mut() {
            label.message = message.into();
        }
        self
    }

    /// Adds another place that the problem touches.
    #[must_use]
    pub fn also(mut self, place: Place, message: impl Into<String>) -> Self {
        self.labels.push(Label { place, message: message.into() });
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Gives its places without the text that stands there.
    #[must_use]
    pub fn without_excerpt(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// The place of the problem itself.
    pub fn place(&self) -> Option<&Place> {
        self.labels.first().map(|label| &label.place)
    }
}

/// Sorts as people read: by file, line, column, code; and drops exact repetitions.
pub fn sort(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by(|a, b| {
        let key = |d: &Diagnostic| (d.place().cloned(), d.code, d.message.clone());
        key(a).cmp(&key(b))
    });
    diagnostics.dedup();
}
