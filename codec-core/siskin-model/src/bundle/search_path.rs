//! Where bundles are looked for.

use std::env;
use std::path::{Path, PathBuf};

use crate::places::{development_root, install_prefixes};

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
    // Before the system's, so that a user can put a newer bundle over a packaged one.
    folders.extend(user_folder());
    folders.extend(["/usr/local/share/siskin/bundles", "/usr/share/siskin/bundles"].map(PathBuf::from));
    let mut seen = std::collections::HashSet::new();
    // An installation in /usr appears twice.
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
