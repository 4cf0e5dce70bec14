//! A spanned tree as JSON, guided by its schema: where only text is wanted, scalars stay the text they were.

use std::collections::BTreeSet;

use serde_json::{Map, Number, Value};

use super::tree::{Kind, Meaning, Scalar, Yaml};

/// The parts of a schema that say something about one value.
pub type Shapes<'a> = Vec<&'a Value>;

/// How deep references and choices of a schema are followed at one value.
const MAX_STEPS: usize = 16;

/// The value as JSON, with numbers, booleans and texts as `schema` wants them.
pub fn to_json(schema: &Value, value: &Yaml) -> Value {
    convert(schema, &shapes_of(schema, schema), value)
}

/// The keys that a mapping at `path` may have, as far as the schema names them.
pub fn keys_at<'a>(schema: &'a Value, path: &[String]) -> BTreeSet<&'a str> {
    let mut shapes = shapes_of(schema, schema);
    for segment in path {
        shapes =
            child(schema, &shapes, segment).into_iter().chain(items(schema, &shapes)).collect();
    }
    let properties = shapes.iter().filter_map(|shape| shape.get("properties")?.as_object());
    properties.flat_map(|map| map.keys().map(String::as_str)).collect()
}

/// Follows references and choices until only plain schemas are left.
fn shapes_of<'a>(root: &'a Value, schema: &'a Value) -> Shapes<'a> {
    let mut found = Vec::new();
    let mut open = vec![(schema, 0)];
    while let Some((shape, steps)) = open.pop() {
        if steps > MAX_STEPS {
            continue;
        }
        found.push(shape);
        let target = shape.get("$ref").and_then(Value::as_str).and_then(|name| resolve(root, name));
        open.extend(target.map(|target| (target, steps + 1)));
        for choice in ["anyOf", "oneOf", "allOf"] {
            let branches = shape.get(choice).and_then(Value::as_array);
            open.extend(branches.into_iter().flatten().map(|branch| (branch, steps + 1)));
        }
    }
    found
}

fn resolve<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    root.pointer(reference.strip_prefix('#')?)
}

fn child<'a>(root: &'a Value, shapes: &Shapes<'a>, key: &str) -> Shapes<'a> {
    let named = shapes.iter().filter_map(|shape| {
        let property = shape.get("properties").and_then(|properties| properties.get(key));
        property.or_else(|| shape.get("additionalProperties").filter(|rest| rest.is_object()))
    });
    named.flat_map(|shape| shapes_of(root, shape)).collect()
}

fn items<'a>(root: &'a Value, shapes: &Shapes<'a>) -> Shapes<'a> {
    let each = shapes.iter().filter_map(|shape| shape.get("items"));
    each.flat_map(|shape| shapes_of(root, shape)).collect()
}

fn convert(root: &Value, shapes: &Shapes<'_>, value: &Yaml) -> Value {
    match &value.kind {
        Kind::Scalar(text) => scalar(shapes, text),
        Kind::List(list) => {
            let inner = items(root, shapes);
            Value::Array(list.iter().map(|item| convert(root, &inner, item)).collect())
        }
        Kind::Map(pairs) => {
            let mut map = Map::new();
            for pair in pairs {
                let inner = child(root, shapes, &pair.key);
                map.insert(pair.key.clone(), convert(root, &inner, &pair.value));
            }
            Value::Object(map)
        }
    }
}

fn scalar(shapes: &Shapes<'_>, scalar: &Scalar) -> Value {
    let takes = |name: &str| shapes.iter().any(|shape| takes_type(shape, name));
    let text = || Value::String(scalar.text.clone());
    let as_text = |others: &[&str]| takes("string") && !others.iter().any(|name| takes(name));
    match scalar.meaning() {
        Meaning::Null => Value::Null,
        Meaning::Bool(_) if as_text(&["boolean"]) => text(),
        Meaning::Bool(flag) => Value::Bool(flag),
        Meaning::Integer(_) if as_text(&["integer", "number"]) => text(),
        Meaning::Integer(number) => Value::Number(number.into()),
        Meaning::Float(_) if as_text(&["number"]) => text(),
        Meaning::Float(number) => Number::from_f64(number).map_or_else(text, Value::Number),
        Meaning::Text => text(),
    }
}

fn takes_type(shape: &Value, name: &str) -> bool {
    match shape.get("type") {
        Some(Value::String(only)) => only == name,
        Some(Value::Array(several)) => several.iter().any(|each| each == name),
        _ => false,
    }
}
