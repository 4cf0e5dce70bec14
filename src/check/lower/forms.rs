//! Which of the three forms a service has, and which keys have a meaning in it.

use std::collections::BTreeMap;

use super::context::Cx;
use super::layers::{Layered, Origin};
use crate::check::compose::{Compose, Source, read};
use crate::check::document::kinds::ServiceDoc;
use crate::check::document::{codes, files};
use crate::model::{AbsPath, Brought, Delivered, Entry, Form, ProcessForm, SecretRef, Snapshot};

/// A form's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormWord {
    Image,
    Compose,
    Process,
}

/// Keys that only some forms have, and which.
const KEYS: &[(&str, &[FormWord])] = {
    use FormWord::{Compose, Image, Process};
    &[
        ("start", &[Process]),
        ("stop", &[Process]),
        ("reload", &[Process]),
        ("ports", &[Image, Process]),
        ("publish", &[Image, Process]),
        ("env", &[Image, Compose, Process]),
        ("project", &[Image, Compose]),
        ("volumes", &[Image]),
        ("network", &[Image]),
        ("devices", &[Image]),
        ("gpus", &[Image]),
        ("cap_add", &[Image]),
        ("privileged", &[Image]),
        ("user", &[Image]),
        ("command", &[Image]),
        ("entrypoint", &[Image]),
        ("labels", &[Image]),
        ("restart", &[Image]),
        ("resources", &[Image]),
        ("replicas", &[Image]),
        ("stop_grace", &[Image]),
        ("healthcheck", &[Image]),
        ("logging", &[Image]),
    ]
};

/// What a service brings along from its folder.
#[derive(Default)]
pub struct Folder {
    /// The compose file, when it has one that could be read.
    pub compose: Option<Compose>,
    /// Files of the repository and their paths below the instance's directory.
    pub files: Vec<(String, String)>,
}

impl Cx<'_> {
    /// The form of a service; told when there is none, more than one, or keys of another.
    pub fn form_word(&mut self, layered: &Layered) -> Option<FormWord> {
        let has = |key: &str| layered.json.get(key).is_some();
        let forms = [
            ("image", FormWord::Image),
            ("compose", FormWord::Compose),
            ("run", FormWord::Process),
        ];
        let mut given = forms.into_iter().filter(|(key, _)| has(key));
        let Some((key, word)) = given.next() else {
            let message = "say what runs: `image`, `compose` or `run: command`";
            self.error(codes::MISSING_KEY, message, self.at(&layered.origin, ""));
            return None;
        };
        for (other, _) in given {
            let place = layered.origin.key_place(self.places, &format!("/{other}"));
            self.error(codes::CONFLICT, format!("`{other}` and `{key}` exclude each other"), place);
        }
        if word == FormWord::Process && !has("start") {
            let place = layered.origin.key_place(self.places, "/run");
            self.error(codes::MISSING_KEY, "`start` is missing: `run: command` needs it", place);
        }
        for (key, _) in KEYS.iter().filter(|(key, forms)| has(key) && !forms.contains(&word)) {
            let place = layered.origin.key_place(self.places, &format!("/{key}"));
            self.error(
                codes::CONFLICT,
                format!("`{key}` has no meaning here: {}", why(word, key)),
                place,
            );
        }
        Some(word)
    }

    /// What lies in a service's folder: everything but `service.yaml`, and the compose file read.
    pub fn folder(&mut self, layered: &Layered, doc: &ServiceDoc, word: FormWord) -> Folder {
        let file = layered.origin.file.clone();
        let Some(folder) = file.strip_suffix("/service.yaml") else {
            if word == FormWord::Compose {
                let place = self.at(&layered.origin, "/compose");
                let name = file.trim_start_matches("services/").trim_end_matches(".yaml");
                let hint = format!(
                    "move this file to `services/{name}/service.yaml`, and the compose file beside it"
                );
                let message = "a compose file lies in the service's own folder";
                self.error_hint(codes::MISSING_FILE, message, place, Some(hint));
            }
            return Folder::default();
        };
        let compose = doc.compose.as_ref().map(|path| path.0.as_str());
        let compose = compose.filter(|_| word == FormWord::Compose);
        let compose_path = compose.map(|compose| format!("{folder}/{compose}"));
        let mut found = Folder::default();
        for path in files::below(self.snapshot, folder) {
            let Some(rest) = path.strip_prefix(folder).map(|rest| rest.trim_start_matches('/'))
            else {
                continue;
            };
            if rest == "service.yaml" || !self.take(path) || Some(path) == compose_path.as_deref() {
                continue;
            }
            found.files.push((path.to_owned(), rest.to_owned()));
        }
        let given = variables(layered, doc);
        found.compose =
            compose.and_then(|file| self.compose((folder, file), &given, doc, &layered.origin));
        found
    }

    fn compose(
        &mut self,
        (folder, file): (&str, &str),
        given: &BTreeMap<String, Option<String>>,
        doc: &ServiceDoc,
        origin: &Origin,
    ) -> Option<Compose> {
        let path = format!("{folder}/{file}");
        if !self.snapshot.entries.contains_key(&path) {
            let place = self.at(origin, "/compose");
            let near = files::below(self.snapshot, folder).map(|path| &path[folder.len() + 1..]);
            let hint = crate::check::document::suggest(file, near);
            self.error_hint(codes::MISSING_FILE, format!("there is no file `{path}`"), place, hint);
            return None;
        }
        if !self.files.contains_key(&path) {
            return None;
        }
        let with_secrets = secret_files(self.snapshot, folder, doc);
        let snapshot = with_secrets.as_ref().unwrap_or(self.snapshot);
        let source = Source { snapshot, folder, file, variables: given };
        let (compose, problems) = read(source);
        self.problems.extend(problems);
        Some(compose)
    }

    /// The form of an instance; none when its compose file could not be read.
    pub fn form(
        &mut self,
        word: FormWord,
        doc: &ServiceDoc,
        origin: &Origin,
        folder: &Folder,
        (project, directory): (&str, &AbsPath),
    ) -> Option<Form> {
        Some(match word {
            FormWord::Image => {
                let image = doc.image.as_ref().map(|image| image.0.clone())?;
                Form::Image(Box::new(self.container(doc, &image, origin)))
            }
            FormWord::Compose => {
                let brought = folder.compose.as_ref()?.brought(project, directory);
                Form::Compose(Brought { env: self.env(doc.env.as_ref(), origin, false), ..brought })
            }
            FormWord::Process => Form::Process(ProcessForm {
                start: doc.start.as_ref().map(|start| start.0.clone())?,
                stop: doc.stop.as_ref().map(|stop| stop.0.clone()),
                reload: doc.reload.as_ref().map(|reload| reload.0.clone()),
                env: self.env(doc.env.as_ref(), origin, false),
            }),
        })
    }

    /// The files of a service's folder, where they land.
    pub fn folder_files(
        &mut self,
        folder: &Folder,
        directory: &AbsPath,
        origin: &Origin,
    ) -> Vec<Delivered> {
        let mut found = Vec::new();
        for (path, rest) in &folder.files {
            match directory.join(rest) {
                Ok(destination) => {
                    let executable = self.files.get(path).is_some_and(|file| file.executable);
                    let mode = if executable { 0o755 } else { 0o644 };
                    let path = path.clone();
                    found.push(Delivered {
                        path,
                        secret: None,
                        destination,
                        mode,
                        mode_given: false,
                        owner: None,
                    });
                }
                Err(error) => {
                    self.error(codes::BAD_PATH, error.to_string(), self.at(origin, ""));
                }
            }
        }
        found
    }
}

/// The variables that compose is given for a brought file; one that a node may override isn't known.
fn variables(layered: &Layered, doc: &ServiceDoc) -> BTreeMap<String, Option<String>> {
    let known = |text: &str| !text.starts_with("node:/") && !text.starts_with(SecretRef::PREFIX);
    let own = doc.env.iter().flatten();
    let own = own.map(|(key, text)| (key.clone(), known(&text.0).then(|| text.0.clone())));
    let mut given: BTreeMap<String, Option<String>> = own.collect();
    let nodes = layered.json.get("nodes").and_then(serde_json::Value::as_object);
    let blocks = nodes.into_iter().flat_map(serde_json::Map::values);
    for env in blocks.filter_map(|block| block.get("env")?.as_object()) {
        given.extend(env.keys().map(|key| (key.clone(), None)));
    }
    given
}

/// The repository as compose will find it: files that are secrets are there, and what is in them isn't known.
fn secret_files(snapshot: &Snapshot, folder: &str, doc: &ServiceDoc) -> Option<Snapshot> {
    let files = doc.secret_files.as_ref().filter(|files| !files.is_empty())?;
    let inside = format!("{folder}/");
    let own = snapshot.entries.iter().filter(|(path, _)| path.starts_with(&inside));
    let mut entries: BTreeMap<_, _> = own.map(|(path, it)| (path.clone(), it.clone())).collect();
    for rest in files.keys() {
        let entry = Entry::File { content: Vec::new(), executable: false };
        entries.entry(format!("{inside}{rest}")).or_insert(entry);
    }
    Some(Snapshot { entries, ..Snapshot::default() })
}

fn why(word: FormWord, key: &str) -> &'static str {
    match (word, key) {
        (FormWord::Compose, "start" | "stop" | "reload") => "it belongs to `run: command`",
        (FormWord::Compose, _) => "the compose file says it",
        (FormWord::Process, _) => "`run: command` is no container",
        (FormWord::Image, _) => "it belongs to `run: command`",
    }
}
