//! Coded files: writing, opening, surveying and decoding them.

mod channel;
mod codes;
mod decoding;
mod losses;
mod prefix;
mod probe;
mod rewrite;
mod sink;

use std::fs::{self, File};
use std::io::{BufReader, Cursor, Read, Seek};
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use siskin_core::Limits;
use siskin_core::audio::file::AudioFile;
use siskin_core::container::{AUDIO_CODEC_ID, Reader};

pub(crate) use channel::LossArgs;
pub(crate) use decoding::Decoding;
pub(crate) use losses::describe_losses;
pub(crate) use probe::Probe;
pub(crate) use rewrite::repair_in_place;
pub(crate) use sink::{Sink, Totals};

use crate::target::is_dash;

/// Most bytes of a coded stream taken from a pipe: 90 hours at 6 kb/s.
const MAX_FROM_PIPE: u64 = 256 << 20;

// A trait object has one trait besides the likes of `Send`, so this one stands for all three.
pub(crate) trait Source: Read + Seek + Send {}
impl<T: Read + Seek + Send> Source for T {}

/// Bytes that someone else holds too. `Arc<Vec<u8>>` itself is no `AsRef<[u8]>`, and `Arc<[u8]>` would be a copy of a vector.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

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

    /// Whether the file at `path` is Matroska with a Siskin track. Pipes are not asked: that would take their data.
    pub(crate) fn is_coded(path: &Path) -> bool {
        let open = || -> Option<bool> {
            let reader = Reader::open_file(BufReader::new(File::open(path).ok()?), Limits::default()).ok()?;
            Some(reader.tracks().iter().any(|t| t.codec_id == AUDIO_CODEC_ID))
        };
        // In this order: to open a named pipe waits for whoever writes to it.
        path.is_file() && open().unwrap_or(false)
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

fn open_source(path: &Path) -> Result<(String, Box<dyn Source>, u64)> {
    let name = if is_dash(path) { "stdin".to_owned() } else { path.display().to_string() };
    if !is_dash(path) {
        let metadata = fs::metadata(path).with_context(|| name.clone())?;
        if metadata.is_dir() {
            bail!("{name} is a folder");
        }
        let file = File::open(path).with_context(|| name.clone())?;
        if metadata.is_file() {
            return Ok((name, Box::new(BufReader::new(file)), metadata.len()));
        }
        return read_all(name, file);
    }
    read_all(name, std::io::stdin().lock())
}

/// The container is read with seeking, so what cannot seek is taken into memory.
fn read_all(name: String, source: impl Read) -> Result<(String, Box<dyn Source>, u64)> {
    let mut data = Vec::new();
    // One byte more than allowed tells what is too large from what just fits.
    source.take(MAX_FROM_PIPE + 1).read_to_end(&mut data).with_context(|| name.clone())?;
    let bytes = data.len() as u64;
    if bytes > MAX_FROM_PIPE {
        bail!("{name}: more than {} MiB in a pipe, name a file instead", MAX_FROM_PIPE >> 20);
    }
    Ok((name, Box::new(Cursor::new(data)), bytes))
}
