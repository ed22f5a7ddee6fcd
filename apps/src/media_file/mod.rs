//! Coded files: writing, opening, surveying and decoding them.

mod channel;
mod codes;
mod decoding;
mod losses;
mod prefix;
mod probe;
mod rewrite;
mod sink;
mod source;

use std::io::Cursor;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use siskin_core::Limits;
use siskin_core::audio::file::AudioFile;
use siskin_core::container::AUDIO_CODEC_ID;

pub(crate) use channel::LossArgs;
pub(crate) use decoding::Decoding;
pub(crate) use losses::describe_losses;
pub(crate) use probe::Probe;
pub(crate) use rewrite::repair_in_place;
pub(crate) use sink::{Sink, Totals};
pub(crate) use source::{Source, has_track, open_source, read_pipe, track_labels};

use source::Shared;

/// A Matroska file with a Siskin audio track, by its name.
pub(crate) struct CodedFile {
    name: String,
    audio: AudioFile<Box<dyn Source>>,
    bytes: u64,
}

impl Deref for CodedFile {
    type Target = AudioFile<Box<dyn Source>>;

    fn deref(&self) -> &Self::Target {
        &self.audio
    }
}

impl DerefMut for CodedFile {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.audio
    }
}

impl CodedFile {
    /// Opens a file, or reads all of stdin for `-`.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let (name, source, bytes) = open_source(path)?;
        Self::read(&name, source, bytes).map_err(|e| e.context(name))
    }

    /// A file that is in memory; `name` is what messages call it.
    pub(crate) fn from_memory(name: &str, data: Arc<Vec<u8>>) -> Result<Self> {
        let bytes = data.len() as u64;
        Self::read(name, Box::new(Cursor::new(Shared(data))), bytes).map_err(|e| e.context(name.to_owned()))
    }

    fn read(name: &str, source: Box<dyn Source>, bytes: u64) -> Result<Self> {
        if bytes == 0 {
            // Else the container's reader would complain of a missing EBML header, which is no help with an empty
            // file.
            bail!("no data");
        }
        Ok(Self { name: name.to_owned(), audio: AudioFile::open(source, Limits::default())?, bytes })
    }

    /// Whether the file at `path` is Matroska with a Siskin track; as for [`has_track`].
    pub(crate) fn is_coded(path: &Path) -> bool {
        has_track(path, AUDIO_CODEC_ID)
    }

    /// The file's name, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The file's size.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file's size without the packets of other tracks, once all has been read.
    pub(crate) fn own_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.elsewhere_bytes())
    }

    /// The name and the open file.
    fn into_parts(self) -> (String, AudioFile<Box<dyn Source>>) {
        (self.name, self.audio)
    }
}
