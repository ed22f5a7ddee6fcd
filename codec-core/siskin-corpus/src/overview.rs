//! What lies in the folder of a corpus.

use std::fs;
use std::path::{Path, PathBuf};

use siskin_error::{Error, Result};

use crate::shard::{DATA, STATE, ShardName, ShardSummary};
use crate::spec::Spec;

/// Where the specification of a corpus lies in its folder.
pub(crate) const SPEC: &str = "export.json";

/// A corpus as far as its runs have come.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// What it is made of.
    pub spec: Spec,
    /// Its finished shards.
    pub shards: Vec<ShardSummary>,
    /// Files of these that are not there.
    pub missing: Vec<PathBuf>,
}

impl Overview {
    /// Reads the notes in a folder; none where it holds no corpus.
    ///
    /// # Errors
    /// [`Error::Io`] where a note cannot be read, [`Error::Corpus`] where one is damaged.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(SPEC);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Io { path, source }),
        };
        if !folder.join(STATE).is_dir() {
            // Another program's file of this name.
            return Ok(None);
        }
        let spec: Spec =
            serde_json::from_slice(&text).map_err(|e| Error::corpus(&path, None, "export", e))?;
        if spec.shard_size == 0 {
            return Err(Error::corpus(&path, None, "shard_size", "is 0"));
        }
        let mut shards = Vec::new();
        // The notes that are there, and not as many as the specification states: that may be any number.
        for path in list(&folder.join(STATE))?.iter().filter(|p| p.extension().is_some_and(|e| e == "json")) {
            let name = path.file_stem().and_then(|s| s.to_str()).map(ShardName::new);
            if let Some(Ok(name)) = name {
                shards.extend(ShardSummary::read(folder, &name)?);
            }
        }
        shards.sort_by(|a, b| a.shard.cmp(&b.shard));
        let files = shards.iter().flat_map(|s| &s.files).map(|name| folder.join(DATA).join(name));
        let missing = files.filter(|path| !path.is_file()).collect();
        Ok(Some(Self { spec, shards, missing }))
    }
}

/// What a folder holds, in any order.
pub(crate) fn list(path: &Path) -> Result<Vec<PathBuf>> {
    let io_error = |source| Error::Io { path: path.to_owned(), source };
    fs::read_dir(path).map_err(io_error)?.map(|e| e.map(|e| e.path()).map_err(io_error)).collect()
}
