//! What tests on labs share.

use gitsync_lab::{Lab, Spec};

/// A lab; none, with the reason, where this machine can't have one. In CI that is a failure.
pub fn lab(spec: &Spec) -> Option<Lab> {
    if let Err(error) = gitsync_lab::check_machine() {
        let required = ["CI", "GITSYNC_REQUIRE_PROGRAMS"];
        assert!(!required.iter().any(|key| std::env::var_os(key).is_some()), "{error}");
        eprintln!("skipped: {error}");
        return None;
    }
    Some(Lab::start(spec).unwrap())
}
