//! The codecs that are known, a file each.

mod dac;
mod encodec;
mod lyra;
mod mimi;
mod parts;
mod snac;
mod snake;

use std::path::Path;

use siskin_error::{Error, Result};

use crate::bundle::Imported;
use crate::checkpoint::Checkpoint;

/// A codec whose checkpoints can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// DAC at 16, 24 and 44.1 kHz (arXiv 2306.06546).
    Dac,
    /// EnCodec at 24 kHz (arXiv 2210.13438).
    Encodec,
    /// Lyra V2 at 16 kHz (a SoundStream, arXiv 2107.03312), from a folder with the three files of its repository.
    Lyra,
    /// Mimi at 24 kHz (arXiv 2410.00037, section 3).
    Mimi,
    /// SNAC at 24, 32 and 44.1 kHz (arXiv 2410.14411).
    Snac,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Dac, Self::Encodec, Self::Lyra, Self::Mimi, Self::Snac];

    /// The name in commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dac => "dac",
            Self::Encodec => "encodec",
            Self::Lyra => "lyra",
            Self::Mimi => "mimi",
            Self::Snac => "snac",
        }
    }

    /// Finds a codec by its name in commands.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }
}

/// Makes a bundle of the checkpoint at `path`.
///
/// # Errors
/// [`Error::BadBundle`] with the path and the first thing that is not as in the codec's checkpoints: a tensor that is
/// missing, has another shape, or belongs to no layer.
pub fn import(kind: Kind, path: &Path) -> Result<Imported> {
    let read: fn(Checkpoint) -> std::result::Result<Imported, String> = match kind {
        Kind::Dac => dac::import,
        Kind::Encodec => encodec::import,
        // Three files of another format.
        Kind::Lyra => return lyra::import(path),
        Kind::Mimi => mimi::import,
        Kind::Snac => snac::import,
    };
    read(Checkpoint::open(path)?)
        .map_err(|reason| Error::bad_bundle(path, format!("not a checkpoint of {}: {reason}", kind.name())))
}
