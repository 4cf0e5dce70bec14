//! What is doubtful about a service: an image without a version, data that nothing keeps in step.

use std::collections::{BTreeMap, BTreeSet};

use super::codes;
use super::find::{Find, Origin};
use crate::check::document::escape;
use crate::diagnostic::Diagnostic;
use crate::model::{
    AbsPath, Direction, Fleet, Form, Instance, Mount, MountSource, Moves, Name, Role, Sync,
};

/// An image without a version.
pub(super) fn no_version(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let mut told = BTreeMap::new();
    for instance in &fleet.instances {
        for (image, origin) in images(instance) {
            let Some(said) = unversioned(image) else { continue };
            let place = find.place(&origin);
            told.entry(place.clone()).or_insert_with(|| {
                let message = format!("the image `{image}` has no version");
                Diagnostic::warning(codes::NO_VERSION, message, place).says(said).hint(
                    "name a version: what runs is then what was reviewed, and there is a way back",
                )
            });
        }
    }
    told.into_values().collect()
}

fn images(instance: &Instance) -> Vec<(&str, Origin<'_>)> {
    match &instance.form {
        Form::Image(container) => {
            let origin = Origin::Service(instance, "/image".to_owned());
            vec![(container.image.as_str(), origin)]
        }
        Form::Compose(brought) => {
            let services = brought.services.iter().filter(|(_, service)| !service.profiled);
            let image = services.filter_map(|(name, service)| {
                let pointer = format!("/services/{}/image", escape(name));
                Some((service.image.as_deref()?, Origin::Compose(instance, pointer)))
            });
            image.collect()
        }
        Form::Process(_) => Vec::new(),
    }
}

/// Why an image reference can mean another image tomorrow; a digest never does.
fn unversioned(image: &str) -> Option<&'static str> {
    if image.contains('@') {
        return None;
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    match last.split_once(':') {
        None => Some("without a tag this means `latest`"),
        Some((_, "latest")) => Some("`latest` is another image whenever one is published"),
        Some(_) => None,
    }
}

/// A primary and its fallback have data of their own that nothing keeps in step.
pub(super) fn pair_without_sync(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let mut told = BTreeMap::new();
    for (instance, nodes) in pairs(fleet) {
        let alone = data(instance).into_iter().find(|data| {
            let carried = |sync: &Sync| carries(sync, data, &nodes);
            !fleet.syncs.values().any(carried)
        });
        let Some(data) = alone else { continue };
        told.entry(&instance.source).or_insert_with(|| {
            let message =
                format!("nothing keeps the data of `{}` in step on its nodes", instance.service);
            let place = find.place(&data.origin);
            Diagnostic::warning(codes::PAIR_WITHOUT_SYNC, message, place)
                .says("the primary and the fallback have one each")
                .hint("add a sync of a folder between them, or keep the data outside of both")
        });
    }
    told.into_values().collect()
}

/// The instances of one service and environment: the primary, and everyone's nodes.
#[derive(Default)]
struct Pair<'f> {
    primary: Option<&'f Instance>,
    nodes: BTreeSet<&'f Name>,
}

/// The primary instance of each pair, with the nodes of all its instances.
fn pairs(fleet: &Fleet) -> Vec<(&Instance, BTreeSet<&Name>)> {
    let mut pairs: BTreeMap<(&Name, &Name), Pair<'_>> = BTreeMap::new();
    for instance in fleet.instances.iter().filter(|instance| instance.role != Role::Member) {
        let pair = pairs.entry((&instance.service, &instance.environment)).or_default();
        if instance.role == Role::Primary {
            pair.primary = Some(instance);
        }
        pair.nodes.insert(&instance.id.node);
    }
    let whole = pairs.into_values().filter(|pair| pair.nodes.len() > 1);
    whole.filter_map(|pair| Some((pair.primary?, pair.nodes))).collect()
}

/// Data of an instance on its node.
struct Data<'f> {
    /// Its folder; none for a volume that the engine keeps.
    folder: Option<AbsPath>,
    origin: Origin<'f>,
}

fn data(instance: &Instance) -> Vec<Data<'_>> {
    match &instance.form {
        Form::Image(container) => {
            let mounts = container.volumes.iter().enumerate();
            let origin = |index: usize| Origin::Service(instance, format!("/volumes/{index}"));
            mounts.filter_map(|(index, mount)| mounted(instance, mount, origin(index))).collect()
        }
        Form::Compose(brought) => {
            let services = brought.services.iter().filter(|(_, service)| !service.profiled);
            let mounts = services
                .flat_map(|(name, service)| service.mounts.iter().map(move |mount| (name, mount)));
            let data = mounts.filter_map(|(name, mount)| {
                let target = mount.target.as_str();
                mounted(instance, mount, Origin::ComposeMount(instance, name, target))
            });
            data.collect()
        }
        Form::Process(_) => Vec::new(),
    }
}

/// Sockets and devices of the node are not data, though they are mounted like it.
const NOT_DATA: [&str; 5] = ["/dev", "/etc", "/proc", "/run", "/sys"];

fn mounted<'f>(instance: &Instance, mount: &Mount, origin: Origin<'f>) -> Option<Data<'f>> {
    if mount.read_only {
        return None;
    }
    let folder = match &mount.source {
        MountSource::Volume(_) => None,
        MountSource::Path(path) => {
            let system = |base: &&str| AbsPath::new(*base).is_ok_and(|base| path.is_within(&base));
            if NOT_DATA.iter().any(system) || path.as_str() == "/var/run/docker.sock" {
                return None;
            }
            Some(path.clone())
        }
        MountSource::Directory(below) if below.is_empty() => Some(instance.directory.clone()),
        MountSource::Directory(below) => Some(instance.directory.join(below).ok()?),
        MountSource::External(_) | MountSource::Tmpfs => return None,
    };
    Some(Data { folder, origin })
}

/// Whether a sync brings a folder to all of these nodes.
fn carries(sync: &Sync, data: &Data<'_>, nodes: &BTreeSet<&Name>) -> bool {
    let Some(folder) = &data.folder else { return false };
    let member = |node: &Name| match &sync.direction {
        Direction::Between(all) => all.contains(node),
        Direction::OneWay { from, to } => from == node || to.contains(node),
    };
    (folder.is_within(&sync.path) || sync.path.is_within(folder)) && nodes.iter().all(|n| member(n))
}

/// A service says that its data is carried by a sync, and there is none.
pub(super) fn moves_without_sync(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let mut told = BTreeMap::new();
    for instance in fleet.instances.iter().filter(|it| it.moves == Some(Moves::Synced)) {
        let here = BTreeSet::from([&instance.id.node]);
        let carried = |data: &Data<'_>| fleet.syncs.values().any(|sync| carries(sync, data, &here));
        if data(instance).iter().all(carried) {
            continue;
        }
        told.entry(&instance.source).or_insert_with(|| {
            let (place, _) = find.service(instance, "/moves");
            let message = format!("no sync carries the data of `{}`", instance.service);
            Diagnostic::warning(codes::MOVES_WITHOUT_SYNC, message, place)
                .says("so it would be left behind on a move")
                .hint(
                    "add a sync of its folders, or write `moves: empty` if they may be left behind",
                )
        });
    }
    told.into_values().collect()
}
