//! The JSON Schemas of all documents, generated from their types, and validators compiled from them once.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use jsonschema::Validator;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

use super::document::DocKind;
use super::document::kinds::{BundleDoc, FleetDoc, GatewayDoc, NodeDoc, ServiceDoc, SyncDoc};
use super::document::text::FORMATS;

/// The JSON Schemas (2020-12) by the kind of document: `fleet`, `node`, `service`, `gateway`, `sync`, `bundle`.
///
/// The same on every machine; `schema/<kind>.json` holds them for editors.
pub fn schemas() -> BTreeMap<&'static str, Value> {
    DocKind::ALL.into_iter().map(|kind| (kind.word(), generate(kind))).collect()
}

/// A schema and what is compiled from it.
pub struct Compiled {
    /// The schema.
    pub schema: Value,
    /// Its validator; none if the schema itself is not valid, which a test excludes.
    pub validator: Option<Validator>,
}

/// The compiled schema of a kind; compiled at the first use, once per process.
pub fn compiled(kind: DocKind) -> &'static Compiled {
    static CELLS: [OnceLock<Compiled>; 6] = [const { OnceLock::new() }; 6];
    static NONE: Compiled = Compiled { schema: Value::Null, validator: None };
    CELLS.get(kind as usize).map_or(&NONE, |cell| cell.get_or_init(|| compile(generate(kind))))
}

fn compile(schema: Value) -> Compiled {
    let mut options = jsonschema::options().should_validate_formats(true);
    for (name, _, test, ..) in FORMATS {
        options = options.with_format(*name, *test);
    }
    let validator = options.build(&schema).ok();
    Compiled { schema, validator }
}

fn generate(kind: DocKind) -> Value {
    match kind {
        DocKind::Fleet => schema_of::<FleetDoc>(kind),
        DocKind::Node => schema_of::<NodeDoc>(kind),
        DocKind::Service => schema_of::<ServiceDoc>(kind),
        DocKind::Gateway => schema_of::<GatewayDoc>(kind),
        DocKind::Sync => schema_of::<SyncDoc>(kind),
        DocKind::Bundle => schema_of::<BundleDoc>(kind),
    }
}

fn schema_of<T: JsonSchema>(kind: DocKind) -> Value {
    let settings = SchemaSettings::draft2020_12().for_deserialize();
    let schema: Schema = settings.into_generator().into_root_schema_for::<T>();
    let mut value = Value::from(schema);
    without_null(&mut value);
    if let Value::Object(map) = &mut value {
        map.insert("title".into(), Value::from(format!("gitsync {}", kind.word())));
    }
    value
}

/// An optional key may be absent, but nothing may be `null`: takes null out of every type.
fn without_null(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(map) => {
            map.values_mut().for_each(without_null);
            single_type(map);
            single_branch(map);
        }
        _ => {}
    }
}

fn single_type(map: &mut Map<String, Value>) {
    let Some(Value::Array(types)) = map.get_mut("type") else { return };
    types.retain(|name| name != "null");
    if let [only] = types.as_slice() {
        let only = only.clone();
        map.insert("type".into(), only);
    }
}

fn single_branch(map: &mut Map<String, Value>) {
    let Some(Value::Array(branches)) = map.get_mut("anyOf") else { return };
    branches.retain(|branch| branch.get("type").is_none_or(|name| name != "null"));
    let [Value::Object(only)] = branches.as_slice() else { return };
    let only = only.clone();
    map.remove("anyOf");
    for (key, value) in only {
        map.entry(key).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_compiles_and_takes_its_own_examples() {
        for kind in DocKind::ALL {
            let compiled = compiled(kind);
            let validator = compiled.validator.as_ref().unwrap();
            let examples = compiled.schema["examples"].as_array();
            for example in examples.into_iter().flatten() {
                let errors: Vec<String> =
                    validator.iter_errors(example).map(|error| error.to_string()).collect();
                assert!(errors.is_empty(), "{}: {errors:?}", kind.word());
            }
        }
    }

    #[test]
    fn every_property_is_described_and_nothing_may_be_null() {
        fn walk(path: &str, value: &Value) {
            if let Some(Value::Object(properties)) = value.get("properties") {
                for (key, property) in properties {
                    assert!(property.get("description").is_some(), "{path}/{key}");
                }
            }
            assert_ne!(value.get("type"), Some(&Value::from("null")), "{path}");
            match value {
                Value::Array(items) => items.iter().for_each(|item| walk(path, item)),
                Value::Object(map) => {
                    map.iter().for_each(|(key, inner)| walk(&format!("{path}/{key}"), inner));
                }
                _ => {}
            }
        }
        schemas().iter().for_each(|(kind, schema)| walk(kind, schema));
    }
}
