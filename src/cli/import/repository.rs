//! The repository that something is brought into: valid before, and valid with it.

use std::collections::BTreeMap;

use crate::check;
use crate::cli::context;
use crate::cli::output::colour;
use crate::cli::problem::Problem;
use crate::diagnostic::Severity;
use crate::model::{Entry, Fleet, Snapshot};
use crate::render;

/// The fleet as it is, which must be valid: what is new could not be told apart otherwise.
pub fn fleet(snapshot: &Snapshot) -> Result<Fleet, Problem> {
    let checked = check::check(snapshot);
    checked.fleet.ok_or_else(|| {
        anstream::eprint!("{}", context::problems(&checked.diagnostics, snapshot, colour()));
        Problem::new("the repository is not valid as it is")
            .hint("mend it first: `gitsync validate` tells the same")
            .exits(2)
    })
}

/// Checks the repository with more in it; errors end it, and warnings are told.
pub fn checked(
    snapshot: &Snapshot,
    more: BTreeMap<String, Entry>,
    quiet: bool,
) -> Result<(), Problem> {
    let before = check::check(snapshot).diagnostics;
    let mut whole = snapshot.clone();
    whole.entries.extend(more);
    let after = check::check(&whole);
    let mut found = after.diagnostics;
    if let Some(Err(more)) = after.fleet.as_ref().map(render::render) {
        found.extend(more);
    }
    found.retain(|diagnostic| !before.contains(diagnostic));
    let bad = found.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    if bad || !quiet {
        anstream::eprint!("{}", context::problems(&found, &whole, colour()));
    }
    if bad {
        return Err(
            Problem::new("nothing was written: with it the repository would not be valid").exits(2)
        );
    }
    Ok(())
}
