//! Units of bundles: files from the repository, perhaps filled in, and what makes them felt.

use serde::Serialize;
use std::collections::BTreeMap;
use tera::Context;

use super::sealed::Asked;
use super::{Problems, codes, delivered, shell, template};
use crate::diagnostic::Diagnostic;
use crate::model::{
    Artifact, Bundle, BundleActivation, Command, Content, Delivered, Fleet, Moment, Node, Unit,
    Validation,
};

/// What a bundle's template sees of its node.
#[derive(Serialize)]
struct NodeView<'a> {
    name: &'a str,
    address: String,
    labels: &'a BTreeMap<String, String>,
}

/// The unit of a bundle on one node.
pub(super) fn unit(fleet: &Fleet, bundle: &Bundle) -> Result<Unit, Problems> {
    let mut unit = super::blank(fleet, &bundle.id, &bundle.directory, &bundle.health);
    unit.depends_on = bundle.depends_on.iter().cloned().collect();
    unit.adopt = bundle.adopt;
    unit.artifacts = delivered::files(fleet, &bundle.files, &bundle.directory, &bundle.source)?;
    if bundle.template {
        fill(fleet, bundle, &mut unit.artifacts)?;
    }
    if let Some(activation) = &bundle.activate {
        unit.commands = commands(activation);
        if activation.validate.is_some() {
            unit.validation = Validation::Staged;
        }
    }
    Ok(unit)
}

fn commands(activation: &BundleActivation) -> Vec<Command> {
    let command = |moment, text: &str| Command {
        moment,
        content: Content::Bytes(shell::program(&[], text).into_bytes()),
    };
    let validate = activation.validate.as_ref().map(|text| command(Moment::Validate, text));
    validate.into_iter().chain([command(Moment::Activate, &activation.command)]).collect()
}

fn fill(fleet: &Fleet, bundle: &Bundle, artifacts: &mut [Artifact]) -> Result<(), Problems> {
    let mut context = Context::new();
    context.insert("fleet", &serde_json::json!({ "name": fleet.name, "domain": fleet.domain }));
    if let Some(node) = fleet.nodes.get(&bundle.id.node) {
        context.insert("node", &view(node));
    }
    let mut problems = Vec::new();
    for (artifact, file) in artifacts.iter_mut().zip(&bundle.files) {
        // A file that is one secret as a whole is no template.
        if file.secret.is_some() {
            continue;
        }
        match filled(fleet, bundle, file, &context) {
            Ok(content) => seal(artifact, file, content),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn view(node: &Node) -> NodeView<'_> {
    NodeView { name: node.name.as_str(), address: node.address.to_string(), labels: &node.labels }
}

fn filled(
    fleet: &Fleet,
    bundle: &Bundle,
    file: &Delivered,
    context: &Context,
) -> Result<Content, Diagnostic> {
    let bytes = &delivered::content(fleet, &file.path, &bundle.source)?.content;
    let text = std::str::from_utf8(bytes)
        .map_err(|_| codes::in_file(codes::TEMPLATE, "a template must be UTF-8", &file.path))?;
    let secrets = Asked::default();
    let text = template::file(&file.path, text, context, &secrets)?;
    secrets.content(fleet, text, &file.path)
}

/// What has a secret in it may be read by nobody else, unless its author says who may.
fn seal(artifact: &mut Artifact, file: &Delivered, content: Content) {
    if matches!(content, Content::Sealed(_)) {
        artifact.sensitive = true;
        if !file.mode_given {
            artifact.mode &= 0o700;
        }
    }
    artifact.content = content;
}
