//! What two units of one machine may not share: directory, compose project, container name, volume.

use super::codes;
use super::conflict::{Taken, Telling, machine, repeated, tell};
use super::find::{Find, Origin};
use crate::check::document::escape;
use crate::diagnostic::Diagnostic;
use crate::model::{Container, Fleet, Form, Instance, MountSource};

fn taken<'f>(instance: &'f Instance, pointer: &str) -> Taken<'f> {
    let origin = Origin::Service(instance, pointer.to_owned());
    Taken { unit: instance.id.clone(), origin }
}

fn has_project(instance: &Instance) -> bool {
    !matches!(instance.form, Form::Process(_))
}

/// Two units of a machine have one directory.
pub(super) fn same_directory(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let all = fleet.instances.iter().map(|instance| {
        let key = (machine(fleet, &instance.id.node), &instance.directory);
        let what = format!("the directory `{}`", instance.directory);
        (key, what, taken(instance, "/directory"))
    });
    let hint = "give one of them another `directory`";
    tell(repeated(all), &Telling { code: codes::SAME_DIRECTORY, hint }, find)
}

/// Two units of a machine have one compose project.
pub(super) fn same_project(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let composed = fleet.instances.iter().filter(|instance| has_project(instance));
    let all = composed.map(|instance| {
        let key = (machine(fleet, &instance.id.node), &instance.project);
        let what = format!("the compose project `{}`", instance.project);
        (key, what, taken(instance, "/project"))
    });
    let hint = "give one of them another `project`: compose would remove the other's containers";
    tell(repeated(all), &Telling { code: codes::SAME_PROJECT, hint }, find)
}

/// Two units of a machine have one container name.
pub(super) fn same_container(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let mut all = Vec::new();
    for instance in &fleet.instances {
        let Form::Compose(brought) = &instance.form else { continue };
        for (service, it) in brought.services.iter().filter(|(_, it)| !it.profiled) {
            let Some(name) = &it.container_name else { continue };
            let key = (machine(fleet, &instance.id.node), name);
            let pointer = format!("/services/{}/container_name", escape(service));
            let origin = Origin::Compose(instance, pointer);
            let what = format!("a container named `{name}`");
            all.push((key, what, Taken { unit: instance.id.clone(), origin }));
        }
    }
    let hint = "leave `container_name` out: compose makes a name from project and service";
    tell(repeated(all.into_iter()), &Telling { code: codes::SAME_CONTAINER, hint }, find)
}

/// Two units of a machine own one volume.
///
/// Units with one project share all its volumes; that is told as the project's conflict alone.
pub(super) fn same_volume(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let mut all = Vec::new();
    for instance in &fleet.instances {
        for (name, pointer) in owned_volumes(instance) {
            let key = (machine(fleet, &instance.id.node), name.clone());
            let what = format!("the volume `{name}`");
            let origin = match &instance.form {
                Form::Compose(_) if pointer == "/volumes" => Origin::ComposeVolume(instance, name),
                Form::Compose(_) => Origin::Compose(instance, pointer),
                _ => Origin::Service(instance, pointer),
            };
            all.push((key, what, Taken { unit: instance.id.clone(), origin }));
        }
    }
    let mut conflicts = repeated(all.into_iter());
    let project = |taken: &Taken<'_>| taken.origin.instance().map(|it| it.project.clone());
    conflicts.retain(|conflict| project(&conflict.first) != project(&conflict.second));
    let hint = "declare the volume as made outside if both are meant to have it";
    tell(conflicts, &Telling { code: codes::SAME_VOLUME, hint }, find)
}

/// Volumes by their names on the engine, and where they are written.
fn owned_volumes(instance: &Instance) -> Vec<(String, String)> {
    match &instance.form {
        Form::Image(container) => image_volumes(instance, container),
        Form::Compose(brought) => {
            let own = format!("{}_", instance.project);
            let pointer = |name: &str| match name.strip_prefix(&own) {
                Some(key) => format!("/volumes/{}", escape(key)),
                None => "/volumes".to_owned(),
            };
            brought.volumes.iter().map(|name| (name.clone(), pointer(name))).collect()
        }
        Form::Process(_) => Vec::new(),
    }
}

fn image_volumes(instance: &Instance, container: &Container) -> Vec<(String, String)> {
    let named = container.volumes.iter().enumerate().filter_map(|(index, mount)| {
        let MountSource::Volume(name) = &mount.source else { return None };
        Some((format!("{}_{name}", instance.project), format!("/volumes/{index}")))
    });
    named.collect()
}
