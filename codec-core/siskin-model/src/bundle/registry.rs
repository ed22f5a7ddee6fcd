//! Where bundles are looked for.

use std::env;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::{Manifest, folder, id_of};
use crate::places::{development_root, install_prefixes};
use crate::{Error, Result};
use siskin_bitstream::BundleId;

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
/// `PATH`), `models/bundles` of the checkout that `SISKIN_DEV_ROOT` names, `share/siskin/bundles` in the installation of
/// the program and of the files given to [`search_near`](crate::search_near), `siskin/bundles` in the user's data
/// folder, then in `/usr/local/share` and `/usr/share`. The working directory is never searched.
pub fn search_path() -> Vec<PathBuf> {
    // An empty entry, as a colon too many leaves it, would be the working directory.
    let own =
        env::var_os("SISKIN_BUNDLES").map(|v| env::split_paths(&v).collect::<Vec<_>>()).unwrap_or_default();
    let mut folders: Vec<PathBuf> = own.into_iter().filter(|p| !p.as_os_str().is_empty()).collect();
    folders.extend(development_root().map(|root| root.join("models/bundles")));
    folders.extend(install_prefixes().into_iter().map(|p| p.join("share/siskin/bundles")));
    folders.extend(user_folder());
    folders.extend(["/usr/local/share/siskin/bundles", "/usr/share/siskin/bundles"].map(PathBuf::from));
    let mut seen = std::collections::HashSet::new();
    folders.retain(|f| seen.insert(f.clone()));
    folders
}

/// The folder of the user's own bundles: `siskin/bundles` in `XDG_DATA_HOME`, else in `.local/share` of `HOME`; none if
/// neither is an absolute path.
pub fn user_folder() -> Option<PathBuf> {
    let home = env::var_os("HOME").map(|h| Path::new(&h).join(".local/share"));
    // The XDG base directory specification has relative paths ignored.
    let data = env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    data.or(home).filter(|p| p.is_absolute()).map(|p| p.join("siskin/bundles"))
}

/// The bundles on the search path whose manifests can be read; of two with one name the first found.
pub fn installed() -> Vec<Installed> {
    let found = folder::find_installed::<Manifest>().into_iter();
    found.map(|(path, manifest)| Installed { path, manifest: Arc::new(manifest) }).collect()
}

/// The folder of the bundle called `name_or_path`. A bare name is looked for on the search path only: a folder of that
/// name in the working directory must be given as a path, `./NAME`.
pub(super) fn find_folder(name_or_path: &str) -> Result<PathBuf> {
    let as_path = Path::new(name_or_path);
    let mut parts = as_path.components();
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
