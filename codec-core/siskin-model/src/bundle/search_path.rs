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
    folders.extend(data_folders("bundles", "models/bundles"));
    let mut seen = std::collections::HashSet::new();
    // An installation in /usr appears twice.
    folders.retain(|f| seen.insert(f.clone()));
    folders
}

/// The folders that may hold the web player, in the order in which they are searched: `web/player` of the checkout that
/// `SISKIN_DEV_ROOT` names, then `siskin/player` where [`search_path`] has `siskin/bundles`. What lies there is code that goes into
/// pages, so the working directory is never searched.
pub fn player_folders() -> Vec<PathBuf> {
    data_folders("player", "web/player")
}

/// The folders of one kind of data: `in_checkout` during development, then `share/siskin/KIND` of installations, of the user and of
/// the system.
fn data_folders(kind: &str, in_checkout: &str) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        development_root().map(|root| root.join(in_checkout)).into_iter().collect();
    folders.extend(install_prefixes().into_iter().map(|p| p.join("share/siskin").join(kind)));
    // Before the system's, so that a user can put a newer bundle over a packaged one.
    folders.extend(user_data().map(|data| data.join(kind)));
    folders.extend(["/usr/local/share/siskin", "/usr/share/siskin"].map(|share| Path::new(share).join(kind)));
    folders
}

/// The folder of the user's own bundles: `siskin/bundles` in `XDG_DATA_HOME`, else in `.local/share` of `HOME`; none if
/// neither is an absolute path.
pub fn user_folder() -> Option<PathBuf> {
    user_data().map(|data| data.join("bundles"))
}

/// `siskin` in the user's data folder.
fn user_data() -> Option<PathBuf> {
    let home = env::var_os("HOME").map(|h| Path::new(&h).join(".local/share"));
    // The XDG base directory specification has relative paths ignored.
    let data = env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    data.or(home).filter(|p| p.is_absolute()).map(|p| p.join("siskin"))
}
