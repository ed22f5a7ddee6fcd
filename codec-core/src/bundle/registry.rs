//! Where bundles are looked for.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Manifest, folder, id_of};
use crate::bitstream::BundleId;
use crate::places::program_folders;
use crate::{Error, Result};

/// A bundle that is on the search path; its files have not been read yet.
#[derive(Debug, Clone)]
pub struct Installed {
    path: PathBuf,
    manifest: Arc<Manifest>,
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
        id_of(&self.manifest.hash())
    }
}

/// The folders that hold bundles, in the order in which they are searched: those of `SISKIN_BUNDLES` (separated as in
/// `PATH`), `share/siskin/bundles` beside the program's folder, `models/bundles` in the folders above the program and
/// above the working directory, `siskin/bundles` in the user's and the system's data folders. The folders of
/// [`search_near`](crate::search_near) count as the program's.
pub fn search_path() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        env::var_os("SISKIN_BUNDLES").map(|v| env::split_paths(&v).collect()).unwrap_or_default();
    let program = program_folders();
    folders.extend(program.iter().filter_map(|p| p.parent()).map(|p| p.join("share/siskin/bundles")));
    for start in program.into_iter().chain(env::current_dir()) {
        folders.extend(start.ancestors().map(|p| p.join("models/bundles")).filter(|p| p.is_dir()));
    }
    folders.extend(user_folder());
    folders.extend(["/usr/local/share/siskin/bundles", "/usr/share/siskin/bundles"].map(PathBuf::from));
    let mut seen = std::collections::HashSet::new();
    folders.retain(|f| seen.insert(f.clone()));
    folders
}

/// The folder of the user's own bundles: `siskin/bundles` in `XDG_DATA_HOME`, else in `.local/share` of `HOME`.
pub fn user_folder() -> Option<PathBuf> {
    let home = env::var_os("HOME").map(|h| Path::new(&h).join(".local/share"));
    env::var_os("XDG_DATA_HOME").map(PathBuf::from).or(home).map(|p| p.join("siskin/bundles"))
}

/// The bundles on the search path whose manifests can be read; of two with one name the first found.
pub fn installed() -> Vec<Installed> {
    let found = folder::installed::<Manifest>().into_iter();
    found.map(|(path, manifest)| Installed { path, manifest: Arc::new(manifest) }).collect()
}

/// The folder of the bundle called `name_or_path`.
pub(super) fn find(name_or_path: &str) -> Result<PathBuf> {
    let as_path = Path::new(name_or_path);
    if as_path.join("manifest.json").is_file() {
        return Ok(as_path.to_owned());
    }
    let folders = search_path();
    let is_name = as_path.components().count() == 1 && !name_or_path.starts_with('.');
    folders
        .iter()
        .map(|f| f.join(name_or_path))
        .find(|p| is_name && p.join("manifest.json").is_file())
        .ok_or_else(|| Error::BundleNotFound {
            name: name_or_path.to_owned(),
            searched: folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", "),
        })
}
