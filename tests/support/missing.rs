//! What happens to a test when something that it needs is not there.

/// Whether nothing is missing. Else the caller's test is skipped with a line that says so, or fails where all programs
/// are required (`CI` or `GITSYNC_REQUIRE_PROGRAMS` is set).
pub fn nothing_is_missing(missing: &[&str]) -> bool {
    if missing.is_empty() {
        return true;
    }
    let missing = missing.join(", ");
    let required =
        ["CI", "GITSYNC_REQUIRE_PROGRAMS"].iter().any(|key| std::env::var_os(key).is_some());
    assert!(!required, "required programs are missing: {missing}");
    eprintln!("skipped: {missing} not found");
    false
}
