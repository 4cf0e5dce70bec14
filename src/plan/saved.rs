//! A plan as it is saved for review: what the file holds, and what is read back from it, strictly.
//!
//! Nothing in the file is ever run. It is held against a plan that is made anew (`stale.rs`), so what counts is that
//! all of it was understood: a key that nobody knows, or one that is missing, is an error.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{Name, Observed, Plan};

/// What every saved plan calls itself.
const FORMAT: &str = "gitsync-plan";
/// The version of the format that is written and read.
const VERSION: u64 = 1;

/// A plan and the machines that it was made for. No secret is in it: of sensitive files it says that they change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Saved {
    /// What the file is.
    #[schemars(extend("const" = "gitsync-plan"))]
    pub format: String,
    /// The format's version.
    #[schemars(extend("const" = 1))]
    pub version: u64,
    /// The identity of every node that takes part, made at random when it was first reached: another machine at the
    /// same address has another one.
    pub node_ids: BTreeMap<Name, String>,
    /// The plan: what each unit was when it was made, and every step as it was reviewed.
    pub plan: Plan,
}

/// Why a text is no plan that can be gone by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SavedError {
    /// It ends before the plan does.
    #[error("it is cut short")]
    CutShort,
    /// It is not JSON.
    #[error("it is not JSON: {0}")]
    NotJson(String),
    /// It is JSON of another kind.
    #[error("it is not a saved plan")]
    NotSaved,
    /// It is what `plan --format json` prints, which does not say which machines it is for.
    #[error("it is what `gitsync plan --format json` prints, not a saved plan")]
    Printed,
    /// It is of a version that this gitsync does not know.
    #[error("it is a plan of version {0}, and this gitsync reads version {VERSION}")]
    Version(String),
    /// It is a plan of this version that does not hold what one holds.
    #[error("it is not whole: {0}")]
    Wrong(String),
    /// It holds something that nobody would heed.
    #[error("`{0}` is not a key of saved plans")]
    Unknown(String),
    /// Something is left out.
    #[error("`{0}` is missing")]
    Missing(String),
    /// Something is written in another way than the one that gitsync has.
    #[error("`{0}` is not written as gitsync writes it")]
    Otherwise(String),
}

impl Saved {
    /// A plan with the identities of the nodes that take part.
    pub fn new(plan: Plan, observed: &Observed) -> Self {
        let known = plan.nodes.iter();
        let known = known.filter_map(|node| Some((node, observed.report(node)?)));
        let node_ids = known.map(|(node, report)| (node.clone(), report.node_id.clone()));
        Self { format: FORMAT.to_owned(), version: VERSION, node_ids: node_ids.collect(), plan }
    }

    /// The text of the file; the same plan has the same text.
    ///
    /// Errors only when the plan can't be written as JSON, which its types rule out.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }

    /// Reads a text that [`Saved::text`] made; it may have been indented anew, but holds nothing more and nothing less.
    pub fn parse(text: &str) -> Result<Self, SavedError> {
        let written: Value = serde_json::from_str(text).map_err(|error| match error.is_eof() {
            true => SavedError::CutShort,
            false => SavedError::NotJson(error.to_string()),
        })?;
        head(&written)?;
        let wrong = |error: serde_json::Error| SavedError::Wrong(error.to_string());
        // From the text and not from the value, which would have lost keys that are there twice.
        let saved: Self = serde_json::from_str(text).map_err(wrong)?;
        let read = serde_json::to_value(&saved).map_err(wrong)?;
        same("", &written, &read)?;
        Ok(saved)
    }
}

/// Whether it is a saved plan, and of this version.
fn head(written: &Value) -> Result<(), SavedError> {
    let key = |name: &str| written.get(name);
    if key("format").and_then(Value::as_str) != Some(FORMAT) {
        let printed = key("waves").is_some() && key("release").is_some();
        return Err(if printed { SavedError::Printed } else { SavedError::NotSaved });
    }
    match key("version") {
        Some(version) if version.as_u64() == Some(VERSION) => Ok(()),
        Some(version) => Err(SavedError::Version(version.to_string())),
        None => Err(SavedError::Missing("version".to_owned())),
    }
}

/// Whether everything that is written was read.
fn same(path: &str, written: &Value, read: &Value) -> Result<(), SavedError> {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            let below = |key: &str| match path {
                "" => key.to_owned(),
                path => format!("{path}.{key}"),
            };
            if let Some(key) = written.keys().find(|key| !read.contains_key(*key)) {
                return Err(SavedError::Unknown(below(key)));
            }
            read.iter().try_for_each(|(key, read)| match written.get(key) {
                Some(written) => same(&below(key), written, read),
                None => Err(SavedError::Missing(below(key))),
            })
        }
        (Value::Array(written), Value::Array(read)) if written.len() == read.len() => {
            let mut pairs = written.iter().zip(read).enumerate();
            pairs.try_for_each(|(n, (written, read))| same(&format!("{path}[{n}]"), written, read))
        }
        _ if written == read => Ok(()),
        _ => Err(SavedError::Otherwise(path.to_owned())),
    }
}

/// The JSON Schema (2020-12) of saved plans; `schema/plan.json` holds it.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<Saved>();
    RecursiveTransform(closed).transform(&mut schema);
    schema.insert("title".to_owned(), Value::from("gitsync plan"));
    Value::from(schema)
}

/// An object with named keys has all of them and no others.
fn closed(schema: &mut Schema) {
    let keys = schema.get("properties").and_then(Value::as_object);
    let Some(keys) = keys.map(|map| map.keys().cloned().map(Value::from).collect()) else { return };
    schema.insert("additionalProperties".to_owned(), Value::from(false));
    schema.insert("required".to_owned(), Value::Array(keys));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Saved::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_saved_plan_is_told_apart() {
        assert_eq!(error(""), "it is cut short");
        assert_eq!(error(r#"{"format": "gitsync-pl"#), "it is cut short");
        assert!(error("waves: []").starts_with("it is not JSON: "));
        for other in ["[]", "null", "7", r#"{"format": "tar"}"#, r#"{"version": 1}"#] {
            assert_eq!(error(other), "it is not a saved plan", "{other}");
        }
        let printed = "it is what `gitsync plan --format json` prints, not a saved plan";
        assert_eq!(error(r#"{"version": 1, "waves": [], "release": ""}"#), printed);
        let newer = "it is a plan of version 2, and this gitsync reads version 1";
        assert_eq!(error(r#"{"format": "gitsync-plan", "version": 2}"#), newer);
        assert_eq!(error(r#"{"format": "gitsync-plan"}"#), "`version` is missing");
        assert!(error(r#"{"format": "gitsync-plan", "version": 1}"#).contains("node_ids"));
    }
}
