//! The files of a bundle, read into memory and checked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::stamp::Stamp;
use crate::{Error, Limits, Result};

/// The stamps of a bundle's files, in the order of their names.
pub(super) type Stamps = Vec<Option<Stamp>>;

/// Files by name.
#[derive(Debug)]
pub(super) struct Files {
    data: BTreeMap<String, Vec<u8>>,
    /// The folder that they were last read from, and what they were there.
    read_from: Mutex<Option<(PathBuf, Stamps)>>,
}

impl Files {
    /// Files that have been checked.
    pub(super) fn new(data: BTreeMap<String, Vec<u8>>) -> Self {
        Self { data, read_from: Mutex::default() }
    }

    /// Reads all files of a bundle and checks their hashes.
    pub(super) fn read(
        folder: &Path,
        hashes: &BTreeMap<String, String>,
        limits: &Limits,
    ) -> Result<(Self, Stamps)> {
        let (mut files, mut stamps) = (BTreeMap::new(), Vec::new());
        for (name, expected) in hashes {
            let (data, stamp) = read_file(folder, name, limits)?;
            check_hash(folder, name, &data, expected)?;
            files.insert(name.clone(), data);
            stamps.push(stamp);
        }
        Ok((Self::new(files), stamps))
    }

    /// Remembers what the files were when they were read from a folder.
    pub(super) fn note_stamps(&self, folder: &Path, stamps: Stamps) {
        *self.read_from.lock().unwrap_or_else(PoisonError::into_inner) = Some((folder.to_owned(), stamps));
    }

    /// Whether the files in the folder are those that were last read, none of them larger than allowed.
    pub(super) fn are_as_read(&self, folder: &Path, limits: &Limits) -> bool {
        let read_from = self.read_from.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, stamps)) = read_from.as_ref().filter(|(read, _)| read == folder) else { return false };
        let mut files = self.data.keys().zip(stamps);
        files.all(|(name, stamp)| {
            stamp.is_some()
                && *stamp == Stamp::at(&folder.join(name))
                && stamp.as_ref().is_some_and(|stamp| stamp.size() <= limits.max_bundle_file_bytes)
        })
    }

    /// The bytes of a file.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.data.get(name).map(Vec::as_slice)
    }
}

/// Checks that a file is the one that the manifest says.
pub(super) fn check_hash(folder: &Path, name: &str, data: &[u8], expected: &str) -> Result<()> {
    let found = hex::encode(Sha256::digest(data));
    // As text: the manifest has lower-case digits (`docs/model-bundle.md`).
    if found == expected {
        return Ok(());
    }
    Err(Error::bad_bundle(folder, format!("{name} has sha256 {found}, the manifest says {expected}")))
}

/// Reads a file of a bundle's folder, if it is a plain name and within the limits.
pub(super) fn read_file(folder: &Path, name: &str, limits: &Limits) -> Result<(Vec<u8>, Option<Stamp>)> {
    // The manifest must not reach out of its folder, by `..`, an absolute path or a hidden file.
    if Path::new(name).components().count() != 1 || name.starts_with('.') {
        return Err(Error::bad_bundle(folder, format!("{name:?} is not a plain file name")));
    }
    let unreadable = |source: std::io::Error| Error::BadBundle {
        path: folder.to_owned(),
        reason: format!("{name} cannot be read"),
        source: Some(source.into()),
    };
    let file = File::open(folder.join(name)).map_err(unreadable)?;
    // Asked of the open file, not of the path, which may name another by now; and before it is read, so that a stamp
    // is never newer than the bytes.
    let metadata = file.metadata().map_err(unreadable)?;
    let (size, most) = (metadata.len(), limits.max_bundle_file_bytes);
    let mut data = Vec::new();
    if size <= most {
        // At once: a buffer that grows is moved a dozen times. Within the limit, so a size that lies costs no more.
        data.reserve_exact(usize::try_from(size).unwrap_or_default());
        // What is appended to the file meanwhile counts too.
        file.take(most.saturating_add(1)).read_to_end(&mut data).map_err(unreadable)?;
    }
    let size = size.max(data.len() as u64);
    if size > most {
        return Err(Error::bad_bundle(folder, format!("{name} has {size} bytes, allowed: {most}")));
    }
    Ok((data, Stamp::of(&metadata)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_as_read_until_somebody_writes_to_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, limits) = (folder.path(), Limits::default());
        let write = |text: &str| std::fs::write(path.join("a"), text).expect("a file");
        write("one");
        let hashes = BTreeMap::from([("a".to_owned(), hex::encode(Sha256::digest("one")))]);
        let (files, stamps) = Files::read(path, &hashes, &limits).expect("its own files");
        assert!(!files.are_as_read(path, &limits), "no stamps yet");
        files.note_stamps(path, stamps);
        assert_eq!(files.are_as_read(path, &limits), cfg!(unix));
        assert!(!files.are_as_read(&path.join("b"), &limits), "another folder");
        let mut small = limits.clone();
        small.max_bundle_file_bytes = 2;
        assert!(!files.are_as_read(path, &small), "a stricter limit");
        // The same size, and the time of change set back, as a program can.
        let times = path.join("a").metadata().and_then(|m| m.modified()).expect("a time");
        // Longer than a tick of the clock of file systems.
        std::thread::sleep(std::time::Duration::from_millis(30));
        write("two");
        let file = File::options().write(true).open(path.join("a")).expect("a file");
        file.set_modified(times).expect("its own file");
        assert!(!files.are_as_read(path, &limits));
        assert!(Files::read(path, &hashes, &limits).is_err(), "another hash");
    }
}
