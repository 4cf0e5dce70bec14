//! Programs that the node script keeps: their commands, with the environment set before.

use super::{codes, shell};
use crate::diagnostic::Diagnostic;
use crate::model::{Command, Content, Instance, Moment, ProcessForm, SplitEnv};

/// Values of the node's files and secrets, read line by line and never evaluated. A start finds them exported already.
const NODE_ENV: &str = r#"if [ -f "${GITSYNC_NODE_ENV:-}" ]; then
    while IFS= read -r gitsync_line; do
        export "${gitsync_line?}"
    done <"$GITSYNC_NODE_ENV"
fi
"#;

/// The commands of a process, sorted by moment.
pub(super) fn commands(
    instance: &Instance,
    form: &ProcessForm,
) -> Result<Vec<Command>, Vec<Diagnostic>> {
    let exports = exports(instance, form)?;
    let command = |moment, text: &String| {
        let content = Content::Bytes(shell::program(&[], &format!("{exports}{text}")).into_bytes());
        Command { moment, content }
    };
    let all = [
        (Moment::Stop, form.stop.as_ref()),
        (Moment::Start, Some(&form.start)),
        (Moment::Reload, form.reload.as_ref()),
    ];
    let all = all.into_iter().filter_map(|(moment, text)| text.map(|text| command(moment, text)));
    Ok(all.collect())
}

fn exports(instance: &Instance, form: &ProcessForm) -> Result<String, Vec<Diagnostic>> {
    let env = SplitEnv::of(&form.env);
    let bad: Vec<Diagnostic> = form
        .env
        .keys()
        .filter(|name| !shell::is_variable(name))
        .map(|name| no_variable(name, instance))
        .collect();
    if !bad.is_empty() {
        return Err(bad);
    }
    let mut text = String::new();
    for (name, value) in &env.plain {
        text.push_str(&format!("export {name}={}\n", shell::word(value)));
    }
    if !env.files.is_empty() || !env.secrets.is_empty() {
        text.push_str(NODE_ENV);
    }
    Ok(text)
}

/// A name that neither a shell nor compose's interpolation takes.
pub(super) fn no_variable(name: &str, instance: &Instance) -> Diagnostic {
    let message = format!("`{name}` can't name an environment variable here");
    codes::in_file(codes::UNWRITABLE, message, &instance.source)
        .hint("use letters, digits and `_`, not first a digit")
}
