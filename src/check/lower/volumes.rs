//! `volumes` into mounts.

use super::context::Cx;
use super::layers::Origin;
use crate::check::document::codes;
use crate::check::document::kinds::{VolumeDoc, VolumeFull};
use crate::model::{AbsPath, Mount, MountSource};

impl Cx<'_> {
    /// The mounts of a container.
    pub fn volumes(&mut self, written: Option<&Vec<VolumeDoc>>, origin: &Origin) -> Vec<Mount> {
        let all = written.into_iter().flatten().enumerate();
        let mounts = all.filter_map(|(at, volume)| {
            let mount = match volume {
                VolumeDoc::Short(text) => short(&text.0),
                VolumeDoc::Full(full) => self.full(full, origin, at)?,
            };
            match mount {
                Ok(mount) => Some(mount),
                Err(message) => {
                    let place = self.at(origin, &format!("/volumes/{at}"));
                    self.error(codes::BAD_PATH, message, place);
                    None
                }
            }
        });
        mounts.collect()
    }

    /// A volume in full; none, and told, when it does not name exactly one source.
    fn full(
        &mut self,
        full: &VolumeFull,
        origin: &Origin,
        at: usize,
    ) -> Option<Result<Mount, String>> {
        let sources = [
            full.volume.as_ref().map(|name| MountSource::Volume(name.0.clone())),
            full.external.as_ref().map(|name| MountSource::External(name.0.clone())),
            full.path.as_ref().map(|path| MountSource::Path(path.0.clone())),
            full.folder.as_ref().map(|path| MountSource::Directory(path.0.clone())),
            (full.tmpfs == Some(true)).then_some(MountSource::Tmpfs),
        ];
        let mut given = sources.into_iter().flatten();
        let (Some(source), None) = (given.next(), given.next()) else {
            let place = self.at(origin, &format!("/volumes/{at}"));
            let message = "write exactly one of `volume`, `external`, `path`, `folder` and `tmpfs`";
            self.error(codes::CONFLICT, message, place);
            return None;
        };
        let read_only = full.read_only.unwrap_or(false);
        Some(Ok(Mount { source, target: full.target.0.clone(), read_only }))
    }
}

fn short(text: &str) -> Result<Mount, String> {
    let mut parts = text.split(':');
    let source = parts.next().unwrap_or_default();
    let target = AbsPath::new(parts.next().unwrap_or_default()).map_err(|e| e.to_string())?;
    let read_only = parts.next() == Some("ro");
    let source = if source.starts_with('/') {
        MountSource::Path(AbsPath::new(source).map_err(|error| error.to_string())?)
    } else if let Some(folder) = source.strip_prefix("./") {
        AbsPath::new(format!("/{folder}")).map_err(|_| leads_out(source))?;
        MountSource::Directory(folder.to_owned())
    } else if source == "." {
        MountSource::Directory(String::new())
    } else {
        MountSource::Volume(source.to_owned())
    };
    Ok(Mount { source, target, read_only })
}

fn leads_out(source: &str) -> String {
    format!(
        "`{source}` must stay below the service's directory: no `.`, `..`, `//` or `/` at the end"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_volumes_say_their_source_by_how_they_begin() {
        let source = |text: &str| short(text).map(|mount| mount.source);
        assert_eq!(source("config:/c"), Ok(MountSource::Volume("config".to_owned())));
        assert_eq!(source("./data/x:/c"), Ok(MountSource::Directory("data/x".to_owned())));
        assert_eq!(source(".:/c"), Ok(MountSource::Directory(String::new())));
        assert!(matches!(source("/srv:/c"), Ok(MountSource::Path(_))));
        assert!(short("x:/c:ro").unwrap().read_only);
        for bad in ["./../x:/c", "/a/../b:/c", "x:/c/../d", "./a/:/c"] {
            assert!(short(bad).is_err(), "{bad}");
        }
    }
}
