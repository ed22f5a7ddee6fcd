//! Folders from which bundles and ONNX Runtime are loaded: `docs/model-bundle.md`, "Where bundles are found".
//!
//! The working directory is none of them, nor is a folder above the program: anyone may have written to those, and
//! what lies there is code (ONNX Runtime) or decides what is decoded (bundles).

use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

// Process-wide, because a plugin is loaded once and bundles are looked for from anywhere.
static NEAR: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// The variable that names a checkout of the project, for development.
const DEVELOPMENT: &str = "SISKIN_DEV_ROOT";

/// Makes every later search for bundles and for ONNX Runtime also look in the installation that `file` belongs to, as
/// it does for the program itself. A plugin calls it with its own path, since the program that loads it lies elsewhere.
///
/// An installation is what lies under one prefix: `file` is in `PREFIX/bin`, or in `gstreamer-1.0` below `PREFIX/lib`.
pub fn search_near(file: &Path) {
    // Through links: a plugin that is linked into another folder belongs to the installation that it lies in.
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    if let Some(prefix) = prefix_of(&file) {
        // A panic elsewhere cannot leave the list half changed: it is only pushed to.
        let mut near = NEAR.lock().unwrap_or_else(PoisonError::into_inner);
        if !near.contains(&prefix) {
            near.push(prefix);
        }
    }
}

/// The prefixes of the program and of the files given to [`search_near`].
pub(crate) fn install_prefixes() -> Vec<PathBuf> {
    let program = env::current_exe().ok().and_then(|p| prefix_of(&p));
    let near = NEAR.lock().unwrap_or_else(PoisonError::into_inner);
    let mut prefixes: Vec<PathBuf> = program.into_iter().chain(near.iter().cloned()).collect();
    prefixes.dedup();
    prefixes
}

/// The checkout in which a developer works: only the variable says it, `./x` and cargo's configuration set it. A
/// relative path would mean the working directory and is ignored.
pub(crate) fn development_root() -> Option<PathBuf> {
    env::var_os(DEVELOPMENT).map(PathBuf::from).filter(|p| p.is_absolute())
}

/// The prefix under which `file` is installed, none if it lies in no folder that an installation has.
fn prefix_of(file: &Path) -> Option<PathBuf> {
    let folder = file.parent()?;
    let prefix = match folder.file_name()?.to_str()? {
        "bin" => folder.parent()?,
        // `lib/gstreamer-1.0`, or with the machine's name between: `lib/x86_64-linux-gnu/gstreamer-1.0`.
        "gstreamer-1.0" => {
            let is_lib = |p: &&Path| p.file_name().is_some_and(|n| n == "lib" || n == "lib64");
            folder.ancestors().skip(1).take(2).find(is_lib)?.parent()?
        }
        _ => return None,
    };
    prefix.is_absolute().then(|| prefix.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_searched_near_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let prefix = folder.path().canonicalize().expect("a real path");
        let plugins = prefix.join("lib/x86_64-linux-gnu/gstreamer-1.0");
        std::fs::create_dir_all(&plugins).expect("a folder");
        search_near(&plugins.join("libgstsiskin.so"));
        search_near(&plugins.join("libgstsiskin.so"));
        assert_eq!(install_prefixes().iter().filter(|p| **p == prefix).count(), 1);
        assert!(crate::bundle::search_path().contains(&prefix.join("share/siskin/bundles")));
    }

    #[test]
    fn only_folders_of_installations_have_a_prefix() {
        let prefix = |file: &str| prefix_of(Path::new(file)).map(|p| p.display().to_string());
        assert_eq!(prefix("/opt/siskin/bin/siskin").as_deref(), Some("/opt/siskin"));
        assert_eq!(prefix("/usr/lib/gstreamer-1.0/libgstsiskin.so").as_deref(), Some("/usr"));
        assert_eq!(prefix("/usr/lib64/gstreamer-1.0/libgstsiskin.so").as_deref(), Some("/usr"));
        for elsewhere in
            ["/tmp/siskin", "/tmp/x/y/z/gstreamer-1.0/p.so", "bin/siskin", "/home/u/target/debug/siskin"]
        {
            assert_eq!(prefix(elsewhere), None, "{elsewhere}");
        }
    }
}
