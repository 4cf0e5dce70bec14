//! Archives for `docker load`: images with their tags, each layer and each configuration once.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use serde_json::{Value, json};
use tar::Builder;

use super::layer::{self, add_file};
use super::{Image, ImageError};

/// Images as `docker load` takes them, each named `name:tag`.
pub fn archive(images: &[(&str, &Image)]) -> Result<Vec<u8>, ImageError> {
    write_archive(Vec::new(), images)
}

/// The same to a writer, which is given back.
pub fn write_archive<W: Write>(writer: W, images: &[(&str, &Image)]) -> Result<W, ImageError> {
    let mut tar = Builder::new(writer);
    let mut written = BTreeSet::new();
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    for (reference, image) in images {
        let entry = entries.entry(image.id()).or_default();
        entry.tags.push((*reference).to_owned());
        entry.layers = image.layers().iter().map(|layer| layer_name(layer.digest())).collect();
        for layer in image.layers() {
            if written.insert(layer.digest()) {
                add_file(&mut tar, &layer_name(layer.digest()), 0o644, layer.bytes())?;
            }
        }
        if entry.tags.len() == 1 {
            let config = image.config();
            add_file(&mut tar, &config_name(&layer::digest(&config)), 0o644, &config)?;
        }
    }
    add_file(&mut tar, "manifest.json", 0o644, listing(&entries).to_string().as_bytes())?;
    Ok(tar.into_inner()?)
}

/// What the list of an archive says of one image.
#[derive(Default)]
struct Entry {
    tags: Vec<String>,
    layers: Vec<String>,
}

fn listing(entries: &BTreeMap<String, Entry>) -> Value {
    let listed = entries.iter().map(|(id, entry)| {
        json!({ "Config": config_name(id), "RepoTags": entry.tags, "Layers": entry.layers })
    });
    Value::Array(listed.collect())
}

fn config_name(id: &str) -> String {
    format!("{}.json", hex(id))
}

fn layer_name(digest: &str) -> String {
    format!("{}.tar", hex(digest))
}

fn hex(digest: &str) -> &str {
    digest.trim_start_matches("sha256:")
}
