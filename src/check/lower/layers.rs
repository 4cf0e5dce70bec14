//! Blocks for environments and nodes merged over a service, and where each value then comes from.

use serde_json::{Map, Value};

use crate::check::document::{Places, escape};
use crate::diagnostic::Place;
use crate::model::Name;

/// Keys whose mappings are merged key by key; everything else is replaced as a whole.
const MERGED: [&str; 6] = ["env", "ports", "labels", "health", "resources", "logging"];

/// Where the values of a merged document were written.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The file.
    pub file: String,
    /// JSON pointers of the blocks, the one that wins last.
    blocks: Vec<String>,
}

impl Origin {
    /// A document without blocks.
    pub fn new(file: &str) -> Self {
        Self { file: file.to_owned(), blocks: Vec::new() }
    }

    /// The place of the value at `pointer` of the merged document.
    pub fn place(&self, places: &Places, pointer: &str) -> Place {
        self.find(places, pointer, Places::place)
    }

    /// The place of the key that `pointer` of the merged document ends with.
    pub fn key_place(&self, places: &Places, pointer: &str) -> Place {
        self.find(places, pointer, Places::key_place)
    }

    fn find(&self, places: &Places, pointer: &str, ask: fn(&Places, &str, &str) -> Place) -> Place {
        let mut written = self.blocks.iter().rev().map(|block| format!("{block}{pointer}"));
        let there = written.find(|path| places.find(&self.file, path).is_some());
        ask(places, &self.file, there.as_deref().unwrap_or(pointer))
    }
}

/// A service as it is in an environment, and perhaps on a node.
#[derive(Clone, Debug)]
pub struct Layered {
    /// The merged document, without blocks.
    pub json: Value,
    /// Where its values come from.
    pub origin: Origin,
}

/// The service in an environment.
pub fn in_environment(json: &Value, file: &str, environment: &Name) -> Layered {
    let block = format!("/environments/{}", escape(environment.as_str()));
    let mut layered = Layered { json: json.clone(), origin: Origin::new(file) };
    layered.apply(json, &block);
    layered.strip();
    layered
}

/// The nodes that have blocks for an environment.
pub fn node_blocks<'a>(json: &'a Value, environment: &Name) -> Vec<&'a String> {
    let own = json.pointer(&format!("/environments/{}/nodes", escape(environment.as_str())));
    let blocks = [json.get("nodes"), own].into_iter().flatten().filter_map(Value::as_object);
    let mut names: Vec<&String> = blocks.flat_map(Map::keys).collect();
    names.sort();
    names.dedup();
    names
}

/// The service in an environment on a node; none when no block says anything about the node.
pub fn on_node(json: &Value, base: &Layered, environment: &Name, node: &Name) -> Option<Layered> {
    let common = format!("/nodes/{}", escape(node.as_str()));
    let own = format!("/environments/{}{common}", escape(environment.as_str()));
    let mut layered = base.clone();
    let some = layered.apply(json, &common) | layered.apply(json, &own);
    some.then_some(layered)
}

impl Layered {
    fn apply(&mut self, whole: &Value, block: &str) -> bool {
        let Some(Value::Object(over)) = whole.pointer(block) else { return false };
        self.origin.blocks.push(block.to_owned());
        if let Value::Object(base) = &mut self.json {
            merge(base, over);
        }
        true
    }

    fn strip(&mut self) {
        if let Value::Object(map) = &mut self.json {
            map.retain(|key, _| key != "environments" && key != "nodes");
        }
    }
}

fn merge(base: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Object(old)), Value::Object(new)) if MERGED.contains(&key.as_str()) => {
                old.extend(new.clone());
            }
            _ => drop(base.insert(key.clone(), value.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn node_blocks_win_over_environments_and_environments_over_the_service() {
        let service = json!({
            "image": "a", "env": {"A": "1", "B": "1", "C": "1"}, "volumes": ["x:/x"],
            "environments": {"dev": {"env": {"B": "2"}, "volumes": ["y:/y"],
                "nodes": {"n": {"image": "c"}}}},
            "nodes": {"n": {"env": {"C": "3"}, "image": "b"}},
        });
        let name = |text: &str| Name::new(text).unwrap();
        let dev = in_environment(&service, "f", &name("dev"));
        assert_eq!(dev.json["env"], json!({"A": "1", "B": "2", "C": "1"}));
        assert_eq!(dev.json["volumes"], json!(["y:/y"]));
        let node = on_node(&service, &dev, &name("dev"), &name("n")).unwrap();
        assert_eq!(node.json["env"]["C"], "3");
        assert_eq!(node.json["image"], "c");
        assert!(node.json.get("nodes").is_none());
        assert!(on_node(&service, &dev, &name("dev"), &name("m")).is_none());
    }
}
