//! Everything that compose reads besides its own file: it must lie in the same folder, and be there.

use std::rc::Rc;

use super::interpolate::{Variables, interpolate};
use super::{MAX_VARIABLE_FILES, Part, Reader, Use, codes, dotenv};
use crate::check::document::{Kind, Yaml};
use crate::diagnostic::{Diagnostic, Place};

/// Sections whose texts compose interpolates.
const SECTIONS: [&str; 6] = ["include", "services", "networks", "volumes", "configs", "secrets"];

/// What a reference must be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Needed {
    /// A file that must be there.
    File,
    /// A file that may be missing.
    Optional,
    /// A directory with everything in it.
    Directory,
}

/// A file that a part includes.
pub(super) struct Included {
    /// Its path in the repository.
    pub path: String,
    /// What its relative paths start from.
    pub base: String,
    /// Files of the variables that it sees.
    pub variables: Vec<String>,
    /// Where it is included; files that are merged have one place.
    pub item: Place,
    /// Where its own path is written.
    pub place: Place,
}

impl Reader<'_> {
    /// What a part includes. Several files of one `path` are merged, and start from the first one's folder.
    pub(super) fn includes(&mut self, part: &Part) -> Vec<Included> {
        let mut found = Vec::new();
        let Some(include) = part.root().get("include") else {
            return found;
        };
        for item in include.items() {
            let files = each(item.get("path").unwrap_or(item));
            let below: Vec<Option<String>> = files
                .iter()
                .map(|file| self.reference(part, file, Needed::File, Use::Compose))
                .collect();
            let own_base = item.get("project_directory").and_then(|base| self.below(part, base));
            let first = below.iter().flatten().next();
            let folder = first.and_then(|path| path.rsplit_once('/')).map_or("", |(at, _)| at);
            let base = own_base.unwrap_or_else(|| folder.to_owned());
            let variables = self.variable_files(part, item, &base);
            for (file, below) in files.iter().zip(&below) {
                let Some(below) = below else { continue };
                found.push(Included {
                    path: self.path_of(below),
                    base: base.clone(),
                    variables: variables.clone(),
                    item: part.place(item),
                    place: part.place(file),
                });
            }
        }
        found
    }

    /// The files of variables that an included file sees: its `env_file`, or else the `.env` in its directory.
    fn variable_files(&mut self, part: &Part, item: &Yaml, base: &str) -> Vec<String> {
        let Some(written) = item.get("env_file").filter(|value| !value.is_null()) else {
            let below = format!("{base}/.env");
            let full = self.path_of(below.trim_start_matches('/'));
            self.wanted.insert((full.clone(), Use::Variables));
            let there = self.remember(&full, Needed::Optional);
            return there.then_some(full).into_iter().collect();
        };
        let mut paths: Vec<String> = Vec::new();
        for file in each(written).into_iter().filter(|it| it.text() != Some("/dev/null")) {
            let below = self.reference(part, file, Needed::File, Use::Variables);
            let full = below.map(|below| self.path_of(&below));
            // One that is named again says nothing new.
            paths.extend(full.filter(|full| paths.last() != Some(full)));
        }
        if paths.len() > MAX_VARIABLE_FILES {
            let message = format!("more than {MAX_VARIABLE_FILES} files of variables");
            self.wrong(part, written, message);
            paths.truncate(MAX_VARIABLE_FILES);
        }
        paths
    }

    /// What an included file sees: what the including one does, and below that what its own files of variables say.
    pub(super) fn included_variables(&self, part: &Part, paths: &[String]) -> Rc<Variables> {
        let mut said = Vec::new();
        for path in paths {
            let content = self.source.snapshot.content(path).unwrap_or_default();
            said.extend(dotenv::variables(&String::from_utf8_lossy(content)));
        }
        Rc::new(part.variables.or(said))
    }

    /// Checks everything that the services and the top-level sections of a part read, and its variables; once.
    pub(super) fn read_paths(&mut self, part: &Part) {
        if !self.read.insert(part.file.tree.file.clone()) {
            return;
        }
        self.unset_variables(part);
        for pair in part.root().get("services").map(Yaml::pairs).unwrap_or_default() {
            self.service_paths(part, &pair.value);
        }
        for section in ["configs", "secrets"] {
            for pair in part.root().get(section).map(Yaml::pairs).unwrap_or_default() {
                if let Some(file) = pair.value.get("file") {
                    let used = if section == "secrets" { Use::Secret } else { Use::Config };
                    self.reference(part, file, Needed::File, used);
                }
                if let Some(variable) = pair.value.get("environment") {
                    self.variable(part, variable);
                }
            }
        }
    }

    fn service_paths(&mut self, part: &Part, service: &Yaml) {
        let environment = service.get("environment");
        self.passed.extend(environment.map(nameless).unwrap_or_default());
        if environment.is_some_and(|it| matches!(it.kind, Kind::Map(_))) {
            self.handed.extend(environment.map(nameless).unwrap_or_default());
        }
        for item in service.get("env_file").map(each).unwrap_or_default() {
            let needed = match item.get("required").and_then(Yaml::text) {
                Some("false") => Needed::Optional,
                _ => Needed::File,
            };
            self.reference(part, item.get("path").unwrap_or(item), needed, Use::Environment);
        }
        for item in service.get("label_file").map(each).unwrap_or_default() {
            self.reference(part, item, Needed::File, Use::Other);
        }
        if let Some(build) = service.get("build") {
            self.build_paths(part, build);
        }
        for item in service.get("security_opt").map(Yaml::items).unwrap_or_default() {
            let text = item.text().unwrap_or_default();
            let profile = text.strip_prefix("seccomp:").or_else(|| text.strip_prefix("seccomp="));
            if let Some(profile) = profile.filter(|p| !matches!(*p, "unconfined" | "builtin")) {
                self.path_reference(part, item, profile, Needed::File, Use::Other);
            }
        }
    }

    fn build_paths(&mut self, part: &Part, build: &Yaml) {
        self.handed.extend(build.get("args").map(nameless).unwrap_or_default());
        let context = build.get("context").or_else(|| build.text().map(|_| build));
        let inside = context.and_then(|it| self.reference(part, it, Needed::Directory, Use::Build));
        let mut from = part.clone();
        from.base = inside.unwrap_or_default();
        if let Some(file) = build.get("dockerfile") {
            self.reference(&from, file, Needed::File, Use::Build);
        }
        let contexts = build.get("additional_contexts");
        for pair in contexts.map(Yaml::pairs).unwrap_or_default() {
            self.build_context(part, &pair.value, pair.value.text().unwrap_or_default());
        }
        for item in contexts.map(Yaml::items).unwrap_or_default() {
            let text = item.text().unwrap_or_default();
            self.build_context(part, item, text.split_once('=').map_or(text, |(_, path)| path));
        }
    }

    fn build_context(&mut self, part: &Part, at: &Yaml, path: &str) {
        let other = ["docker-image://", "service:", "target:"];
        if !other.iter().any(|scheme| path.starts_with(scheme)) {
            self.path_reference(part, at, path, Needed::Directory, Use::Build);
        }
    }

    /// Checks one path that compose reads; gives it back relative to the folder.
    pub(super) fn reference(
        &mut self,
        part: &Part,
        written: &Yaml,
        needed: Needed,
        used: Use,
    ) -> Option<String> {
        let text = part.text(written)?;
        self.path_reference(part, written, &text, needed, used)
    }

    fn path_reference(
        &mut self,
        part: &Part,
        at: &Yaml,
        path: &str,
        needed: Needed,
        used: Use,
    ) -> Option<String> {
        let Some(below) = inside(&part.base, path) else {
            self.outside(part, at, path);
            return None;
        };
        let full = self.path_of(&below);
        self.wanted.insert((full.clone(), used));
        let found = self.remember(&full, needed);
        if !found && needed != Needed::Optional {
            let message = format!("`{full}` is not in the repository");
            let diagnostic = Diagnostic::error(codes::FILE_MISSING, message, part.place(at));
            let said = if needed == Needed::Directory { "a folder" } else { "a file" };
            self.problems.push(diagnostic.says(format!("compose needs {said} here")));
            return None;
        }
        Some(below)
    }

    fn below(&mut self, part: &Part, written: &Yaml) -> Option<String> {
        let text = part.text(written)?;
        let below = inside(&part.base, &text);
        if below.is_none() {
            self.outside(part, written, &text);
        }
        below
    }

    fn outside(&mut self, part: &Part, at: &Yaml, path: &str) {
        let message = format!("`{path}` lies outside the compose file's folder");
        let folder = self.source.folder;
        let diagnostic = Diagnostic::error(codes::OUTSIDE, message, part.place(at))
            .hint(format!("put what is needed below `{folder}/` and refer to it from there"));
        self.problems.push(diagnostic);
    }

    /// Notes the files that lie at a path; whether there are any.
    fn remember(&mut self, path: &str, needed: Needed) -> bool {
        let entries = &self.source.snapshot.entries;
        if needed != Needed::Directory {
            let found = entries.contains_key(path);
            self.references.extend(found.then(|| path.to_owned()));
            return found;
        }
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let below = entries.range(prefix.clone()..).map(|(path, _)| path);
        let below = below.take_while(|path| path.starts_with(&prefix));
        let found: Vec<String> = below.cloned().collect();
        let any = !found.is_empty();
        self.references.extend(found);
        any
    }

    /// Tells every variable of a part that has no value where compose runs.
    fn unset_variables(&mut self, part: &Part) {
        for section in SECTIONS {
            if let Some(value) = part.root().get(section) {
                self.unset_below(part, value);
            }
        }
    }

    fn unset_below(&mut self, part: &Part, yaml: &Yaml) {
        match &yaml.kind {
            Kind::Scalar(scalar) => self.unset_in(part, yaml, &scalar.text),
            Kind::List(items) => items.iter().for_each(|item| self.unset_below(part, item)),
            Kind::Map(pairs) => pairs.iter().for_each(|pair| self.unset_below(part, &pair.value)),
        }
    }

    fn unset_in(&mut self, part: &Part, at: &Yaml, text: &str) {
        if !text.contains('$') {
            return;
        }
        let found = interpolate(text, &part.variables);
        self.used.extend(found.used);
        for name in &found.missing {
            self.no_value(part, at, name);
        }
        if found.malformed {
            let message = "a `$` that compose can't read as a variable";
            let diagnostic = Diagnostic::error(codes::NO_VALUE, message, part.place(at));
            self.problems.push(diagnostic.hint("write `$$` for a `$` that is meant as such"));
        }
    }

    fn variable(&mut self, part: &Part, at: &Yaml) {
        let Some(name) = at.text() else { return };
        self.used.insert(name.to_owned());
        if !part.variables.has(name) {
            self.no_value(part, at, name);
        }
    }

    fn no_value(&mut self, part: &Part, at: &Yaml, name: &str) {
        let message = format!("the variable `{name}` has no value where compose runs");
        let diagnostic = Diagnostic::error(codes::NO_VALUE, message, part.place(at))
            .says("compose runs with an empty environment on the node")
            .hint(format!("write the value itself, or a default: `${{{name}:-value}}`"))
            .hint(format!("write `$${name}` if the container's shell is meant to read it"));
        self.problems.push(diagnostic);
    }
}

/// The items of a list, or the one value that stands in its place.
pub(super) fn each(yaml: &Yaml) -> Vec<&Yaml> {
    match &yaml.kind {
        Kind::List(items) => items.iter().collect(),
        _ if yaml.is_null() => Vec::new(),
        _ => vec![yaml],
    }
}

/// Variables that a list or a mapping names without a value: compose hands its own on.
fn nameless(yaml: &Yaml) -> Vec<String> {
    let items = yaml.items().iter().filter_map(Yaml::text).filter(|text| !text.contains('='));
    let pairs =
        yaml.pairs().iter().filter(|pair| pair.value.is_null()).map(|pair| pair.key.as_str());
    items.chain(pairs).map(str::to_owned).collect()
}

/// A path relative to the folder, by its text alone; none when it leaves the folder or isn't a path in it.
fn inside(base: &str, path: &str) -> Option<String> {
    if path.starts_with(['/', '~']) || path.contains(':') || path.contains('\\') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_in_the_folder_are_inside() {
        for (base, path, expected) in [
            ("", "a.env", "a.env"),
            ("", "./a/../b.env", "b.env"),
            ("sub", "../b.env", "b.env"),
            ("sub", "x", "sub/x"),
            ("", ".", ""),
        ] {
            assert_eq!(inside(base, path).as_deref(), Some(expected), "{path}");
        }
        for path in
            ["../x", "/x", "~/x", "a/../../x", "https://x/y", "git@host:x", "C:\\x", "oci:x"]
        {
            assert_eq!(inside("", path), None, "{path}");
        }
    }
}
