//! What a registry holds: per name its tags, manifests and blobs.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::image::{CONFIG_TYPE, Image, LAYER_TYPE};

/// A manifest with its digest.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    pub(super) digest: String,
    pub(super) bytes: Arc<[u8]>,
}

/// A configuration or a layer.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    pub(super) media_type: &'static str,
    pub(super) bytes: Arc<[u8]>,
}

/// One name's images.
#[derive(Debug, Default)]
struct Repository {
    tags: BTreeMap<String, String>,
    manifests: BTreeMap<String, Arc<[u8]>>,
    blobs: BTreeMap<String, Blob>,
}

/// All images of a registry.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    repositories: BTreeMap<String, Repository>,
}

impl Shelf {
    pub(super) fn push(&mut self, name: &str, tag: &str, image: &Image) {
        let repository = self.repositories.entry(name.to_owned()).or_default();
        repository.tags.insert(tag.to_owned(), image.digest());
        repository.manifests.insert(image.digest(), image.manifest().into());
        let config = Blob { media_type: CONFIG_TYPE, bytes: image.config().into() };
        repository.blobs.insert(image.id(), config);
        for layer in image.layers() {
            let blob = Blob { media_type: LAYER_TYPE, bytes: Arc::clone(layer.bytes()) };
            repository.blobs.insert(layer.digest().to_owned(), blob);
        }
    }

    pub(super) fn remove_tag(&mut self, name: &str, tag: &str) -> bool {
        let repository = self.repositories.get_mut(name);
        repository.is_some_and(|repository| repository.tags.remove(tag).is_some())
    }

    /// A manifest by tag or by digest.
    pub(super) fn manifest(&self, name: &str, reference: &str) -> Option<Manifest> {
        let repository = self.repositories.get(name)?;
        let digest = repository.tags.get(reference).map_or(reference, String::as_str);
        let bytes = Arc::clone(repository.manifests.get(digest)?);
        Some(Manifest { digest: digest.to_owned(), bytes })
    }

    pub(super) fn blob(&self, name: &str, digest: &str) -> Option<Blob> {
        self.repositories.get(name)?.blobs.get(digest).cloned()
    }

    pub(super) fn tags(&self, name: &str) -> Option<Vec<String>> {
        Some(self.repositories.get(name)?.tags.keys().cloned().collect())
    }
}
