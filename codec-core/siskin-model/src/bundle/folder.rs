//! A bundle's folder, whatever kind the bundle is of: its manifest and the files that the manifest lists.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::files::{Files, check_hash, read_file};
use super::hash_of;
use super::search_path::search_path;
use crate::{Error, Limits, Result, SharedCache};

/// Files that were read and checked, by [`hash_of`] them.
static FILES: SharedCache<[u8; 32], Files> = SharedCache::new();

/// What every kind of manifest says.
pub(super) trait Facts: DeserializeOwned {
    /// The kind of bundle, as its manifest calls it.
    const KIND: &str;
    /// Checks that the manifest's numbers are within what is implemented; what is wrong comes back in words.
    fn check_numbers(&self) -> std::result::Result<(), String>;
    /// The bundle's name.
    fn name(&self) -> &str;
    /// SHA-256 of every file of the bundle, in hexadecimal.
    fn file_hashes(&self) -> &BTreeMap<String, String>;
}

/// What tells the kinds of manifests apart.
#[derive(serde::Deserialize)]
struct Kind {
    kind: String,
}

/// Reads a manifest and checks it.
pub(super) fn parse_manifest<M: Facts>(text: &[u8]) -> std::result::Result<M, String> {
    // First: in a manifest of another kind a field of the same name may be anything, and what serde says of it helps nobody.
    if let Ok(Kind { kind }) = serde_json::from_slice(text)
        && kind != M::KIND
    {
        return Err(format!("the bundle is of kind {kind}, not {}", M::KIND));
    }
    let manifest: M = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    manifest.check_numbers()?;
    Ok(manifest)
}

/// Reads the manifest of a folder.
fn read_manifest<M: Facts>(folder: &Path, limits: &Limits) -> Result<M> {
    let (text, _) = read_file(folder, "manifest.json", limits)?;
    parse_manifest(&text).map_err(|reason| Error::bad_bundle(folder, format!("manifest.json: {reason}")))
}

/// The bundles on the search path whose manifests can be read; of two with one name the first found.
pub(super) fn find_installed<M: Facts>() -> Vec<(PathBuf, M)> {
    let mut found: Vec<(PathBuf, M)> = Vec::new();
    for folder in search_path() {
        let mut entries: Vec<PathBuf> =
            folder.read_dir().into_iter().flatten().flatten().map(|e| e.path()).collect();
        // The order of a directory differs from file system to file system; of two bundles of a name the same one shall win.
        entries.sort();
        for path in entries {
            // Folders of another kind of bundle and damaged ones are passed over: they must not hide the others.
            // Opening one by name says what is wrong with it.
            if let Ok(manifest) = read_manifest::<M>(&path, &Limits::default())
                && found.iter().all(|(_, f)| f.name() != manifest.name())
            {
                found.push((path, manifest));
            }
        }
    }
    found
}

/// A bundle in memory; cloning shares its files.
#[derive(Debug)]
pub(super) struct Folder<M> {
    path: PathBuf,
    manifest: Arc<M>,
    // What was hashed is what is used, whatever becomes of the files on disk: in memory, or checked again where it has changed.
    files: Arc<Files>,
}

impl<M> Clone for Folder<M> {
    fn clone(&self) -> Self {
        Self { path: self.path.clone(), manifest: self.manifest.clone(), files: self.files.clone() }
    }
}

impl<M: Facts> Folder<M> {
    /// Reads and checks every file that the manifest in `path` lists, unless this process holds them already and nobody has
    /// written to them since.
    pub(super) fn open(path: &Path, limits: &Limits) -> Result<Self> {
        let manifest: M = read_manifest(path, limits)?;
        let key = hash_of(manifest.file_hashes());
        // To read and hash the 9.8 MB of speech-24k took a third of a decoder's start where its session was kept.
        let held = FILES.find(&key).filter(|files| files.are_as_read(path, limits));
        let files = match held {
            Some(files) => files,
            None => {
                // Read all the same where others hold them, so that a damaged file never goes unnoticed.
                let (files, stamps) = Files::read(path, manifest.file_hashes(), limits)?;
                let files = FILES.share::<Error>(key, || Ok(files))?;
                files.note_stamps(path, stamps);
                files
            }
        };
        Ok(Self { path: path.to_owned(), manifest: Arc::new(manifest), files })
    }
}

impl<M: Facts> Folder<M> {
    /// Checks the files of a bundle that is in memory; `path` stands for its folder in errors.
    pub(super) fn from_memory(
        path: &Path,
        manifest: &[u8],
        files: BTreeMap<String, Vec<u8>>,
    ) -> Result<Self> {
        let manifest: M = parse_manifest(manifest)
            .map_err(|reason| Error::bad_bundle(path, format!("manifest.json: {reason}")))?;
        for (name, data) in &files {
            let expected = manifest.file_hashes().get(name);
            let expected = expected.ok_or_else(|| {
                Error::bad_bundle(path, format!("{name} is not on the manifest's list of files"))
            })?;
            check_hash(path, name, data, expected)?;
        }
        // Not in the cache of files, which is of whole bundles.
        Ok(Self { path: path.to_owned(), manifest: Arc::new(manifest), files: Arc::new(Files::new(files)) })
    }
}

impl<M: Facts> Folder<M> {
    /// The SHA-256 of a file that the manifest lists.
    pub(super) fn file_hash(&self, name: &str) -> Result<[u8; 32]> {
        let mut hash = [0; 32];
        // Files of another text have been refused: it is that of their hash.
        let text = self.manifest.file_hashes().get(name);
        let decoded = text.is_some_and(|text| hex::decode_to_slice(text, &mut hash).is_ok());
        if decoded { Ok(hash) } else { Err(self.not_listed(name)) }
    }
}

impl<M> Folder<M> {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn manifest(&self) -> &M {
        &self.manifest
    }

    /// The bytes of a file that the manifest lists.
    pub(super) fn file_bytes(&self, name: &str) -> Result<Cow<'_, [u8]>> {
        self.files.get(name)?.ok_or_else(|| self.not_listed(name))
    }

    fn not_listed(&self, name: &str) -> Error {
        Error::bad_bundle(&self.path, format!("{name} is used and not listed under files"))
    }
}
