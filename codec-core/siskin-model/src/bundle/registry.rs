//! Bundles by name.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::folder;
use super::manifest::Manifest;
use super::search_path::search_path;
use crate::{Error, Result};
use siskin_bitstream::BundleId;

/// A bundle that is on the search path; its files have not been read yet.
#[derive(Debug, Clone)]
pub struct Installed {
    path: PathBuf,
    manifest: Arc<Manifest>,
    id: BundleId,
}

impl Installed {
    /// The bundle's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bundle's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The id that streams carry.
    pub fn id(&self) -> BundleId {
        self.id
    }
}

/// The bundles on the search path whose manifests can be read; of two with one name the first found.
pub fn installed() -> Vec<Installed> {
    let found = folder::find_installed::<Manifest>().into_iter();
    found
        .filter_map(|(path, m)| m.stream_id().map(|id| Installed { path, manifest: Arc::new(m), id }))
        .collect()
}

/// The folder of the bundle called `name_or_path`. A bare name is looked for on the search path only: a folder of that
/// name in the working directory must be given as a path, `./NAME`.
pub(super) fn find_folder(name_or_path: &str) -> Result<PathBuf> {
    let as_path = Path::new(name_or_path);
    let mut parts = as_path.components();
    // A trailing separator makes a path too, which `components` would drop.
    let is_name = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
        && !name_or_path.contains(std::path::is_separator);
    if !is_name && as_path.join("manifest.json").is_file() {
        return Ok(as_path.to_owned());
    }
    let folders = search_path();
    folders
        .iter()
        .map(|f| f.join(name_or_path))
        .find(|p| is_name && p.join("manifest.json").is_file())
        .ok_or_else(|| Error::BundleNotFound {
            name: name_or_path.to_owned(),
            searched: folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", "),
        })
}

/// The folder of the bundle with this id among those `installed`, each with its name; `needed_name` is what the stream calls it.
///
/// # Errors
/// [`Error::WrongBundle`] with the bundles found instead.
pub(super) fn find_by_id(
    id: BundleId,
    needed_name: &str,
    installed: impl Iterator<Item = (PathBuf, String, BundleId)>,
) -> Result<PathBuf> {
    let mut others = Vec::new();
    for (path, name, found) in installed {
        // By id from the manifests alone, whatever the bundle is called: to hash the files would be to read all weights on the
        // machine at each start.
        if found == id {
            return Ok(path);
        }
        others.push(format!("{name} ({found})"));
    }
    Err(Error::WrongBundle {
        needed_name: needed_name.to_owned(),
        needed_id: id.to_string(),
        found: if others.is_empty() { "none".into() } else { others.join(", ") },
    })
}
