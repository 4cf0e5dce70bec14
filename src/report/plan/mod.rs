//! A plan as people, pull requests and programs read it; every view shows the same value.

mod human;
mod markdown;
mod words;

use crate::model::{Plan, Step, UnitId};

pub use human::human;
pub use markdown::{MARKDOWN_LIMIT, markdown};

/// Narrows what a view shows; the plan itself is never narrowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only steps on this node.
    pub node: Option<String>,
    /// Only steps of this service, bundle or gateway: `organizr`, `api@dev`, `gateway.edge`.
    pub service: Option<String>,
}

impl Filter {
    /// Whether everything is shown.
    pub fn is_open(&self) -> bool {
        self.node.is_none() && self.service.is_none()
    }

    /// Whether a unit is shown.
    pub fn shows(&self, unit: &UnitId) -> bool {
        let node = self.node.as_ref().is_none_or(|node| unit.node.as_str() == node);
        node && self.service.as_ref().is_none_or(|wanted| is_named(unit, wanted))
    }

    /// Whether a step is shown: for its own unit, or for one that it replaces.
    pub fn shows_step(&self, step: &Step) -> bool {
        self.shows(&step.unit) || step.replaces.iter().any(|gone| self.shows(&gone.unit))
    }
}

fn is_named(unit: &UnitId, wanted: &str) -> bool {
    let name = unit.name.as_ref().map_or("", |name| name.as_str());
    let matches = |text: &str| match (&unit.environment, text.split_once('@')) {
        (Some(environment), Some((text, env))) => text == name && env == environment.as_str(),
        (_, None) => text == name,
        (None, Some(_)) => false,
    };
    matches(wanted) || unit.local() == wanted
}

/// The plan as JSON, version 1: the value itself, which reads back as the same plan.
///
/// Errors only when the plan can't be written as JSON, which its types rule out.
pub fn json(plan: &Plan) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(plan)?;
    text.push('\n');
    Ok(text)
}
