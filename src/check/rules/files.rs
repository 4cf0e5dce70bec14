//! Files on nodes: inside their bounds, owned by one unit, and out of reach of whatever else writes.

use std::collections::BTreeMap;

use super::codes;
use super::conflict::{Machine, Taken, Telling, machine, repeated, tell};
use super::find::{Find, Origin};
use crate::diagnostic::{Diagnostic, Place};
use crate::model::{
    AbsPath, Delivered, Direction, Fleet, Form, Gateway, Instance, Mount, MountSource, Name, Sync,
    UnitId, UnitKind,
};

/// Directories that the kernel or the boot fills: nothing in them outlives a reboot as it was written.
const NOT_FILES: [&str; 4] = ["/dev", "/proc", "/run", "/sys"];

/// A managed file.
struct File<'f> {
    destination: AbsPath,
    unit: UnitId,
    origin: Origin<'f>,
}

/// The files of the fleet, as far as they are known before anything is rendered.
fn files(fleet: &Fleet) -> Vec<File<'_>> {
    let instances = fleet.instances.iter().flat_map(instance_files);
    let bundles = fleet.bundles.iter().flat_map(|bundle| {
        bundle.files.iter().map(|file| File {
            destination: file.destination.clone(),
            unit: bundle.id.clone(),
            origin: Origin::File(&bundle.source, "/to/path".to_owned()),
        })
    });
    let mut here: BTreeMap<&Name, usize> = BTreeMap::new();
    for node in fleet.gateways.values().flat_map(|gateway| &gateway.on) {
        *here.entry(node).or_default() += 1;
    }
    let gateways = fleet.gateways.values();
    let gateways = gateways.flat_map(|gateway| gateway_files(fleet, gateway, &here));
    instances.chain(bundles).chain(gateways).chain(sync_files(fleet)).collect()
}

fn instance_files(instance: &Instance) -> Vec<File<'_>> {
    let file = |destination: AbsPath| File {
        destination,
        unit: instance.id.clone(),
        origin: Origin::Service(instance, "/directory".to_owned()),
    };
    let compose = match &instance.form {
        Form::Image(_) => Some("compose.yaml"),
        Form::Compose(brought) => Some(brought.file.as_str()),
        Form::Process(_) => None,
    };
    let compose = compose.and_then(|name| instance.directory.join(name).ok());
    let delivered = instance.files.iter().map(|file| file.destination.clone());
    let mut all: Vec<AbsPath> = compose.into_iter().chain(delivered).collect();
    all.sort();
    all.dedup();
    all.into_iter().map(file).collect()
}

/// A gateway's file; `here` counts the gateways of each node, as only one can have the distribution's directory.
fn gateway_files<'f>(
    fleet: &'f Fleet,
    gateway: &'f Gateway,
    here: &BTreeMap<&Name, usize>,
) -> Vec<File<'f>> {
    let file = |node: &Name| {
        let folder = if here.get(node).is_some_and(|here| *here > 1) {
            format!("caddy-{}", gateway.name)
        } else {
            "caddy".to_owned()
        };
        let directory = fleet.nodes.get(node)?.paths.gateways.join(&folder).ok()?;
        Some(File {
            destination: directory.join("Caddyfile").ok()?,
            unit: UnitId::new(node, UnitKind::Gateway, &gateway.name),
            origin: Origin::Gateway(gateway, "/on"),
        })
    };
    gateway.on.iter().filter_map(file).collect()
}

fn sync_files<'f>(fleet: &'f Fleet) -> Vec<File<'f>> {
    let mut first: BTreeMap<&Name, &'f Sync> = BTreeMap::new();
    for sync in fleet.syncs.values() {
        let senders: Vec<&Name> = match &sync.direction {
            Direction::Between(nodes) => nodes.iter().collect(),
            Direction::OneWay { from, .. } => vec![from],
        };
        for node in senders {
            first.entry(node).or_insert(sync);
        }
    }
    let file = |(node, sync): (&Name, &'f Sync)| {
        let directory = fleet.nodes.get(node)?.paths.syncs.join("lsyncd").ok()?;
        let destination = directory.join("lsyncd.conf.lua").ok()?;
        let origin = Origin::File(&sync.source, "/path".to_owned());
        Some(File { destination, unit: UnitId::sync(node), origin })
    };
    first.into_iter().filter_map(file).collect()
}

/// A file would land where no unit may write.
pub(super) fn out_of_bounds(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let mut told: BTreeMap<(Place, String), Diagnostic> = BTreeMap::new();
    let mut tell = |place: Place, path: &AbsPath, why: String| {
        told.entry((place.clone(), why.clone())).or_insert_with(|| {
            let message = format!("`{path}` is out of bounds");
            Diagnostic::error(codes::OUT_OF_BOUNDS, message, place).says(why)
        });
    };
    for file in files(fleet) {
        if let Some(why) = forbidden(fleet, &file.unit.node, &file.destination) {
            tell(find.place(&file.origin), &file.destination, why);
        }
    }
    for instance in &fleet.instances {
        let escaped = |file: &&Delivered| !file.destination.is_within(&instance.directory);
        for file in instance.files.iter().filter(escaped) {
            let why = format!("outside of the service's directory `{}`", instance.directory);
            tell(find.form(instance), &file.destination, why);
        }
    }
    for sync in fleet.syncs.values() {
        let nodes = members(&sync.direction);
        let why = nodes.into_iter().find_map(|node| synced_root(fleet, node, &sync.path));
        if let Some(why) = why {
            tell(find.sync(sync, "/path"), &sync.path, why);
        }
    }
    told.into_values().collect()
}

fn members(direction: &Direction) -> Vec<&Name> {
    match direction {
        Direction::Between(nodes) => nodes.iter().collect(),
        Direction::OneWay { from, to } => std::iter::once(from).chain(to).collect(),
    }
}

fn forbidden(fleet: &Fleet, node: &Name, path: &AbsPath) -> Option<String> {
    let root = &fleet.nodes.get(node)?.root;
    if path.is_within(root) {
        return Some(format!("`{root}` is gitsync's own directory on `{node}`"));
    }
    let base = NOT_FILES.iter().find(|base| AbsPath::new(**base).is_ok_and(|b| path.is_within(&b)));
    base.map(|base| format!("nothing below `{base}` outlives a reboot"))
}

/// A sync may neither lie in gitsync's own directory nor carry it to another node.
fn synced_root(fleet: &Fleet, node: &Name, path: &AbsPath) -> Option<String> {
    let root = &fleet.nodes.get(node)?.root;
    if root.is_within(path) {
        return Some(format!("gitsync's own directory `{root}` on `{node}` lies in it"));
    }
    forbidden(fleet, node, path)
}

/// Who else writes below a directory of a node.
struct Writer<'f> {
    who: String,
    hint: &'static str,
    origin: Origin<'f>,
}

/// Writers by node and directory.
type Writers<'f> = BTreeMap<&'f Name, BTreeMap<AbsPath, Writer<'f>>>;

/// A managed file lies where something else writes.
pub(super) fn under_writable(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let writers = writers(fleet);
    let mut told: BTreeMap<(Place, Place), Diagnostic> = BTreeMap::new();
    for file in files(fleet) {
        let Some((directory, writer)) = writer_above(&writers, &file) else { continue };
        let key = (find.place(&writer.origin), find.place(&file.origin));
        told.entry(key.clone()).or_insert_with(|| {
            let (place, other) = key;
            let message =
                format!("{} writes below `{directory}`, where a managed file lies", writer.who);
            Diagnostic::error(codes::UNDER_WRITABLE, message, place)
                .says(format!("`{}` could be changed or replaced from here", file.destination))
                .also(other, format!("`{}` brings that file", file.unit.local()))
                .hint(writer.hint)
        });
    }
    told.into_values().collect()
}

fn writer_above<'w, 'f>(
    writers: &'w Writers<'f>,
    file: &File<'f>,
) -> Option<(AbsPath, &'w Writer<'f>)> {
    let here = writers.get(&file.unit.node)?;
    let mut directory = file.destination.parent();
    loop {
        if let Some(writer) = here.get(&directory) {
            return Some((directory, writer));
        }
        let parent = directory.parent();
        if parent == directory {
            return None;
        }
        directory = parent;
    }
}

fn writers(fleet: &Fleet) -> Writers<'_> {
    let mut writers = Writers::new();
    for instance in &fleet.instances {
        for (directory, origin) in writable(instance) {
            let who = format!("a container of `{}`", instance.id.local());
            let here = writers.entry(&instance.id.node).or_default();
            let hint = "mount it read-only (`:ro`), or mount a folder that holds data alone";
            here.entry(directory).or_insert(Writer { who, hint, origin });
        }
    }
    for sync in fleet.syncs.values() {
        let receivers: Vec<&Name> = match &sync.direction {
            Direction::Between(nodes) => nodes.iter().collect(),
            Direction::OneWay { to, .. } => to.iter().collect(),
        };
        for node in receivers {
            let origin = Origin::File(&sync.source, "/path".to_owned());
            let who = format!("the sync `{}`", sync.name);
            let here = writers.entry(node).or_default();
            let hint = "keep folders that a sync carries apart from files that Git owns";
            here.entry(sync.path.clone()).or_insert(Writer { who, hint, origin });
        }
    }
    writers
}

fn writable(instance: &Instance) -> Vec<(AbsPath, Origin<'_>)> {
    let path = |mount: &Mount| match &mount.source {
        _ if mount.read_only => None,
        MountSource::Path(path) => Some(path.clone()),
        MountSource::Directory(below) if below.is_empty() => Some(instance.directory.clone()),
        MountSource::Directory(below) => instance.directory.join(below).ok(),
        MountSource::Volume(_) | MountSource::External(_) | MountSource::Tmpfs => None,
    };
    match &instance.form {
        Form::Image(container) => {
            let mounts = container.volumes.iter().enumerate();
            let origin = |index| Origin::Service(instance, format!("/volumes/{index}"));
            mounts.filter_map(|(index, mount)| Some((path(mount)?, origin(index)))).collect()
        }
        Form::Compose(brought) => {
            let services = brought.services.iter();
            let mounts = services
                .flat_map(|(name, service)| service.mounts.iter().map(move |mount| (name, mount)));
            let found = mounts.filter_map(|(name, mount)| {
                let target = mount.target.as_str();
                Some((path(mount)?, Origin::ComposeMount(instance, name, target)))
            });
            found.collect()
        }
        Form::Process(_) => Vec::new(),
    }
}

/// Two units of a machine own one file.
///
/// Units that share a whole directory are told as that alone.
pub(super) fn file_owned_twice(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let all = files(fleet).into_iter().map(|file| {
        let node = fleet.nodes.get_key_value(&file.unit.node).map(|(name, _)| name);
        let machine = node.map_or(Machine::Local, |name| machine(fleet, name));
        let what = format!("the file `{}`", file.destination);
        ((machine, file.destination), what, Taken { unit: file.unit, origin: file.origin })
    });
    let mut conflicts = repeated(all);
    conflicts.retain(|conflict| !same_directory(&conflict.first, &conflict.second));
    let hint = "let one of them bring the file, or put it into another directory";
    let mut found = tell(conflicts, &Telling { code: codes::FILE_OWNED_TWICE, hint }, find);
    let overwritten: BTreeMap<&str, Diagnostic> =
        fleet.instances.iter().filter_map(|instance| overwritten(instance, find)).collect();
    found.extend(overwritten.into_values());
    found
}

/// A file of a service's folder that has the name of one that gitsync writes there.
fn overwritten<'f>(instance: &'f Instance, find: &Find<'_>) -> Option<(&'f str, Diagnostic)> {
    let own = match &instance.form {
        Form::Image(_) => "compose.yaml",
        Form::Compose(_) => "gitsync.override.yaml",
        Form::Process(_) => return None,
    };
    let destination = instance.directory.join(own).ok()?;
    let file = instance.files.iter().find(|file| file.destination == destination)?;
    let message = format!("gitsync writes a `{own}` of its own for `{}`", instance.service);
    let place = find.at(&file.path, "");
    let diagnostic = Diagnostic::error(codes::FILE_OWNED_TWICE, message, place)
        .says("this file would be replaced by it")
        .hint("give it another name, or leave it out");
    Some((&file.path, diagnostic))
}

fn same_directory(first: &Taken<'_>, second: &Taken<'_>) -> bool {
    match (&first.origin, &second.origin) {
        (Origin::Service(first, _), Origin::Service(second, _)) => {
            first.directory == second.directory
        }
        _ => false,
    }
}
