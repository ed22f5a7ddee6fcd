//! Finding and loading ONNX Runtime's shared library.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ort::environment::Environment;

use crate::places::{development_root, install_prefixes};
use crate::{Error, Result};

const FILE: &str = "libonnxruntime.so";

static PREFERRED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Makes ONNX Runtime be loaded from this file unless `ORT_DYLIB_PATH` names another; too late once it is loaded.
pub fn prefer_library(file: &Path) {
    *PREFERRED.lock().unwrap_or_else(PoisonError::into_inner) = Some(file.to_owned());
}

/// ONNX Runtime has one environment per process, and its library is never unloaded.
static ENVIRONMENT: OnceLock<std::result::Result<Environment, LoadError>> = OnceLock::new();

/// Whether the library has been loaded.
pub(super) fn is_loaded() -> bool {
    ENVIRONMENT.get().is_some_and(|loaded| loaded.is_ok())
}

/// The process's only environment; a failure is kept too, so that it reads the same each time.
pub(super) fn shared_environment() -> Result<&'static Environment> {
    ENVIRONMENT.get_or_init(load_environment).as_ref().map_err(|LoadError { reason, source }| {
        Error::RuntimeLibrary { reason: reason.clone(), source: Some(Box::new(source.clone())) }
    })
}

/// Why the library cannot be loaded.
struct LoadError {
    reason: String,
    source: Arc<dyn std::error::Error + Send + Sync>,
}

fn load_environment() -> std::result::Result<Environment, LoadError> {
    // A user's own library wins, and if it does not load nothing else is tried in its place.
    let own = env::var_os("ORT_DYLIB_PATH").filter(|v| !v.is_empty()).map(PathBuf::from);
    let own = own.or_else(|| PREFERRED.lock().unwrap_or_else(PoisonError::into_inner).clone());
    // The bare name leaves the search to the system's loader, which does not look in the working directory.
    let path =
        own.or_else(|| library_candidates().into_iter().find(|p| p.is_file())).unwrap_or_else(|| FILE.into());
    let builder = ort::init_from(&path).map_err(|e| {
        let searched = library_candidates().iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ");
        let reason = format!(
            "{}. Set ORT_DYLIB_PATH to {FILE} (version 1.24 or later), or install it with ./x install; searched: \
             {searched}",
            path.display()
        );
        LoadError { reason, source: Arc::new(e) }
    })?;
    // On by default: counts of runs, names of graphs and error messages would be recorded in the user's home and sent.
    let built = builder.with_name("siskin").with_telemetry(false).build();
    built.map_err(|e| LoadError { reason: path.display().to_string(), source: Arc::new(e) })
}

/// The files to try, in order: a developer's checkout, the program's and the plugin's installation, the system's.
fn library_candidates() -> Vec<PathBuf> {
    let development = development_root().map(|root| root.join(".siskin/ort").join(FILE));
    // `lib/siskin` first: a build that came with the program is the one that it was tested with.
    let prefixes = install_prefixes().into_iter().chain(["/usr/local", "/usr"].map(PathBuf::from));
    let installed = prefixes.flat_map(|p| [p.join("lib/siskin").join(FILE), p.join("lib").join(FILE)]);
    let mut paths: Vec<PathBuf> = development.into_iter().chain(installed).collect();
    let mut seen = std::collections::HashSet::new();
    paths.retain(|p| seen.insert(p.clone()));
    paths
}
