//! The committed JSON Schemas are those that the types generate.

use std::path::Path;

use gitsync::check::schema::schemas;

/// Writes the schemas anew instead of comparing them, when set.
const UPDATE: &str = "GITSYNC_UPDATE_SCHEMAS";

#[test]
fn committed_schemas_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    let plan = ("plan", gitsync::plan::saved_schema());
    let notification = ("notification", gitsync::notify::schema());
    for (kind, schema) in schemas().into_iter().chain([plan, notification]) {
        let path = folder.join(format!("{kind}.json"));
        let wanted = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os(UPDATE).is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, wanted).unwrap();
            continue;
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == wanted, "schema/{kind}.json is not current; run with {UPDATE}=1");
    }
}
