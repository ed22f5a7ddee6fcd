use std::borrow::Cow;
use std::fmt;

use sha2::{Digest, Sha256};

use crate::Result;

/// A graph by the hash of its bytes. They are read only where no other stream of the process has the graph open: those of a large
/// codec take a second to read and to hash.
#[derive(Clone, Copy)]
pub struct HashedGraph<'a> {
    hash: [u8; 32],
    source: Source<'a>,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    Bytes(&'a [u8]),
    File(&'a dyn GraphFile),
}

/// Where the bytes of a graph are; streams of several threads may open it at once.
pub trait GraphFile: Sync {
    /// Reads the bytes, and checks that they are still those of the hash.
    ///
    /// # Errors
    /// What reading returns, and [`Error::BadBundle`](crate::Error::BadBundle) for other bytes.
    fn read_graph(&self) -> Result<Cow<'_, [u8]>>;
}

impl<'a> HashedGraph<'a> {
    /// The graph in a file whose bytes have this SHA-256.
    pub fn from_file(hash: [u8; 32], file: &'a dyn GraphFile) -> Self {
        Self { hash, source: Source::File(file) }
    }

    /// The graph of these bytes.
    pub fn from_bytes(bytes: &'a [u8]) -> Self {
        Self { hash: Sha256::digest(bytes).into(), source: Source::Bytes(bytes) }
    }

    /// SHA-256 of the bytes.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// The bytes.
    ///
    /// # Errors
    /// What reading them returns.
    pub fn read(&self) -> Result<Cow<'a, [u8]>> {
        match self.source {
            Source::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            Source::File(file) => file.read_graph(),
        }
    }
}

impl fmt::Debug for HashedGraph<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashedGraph").field("hash", &hex::encode(self.hash)).finish_non_exhaustive()
    }
}
