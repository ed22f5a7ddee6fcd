use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use siskin_error::{Error, Result};
use siskin_model::bundle::{Bundle, GraphSpec, StateSpec};

/// A graph of a bundle: its file and what the manifest says about it.
pub(crate) type Network = (Vec<u8>, GraphSpec);

/// A bundle that has been made and not yet written.
pub struct Imported {
    /// The name that the bundle gets, such as `encodec-24k`.
    pub name: String,
    /// What the checkpoint was recognised as, for people.
    pub recognised: String,
    pub(crate) manifest: Value,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

impl Imported {
    /// Writes the bundle to the folder `path`, which must not exist or be empty, and opens it as a program would.
    ///
    /// # Errors
    /// [`Error::Io`] with the file that could not be written; [`Error::BadBundle`] if there is something in the folder.
    pub fn write(&self, path: &Path) -> Result<Bundle> {
        let io = |path: &Path, e: std::io::Error| Error::bad_bundle(path, e);
        let is_taken = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
        if is_taken {
            return Err(Error::bad_bundle(path, "there is something in the folder already"));
        }
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(|e| io(parent, e))?;
        // Whole or not at all: a run that is stopped leaves no folder that looks like a bundle.
        let folder =
            tempfile::Builder::new().prefix(".import-").tempdir_in(parent).map_err(|e| io(parent, e))?;
        let mut manifest = self.manifest.clone();
        let mut hashes = serde_json::Map::new();
        for (name, bytes) in &self.files {
            let file = folder.path().join(name);
            fs::write(&file, bytes).map_err(|e| io(&file, e))?;
            hashes.insert(name.clone(), json!(hex::encode(Sha256::digest(bytes))));
        }
        // A bundle's name is its folder's.
        if let Some(name) = path.file_name() {
            manifest["name"] = json!(name.to_string_lossy());
        }
        manifest["files"] = Value::Object(hashes);
        let text = serde_json::to_vec_pretty(&manifest).map_err(|e| Error::bad_bundle(path, e))?;
        let file = folder.path().join("manifest.json");
        fs::write(&file, text).map_err(|e| io(&file, e))?;
        // An empty folder may be in the way of the move.
        fs::remove_dir(path).ok();
        fs::rename(folder.keep(), path).map_err(|e| io(path, e))?;
        Bundle::open(path)
    }
}

/// `GraphSpec` as a manifest has it.
pub(crate) fn spec_json(spec: &GraphSpec) -> Value {
    let state = |s: &StateSpec| {
        let mut json = json!({ "name": s.name, "output": s.output, "shape": s.shape });
        if s.in_place {
            json["in_place"] = true.into();
        }
        json
    };
    let states: Vec<_> = spec.states.iter().map(state).collect();
    let mut json = json!({ "file": spec.file, "input": spec.input, "output": spec.output, "states": states });
    if let Some(blocks) = &spec.blocks {
        json["blocks"] = json!({ "input": blocks.input, "output": blocks.output });
    }
    json
}
