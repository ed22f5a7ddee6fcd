//! The codecs that are known, a file each.

mod dac;
mod encodec;
mod encodec_stereo;
mod hificodec;
mod hilcodec;
mod lyra;
mod mimi;
mod parts;
mod seanet;
mod snac;
mod snake;
#[cfg(test)]
#[allow(clippy::panic, reason = "tests")]
mod tests;
mod vocos;

use std::path::Path;

use siskin_error::{Error, Result};
use siskin_model::bundle::Bundle;

use crate::bundle::Imported;
use crate::checkpoint::Checkpoint;

/// A codec whose checkpoints can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// DAC at 16, 24 and 44.1 kHz (arXiv 2306.06546).
    Dac,
    /// EnCodec at 24 kHz, and at 48 kHz in stereo (arXiv 2210.13438).
    Encodec,
    /// HiFi-Codec of AcademiCodec at 16 and 24 kHz (arXiv 2305.02765).
    Hificodec,
    /// HILCodec at 24 kHz (arXiv 2405.04752).
    Hilcodec,
    /// Lyra V2 at 16 kHz (a SoundStream, arXiv 2107.03312), from a folder with the three files of its repository.
    Lyra,
    /// Mimi at 24 kHz (arXiv 2410.00037, section 3).
    Mimi,
    /// SNAC at 24, 32 and 44.1 kHz (arXiv 2410.14411).
    Snac,
    /// Vocos as a decoder of EnCodec's tokens at 24 kHz (arXiv 2306.00814).
    Vocos,
}

/// What a checkpoint does not say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// For [`Kind::Vocos`], which is a decoder alone: a bundle of EnCodec at 24 kHz, whose encoder and codebooks the new
    /// bundle takes over.
    pub encoder: Option<&'a Bundle>,
    /// For [`Kind::Vocos`]: the bits a second of the codes, 1500, 3000, 6000 or 12000; 6000 if none are given.
    pub bitrate: Option<u32>,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Dac,
        Self::Encodec,
        Self::Hificodec,
        Self::Hilcodec,
        Self::Lyra,
        Self::Mimi,
        Self::Snac,
        Self::Vocos,
    ];

    /// The name in commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dac => "dac",
            Self::Encodec => "encodec",
            Self::Hificodec => "hificodec",
            Self::Hilcodec => "hilcodec",
            Self::Lyra => "lyra",
            Self::Mimi => "mimi",
            Self::Snac => "snac",
            Self::Vocos => "vocos",
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
    import_with(kind, path, &Options::default())
}

/// As [`import`], with what the checkpoint does not say.
///
/// # Errors
/// As [`import`]; [`Error::Parameter`] for options of another codec, or if one that is needed is missing or out
/// of range.
pub fn import_with(kind: Kind, path: &Path, options: &Options<'_>) -> Result<Imported> {
    if kind != Kind::Vocos && (options.encoder.is_some() || options.bitrate.is_some()) {
        return Err(Error::parameter("encoder or bitrate", kind.name(), "for vocos only"));
    }
    if kind == Kind::Vocos {
        vocos::check(options)?;
    }
    let open = || Checkpoint::open(path);
    let made = match kind {
        Kind::Dac => dac::import(open()?),
        Kind::Encodec => encodec::import(open()?),
        Kind::Hificodec => hificodec::import(open()?),
        Kind::Hilcodec => hilcodec::import(open()?),
        // Three files of another format.
        Kind::Lyra => return lyra::import(path),
        Kind::Mimi => mimi::import(open()?),
        Kind::Snac => snac::import(open()?),
        Kind::Vocos => vocos::import(open()?, options),
    };
    made.map_err(|reason| Error::bad_bundle(path, format!("not a checkpoint of {}: {reason}", kind.name())))
}
