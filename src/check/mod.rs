//! A snapshot into a fleet, or into everything that is wrong with it.

pub mod compose;
pub mod document;
mod lower;
pub mod plain;
pub mod rules;
pub mod schema;

use document::Places;

use crate::diagnostic::{Diagnostic, Severity, sort};
use crate::model::{Fleet, Snapshot};

/// What came of checking a snapshot.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The fleet; only when there is no error.
    pub fleet: Option<Fleet>,
    /// Everything that was found, sorted by place.
    pub diagnostics: Vec<Diagnostic>,
    /// Where everything was written.
    pub places: Places,
}

impl Checked {
    /// Whether there is an error among the diagnostics.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

/// Checks a snapshot: all problems of all files in one run, and the fleet when none is an error.
///
/// A snapshot without `fleet.yaml`, an empty one above all, is an error and never "nothing is wanted".
pub fn check(snapshot: &Snapshot) -> Checked {
    let loaded = document::load(snapshot);
    let (fleet, mut diagnostics) = lower::lower(snapshot, &loaded);
    diagnostics.extend(loaded.diagnostics);
    let broken = |found: &[Diagnostic]| found.iter().any(|it| it.severity == Severity::Error);
    if let Some(fleet) = &fleet {
        // What is missing from a fleet with errors only hides conflicts, but would make up warnings.
        let whole = !broken(&diagnostics);
        let found = rules::run(fleet, &loaded.places).into_iter();
        diagnostics.extend(found.filter(|it| whole || it.severity == Severity::Error));
    }
    sort(&mut diagnostics);
    let fleet = fleet.filter(|_| !broken(&diagnostics));
    Checked { fleet, diagnostics, places: loaded.places }
}
