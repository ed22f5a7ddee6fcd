//! Folders from which bundles and ONNX Runtime are looked for.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

static NEAR: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Makes every later search for bundles and for ONNX Runtime also look beside and above `file`, as it does for the
/// program itself. A plugin calls it with its own path, since the program that loads it lies elsewhere.
pub fn search_near(file: &Path) {
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    if let Some(folder) = file.parent() {
        let mut near = NEAR.lock().unwrap_or_else(PoisonError::into_inner);
        if !near.iter().any(|known| known == folder) {
            near.push(folder.to_owned());
        }
    }
}

/// The program's folder and those of [`search_near`].
pub(crate) fn program_folders() -> Vec<PathBuf> {
    let program = env::current_exe().ok().and_then(|p| p.parent().map(Path::to_owned));
    let near = NEAR.lock().unwrap_or_else(PoisonError::into_inner);
    program.into_iter().chain(near.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_searched_near_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let bundles = folder.path().join("models/bundles");
        std::fs::create_dir_all(&bundles).expect("a folder");
        search_near(&folder.path().join("target/debug/plugin.so"));
        search_near(&folder.path().join("target/debug/plugin.so"));
        let added = folder.path().join("target/debug");
        assert_eq!(program_folders().iter().filter(|f| **f == added).count(), 1);
        assert!(crate::bundle::search_path().contains(&bundles));
    }
}
