//! What tells without reading it whether a file on disk is still the one that was read.

use std::fs::Metadata;
use std::path::Path;

/// A file's place, size and times; equal only while nobody has written to the file or put another in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// When its data and its entry changed, in seconds and nanoseconds: the second cannot be set by programs.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of a file that is open; none on systems that do not tell files apart.
    #[cfg(unix)]
    pub(super) fn of(metadata: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    #[cfg(not(unix))]
    pub(super) fn of(_metadata: &Metadata) -> Option<Self> {
        None
    }

    /// The stamp of the file of a path; none where it cannot be seen.
    pub(super) fn at(path: &Path) -> Option<Self> {
        path.metadata().ok().as_ref().and_then(Self::of)
    }

    /// Bytes in the file.
    pub(super) fn size(&self) -> u64 {
        self.size
    }
}
