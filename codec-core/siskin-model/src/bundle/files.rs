//! The files of a bundle, read and checked.

use std::borrow::Cow;
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

/// Larger files are not held but read again when they are used, which is once: a network's session has the weights then, and a
/// second copy of Mimi's would take 300 MB.
const MAX_HELD_BYTES: u64 = 16 << 20;

/// Files by name.
#[derive(Debug)]
pub(super) struct Files {
    data: BTreeMap<String, Data>,
    /// Their SHA-256 in hexadecimal.
    hashes: BTreeMap<String, String>,
    /// The folder that they were last read from, and what they were there.
    read_from: Mutex<Option<(PathBuf, Stamps)>>,
}

/// What is known of a file that has been checked.
#[derive(Debug)]
enum Data {
    Held(Vec<u8>),
    /// It is read when it is used, and has so many bytes.
    Large(u64),
}

impl Files {
    /// Files that have been checked.
    pub(super) fn new(data: BTreeMap<String, Vec<u8>>) -> Self {
        let data = data.into_iter().map(|(name, data)| (name, Data::Held(data))).collect();
        Self { data, hashes: BTreeMap::new(), read_from: Mutex::default() }
    }

    /// Reads all files of a bundle and checks their hashes.
    pub(super) fn read(
        folder: &Path,
        hashes: &BTreeMap<String, String>,
        limits: &Limits,
    ) -> Result<(Self, Stamps)> {
        let (mut files, mut stamps) = (BTreeMap::new(), Vec::new());
        for (name, expected) in hashes {
            let (file, size, stamp) = open_file(folder, name, limits)?;
            // Where files cannot be told apart, one that was read later may be another.
            let data = if size > MAX_HELD_BYTES && stamp.is_some() {
                check_hash_of(folder, name, file, size, expected)?;
                Data::Large(size)
            } else {
                let data = read_open(folder, name, file, size, limits)?;
                check_hash(folder, name, &data, expected)?;
                Data::Held(data)
            };
            files.insert(name.clone(), data);
            stamps.push(stamp);
        }
        Ok((Self { data: files, hashes: hashes.clone(), read_from: Mutex::default() }, stamps))
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

    /// The bytes of a file; none if there is no such file.
    ///
    /// # Errors
    /// [`Error::BadBundle`] if one that is read now cannot be read, or is no longer the one that was checked.
    pub(super) fn get(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>> {
        let size = match self.data.get(name) {
            None => return Ok(None),
            Some(Data::Held(data)) => return Ok(Some(Cow::Borrowed(data))),
            Some(Data::Large(size)) => *size,
        };
        let read_from = self.read_from.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((folder, stamps)) = read_from else { return Ok(None) };
        // As many as were checked: more are another file, which may be of any size and is not read to learn its hash.
        let mut limits = Limits::default();
        limits.max_bundle_file_bytes = size;
        let (data, stamp) = read_file(&folder, name, &limits)?;
        let place = self.data.keys().position(|n| n == name).unwrap_or_default();
        if stamp.is_none() || stamps.get(place) != Some(&stamp) {
            let expected = self.hashes.get(name).map_or("", String::as_str);
            check_hash(&folder, name, &data, expected)?;
        }
        Ok(Some(Cow::Owned(data)))
    }
}

/// Checks that a file is the one that the manifest says.
pub(super) fn check_hash(folder: &Path, name: &str, data: &[u8], expected: &str) -> Result<()> {
    compare_hash(folder, name, &hex::encode(Sha256::digest(data)), expected)
}

fn compare_hash(folder: &Path, name: &str, found: &str, expected: &str) -> Result<()> {
    // As text: the manifest has lower-case digits (`docs/model-bundle.md`).
    if found == expected {
        return Ok(());
    }
    Err(Error::bad_bundle(folder, format!("{name} has sha256 {found}, the manifest says {expected}")))
}

/// Reads a file of a bundle's folder, if it is a plain name and within the limits.
pub(super) fn read_file(folder: &Path, name: &str, limits: &Limits) -> Result<(Vec<u8>, Option<Stamp>)> {
    let (file, size, stamp) = open_file(folder, name, limits)?;
    Ok((read_open(folder, name, file, size, limits)?, stamp))
}

fn unreadable(folder: &Path, name: &str, source: std::io::Error) -> Error {
    Error::BadBundle {
        path: folder.to_owned(),
        reason: format!("{name} cannot be read"),
        source: Some(source.into()),
    }
}

/// Opens a file of a bundle's folder, if it is a plain name and within the limits; with its size and stamp.
fn open_file(folder: &Path, name: &str, limits: &Limits) -> Result<(File, u64, Option<Stamp>)> {
    // The manifest must not reach out of its folder, by `..`, an absolute path or a hidden file.
    if Path::new(name).components().count() != 1 || name.starts_with('.') {
        return Err(Error::bad_bundle(folder, format!("{name:?} is not a plain file name")));
    }
    let fail = |source| unreadable(folder, name, source);
    let file = File::open(folder.join(name)).map_err(fail)?;
    // Asked of the open file, not of the path, which may name another by now; and before it is read, so that a stamp
    // is never newer than the bytes.
    let metadata = file.metadata().map_err(fail)?;
    let (size, most) = (metadata.len(), limits.max_bundle_file_bytes);
    if size > most {
        return Err(Error::bad_bundle(folder, format!("{name} has {size} bytes, allowed: {most}")));
    }
    Ok((file, size, Stamp::of(&metadata)))
}

/// Checks that an open file is the one that the manifest says, without holding it.
fn check_hash_of(folder: &Path, name: &str, file: File, size: u64, expected: &str) -> Result<()> {
    let mut sha = Sha256::new();
    // A byte beyond its size gives another hash already; a file that grows without end must not be read without end.
    std::io::copy(&mut file.take(size.saturating_add(1)), &mut sha)
        .map_err(|source| unreadable(folder, name, source))?;
    compare_hash(folder, name, &hex::encode(sha.finalize()), expected)
}

fn read_open(folder: &Path, name: &str, file: File, size: u64, limits: &Limits) -> Result<Vec<u8>> {
    let (mut data, most) = (Vec::new(), limits.max_bundle_file_bytes);
    if size <= most {
        // At once: a buffer that grows is moved a dozen times. Within the limit, so a size that lies costs no more.
        data.reserve_exact(usize::try_from(size).unwrap_or_default());
        // What is appended to the file meanwhile counts too.
        file.take(most.saturating_add(1))
            .read_to_end(&mut data)
            .map_err(|source| unreadable(folder, name, source))?;
    }
    let size = size.max(data.len() as u64);
    if size > most {
        return Err(Error::bad_bundle(folder, format!("{name} has {size} bytes, allowed: {most}")));
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_files_are_read_when_they_are_used_and_checked_again_if_they_have_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, limits) = (folder.path(), Limits::default());
        let write = |byte: u8| {
            // Longer than a tick of the clock of file systems.
            std::thread::sleep(std::time::Duration::from_millis(30));
            std::fs::write(path.join("a"), vec![byte; MAX_HELD_BYTES as usize + 1]).expect("a file");
        };
        write(1);
        let digest = Sha256::digest(std::fs::read(path.join("a")).expect("a file"));
        let hashes = BTreeMap::from([("a".to_owned(), hex::encode(digest))]);
        let (files, stamps) = Files::read(path, &hashes, &limits).expect("its own files");
        files.note_stamps(path, stamps);
        assert_eq!(matches!(files.data["a"], Data::Large(_)), cfg!(unix), "not held");
        let len = |files: &Files| files.get("a").map(|data| data.map_or(0, |d| d.len()));
        assert_eq!(len(&files).expect("the same file"), MAX_HELD_BYTES as usize + 1);
        assert!(files.get("b").expect("no error").is_none());
        // Written anew with the same bytes, and with others.
        write(1);
        assert!(len(&files).is_ok());
        if cfg!(unix) {
            write(2);
            assert!(len(&files).expect_err("another file").to_string().contains("sha256"));
            // Another size is refused before the file is read: this one has no bytes on disk and would fill the memory.
            let file = File::options().write(true).open(path.join("a")).expect("a file");
            file.set_len(1 << 42).expect("a file of holes");
            let allowed = format!("allowed: {}", MAX_HELD_BYTES + 1);
            assert!(len(&files).expect_err("a larger file").to_string().ends_with(&allowed));
            std::fs::remove_file(path.join("a")).expect("a file");
            assert!(len(&files).expect_err("no file").to_string().contains("cannot be read"));
        }
    }

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
