//! What is kept of a scenario that failed: what was said, every step of every rollout, the hosts' logs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Stage;

impl Stage {
    /// Keeps everything below `target/lab/<scenario>/`; what can't be had is left out with a line.
    pub(super) fn save_evidence(&self) {
        let target = self.evidence();
        let _ = fs::create_dir_all(&target);
        self.tell_rollouts(&target);
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(self.controller()).arg(&target).stdin(Stdio::null());
        let _ = copy.stderr(Stdio::null()).status();
        if let Err(error) = gitsync_lab::evidence::save(&self.lab, &target) {
            eprintln!("the hosts' logs were not all kept: {error}");
        }
        eprintln!("what happened is kept in {}", target.display());
    }

    /// The rollouts of the first controller with every effect and outcome; asks no host.
    fn tell_rollouts(&self, target: &Path) {
        let tell = |arguments: &[&str], file: &str| {
            let told = self.gitsync(arguments).output().map(|output| output.stdout);
            let told = told.unwrap_or_default();
            let _ = fs::write(target.join(file), &told);
            String::from_utf8_lossy(&told).into_owned()
        };
        tell(&["history"], "history.txt");
        let listed = tell(&["history", "--format", "json"], "history.json");
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap_or_default();
        for id in ids(&listed) {
            tell(&["show", &id], &format!("rollout-{id}.txt"));
        }
    }
}

/// Every `id` in a JSON value.
fn ids(value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::Array(values) => values.iter().flat_map(ids).collect(),
        serde_json::Value::Object(fields) => match fields.get("id") {
            Some(serde_json::Value::String(id)) => vec![id.clone()],
            Some(serde_json::Value::Number(id)) => vec![id.to_string()],
            _ => fields.values().flat_map(ids).collect(),
        },
        _ => Vec::new(),
    }
}
