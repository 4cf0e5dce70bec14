//! What is rendered, given to the real programs: they take it, and texts come out of them as they went in.
//!
//! A program that is not there is told and its tests pass without it, unless `GITSYNC_REQUIRE_PROGRAMS` or `CI` is
//! set. Programs are looked for on `PATH`, in the directories of `GITSYNC_TOOLS` and in `target/tools`.

mod caddy;
mod compose;
mod example;
#[allow(dead_code)]
mod fleets;
mod hostile;
mod lsyncd;
mod served;
mod shell;
mod tools;

/// The nouns, under the name that `fleets` knows them by.
mod model {
    pub use gitsync::model::*;
}
