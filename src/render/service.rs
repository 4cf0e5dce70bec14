//! Units of services: an instance's files, how it is run, and what it occupies.

use std::collections::{BTreeMap, BTreeSet};

use super::mounts::{Managed, host_path};
use super::{Problems, codes, compose, delivered, process, sealed, shell};
use crate::model::{
    AbsPath, Artifact, Brought, Claims, ComposeService, Container, Content, EnvValue, Fleet, Form,
    Instance, Mount, MountSource, PortClaim, PortMapping, Restart, Runtime, SplitEnv, Unit, UnitId,
    Validation,
};

/// The unit of an instance, without what others say about it (dependencies on gateways' side, groups, witnesses).
///
/// `bundles` are those of its node: containers may mount their files too.
pub(super) fn unit(
    fleet: &Fleet,
    instance: &Instance,
    bundles: &[&Unit],
) -> Result<Unit, Problems> {
    let files = delivered::files(fleet, &instance.files, &instance.directory, &instance.source)?;
    let mut unit = super::blank(fleet, &instance.id, &instance.directory, &instance.health);
    unit.depends_on = instance.depends_on.iter().cloned().collect();
    unit.rollback = instance.rollback;
    unit.adopt = instance.adopt;
    unit.claims.ports = ports(instance.ports.values());
    unit.depends_on.extend(mounted(instance, bundles));
    let shared = bundles.iter().flat_map(|bundle| &bundle.artifacts);
    let managed = Managed::new(files.iter().chain(shared));
    match &instance.form {
        Form::Image(container) => image(fleet, instance, container, &managed, &mut unit)?,
        Form::Compose(brought) => bring(fleet, instance, brought, &managed, &mut unit)?,
        Form::Process(form) => {
            unit.runtime = Runtime::Process;
            unit.commands = process::commands(instance, form)?;
            outside_env(fleet, instance, &form.env, &mut unit)?;
        }
    }
    // A brought compose file may be listed among the delivered ones too.
    let there: BTreeSet<AbsPath> = unit.artifacts.iter().map(|a| a.destination.clone()).collect();
    unit.artifacts.extend(files.into_iter().filter(|file| !there.contains(&file.destination)));
    Ok(unit)
}

/// Bundles whose files are mounted come first. One with dependencies of its own is left to the author: it may need
/// this very instance.
fn mounted(instance: &Instance, bundles: &[&Unit]) -> Vec<UnitId> {
    let mounts: Vec<&Mount> = match &instance.form {
        Form::Image(container) => container.volumes.iter().collect(),
        Form::Compose(brought) => brought.services.values().flat_map(|s| &s.mounts).collect(),
        Form::Process(_) => Vec::new(),
    };
    let paths: Vec<AbsPath> =
        mounts.into_iter().filter_map(|mount| host_path(&instance.directory, mount)).collect();
    let below = |file: &Artifact| paths.iter().any(|path| file.destination.is_within(path));
    let free = bundles.iter().filter(|bundle| bundle.depends_on.is_empty());
    free.filter(|b| b.artifacts.iter().any(below)).map(|bundle| bundle.id.clone()).collect()
}

/// Values that no file of the unit holds: files of the node, and secrets.
fn outside_env(
    fleet: &Fleet,
    instance: &Instance,
    env: &BTreeMap<String, EnvValue>,
    unit: &mut Unit,
) -> Result<(), Problems> {
    let split = SplitEnv::of(env);
    unit.node_env = split.files;
    for (key, secret) in &split.secrets {
        let content =
            sealed::one(fleet, secret, &instance.source).map_err(|problem| vec![problem])?;
        unit.sealed_env.insert(key.clone(), content);
    }
    Ok(())
}

fn ports<'a>(mappings: impl Iterator<Item = &'a PortMapping>) -> BTreeSet<PortClaim> {
    let claims = mappings.flat_map(|mapping| {
        let claim = |p: &_| PortClaim { protocol: *p, bind: mapping.bind, port: mapping.host };
        mapping.protocols.iter().map(claim)
    });
    claims.collect()
}

fn image(
    fleet: &Fleet,
    instance: &Instance,
    container: &Container,
    managed: &Managed<'_>,
    unit: &mut Unit,
) -> Result<(), Problems> {
    outside_env(fleet, instance, &container.env, unit)?;
    let bad: Problems = unit
        .node_env
        .keys()
        .chain(unit.sealed_env.keys())
        .filter(|name| !shell::is_variable(name))
        .map(|name| process::no_variable(name, instance))
        .collect();
    if !bad.is_empty() {
        return Err(bad);
    }
    let name = instance.service.to_string();
    let content = compose::file(&fleet.name, instance, container, managed);
    unit.artifacts.push(written(instance, compose::FILE, content)?);
    unit.validation = Validation::Staged;
    unit.claims.volumes = own_volumes(&instance.project, &container.volumes);
    let mut needs = managed.needs(&instance.directory, &container.volumes);
    needs.extend(container.devices.iter().filter_map(|device| device_path(device)));
    let singly = managed.mounted_singly(&instance.directory, &container.volumes);
    unit.runtime = Runtime::Compose {
        project: instance.project.clone(),
        files: vec![compose::FILE.to_owned()],
        services: vec![ComposeService {
            name: name.clone(),
            image: Some(container.image.clone()),
            once: container.restart == Restart::No,
        }],
        needs: needs.into_iter().collect(),
        recreate: if singly { vec![name] } else { Vec::new() },
    };
    Ok(())
}

/// The device on the node of `host[:container[:rwm]]`.
fn device_path(device: &str) -> Option<AbsPath> {
    AbsPath::new(device.split(':').next()?).ok()
}

fn own_volumes(project: &str, mounts: &[Mount]) -> BTreeSet<String> {
    let own = |mount: &Mount| match &mount.source {
        MountSource::Volume(name) => Some(format!("{project}_{name}")),
        _ => None,
    };
    mounts.iter().filter_map(own).collect()
}

fn bring(
    fleet: &Fleet,
    instance: &Instance,
    brought: &Brought,
    managed: &Managed<'_>,
    unit: &mut Unit,
) -> Result<(), Problems> {
    let file = delivered::content(fleet, &brought.path, &instance.source).map_err(|p| vec![p])?;
    unit.artifacts.push(written(instance, &brought.file, file.content.clone())?);
    let labels = compose::labels(&fleet.name, instance, brought, managed);
    unit.artifacts.push(written(instance, compose::OVERRIDE, labels)?);
    unit.validation = Validation::Staged;
    outside_env(fleet, instance, &brought.env, unit)?;
    // No file of the unit says these: compose gets them beside the file, as it gets secrets.
    let plain = SplitEnv::of(&brought.env).plain.into_iter();
    unit.sealed_env.extend(plain.map(|(key, text)| (key, Content::Bytes(text.into_bytes()))));
    brought_claims(brought, &mut unit.claims);
    let needs: BTreeSet<AbsPath> = brought
        .services
        .values()
        .flat_map(|service| managed.needs(&instance.directory, &service.mounts))
        .collect();
    unit.runtime = Runtime::Compose {
        project: instance.project.clone(),
        files: vec![brought.file.clone(), compose::OVERRIDE.to_owned()],
        services: brought_services(brought),
        needs: needs.into_iter().collect(),
        recreate: brought
            .services
            .iter()
            .filter(|(_, service)| managed.mounted_singly(&instance.directory, &service.mounts))
            .map(|(name, _)| name.clone())
            .collect(),
    };
    Ok(())
}

/// The services that `up` starts; those behind a profile are not among them.
fn brought_services(brought: &Brought) -> Vec<ComposeService> {
    let started = brought.services.iter().filter(|(_, service)| !service.profiled);
    let services = started.map(|(name, service)| ComposeService {
        name: name.clone(),
        image: service.image.clone(),
        once: service.once,
    });
    services.collect()
}

fn brought_claims(brought: &Brought, claims: &mut Claims) {
    let started = || brought.services.values().filter(|service| !service.profiled);
    claims.ports.extend(ports(started().flat_map(|service| &service.ports)));
    claims.names = started().filter_map(|service| service.container_name.clone()).collect();
    claims.volumes = brought.volumes.iter().cloned().collect();
}

fn written(instance: &Instance, name: &str, content: Vec<u8>) -> Result<Artifact, Problems> {
    let fail = |error: crate::model::PathError| -> Problems {
        vec![codes::in_file(codes::OUTSIDE, error.to_string(), &instance.source)]
    };
    let destination = instance.directory.join(name).map_err(fail)?;
    let content = Content::Bytes(content);
    Ok(Artifact { destination, mode: 0o644, owner: None, content, sensitive: false })
}
